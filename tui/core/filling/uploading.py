"""The last stage of a build: vectors are gathered into good requests and written by threads of their own."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from tui.core.client.upload import rows_per_batch
from tui.core.errors import Interrupted, InvalidInput
from tui.core.words import counted

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tui.core.filling.leases import Lease
    from tui.core.filling.patience import Patience
    from tui.core.milvus import Milvus

# Milvus Lite's collections take one writer; a server is kept busy by two requests in flight.
_SERVER_THREADS = 2
_LITE_THREADS = 1
_WAITING = 1
# A slow model must not lose minutes of work to a kill: what is there goes out when nothing else does.
_IDLE = 1.0
_FAREWELL = 20.0

_Request = tuple[list[str], list[str], "NDArray[np.float32]"]


class Uploader:
    """Writes vectors to one collection. ``put`` gathers them and waits when the server is slower than we are.

    Args:
        rows: vectors in one request at most; None for what suits the engine.
        on_written: hears after each request how many vectors are written in all.
    """

    def __init__(
        self,
        patience: Patience,
        collection: str,
        dim: int,
        lease: Lease,
        on_written: Callable[[int], None],
        rows: int | None = None,
    ) -> None:
        is_lite = patience.milvus.is_lite
        best = rows_per_batch(dim, is_lite=is_lite)
        self._patience, self._collection, self._dim, self._lease = patience, collection, dim, lease
        self._size = min(rows, best) if rows else best
        self._on_written = on_written
        self._ids: list[str] = []
        self._sample_ids: list[str] = []
        self._parts: list[NDArray[np.float32]] = []
        self._queue: queue.Queue[_Request | None] = queue.Queue(_WAITING)
        self._lock = threading.Lock()
        self._flying = 0
        self._sent = time.monotonic()
        self._error: BaseException | None = None
        self.written = 0
        self._threads = [
            threading.Thread(target=self._work, name="upload", daemon=True)
            for _ in range(_LITE_THREADS if is_lite else _SERVER_THREADS)
        ]
        for thread in self._threads:
            thread.start()

    def put(self, ids: Sequence[str], sample_ids: Sequence[str], vectors: NDArray[np.float32]) -> None:
        """Take vectors, of shape (n, dim).

        Raises:
            InvalidInput: their dimension is not the collection's.
            KitescopeError: whatever an earlier request failed with.
        """
        if len(vectors) and vectors.shape[1] != self._dim:
            raise InvalidInput(
                f"A vector has {counted(vectors.shape[1], 'number')} and the collection holds {self._dim}",
                "All vectors of an index have one length",
            )
        self._ids += ids
        self._sample_ids += sample_ids
        self._parts.append(vectors)
        while len(self._ids) >= self._size:
            self._send(self._size)
        if self._ids and not self._flying and time.monotonic() - self._sent > _IDLE:
            self._send(len(self._ids))

    def close(self) -> None:
        """Write what is left, wait until everything is written, and end the threads.

        Raises:
            KitescopeError: whatever a request failed with.
        """
        if self._ids:
            self._send(len(self._ids))
        self._end(None)
        self._raise()

    def abandon(self) -> None:
        """End the threads after the requests in flight, without waiting longer than some seconds."""
        self._end(time.monotonic() + _FAREWELL)

    def _send(self, size: int) -> None:
        gathered = self._parts[0] if len(self._parts) == 1 else np.concatenate(self._parts)
        request = self._ids[:size], self._sample_ids[:size], gathered[:size]
        del self._ids[:size], self._sample_ids[:size]
        self._parts = [gathered[size:]] if self._ids else []
        with self._lock:
            self._flying += 1
        self._sent = time.monotonic()
        while True:
            self._raise()
            try:
                return self._queue.put(request, timeout=0.2)
            except queue.Full:
                continue

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error

    def _end(self, deadline: float | None) -> None:
        # One farewell a thread, whether it is alive or not: any thread takes any of them.
        for _ in self._threads:
            while deadline is None or time.monotonic() < deadline:
                try:
                    self._queue.put(None, timeout=0.2)
                    break
                except queue.Full:
                    continue
        for thread in self._threads:
            thread.join(None if deadline is None else max(0.0, deadline - time.monotonic()))

    def _work(self) -> None:
        while (request := self._queue.get()) is not None:
            try:
                if self._error is None:
                    self._write(*request)
            except BaseException as error:
                # The first failure is the cause; an interruption that follows it is not.
                if self._error is None or isinstance(self._error, Interrupted):
                    self._error = error
            finally:
                with self._lock:
                    self._flying -= 1

    def _write(self, ids: list[str], sample_ids: list[str], vectors: NDArray[np.float32]) -> None:
        def upsert(milvus: Milvus) -> None:
            # After a long outage somebody else may hold the lease.
            self._lease.require()
            milvus.upsert(self._collection, ids, sample_ids, vectors)

        self._patience.call(upsert)
        with self._lock:
            self.written += len(ids)
            total = self.written
        self._on_written(total)

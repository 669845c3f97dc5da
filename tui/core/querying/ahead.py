"""Vectors of examples, fetched from where an index was last time while its documents are read again."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from threading import Lock, Thread
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tui.core.workspace import Workspace

    Vectors = tuple[list[str], NDArray[np.float32]]

# Of each workspace: the collection of (dataset, brain key).
_collections: WeakKeyDictionary[Workspace, dict[tuple[str, str], str]] = WeakKeyDictionary()
_lock = Lock()


class Ahead:
    """The vectors of ``ids`` on their way, if this process knows where the index was.

    A guess: ``take`` answers nothing when the index turns out to be elsewhere, or when fetching failed.
    """

    def __init__(self, ws: Workspace, dataset: str, brain_key: str, ids: Sequence[str]) -> None:
        self._ws, self._index, self._ids = ws, (dataset, brain_key), list(ids)
        with _lock:
            self._collection = _collections.get(ws, {}).get(self._index)
        self._found: Vectors | None = None
        self._thread: Thread | None = None
        if self._collection is not None and ids:
            self._thread = Thread(target=self._fetch, name="vectors-ahead", daemon=True)
            self._thread.start()

    def _fetch(self) -> None:
        assert self._collection is not None
        # What went wrong is told by whoever fetches them in earnest.
        with contextlib.suppress(Exception):
            self._found = self._ws.milvus().vectors(self._collection, self._ids, strong=False)

    def take(self, collection: str, ids: Sequence[str]) -> Vectors | None:
        """The ids that were found and their vectors, (n, dim), if they are of this collection."""
        with _lock:
            _collections.setdefault(self._ws, {})[self._index] = collection
        if self._thread is None or collection != self._collection or list(ids) != self._ids:
            return None
        self._thread.join()
        return self._found

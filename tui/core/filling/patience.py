"""Waiting for a Milvus that went away: visibly, for a bounded time, and going on where the work was."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from tui.core.errors import AuthenticationFailed, EngineUnreachable, Interrupted, InvalidInput
from tui.core.progress import Notice, OnEvent, ShouldStop

if TYPE_CHECKING:
    from tui.core.milvus import Milvus
    from tui.core.workspace import Workspace

_VARIABLE = "KITESCOPE_MILVUS_WAIT"
_DEFAULT = 120.0
_PAUSE = 0.5
_PING = 2.0
_MOST = 5


def milvus_wait() -> float:
    """Seconds to wait for a Milvus that went away: ``KITESCOPE_MILVUS_WAIT``, else two minutes.

    Raises:
        InvalidInput: the variable is no number.
    """
    text = os.environ.get(_VARIABLE)
    try:
        return max(0.0, float(text)) if text else _DEFAULT
    except ValueError as error:
        raise InvalidInput(f"{_VARIABLE} is not a number of seconds: {text}") from error


class Patience:
    """Makes calls to Milvus, and makes them again when the server comes back. For several threads at once.

    Calls have to be such that making them twice does no harm: one that timed out may have been carried out.
    """

    def __init__(
        self, ws: Workspace, on_event: OnEvent, should_stop: ShouldStop, limit: float | None = None
    ) -> None:
        self._ws = ws
        self._tell = on_event
        self._should_stop = should_stop
        self._limit = milvus_wait() if limit is None else limit
        self._lock = threading.Lock()
        self._waiting = 0
        self._milvus = ws.milvus()

    @property
    def milvus(self) -> Milvus:
        """The connection as it is now; after an outage of the embedded server it is a new one."""
        return self._milvus

    def stopping(self) -> bool:
        """Tell whether somebody asked to stop."""
        return self._should_stop()

    def check(self) -> None:
        """Raise ``Interrupted`` when somebody asked to stop."""
        if self._should_stop():
            raise Interrupted("Stopped; what was finished is kept", "Start again to continue")

    def call(self, work: Callable[[Milvus], _T]) -> _T:
        """Answer ``work(milvus)``, however long that takes within the limit.

        Raises:
            EngineUnreachable: Milvus stayed away for longer than the limit.
            Interrupted: somebody asked to stop while waiting.
        """
        try:
            return work(self._milvus)
        except AuthenticationFailed:
            raise
        except EngineUnreachable as error:
            return self._wait(work, error)

    def _wait(self, work: Callable[[Milvus], _T], error: EngineUnreachable) -> _T:
        began = seen = time.monotonic()
        self._count(1)
        try:
            while True:
                now = time.monotonic()
                # A server that answers and is not ready yet may take longer than one that is gone.
                if now - seen > self._limit or now - began > _MOST * self._limit:
                    raise EngineUnreachable(
                        f"{error.what}; waited {now - began:.0f} s for it",
                        "What was stored is kept: see to Milvus, then start again to continue",
                    ) from error
                self._tell(Notice(f"Waiting for Milvus, {now - began:.0f} s: {error.what}"))
                self._sleep()
                try:
                    # The workspace brings an embedded server back, maybe on another port.
                    milvus = self._ws.milvus()
                    milvus.ping(_PING)
                    seen = time.monotonic()
                    self._milvus = milvus
                    return work(milvus)
                except AuthenticationFailed:
                    raise
                except EngineUnreachable as again:
                    error = again
        finally:
            self._count(-1)

    def _sleep(self) -> None:
        until = time.monotonic() + _PAUSE
        while time.monotonic() < until:
            self.check()
            time.sleep(0.1)

    def _count(self, change: int) -> None:
        with self._lock:
            self._waiting += change
            if change < 0 and not self._waiting:
                self._tell(Notice(""))


_T = TypeVar("_T")

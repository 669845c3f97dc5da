"""The processes that paint, shared by all widgets of an app and started when they are first needed."""

from __future__ import annotations

import logging
from contextlib import suppress
from threading import BoundedSemaphore, Lock
from typing import TYPE_CHECKING

from tui.core.services.processors import processors
from tui.widgets.painting import Answer, Order, Unpainted, paint
from tui.widgets.protocols import cell_pixels

if TYPE_CHECKING:
    from tui.core.services.child import Child

_log = logging.getLogger(__name__)
_MOST = 4
_PROGRAM = "tui.widgets.painting"


class PaintingPool:
    """Paints in processes; what it is asked while all are busy waits.

    Args:
        most: how many there are at most; None takes what the machine has processors for.
    """

    def __init__(self, most: int | None = None) -> None:
        self.most = most or min(max(processors(), 2), _MOST)
        self._room = BoundedSemaphore(self.most)
        self._lock = Lock()
        self._free: list[Child] = []
        self._busy: set[Child] = set()
        self._closed = False

    def paint(self, order: Order) -> Answer:
        """As ``painting.paint``, in a process. Blocks until it is done; for threads."""
        from tui.core.services.child import ChildGone

        with self._room:
            for _attempt in range(2):  # a process may have died earlier, of something else
                try:
                    child = self._take()
                except OSError:  # no process to be had: slower is better than nothing to see
                    _log.exception("starting a process that paints")
                    return paint(order)
                if child is None:
                    return Unpainted("")
                try:
                    painted: Answer = child.ask(order)
                except ChildGone:
                    self._lose(child)
                else:
                    self._give_back(child)
                    return painted
        return Unpainted("the decoder crashed on this file")

    def warm(self) -> None:
        """Have one process ready before the first picture is wanted."""
        with self._room, suppress(OSError):
            if (child := self._take()) is not None:
                self._give_back(child)

    def close(self) -> None:
        """End every process, also one that hangs in a file; whoever waits for one gets no picture."""
        with self._lock:
            self._closed = True
            free, busy, self._free = self._free, self._busy, []
            for child in busy:
                child.kill()  # whoever asked it ends it
        for child in free:
            child.close()

    def _take(self) -> Child | None:
        """A free process, or a new one; None after the end."""
        from tui.core.services.child import Child

        with self._lock:
            if self._closed:
                return None
            # Several may have been killed at once, for want of memory.
            for dead in [one for one in self._free if not one.alive]:
                self._free.remove(dead)
                dead.close()
            child = self._free.pop() if self._free else Child(_PROGRAM, environment=_terminal())
            self._busy.add(child)
            return child

    def _give_back(self, child: Child) -> None:
        with self._lock:
            self._busy.remove(child)
            if not self._closed:
                self._free.append(child)
                return
        child.close()

    def _lose(self, child: Child) -> None:
        with self._lock:
            self._busy.remove(child)
        child.close()


def _terminal() -> dict[str, str]:
    """What a process without a terminal is told of ours: the size of a cell in pixels, for textual-image."""
    size = cell_pixels()
    return {} if size is None else {"TEXTUAL_CELL_WIDTH": str(size[0]), "TEXTUAL_CELL_HEIGHT": str(size[1])}

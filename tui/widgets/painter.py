"""Has pictures drawn and keeps what was drawn, for a widget that shows many."""

from __future__ import annotations

import logging
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import TYPE_CHECKING

from tui.widgets.drawing import Drawing, Look, draw, words
from tui.widgets.painting import Subject

if TYPE_CHECKING:
    from rich.console import Console

    from tui.preferences import ImageProtocol
    from tui.widgets.painting_pool import PaintingPool

_log = logging.getLogger(__name__)
Size = tuple[int, int]


class Painter:
    """Pictures by subject and size; what is wished for last is drawn first, what nobody wants any more never.

    Args:
        console: the app's console.
        drawn: called in a thread after each new picture.
        capacity: drawings kept; must exceed what is visible at once.
        painting: the app's processes that paint.
    """

    def __init__(
        self, console: Console, drawn: Callable[[], None], capacity: int, painting: PaintingPool
    ) -> None:
        self._console = console
        self._painting = painting
        self._drawn = drawn
        self._capacity = capacity
        self._done: OrderedDict[tuple[Subject, Size], Drawing] = OrderedDict()
        self._wanted: deque[tuple[Subject, Size]] = deque()
        self._busy: set[tuple[Subject, Size]] = set()
        self._lock = Lock()
        self._version = 0
        self._protocol: ImageProtocol = "auto"
        self._look = Look()
        # Each waits for a process.
        self._pool = ThreadPoolExecutor(painting.most, thread_name_prefix="painter")

    def set_style(self, protocol: ImageProtocol, look: Look) -> bool:
        """Draw this way from now on; tells whether it is another way, so that all was forgotten."""
        if (protocol, look) == (self._protocol, self._look):
            return False
        self._protocol, self._look = protocol, look
        self.clear()
        return True

    def set_capacity(self, capacity: int) -> None:
        """Keep so many drawings."""
        self._capacity = capacity

    def get(self, subject: Subject, size: Size) -> Drawing | None:
        """The drawing, if it is there."""
        with self._lock:
            drawing = self._done.get((subject, size))
            if drawing is not None:
                self._done.move_to_end((subject, size))
            return drawing

    def want(self, subjects: Sequence[Subject], size: Size) -> None:
        """Draw these, the first ones first, instead of whatever was waiting."""
        keys = list(dict.fromkeys((subject, size) for subject in subjects))
        with self._lock:
            for key in reversed(keys):
                if key in self._done:
                    # Or what is drawn next would take the place of one that is wanted with it.
                    self._done.move_to_end(key)
            self._wanted = deque(key for key in keys if key not in self._done and key not in self._busy)
            missing = min(len(self._wanted), self._painting.most)
        for _ in range(missing):
            self._pool.submit(self._work, self._version)

    def warm(self) -> None:
        """Be ready for what will be wanted."""
        self._pool.submit(self._painting.warm)

    def clear(self) -> None:
        """Forget every drawing."""
        with self._lock:
            gone = list(self._done.values())
            self._done.clear()
            self._wanted.clear()
            self._busy.clear()
            self._version += 1
        _release(gone)

    def close(self) -> None:
        """Stop drawing and free what the terminal holds."""
        self.clear()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _work(self, version: int) -> None:
        while True:
            with self._lock:
                if version != self._version or not self._wanted:
                    return
                key = self._wanted.popleft()
                self._busy.add(key)
                protocol, look = self._protocol, self._look
            try:
                drawing = draw(*key, protocol, look, self._console, self._painting.paint)
            except Exception as error:
                _log.exception("drawing %s", key[0].path)
                drawing = words(f"cannot be drawn ({type(error).__name__})", key[1], look, wrong=True)
            self._keep(key, drawing, version)

    def _keep(self, key: tuple[Subject, Size], drawing: Drawing, version: int) -> None:
        with self._lock:
            stale = version != self._version
            gone = [drawing] if stale else []
            if not stale:
                self._busy.discard(key)
                self._done[key] = drawing
                while len(self._done) > self._capacity:
                    gone.append(self._done.popitem(last=False)[1])
        _release(gone)
        if not stale:
            self._drawn()


def _release(drawings: Sequence[Drawing]) -> None:
    for drawing in drawings:
        if drawing.release is not None:
            drawing.release()

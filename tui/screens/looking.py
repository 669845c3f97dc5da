"""What the large picture shows besides the picture: the sample's fields and labels, read when one stays."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING

from textual import on
from textual.message import Message
from textual.timer import Timer

from tui.screens.base import BaseScreen, core_call
from tui.screens.search_messages import DetailRead

if TYPE_CHECKING:
    from tui.core.documents.labels import SampleDetail

# A held key passes pictures faster than this; only where it stops is anything read.
_STAYED = 0.12
_HELD = 0.08
_KEPT = 100
READING_LABELS = "reading the labels"


class Looking(BaseScreen):
    """A screen that shows one picture large; subclasses say what changes when more is known of it."""

    def __init__(self) -> None:
        super().__init__()
        self._details: OrderedDict[tuple[str, str], SampleDetail] = OrderedDict()
        self._asked_of: tuple[str, str] | None = None
        self._staying: Timer | None = None
        self._calming: Timer | None = None
        self._moved = 0.0
        self._with_labels = True

    def known_of(self, dataset: str, sample_id: str) -> SampleDetail | None:
        """What is known of a sample; what is not is read soon, unless another is asked about before.

        One that could not be read is not asked for again until another was, or until ``forget_details``.
        """
        if self._staying is not None:
            self._staying.stop()
            self._staying = None
        known = self._details.get((dataset, sample_id))
        if known is None and self._asked_of != (dataset, sample_id):
            self._staying = self.set_timer(_STAYED, lambda: self._read_detail(dataset, sample_id))
        return known

    def _read_detail(self, dataset: str, sample_id: str) -> None:
        self._asked_of = dataset, sample_id
        self._load_detail(dataset, sample_id)

    def when_calm(self, show: Callable[[], None]) -> None:
        """Show something at once, or, under a held key, when it was let go: facts are a table to lay out."""
        now = time.monotonic()
        held, self._moved = now - self._moved < _HELD, now
        if self._calming is not None:
            self._calming.stop()
            self._calming = None
        if held:
            self._calming = self.set_timer(_HELD, show)
        else:
            show()

    def forget_details(self) -> None:
        """Read every sample again."""
        self._details.clear()
        self._asked_of = None

    @core_call(READING_LABELS, bound=True)
    def _load_detail(self, dataset: str, sample_id: str) -> Message | None:
        from tui.core.documents.labels import sample_detail

        return DetailRead(dataset, sample_detail(self.kitescope.workspace, dataset, sample_id))

    @on(DetailRead)
    def _detail_read(self, message: DetailRead) -> None:
        self._details[message.dataset, message.detail.sample_id] = message.detail
        while len(self._details) > _KEPT:
            self._details.popitem(last=False)
        self.detail_arrived()

    def detail_arrived(self) -> None:
        """More is known of a sample."""

    def action_labels(self) -> None:
        """Draw the labels on the large picture, or leave them out."""
        self._with_labels = not self._with_labels
        self.tell(f"Labels are {'drawn on' if self._with_labels else 'left off'} the large picture.")
        self.detail_arrived()

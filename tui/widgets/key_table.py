"""A table of keys: what each does, and its id. One widget makes only those lines that are seen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from rich.text import Text
from textual import events
from textual.geometry import Size
from textual.scroll_view import ScrollView
from textual.strip import Strip

_GAP = 2  # cells between columns
_LEAST = 12  # cells of what a key does, in however narrow a terminal


class KeyRow(NamedTuple):
    """One key as people write it, what it does, and the id that the config file remaps it by."""

    key: str
    does: str
    id: str


class KeyTable(ScrollView, can_focus=False):
    """Three columns; what a key does is wrapped where the line has no room for it."""

    ALLOW_SELECT = False

    def __init__(self, rows: Sequence[KeyRow]) -> None:
        super().__init__()
        self._rows = tuple(rows)
        self._widths = (0, 0, 0)
        self._lines: list[KeyRow] = []

    def show(self, rows: Sequence[KeyRow]) -> None:
        """Other rows, from the first on."""
        self._rows = tuple(rows)
        self._share_out()
        self.scroll_to(y=0, animate=False)

    def on_resize(self, _event: events.Resize) -> None:
        """Other widths wrap elsewhere."""
        self._share_out()

    def _share_out(self) -> None:
        width = self.scrollable_content_region.width
        key = max((cell_len(row.key) for row in self._rows), default=0)
        id = max((cell_len(row.id) for row in self._rows), default=0)
        does = max(width - key - id - 2 * _GAP, _LEAST)
        self._widths = key, does, id
        self._lines = []
        for row in self._rows:
            first, *more = self._wrapped(row.does, does)
            self._lines.append(row._replace(does=first))
            self._lines += [KeyRow("", line, "") for line in more]
        self.virtual_size = Size(width, len(self._lines))
        self.refresh()

    def _wrapped(self, text: str, width: int) -> list[str]:
        if cell_len(text) <= width:
            return [text]
        return [line.plain.rstrip() for line in Text(text).wrap(self.app.console, width)]

    def render_line(self, y: int) -> Strip:
        """One line of what is scrolled to."""
        width, own = self.scrollable_content_region.width, self.rich_style
        at = y + self.scroll_offset.y
        if at >= len(self._lines):
            return Strip.blank(width, own)
        styles = (own + Style(bold=True), own, own + Style(dim=True))
        segments = []
        for text, room, style in zip(self._lines[at], self._widths, styles, strict=True):
            segments.append(Segment(text + " " * (room + _GAP - cell_len(text)), style))
        return Strip(segments).crop_extend(0, width, own)

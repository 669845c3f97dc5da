"""How a grid of thumbnails is shared out and drawn, line by line; how one moves in it is ``grid``'s business.

One widget draws every line itself, in whole rows of cells; a thousand pictures cost no more than those
that are seen.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from rich.style import Style
from textual.geometry import Region, Size
from textual.strip import Strip

from tui.widgets.cells import Line, beside
from tui.widgets.drawing import Sixels
from tui.widgets.painting import Subject
from tui.widgets.pictures import PictureWidget
from tui.widgets.text import plain

# The height of a picture in cells that each zoom level aims at; what is left over is shared out.
ZOOM = (4, 8, 12, 18, 28)
_LEAST_HEIGHT = 4
# Cells of drawings kept in memory: some screens full.
_KEPT_CELLS = 60_000
_KEPT_LINES = 1_000


@dataclass(frozen=True, slots=True)
class Tile:
    """One picture with its caption: the score, if any, and a label."""

    id: str
    subject: Subject
    score: str = ""
    label: str = ""


@dataclass(frozen=True, slots=True)
class Layout:
    """How many cells there are and the size of each picture, frames and captions left out."""

    columns: int
    rows: int
    width: int
    height: int

    @property
    def block(self) -> int:
        """Lines of one row: upper frame, picture, caption."""
        return self.height + 2

    @property
    def visible(self) -> int:
        """Pictures on a screen."""
        return self.columns * self.rows


@lru_cache(16)
def layout(width: int, height: int, zoom: int) -> Layout:
    """Share ``width`` x ``height`` cells out among pictures that look square."""
    lines = max(height - 1, 1)
    most = max(lines // (_LEAST_HEIGHT + 2), 1)
    rows = min(max(round(lines / (ZOOM[zoom] + 2)), 1), most)
    tall = max(lines // rows - 2, 1)
    # The frame's left edge and the scroll bar take a column each.
    room = max(width - 2, 2)
    columns = max(room // (2 * tall + 1), 1)
    wide = max(min(room // columns - 1, 2 * tall + 6), 1)
    return Layout(columns, rows, wide, tall)


class TileView(PictureWidget):
    """Tiles with a cursor and marks, drawn from row ``top`` on."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "grid--caption",
        "grid--score",
        "grid--cursor",
        "grid--frame",
        "grid--mark",
        "grid--bar",
    }

    def __init__(self, *, zoom: int = 1, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self.zoom = min(max(zoom, 0), len(ZOOM) - 1)
        self.tiles: list[Tile | None] = []
        self.marks: frozenset[str] = frozenset()
        self.cursor = 0
        self.top = 0
        # Composed lines by number and by whether the scroll bar is there; rows that lack pictures.
        self._lines: dict[tuple[int, bool], Strip] = {}
        self._incomplete: set[int] = set()
        self._styles_of: dict[str, Style] = {}

    @property
    def current(self) -> Tile | None:
        """The tile under the cursor, when it is known."""
        return self.tiles[self.cursor] if self.cursor < len(self.tiles) else None

    @property
    def layout_now(self) -> Layout:
        """How the place is shared out at this size and zoom."""
        return layout(*self.size, self.zoom)

    def subjects(self) -> Sequence[Subject]:
        """What is visible, nearest to the cursor first, then the next screen, so that going on is at once."""
        if not self.size.area:
            return ()
        at = self.layout_now
        cursor = self.cursor // at.columns
        rows = sorted(
            range(self.top, self.top + 2 * at.rows),
            key=lambda row: (row > self.top + at.rows, abs(row - cursor)),
        )
        near = [tile for row in rows for tile in self.tiles[row * at.columns : (row + 1) * at.columns]]
        return [tile.subject for tile in near if tile is not None]

    @property
    def picture_size(self) -> tuple[int, int]:
        """Width and height of a picture in cells."""
        at = self.layout_now
        return at.width, at.height

    def draw_again(self) -> None:
        """Draw everything."""
        at = self.layout_now
        self._painter.set_capacity(max(_KEPT_CELLS // (at.width * at.height), 3 * at.visible))
        self._keep_visible()
        self._forget_lines()
        super().draw_again()

    def pictures_arrived(self) -> None:
        """Draw those rows anew that lacked pictures."""
        self._redraw_rows(self._incomplete)

    def _keep_visible(self) -> None:
        at = self.layout_now
        row = self.cursor // at.columns
        last = max(-(-len(self.tiles) // at.columns) - at.rows, 0)
        self.top = min(max(min(self.top, row), row - at.rows + 1), last)

    def _forget_rows(self, rows: set[int]) -> None:
        """Compose these rows again when they are next seen."""
        block = self.layout_now.block
        for row in rows:
            for line in range(row * block, (row + 1) * block + 1):
                self._lines.pop((line, False), None)
                self._lines.pop((line, True), None)

    def _redraw_rows(self, rows: set[int]) -> None:
        """Compose these rows again and paint those that are seen."""
        at = self.layout_now
        touched = set(rows)
        self._forget_rows(touched)
        self._incomplete -= touched
        for row in touched:
            if self.top <= row <= self.top + at.rows:
                self.refresh(Region(0, (row - self.top) * at.block, self.size.width, at.block + 1))

    def _forget_lines(self) -> None:
        self._lines.clear()
        self._incomplete.clear()

    # Lines

    def notify_style_update(self) -> None:
        """Colours changed with the theme."""
        super().notify_style_update()
        self._styles_of.clear()
        self._forget_lines()

    def _style(self, name: str) -> Style:
        if name not in self._styles_of:
            self._styles_of[name] = (
                self.get_component_rich_style(f"grid--{name}") if name else self.rich_style
            )
        return self._styles_of[name]

    def render_line(self, y: int) -> Strip:
        """One line of the widget: of a row's frame, pictures or captions, with the scroll bar at its end."""
        return self._line_at(y, self.size, self.layout_now)

    def own_lines(self, lines: range) -> list[Strip]:
        """Some lines; Textual works its size out anew whenever it is asked, so it is asked once."""
        size, at = self.size, self.layout_now
        return [self._line_at(y, size, at) for y in lines]

    def _line_at(self, y: int, size: Size, at: Layout) -> Strip:
        line = self.top * at.block + y
        # Lines that are left over show the upper part of the row that follows.
        if line > -(-len(self.tiles) // at.columns) * at.block or (
            y > at.rows * at.block and self.protocol == "sixel"
        ):
            return Strip.blank(size.width, self._style(""))
        key = line, self._has_bar(at, y, size.height)
        if key not in self._lines:
            if len(self._lines) > _KEPT_LINES:
                self._lines.clear()
            row, inside = divmod(line, at.block)
            composed = self._row_lines(at, row) if inside else [self._frame_line(at, row)]
            # The lines of a row are wanted together, and they share what has to be looked up.
            for number, each in enumerate(composed, line if not inside else row * at.block + 1):
                bar = self._has_bar(at, number - self.top * at.block, size.height)
                self._lines[number, bar] = self._with_bar(each, size.width, bar)
        return self._lines[key]

    def _with_bar(self, line: Strip, width: int, bar: bool) -> Strip:
        blank = Strip.blank(max(width - line.cell_length - 1, 0), self._style(""))
        end = Segment("▐", self._style("bar")) if bar else Segment(" ", self._style(""))
        return beside([line, blank, _strip(end, 1)])

    def _row_lines(self, at: Layout, row: int) -> list[Strip]:
        """A row of pictures and their captions, without the frame above."""
        cells: list[Sequence[Strip]] = []
        for column in range(at.columns):
            cells += [[self._edge(at, row, column)] * (at.height + 1)]
            cells += [self._cell_lines(at, row * at.columns + column)]
        cells += [[self._edge(at, row, at.columns)] * (at.height + 1)]
        return [beside(parts) for parts in zip(*cells, strict=True)]

    def _frame_line(self, at: Layout, row: int) -> Strip:
        """The line above a row, which is also the one below the row before."""
        width = at.columns * (at.width + 1) + 1
        cursor_row, column = divmod(self.cursor, at.columns)
        if row not in (cursor_row, cursor_row + 1):
            return Strip.blank(width, self._style(""))
        before = column * (at.width + 1)
        left, middle, right = "▗▄▖" if row == cursor_row else "▝▀▘"
        edge = Segment(left + middle * at.width + right, self._style("frame"))
        blank = Strip.blank(before, self._style(""))
        after = Strip.blank(width - before - at.width - 2, self._style(""))
        return Strip.join([blank, Strip([edge], at.width + 2), after])

    def _edge(self, at: Layout, row: int, column: int) -> Strip:
        """The column left of a cell, which is also the one right of the cell before."""
        cursor_row, cursor_column = divmod(self.cursor, at.columns)
        text = " "
        if row == cursor_row and column in (cursor_column, cursor_column + 1):
            text = "▐" if column == cursor_column else "▌"
        return _strip(Segment(text, self._style("frame")), 1)

    def _cell_lines(self, at: Layout, index: int) -> list[Strip]:
        """A picture and its caption."""
        blank = Strip.blank(at.width, self._style(""))
        tile = self.tiles[index] if index < len(self.tiles) else None
        if tile is None:
            lines = [blank] * (at.height + 1)
            if index < len(self.tiles):
                lines[at.height // 2] = Line(
                    [Segment("·".center(at.width), self._style("caption"))], at.width
                )
            return lines
        drawing = self._painter.get(tile.subject, (at.width, at.height))
        if drawing is None:
            self._incomplete.add(index // at.columns)
        lines = list(drawing.lines) if drawing else [blank] * at.height
        return [*lines, self._caption(at, tile, index)]

    def _caption(self, at: Layout, tile: Tile, index: int) -> Strip:
        """Mark, score and label, as far as there is room."""
        here = index == self.cursor
        mark = "●" if tile.id in self.marks else ""
        segments: list[Segment] = []
        used = 0
        for text, name in ((mark, "mark"), (tile.score, "score"), (plain(tile.label), "caption")):
            gap = " " if segments else ""
            shown = _cut(text, at.width - used - len(gap))
            if shown:
                segments.append(Segment(gap + shown, self._style("cursor" if here else name)))
                used += len(gap) + cell_len(shown)
        segments.append(Segment(" " * (at.width - used), self._style("cursor" if here else "")))
        return Line(segments, at.width)

    def _has_bar(self, at: Layout, y: int, height: int) -> bool:
        """Whether the scroll bar is on this line; there is none when all fits on a screen."""
        rows = -(-len(self.tiles) // at.columns)
        if rows <= at.rows:
            return False
        length = max(height * at.rows // rows, 1)
        start = round((height - length) * self.top / max(rows - at.rows, 1))
        return start <= y < start + length

    def sixels(self, lines: range) -> Iterable[tuple[int, int, Sixels]]:
        """Every picture of the rows that are touched."""
        at = self.layout_now
        for row in range(lines.start // at.block, min((lines.stop - 1) // at.block + 1, at.rows)):
            for column in range(at.columns):
                index = (self.top + row) * at.columns + column
                tile = self.tiles[index] if index < len(self.tiles) else None
                drawing = self.drawing(tile.subject) if tile else None
                if drawing and drawing.sixels:
                    yield 1 + column * (at.width + 1), row * at.block + 1, drawing.sixels


@lru_cache(64)
def _strip(segment: Segment, width: int) -> Strip:
    """A strip of one segment, the same one each time, as it remembers its codes."""
    return Strip([segment], width)


def _cut(text: str, room: int) -> str:
    """Text that fits into some cells, with an ellipsis where it was cut; empty when that says nothing."""
    if cell_len(text) <= room:
        return text
    return set_cell_size(text, room - 1) + "…" if room > 1 else ""

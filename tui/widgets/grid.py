"""A grid of thumbnails that fills its place, however many there are.

Tiles may be unknown yet: the grid then asks for the part that is looked at.
"""

from __future__ import annotations

from collections.abc import Sequence

from textual import events
from textual.message import Message

from tui.widgets.grid_view import ZOOM, Layout, Tile, TileView, layout

__all__ = ["ZOOM", "Layout", "PictureGrid", "Tile", "layout"]


class PictureGrid(TileView, can_focus=True):
    """Thumbnails that one walks through, marks and zooms."""

    WARM = True

    class Moved(Message):
        """The cursor stands on another tile, or the tile under it became known."""

        def __init__(self, index: int) -> None:
            self.index = index
            super().__init__()

    class Opened(Message):
        """A tile was double-clicked."""

    class MarksChanged(Message):
        """Tiles were marked or unmarked."""

    class Needed(Message):
        """These tiles are looked at and not known yet."""

        def __init__(self, first: int, end: int) -> None:
            self.first = first
            self.end = end
            super().__init__()

    class EndReached(Message):
        """The cursor is a screen away from the end, or nearer."""

    # What is shown

    def show(self, tiles: Sequence[Tile | None], *, cursor: int = 0) -> None:
        """Show other tiles; marks stay, so that one can collect them over several searches."""
        self.tiles = list(tiles)
        self.top = 0
        self._place(cursor)
        self.draw_again()

    def put(self, start: int, tiles: Sequence[Tile]) -> None:
        """Fill in tiles that were unknown, or add more at the end."""
        end = start + len(tiles)
        self.tiles.extend([None] * (end - len(self.tiles)))
        self.tiles[start:end] = tiles
        self._keep_visible()
        at = self.layout_now
        filled = range(start // at.columns, -(-end // at.columns))
        # A thousand more results are no reason to draw anew what is seen already.
        self._forget_rows({row for row in (line // at.block for line, _ in self._lines) if row in filled})
        self._painter.want(self.subjects(), self.picture_size)
        self._ask()
        self.refresh()
        if start <= self.cursor < end:
            self.post_message(self.Moved(self.cursor))

    def cut(self, length: int) -> None:
        """Forget the tiles past the first so many."""
        if length < len(self.tiles):
            del self.tiles[length:]
            self._place(self.cursor)
            self.draw_again()

    def around(self) -> dict[int, Tile]:
        """The known tiles less than two screens away from the cursor, each with its place."""
        far = 2 * self.layout_now.visible
        places = range(max(self.cursor - far, 0), min(self.cursor + far, len(self.tiles)))
        return {place: tile for place in places if (tile := self.tiles[place]) is not None}

    def chosen(self) -> tuple[str, ...]:
        """Ids of the marked tiles, or else of the one under the cursor."""
        if self.marks:
            return tuple(sorted(self.marks))
        return (self.current.id,) if self.current else ()

    def draw_again(self) -> None:
        """Draw everything, and ask for what is missing."""
        super().draw_again()
        self._ask()

    def _ask(self) -> None:
        """Ask for unknown tiles on this screen and the next."""
        at = self.layout_now
        start = self.top * at.columns
        stop = min(start + 2 * at.visible, len(self.tiles))
        missing = [i for i in range(start, stop) if self.tiles[i] is None]
        if missing:
            self.post_message(self.Needed(missing[0], missing[-1] + 1))

    # Where the cursor is

    def _place(self, index: int) -> None:
        self.cursor = min(max(index, 0), max(len(self.tiles) - 1, 0))
        self._keep_visible()
        self.post_message(self.Moved(self.cursor))

    def go_to(self, index: int) -> None:
        """Put the cursor on a tile and scroll as far as needed."""
        if not self.tiles:
            return
        before, wide = (self.cursor, self.top), self.layout_now.columns
        self._place(index)
        if self.top != before[1]:
            self._forget_rows({before[0] // wide, self.cursor // wide})
            self._ask()
            self._painter.want(self.subjects(), self.picture_size)
            self.refresh()
        elif self.cursor != before[0]:
            self._redraw_rows({before[0] // wide, self.cursor // wide})
        if self.cursor + self.layout_now.visible >= len(self.tiles):
            self.post_message(self.EndReached())

    def move(self, columns: int, rows: int) -> None:
        """Move the cursor; past the end of a row it goes on in the next."""
        step = columns + rows * self.layout_now.columns
        target = self.cursor + step
        if rows and not 0 <= target < len(self.tiles):
            wide = self.layout_now.columns
            in_last_row = self.cursor // wide == (len(self.tiles) - 1) // wide
            target = len(self.tiles) - 1 if rows > 0 and not in_last_row else self.cursor
        self.go_to(target)

    def page(self, pages: int) -> None:
        """Move by a screen."""
        at = self.layout_now
        wanted = self.cursor + pages * at.visible
        if not 0 <= wanted < len(self.tiles):
            wanted = len(self.tiles) - 1 if pages > 0 else self.cursor % at.columns
        self.go_to(wanted)

    def set_zoom(self, by: int) -> bool:
        """Show larger or smaller pictures; tells whether there was another size to show."""
        before = self.layout_now
        for zoom in range(self.zoom + by, len(ZOOM) if by > 0 else -1, by):
            if layout(*self.size, zoom) != before:
                self.zoom = zoom
                self.draw_again()
                return True
        return False

    # Marks

    def mark(self) -> None:
        """Mark or unmark the tile under the cursor and go on to the next."""
        if self.current is None:
            return
        self.set_marks(self.marks ^ {self.current.id})
        self.go_to(self.cursor + 1)

    def mark_all(self) -> None:
        """Mark every tile that is known, or unmark all when they are marked."""
        every = frozenset(tile.id for tile in self.tiles if tile)
        self.set_marks(self.marks - every if every <= self.marks else self.marks | every)

    def set_marks(self, marks: frozenset[str]) -> None:
        """Mark exactly these."""
        if marks != self.marks:
            self.marks = marks
            self._forget_lines()
            self.refresh()
            self.post_message(self.MarksChanged())

    # The mouse

    def _index_at(self, x: int, y: int) -> int | None:
        at = self.layout_now
        column, row = (x - 1) // (at.width + 1), y // at.block
        index = (self.top + row) * at.columns + column
        inside = x >= 1 and column < at.columns and index < len(self.tiles)
        return index if inside else None

    def on_click(self, event: events.Click) -> None:
        """Choose a tile; a double click opens it."""
        index = self._index_at(event.x, event.y)
        if index is not None:
            self.go_to(index)
            if event.chain == 2:
                self.post_message(self.Opened())

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """Down a row."""
        event.stop()
        self.move(0, 1)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """Up a row."""
        event.stop()
        self.move(0, -1)

"""A table whose rows are compared, not cleared and refilled: the cursor, the marks and the scroll stay."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from rich.style import Style
from rich.text import Text
from textual import on
from textual.coordinate import Coordinate
from textual.message import Message
from textual.widgets import DataTable
from textual.widgets.data_table import RowDoesNotExist, RowKey

from tui import keys
from tui.widgets.pick import Pick

_MARK = "mark"
_MANY = 50


@dataclass(frozen=True, slots=True)
class TableColumn:
    """One column: its key, its heading, and its width in cells (None: as wide as its content)."""

    key: str
    label: str
    width: int | None = None


@dataclass(frozen=True, slots=True)
class TableRow:
    """One row: a unique key, a cell and a value to sort by for each column, and the text to filter by."""

    key: str
    cells: tuple[Text, ...]
    values: tuple[Any, ...]
    text: str


class RowTable(DataTable[Text], inherit_bindings=False):
    """Rows with marks, a filter, a sort order and the keys of vi."""

    BINDINGS = [*keys.TABLE]

    class MarksChanged(Message):
        """The user marked or unmarked rows."""

        def __init__(self, marks: frozenset[str]) -> None:
            self.marks = marks
            super().__init__()

    class SortChanged(Message):
        """The user chose another order: ``table`` is the table's id, ``order`` a column, after - reversed."""

        def __init__(self, table: str, order: str) -> None:
            self.table = table
            self.order = order
            super().__init__()

    def __init__(
        self, columns: Sequence[TableColumn], *, id: str | None = None, sort: str = "", reverse: bool = False
    ) -> None:
        super().__init__(id=id, cursor_type="row", zebra_stripes=False, cell_padding=1)
        self._columns = tuple(columns)
        self._all: dict[str, TableRow] = {}
        self._shown: list[str] = []
        self._drawn: dict[str, TableRow] = {}
        self._sort = sort if sort in {column.key for column in columns} else self._columns[0].key
        self._reverse = reverse
        self._needle = ""
        self.marks: frozenset[str] = frozenset()

    def on_mount(self) -> None:
        """Make the columns: the mark first."""
        self.add_column(" ", width=1, key=_MARK)
        for column in self._columns:
            self.add_column(self._heading(column), width=column.width, key=column.key)
        self._fill()

    def _heading(self, column: TableColumn) -> str:
        arrow = (" ↓" if self._reverse else " ↑") if column.key == self._sort else ""
        return column.label + arrow

    # What is shown

    def show(self, rows: Sequence[TableRow]) -> None:
        """Show these rows; those that are there already keep their place, mark and cursor."""
        self._all = {row.key: row for row in rows}
        kept = self.marks & self._all.keys()
        if kept != self.marks:
            self.marks = frozenset(kept)
            self.post_message(self.MarksChanged(self.marks))
        self._fill()

    def filter(self, needle: str) -> None:
        """Show only rows that hold every word of ``needle``, in any case."""
        if needle != self._needle:
            self._needle = needle
            self._fill()

    @property
    def shown(self) -> tuple[str, ...]:
        """Keys of the rows that the filter lets through, as they stand."""
        return tuple(self._shown)

    @property
    def total(self) -> int:
        """Rows in all, filtered or not."""
        return len(self._all)

    def _wanted(self) -> list[TableRow]:
        words = self._needle.casefold().split()
        rows = [row for row in self._all.values() if all(word in row.text.casefold() for word in words)]
        index = next(i for i, column in enumerate(self._columns) if column.key == self._sort)
        known = [row for row in rows if row.values[index] is not None]
        unknown = [row for row in rows if row.values[index] is None]
        return sorted(known, key=lambda row: row.values[index], reverse=self._reverse) + unknown

    def _fill(self) -> None:
        if not self.columns:
            return
        wanted = self._wanted()
        current = self.current_key
        place = {row.key: position for position, row in enumerate(wanted)}
        gone = [key for key in self._shown if key not in place]
        if len(gone) > _MANY:
            # Each removal moves every row behind it.
            self.clear()
            self._shown, gone = [], []
        for key in gone:
            self.remove_row(key)
        order = [key for key in self._shown if key in place]
        present = set(order)
        for row in wanted:
            if row.key not in present:
                self.add_row(self._mark_cell(row.key), *row.cells, key=row.key)
                order.append(row.key)
            elif self._drawn.get(row.key) is not row:
                self._update(row)
        self._shown = [row.key for row in wanted]
        self._drawn = {row.key: row for row in wanted}
        if order != self._shown:
            self._place_rows(place)
        if current in place:
            self.go_to(current)
        elif (now := self.current_key) != current:
            # The cursor did not move, so DataTable tells nobody that another row, or none, is under it.
            self.post_message(self.RowHighlighted(self, self.cursor_row, RowKey(now)))

    def _place_rows(self, place: dict[str, int]) -> None:
        # DataTable sorts by what cells hold, and asks for each row's key once, in the order of its rows.
        positions = iter([place[str(key.value)] for key in self.rows])
        self.sort(_MARK, key=lambda _cell: next(positions))

    def _update(self, row: TableRow) -> None:
        _, *before = self.get_row(row.key)
        for column, old, new in zip(self._columns, before, row.cells, strict=True):
            if old != new:
                # To find a width anew, DataTable measures the whole column.
                self.update_cell(row.key, column.key, new, update_width=column.width is None)

    def _mark_cell(self, key: str) -> Text:
        return Text("●" if key in self.marks else " ", style="bold")

    def _render_cell(
        self,
        row_index: int,
        column_index: int,
        base_style: Style,
        width: int,
        cursor: bool = False,
        hover: bool = False,
    ) -> list[list[Segment]]:
        """Draw a plain text without Rich's console, which takes ten times as long for the same segments.

        DataTable draws every visible cell again when one of them changes.
        """
        ours = row_index >= 0 and column_index >= 0
        cell = self._get_row_renderables(row_index).cells[column_index] if ours else None
        if not isinstance(cell, Text) or cell.spans or "\n" in cell.plain:
            return super()._render_cell(row_index, column_index, base_style, width, cursor, hover)
        component, after = self._get_styles_to_render_cell(
            False,
            False,
            False,
            hover,
            cursor,
            self.show_cursor,
            self._show_hover_cursor,
            self.cursor_foreground_priority == "css",
            self.cursor_background_priority == "css",
        )
        before = base_style + Style.from_meta({"row": row_index, "column": column_index}) + component
        blank = before + after
        style = before + self.app.console.get_style(cell.style, default="") + after
        return [_segments(cell, width, self.cell_padding, style, blank)]

    # Where the cursor is

    @property
    def current_key(self) -> str | None:
        """The key of the row under the cursor."""
        if not self._shown or not self.is_valid_row_index(self.cursor_row):
            return None
        return str(self.coordinate_to_cell_key(Coordinate(self.cursor_row, 0)).row_key.value)

    def go_to(self, key: str) -> None:
        """Put the cursor on a row, where it is shown."""
        try:
            self.move_cursor(row=self.get_row_index(key), animate=False)
        except RowDoesNotExist:
            return

    def chosen(self) -> tuple[str, ...]:
        """The marked rows, or else the one under the cursor."""
        if self.marks:
            return tuple(key for key in self._all if key in self.marks)
        return (self.current_key,) if self.current_key else ()

    def step(self, by: int) -> None:
        """Move the cursor, around the ends."""
        if self._shown:
            self.move_cursor(row=(self.cursor_row + by) % len(self._shown), animate=False)

    # Keys

    def action_mark(self) -> None:
        """Mark or unmark the row under the cursor, and go on to the next."""
        if (key := self.current_key) is None:
            return
        self._set_marks(self.marks ^ {key})
        self.action_cursor_down()

    def action_mark_all(self) -> None:
        """Mark every row the filter shows, or unmark them when all are marked."""
        shown = frozenset(self._shown)
        self._set_marks(self.marks - shown if shown <= self.marks else self.marks | shown)

    def clear_marks(self) -> None:
        """Unmark all."""
        self._set_marks(frozenset())

    def _set_marks(self, marks: frozenset[str]) -> None:
        changed, self.marks = self.marks ^ marks, marks
        for key in changed & set(self._shown):
            self.update_cell(key, _MARK, self._mark_cell(key))
        self.post_message(self.MarksChanged(marks))

    @property
    def sortable(self) -> tuple[TableColumn, ...]:
        """The columns to sort by."""
        return self._columns

    def action_sort(self) -> None:
        """Sort by this column the other way round, then by the next column."""
        names = [column.key for column in self.sortable]
        following = names[(names.index(self._sort) + 1) % len(names)] if self._reverse else self._sort
        self.sort_by(following, not self._reverse)

    def action_sort_by(self) -> None:
        """Ask by which column to sort, and which way."""
        arrows = (("", "↑"), ("-", "↓"))
        options = [(f"{sign}{c.key}", f"{c.label} {arrow}") for c in self.sortable for sign, arrow in arrows]
        self.app.push_screen(
            Pick("Sort by", options, ("-" if self._reverse else "") + self._sort), self._chosen
        )

    def _chosen(self, order: str | None) -> None:
        if order is not None:
            self.sort_by(order.removeprefix("-"), order.startswith("-"))

    @on(DataTable.HeaderSelected)
    def _sort_by_heading(self, event: DataTable.HeaderSelected) -> None:
        key = str(event.column_key.value)
        if key != _MARK:
            self.sort_by(key, key == self._sort and not self._reverse)

    def sort_by(self, key: str, reverse: bool) -> None:
        """Sort by a column; the cursor stays on its row."""
        self._sort, self._reverse = key, reverse
        self.post_message(self.SortChanged(self.id or "", ("-" if reverse else "") + key))
        self.sort_changed()

    def sort_changed(self) -> None:
        """Show the rows in their new order, and the arrow where it belongs."""
        for column in self._columns:
            self.columns[next(k for k in self.columns if k == column.key)].label = Text(self._heading(column))
        self._fill()
        self.refresh()


def _segments(cell: Text, width: int, padding: int, style: Style, blank: Style) -> list[Segment]:
    """One line of text, ``width`` cells wide with ``padding`` on both sides, cut with an ellipsis."""
    room = max(0, width - 2 * padding)
    text = cell.plain
    spare = room - cell_len(text)
    if spare < 0:
        text = set_cell_size(text, room - 1) + "…" if room else ""
        spare = 0
    if cell.justify == "right":
        # As Rich has it, what stands before the text looks like the text.
        text, spare = " " * spare + text, 0
    parts = ((" " * padding, blank), (text, style), (" " * (padding + spare), blank))
    return [Segment(part, how) for part, how in parts if part]

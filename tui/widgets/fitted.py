"""A table that always fits its width: the least important columns go first, the flexible ones shrink."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import cast

from textual import events
from textual.widgets.data_table import RowKey

from tui.widgets.table import RowTable, TableColumn, TableRow

_PADDING = 2
_MARK_AND_SCROLLBAR = 1 + _PADDING + 1
_ARROW = 2
_TIGHTEST = 8


@dataclass(frozen=True, slots=True)
class FitColumn(TableColumn):
    """A column as wide as its content where there is room.

    ``least``: how narrow it may become, cut with an ellipsis; 0: never narrower than its content.
    ``drop``: the higher, the sooner it goes when there is no room; 0: it stays.
    ``right``: its heading stands above right-aligned figures.
    """

    least: int = 0
    drop: int = 0
    right: bool = False


def fit(
    columns: Sequence[FitColumn],
    wide: Mapping[str, int],
    room: int,
    keep: str = "",
    blank: frozenset[str] = frozenset(),
) -> dict[str, int]:
    """The columns that fit into ``room`` cells and the width of each.

    Args:
        wide: how wide each column's content is.
        keep: a column that must not go, as the rows are sorted by it.
        blank: columns that say nothing, which go first.
    """
    kept = list(columns)

    def narrow(column: FitColumn) -> int:
        return min(column.least or wide[column.key], wide[column.key])

    while sum(narrow(column) + _PADDING for column in kept) > room:
        may_go = [column for column in kept if column.drop and column.key != keep]
        goes = max(may_go, key=lambda column: (column.key in blank, column.drop), default=None)
        if goes is None:
            break
        kept.remove(goes)
    widths = {column.key: wide[column.key] for column in kept}
    _shrink(widths, {column.key: narrow(column) for column in kept}, room)
    # With nothing left to drop, a name that is hard to read is better than a column out of sight.
    _shrink(widths, {column.key: _TIGHTEST for column in kept if column.least}, room)
    return widths


def _shrink(widths: dict[str, int], least: Mapping[str, int], room: int) -> None:
    """Take from the widest column that may shrink, one cell at a time."""
    while sum(widths.values()) + _PADDING * len(widths) > room:
        flexible = [key for key in least if widths[key] > least[key]]
        if not flexible:
            return
        widths[max(flexible, key=lambda key: widths[key])] -= 1


class FittedTable(RowTable):
    """Rows whose columns are chosen by the room there is; cells and values are given for every column."""

    def __init__(
        self, columns: Sequence[FitColumn], *, id: str | None = None, sort: str = "", reverse: bool = False
    ) -> None:
        super().__init__(columns, id=id, sort=sort, reverse=reverse)
        self._every = tuple(columns)
        self._rows: tuple[TableRow, ...] = ()
        self._hidden: frozenset[str] = frozenset()
        self._content: dict[str, int] = {}
        self._measured: dict[str, TableRow] = {}
        self._narrowed: dict[str, tuple[TableRow, TableRow]] = {}

    def on_resize(self, event: events.Resize) -> None:
        """Choose the columns again for the new width."""
        self._content, self._measured = {}, {}
        self._measure()
        self._fit()

    def show(self, rows: Sequence[TableRow]) -> None:
        """Show these rows, each with a cell for every column, shown or not."""
        self._rows = tuple(rows)
        self._measure()
        self._fit()
        super().show(self._projected())

    @property
    def sortable(self) -> tuple[TableColumn, ...]:
        """Every column that is not left out on purpose: one without room comes when rows are sorted by it."""
        return tuple(column for column in self._every if column.key not in self._hidden)

    def sort_changed(self) -> None:
        """The column that sorts is shown, in the place of another if need be."""
        self._fit()
        super().sort_changed()

    def hide(self, *keys: str) -> None:
        """Leave these columns out, however much room there is."""
        if self._hidden != frozenset(keys):
            self._hidden = frozenset(keys)
            self._fit()

    def _heading(self, column: TableColumn) -> str:
        heading = super()._heading(column)
        right = isinstance(column, FitColumn) and column.right
        return heading.rjust(column.width or 0) if right else heading

    def _measure(self) -> None:
        """Columns only ever grow until the next resize, so that live figures do not make them dance."""
        new = [row for row in self._rows if self._measured.get(row.key) is not row]
        for index, column in enumerate(self._every):
            content = max((row.cells[index].cell_len for row in new), default=0)
            least = max(content, len(column.label) + _ARROW)
            self._content[column.key] = max(self._content.get(column.key, 0), least)
        self._measured = {row.key: row for row in self._rows}

    def _update_dimensions(self, new_rows: Iterable[RowKey]) -> None:
        """Widths are given here, so DataTable need not measure every cell of new rows again."""
        super()._update_dimensions(())

    def _fit(self) -> None:
        if not self.columns or not self.size.width or not self._content:
            return
        candidates = [column for column in self._every if column.key not in self._hidden]
        if self._sort in self._hidden:
            self._sort, self._reverse = candidates[0].key, False
        blank = frozenset(
            column.key
            for index, column in enumerate(self._every)
            if all(row.cells[index].plain in ("", "–") for row in self._rows)
        )
        room = self.size.width - _MARK_AND_SCROLLBAR
        widths = fit(candidates, self._content, room, self._sort, blank)
        fitted = tuple(
            replace(column, width=widths[column.key]) for column in candidates if column.key in widths
        )
        if fitted != self._columns:
            self._rebuild(fitted)

    def _rebuild(self, columns: tuple[FitColumn, ...]) -> None:
        current, scrolled = self.current_key, self.scroll_y
        self.clear(columns=True)
        self._columns = columns
        self._shown, self._narrowed = [], {}
        self.add_column(" ", width=1, key="mark")
        for column in columns:
            self.add_column(self._heading(column), width=column.width, key=column.key)
        super().show(self._projected())
        if current is not None:
            self.go_to(current)
            self.scroll_to(y=scrolled, animate=False)

    def _projected(self) -> list[TableRow]:
        every = [column.key for column in self._every]
        kept = [every.index(column.key) for column in self._columns]
        if len(kept) == len(every):
            return list(self._rows)
        before, self._narrowed = self._narrowed, {}
        for row in self._rows:
            known = before.get(row.key)
            # The same row stays the same object, so that the table knows that it need not be drawn again.
            same = known is not None and known[0] is row and len(known[1].cells) == len(kept)
            self._narrowed[row.key] = known if known is not None and same else (row, _only(row, kept))
        return [narrowed for _, narrowed in self._narrowed.values()]

    @property
    def left_out(self) -> tuple[str, ...]:
        """Labels of the columns for which there is no room."""
        shown = {column.key for column in cast("tuple[FitColumn, ...]", self._columns)}
        return tuple(
            column.label
            for column in self._every
            if column.key not in shown and column.key not in self._hidden
        )


def _only(row: TableRow, kept: Sequence[int]) -> TableRow:
    """The row with some of its columns."""
    cells, values = tuple(row.cells[index] for index in kept), tuple(row.values[index] for index in kept)
    return TableRow(row.key, cells, values, row.text)

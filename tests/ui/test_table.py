"""Tables draw what Textual would draw, and sort by any column, which is remembered."""

from __future__ import annotations

from typing import Any

import pytest
from rich.text import Text
from textual import on
from textual.app import App, ComposeResult
from textual.events import Key
from textual.widgets import DataTable, OptionList

from tests.conftest import settings_for
from tests.engines.servers import MilvusLite, Mongod
from tests.ui.conftest import screen_text, until
from tui.app import Kitescope
from tui.core.documents.run_list import RunInfo
from tui.preferences import Last
from tui.state import RunsLoaded, apply
from tui.widgets.filter import FilterBar
from tui.widgets.fitted import FitColumn, FittedTable
from tui.widgets.pick import Pick
from tui.widgets.run_view import RUN_COLUMNS
from tui.widgets.table import TableRow
from tui.widgets.text import cell


class _Table(App[None]):
    def compose(self) -> ComposeResult:
        yield FittedTable([FitColumn("a", "A", least=4), FitColumn("b", "B")], id="t")


@pytest.mark.parametrize(
    "text",
    [
        cell("plain"),
        cell("far too long for its column, whatever", "bold red"),
        cell("12", "on blue", justify="right"),
        cell("ä 猫 wide 猫猫猫猫猫猫猫猫猫猫猫猫", "underline"),
        cell(""),
        Text("two\nlines"),
        Text.assemble(("part", "red"), "rest"),
    ],
    ids=str,
)
async def test_a_cell_is_drawn_as_textual_draws_it(text: Text):
    app = _Table()
    async with app.run_test(size=(30, 10)) as pilot:
        table = app.query_one(FittedTable)
        table.show([TableRow("x", (text, cell("x")), (1, 1), "x"), TableRow("y", (text, text), (2, 2), "y")])
        await until(pilot, lambda: len(table.shown) == table.row_count == 2)
        for width in (3, 8, 20):
            for cursor in (False, True):
                ours = table._render_cell(0, 1, table.rich_style, width, cursor)
                table._cell_render_cache.clear()
                theirs = DataTable._render_cell(table, 0, 1, table.rich_style, width, cursor)
                table._cell_render_cache.clear()
                assert _drawn(ours) == _drawn(theirs), width


def _drawn(lines: list[list[Any]]) -> list[list[tuple[str, str]]]:
    """Each character of some lines with how it looks: where segments begin and end shows nowhere."""
    return [
        [(char, str(segment.style)) for segment in line for char in segment.text if segment.text]
        for line in lines
    ]


async def test_rows_are_sorted_by_any_column_and_that_is_remembered(mongod: Mongod, milvus_lite: MilvusLite):
    runs = tuple(
        RunInfo("d", key, "similarity", "milvus", metric=metric, collection=f"c{key}", health="ok")
        for key, metric in (("one", "cosine"), ("two", "euclidean"), ("three", "dotproduct"))
    )
    settings = settings_for(mongod, milvus_lite)
    app = Kitescope(settings, last=Last(screen="runs"))
    app.begin = lambda: None  # type: ignore[method-assign]
    async with app.run_test(size=(80, 24)) as pilot:
        app.state = apply(app.state, RunsLoaded(runs))
        table = app.screen.query_one("#runs", FittedTable)
        await until(pilot, lambda: len(table.shown) == 3, 60)
        assert [key.split("\n")[1] for key in table.shown] == ["one", "three", "two"]
        app.screen.set_focus(table)
        await pilot.press("S")
        await until(pilot, lambda: isinstance(app.screen, Pick), 60)
        assert app.screen.query_one(OptionList).option_count == 2 * len(RUN_COLUMNS)
        await pilot.press(*"metric", "down", "enter")
        await until(pilot, lambda: table.shown[0] == "d\ntwo", 60)
        assert [key.split("\n")[1] for key in table.shown] == ["two", "three", "one"]
        await until(pilot, lambda: "Metric ↓" in screen_text(app), 60)
        await pilot.press("s")
        await until(pilot, lambda: app.last.sort == {"runs": "patches"}, 60)
        await pilot.press("s")
        await until(pilot, lambda: app.last.sort == {"runs": "-patches"}, 60)
    again = Kitescope(settings, last=Last(screen="runs", sort={"runs": "-metric", "collections": "gone"}))
    again.begin = lambda: None  # type: ignore[method-assign]
    async with again.run_test(size=(80, 24)) as pilot:
        again.state = apply(again.state, RunsLoaded(runs))
        table = again.screen.query_one("#runs", FittedTable)
        await until(pilot, lambda: len(table.shown) == 3, 60)
        assert table.shown[0] == "d\ntwo"


class _Telling(_Table):
    """Keeps the key of the row that was last said to be under the cursor."""

    told: str | None = None

    @on(DataTable.RowHighlighted)
    def _highlighted(self) -> None:
        self.told = self.query_one(FittedTable).current_key


@pytest.mark.parametrize("at", [0, 1, 5])
async def test_another_row_under_the_cursor_is_told_though_the_cursor_did_not_move(at: int):
    app = _Telling()
    async with app.run_test(size=(30, 10)) as pilot:
        table = app.query_one(FittedTable)
        table.show([TableRow(key, (cell(key), cell("x")), (key, 1), key) for key in "abcdef"])
        table.move_cursor(row=at)
        await until(pilot, lambda: app.told == "abcdef"[at])
        table.filter("c")
        await until(pilot, lambda: app.told == "c")
        table.filter("nothing")
        await until(pilot, lambda: app.told is None)
        table.filter("")
        await until(pilot, lambda: app.told == table.current_key is not None)


async def test_what_is_typed_at_once_behind_the_key_of_the_filter_is_text(
    mongod: Mongod, milvus_lite: MilvusLite
):
    runs = tuple(RunInfo("d", key, "similarity", "milvus", collection=f"c{key}") for key in ("one", "a/di"))
    app = Kitescope(settings_for(mongod, milvus_lite), last=Last(screen="runs"))
    app.begin = lambda: None  # type: ignore[method-assign]
    async with app.run_test(size=(80, 24)) as pilot:
        app.state = apply(app.state, RunsLoaded(runs))
        table = app.screen.query_one("#runs", FittedTable)
        await until(pilot, lambda: len(table.shown) == 2 and table.has_focus)
        for key, character in (("slash", "/"), ("a", "a"), ("slash", "/"), ("d", "d"), ("i", "i")):
            app.post_message(Key(key, character))
        await until(pilot, lambda: app.screen.query_one(FilterBar).value == "a/di")
        await until(pilot, lambda: table.shown == ("d\na/di",))
        assert not table.marks

"""What opening a dialog or a screen costs: what is behind it is dimmed once, styles are parsed once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from textual.app import App, ComposeResult
from textual.color import Color
from textual.command import CommandPalette
from textual.css.stylesheet import Stylesheet
from textual.dom import DOMNode
from textual.geometry import Region
from textual.renderables.background_screen import BackgroundScreen
from textual.screen import Screen
from textual.strip import Strip
from textual.widget import Widget
from textual.widgets import Input, Static

from tests.ui.conftest import ready, screen_text, turns, until
from tests.ui.graphics import half_cells
from tests.ui.test_cells import seen
from tui import keys
from tui.app import Kitescope
from tui.preferences import Preferences
from tui.screens.base import BaseScreen
from tui.screens.help import HelpScreen
from tui.widgets.cells import beside
from tui.widgets.dialog import Dialog
from tui.widgets.dialogs import Ask
from tui.widgets.form import Form, TextField
from tui.widgets.key_table import KeyTable
from tui.widgets.tabs import SCREENS

MakeApp = Callable[..., Kitescope]
_WIDTH, _HEIGHT = 100, 60
_ALL = Region(0, 0, _WIDTH, _HEIGHT)


class Coloured(Widget):
    """Lines of a picture, each the same object whenever it is asked for, as the grid's are."""

    def __init__(self) -> None:
        super().__init__()
        dice = np.random.default_rng(1)
        pixels = dice.integers(0, 255, (2 * _HEIGHT, _WIDTH, 3), np.uint8)
        self.lines = half_cells(pixels, Console(force_terminal=True, color_system="truecolor"))

    def render_lines(self, crop: Region) -> list[Strip]:
        return [self.lines[y].crop(*crop.column_span) for y in crop.line_range]


class Over(App[None]):
    """A picture that fills the screen, and what was painted."""

    CSS = "Dialog { background: black 60%; align: center middle; } Static { width: 20; height: 3; }"

    def __init__(self) -> None:
        super().__init__()
        self.painted: list[tuple[Screen[Any], int]] = []

    def compose(self) -> ComposeResult:
        yield Coloured()

    def post_display_hook(self) -> None:
        if self.screen_stack:
            self.painted.append((self.screen, sum(one.size.area for one in self.screen.query(Static))))


class Told(Dialog[None]):
    def compose(self) -> ComposeResult:
        yield Static("what is told")


def _behind(dialog: Dialog[None]) -> list[Strip]:
    return dialog.render_lines(_ALL)


async def _opened(pilot: Any, app: Over) -> Told:
    dialog = Told()
    await app.push_screen(dialog)
    await until(pilot, lambda: dialog._dimmed_to >= _HEIGHT or not dialog._dimmed_to)
    await until(pilot, lambda: not dialog._goes_on)
    return dialog


async def test_behind_a_dialog_every_cell_has_the_colour_that_textual_gives_it() -> None:
    app = Over()
    async with app.run_test(size=(_WIDTH, _HEIGHT)) as pilot:
        lines = app.query_one(Coloured).lines
        dialog = await _opened(pilot, app)
        over, terminal = Color(0, 0, 0, 0.6), Console(force_terminal=True, color_system="truecolor")
        for mine, line in zip(_behind(dialog), lines, strict=True):
            theirs = Strip(BackgroundScreen.process_segments(list(line), over))
            assert seen(mine.render(terminal)) == seen(theirs.render(terminal))


async def test_what_is_behind_a_dialog_is_dimmed_once_also_for_the_next_one() -> None:
    app = Over()
    async with app.run_test(size=(_WIDTH, _HEIGHT)) as pilot:
        dialog = await _opened(pilot, app)
        first = _behind(dialog)
        assert all(new is old for new, old in zip(_behind(dialog), first, strict=True))
        # Beside the box lines are cut, and the pieces remember their codes.
        assert first[0].crop(3, 9) is first[0].crop(3, 9)
        await pilot.press("escape")
        await dialog.dismiss()
        await until(pilot, lambda: app.screen is not dialog)
        assert all(new is old for new, old in zip(_behind(await _opened(pilot, app)), first, strict=True))


async def test_a_line_that_changes_behind_a_dialog_is_dimmed_anew_and_no_other() -> None:
    app = Over()
    async with app.run_test(size=(_WIDTH, _HEIGHT)) as pilot:
        dialog = await _opened(pilot, app)
        first, coloured = _behind(dialog), app.screen_stack[0].query_one(Coloured)
        coloured.lines[7] = beside([coloured.lines[8]])
        coloured.refresh(Region(0, 7, _WIDTH, 1))
        await pilot.pause()
        now = _behind(dialog)
        assert [y for y in range(_HEIGHT) if now[y] is not first[y]] == [7]
        assert list(now[7]) == list(first[8])


async def test_many_lines_are_dimmed_a_part_at_a_time_when_the_dialog_is_there() -> None:
    app = Over()
    async with app.run_test(size=(_WIDTH, _HEIGHT)) as pilot:
        lines = list(app.query_one(Coloured).lines)
        dialog = Told()
        found: list[int] = []
        made = dialog.render_lines

        def noted(crop: Region) -> list[Strip]:
            shown = made(crop)
            found.append(sum(list(mine) != list(line) for mine, line in zip(shown, lines, strict=True)))
            return shown

        dialog.render_lines = noted  # type: ignore[method-assign]
        await app.push_screen(dialog)
        await until(pilot, lambda: found and found[-1] == _HEIGHT)
        assert found[0] == 0 and sorted(found) == found
        steps = [after - before for before, after in pairwise(found)]
        assert max(steps) == 2_500 // _WIDTH


async def test_a_dialog_is_painted_once_when_it_is_laid_out() -> None:
    app = Over()
    async with app.run_test(size=(_WIDTH, _HEIGHT)) as pilot:
        dialog = await _opened(pilot, app)
        sizes = [size for screen, size in app.painted if screen is dialog]
        assert sizes and set(sizes) == {20 * 3}
        # Once, and then for what is dimmed behind it, some lines at a time.
        assert len(sizes) <= 1 + -(-_HEIGHT * _WIDTH // 2_500)


async def test_screens_and_dialogs_parse_no_style_twice(make: MakeApp) -> None:
    app = make("datasets")
    async with app.run_test(size=(120, 40)) as pilot:
        await ready(pilot, app)
        # Those of Textual's widgets are parsed again when a kind is found to be a base of another.
        own = [rule for rule in app.stylesheet.rules if not rule.is_default_rules]

        async def visit() -> None:
            for mode, _ in SCREENS:
                app.action_show_screen(mode)
                await until(pilot, lambda mode=mode: app.current_mode == mode and app.screen.is_mounted)
                for key, kind in (("question_mark", HelpScreen), ("ctrl+p", CommandPalette)):
                    await pilot.press(key)
                    await until(pilot, lambda kind=kind: isinstance(app.screen, kind) and app.focused)
                    await pilot.press("escape")
                    await until(pilot, lambda mode=mode: app.screen is app._screen_stacks[mode][0])

        await visit()
        rules = {id(rule) for rule in app.stylesheet.rules}
        assert all(id(rule) in rules for rule in own)
        parsed = app.stylesheet._parse_cache.misses
        await visit()
        await app.push_screen(Ask("What?"))
        await until(pilot, lambda: app.focused)
        assert app.stylesheet._parse_cache.misses == parsed
        assert {id(rule) for rule in app.stylesheet.rules} == rules


async def test_another_theme_reaches_screens_that_are_made_later(make: MakeApp) -> None:
    app = make("datasets")
    async with app.run_test(size=(120, 40)) as pilot:
        await ready(pilot, app)
        app.theme = "textual-light"
        await pilot.pause()
        app.action_show_screen("runs")
        await until(pilot, lambda: app.current_mode == "runs" and app.screen.is_mounted)
        assert app.screen.styles.background.brightness > 0.5
        app.theme = "textual-dark"
        await pilot.pause()
        app.action_show_screen("datasets")
        await until(pilot, lambda: app.current_mode == "datasets")
        assert app.screen.styles.background.brightness < 0.5


async def test_a_screen_is_styled_when_it_is_made_and_not_whenever_it_is_seen(
    make: MakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = make("datasets")
    async with app.run_test(size=(160, 40)) as pilot:
        await ready(pilot, app)
        styled: list[str] = []
        update = Stylesheet.update_nodes

        def noted(self: Stylesheet, nodes: Iterable[DOMNode], animate: bool = False) -> None:
            every = list(nodes)
            styled.extend(type(node).__name__ for node in every if isinstance(node, BaseScreen))
            update(self, every, animate=animate)

        monkeypatch.setattr(Stylesheet, "update_nodes", noted)
        for mode in ("connection", "build", "connection", "datasets"):
            app.action_show_screen(mode)
            await until(pilot, lambda mode=mode: app.current_mode == mode and app.screen.is_mounted)
            assert app.screen.has_class("-very-wide", "-high")
        assert styled == []
        await pilot.resize_terminal(80, 24)
        await until(pilot, lambda: app.screen.has_class("-narrow", "-low"))
        assert set(styled) == {"DatasetsScreen"}


async def test_a_long_form_is_mounted_a_few_fields_at_a_time() -> None:
    composed: list[int] = []

    class Noted(TextField):
        def compose(self) -> ComposeResult:
            composed.append(turn())
            return super().compose()

    class Long(App[None]):
        def compose(self) -> ComposeResult:
            yield Form(*(Noted(f"f{n}", f"Field {n}") for n in range(30)))

    async with turns() as turn, Long().run_test(size=(80, 40)) as pilot:
        assert list(pilot.app.query_one(Form).values()) == [f"f{n}" for n in range(30)]
    assert len(composed) == 30 and max(Counter(composed).values()) <= 2


@pytest.mark.parametrize(("mode", "title"), SCREENS)
async def test_help_has_every_key_of_the_screen_first_and_of_everywhere(mode: str, title: str) -> None:
    app: App[None] = App()
    async with app.run_test(size=(120, 40)) as pilot:
        await app.push_screen(HelpScreen(mode, Preferences(keys={"quit": "f10"}).keys))
        table = app.screen.query_one(KeyTable)
        await until(pilot, lambda: table.virtual_size.height)
        groups = [title, "Everywhere", "Tables", "Forms", "Texts"]
        meant = [binding for group in groups for binding in keys.GROUPS[group]]
        assert [row.id for row in table._rows] == [binding.id for binding in meant]
        assert [row.does for row in table._rows] == [binding.tooltip for binding in meant]
        assert [row.key for row in table._rows] == [
            "f10" if binding.id == "quit" else keys.spoken(binding.key) for binding in meant
        ]
        # A widget for the box, the title, the filter and all keys.
        assert len(list(app.screen.walk_children())) <= 8


async def test_help_is_scrolled_by_keys_and_wraps_where_it_is_narrow() -> None:
    app: App[None] = App()
    async with app.run_test(size=(60, 20)) as pilot:
        await app.push_screen(HelpScreen("search", {}))
        await until(pilot, lambda: app.focused)
        table = app.screen.query_one(KeyTable)
        await until(pilot, lambda: table.size.height and table.max_scroll_y)
        words = " ".join(line.does for line in table._lines)
        assert words == " ".join(row.does for row in table._rows) and len(table._lines) > len(table._rows)
        await pilot.press("pagedown", "down")
        await until(pilot, lambda: table.scroll_offset.y == table.size.height + 1)
        assert table.render_line(0).text.startswith(table._lines[table.scroll_offset.y].key)
        assert {table.render_line(y).cell_length for y in range(table.size.height)} == {
            table.scrollable_content_region.width
        }
        await pilot.press("pageup")
        await until(pilot, lambda: table.scroll_offset.y == 1)
        # Other rows are shown from the first on.
        await pilot.press("t")
        await until(pilot, lambda: app.screen.query_one(Input).value == "t" and table.scroll_offset.y == 0)
        assert table.max_scroll_y


async def test_the_last_line_shows_the_keys_of_what_has_the_keyboard_and_takes_clicks(make: MakeApp) -> None:
    from tui.widgets.key_line import KeyLine

    app = make("datasets")
    async with app.run_test(size=(120, 40)) as pilot:
        await ready(pilot, app)
        line = app.screen.query_one(KeyLine)
        await until(pilot, lambda: line.keys)
        text = screen_text(app).splitlines()[-1]
        assert text == " ".join(f"{key.spoken} {key.does}" for key in line.keys)
        assert not line.children
        await pilot.hover(KeyLine, offset=(text.index("Build index"), 0))
        await until(pilot, lambda: line.tooltip)
        assert line.under is not None and line.under.does == "Build index"
        await pilot.click(KeyLine, offset=(text.index("Help"), 0))
        await until(pilot, lambda: isinstance(app.screen, HelpScreen))

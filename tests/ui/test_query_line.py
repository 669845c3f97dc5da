"""The line one asks in: it says the question of what is shown, and no path that is typed is the app's end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.ui.conftest import ready, screen_text, told, until
from tests.ui.test_search import DATASET, KEY, asked, browsing, facts
from tests.ui.test_search import digits as digits
from tests.ui.test_using import _answer, searching
from tui.app import Kitescope
from tui.core.files import expanded, is_dir, is_file
from tui.screens.help import HelpScreen
from tui.screens.search import SearchScreen
from tui.widgets import build_fields, connection_form
from tui.widgets.pick import Pick
from tui.widgets.search_head import QueryLine

MakeApp = Callable[..., Kitescope]
WRONG = ["~nobody-of-that-name", "~nobody-of-that-name/x", "/" + "x" * 300, "x\0y"]


async def _type(pilot: Any, app: Kitescope, line: str) -> None:
    await pilot.press("slash")
    await until(pilot, lambda: isinstance(app.focused, QueryLine))
    app.focused.value = line


async def test_what_was_only_typed_gives_way_to_the_question_that_is_shown(
    make_app: MakeApp, digits: dict[str, str]
) -> None:
    app = make_app(search=(DATASET, KEY))
    async with app.run_test(size=(100, 30)) as pilot:
        view = await browsing(pilot, app)
        await pilot.press("enter")
        await asked(pilot, app, "Similar to")
        line = view.query_one(QueryLine)
        shown = line.value
        assert shown.startswith("id:")
        for leave in ("escape", "down"):
            await _type(pilot, app, "garbage")
            await pilot.press(leave)
            await until(pilot, lambda: app.focused is view.grid)
            assert line.value == shown


async def test_a_question_that_failed_can_be_put_right_and_is_not_taken_for_what_is_shown(
    make_app: MakeApp, digits: dict[str, str]
) -> None:
    app = make_app(search=(DATASET, KEY))
    async with app.run_test(size=(100, 30)) as pilot:
        view = await browsing(pilot, app)
        await pilot.press("enter")
        await asked(pilot, app, "Similar to")
        line = view.query_one(QueryLine)
        shown = line.value
        await _type(pilot, app, "file:/nowhere.png")
        await pilot.press("enter")
        await until(pilot, lambda: "the file is missing" in told(app) and not facts(app).busy)
        assert line.value == shown
        await pilot.press("slash")
        await until(pilot, lambda: line.value == "file:/nowhere.png" and app.focused is line)
        await pilot.press("escape")
        await until(pilot, lambda: line.value == shown)
        # Once is enough.
        await pilot.press("slash")
        await until(pilot, lambda: app.focused is line)
        assert line.value == shown


async def test_no_path_that_is_typed_ends_the_app(make_app: MakeApp, digits: dict[str, str]) -> None:
    app = make_app(search=(DATASET, KEY))
    async with searching(app) as (pilot, _):
        for wrong in WRONG[:3]:
            for kind, said in (("file", "Cannot read"), ("vector", "")):
                app.clear_notifications()
                await _type(pilot, app, f"{kind}:{wrong}")
                await pilot.press("enter")
                await until(pilot, lambda said=said: told(app) and said in told(app) and not facts(app).busy)
                assert "Unexpected" not in told(app)
        await pilot.press("enter")
        await asked(pilot, app, "Similar to")
        for wrong in WRONG[1:3]:
            app.clear_notifications()
            await pilot.press("e")
            await until(pilot, lambda: isinstance(app.screen, Pick))
            await pilot.press("enter")
            await _answer(pilot, app, wrong)
            await until(pilot, lambda: "There is no folder" in told(app) or "cannot be written" in told(app))
        assert isinstance(app.screen, SearchScreen) and "Similar to" in screen_text(app)


@pytest.mark.parametrize("wrong", WRONG)
def test_fields_for_paths_say_what_is_not_there(wrong: str) -> None:
    from tui.screens.import_dataset import _wrong_folder

    assert expanded(wrong).name == wrong.rpartition("/")[2]
    assert not is_file(wrong)
    assert not is_dir(wrong)
    assert _wrong_folder(wrong) == "There is no such folder"
    for check in (build_fields._wrong_file, build_fields._wrong_ids, connection_form._file):
        assert check(wrong) == "There is no such file"


async def test_no_line_of_text_takes_the_keyboard_of_a_screen_without_pictures(make: MakeApp) -> None:
    app = make("search")
    async with app.run_test(size=(80, 24)) as pilot:
        await ready(pilot, app)
        await until(pilot, lambda: "to search" in screen_text(app))
        for _ in range(2):
            await pilot.press("question_mark")
            await until(pilot, lambda: isinstance(app.screen, HelpScreen) and app.focused)
            await pilot.press("escape")
            await until(pilot, lambda: not isinstance(app.screen, HelpScreen))
            assert app.focused is None

"""Lines to type into: keys that arrive together act in the order in which they were typed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest
from textual import events
from textual.app import App
from textual.keys import key_to_character
from textual.widgets import Input

from tests.ui.conftest import ready, until
from tests.ui.test_form import FormApp
from tui.app import Kitescope
from tui.widgets.filter import FilterBar
from tui.widgets.pick import Pick
from tui.widgets.search_head import QueryLine

MakeApp = Callable[..., Kitescope]


def at_once(app: App[Any], keys: Iterable[str]) -> None:
    """Every key before the first is looked at: the pilot would wait after each."""
    for key in keys:
        app.post_message(events.Key(key, key_to_character(key)))


async def corrected(pilot: Any, line: Input) -> None:
    """Type a word over another, put a letter of it right, and go on at its beginning and its end."""
    at_once(pilot.app, [*"wrong", "ctrl+u", *"kiter", "backspace", "s", "home", "x", "end", "z"])
    await until(pilot, lambda: line.value.endswith("z"))
    assert line.value == "xkitesz"


@pytest.mark.parametrize(("screen", "line"), [("search", QueryLine), ("datasets", FilterBar)])
async def test_what_is_typed_at_once_behind_a_key_of_the_line_is_kept(
    make: MakeApp, screen: str, line: type[Input]
) -> None:
    app = make(screen, search=("birds", "look")) if screen == "search" else make(screen)
    async with app.run_test(size=(100, 30)) as pilot:
        await ready(pilot, app)
        await until(pilot, lambda: app.focused is not None)
        at_once(app, ["slash"])
        await until(pilot, lambda: isinstance(app.focused, line))
        assert isinstance(app.focused, line)
        await corrected(pilot, app.focused)


async def test_dialogs_and_forms_keep_it_too() -> None:
    app = FormApp()
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: isinstance(app.focused, Input))
        assert isinstance(app.focused, Input)
        await corrected(pilot, app.focused)
        app.push_screen(Pick("Which", [("a", "one"), ("b", "two")]))
        await until(pilot, lambda: isinstance(app.screen, Pick) and isinstance(app.focused, Input))
        await corrected(pilot, app.screen.query_one(Input))


async def test_a_line_is_answered_with_what_was_typed_before_enter() -> None:
    app = FormApp()
    answers: list[str | None] = []
    async with app.run_test(size=(80, 24)) as pilot:
        app.push_screen(Pick("Which", [("a", "one"), ("b", "two")]), answers.append)
        await until(pilot, lambda: isinstance(app.screen, Pick) and isinstance(app.focused, Input))
        at_once(app, [*"onn", "backspace", "e", "enter", "x"])
        await until(pilot, lambda: answers)
        assert answers == ["a"]

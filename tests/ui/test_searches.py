"""Searches that come back: the history of an index between starts, and what is kept under a name."""

from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path

from textual.widgets import Input, OptionList

from tests.ui.conftest import screen_text, told, until
from tests.ui.test_search import DATASET, KEY, asked, browsing, facts
from tests.ui.test_search import digits as digits
from tests.ui.test_using import _answer
from tui import paths
from tui.app import Kitescope
from tui.preferences import Preferences
from tui.screens import search_memory
from tui.screens.asks import Ask, Narrowing
from tui.screens.remembering import SearchList
from tui.screens.search_memory import MOST_ASKED, Kept

MakeApp = Callable[..., Kitescope]


def test_what_is_remembered_is_private_bounded_and_each_indexs_own() -> None:
    narrowed = Ask(ids=("a",), narrowing=Narrowing(tags=("x",)), shown=("/p.png", (0, 0, 1, 1), "[b]"))
    for n in range(MOST_ASKED + 10):
        search_memory.change("d", "k", lambda memory, n=n: memory.with_asked(Ask(text=f"q{n}")))
    search_memory.change("d", "k", lambda memory: memory.with_asked(narrowed))
    search_memory.change("d", "k", lambda memory: memory.with_asked(Ask(text="q30")))
    search_memory.change("d", "k", lambda memory: memory.with_kept(Kept("mine", narrowed)))
    memory = search_memory.load("d", "k")
    assert len(memory.asked) == MOST_ASKED
    assert memory.asked[-1] == Ask(text="q30") and memory.asked[-2] == narrowed
    assert memory.named("mine") == Kept("mine", narrowed)
    assert not search_memory.load("d", "other").asked and not search_memory.load("other", "k").asked
    file = paths.state_dir() / "searches.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    file.write_text("{broken")
    assert not search_memory.load("d", "k").asked
    assert search_memory.change("d", "k", lambda memory: memory.with_asked(narrowed)).asked == (narrowed,)


async def test_an_earlier_sessions_searches_are_a_step_back_and_kept_ones_in_the_list(
    make_app: MakeApp, digits: dict[str, str]
) -> None:
    ids = list(digits)
    app = make_app(search=(DATASET, KEY))
    async with app.run_test(size=(100, 30)) as pilot:
        view = await browsing(pilot, app)
        await pilot.press("S")
        await until(pilot, lambda: "Search for something first" in told(app))
        await pilot.press("l", "l", "l", "enter")
        await asked(pilot, app, "Similar to 3")
        await until(pilot, lambda: search_memory.load(DATASET, KEY).asked)
        await pilot.press("S")
        await _answer(pilot, app, "[b]threes")
        await until(pilot, lambda: "Kept: [b]threes" in told(app))

    app = make_app(search=(DATASET, KEY))
    async with app.run_test(size=(100, 30)) as pilot:
        view = await browsing(pilot, app)
        await until(pilot, lambda: facts(app).place == (2, 2))
        await pilot.press("left_square_bracket")
        await asked(pilot, app, "Similar to 3")
        assert facts(app).place == (1, 2)
        first = view.grid.tiles[0]
        assert first and first.id == ids[3]
        await pilot.press("right_square_bracket")
        await browsing(pilot, app)

        await pilot.press("s")
        await until(pilot, lambda: "● [b]threes   Similar to 3" in screen_text(app))
        await pilot.press("f2")
        await until(pilot, lambda: "★ [b]threes   Similar to 3" in screen_text(app))
        await pilot.press("enter")
        await asked(pilot, app, "Similar to 3")

        await pilot.press("s")
        await until(pilot, lambda: isinstance(app.screen, SearchList))
        await pilot.press("f8")
        # While the new list is being made there is none, and nothing on the screen.
        await until(pilot, lambda: [one.option_count for one in app.screen.query(OptionList)] == [2])
        await until(pilot, lambda: app.focused is not None and "[b]threes" not in screen_text(app))
        app.screen.query_one(Input).value = "forget all"
        await until(pilot, lambda: app.screen.query_one(OptionList).option_count == 1)
        await pilot.press("enter")
        await until(pilot, lambda: "Nothing was asked of this index yet" in told(app))
    memory = search_memory.load(DATASET, KEY)
    assert not memory.asked and not memory.kept


async def test_a_preference_keeps_searches_out_of_any_file(
    make_app: MakeApp, digits: dict[str, str], home: Path
) -> None:
    app = make_app(search=(DATASET, KEY), look=Preferences(remember_searches=False))
    async with app.run_test(size=(80, 24)) as pilot:
        await browsing(pilot, app)
        await pilot.press("enter")
        await asked(pilot, app, "Similar to 0")
        await pilot.press("b")
        await browsing(pilot, app)
    assert not (paths.state_dir() / "searches.json").exists()

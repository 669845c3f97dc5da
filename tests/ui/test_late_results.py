"""Results that come when another index, another question or another screen is looked at."""

from __future__ import annotations

import dataclasses
import threading
from typing import Any

import pytest

from tests.snapshots import world
from tests.ui.conftest import screen_text, told, until
from tests.ui.gates import Gate, gate
from tui.app import Kitescope
from tui.core import datasets, results, search
from tui.core.documents import run_list
from tui.core.documents.scopes import SampleInfo
from tui.messages import Failed, Happened
from tui.screens import search_memory
from tui.screens.search import SearchScreen
from tui.screens.search_messages import Found
from tui.state import IndexChosen
from tui.widgets.pick import Pick

BIRDS = ("birds", "look")


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> Kitescope:
    """An app on engines that answer at once, with an index open, not run yet."""
    monkeypatch.chdir(tmp_path)
    world.pictures()
    world.settle(monkeypatch)
    monkeypatch.setattr(
        run_list,
        "require_run",
        lambda _ws, dataset, key: dataclasses.replace(
            world.LOOK if key == "look" else world.CROPS, dataset=dataset
        ),
    )
    return Kitescope(world.SETTINGS, search=BIRDS, open_workspace=world.Engines)  # type: ignore[arg-type]


async def _opened(pilot: Any, app: Kitescope) -> SearchScreen:
    screen = app.screen
    assert isinstance(screen, SearchScreen)
    await until(pilot, lambda: screen._run and screen._waiting is None and screen.grid.current)
    return screen


def _go_on_posting(screen: Any, monkeypatch: pytest.MonkeyPatch, kind: type) -> threading.Event:
    """Set when a thread has posted a message of a kind, which need not have arrived by then."""
    posted, post = threading.Event(), screen.post_message

    def noted(message: Any) -> bool:
        told: bool = post(message)
        if isinstance(message, kind):
            posted.set()
        return told

    monkeypatch.setattr(screen, "post_message", noted)
    return posted


async def test_a_page_of_the_index_before_is_not_shown_among_those_of_the_next(
    app: Kitescope, monkeypatch: pytest.MonkeyPatch
):
    def read(_ws: Any, scope: Any, first: int, count: int) -> list[SampleInfo]:
        return [
            SampleInfo(f"{scope.patches_field}-{n}", f"{n}", "birds/0.png", "", ())
            for n in range(first, first + count)
        ]

    later = Gate(read)
    monkeypatch.setattr(datasets, "sample_page", lambda *of: later(*of) if of[2] >= 800 else read(*of))
    monkeypatch.setattr(datasets, "count", lambda *_of, **_how: 1_000)
    async with app.run_test(size=(100, 30)) as pilot:
        try:
            screen = await _opened(pilot, app)
            await pilot.press("G")
            await until(pilot, later.held.is_set)
            app.post_message(Happened(IndexChosen("birds", "crops")))
            await until(pilot, lambda: screen._run and screen._run.patches_field and screen.grid.current)
        finally:
            later.let()
        await until(pilot, lambda: not screen._reading)
        assert len(screen.grid.tiles) == 1_000
        assert not [tile.id for tile in screen.grid.tiles if tile and tile.id.startswith("None")]
        await pilot.press("G")
        await until(pilot, lambda: screen.grid.current and screen.grid.current.id == "boxes-999")


async def test_pictures_that_one_goes_back_to_are_there_before_the_database_answers(
    app: Kitescope, monkeypatch: pytest.MonkeyPatch
):
    pages = [dataclasses.replace(one, id=f"{n:024x}") for n, one in enumerate(world.hits(10) * 60)]
    samples = [SampleInfo(one.id, one.id, one.filepath, one.label, one.tags) for one in pages]
    read = lambda _ws, _scope, first, count: samples[first : first + count]  # noqa: E731
    monkeypatch.setattr(datasets, "sample_page", read)
    monkeypatch.setattr(datasets, "count", lambda *_of, **_how: len(samples))
    async with app.run_test(size=(100, 30)) as pilot:
        screen = await _opened(pilot, app)
        await pilot.press("G", "k", "k")
        await until(pilot, lambda: screen.grid.current and not screen._reading)
        place, shown = screen.grid.cursor, screen.grid.current
        assert place > 500 and shown.id == samples[place].id
        await pilot.press("enter")
        await until(pilot, lambda: screen._history.place == (2, 2))
        with gate(monkeypatch, datasets, "sample_page"):
            screen.action_history_back()
            assert (screen.grid.cursor, screen.grid.current) == (place, shown)
            screen.action_similar()
            await until(pilot, lambda: screen._history.place == (2, 2) and not screen._waiting)
            assert screen._history.current.ask.ids == (shown.id,)


@pytest.mark.parametrize("then", ["another index", "another question", "nothing"])
async def test_what_was_found_for_a_question_that_was_left_is_not_shown(
    app: Kitescope, monkeypatch: pytest.MonkeyPatch, then: str
):
    with gate(monkeypatch, search, "search") as searching:
        async with app.run_test(size=(100, 30)) as pilot:
            screen = await _opened(pilot, app)
            posted = _go_on_posting(screen, monkeypatch, Found)
            await pilot.press("enter")
            await until(pilot, searching.held.is_set)
            # The loop stands still meanwhile: the answer is on its way when the question is left.
            searching.let()
            assert posted.wait(30)
            if then == "another index":
                app._take(IndexChosen("birds", "crops"))
            elif then == "another question":
                screen.action_browse()
            else:
                screen.go_back()
            if then != "nothing":
                assert screen._waiting is not None
                await until(pilot, lambda: screen._waiting is None)
            await pilot.pause()
            assert screen._history.current.ask.browses and screen._history.place == (1, 1)
            for key in ("look", "crops"):
                assert search_memory.load("birds", key).asked == ()


async def test_what_went_wrong_with_a_question_that_was_left_ends_no_other(
    app: Kitescope, monkeypatch: pytest.MonkeyPatch
):
    from tui.core.errors import EngineUnreachable

    def fail(*_of: Any, **_how: Any) -> None:
        raise EngineUnreachable("Nobody is there", "Start it")

    with (
        gate(monkeypatch, search, "search", fail) as searching,
        gate(monkeypatch, datasets, "sample_page", lambda *_of: []) as browsing,
    ):
        browsing.let()
        async with app.run_test(size=(100, 30)) as pilot:
            screen = app.screen
            await until(pilot, lambda: screen._run and screen._waiting is None)
            posted = _go_on_posting(screen, monkeypatch, Failed)
            screen._ask_by(("65f000000000000000000001",))
            await until(pilot, searching.held.is_set)
            again = Gate(lambda *_of: [])
            monkeypatch.setattr(datasets, "sample_page", again)
            searching.let()
            assert posted.wait(30)
            screen.action_browse()
            await until(pilot, again.held.is_set)
            try:
                await pilot.pause()
                assert screen._waiting is not None and "Nobody is there" not in told(app)
            finally:
                again.let()
            await until(pilot, lambda: screen._waiting is None)


@pytest.mark.parametrize("then", ["another index", "another screen"])
async def test_what_one_can_narrow_by_is_not_asked_where_it_means_something_else(
    app: Kitescope, monkeypatch: pytest.MonkeyPatch, then: str
):
    with gate(monkeypatch, datasets, "dataset_detail") as looking:
        async with app.run_test(size=(100, 30)) as pilot:
            screen = await _opened(pilot, app)
            await pilot.press("v")
            await until(pilot, looking.held.is_set)
            looker = next(one for one in app.workers if one.name == "_look")
            if then == "another index":
                app.post_message(Happened(IndexChosen("fish", "look")))
                await until(pilot, lambda: screen._run and screen._run.dataset == "fish")
            else:
                await pilot.press("4")
                await until(pilot, lambda: app.current_mode == "jobs")
            looking.let()
            await until(pilot, lambda: looker.is_finished)
            await pilot.pause()
            assert not isinstance(app.screen, Pick)


async def test_what_is_exported_is_what_was_shown_when_that_was_asked_for(
    app: Kitescope, monkeypatch: pytest.MonkeyPatch
):
    with gate(monkeypatch, results, "formats", lambda _ws: ["csv"]) as reading:
        async with app.run_test(size=(100, 30)) as pilot:
            screen = await _opened(pilot, app)
            await pilot.press("enter")
            await until(pilot, lambda: screen._history.place == (2, 2))
            count = len(screen._history.current.hits)
            await pilot.press("e")
            await until(pilot, reading.held.is_set)
            screen.action_browse()
            await until(pilot, lambda: screen._history.current.ask.browses)
            reading.let()
            await until(pilot, lambda: isinstance(app.screen, Pick))
            assert app.screen._title == f"Export {count:,} as"


async def test_the_status_line_names_the_dataset_that_is_shown(
    app: Kitescope, monkeypatch: pytest.MonkeyPatch
):
    def named() -> str:
        return screen_text(app).rpartition("▸ ")[2].split()[0]

    other = dataclasses.replace(world.LOOK, dataset="fish")
    monkeypatch.setattr("tui.core.runs.list_runs", lambda _ws: [world.LOOK, other])
    async with app.run_test(size=(100, 30)) as pilot:
        screen = await _opened(pilot, app)
        await until(pilot, lambda: app.state.runs and app.state.dataset == "birds" and named() == "birds")
        await pilot.press("o")
        await until(pilot, lambda: isinstance(app.screen, Pick))
        await pilot.press(*"fish", "enter")
        await until(pilot, lambda: screen._run and screen._run.dataset == "fish" and screen.grid.current)
        assert named() == "fish"
        # It was opened, not chosen: what is built or listed next is of the dataset that was.
        await pilot.press("5")
        await until(pilot, lambda: app.current_mode == "runs" and "▸ " in screen_text(app))
        assert named() == "birds"

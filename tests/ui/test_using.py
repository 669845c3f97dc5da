"""What the Search screen's results are put to, by keys, as stock FiftyOne and the disk then see it."""

from __future__ import annotations

import json
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from textual.widgets import Input

from tests.conftest import settings_for
from tests.engines.servers import MilvusLite, Mongod
from tests.ui.conftest import screen_text, told, until
from tests.ui.test_search import DATASET, KEY, asked, browsing
from tests.ui.test_search import digits as digits
from tui.app import Kitescope
from tui.core import near_duplicates
from tui.core.documents.scopes import SampleInfo
from tui.screens.asks import Narrowing
from tui.screens.search import SearchScreen
from tui.screens.using import GroupsPage, _listed
from tui.widgets.dialogs import Ask, Confirm
from tui.widgets.pick import Pick

MakeApp = Callable[..., Kitescope]


async def _answer(pilot: Any, app: Kitescope, text: str) -> None:
    await until(pilot, lambda: isinstance(app.screen, Ask))
    app.screen.query_one(Input).value = text
    await pilot.press("enter")
    await until(pilot, lambda: not isinstance(app.screen, Ask))


@asynccontextmanager
async def searching(app: Kitescope) -> AsyncIterator[tuple[Any, SearchScreen]]:
    """The app with the pictures of the digits before it."""
    async with app.run_test(size=(120, 34)) as pilot:
        yield pilot, await browsing(pilot, app)


async def ask_for_duplicates(pilot: Any, app: Kitescope) -> None:
    await pilot.press("D")
    await _answer(pilot, app, "0.9")


async def test_results_are_tagged_saved_and_exported(
    make_app: MakeApp, digits: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fiftyone as fo

    monkeypatch.chdir(tmp_path)
    app = make_app(search=(DATASET, KEY))
    ids = list(digits)
    async with searching(app) as (pilot, view):
        await pilot.press("w")
        await until(pilot, lambda: "then all results are meant" in told(app))
        await pilot.press("space", "space")
        await until(pilot, lambda: view.grid.marks == set(ids[:2]))
        await pilot.press("t")
        await _answer(pilot, app, "[b]two, seen")
        await until(pilot, lambda: "[b]two, seen are on 2 now" in told(app))
        await until(pilot, lambda: "seen" in view._items[ids[1]].tags)
        await pilot.press("T")
        await _answer(pilot, app, "seen")
        await until(pilot, lambda: "seen are off 2 now" in told(app))
        await pilot.press("escape")
        await until(pilot, lambda: not view.grid.marks)
        dataset = fo.load_dataset(DATASET)
        dataset.reload()
        assert dataset.count_sample_tags()["[b]two"] == 2 and "seen" not in dataset.count_sample_tags()

        await pilot.press("g", "enter")
        await asked(pilot, app, "Similar to")
        await pilot.press("w")
        await _answer(pilot, app, "like_the_first")
        await until(pilot, lambda: "View like_the_first of" in told(app))
        dataset.reload()
        found = [tile.id for tile in view.grid.tiles if tile]
        assert dataset.load_saved_view("like_the_first").values("id") == found

        await pilot.press("e")
        await until(pilot, lambda: isinstance(app.screen, Pick))
        await pilot.press("down", "enter")
        await _answer(pilot, app, str(tmp_path / "found.json"))
        # The file is there before all of it is written.
        await until(pilot, lambda: f"are in {tmp_path / 'found.json'}" in told(app))
        rows = json.loads((tmp_path / "found.json").read_text())
        assert [row["id"] for row in rows] == found and rows[0]["rank"] == 1

        await pilot.press("e")
        await until(pilot, lambda: isinstance(app.screen, Pick))
        await pilot.press("down", "enter")
        await _answer(pilot, app, str(tmp_path / "found.json"))
        await until(pilot, lambda: f"Exporting {tmp_path / 'found.json'} is there already" in told(app))
    dataset.delete_saved_view("like_the_first")
    dataset.untag_samples(["[b]two"])


async def test_marks_of_several_searches_are_used_together(make_app: MakeApp, digits: dict[str, str]) -> None:
    app = make_app(search=(DATASET, KEY))
    async with searching(app) as (pilot, view):
        for label in ("3", "5"):
            view._narrow_to(Narrowing(where=(("ground_truth", label),)))
            await until(pilot, lambda label=label: {one and one.label for one in view.grid.tiles} == {label})
            marked = len(view.grid.marks)
            await pilot.press("g", "space")
            await until(pilot, lambda marked=marked: len(view.grid.marks) == marked + 1)
        # The grid's own come first.
        assert [digits[item.id] for item in view._results()] == ["5", "3"]


def test_a_huge_group_is_listed_by_its_first_members() -> None:
    group = [SampleInfo(str(n), str(n), f"/{n}.png", None, ()) for n in range(100)]
    assert _listed(group[:3]) == ["/0.png", "/1.png", "/2.png"]
    assert _listed(group)[-2:] == ["/19.png", "… and 80 more"]


async def test_a_readonly_connection_tags_nothing(
    mongod: Mongod, milvus_lite: MilvusLite, digits: dict[str, str]
) -> None:
    app = Kitescope(settings_for(mongod, milvus_lite, readonly=True), search=(DATASET, KEY))
    async with searching(app) as (pilot, view):
        for key, what in (("t", "tagged"), ("T", "tagged"), ("w", "saved")):
            app.clear_notifications()
            view.grid.set_marks(frozenset([next(iter(digits))]))
            await pilot.press(key)
            await until(pilot, lambda what=what: f"read-only, so nothing can be {what}" in told(app))
            assert app.screen is view


class Pace:
    """Lets the comparison of near-duplicates go on, page by page or to its end."""

    def __init__(self) -> None:
        self.asked, self.gate = threading.Semaphore(0), threading.Semaphore(0)

    def wait(self) -> None:
        self.asked.release()
        assert self.gate.acquire(timeout=60)

    def go_on(self) -> None:
        if self.asked.acquire(blocking=False):
            self.gate.release()

    def to_the_end(self) -> None:
        self.gate.release(1_000)


@pytest.fixture
def pace(monkeypatch: pytest.MonkeyPatch) -> Pace:
    """Small pages, each compared when the test says so: nothing ends before it was looked at."""
    pace = Pace()
    monkeypatch.setattr(near_duplicates, "_PAGE", 5)
    monkeypatch.setattr(near_duplicates, "_EVERY_S", 0.0)
    monkeypatch.setattr(near_duplicates, "_CALM", 0)
    pairs = near_duplicates._pairs

    def gated(*arguments: Any) -> Any:
        pace.wait()
        yield from pairs(*arguments)

    monkeypatch.setattr(near_duplicates, "_pairs", gated)
    return pace


def growing(app: Kitescope) -> bool:
    return isinstance(app.screen, GroupsPage) and "1. /" in app.screen.body


async def test_near_duplicates_are_shown_while_they_are_found_and_esc_stops(
    make_app: MakeApp, digits: dict[str, str], pace: Pace
) -> None:
    app = make_app(search=(DATASET, KEY))
    async with searching(app) as (pilot, _):
        await ask_for_duplicates(pilot, app)
        await until(pilot, lambda: pace.go_on() or growing(app))
        page = app.screen
        assert isinstance(page, GroupsPage)
        first = page.body
        await until(pilot, lambda: f" of {len(digits):,} vectors compared: " in screen_text(app))
        await until(pilot, lambda: pace.go_on() or page.body != first)
        await pilot.press("escape")
        await until(pilot, lambda: "Stopped: nothing is tagged" in told(app))
        assert not isinstance(app.screen, (GroupsPage, Confirm))
        # A whole one ends with the question, whatever was shown before.
        pace.to_the_end()
        await ask_for_duplicates(pilot, app)
        await until(pilot, lambda: isinstance(app.screen, Confirm))
        await pilot.press("escape")
        await until(pilot, lambda: not isinstance(app.screen, (GroupsPage, Confirm)))


async def test_groups_that_are_out_of_sight_when_they_are_complete_do_not_stay(
    make_app: MakeApp, digits: dict[str, str], pace: Pace
) -> None:
    app = make_app(search=(DATASET, KEY))
    async with searching(app) as (pilot, _):
        await ask_for_duplicates(pilot, app)
        await until(pilot, lambda: pace.go_on() or growing(app))
        app.action_show_screen("jobs")
        await until(pilot, lambda: app.current_mode == "jobs")
        pace.to_the_end()
        await until(pilot, lambda: isinstance(app.screen, Confirm))
        await pilot.press("escape")
        await until(pilot, lambda: not isinstance(app.screen, Confirm))
        app.action_show_screen("search")
        await until(pilot, lambda: isinstance(app.screen, SearchScreen))


async def test_near_duplicates_are_shown_and_tagged(make_app: MakeApp, digits: dict[str, str]) -> None:
    import fiftyone as fo

    app = make_app(search=(DATASET, KEY))
    async with searching(app) as (pilot, _):
        await ask_for_duplicates(pilot, app)
        await until(pilot, lambda: isinstance(app.screen, Confirm))
        assert "groups of near-duplicates" in screen_text(app)
        await pilot.press("y")
        await until(pilot, lambda: "duplicate are on" in told(app))
    dataset = fo.load_dataset(DATASET)
    dataset.reload()
    assert 0 < dataset.count_sample_tags()["duplicate"] < len(digits)
    dataset.untag_samples("duplicate")

"""Marking, and what is done with the marked: all that is browsed, from every step, and where nothing is."""

from __future__ import annotations

from collections.abc import Callable

from tests.ui.conftest import screen_text, told, until
from tests.ui.test_search import COUNT, DATASET, KEY, asked, browsing, facts, screen
from tests.ui.test_search import digits as digits
from tests.ui.test_using import _answer, searching
from tui.app import Kitescope
from tui.screens.asks import Narrowing
from tui.widgets.search_head import FactLines, HeadFacts

MakeApp = Callable[..., Kitescope]


async def test_all_that_is_browsed_is_marked_and_not_only_what_was_scrolled_past(
    make_app: MakeApp, digits: dict[str, str]
) -> None:
    app = make_app(search=(DATASET, KEY))
    async with app.run_test(size=(80, 24)) as pilot:
        view = await browsing(pilot, app)
        assert None in view.grid.tiles
        await pilot.press("a")
        await until(pilot, lambda: f"● {COUNT} marked" in screen_text(app) and not facts(app).busy)
        assert view.grid.marks == set(digits)
        assert [item.id for item in view._results()] == list(digits)
        await pilot.press("a")
        await until(pilot, lambda: not view.grid.marks)


async def test_what_is_narrowed_is_marked_beside_what_was_marked_before(
    make_app: MakeApp, digits: dict[str, str]
) -> None:
    app = make_app(search=(DATASET, KEY))
    async with app.run_test(size=(80, 24)) as pilot:
        view = await browsing(pilot, app)
        await pilot.press("space")
        view._narrow_to(Narrowing(where=(("ground_truth", "3"),)))
        await until(pilot, lambda: facts(app).narrowed and not facts(app).busy)
        await pilot.press("a")
        threes = {id for id, label in digits.items() if label == "3"}
        await until(pilot, lambda: view.grid.marks == threes | {next(iter(digits))})


async def test_more_than_can_be_marked_is_refused_in_words(make_app: MakeApp, digits: dict[str, str]) -> None:
    app = make_app(search=(DATASET, KEY))
    async with app.run_test(size=(80, 24)) as pilot:
        view = await browsing(pilot, app)
        view.grid.show([None] * 100_001)
        await pilot.press("a")
        await until(pilot, lambda: "More than 100,000 cannot be marked at once" in told(app))
        assert not view.grid.marks


async def test_tags_are_on_the_results_that_one_goes_back_to(
    make_app: MakeApp, digits: dict[str, str]
) -> None:
    import fiftyone as fo

    app = make_app(search=(DATASET, KEY))
    async with searching(app) as (pilot, view):
        await pilot.press("enter")
        await asked(pilot, app, "Similar to")
        await pilot.press("enter")
        await until(pilot, lambda: not facts(app).busy)
        await pilot.press("l", "enter")
        await until(pilot, lambda: facts(app).place[0] == 3 and not facts(app).busy)
        current = view.grid.current
        assert current is not None
        await pilot.press("t")
        await _answer(pilot, app, "later")
        await until(pilot, lambda: "later are on 1 now" in told(app))
        await pilot.press("left_square_bracket")
        await until(pilot, lambda: facts(app).place[0] == 2)
        assert "later" in view._items[current.id].tags
    fo.load_dataset(DATASET).untag_samples("later")


async def test_keys_that_need_a_picture_say_so_where_there_is_none(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        app.action_show_screen("search")
        await until(pilot, lambda: app.current_mode == "search" and "to search" in screen_text(app))
        for key, said in {
            "d": "no picture to show large",
            "space": "no picture to mark",
            "a": "no picture to mark",
            "M": "Search for something first",
        }.items():
            await pilot.press(key)
            await until(pilot, lambda said=said: said in told(app))
            app.clear_notifications()
        assert not screen(app).is_large


async def test_how_to_drop_a_long_narrowing_and_what_is_marked_stay_in_view(
    make_app: MakeApp, digits: dict[str, str]
) -> None:
    app = make_app(search=(DATASET, KEY))
    async with app.run_test(size=(80, 24)) as pilot:
        view = await browsing(pilot, app)
        lines = view.query_one(FactLines)
        lines.facts = HeadFacts(narrowed="view " + "汉字" * 60, marked=12_000, place=(12, 12))
        await until(pilot, lambda: "…  V clears   ● 12,000 marked" in screen_text(app))

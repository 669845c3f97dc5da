"""No key waits for a whole screen: what is made, styled and painted comes in turns of the event loop."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

import pytest
from textual.app import App, ComposeResult
from textual.css.stylesheet import Stylesheet
from textual.dom import DOMNode
from textual.geometry import Region
from textual.screen import Screen
from textual.strip import Strip
from textual.widget import Widget
from textual.widgets import Static

from tests.ui.conftest import screen_text, turns, until
from tests.ui.test_search import DATASET, KEY, browsing
from tests.ui.test_search import digits as digits
from tui.app import Kitescope
from tui.widgets.dialog import Dialog
from tui.widgets.painted import PaintedOnce

MakeApp = Callable[..., Kitescope]
_WIDTH, _HEIGHT = 100, 60


class Slow(Widget):
    """Takes some milliseconds for ten lines, and tells how many were asked for in which turn."""

    def __init__(self, turn: Callable[[], int]) -> None:
        super().__init__()
        self.turn = turn
        self.asked: list[tuple[int, int]] = []
        self.text = "a"

    def render_lines(self, crop: Region) -> list[Strip]:
        self.asked.append((self.turn(), crop.height))
        return super().render_lines(crop)

    def render_line(self, y: int) -> Strip:
        time.sleep(0.001)
        return Strip.blank(self.size.width)


class Whole(PaintedOnce, Screen[None]):
    """A screen with one widget that fills it."""

    def __init__(self, turn: Callable[[], int]) -> None:
        super().__init__()
        self.turn = turn

    def compose(self) -> ComposeResult:
        yield Slow(self.turn)


class Told(Dialog[None]):
    CSS = "Dialog { background: black 60%; align: center middle; } Static { width: 20; height: 3; }"

    def compose(self) -> ComposeResult:
        yield Static("what is told")


async def test_each_event_of_a_screen_has_a_turn_of_its_own() -> None:
    app: App[None] = App()
    async with turns() as turn, app.run_test(size=(_WIDTH, _HEIGHT)) as pilot:
        screen = Whole(turn)
        await app.push_screen(screen)
        seen: list[int] = []
        for _ in range(10):
            screen.call_later(lambda: seen.append(turn()))
        await until(pilot, lambda: len(seen) == 10)
        assert len(set(seen)) == 10


async def test_what_is_much_to_paint_is_made_some_lines_a_turn_at_first_and_later() -> None:
    app: App[None] = App()
    async with turns() as turn, app.run_test(size=(_WIDTH, _HEIGHT)) as pilot:
        screen = Whole(turn)
        await app.push_screen(screen)
        slow = screen.query_one(Slow)

        def made_in_parts() -> bool:
            made, lines = {at for at, _ in slow.asked}, sorted(height for _, height in slow.asked)
            return len(made) > _HEIGHT // 10 and lines == [10] * (_HEIGHT // 10) + [_HEIGHT]

        await until(pilot, lambda: slow.asked)
        assert made_in_parts()
        slow.asked.clear()
        slow.refresh()
        await until(pilot, lambda: slow.asked)
        assert made_in_parts()
        # A cell that blinks is painted at once.
        slow.asked.clear()
        slow.refresh(Region(0, 0, 1, 1))
        await until(pilot, lambda: slow.asked)
        assert [height for _, height in slow.asked] == [_HEIGHT]


async def test_a_screen_below_a_dialog_is_asked_for_its_lines_when_it_changed_and_only_then() -> None:
    app: App[None] = App()
    async with turns() as turn, app.run_test(size=(_WIDTH, _HEIGHT)) as pilot:
        screen, dialog = Whole(turn), Told()
        await app.push_screen(screen)
        slow = screen.query_one(Slow)
        await until(pilot, lambda: slow.asked)
        await app.push_screen(dialog)
        await until(pilot, lambda: dialog._dimmed_to >= _HEIGHT)
        slow.asked.clear()
        for text in ("more", "and more"):
            before = dialog.paintings
            dialog.query_one(Static).update(text)
            await until(pilot, lambda before=before, text=text: dialog.paintings > before)
            assert text in screen_text(app)
        assert not slow.asked
        slow.refresh()
        await until(pilot, lambda: slow.asked)
        # What is passed on to the dialog comes to rest.
        await until(pilot, lambda: not dialog._goes_on)
        paintings = screen.paintings, dialog.paintings
        await pilot.pause(0.3)
        assert (screen.paintings, dialog.paintings) == paintings


async def test_the_large_picture_styles_nothing_outside_the_results(
    make_app: MakeApp, digits: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    app = make_app(search=(DATASET, KEY))
    async with app.run_test(size=(160, 40)) as pilot:
        view = await browsing(pilot, app)
        styled: list[DOMNode] = []
        update = Stylesheet.update_nodes

        def noted(self: Stylesheet, nodes: Iterable[DOMNode], animate: bool = False) -> None:
            every = list(nodes)
            styled.extend(every)
            update(self, every, animate=animate)

        monkeypatch.setattr(Stylesheet, "update_nodes", noted)
        for large, grid, detail in ((True, False, True), (False, True, False), (False, True, True)):
            await pilot.press("d")
            await until(pilot, lambda large=large: view.is_large is large)
            assert (view.grid.display, view.query_one("#detail").display) == (grid, detail)
        assert styled and all(view.results in node.ancestors_with_self for node in styled)

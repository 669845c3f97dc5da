"""What is told about a picture, where there are more facts than lines; and that errors can be read."""

from __future__ import annotations

import pytest
from textual.app import App, ComposeResult
from textual.color import Color
from textual.theme import BUILTIN_THEMES

from tests.ui.conftest import screen_text, until
from tui.widgets.detail import FactsView
from tui.widgets.pictures import contrast, readable_on


class Shown(App[None]):
    """Twelve facts in five lines."""

    CSS = "#facts { height: 5; width: 30; }"

    def compose(self) -> ComposeResult:
        yield FactsView(id="facts")


async def test_facts_that_do_not_fit_are_counted_and_can_be_scrolled_to():
    app = Shown()
    async with app.run_test(size=(40, 10)) as pilot:
        view = app.query_one(FactsView)
        view.show(tuple((f"name{n}", f"value{n}") for n in range(5)))
        await until(pilot, lambda: "value4" in screen_text(app))
        assert "more" not in screen_text(app)
        view.show(tuple((f"field{n}", f"value{n}") for n in range(12)))
        await until(pilot, lambda: "▼ 8 more lines: J K" in screen_text(app))
        assert "value3" in screen_text(app)
        view.scroll_lines(3)
        await until(pilot, lambda: "▲ 4 lines above" in screen_text(app))
        assert "▼ 5 more lines" in screen_text(app)
        view.scroll_lines(100)
        await until(pilot, lambda: "value11" in screen_text(app))
        assert "▼" not in screen_text(app)
        # The next picture's are looked at from the same place, others from the first.
        view.show(tuple((f"field{n}", f"other{n}") for n in range(12)))
        await until(pilot, lambda: "other11" in screen_text(app))
        view.show((("score", "1"), *((f"field{n}", f"value{n}") for n in range(12))))
        await until(pilot, lambda: "score 1" in " ".join(screen_text(app).split()))


@pytest.mark.parametrize("theme", BUILTIN_THEMES)
@pytest.mark.parametrize("ground", ["#000000", "#1e1e1e", "#d8d8d8", "#ffffff"])
def test_why_a_picture_cannot_be_shown_is_readable_in_every_theme(theme: str, ground: str):
    error = Color.parse(BUILTIN_THEMES[theme].to_color_system().generate()["error"])
    shown = readable_on(Color.parse(ground), error)
    assert contrast(Color.parse(ground), shown) >= 4.5

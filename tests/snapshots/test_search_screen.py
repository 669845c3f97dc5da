"""The Search screen to the cell: results, nothing yet, one picture large; small and large, dark and light."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.snapshots.world import SIZES, app, made_elsewhere, pictures, settle, when
from tests.ui.conftest import screen_text
from tui.app import Kitescope
from tui.screens.search import SearchScreen
from tui.widgets.detail import DetailPane
from tui.widgets.pictures import PictureWidget

pytestmark = [
    made_elsewhere,
    pytest.mark.parametrize("size", ["80x24", "200x50"]),
    pytest.mark.parametrize("theme", ["dark", "light"]),
]
Compare = Callable[..., bool]


def drawn(shown: Kitescope) -> bool:
    """Whether everything that can be seen is."""
    pictures = [one for one in shown.screen.query(PictureWidget) if one.region.area]
    return all(one.drawing(each) for one in pictures for each in one.subjects())


def browsing(shown: Kitescope) -> bool:
    return isinstance(shown.screen, SearchScreen) and shown.screen.grid.current is not None


def found(shown: Kitescope) -> bool:
    return "60 results · 7 ms" in screen_text(shown) and drawn(shown)


def labelled(shown: Kitescope) -> bool:
    """Whether the pane, where it is seen, shows the first result and its labels."""
    text = " ".join(screen_text(shown).split())
    seen = shown.screen.query_one(DetailPane).region.area
    return found(shown) and (not seen or ("rank 1 " in text and "[i]beak" in text))


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    pictures()


def test_results(snap_compare: Compare, monkeypatch: pytest.MonkeyPatch, size: str, theme: str) -> None:
    settle(monkeypatch)
    before = when(labelled, "l", "space", "enter", first=browsing)
    assert snap_compare(app(theme, search=("birds", "look")), terminal_size=SIZES[size], run_before=before)


def test_one_picture_large(
    snap_compare: Compare, monkeypatch: pytest.MonkeyPatch, size: str, theme: str
) -> None:
    settle(monkeypatch)
    before = when(lambda shown: labelled(shown) and shown.screen.is_large, "enter", "d", first=browsing)
    assert snap_compare(app(theme, search=("birds", "look")), terminal_size=SIZES[size], run_before=before)


def test_nothing_yet(snap_compare: Compare, monkeypatch: pytest.MonkeyPatch, size: str, theme: str) -> None:
    settle(monkeypatch, empty=True)
    before: Any = when(lambda shown: "There is no index" in screen_text(shown), "6")
    assert snap_compare(app(theme), terminal_size=SIZES[size], run_before=before)

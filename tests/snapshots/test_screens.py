"""The other five screens to the cell, at 80x24 and 120x34: what they look like when all is well."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.snapshots.world import SIZES, app, made_elsewhere, pictures, settle, when
from tests.ui.conftest import screen_text
from tui.app import Kitescope
from tui.widgets.pictures import PictureWidget

# The key of each screen, and words that are there when everything it reads has been read, small and wide.
SCREENS = {
    "connection": ("1", ("● This session",), ("milvus:19530",)),
    "datasets": ("2", ("1,797",), ("1,797 samples", "Fields", "filepath")),
    "build": ("3", ("1,797 vectors", "ks_birds_look"), ("1,797 of birds", "f5 starts the build")),
    "jobs": ("4", ("✓ done", "✗ failed", "Start it, then"), ("✓ done", "✗ failed", "Start it, then")),
    "runs": ("5", ("look", "incomplete"), ("look", "ks_birds_crops_91c0")),
}

pytestmark = [made_elsewhere, pytest.mark.parametrize("size", ["80x24", "120x34"])]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    pictures()


@pytest.mark.parametrize("mode", SCREENS)
def test_screen(
    snap_compare: Callable[..., bool], monkeypatch: pytest.MonkeyPatch, mode: str, size: str
) -> None:
    settle(monkeypatch)
    key, *words = SCREENS[mode]

    def ready(shown: Kitescope) -> bool:
        text = screen_text(shown)
        drawn = all(
            one.drawing(each)
            for one in shown.screen.query(PictureWidget)
            if one.region.area
            for each in one.subjects()
        )
        return shown.current_mode == mode and drawn and all(word in text for word in words[size == "120x34"])

    def chosen(shown: Kitescope) -> bool:
        return shown.state.scope is not None and bool(shown.state.jobs)

    before = when(ready, key, first=chosen)
    assert snap_compare(app(dataset="birds"), terminal_size=SIZES[size], run_before=before)

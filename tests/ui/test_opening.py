"""Results in the real FiftyOne App, opened by a key, fetched over HTTP, stopped by a key."""

from __future__ import annotations

import asyncio
import json
import urllib.request
from collections.abc import Callable

from tests.ui.conftest import screen_text, told, until
from tests.ui.test_search import COUNT, DATASET, KEY, browsing
from tests.ui.test_search import digits as digits
from tui.app import Kitescope
from tui.core.services import processes
from tui.jobs import fiftyone_app
from tui.widgets.app_dialog import AppDialog

# FiftyOne is imported twice by what is started, which takes a loaded machine its time.
STARTS = 240


def _fetch(url: str) -> str:
    with urllib.request.urlopen(url, timeout=60) as answer:
        return str(answer.read().decode())


async def test_marked_and_results_are_shown_in_the_app_until_it_is_stopped(
    make_app: Callable[..., Kitescope], digits: dict[str, str]
) -> None:
    app = make_app(search=(DATASET, KEY))
    async with app.run_test(size=(80, 24)) as pilot:
        try:
            view = await browsing(pilot, app)
            await pilot.press("space", "space", "A")
            await until(pilot, lambda: "opening the FiftyOne App  esc cancels" in screen_text(app))
            await until(pilot, lambda: isinstance(app.screen, AppDialog) or told(app), STARTS)
            assert not told(app), fiftyone_app.log_file().read_text()
            info = fiftyone_app.running()
            assert info is not None
            await until(pilot, lambda: "shows these 2" in screen_text(app) and info.url in screen_text(app))
            version = json.loads(await asyncio.to_thread(_fetch, f"{info.url}fiftyone"))
            assert version["version"] == app.workspace.fiftyone().__version__
            assert "<title>FiftyOne</title>" in await asyncio.to_thread(_fetch, info.url)
            await pilot.press("y")
            await until(pilot, lambda: app.clipboard == fiftyone_app.ssh_line(info.port))
            await pilot.press("escape", "escape")
            await until(pilot, lambda: not view.grid.marks)

            await pilot.press("A")
            await until(pilot, lambda: f"shows these {COUNT}" in screen_text(app))
            again = fiftyone_app.running()
            assert again == info, "the App that runs is used"
            await pilot.press("x")
            await until(pilot, lambda: "is stopped" in told(app))
            assert fiftyone_app.running() is None
            await until(pilot, lambda: processes.can_bind(info.port))
        finally:
            await asyncio.to_thread(fiftyone_app.stop)

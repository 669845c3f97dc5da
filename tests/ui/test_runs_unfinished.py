"""On the Runs screen, a run that a crashed stock build left is told apart, resumed and discarded."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest
from textual.widgets import Input

from tests.core.making import crash_stock, make_dataset
from tests.engines.servers import MilvusLite
from tests.ui.conftest import screen_text, told, until
from tui.app import Kitescope
from tui.core import runs as core_runs
from tui.core.indexes import sync
from tui.core.workspace import Workspace
from tui.messages import RefreshRequested
from tui.preferences import Last
from tui.screens.run_dialogs import DeleteRuns
from tui.widgets.dialogs import Confirm
from tui.widgets.fitted import FittedTable


@pytest.fixture
def dataset(workspace: Workspace, milvus_lite: MilvusLite, unique_name: Callable[[str], str]) -> Any:
    """Five samples, and two runs that never came to their end."""
    made = make_dataset(workspace, unique_name("crash").replace("-", "_"), 5)
    for key, at in (("first", "connect"), ("second", "upload")):
        crash_stock(workspace, milvus_lite.uri, made, key, at, embeddings="emb")
    return made


async def test_a_crashed_stock_build_is_resumed_and_another_discarded(
    make_app: Callable[..., Kitescope], workspace: Workspace, dataset: Any
):
    name = dataset.name
    app = make_app(last=Last(screen="runs", dataset=name))
    async with app.run_test(size=(120, 34)) as pilot:
        table = app.screen.query_one("#runs", FittedTable)
        await until(pilot, lambda: len(table.shown) == 2 and app.screen.focused is table, 60)
        await until(pilot, lambda: screen_text(app).count("◐ unfinished") >= 2, 60)
        table.go_to(f"{name}\nfirst")
        await until(pilot, lambda: "It was never finished: u resumes it, d discards it" in squeezed(app), 60)
        await pilot.press("enter")
        await until(pilot, lambda: "resume it (u), or discard it (d)" in told(app), 60)
        await pilot.press("u")
        await until(pilot, lambda: isinstance(app.screen, Confirm), 60)
        assert f"Resume {name} / first?" in screen_text(app) and "come from field emb" in squeezed(app)
        await pilot.press("y")
        await until(pilot, lambda: core_runs.require_run(workspace, name, "first").finished, 90)
        await pilot.press("5")
        await until(pilot, lambda: app.current_mode == "runs" and "✓ ok" in screen_text(app), 90)
        table.go_to(f"{name}\nsecond")
        await pilot.press("d")
        await until(pilot, lambda: isinstance(app.screen, DeleteRuns), 60)
        assert f"Discard {name} / second?" in screen_text(app)
        app.screen.query_one(Input).value = "second"
        await pilot.press("enter")
        await until(pilot, lambda: table.shown == (f"{name}\nfirst",), 60)
    dataset.reload()
    assert dataset.list_brain_runs() == ["first"]


async def test_an_answer_of_before_the_end_of_a_build_does_not_outlast_it(
    make_app: Callable[..., Kitescope], workspace: Workspace, dataset: Any, monkeypatch: pytest.MonkeyPatch
):
    name, real = dataset.name, core_runs.with_health
    asked, may_answer = threading.Event(), threading.Event()

    def held_back(ws: Workspace, run: core_runs.RunInfo, **kwargs: Any) -> core_runs.RunInfo:
        """Its answer, which is late while the run is unfinished: only so do both meet at all times."""
        answer = real(ws, run, **kwargs)
        if run.brain_key == "first" and not run.finished:
            asked.set()
            assert may_answer.wait(60)
        return answer

    monkeypatch.setattr("tui.core.runs.with_health", held_back)
    app = make_app(last=Last(screen="runs", dataset=name))
    async with app.run_test(size=(120, 34)) as pilot:
        await until(pilot, asked.is_set)
        await asyncio.to_thread(sync, workspace, name, "first")
        app.post_message(RefreshRequested("runs"))
        await until(pilot, lambda: any(run.finished for run in app.state.runs or ()))
        may_answer.set()
        await until(pilot, lambda: "✓ ok" in screen_text(app))


def squeezed(app: Kitescope) -> str:
    """The screen as one line, so that where its lines break does not matter."""
    return " ".join(screen_text(app).replace("│", " ").split())

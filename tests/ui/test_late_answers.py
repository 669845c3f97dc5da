"""Answers that come late, in another order, or not at all: the state and the screens keep to the newest.

The engines are those of the snapshots, so that a test decides when core answers.
"""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable
from typing import Any

import pytest

from tests.snapshots import world
from tests.ui.conftest import ready, screen_text, told, until
from tests.ui.gates import gate
from tests.ui.values import _make
from tests.ui.values import dataset as some_dataset
from tests.ui.values import job as some_job
from tui.app import Kitescope
from tui.core import collections, datasets, runs
from tui.jobs import supervisor
from tui.jobs.info import newly_ended
from tui.messages import ConnectRequested, RefreshRequested
from tui.widgets.dialogs import Confirm
from tui.widgets.fitted import FittedTable


# -- jobs ---------------------------------------------------------------------------------------
def test_a_job_has_ended_that_was_never_seen_to_run_or_was_begun_again():
    done, again = some_job("a", "done"), dataclasses.replace(some_job("a", "failed"), attempt=2)
    assert newly_ended([some_job("a")], [done]) == newly_ended([], [done]) == [done]
    assert newly_ended([done], [again]) == [again]
    assert newly_ended([done], [done]) == newly_ended([done], [some_job("a")]) == []


async def test_a_job_that_starts_and_ends_between_two_looks_is_told_and_its_run_is_read(
    make: Callable[..., Kitescope], monkeypatch: pytest.MonkeyPatch
):
    app, now = make("jobs"), [some_job("old", "failed")]
    monkeypatch.setattr(supervisor, "list_jobs", lambda: list(now))
    async with app.run_test(size=(100, 30)) as pilot:
        await ready(pilot, app)
        assert "failed" not in told(app), "what ended before is history"
        found = [*(app.state.runs or ()), world.LOOK]
        monkeypatch.setattr(runs, "list_runs", lambda _ws: found)
        now.insert(0, some_job("quick", "done"))
        await until(pilot, lambda: "Build done" in told(app))
        await until(pilot, lambda: app.state.runs == tuple(found))


async def test_jobs_that_were_read_first_are_told_first(
    make: Callable[..., Kitescope], monkeypatch: pytest.MonkeyPatch
):
    app, now = make("jobs"), [some_job("a")]
    monkeypatch.setattr(supervisor, "cancel", lambda _job: now.__setitem__(0, some_job("a", "cancelled")))
    with gate(monkeypatch, supervisor, "list_jobs", lambda: list(now)) as reading:
        async with app.run_test(size=(100, 30)) as pilot:
            await until(pilot, reading.held.is_set)
            cancelling = app._cancel_job("a")
            await until(pilot, lambda: now[0].ended)
            for _ in range(20):  # the later reading would be told by now, did it not wait for the earlier
                await pilot.pause(0.01)
            reading.let()
            await until(pilot, lambda: cancelling.is_finished)
            monkeypatch.setattr(app, "_poll_jobs", lambda: None)
            await until(pilot, lambda: app._jobs_read is not None and app._jobs_read.is_finished)
            await pilot.pause()
            assert app.state.jobs == (some_job("a", "cancelled"),)


async def test_jobs_are_seen_while_many_questions_to_an_engine_hang(
    make: Callable[..., Kitescope], monkeypatch: pytest.MonkeyPatch
):
    app, now, let = make("jobs"), [some_job("a")], threading.Event()
    monkeypatch.setattr(supervisor, "list_jobs", lambda: list(now))
    async with app.run_test(size=(100, 30)) as pilot:
        await ready(pilot, app)
        hanging = threading.Semaphore(0)

        def silent(_ws: Any) -> list[Any]:
            hanging.release()
            let.wait()
            return []

        monkeypatch.setattr(datasets, "list_datasets", silent)
        try:
            for _ in range(20):
                app.post_message(RefreshRequested("datasets"))
                await until(pilot, lambda: hanging.acquire(blocking=False))
            now.insert(0, some_job("b"))
            await until(pilot, lambda: app.state.jobs == tuple(now))
        finally:
            let.set()


# -- the connection -----------------------------------------------------------------------------
class Dead(world.Engines):
    """Engines that never answer."""

    def milvus(self) -> Any:
        raise world_error()

    fiftyone = milvus


def world_error() -> Exception:
    from tui.core.errors import EngineUnreachable

    return EngineUnreachable("Nobody is there", "Start it")


@pytest.mark.parametrize("answer", ["datasets", "an error"])
async def test_what_an_old_connection_answers_late_is_nothing_of_the_new_one(
    make: Callable[..., Kitescope], monkeypatch: pytest.MonkeyPatch, answer: str
):
    def listed(_ws: Any) -> list[Any]:
        if answer == "datasets":
            return [some_dataset("of-the-old")]
        raise world_error()

    app = make("datasets")
    with gate(monkeypatch, datasets, "list_datasets", listed) as reading:
        async with app.run_test(size=(100, 30)) as pilot:
            await until(pilot, reading.held.is_set)
            reader = next(one for one in app.workers if one.name == "_load_datasets")
            app._open = Dead  # type: ignore[assignment]
            app.post_message(ConnectRequested(dataclasses.replace(world.SETTINGS, readonly=True)))
            await until(pilot, lambda: app.state.database.status == "failed")
            reading.let()
            await until(pilot, lambda: reader.is_finished)
            await pilot.pause()
            assert app.state.readonly and app.state.datasets is None
            assert "reading datasets" not in told(app).lower()


async def test_a_call_works_on_the_engines_that_were_in_use_when_it_was_made(
    make: Callable[..., Kitescope], monkeypatch: pytest.MonkeyPatch
):
    asked: list[Any] = []

    def delete(ws: Any, *_more: Any) -> None:
        asked.append(ws)
        raise world_error()

    app = make("datasets")
    async with app.run_test(size=(100, 30)) as pilot:
        await ready(pilot, app)
        old = app.workspace
        monkeypatch.setattr(datasets, "delete_dataset", delete)
        app.screen._delete("birds", False, "")
        # Before its thread can begin, other engines are in use.
        app._connect(ConnectRequested(world.SETTINGS))
        assert app.workspace is not old
        await until(pilot, lambda: asked)
        assert asked == [old]


# -- runs and collections -----------------------------------------------------------------------
async def test_the_run_that_was_changed_is_checked_again_wherever_the_cursor_is_by_then(
    make: Callable[..., Kitescope], monkeypatch: pytest.MonkeyPatch
):
    checked: list[str] = []
    monkeypatch.setattr(runs, "with_health", lambda _ws, run: checked.append(run.brain_key) or run)
    cleaned = runs.Removed("birds", "look", world.LOOK.collection, True, 1_797, "")
    app = make("runs")
    with gate(monkeypatch, runs, "cleanup", lambda *_of: cleaned) as cleaning:
        async with app.run_test(size=(120, 30)) as pilot:
            await ready(pilot, app)
            screen = app.screen
            await until(pilot, lambda: sorted(checked) == ["crops", "look"] and not screen.checking)
            table = screen.query_one("#runs", FittedTable)
            table.go_to("birds\nlook")
            await until(pilot, lambda: table.current_key == "birds\nlook" and app.focused is table)
            await pilot.press("x")
            await until(pilot, lambda: isinstance(app.screen, Confirm) and app.focused)
            await pilot.press(*"look", "enter")
            await until(pilot, cleaning.held.is_set)
            table.go_to("birds\ncrops")
            await until(pilot, lambda: table.current_key == "birds\ncrops")
            del checked[:]
            cleaning.let()
            await until(pilot, lambda: checked and not screen.busy and not screen.checking)
            assert checked == ["look"]


def _row(name: str) -> Any:
    from tui.core.collections import CollectionRow

    return _make(CollectionRow, name=name, runs=())


@pytest.mark.parametrize("milvus", ["another", "dead"])
async def test_collections_of_another_milvus_are_read_and_those_of_the_old_one_are_gone(
    make: Callable[..., Kitescope], monkeypatch: pytest.MonkeyPatch, milvus: str
):
    app = make("runs")
    first = app.workspace
    with gate(
        monkeypatch,
        collections,
        "list_collections",
        lambda ws: [_row("of_the_old" if ws is first else "of_the_new")],
    ) as reading:
        async with app.run_test(size=(120, 30)) as pilot:
            await ready(pilot, app)
            screen = app.screen
            await until(pilot, lambda: app.focused)
            await pilot.press("tab")
            await until(pilot, reading.held.is_set)
            reader = next(one for one in app.workers if one.name == "_load_collections")
            if milvus == "dead":
                app._open = Dead  # type: ignore[assignment]
            app.post_message(ConnectRequested(dataclasses.replace(world.SETTINGS, readonly=True)))
            await until(pilot, lambda: app.state.readonly and app.state.milvus.status != "connecting")
            reading.let()
            await until(pilot, lambda: reader.is_finished)
            if milvus == "dead":
                await until(pilot, lambda: "Nobody is there" in screen_text(app))
            else:
                await until(pilot, lambda: "of_the_new" in screen_text(app))
            await pilot.pause(0.3)
            assert "of_the_old" not in screen_text(app)
            assert screen.table().shown == (() if milvus == "dead" else ("of_the_new",))

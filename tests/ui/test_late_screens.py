"""Answers that a screen waits for while one goes elsewhere, closes a page, or something else is told."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.snapshots import world
from tests.ui.conftest import ready, screen_text, told, until
from tests.ui.gates import gate
from tests.ui.test_late_answers import Dead
from tests.ui.values import job as some_job
from tui.app import Kitescope
from tui.core import datasets, profiles
from tui.core.progress import Skipped
from tui.jobs import left_out, supervisor
from tui.jobs.left_out import LeftOutTagged
from tui.messages import ConnectRequested
from tui.screens import connection as connection_screen
from tui.screens import jobs as jobs_screen
from tui.screens.connection_messages import Told
from tui.screens.jobs import LogPage
from tui.screens.left_out import LeftOutPage
from tui.state import JobsSeen
from tui.widgets.dialogs import Ask
from tui.widgets.fitted import FittedTable
from tui.widgets.form_dialog import FormDialog


# -- datasets -----------------------------------------------------------------------------------
async def test_what_to_choose_of_a_dataset_is_not_asked_on_another_screen(
    make: Callable[..., Kitescope], monkeypatch: pytest.MonkeyPatch
):
    app, let = make("datasets"), threading.Event()
    detail = datasets.dataset_detail

    def look(ws: Any, name: str) -> Any:
        assert name != "birds" or let.wait(60)
        return detail(ws, name)

    monkeypatch.setattr(datasets, "dataset_detail", look)
    async with app.run_test(size=(100, 30)) as pilot:
        await ready(pilot, app)
        screen: Any = app.screen
        table = screen.query_one("#datasets", FittedTable)
        await until(pilot, lambda: app.focused is table)
        table.go_to("birds")
        await until(pilot, lambda: table.current_key == "birds")
        try:
            await pilot.press("v")
            await until(pilot, lambda: screen._view_wanted == "birds")
            await pilot.press("4")
            await until(pilot, lambda: app.current_mode == "jobs")
        finally:
            let.set()
        await until(pilot, lambda: "birds" in screen._inside)
        await pilot.pause()
        assert not isinstance(app.screen, FormDialog)


# -- jobs ---------------------------------------------------------------------------------------
async def test_tags_are_told_also_when_the_list_was_closed_meanwhile(
    make: Callable[..., Kitescope], monkeypatch: pytest.MonkeyPatch
):
    app = make("jobs")
    store = SimpleNamespace(skipped=lambda _job: (Skipped("1", "1.png", "broken"),))
    monkeypatch.setattr(jobs_screen, "JobStore", lambda: store)
    done = LeftOutTagged("abcde", "birds", ("bad",), 7, 0)
    with gate(monkeypatch, left_out, "tag_left_out", lambda *_of: done) as tagging:
        async with app.run_test(size=(100, 30)) as pilot:
            await ready(pilot, app)
            screen: Any = app.screen
            table = screen.query_one("#jobs", FittedTable)
            await until(pilot, lambda: app.focused is table)
            table.go_to(world.DONE.id)
            await until(pilot, lambda: screen.current == world.DONE)
            await pilot.press("x")
            await until(pilot, lambda: isinstance(app.screen, LeftOutPage) and app.focused)
            page = app.screen
            await pilot.press("t")
            await until(pilot, lambda: isinstance(app.screen, Ask) and app.focused)
            await pilot.press("enter")
            await until(pilot, lambda: tagging.held.is_set() and app.screen is page)
            await pilot.press("escape")
            await until(pilot, lambda: app.screen is screen)
            tagging.let()
            await until(pilot, lambda: "bad: on 7 of birds" in told(app))


class _Slow(type(Path())):  # type: ignore[misc]
    """A file on a disk that takes longer than the time between two looks into a log."""

    def open(self, *how: Any, **more: Any) -> Any:
        time.sleep(0.8)
        return super().open(*how, **more)


async def test_a_log_that_is_read_slowly_is_shown_all_the_same(
    make: Callable[..., Kitescope], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    (tmp_path / "job.log").write_text("the first line\n")
    job = dataclasses.replace(some_job("abcde"), log=_Slow(tmp_path / "job.log"))
    monkeypatch.setattr(supervisor, "list_jobs", lambda: [job])
    app = make("jobs")
    async with app.run_test(size=(100, 30)) as pilot:
        await until(pilot, lambda: app.focused and app.screen.query_one("#jobs", FittedTable).current_key)
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, LogPage))
        await until(pilot, lambda: "the first line" in screen_text(app), 20)


# -- the connection -----------------------------------------------------------------------------
async def test_a_connection_is_told_to_work_when_its_own_engines_answered(
    make: Callable[..., Kitescope], monkeypatch: pytest.MonkeyPatch
):
    app, said = make("connection"), list[str]()
    async with app.run_test(size=(100, 30)) as pilot:
        await ready(pilot, app)
        screen: Any = app.screen
        await until(pilot, lambda: screen._shown)
        screen.notify = lambda message, **_how: said.append(message)
        app._open = Dead  # type: ignore[assignment]
        settings = dataclasses.replace(world.SETTINGS, readonly=True)
        post = screen.post_message

        def posting(message: Any) -> bool:
            if isinstance(message, ConnectRequested):
                # Something else is told before the app takes the wish, while the old engines are ready.
                app._take(JobsSeen((some_job("other"),)))
            return bool(post(message))

        monkeypatch.setattr(screen, "post_message", posting)
        screen._use(settings)
        await until(pilot, lambda: app.state.readonly and app.state.database.status == "failed")
        await pilot.pause()
        assert not [line for line in said if line.startswith("Connected")]


async def test_the_cursor_goes_to_what_was_saved_also_when_the_list_is_read_for_another_reason(
    make: Callable[..., Kitescope], monkeypatch: pytest.MonkeyPatch
):
    app = make("connection")
    async with app.run_test(size=(100, 30)) as pilot:
        await ready(pilot, app)
        screen: Any = app.screen
        await until(pilot, lambda: screen._shown)
        profiles.save(profiles.Profile("lab", {"uri": "http://lab:19530"}, None))
        with gate(monkeypatch, connection_screen, "list_connections") as listing:
            screen.post_message(Told("Saved lab", go_to="profile lab", saved=("environment", {"user": "u"})))
            await until(pilot, listing.held.is_set)
            # Engines that answer meanwhile make it read the list again.
            app.post_message(ConnectRequested(dataclasses.replace(world.SETTINGS, readonly=True)))
            await until(pilot, lambda: listing.calls > 1)
            listing.let()
            await until(pilot, lambda: screen._shown == "profile lab")
            assert screen._edits["profile lab"] == {"user": "u"}

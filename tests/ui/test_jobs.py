"""The Jobs screen: a real job from its start to its index, its bars, its log, cancel and resume."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.jobs.helpers import freeze
from tests.ui.conftest import screen_text, told, until
from tests.ui.values import job as some_job
from tui.app import Kitescope
from tui.core.documents.selection import Scope
from tui.core.indexes import BuildSpec
from tui.core.progress import PHASES, Skipped
from tui.core.workspace import Workspace
from tui.jobs import database
from tui.jobs.info import JobInfo, PhaseProgress
from tui.jobs.spec import JobSpec, job_spec
from tui.jobs.store import JobStore
from tui.messages import BuildRequested, Happened
from tui.preferences import Last
from tui.screens.jobs import LogPage
from tui.state import JobsSeen
from tui.widgets.dialogs import Ask, Page
from tui.widgets.fitted import FittedTable

MakeApp = Callable[..., Kitescope]


@pytest.fixture
def pictures(workspace: Workspace, unique_name, tmp_path) -> Any:
    """A dataset of 4,000 samples over 20 real pictures, one of which is broken."""
    paths = [tmp_path / f"{i}.png" for i in range(20)]
    noise = np.random.default_rng(0).integers(0, 255, (20, 32, 32, 3), dtype=np.uint8)
    for path, pixels in zip(paths, noise, strict=True):
        Image.fromarray(pixels).save(path)
    paths[7].write_bytes(b"this is no picture")
    fo = workspace.fiftyone()
    made = fo.Dataset(unique_name("jobs").replace("-", "_"), persistent=True)
    made.add_samples([fo.Sample(filepath=str(paths[i % 20])) for i in range(4_000)], progress=False)
    yield made
    for name in workspace.milvus().collections():
        if made.name in name:
            workspace.milvus().drop(name)
    fo.delete_dataset(made.name)


def _spec(app: Kitescope, dataset: Any) -> BuildSpec:
    return BuildSpec(Scope(dataset.name), "built", batch_size=16, workers=1)


async def _ready(pilot, app: Kitescope) -> None:
    await until(pilot, lambda: app.state.milvus.status == app.state.database.status == "ready")


def _job(app: Kitescope) -> JobInfo:
    assert app.state.jobs
    return app.state.jobs[0]


async def test_a_job_moves_is_cancelled_resumed_and_opened(
    make_app: MakeApp, pictures: Any, workspace: Workspace
):
    app = make_app(last=Last(screen="jobs"))
    async with app.run_test(size=(80, 24)) as pilot:
        await _ready(pilot, app)
        app.post_message(BuildRequested(_spec(app, pictures)))
        await until(pilot, lambda: bool(app.state.jobs), 30)
        seen: set[int] = set()

        def moving() -> bool:
            embed = _job(app).phases.get("embed")
            if embed:
                seen.add(embed.done)
            upload = _job(app).phases.get("upload")
            return len(seen) > 2 and upload is not None and upload.done > 0

        await until(pilot, moving, 60)
        pid = _job(app).pid
        assert pid
        # Held still meanwhile: how fast this machine is does not matter then.
        freeze(pid)
        await until(pilot, lambda: "embed" in screen_text(app) and "of 4,000" in screen_text(app))
        await pilot.press("o")
        await until(pilot, lambda: "not there yet" in told(app))
        await pilot.press("c")
        await until(pilot, lambda: _job(app).state == "cancelling")
        os.kill(pid, signal.SIGCONT)
        await until(pilot, lambda: _job(app).state == "cancelled", 60)
        kept = _job(app).phases["upload"].done
        assert 0 < kept < 3_800
        await until(pilot, lambda: "■ cancelled" in screen_text(app) and "u goes on" in screen_text(app))

        await pilot.press("u")
        await until(pilot, lambda: _job(app).state == "done", 90)
        assert _job(app).attempt == 2 and _job(app).result["vectors"] == 3_800
        await until(pilot, lambda: "200 left out" in screen_text(app))
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, LogPage) and "attempt 2" in app.screen.body)
        await pilot.press("escape", "o")
        await until(pilot, lambda: app.current_mode == "search")
        assert app.state.index == (pictures.name, "built")


def _running(**known: Any) -> JobInfo:
    made = some_job("abcde")
    spec = job_spec("build", "birds", "k", _settings(), BuildSpec(Scope("birds"), "k"))
    return dataclasses.replace(
        made,
        **{"phase": "embed", "heartbeat": time.time(), "spec_json": spec.to_json(), "attempt": 1} | known,
    )


def _settings() -> Any:
    from tui.core.settings import resolve

    return resolve(flags={}, env={})


async def _shown(pilot, app: Kitescope, *jobs: JobInfo) -> str:
    app.post_message(Happened(JobsSeen(jobs)))
    await until(pilot, lambda: app.state.jobs == jobs)
    await pilot.pause(0.1)
    return screen_text(app)


@pytest.fixture
def quiet_app(make_app: MakeApp, monkeypatch) -> Kitescope:
    """The app with jobs that the test makes up: nobody reads the store."""
    app = make_app(last=Last(screen="jobs"))
    monkeypatch.setattr(app, "_read_jobs", lambda: None)
    return app


@pytest.mark.parametrize("size", [(80, 24), (200, 50)], ids=["80x24", "200x50"])
async def test_each_phase_has_a_bar_with_rate_and_time_left(quiet_app: Kitescope, size):
    half = {
        "model": PhaseProgress(1, 1, None, 0.0),
        "embed": PhaseProgress(50_000, 100_000, 812.4, 61.5),
        "upload": PhaseProgress(25_000, 100_000, 400.0, 187.0),
    }
    async with quiet_app.run_test(size=size) as pilot:
        lines = (await _shown(pilot, quiet_app, _running(phases=half))).splitlines()
        bars = {phase: next(line for line in lines if f"│ {phase} " in line) for phase in PHASES}
        assert "50,000 of 100,000   50%  812/s" in bars["embed"] and "1 min 2 s left" in bars["embed"]
        assert "25%" in bars["upload"] and "3 min 7 s left" in bars["upload"]
        assert "100%" in bars["model"] and "done" in bars["model"] and "waits" in bars["index"]
        filled = {phase: bars[phase].count("━") for phase in PHASES}
        assert filled["model"] > filled["embed"] > filled["upload"] > filled["index"] == 0
        more = half | {"embed": PhaseProgress(75_000, 100_000, 812.4, 30.0)}
        lines = (await _shown(pilot, quiet_app, _running(phases=more))).splitlines()
        bar = next(line for line in lines if "│ embed " in line)
        assert bar.count("━") > filled["embed"] and "75%" in bar


async def test_errors_casualties_and_frozen_workers_aretold(quiet_app: Kitescope):
    failed = _running(
        state="failed",
        phases={"embed": PhaseProgress(10, 100)},
        error="Milvus does not answer",
        remedy="Start it",
        skipped=(Skipped("1", "/data/broken.jpg", "not an image"),),
        skipped_count=31,
    )
    frozen = _running(id="zzzzz", phases={}, heartbeat=time.time() - 60)
    async with quiet_app.run_test(size=(80, 24)) as pilot:
        text = await _shown(pilot, quiet_app, failed)
        assert "Milvus does not answer." in text and "Start it." in text
        assert "31 left out" in text and "/data/broken.jpg: not an image" in text and "stopped" in text
        text = await _shown(pilot, quiet_app, frozen)
        assert "No sign of life for 1 min" in text


async def test_a_key_that_cannot_act_says_why(quiet_app: Kitescope):
    async with quiet_app.run_test(size=(80, 24)) as pilot:
        assert "No jobs yet" in await _shown(pilot, quiet_app)
        await pilot.press("c")
        await until(pilot, lambda: "no job to cancel" in told(quiet_app))
        await _shown(pilot, quiet_app, _running(state="done", phases={}))
        quiet_app.screen.focus_main()
        for key, why in (("c", "nothing to cancel"), ("u", "sync it on"), ("x", "left nothing out")):
            await pilot.press(key)
            await until(pilot, lambda why=why: why in told(quiet_app))
        await _shown(pilot, quiet_app, _running(phases={}))
        await pilot.press("u")
        await until(pilot, lambda: "is running already" in told(quiet_app))


async def test_every_casualty_can_be_read(make_app: MakeApp, home):
    store = JobStore()
    info = store.create(job_spec("build", "birds", "k", _settings(), BuildSpec(Scope("birds"), "k")))
    store.begin(info.id, 1)
    store.beat(info.id, 1, None, [Skipped(f"{i}", f"/data/{i}.jpg", "truncated") for i in range(300)])
    store.finish(info.id, 1, "done", result={"vectors": 5, "dim": 3, "seconds": 1.0, "collection": "c"})
    app = make_app(last=Last(screen="jobs"))
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: app.screen.query_one("#jobs", FittedTable).current_key == info.id)
        await pilot.press("x")
        await until(pilot, lambda: isinstance(app.screen, Page))
        assert "/data/0.jpg" in app.screen.body and "/data/299.jpg" in app.screen.body


async def test_what_was_left_out_is_tagged_in_the_dataset(make_app: MakeApp, pictures: Any, home):
    store = JobStore()
    info = store.create(
        job_spec("build", pictures.name, "k", _settings(), BuildSpec(Scope(pictures.name), "k"))
    )
    store.begin(info.id, 1)
    bad = pictures.values("id")[7:40:20]
    store.beat(info.id, 1, None, [Skipped(one, "/data/7.png", "not a picture") for one in bad])
    store.finish(info.id, 1, "done", result={"vectors": 5, "dim": 3, "seconds": 1.0, "collection": "c"})
    app = make_app(last=Last(screen="jobs"))
    async with app.run_test(size=(80, 24)) as pilot:
        await _ready(pilot, app)
        await until(pilot, lambda: app.screen.query_one("#jobs", FittedTable).current_key == info.id)
        await pilot.press("x")
        await until(pilot, lambda: isinstance(app.screen, Page) and "t tag" in screen_text(app))
        await pilot.press("t")
        await until(pilot, lambda: isinstance(app.screen, Ask))
        await pilot.press("ctrl+u", *"bad,mend", "enter")
        await until(pilot, lambda: "bad, mend: on 2 of" in told(app))
    pictures.reload()
    assert pictures.match_tags("bad").values("id") == bad == pictures.match_tags("mend").values("id")


LOCKS_EVERYBODY_OUT = """
import sqlite3, sys, time
db = sqlite3.connect(sys.argv[1], timeout=30, isolation_level=None)
db.execute("PRAGMA locking_mode = EXCLUSIVE")
db.execute("PRAGMA journal_mode = DELETE")
db.execute("BEGIN EXCLUSIVE")
print("locked", flush=True)
time.sleep(60)
"""


async def test_jobs_that_cannot_be_read_stay_as_last_known_and_that_is_said_once(
    make_app: MakeApp, home: Any, monkeypatch: pytest.MonkeyPatch
):
    store = JobStore()
    job = store.create(JobSpec("sync", "birds", "k"))
    monkeypatch.setattr(database, "_BUSY_S", 0.2)
    app, said = make_app(last=Last(screen="jobs")), list[str]()
    notify = app.notify

    def noted(message: str, **more: Any) -> None:
        said.append(message)
        notify(message, **more)

    # What was said, as what is shown goes away after a while.
    monkeypatch.setattr(app, "notify", noted)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: job.id in screen_text(app))
        command = [sys.executable, "-c", LOCKS_EVERYBODY_OUT, str(store.path)]
        locker = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
        try:
            assert await locker.stdout.readline() == b"locked\n"
            await until(pilot, lambda: "keeps the list of jobs locked" in told(app))
            for _ in range(3):
                last = app._jobs_read
                await until(pilot, lambda: app._jobs_read is not last and app._jobs_read.is_finished)  # noqa: B023
            assert sum("keeps the list of jobs locked" in message for message in said) == 1
            assert job.id in screen_text(app)
        finally:
            locker.kill()
            await locker.wait()
        monkeypatch.setattr(database, "_BUSY_S", 5.0)
        newer = store.create(JobSpec("sync", "birds", "k2"))
        await until(pilot, lambda: newer.id in screen_text(app))

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.jobs.helpers import SPEC, running_job, sleeper, until
from tui.core.errors import InvalidInput, KitescopeError, UnknownName
from tui.core.progress import Skipped
from tui.jobs import schema
from tui.jobs import store as store_module
from tui.jobs.info import JobProgress, PhaseProgress
from tui.jobs.store import JobStore


@pytest.fixture
def store(tmp_path: Path) -> JobStore:
    return JobStore(tmp_path / "state" / "jobs.db")


def test_a_new_job_is_queued_and_comes_back_as_it_was(store: JobStore) -> None:
    job = store.create(SPEC)
    assert store.get(job.id) == job
    assert (job.state, job.attempt, job.spec()) == ("queued", 1, SPEC)
    assert 4 <= len(job.id) <= 6
    assert job.id.isalnum()
    assert job.id[0].isalpha()


def test_files_are_private(store: JobStore) -> None:
    store.create(SPEC)
    assert store.path.stat().st_mode & 0o777 == 0o600
    assert store.path.parent.stat().st_mode & 0o777 == 0o700


def test_an_id_may_be_shortened_while_it_is_unambiguous(store: JobStore) -> None:
    job = store.create(SPEC)
    assert store.get(job.id[:3].upper()).id == job.id
    for wrong in ("", "zzzzzz", "%", "_____"):
        with pytest.raises(UnknownName):
            store.get(wrong)
    others = [store.create(SPEC) for _ in range(120)]
    assert len({other.id for other in others}) == 120
    firsts = [other.id[0] for other in others]
    twice = next(letter for letter in firsts if firsts.count(letter) > 1)
    with pytest.raises(UnknownName, match="More than one"):
        store.get(twice)


def test_many_processes_make_the_store_at_once(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from tui.jobs.store import JobStore; "
        "from tui.jobs.spec import JobSpec; "
        "print(JobStore(Path(sys.argv[1])).create(JobSpec('sync', 'd', 'k')).id)"
    )
    path = tmp_path / "new" / "jobs.db"
    started = [
        subprocess.Popen([sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    ids = {process.communicate(timeout=60)[0].strip() for process in started}
    assert ids == {job.id for job in JobStore(path).list()}
    assert len(ids) == 4


def test_jobs_are_listed_newest_first(store: JobStore) -> None:
    ids = [store.create(SPEC).id for _ in range(3)]
    assert [job.id for job in store.list()] == ids[::-1]


def test_progress_and_skipped_items(store: JobStore) -> None:
    job = store.create(SPEC)
    assert store.begin(job.id, 1) == SPEC
    progress = JobProgress({"embed": PhaseProgress(3, 10, 1.5, 4.7)}, "embed", "waiting")
    bad = [Skipped(str(n), f"/p/{n}.png", "not an image") for n in range(30)]
    assert store.beat(job.id, 1, progress, bad)
    seen = store.get(job.id)
    assert (seen.state, seen.phases, seen.phase, seen.notice) == (
        "running",
        progress.phases,
        "embed",
        "waiting",
    )
    assert seen.current == PhaseProgress(3, 10, 1.5, 4.7)
    assert seen.skipped_count == 30
    assert seen.skipped == tuple(bad[:20])
    assert store.skipped(job.id) == tuple(bad)
    assert store.beat(job.id, 1)
    assert store.get(job.id).phases == progress.phases


def test_skipped_items_are_bounded_and_counted(store: JobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "SKIPPED_KEPT", 5)
    job = store.create(SPEC)
    store.begin(job.id, 1)
    for start in (0, 4):
        store.beat(job.id, 1, None, [Skipped(str(n), "f", "r") for n in range(start, start + 4)])
    assert [item.id for item in store.skipped(job.id)] == ["0", "1", "2", "3", "4"]
    assert store.get(job.id).skipped_count == 8


def test_a_job_whose_process_is_gone_is_interrupted(store: JobStore) -> None:
    process = sleeper()
    job = running_job(store, process.pid)
    assert job.state == "queued"
    process.kill()
    # Not waited for: a zombie still has its pid and counts as gone.
    until(lambda: store.get(job.id).state == "interrupted", 5)
    process.wait()
    assert store.get(job.id).resumable


def test_a_reused_pid_is_not_taken_for_the_worker(store: JobStore) -> None:
    process = sleeper()
    try:
        job = running_job(store, process.pid)
        with sqlite3.connect(store.path) as db:
            db.execute("UPDATE jobs SET ticks = ticks - 100 WHERE id = ?", (job.id,))
        assert store.get(job.id).state == "interrupted"
    finally:
        process.kill()
        process.wait()


def test_a_worker_of_another_boot_is_judged_by_its_heartbeat(store: JobStore) -> None:
    job = store.create(SPEC)
    store.begin(job.id, 1)
    with sqlite3.connect(store.path) as db:
        db.execute("UPDATE jobs SET place = 'elsewhere'")
    assert store.get(job.id).state == "running"
    with sqlite3.connect(store.path) as db:
        db.execute("UPDATE jobs SET heartbeat = ?", (time.time() - 60,))
    assert store.get(job.id).state == "interrupted"


def test_a_starter_that_died_before_the_spawn_leaves_no_eternal_queue(store: JobStore) -> None:
    job = store.create(SPEC)
    with sqlite3.connect(store.path) as db:
        db.execute("UPDATE jobs SET queued = ?", (time.time() - 60,))
    assert store.get(job.id).state == "interrupted"


def test_a_cancelling_worker_that_went_is_cancelled(store: JobStore) -> None:
    process = sleeper()
    job = running_job(store, process.pid)
    store.request_cancel(job.id)
    assert store.get(job.id).state == "cancelling"
    process.kill()
    process.wait()
    assert store.get(job.id).state == "cancelled"
    with pytest.raises(InvalidInput, match="nothing to cancel"):
        store.request_cancel(job.id)


def test_a_job_cancelled_in_the_queue_never_begins(store: JobStore) -> None:
    job = store.create(SPEC)
    store.request_cancel(job.id)
    assert store.begin(job.id, 1) is None


def test_of_many_that_resume_one_wins(store: JobStore) -> None:
    job = store.create(SPEC)
    store.begin(job.id, 1)
    store.finish(job.id, 1, "failed", error=KitescopeError("it broke", "mend it"))
    failed = store.get(job.id)
    assert (failed.error, failed.remedy, failed.exit_code) == ("it broke", "mend it", 1)
    barrier = threading.Barrier(8)

    def claim(_: int) -> bool:
        barrier.wait()
        try:
            store.claim(job.id)
        except InvalidInput:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(claim, range(8))) == 1
    again = store.get(job.id)
    assert (again.state, again.attempt, again.error, again.phases) == ("queued", 2, None, {})


def test_what_an_earlier_attempt_says_is_not_heard(store: JobStore) -> None:
    job = store.create(SPEC)
    store.begin(job.id, 1)
    store.finish(job.id, 1, "cancelled")
    store.claim(job.id)
    assert store.begin(job.id, 1) is None
    assert not store.beat(job.id, 1, JobProgress({"embed": PhaseProgress(9, 9)}))
    store.finish(job.id, 1, "done", result={"vectors": 9})
    assert store.get(job.id).state == "queued"


def test_a_done_job_cannot_be_resumed(store: JobStore) -> None:
    job = store.create(SPEC)
    store.begin(job.id, 1)
    store.finish(job.id, 1, "done", result={"vectors": 7})
    assert store.get(job.id).result == {"vectors": 7}
    with pytest.raises(InvalidInput, match="is done"):
        store.claim(job.id)


def test_old_ended_jobs_go_with_their_logs_and_running_ones_stay(
    store: JobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "KEPT", 3)
    running = store.create(SPEC)
    store.begin(running.id, 1)
    old = store.create(SPEC)
    store.begin(old.id, 1)
    store.beat(old.id, 1, None, [Skipped("1", "f", "r")])
    store.finish(old.id, 1, "done")
    store.logs.mkdir(parents=True)
    old.log.write_text("gone soon")
    for _ in range(4):
        store.create(SPEC)
    assert running.id in {job.id for job in store.list()}
    assert old.id not in {job.id for job in store.list()}
    assert not old.log.exists()


def test_a_store_of_a_newer_program_is_refused_and_left_alone(store: JobStore) -> None:
    store.create(SPEC)
    with sqlite3.connect(store.path) as db:
        db.execute(f"PRAGMA user_version = {schema.VERSION + 1}")
    with pytest.raises(KitescopeError, match="newer"):
        store.list()


def test_a_spec_of_another_version_does_not_hide_the_list(store: JobStore) -> None:
    job = store.create(SPEC)
    with sqlite3.connect(store.path) as db:
        db.execute("""UPDATE jobs SET spec = '{"kind": "knit"}'""")
    assert [seen.id for seen in store.list()] == [job.id]
    with pytest.raises(KitescopeError, match="another version"):
        store.get(job.id).spec()


def test_a_reader_and_a_writer_do_not_wait_for_each_other(store: JobStore) -> None:
    job = store.create(SPEC)
    store.begin(job.id, 1)
    stop = threading.Event()

    def write() -> None:
        n = 0
        while not stop.is_set():
            n += 1
            store.beat(job.id, 1, JobProgress({"embed": PhaseProgress(n, None)}))

    writers = [threading.Thread(target=write) for _ in range(3)]
    for writer in writers:
        writer.start()
    try:
        slowest = 0.0
        for _ in range(200):
            began = time.perf_counter()
            store.get(job.id)
            slowest = max(slowest, time.perf_counter() - began)
    finally:
        stop.set()
        for writer in writers:
            writer.join()
    assert slowest < 2.0

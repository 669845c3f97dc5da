"""Real jobs: real processes that build real indexes."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from tests.conftest import settings_for
from tests.engines.servers import MilvusLite, Mongod
from tests.jobs.conftest import COUNT, DIM, Brake, Vectors
from tests.jobs.helpers import files_below, freeze, until
from tui import paths
from tui.core.errors import InvalidInput, ReadOnly
from tui.core.settings import Settings, resolve
from tui.jobs import supervisor
from tui.jobs.info import JobInfo
from tui.jobs.load import LoadMeter
from tui.jobs.spec import JobSpec
from tui.jobs.store import JobStore

SpecFor = Callable[..., JobSpec]


def under_way(store: JobStore, job_id: str, done: int = 20) -> JobInfo:
    """The job once it has written some vectors."""

    def is_so() -> bool:
        job = store.get(job_id)
        assert not job.ended, f"{job.state}: {job.error}\n{job.log.read_text()}"
        return "upload" in job.phases and job.phases["upload"].done >= done

    until(is_so, 60, "an upload")
    return store.get(job_id)


def collection_of(spec: JobSpec, settings: Settings) -> str:
    from tui.core import indexes
    from tui.core.workspace import Workspace

    assert spec.build is not None
    with Workspace(settings) as ws:
        return indexes.plan(ws, spec.build).collection


def pks(server: MilvusLite, collection: str) -> list[str]:
    from tui.core.milvus import Milvus

    milvus = Milvus.connect(server.client_kwargs(), 10)
    try:
        milvus.load(collection)
        return [one for page in milvus.ids(collection) for one in page]
    finally:
        milvus.close()


def done(job: JobInfo) -> JobInfo:
    assert job.state == "done", f"{job.state}: {job.error}\n{job.log.read_text()}"
    return job


def test_a_build_from_start_to_end(
    settings: Settings, spec_for: SpecFor, store: JobStore, vectors: Vectors, milvus_lite: MilvusLite
) -> None:
    spec = spec_for(settings)
    job = supervisor.start(spec, settings)
    assert job.state in ("queued", "running")
    seen = list(supervisor.follow(job.id))
    last = done(seen[-1])
    assert last.result is not None
    assert last.result["vectors"] == COUNT
    assert last.result["dim"] == DIM
    assert last.phases["upload"].done == COUNT
    assert (last.skipped, last.skipped_count, last.exit_code) == ((), 0, 0)
    assert {job.state for job in seen} <= {"queued", "running", "done"}
    assert sorted(pks(milvus_lite, last.result["collection"])) == sorted(vectors.ids)
    assert last.log.stat().st_mode & 0o777 == 0o600
    assert spec.brain_key in last.log.read_text()
    assert supervisor.wait(job.id, timeout=0) == last


def test_the_worker_is_a_session_of_its_own_and_ignores_a_hang_up(
    settings: Settings, spec_for: SpecFor, store: JobStore, brake: Brake
) -> None:
    job = supervisor.start(spec_for(settings, slow=True), settings)
    assert job.pid is not None
    under_way(store, job.id)
    assert os.getsid(job.pid) == job.pid != os.getsid(0)
    assert str(Path(f"/proc/{job.pid}/fd/0").readlink()) == os.devnull
    os.kill(job.pid, signal.SIGHUP)
    meter = LoadMeter(job.pid)
    assert meter.sample() is not None

    def works() -> bool:
        time.sleep(0.5)
        load = meter.sample()
        assert load is not None and load.memory_mb > 20
        return load.cpu_percent > 0

    until(works, 30, "a worker that gets the processor")
    assert store.get(job.id).state == "running"
    brake.let_go()
    assert supervisor.cancel(job.id).state == "cancelled"
    until(lambda: meter.sample() is None, 10, "the end of the process")


def test_cancel_keeps_what_is_done_and_resume_continues(
    settings: Settings,
    spec_for: SpecFor,
    store: JobStore,
    vectors: Vectors,
    milvus_lite: MilvusLite,
    brake: Brake,
) -> None:
    spec = spec_for(settings, slow=True)
    collection = collection_of(spec, settings)
    job = supervisor.start(spec, settings)
    under_way(store, job.id)
    brake.let_go()
    cancelled = supervisor.cancel(job.id, patience=30)
    assert cancelled.state == "cancelled"
    kept = pks(milvus_lite, collection)
    assert 20 <= len(set(kept)) == len(kept) < COUNT
    with pytest.raises(InvalidInput, match="nothing to cancel"):
        supervisor.cancel(job.id)
    resumed = supervisor.resume(job.id, settings)
    assert (resumed.id, resumed.attempt) == (job.id, 2)
    last = done(supervisor.wait(job.id, timeout=60))
    assert last.phases["upload"].done <= COUNT
    assert sorted(pks(milvus_lite, collection)) == sorted(vectors.ids)
    assert last.log.read_text().count("attempt") >= 2
    with pytest.raises(InvalidInput, match="is done"):
        supervisor.resume(job.id, settings)


def test_a_killed_worker_is_interrupted_and_can_be_resumed_once(
    settings: Settings,
    spec_for: SpecFor,
    store: JobStore,
    vectors: Vectors,
    milvus_lite: MilvusLite,
    brake: Brake,
) -> None:
    job = supervisor.start(spec_for(settings, slow=True), settings)
    pid = under_way(store, job.id).pid
    assert pid is not None
    os.killpg(pid, signal.SIGKILL)
    until(lambda: store.get(job.id).state == "interrupted", 5)
    brake.let_go()
    barrier = threading.Barrier(4)

    def resume(_: int) -> bool:
        barrier.wait()
        try:
            supervisor.resume(job.id, settings)
        except InvalidInput:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(resume, range(4))) == 1
    last = done(supervisor.wait(job.id, timeout=90))
    assert last.result is not None
    assert last.attempt == 2
    assert sorted(pks(milvus_lite, last.result["collection"])) == sorted(vectors.ids)


def test_a_frozen_worker_is_killed_when_it_is_cancelled(
    settings: Settings, spec_for: SpecFor, store: JobStore
) -> None:
    job = supervisor.start(spec_for(settings, slow=True), settings)
    pid = under_way(store, job.id).pid
    assert pid is not None
    freeze(pid, store)
    began = time.monotonic()
    assert supervisor.cancel(job.id, patience=30).state == "cancelled"
    assert 4 < time.monotonic() - began < 15
    until(lambda: not psutil.pid_exists(pid), 5)


def test_force_does_not_wait(settings: Settings, spec_for: SpecFor, store: JobStore) -> None:
    job = supervisor.start(spec_for(settings, slow=True), settings)
    pid = under_way(store, job.id).pid
    assert pid is not None
    began = time.monotonic()
    assert supervisor.cancel(job.id, force=True).state == "cancelled"
    assert time.monotonic() - began < 2
    until(lambda: not psutil.pid_exists(pid), 5)


def test_a_job_cancelled_at_once_never_works(settings: Settings, spec_for: SpecFor, store: JobStore) -> None:
    spec = spec_for(settings)
    job = supervisor.start(spec, settings)
    supervisor.cancel(job.id, patience=30)
    assert store.get(job.id).state == "cancelled"


def test_what_fails_says_what_and_remedy_and_keeps_the_exit_code(
    settings: Settings, spec_for: SpecFor, store: JobStore
) -> None:
    from tui.core.documents.selection import Scope

    job = supervisor.start(spec_for(settings, scope=Scope("no-such-dataset")), settings)
    failed = supervisor.wait(job.id, timeout=60)
    assert (failed.state, failed.exit_code) == ("failed", 2)
    assert failed.error is not None
    assert "no-such-dataset" in failed.error
    assert "Traceback" not in failed.error


def test_an_unexpected_error_is_in_the_log_only(
    settings: Settings, spec_for: SpecFor, store: JobStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The worker imports this first; -P keeps a working folder out, PYTHONPATH is the user's own choice.
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\n"
        "if 'tui.jobs.worker' in ' '.join(sys.orig_argv):\n"
        "    from tui.core import indexes\n"
        "    def broken(*args, **kwargs):\n"
        "        raise ZeroDivisionError('kaputt')\n"
        "    indexes.build = broken\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    job = supervisor.start(spec_for(settings), settings)
    failed = supervisor.wait(job.id, timeout=60)
    assert (failed.state, failed.exit_code) == ("failed", 1)
    assert failed.error is not None
    assert "ZeroDivisionError" in failed.error
    assert "kaputt" not in failed.error
    assert job.id in (failed.remedy or "")
    assert "kaputt" in failed.log.read_text()


def test_a_worker_that_cannot_start_leaves_an_interrupted_job_and_a_log(
    settings: Settings, spec_for: SpecFor, store: JobStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import os, sys\nif 'tui.jobs.worker' in ' '.join(sys.orig_argv): os._exit(9)\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    job = supervisor.start(spec_for(settings), settings)
    assert supervisor.wait(job.id, timeout=10).state == "interrupted"


def test_a_folder_full_of_foreign_modules_is_not_imported(
    settings: Settings, spec_for: SpecFor, store: JobStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("tui", "random", "numpy"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('a stranger')")
    monkeypatch.chdir(tmp_path)
    job = supervisor.start(spec_for(settings), settings)
    done(supervisor.wait(job.id, timeout=60))


def test_readonly_starts_and_resumes_nothing(settings: Settings, spec_for: SpecFor, store: JobStore) -> None:
    from dataclasses import replace

    locked = replace(settings, readonly=True)
    with pytest.raises(ReadOnly):
        supervisor.start(spec_for(settings), locked)
    assert store.list() == []
    job = store.create(spec_for(settings))
    store.finish(job.id, 1, "failed")
    with pytest.raises(ReadOnly):
        supervisor.resume(job.id, locked)


def test_a_job_is_not_resumed_on_another_server(
    settings: Settings, spec_for: SpecFor, store: JobStore, mongod: Mongod
) -> None:
    job = store.create(spec_for(settings))
    store.finish(job.id, 1, "failed")
    kwargs = settings.milvus_kwargs()
    for flags in (
        {**kwargs, "uri": "http://elsewhere:19530", "database_uri": mongod.uri},
        {**kwargs, "db_name": "other", "database_uri": mongod.uri},
        {**kwargs, "database_uri": "mongodb://elsewhere/"},
        {"database_uri": mongod.uri},
    ):
        with pytest.raises(InvalidInput, match="belongs to other engines"):
            supervisor.resume(job.id, resolve(flags=flags, env={}))
    assert store.get(job.id).state == "failed"


SECRET = "kite-s3cret-pa55"


def test_secrets_are_nowhere(
    mongod: Mongod, milvus_lite: MilvusLite, spec_for: SpecFor, store: JobStore, home: Path, brake: Brake
) -> None:
    flags = {
        "uri": milvus_lite.uri,
        "user": "root",
        "password": SECRET,
        "database_uri": mongod.uri,
    }
    settings = resolve(flags=flags, env={})
    spec = spec_for(settings, slow=True)
    job = supervisor.start(spec, settings)
    pid = under_way(store, job.id).pid
    for what in ("cmdline", "environ"):
        assert SECRET.encode() not in Path(f"/proc/{pid}/{what}").read_bytes()
    brake.let_go()
    supervisor.cancel(job.id, patience=30)
    written = files_below(paths.state_dir(), paths.config_dir(), paths.data_dir(), paths.cache_dir())
    assert paths.state_dir() / "jobs.db" in written
    assert [path for path, content in written.items() if SECRET.encode() in content] == []
    assert SECRET not in repr(store.get(job.id))


def test_a_secret_in_a_foreign_message_is_masked_in_the_log(
    mongod: Mongod,
    milvus_lite: MilvusLite,
    spec_for: SpecFor,
    store: JobStore,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\n"
        "if 'tui.jobs.worker' in ' '.join(sys.orig_argv):\n"
        "    from tui.core import indexes\n"
        "    def broken(ws, *args, **kwargs):\n"
        "        print('login', ws.settings.milvus['token'].value, flush=True)\n"
        "        raise ValueError('cannot log in as ' + ws.settings.milvus['token'].value)\n"
        "    indexes.build = broken\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    flags = {"uri": milvus_lite.uri, "token": f"root:{SECRET}", "database_uri": mongod.uri}
    settings = resolve(flags=flags, env={})
    job = supervisor.start(spec_for(settings), settings)
    failed = supervisor.wait(job.id, timeout=60)
    log = failed.log.read_text()
    assert "cannot log in as ***" in log
    assert "login ***" in log
    assert SECRET not in log
    assert SECRET not in repr(failed)


def test_sync_is_a_job_too(settings: Settings, spec_for: SpecFor, store: JobStore, vectors: Vectors) -> None:
    from tui.jobs.spec import job_spec

    spec = spec_for(settings)
    done(supervisor.wait(supervisor.start(spec, settings).id, timeout=60))
    job = supervisor.start(job_spec("sync", vectors.dataset, spec.brain_key, settings), settings)
    last = done(supervisor.wait(job.id, timeout=60))
    assert last.result is not None
    assert (last.result["added"], last.result["removed"], last.result["unchanged"]) == (0, 0, COUNT)


def test_a_milvus_that_freezes_in_mid_build_does_not_freeze_cancel(
    mongod: Mongod,
    milvus_lite_factory: Callable[..., MilvusLite],
    spec_for: SpecFor,
    store: JobStore,
    brake: Brake,
) -> None:
    server = milvus_lite_factory()
    settings = settings_for(mongod, server)
    job = supervisor.start(spec_for(settings, slow=True), settings)
    under_way(store, job.id)
    server.stop()
    time.sleep(1.5)
    assert store.get(job.id).responding
    began = time.monotonic()
    supervisor.cancel(job.id, patience=0)
    assert time.monotonic() - began < 2
    assert supervisor.cancel(job.id, force=True).state == "cancelled"
    server.cont()
    brake.let_go()
    resumed = supervisor.resume(job.id, settings)
    done(supervisor.wait(resumed.id, timeout=90))

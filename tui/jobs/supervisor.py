"""Start, watch, cancel and resume jobs. Nothing here keeps a job alive: it outlives whoever started it."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from tui.core.errors import InvalidInput, KitescopeError, ReadOnly
from tui.core.services.processes import child_environment
from tui.jobs.database import StoreBusy
from tui.jobs.process import send
from tui.jobs.store import JobStore

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tui.core.settings import Settings
    from tui.jobs.info import JobInfo
    from tui.jobs.spec import JobSpec

_POLL_S = 0.1
_QUIET_S = 5.0
_log = logging.getLogger(__name__)


def start(spec: JobSpec, settings: Settings, *, store: JobStore | None = None) -> JobInfo:
    """Start a job in a session of its own and answer at once.

    Raises ``ReadOnly`` when the settings forbid changes, ``KitescopeError`` when no process can be started.
    """
    store = store or JobStore()
    _require_writable(settings, spec.kind)
    return _launch(store, store.create(spec), settings)


def resume(job_id: str, settings: Settings, *, store: JobStore | None = None) -> JobInfo:
    """Continue a failed, cancelled or interrupted job under its id, in a new process.

    Raises ``InvalidInput`` when it is done or under way, or when ``settings`` lead to other engines than the
    job's; ``UnknownName``; ``ReadOnly``.
    """
    store = store or JobStore()
    job = store.get(job_id)
    _require_writable(settings, job.kind)
    spec = job.spec()
    if not spec.leads_to_same_engines(settings):
        where = spec.milvus_uri or "the embedded Milvus"
        profile = f"--profile {spec.profile}" if spec.profile else "the settings it was started with"
        raise InvalidInput(f"Job {job.id} belongs to other engines ({where})", f"Resume it with {profile}")
    if spec.build is not None and spec.build.overwrite:
        # That it replaces a run was confirmed when it was started.
        settings = replace(settings, confirmed=settings.confirm_word)
    return _launch(store, store.claim(job.id), settings)


def cancel(
    job_id: str, *, force: bool = False, patience: float = 10.0, store: JobStore | None = None
) -> JobInfo:
    """Ask a job to stop after its batch and wait up to ``patience`` seconds for that.

    A worker that gives no sign of life for 5 s is killed with its children; ``force`` kills at once. The
    answer still says ``cancelling`` when the batch takes longer. Raises ``InvalidInput`` when nothing runs,
    ``StoreBusy`` when the worker of another job was stopped while it wrote.
    """
    store = store or JobStore()
    try:
        row = store.request_cancel(job_id)
    except StoreBusy as busy:
        job = store.get(job_id)
        if busy.job != job.id:
            raise
        # It was stopped while it wrote, so nobody can write before it is gone.
        return _kill(store, job.id, job.attempt)
    full_id, attempt, pid = row["id"], row["attempt"], row["pid"]
    if pid is None:
        # No process yet: the worker, should it come, finds the job cancelled.
        return store.get(full_id)
    if force:
        return _kill(store, full_id, attempt)
    send(pid, row["ticks"], row["place"], signal.SIGTERM)
    asked = time.time()
    while True:
        job = store.get(full_id)
        if job.ended or job.attempt != attempt:
            return job
        last_sign = max(asked, job.heartbeat or 0.0)
        if time.time() - last_sign > _QUIET_S:
            return _kill(store, full_id, attempt)
        if time.time() - asked > patience:
            return job
        time.sleep(_POLL_S)


def follow(job_id: str, *, store: JobStore | None = None, interval: float = _POLL_S) -> Iterator[JobInfo]:
    """Yield the job now and whenever something about it changed, until it ended."""
    store = store or JobStore()
    last: JobInfo | None = None
    while True:
        job = store.get(job_id)
        if job != last:
            yield job
            last = job
        if job.ended:
            return
        time.sleep(interval)


def wait(job_id: str, *, timeout: float | None = None, store: JobStore | None = None) -> JobInfo:
    """Block until the job ended, or ``timeout`` seconds; answers it as it is then."""
    store = store or JobStore()
    until = None if timeout is None else time.monotonic() + timeout
    while True:
        job = store.get(job_id)
        if job.ended or (until is not None and time.monotonic() >= until):
            return job
        time.sleep(_POLL_S)


def list_jobs(*, store: JobStore | None = None) -> list[JobInfo]:
    """Every job, newest first, also those of lost sessions."""
    return (store or JobStore()).list()


def _require_writable(settings: Settings, kind: str) -> None:
    if settings.readonly:
        raise ReadOnly(f"{kind} changes an index and the session is read-only", "Leave out --readonly")


def _kill(store: JobStore, job_id: str, attempt: int) -> JobInfo:
    job, row = store.get(job_id), store.worker(job_id)
    if job.ended or row["attempt"] != attempt or row["pid"] is None:
        # It ended by itself in the meantime, or somebody resumed it.
        return job
    # The worker leads its session, so the group takes its decoders with it.
    send(row["pid"], row["ticks"], row["place"], signal.SIGKILL, group=True)
    store.finish(job_id, attempt, "cancelled")
    return store.get(job_id)


def _launch(store: JobStore, job: JobInfo, settings: Settings) -> JobInfo:
    job.log.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    log = os.open(job.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        process = subprocess.Popen(
            # -P: a folder of the user's that happens to hold a "tui" or a "random.py" must not be imported.
            [sys.executable, "-P", "-m", "tui.jobs.worker", job.id, str(job.attempt)],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            env=child_environment(),
            close_fds=True,
            start_new_session=True,
        )
    except OSError as error:
        failure = KitescopeError(f"The job's process cannot be started ({error})", "Free memory or processes")
        store.finish(job.id, job.attempt, "failed", error=failure)
        raise failure from error
    finally:
        os.close(log)
    job = store.launched(job.id, job.attempt, process.pid)
    _hand_over(process, settings)
    # Reaped by a thread: a zombie in the process table would stay as long as the UI.
    threading.Thread(target=process.wait, name=f"reaper-{job.id}", daemon=True).start()
    return job


def _hand_over(process: subprocess.Popen[bytes], settings: Settings) -> None:
    assert process.stdin is not None
    try:
        with process.stdin as pipe:
            pipe.write(settings.to_json().encode())
    except BrokenPipeError:
        _log.warning("worker %d ended before it read its settings", process.pid)

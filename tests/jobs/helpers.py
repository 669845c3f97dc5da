"""What the tests of jobs share."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from tests.engines import servers
from tui.jobs.info import JobInfo
from tui.jobs.spec import JobSpec
from tui.jobs.store import JobStore

SPEC = JobSpec("sync", "dataset", "key")


def until(ready: Callable[[], object], seconds: float = 30.0, what: str = "it") -> None:
    """Wait until ``ready()`` is true."""
    deadline = time.monotonic() + seconds
    while not ready():
        if time.monotonic() >= deadline:
            # This process may have stood still since it looked.
            assert ready(), f"{what} did not happen in {seconds} s"
            return
        time.sleep(0.02)


def running_job(store: JobStore, pid: int) -> JobInfo:
    """A job that says it runs in process ``pid``."""
    job = store.create(SPEC)
    store.launched(job.id, job.attempt, pid)
    return store.get(job.id)


def freeze(pid: int, store: JobStore | None = None) -> None:
    """Stop a worker at a moment when it is not writing to the store, which nobody else could use then."""
    path = (store or JobStore()).path
    for _ in range(200):
        servers.freeze(pid)
        try:
            with closing(sqlite3.connect(path, timeout=0.1, isolation_level=None)) as db:
                db.execute("BEGIN IMMEDIATE")
            return
        except sqlite3.OperationalError:
            os.kill(pid, signal.SIGCONT)
            time.sleep(0.02)
    raise AssertionError("the worker writes to the store all the time")


def sleeper() -> subprocess.Popen[bytes]:
    """A process that does nothing for a minute."""
    return subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)


def files_below(*places: Path) -> dict[Path, bytes]:
    """Every file below some folders with its bytes."""
    found = {}
    for place in places:
        for folder, _, names in os.walk(place):
            for name in names:
                path = Path(folder) / name
                if path.is_file():
                    found[path] = path.read_bytes()
    return found

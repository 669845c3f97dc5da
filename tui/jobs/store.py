"""Jobs and their progress in SQLite: written by workers, read by every face at the same time."""

from __future__ import annotations

import os
import secrets
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, cast

import msgspec

from tui.core.errors import InvalidInput, KitescopeError, UnknownName
from tui.core.progress import Skipped
from tui.core.services.ticks import start_ticks
from tui.jobs.database import Database, StoreBusy
from tui.jobs.info import RESUMABLE, SKIPPED_SHOWN, JobInfo, JobProgress, JobState
from tui.jobs.process import here, is_alive
from tui.jobs.spec import JobSpec
from tui.paths import state_dir

KEPT = 300
"""How many ended jobs are kept."""
SKIPPED_KEPT = 10_000
"""How many skipped items are kept per job; the log has all."""
_LETTERS = "abcdefghjkmnpqrstuvwxyz"
_ALPHABET = _LETTERS + "23456789"
_LAUNCH_S = 30.0


class JobStore:
    """The jobs of this user. Threads may share a store, which keeps nothing open but in ``held``."""

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or state_dir() / "jobs.db"
        self.logs = self.path.parent / "jobs"
        self._database = Database(self.path)

    # --- reading

    def get(self, job_id: str) -> JobInfo:
        """One job by its id or an unambiguous beginning of it; raises ``UnknownName``."""
        with self._database.reading() as db:
            return self._info(db, self._find(db, job_id))

    def list(self) -> list[JobInfo]:
        """Every job, newest first."""
        with self._database.reading() as db:
            rows = db.execute("SELECT * FROM jobs ORDER BY created DESC, rowid DESC").fetchall()
            return [self._info(db, row) for row in rows]

    def skipped(self, job_id: str) -> tuple[Skipped, ...]:
        """The items the job left out and why, at most ``SKIPPED_KEPT``."""
        with self._database.reading() as db:
            return _skipped(db, self._find(db, job_id)["id"], SKIPPED_KEPT)

    def worker(self, job_id: str) -> sqlite3.Row:
        """Which process is at the job, at which attempt: ``attempt``, ``pid``, ``ticks``, ``place``."""
        with self._database.reading() as db:
            return cast(sqlite3.Row, self._find(db, job_id))

    # --- the supervisor's side

    def create(self, spec: JobSpec) -> JobInfo:
        """A new queued job, its first attempt; ended jobs beyond ``KEPT`` go."""
        with self._writing() as db:
            self._prune(db)
            job_id = _new_id(db)
            db.execute(
                "INSERT INTO jobs (id, kind, dataset, brain_key, state, spec, created, queued)"
                " VALUES (?, ?, ?, ?, 'queued', ?, ?, ?)",
                (job_id, spec.kind, spec.dataset, spec.brain_key, spec.to_json(), time.time(), time.time()),
            )
            return self._info(db, self._find(db, job_id))

    def claim(self, job_id: str) -> JobInfo:
        """Queue an ended job again as its next attempt; of two callers one wins.

        Raises ``InvalidInput`` when the job is done or still under way.
        """
        with self._writing() as db:
            row = self._find(db, job_id)
            state = _state(row)
            if state not in RESUMABLE:
                why = "is done" if state == "done" else f"is {state} already"
                raise InvalidInput(f"Job {row['id']} {why}", f"See 'kitescope jobs show {row['id']}'")
            db.execute("DELETE FROM skipped WHERE job = ?", (row["id"],))
            db.execute(
                "UPDATE jobs SET state = 'queued', attempt = attempt + 1, queued = ?, pid = NULL,"
                " ticks = NULL, place = NULL, heartbeat = NULL, started = NULL, finished = NULL,"
                " progress = NULL, error = NULL, remedy = NULL, exit_code = 0, result = NULL,"
                " skipped_count = 0 WHERE id = ?",
                (time.time(), row["id"]),
            )
            return self._info(db, self._find(db, row["id"]))

    def launched(self, job_id: str, attempt: int, pid: int) -> JobInfo:
        """Note the worker's process, so that it is known to be gone even if it never says a word."""
        with self._writing() as db:
            db.execute(
                "UPDATE jobs SET pid = ?, ticks = ?, place = ? WHERE id = ? AND attempt = ? AND pid IS NULL",
                (pid, start_ticks(pid) or -1, here(), job_id, attempt),
            )
            return self._info(db, self._find(db, job_id))

    def request_cancel(self, job_id: str) -> sqlite3.Row:
        """Mark a job that is under way as being cancelled; answers its row. Raises ``InvalidInput``."""
        with self._writing() as db:
            row = self._find(db, job_id)
            state = _state(row)
            if state not in ("queued", "running", "cancelling"):
                raise InvalidInput(f"Job {row['id']} is {state}, there is nothing to cancel")
            db.execute("UPDATE jobs SET state = 'cancelling' WHERE id = ?", (row["id"],))
            return cast(sqlite3.Row, self._find(db, row["id"]))

    # --- the worker's side

    def held(self) -> AbstractContextManager[None]:
        """Wraps the worker's life: stopped at any moment, it keeps nobody from reading."""
        return self._database.held()

    def begin(self, job_id: str, attempt: int) -> JobSpec | None:
        """The worker says that it runs; None when it must not (cancelled meanwhile, or another attempt)."""
        pid, now = os.getpid(), time.time()
        with self._writing() as db:
            changed = db.execute(
                "UPDATE jobs SET state = 'running', pid = ?, ticks = ?, place = ?, started = ?, heartbeat = ?"
                " WHERE id = ? AND attempt = ? AND state = 'queued'",
                (pid, start_ticks(pid), here(), now, now, job_id, attempt),
            ).rowcount
            return JobSpec.from_json(self._find(db, job_id)["spec"]) if changed else None

    def beat(
        self, job_id: str, attempt: int, progress: JobProgress | None = None, skipped: Iterable[Skipped] = ()
    ) -> bool:
        """A sign of life, with the progress when it changed; False when the attempt is no longer this one."""
        with self._writing() as db:
            changed = db.execute(
                "UPDATE jobs SET heartbeat = ?, progress = coalesce(?, progress)"
                " WHERE id = ? AND attempt = ? AND state IN ('running', 'cancelling')",
                (time.time(), _encode(progress), job_id, attempt),
            ).rowcount
            if changed:
                _add_skipped(db, job_id, skipped)
            return bool(changed)

    def finish(
        self,
        job_id: str,
        attempt: int,
        state: JobState,
        *,
        result: Mapping[str, Any] | None = None,
        error: KitescopeError | None = None,
    ) -> None:
        """The last word on an attempt; kept only when nobody said one before."""
        with self._writing() as db:
            db.execute(
                "UPDATE jobs SET state = ?, finished = ?, result = ?, error = ?, remedy = ?, exit_code = ?"
                " WHERE id = ? AND attempt = ? AND state IN ('queued', 'running', 'cancelling')",
                (
                    state,
                    time.time(),
                    _encode(result),
                    error.what if error else None,
                    error.remedy if error else None,
                    error.exit_code if error else 0,
                    job_id,
                    attempt,
                ),
            )

    # --- inside

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        try:
            with self._database.writing() as db:
                yield db
        except StoreBusy as busy:
            with self._database.reading() as db:
                rows = db.execute(
                    "SELECT * FROM jobs WHERE pid = ? AND finished IS NULL", (busy.pid,)
                ).fetchall()
            at_it = [row["id"] for row in rows if _state(row) in ("running", "cancelling")]
            raise StoreBusy(busy.pid, at_it[0] if at_it else None) from busy

    def _find(self, db: sqlite3.Connection, job_id: str) -> Any:
        wanted = job_id.strip().lower()
        rows = db.execute(
            "SELECT * FROM jobs WHERE substr(id, 1, ?) = ? ORDER BY id = ? DESC LIMIT 2",
            (len(wanted), wanted, wanted),
        ).fetchall()
        if not wanted or not rows:
            raise UnknownName(f"There is no job {job_id!r}", "See 'kitescope jobs list'")
        if len(rows) > 1 and rows[0]["id"] != wanted:
            raise UnknownName(f"More than one job begins with {job_id!r}", "Give the whole id")
        return rows[0]

    def _info(self, db: sqlite3.Connection, row: sqlite3.Row) -> JobInfo:
        progress = (
            msgspec.json.decode(row["progress"], type=JobProgress) if row["progress"] else JobProgress({})
        )
        return JobInfo(
            id=row["id"],
            kind=row["kind"],
            dataset=row["dataset"],
            brain_key=row["brain_key"],
            state=_state(row),
            phases=progress.phases,
            phase=progress.phase,
            notice=progress.notice,
            error=row["error"],
            remedy=row["remedy"],
            exit_code=row["exit_code"],
            result=msgspec.json.decode(row["result"]) if row["result"] else None,
            skipped=_skipped(db, row["id"], SKIPPED_SHOWN) if row["skipped_count"] else (),
            skipped_count=row["skipped_count"],
            created=row["created"],
            started=row["started"],
            finished=row["finished"],
            heartbeat=row["heartbeat"],
            pid=row["pid"],
            attempt=row["attempt"],
            log=self.logs / f"{row['id']}.log",
            spec_json=row["spec"],
        )

    def _prune(self, db: sqlite3.Connection) -> None:
        old = db.execute("SELECT * FROM jobs ORDER BY created DESC, rowid DESC LIMIT -1 OFFSET ?", (KEPT,))
        for row in old.fetchall():
            if _state(row) not in ("queued", "running", "cancelling"):
                db.execute("DELETE FROM jobs WHERE id = ?", (row["id"],))
                db.execute("DELETE FROM skipped WHERE job = ?", (row["id"],))
                (self.logs / f"{row['id']}.log").unlink(missing_ok=True)


def _state(row: sqlite3.Row) -> JobState:
    """The stored state, corrected when the worker that should be at it is gone."""
    state = cast(JobState, row["state"])
    if state not in ("queued", "running", "cancelling"):
        return state
    if row["pid"] is None:
        # Between the row and its process lies one spawn; a starter that died there never comes back.
        gone = time.time() - row["queued"] > _LAUNCH_S
    else:
        gone = not is_alive(row["pid"], row["ticks"], row["place"], row["heartbeat"])
    if not gone:
        return state
    return "cancelled" if state == "cancelling" else "interrupted"


def _skipped(db: sqlite3.Connection, job_id: str, limit: int) -> tuple[Skipped, ...]:
    rows = db.execute(
        "SELECT item, filepath, reason FROM skipped WHERE job = ? ORDER BY rowid LIMIT ?", (job_id, limit)
    )
    return tuple(Skipped(row["item"], row["filepath"], row["reason"]) for row in rows)


def _add_skipped(db: sqlite3.Connection, job_id: str, skipped: Iterable[Skipped]) -> None:
    items = list(skipped)
    if not items:
        return
    have = db.execute("SELECT count(*) FROM skipped WHERE job = ?", (job_id,)).fetchone()[0]
    db.executemany(
        "INSERT INTO skipped (job, item, filepath, reason) VALUES (?, ?, ?, ?)",
        [(job_id, s.id, s.filepath, s.reason) for s in items[: max(0, SKIPPED_KEPT - have)]],
    )
    db.execute("UPDATE jobs SET skipped_count = skipped_count + ? WHERE id = ?", (len(items), job_id))


def _encode(value: object | None) -> str | None:
    return None if value is None else msgspec.json.encode(value).decode()


def _new_id(db: sqlite3.Connection) -> str:
    while True:
        job_id = secrets.choice(_LETTERS) + "".join(secrets.choice(_ALPHABET) for _ in range(4))
        if db.execute("SELECT 1 FROM jobs WHERE id = ?", (job_id,)).fetchone() is None:
            return job_id

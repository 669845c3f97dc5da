"""The file behind the job store: who reads never waits for who writes, not even for one that was stopped."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from tui.core.errors import KitescopeError
from tui.jobs import schema

_BUSY_S = 5.0
_BUSY_CODES = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL})
# Where SQLite keeps the lock of the one writer, in the shared memory beside a database in WAL mode.
_WRITE_LOCK = 120


class StoreBusy(KitescopeError):
    """Another process keeps the list of jobs locked for longer than any write takes: it was stopped.

    Attributes:
        pid: that process, when it can be told.
        job: the job that it works at, when it is a job's.
    """

    def __init__(self, pid: int | None, job: str | None = None) -> None:
        self.pid, self.job = pid, job
        who = "Another process" if pid is None else f"Process {pid}"
        remedy = "Let a stopped Kitescope go on (fg), or end it"
        if job is not None:
            who = f"Job {job}, whose process {pid} stands still,"
            remedy = f"End it with 'kitescope jobs cancel {job}', or let it go on with 'kill -CONT {pid}'"
        elif pid is not None:
            remedy = f"If it was stopped, let it go on with 'kill -CONT {pid}', or end it"
        super().__init__(f"{who} keeps the list of jobs locked", remedy)


class Database:
    """One SQLite file in WAL mode. Threads may share it; nothing is kept open outside ``held``."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._kept: sqlite3.Connection | None = None

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """One read transaction, so that everything read is of the same moment; raises ``KitescopeError``."""
        with self._telling(), closing(self._connect()) as db:
            db.execute("BEGIN")
            yield db

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """One write transaction; raises ``StoreBusy``, or ``KitescopeError``: the file cannot be used."""
        with self._telling(), self._lock, self._writer() as db:
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
                db.execute("COMMIT")
            except BaseException:
                if db.in_transaction:
                    db.execute("ROLLBACK")
                raise

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep one connection open for as long as this process writes often.

        Opening and closing the file lock everybody out for a moment. A process that is stopped in such a
        moment would hide all jobs; one that is stopped while it writes keeps only others from writing.
        """
        with self._telling(), self._writer() as db:
            self._kept = db
            try:
                yield
            finally:
                with self._lock:
                    self._kept = None
                # Readers may go on meanwhile, as they may not while the last connection tidies up.
                with suppress(sqlite3.Error):
                    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    @contextmanager
    def _writer(self) -> Iterator[sqlite3.Connection]:
        if self._kept is not None:
            yield self._kept
            return
        # With one beside it that cannot write, the one that can is not the last to close, which tidies up.
        with closing(self._connect()), closing(_open(self.path, "rw")) as db:
            db.execute("PRAGMA synchronous = NORMAL")
            yield db

    @contextmanager
    def _telling(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.DatabaseError as error:
            # The low byte is the code, what is above it says more.
            if getattr(error, "sqlite_errorcode", 0) & 0xFF in _BUSY_CODES:
                raise StoreBusy(self._holder()) from error
            raise KitescopeError(
                f"The list of jobs in {self.path} cannot be used ({error})",
                "See whether the disk is full and the file is yours",
            ) from error

    def _connect(self) -> sqlite3.Connection:
        """A connection that reads; the file is made, or brought to today's schema, where that is needed."""
        if not self.path.exists():
            self._make()
        db = _open(self.path, "ro")
        try:
            if db.execute("PRAGMA user_version").fetchone()[0] != schema.VERSION:
                self._make()
        except BaseException:
            db.close()
            raise
        return db

    def _make(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            # Two processes that switch a new file to WAL at once get "locked" past any busy timeout.
            with FileLock(self.path.with_suffix(".lock"), timeout=_BUSY_S):
                self.path.touch(mode=0o600)
                with closing(_open(self.path, "rw")) as db:
                    schema.migrate(db)
        except Timeout as error:
            raise StoreBusy(None) from error

    def _holder(self) -> int | None:
        """The process that has the lock for writing, where the system tells."""
        try:
            inode = Path(f"{self.path}-shm").stat().st_ino
            lines = Path("/proc/locks").read_text().splitlines()
        except OSError:
            return None
        for line in lines:
            # 1: POSIX ADVISORY WRITE 4711 08:01:1234567 120 120
            fields = line.split()
            if len(fields) == 8 and fields[3] == "WRITE" and fields[5].endswith(f":{inode}"):
                first, last = fields[6:]
                if int(first) <= _WRITE_LOCK and (last == "EOF" or int(last) >= _WRITE_LOCK):
                    return int(fields[4]) if int(fields[4]) > 0 else None
        return None


def _open(path: Path, mode: str) -> sqlite3.Connection:
    uri = f"{path.absolute().as_uri()}?mode={mode}"
    # Threads use a kept connection in turn.
    db = sqlite3.connect(uri, uri=True, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)
    db.row_factory = sqlite3.Row
    return db

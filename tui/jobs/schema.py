"""The tables of the job store, versioned by SQLite's ``user_version``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tui.core.errors import KitescopeError

if TYPE_CHECKING:
    import sqlite3

_STEPS = (
    """
    CREATE TABLE jobs (
        id TEXT PRIMARY KEY, kind TEXT NOT NULL, dataset TEXT NOT NULL, brain_key TEXT NOT NULL,
        state TEXT NOT NULL, spec TEXT NOT NULL, attempt INTEGER NOT NULL DEFAULT 1,
        created REAL NOT NULL, queued REAL NOT NULL, started REAL, finished REAL, heartbeat REAL,
        pid INTEGER, ticks INTEGER, place TEXT, progress TEXT, result TEXT,
        error TEXT, remedy TEXT, exit_code INTEGER NOT NULL DEFAULT 0,
        skipped_count INTEGER NOT NULL DEFAULT 0
    );
    CREATE INDEX jobs_created ON jobs (created);
    CREATE TABLE skipped (
        job TEXT NOT NULL, item TEXT NOT NULL, filepath TEXT NOT NULL, reason TEXT NOT NULL
    );
    CREATE INDEX skipped_job ON skipped (job);
    """,
)
VERSION = len(_STEPS)
"""The schema this program writes."""


def migrate(db: sqlite3.Connection) -> None:
    """Bring the store to ``VERSION``; raises ``KitescopeError`` when a newer program wrote it."""
    found = db.execute("PRAGMA user_version").fetchone()[0]
    if found > VERSION:
        raise KitescopeError("The job store was written by a newer Kitescope", "Upgrade Kitescope")
    db.execute("PRAGMA journal_mode = WAL")
    for number, step in enumerate(_STEPS[found:], found + 1):
        db.executescript(f"BEGIN IMMEDIATE; {step} PRAGMA user_version = {number}; COMMIT;")

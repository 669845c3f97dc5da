"""What jobs were done on one brain run."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from tui.jobs import supervisor


def history(dataset: str, brain_key: str) -> list[dict[str, Any]]:
    """The jobs on a run that are still known, newest first, ready for JSON; times are UTC, ISO 8601.

    A run is found by its present key: what was done before it was renamed is listed under its old one.
    """
    return [
        {
            "id": job.id,
            "kind": job.kind,
            "state": job.state,
            "started": _time(job.started),
            "finished": _time(job.finished),
            "skipped": job.skipped_count,
            "result": job.result,
            "error": job.error,
        }
        for job in supervisor.list_jobs()
        if (job.dataset, job.brain_key) == (dataset, brain_key)
    ]


def _time(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")

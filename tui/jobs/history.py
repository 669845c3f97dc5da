"""What jobs were done on one brain run."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from tui.jobs import supervisor


def history(dataset: str, brain_key: str, former: Sequence[tuple[str, str]] = ()) -> list[dict[str, Any]]:
    """The jobs on a run that are still known, newest first, ready for JSON; times are UTC, ISO 8601.

    Args:
        former: keys that the run had before, each with until when, as ``RunInfo.former`` has them: what was
            done under them before then was done to this run, and what came later to another.
    """
    until = {key: when for key, when in former if key != brain_key}
    return [
        {
            "id": job.id,
            "kind": job.kind,
            "brain_key": job.brain_key,
            "state": job.state,
            "started": _time(job.started),
            "finished": _time(job.finished),
            "skipped": job.skipped_count,
            "result": job.result,
            "error": job.error,
        }
        for job in supervisor.list_jobs()
        if job.dataset == dataset
        and (
            job.brain_key == brain_key
            or (job.brain_key in until and (_time(job.created) or "") <= until[job.brain_key])
        )
    ]


def _time(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")

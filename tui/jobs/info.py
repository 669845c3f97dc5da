"""What is known of a job, as a frozen value."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tui.core.progress import Phase, Skipped
from tui.jobs.spec import JobKind, JobSpec

JobState = Literal["queued", "running", "cancelling", "done", "failed", "cancelled", "interrupted"]
ENDED: frozenset[JobState] = frozenset({"done", "failed", "cancelled", "interrupted"})
RESUMABLE: frozenset[JobState] = frozenset({"failed", "cancelled", "interrupted"})
SKIPPED_SHOWN = 20
"""How many skipped items a ``JobInfo`` carries; ``JobStore.skipped`` has more, the log has all."""
_QUIET_S = 5.0


@dataclass(frozen=True, slots=True)
class PhaseProgress:
    """``done`` of ``total`` items, at ``rate`` items a second, ``eta_s`` seconds to go; None: not known."""

    done: int
    total: int | None
    rate: float | None = None
    eta_s: float | None = None


@dataclass(frozen=True, slots=True)
class JobProgress:
    """How far a running job is."""

    phases: Mapping[Phase, PhaseProgress]
    phase: Phase | None = None
    notice: str = ""


@dataclass(frozen=True, slots=True)
class JobInfo:
    """One job as last told. Times are seconds since the epoch.

    ``result`` is the JSON form of ``BuildResult`` or ``SyncResult`` without its skipped items; ``exit_code``
    is what the command line ends with for a failed job.
    """

    id: str
    kind: JobKind
    dataset: str
    brain_key: str
    state: JobState
    phases: Mapping[Phase, PhaseProgress]
    phase: Phase | None
    notice: str
    error: str | None
    remedy: str | None
    exit_code: int
    result: Mapping[str, Any] | None
    skipped: tuple[Skipped, ...]
    skipped_count: int
    created: float
    started: float | None
    finished: float | None
    heartbeat: float | None
    pid: int | None
    attempt: int
    log: Path
    spec_json: str

    @property
    def ended(self) -> bool:
        """Whether nothing more will come from this job unless it is resumed."""
        return self.state in ENDED

    @property
    def resumable(self) -> bool:
        """Whether the job can be continued."""
        return self.state in RESUMABLE

    @property
    def responding(self) -> bool:
        """Whether the worker gave a sign of life in the last seconds; False for a frozen one."""
        return self.heartbeat is not None and time.time() - self.heartbeat < _QUIET_S

    @property
    def current(self) -> PhaseProgress | None:
        """The progress of the phase that is under way."""
        return self.phases.get(self.phase) if self.phase else None

    def spec(self) -> JobSpec:
        """What the job was told to do; raises ``KitescopeError`` when another version wrote it."""
        return JobSpec.from_json(self.spec_json)


def newly_ended(before: Iterable[JobInfo], now: Iterable[JobInfo]) -> list[JobInfo]:
    """The jobs that ended between two lists, also those that began meanwhile."""
    known = {(job.id, job.attempt, job.state) for job in before if job.ended}
    return [job for job in now if job.ended and (job.id, job.attempt, job.state) not in known]

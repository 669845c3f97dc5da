"""Watch a job from the command line: bars for people, JSON lines for programs."""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, Any, Protocol

from tui.core.errors import Interrupted, InvalidInput, KitescopeError
from tui.core.words import counted
from tui.jobs import supervisor
from tui.jobs.store import SKIPPED_KEPT, JobStore

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.progress import Progress, TaskID

    from tui.cli.output import Output
    from tui.core.progress import Phase
    from tui.jobs.info import JobInfo, PhaseProgress

_PER_SECOND = 9
_QUIET_EVERY_S = 10.0


class Watcher(Protocol):
    """Takes a job as it changes."""

    def __call__(self, job: JobInfo) -> None:
        """The job as it is now."""

    def close(self) -> None:
        """The job ended, or nobody watches any more."""


def watch(out: Output, job_id: str, *, as_json: bool) -> JobInfo:
    """Follow a job that was started here to its end; Ctrl-C cancels it and keeps what is done."""
    try:
        return follow(out, job_id, as_json=as_json)
    except KeyboardInterrupt:
        out.say(f"Cancelling job {job_id}; what is finished is kept. Ctrl-C again leaves it alone.")
    try:
        supervisor.cancel(job_id, patience=0.5)
    except InvalidInput:
        # It ended by itself at the same moment.
        return JobStore().get(job_id)
    return follow(out, job_id, as_json=as_json)


def follow(out: Output, job_id: str, *, as_json: bool) -> JobInfo:
    """Follow a job to its end without owning it."""
    watcher = _watcher(out, as_json=as_json)
    job = JobStore().get(job_id)
    try:
        for job in supervisor.follow(job_id):
            watcher(job)
    finally:
        watcher.close()
    return job


def ended_error(job: JobInfo) -> KitescopeError | None:
    """The error of a job that did not get done, with the exit code it should have."""
    if job.state == "done":
        return None
    if job.state == "cancelled":
        return Interrupted(
            f"Job {job.id} was cancelled, what was finished is kept",
            f"'kitescope jobs resume {job.id}' continues it",
        )
    if job.state == "interrupted":
        return KitescopeError(
            f"The worker of job {job.id} is gone",
            f"'kitescope jobs resume {job.id}' continues it, 'kitescope jobs log {job.id}' may tell why",
        )
    error = KitescopeError(job.error or f"job {job.id} failed", job.remedy or "")
    error.exit_code = job.exit_code or 1
    return error


def final_event(job: JobInfo) -> dict[str, Any]:
    """The last JSON line of a build."""
    error = ended_error(job)
    if error is not None:
        name = "cancelled" if job.state == "cancelled" else "failed"
        return {"event": name, "job": job.id, "error": error.what, "remedy": error.remedy}
    return {"event": "done", "job": job.id, **(job.result or {}), **skipped_facts(job)}


def skipped_facts(job: JobInfo) -> dict[str, Any]:
    """Every skipped item; when there are too many to keep, how many there were and where the rest is."""
    facts: dict[str, Any] = {"skipped": JobStore().skipped(job.id) if job.skipped_count else ()}
    if job.skipped_count > SKIPPED_KEPT:
        facts |= {"skipped_count": job.skipped_count, "skipped_log": str(job.log)}
    return facts


def tell_skipped(out: Output, job: JobInfo) -> None:
    """The first skipped items for people, and where all of them are."""
    if not job.skipped_count:
        return
    out.say(f"Skipped {counted(job.skipped_count, 'file')}:")
    for item in job.skipped:
        out.say(f"  {item.filepath}: {item.reason}")
    if job.skipped_count > len(job.skipped):
        rest = job.skipped_count - len(job.skipped)
        out.say(f"  and {rest:,} more, see 'kitescope jobs log {job.id}'")


def _watcher(out: Output, *, as_json: bool) -> Watcher:
    if as_json:
        return _JsonLines(out)
    return _Bars(out) if out.narration.isatty() else _Lines(out)


class _JsonLines:
    """One line per phase that moved, fewer than ten a second, and always the last word on a phase."""

    def __init__(self, out: Output) -> None:
        self._out = out
        self._sent: dict[Phase, PhaseProgress] = {}
        self._last: dict[Phase, PhaseProgress] = {}
        self._times: deque[float] = deque(maxlen=_PER_SECOND)

    def __call__(self, job: JobInfo) -> None:
        for phase, progress in job.phases.items():
            self._last[phase] = progress
            sent = self._sent.get(phase)
            if sent is not None and (sent.done, sent.total) == (progress.done, progress.total):
                continue
            now = time.monotonic()
            if len(self._times) < _PER_SECOND or now - self._times[0] >= 1.0:
                self._times.append(now)
                self._send(phase, progress)

    def close(self) -> None:
        for phase, progress in self._last.items():
            sent = self._sent.get(phase)
            if sent is None or sent.done != progress.done:
                self._send(phase, progress)

    def _send(self, phase: Phase, progress: PhaseProgress) -> None:
        self._sent[phase] = progress
        self._out.json_line(
            {
                "event": "progress",
                "phase": phase,
                "done": progress.done,
                "total": progress.total,
                "rate": progress.rate,
                "eta_s": progress.eta_s,
            }
        )


class _Lines:
    """For a log: a line when a phase is complete, and one every ten seconds."""

    def __init__(self, out: Output) -> None:
        self._out = out
        self._told: set[Phase] = set()
        self._next = time.monotonic() + _QUIET_EVERY_S
        self._notice = ""

    def __call__(self, job: JobInfo) -> None:
        if job.notice and job.notice != self._notice:
            self._out.say(job.notice)
        self._notice = job.notice
        for phase, progress in job.phases.items():
            if progress.total and progress.done >= progress.total and phase not in self._told:
                self._told.add(phase)
                self._out.say(f"{phase}: {progress.done:,} of {progress.total:,}")
        if job.phase and job.current and time.monotonic() > self._next:
            self._next = time.monotonic() + _QUIET_EVERY_S
            self._out.say(f"{job.phase}: {describe(job.current)}")

    def close(self) -> None:
        """Nothing is left open."""


class _Bars:
    """One bar per phase on the terminal."""

    def __init__(self, out: Output) -> None:
        from rich.progress import BarColumn, Progress, TextColumn

        self._progress: Progress = Progress(
            TextColumn("{task.description:<7}"),
            BarColumn(bar_width=30),
            TextColumn("{task.fields[figures]}"),
            console=out.console(out.narration),
            refresh_per_second=10,
        )
        self._tasks: dict[str, TaskID] = {}
        self._progress.start()

    def __call__(self, job: JobInfo) -> None:
        for phase, progress in job.phases.items():
            if phase not in self._tasks:
                self._tasks[phase] = self._progress.add_task(phase, total=None, figures="")
            self._progress.update(
                self._tasks[phase], completed=progress.done, total=progress.total, figures=describe(progress)
            )
        if job.notice:
            if "" not in self._tasks:
                self._tasks[""] = self._progress.add_task("wait", total=None, figures="")
            self._progress.update(self._tasks[""], figures=job.notice, visible=True)
        elif "" in self._tasks:
            self._progress.update(self._tasks[""], visible=False)

    def close(self) -> None:
        self._progress.stop()


def describe(progress: PhaseProgress) -> str:
    """Figures in a few words: ``1,200 of 1,797, 310/s, 2 s left``."""
    return ", ".join(_figures(progress))


def _figures(progress: PhaseProgress) -> Iterator[str]:
    yield f"{progress.done:,}" + (f" of {progress.total:,}" if progress.total is not None else "")
    finished = progress.total is not None and progress.done >= progress.total
    if progress.rate:
        yield f"{progress.rate:,.0f}/s" if progress.rate >= 10 else f"{progress.rate:.1f}/s"
    if progress.eta_s is not None and not finished:
        yield f"{duration(progress.eta_s)} left"


def duration(seconds: float) -> str:
    """``8 s``, ``3 min 20 s``, ``2 h 5 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"

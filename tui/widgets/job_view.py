"""How a job reads: its row in the list, and what is told about the one under the cursor."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import datetime

from rich.text import Text

from tui.core.errors import KitescopeError
from tui.core.progress import Skipped
from tui.core.words import counted
from tui.jobs.info import JobInfo, JobState
from tui.jobs.load import JobLoad
from tui.widgets.fitted import FitColumn
from tui.widgets.phases import speed
from tui.widgets.table import TableRow
from tui.widgets.text import cell, number, plain, seconds

COLUMNS = (
    FitColumn("state", "State"),
    FitColumn("what", "Dataset / key", least=16),
    FitColumn("progress", "Progress"),
    FitColumn("rate", "Rate", drop=2, right=True),
    FitColumn("time", "Time", right=True),
    FitColumn("skipped", "Left out", drop=3, right=True),
    FitColumn("created", "Started", drop=1),
    FitColumn("kind", "Kind", drop=4),
    FitColumn("id", "Job", drop=5),
)

_SKIPPED_SHOWN = 5
_STATES: dict[JobState, tuple[str, str]] = {
    "queued": ("◌", "cyan"),
    "running": ("▶", "bold cyan"),
    "cancelling": ("◐", "yellow"),
    "done": ("✓", "green"),
    "failed": ("✗", "bold red"),
    "cancelled": ("■", "yellow"),
    "interrupted": ("!", "bold red"),
}


def job_row(job: JobInfo) -> TableRow:
    """One line of the list."""
    sign, style = _STATES[job.state]
    current = job.current
    rate = current.rate if current and not job.ended else None
    began = job.started or job.created
    return TableRow(
        job.id,
        (
            cell(f"{sign} {job.state}", style),
            cell(f"{job.dataset} / {job.brain_key}"),
            cell(_progress(job)),
            cell(speed(rate), justify="right"),
            cell(_time(job), justify="right"),
            number(job.skipped_count) if job.skipped_count else cell(""),
            cell(_clock(began)),
            cell(job.kind),
            cell(job.id),
        ),
        (
            job.state,
            (job.dataset, job.brain_key),
            _part(job),
            rate,
            _left(job) if not job.ended else _took(job),
            job.skipped_count,
            began,
            job.kind,
            job.id,
        ),
        f"{job.id} {job.kind} {job.state} {job.dataset} {job.brain_key} {job.error or ''}",
    )


def _part(job: JobInfo) -> float | None:
    if job.state == "done":
        return 1.0
    current = job.current
    return current.done / current.total if current and current.total else None


def _progress(job: JobInfo) -> str:
    if job.state == "done":
        vectors = (job.result or {}).get("vectors")
        return counted(vectors, "vector") if isinstance(vectors, int) else "done"
    part = _part(job)
    if job.phase is None:
        return "–" if job.ended else "starting"
    return f"{job.phase} {int(100 * part)}%" if part is not None else job.phase


def _left(job: JobInfo) -> float | None:
    return job.current.eta_s if job.current else None


def _took(job: JobInfo) -> float | None:
    return job.finished - job.started if job.finished and job.started else None


def _time(job: JobInfo) -> str:
    if not job.ended:
        left = seconds(_left(job))
        return f"{left} left" if left else ""
    return seconds(_took(job))


def _clock(moment: float) -> str:
    """The time of day, and the date when that was not today."""
    then = datetime.fromtimestamp(moment)
    return f"{then:%H:%M:%S}" if then.date() == datetime.now().date() else f"{then:%Y-%m-%d %H:%M}"


def job_title(job: JobInfo) -> Text:
    """The heading of the selected job."""
    sign, style = _STATES[job.state]
    text = Text().append(f"{sign} {job.state}  ", style)
    text.append(plain(f"{job.kind.capitalize()} {job.dataset} / {job.brain_key}"), "bold")
    if job.ended:
        took = seconds(_took(job))
        text.append(f"  in {took}" if took else "", "dim")
    elif job.started:
        text.append(f"  for {seconds(time.time() - job.started)}", "dim")
    return text.append(f"  job {job.id}" + (f", attempt {job.attempt}" if job.attempt > 1 else ""), "dim")


def job_work(job: JobInfo) -> str:
    """What the job does, in a line: the source, the collection, the metric."""
    try:
        spec = job.spec()
    except KitescopeError as error:
        return str(error)
    build = spec.build
    where = spec.milvus_uri or "embedded Milvus"
    if build is None:
        return f"brings the index up to date on {where}"
    source = build.source
    vectors = (source.embeddings_field and f"field {source.embeddings_field}") or (
        source.embeddings and f"file {source.embeddings}"
    )
    made_by = f" made by {source.model}" if source.model else ""
    what = f"{vectors}{made_by}" if vectors else source.model or "the built-in model"
    scope = build.scope
    part = [f"patches {scope.patches_field}"] if scope.patches_field else []
    part += [f"slice {name}" for name in scope.slices]
    part += [f"view {scope.view}"] if scope.view else []
    part += [f"#{tag}" for tag in scope.tags] + [f"{path}={value}" for path, value in scope.where]
    part += [f"first {scope.limit:,}"] if scope.limit else []
    index = f"{build.index.type}, {build.metric}"
    return " · ".join([*part, what, index, *([build.collection] if build.collection else []), where])


class _Notes:
    """Lines of text, each in its style."""

    def __init__(self) -> None:
        self.text = Text()

    def say(self, said: str, style: str = "") -> None:
        self.text.append(("\n" if self.text else "") + plain(said), style)


def job_notes(job: JobInfo, load: JobLoad | None) -> Text:
    """What else is worth saying: load, notice, result, error with its remedy, what was skipped."""
    notes = _Notes()
    if not job.ended:
        _say_running(job, load, notes)
    if job.error:
        notes.say(f"{job.error}.", "bold red")
        if job.remedy:
            notes.say(f"{job.remedy}.")
    if job.state == "interrupted":
        notes.say("Its process is gone without a word.", "bold red")
    if job.resumable:
        notes.say("What was finished is kept: u goes on from there.", "dim")
    if job.state == "done" and job.result:
        notes.say(_result(job), "green")
    if job.skipped_count:
        notes.say(f"{job.skipped_count:,} left out (x shows all):", "yellow")
        for skipped in job.skipped[:_SKIPPED_SHOWN]:
            notes.say(f"  {skipped.filepath or skipped.id}: {skipped.reason}")
    return notes.text


def _say_running(job: JobInfo, load: JobLoad | None, notes: _Notes) -> None:
    if job.state == "queued":
        notes.say("Its process is starting.", "dim")
    elif not job.responding:
        quiet = seconds(time.time() - job.heartbeat) if job.heartbeat else "some time"
        notes.say(
            f"No sign of life for {quiet}: it may be frozen. c ends it, u goes on later.", "bold yellow"
        )
    if job.state == "cancelling":
        notes.say("Stopping after the batch that is under way.", "yellow")
    if job.notice:
        notes.say(job.notice, "yellow")
    if load is not None:
        notes.say(_load(load), "dim")


def _load(load: JobLoad) -> str:
    parts = [
        f"CPU {load.cpu_percent:.0f}%",
        f"memory {load.memory_mb:,.0f} MiB",
        counted(load.processes, "process", "processes"),
    ]
    parts += [
        f"GPU {gpu.index} {gpu.name} {'–' if gpu.percent is None else gpu.percent}% "
        f"{gpu.used_mb:,} of {gpu.total_mb:,} MiB ({gpu.job_mb:,} by this job)"
        for gpu in load.gpus
    ]
    return " · ".join(parts)


def _result(job: JobInfo) -> str:
    result = job.result or {}
    if job.kind == "sync":
        counts = [f"{result.get(what, 0):,} {what}" for what in ("added", "removed", "unchanged")]
        return ", ".join(counts) + ": o searches it"
    vectors, dim, place = result.get("vectors", 0), result.get("dim", 0), result.get("collection", "")
    return f"{counted(vectors, 'vector')} of {counted(dim, 'number')} in {place}: o searches it"


def skipped_text(job: JobInfo, skipped: Sequence[Skipped]) -> str:
    """Every item that was left out, as a text to read."""
    lines = [f"{item.filepath or item.id}\n    {item.reason}" for item in skipped]
    missing = job.skipped_count - len(skipped)
    if missing > 0:
        lines.append(f"… and {missing:,} more: see {job.log}")
    return "\n".join(lines)

"""What a build would do, in words: beside the form where there is room, in a few lines below it elsewhere."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import psutil
from rich.console import Group
from rich.text import Text

from tui.core.indexes import BuildPlan, Source
from tui.core.models import BUILTIN
from tui.core.words import counted
from tui.jobs.info import JobInfo
from tui.widgets.facts import facts
from tui.widgets.phases import speed
from tui.widgets.text import plain, seconds, size

_ENOUGH = 200


@dataclass(frozen=True, slots=True)
class Room:
    """What is free on this machine, in bytes."""

    memory: int
    disk: int


@dataclass(frozen=True, slots=True)
class Outlook:
    """A plan and what else is known about the build.

    Attributes:
        room: where Milvus runs on this machine; None for a server elsewhere.
        rate: vectors a second of an earlier job with this source, and that job's id.
    """

    plan: BuildPlan
    dataset: str
    room: Room | None = None
    rate: tuple[float, str] | None = None

    @property
    def to_do(self) -> int:
        """Vectors that are still to be made."""
        return max(0, self.plan.vectors - self.plan.resumes)

    @property
    def duration(self) -> float | None:
        """Seconds it will take, about."""
        return self.to_do / self.rate[0] if self.rate else None


def room_at(folder: Path) -> Room:
    """What is free in memory, and on the disk that will hold ``folder``."""
    there = next(path for path in (folder, *folder.parents) if path.exists())
    return Room(psutil.virtual_memory().available, shutil.disk_usage(there).free)


def measured(source: Source, device: str, jobs: Iterable[JobInfo]) -> tuple[float, str] | None:
    """How fast the newest finished job with this source was, model loading and all."""
    for job in jobs:
        result = job.result or {}
        vectors, taken = result.get("vectors", 0), result.get("seconds", 0)
        if job.kind != "build" or job.state != "done" or not taken or vectors < _ENOUGH or job.attempt > 1:
            continue
        build = job.spec().build
        if build is None or _kind(build.source) != _kind(source):
            continue
        if source.model is None or build.device == device:
            return vectors / taken, job.id
    return None


def _kind(source: Source) -> str:
    if source.embeddings_field is not None:
        return "field"
    return "file" if source.embeddings is not None else f"model {source.model or BUILTIN}"


def plan_rows(outlook: Outlook) -> list[tuple[str, str, str]]:
    """The plan as (name, what, style)."""
    plan = outlook.plan
    rows = [("vectors", f"{plan.vectors:,} of {outlook.dataset}", "")]
    if plan.resumes:
        rows.append(("there", f"{plan.resumes:,} already, {outlook.to_do:,} to go", "green"))
    dim = f"{plan.dim:,}" if plan.dim else "known when the model is loaded"
    rows.append(("dimension", dim, ""))
    if plan.memory_bytes is not None:
        rows.append(("in Milvus", f"about {size(plan.memory_bytes)} of memory", ""))
    if plan.runs_on:
        rows.append(("runs on", plan.runs_on, ""))
    if outlook.room is not None:
        room = outlook.room
        rows.append(("free here", f"{size(room.memory)} memory, {size(room.disk)} disk", ""))
    rows.append(("collection", plan.collection, ""))
    rows.append(("time", _time(outlook), ""))
    return rows + [("note", warning, "yellow") for warning in (*plan.warnings, *_short(outlook))]


def _time(outlook: Outlook) -> str:
    if outlook.rate is None:
        return "not known before a build with this source ran"
    rate, job = outlook.rate
    return f"about {seconds(outlook.duration) or 'no time'}, as job {job} did {speed(rate)}"


def _short(outlook: Outlook) -> list[str]:
    """What there may not be enough room for."""
    needed, room = outlook.plan.memory_bytes, outlook.room
    if needed is None or room is None:
        return []
    found = []
    if needed > room.memory:
        found.append(f"Milvus needs about {size(needed)}, and {size(room.memory)} of memory are free")
    if needed * 2 > room.disk:
        found.append(f"The vectors need about {size(needed * 2)} of disk, and {size(room.disk)} are free")
    return found


def plan_facts(outlook: Outlook) -> Group:
    """The plan in two columns."""
    return facts(plan_rows(outlook))


def plan_page(outlook: Outlook) -> str:
    """The plan as a text to read and to copy."""
    return "\n".join(f"{name:<12}{what}" for name, what, _ in plan_rows(outlook)) + "\n"


def plan_line(outlook: Outlook) -> Text:
    """The plan in a paragraph, for where there is little room."""
    said = {name: what for name, what, _ in plan_rows(outlook)}
    parts = [counted(outlook.plan.vectors, "vector")]
    parts += [said["there"]] if "there" in said else []
    parts += [f"dimension {said['dimension']}"] if outlook.plan.dim else []
    parts += [said["in Milvus"]] if "in Milvus" in said else []
    parts += [f"on {said['runs on']}"] if "runs on" in said else []
    if outlook.rate is not None:
        parts.append(f"about {seconds(outlook.duration) or 'no time'}")
    text = Text(plain(" · ".join(parts)))
    notes = [what for name, what, _ in plan_rows(outlook) if name == "note"]
    text.append("\n").append(plain(f"into {outlook.plan.collection}"), "dim")
    more = f"{len(notes)} notes: f6 shows them" if len(notes) > 1 else "".join(notes)
    return text.append("\n").append(plain(more), "yellow") if notes else text

"""The NVIDIA GPUs of this machine, as nvidia-smi tells them: torch is not asked, and need not be there."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_SMI_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Gpu:
    """One NVIDIA GPU: percent busy (None where it does not tell), MiB used by everyone, and in all."""

    index: int
    uuid: str
    name: str
    percent: int | None
    used_mb: int
    total_mb: int

    def __str__(self) -> str:
        if not self.total_mb:
            return self.name
        busy = "" if self.percent is None else f"{self.percent}% busy, "
        return f"{self.name} ({busy}{self.used_mb / 1024:.1f} of {self.total_mb / 1024:.0f} GiB used)"


def smi(query: str) -> list[list[str]]:
    """Ask nvidia-smi one question, such as ``--query-gpu=index``: cells of its rows; empty without an answer.

    May take some 100 ms.
    """
    return _ask(query) or []


def _ask(query: str) -> list[list[str]] | None:
    """The same, but None where there is no such program, or it is too busy: it may know of usable GPUs."""
    program = _program()
    if program is None:
        return None
    try:
        answer = subprocess.run(
            [program, query, "--format=csv,noheader,nounits"],
            capture_output=True,
            text=True,
            timeout=_SMI_SECONDS,
            check=True,
        )
    except subprocess.TimeoutExpired:
        return None
    except (OSError, subprocess.SubprocessError):
        return []
    return [[cell.strip() for cell in line.split(",")] for line in answer.stdout.splitlines() if line.strip()]


@cache
def _program() -> str | None:
    return shutil.which("nvidia-smi")


def cards() -> tuple[Gpu, ...]:
    """Every NVIDIA GPU of this machine and its load now."""
    return listed() or ()


def listed() -> tuple[Gpu, ...] | None:
    """The same, but None where nobody can be asked."""
    rows = _ask("--query-gpu=index,uuid,name,utilization.gpu,memory.used,memory.total")
    if rows is None:
        return None
    return tuple(
        Gpu(number(index) or 0, uuid, name, number(percent), number(used) or 0, number(total) or 0)
        for index, uuid, name, percent, used, total in (row for row in rows if len(row) == 6)
    )


def number(text: str) -> int | None:
    """A number that nvidia-smi told; None for its "[N/A]", which a card may answer to any single question."""
    return int(text) if text.isdigit() else None


def are_here() -> bool:
    """Whether there is an NVIDIA GPU or its driver, usable or not."""
    # In a container it keeps the number that it has outside.
    return Path("/proc/driver/nvidia/version").exists() or any(Path("/dev").glob("nvidia[0-9]*"))


def visible(found: Sequence[Gpu]) -> tuple[Gpu, ...]:
    """The GPUs that a process of ours sees, in its order."""
    allowed = os.environ.get("CUDA_VISIBLE_DEVICES")
    if allowed is None:
        return tuple(found)
    by_name = {str(one.index): one for one in found}
    seen: list[Gpu] = []
    for word in filter(None, (part.strip() for part in allowed.split(","))):
        match = by_name.get(word) or next((one for one in found if one.uuid.startswith(word)), None)
        if word.startswith("MIG-"):  # nvidia-smi tells the load of whole GPUs only
            match = Gpu(len(seen), word, "a slice of a GPU (MIG)", None, 0, 0)
        if match is None:  # CUDA stops reading at the first that it does not know
            break
        seen.append(match)
    return tuple(seen)


def hidden() -> bool:
    """Whether ``CUDA_VISIBLE_DEVICES`` names none of the GPUs that are here."""
    allowed = os.environ.get("CUDA_VISIBLE_DEVICES")
    if allowed is None:
        return False
    if allowed.partition(",")[0].strip() in ("", "-1"):
        return True
    found = cards()
    return bool(found) and not visible(found)


def only(place: int) -> str:
    """The word of ``CUDA_VISIBLE_DEVICES`` under which a child sees that GPU of ours alone, as ``cuda:0``."""
    words = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
    return words[place].strip() if place < len(words) and words[place].strip() else str(place)

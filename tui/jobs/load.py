"""What a running job costs this machine."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from dataclasses import dataclass
from functools import cache

import psutil


@dataclass(frozen=True, slots=True)
class GpuLoad:
    """One GPU: percent busy, MiB used by everyone, by this job, and in all."""

    index: int
    percent: int | None
    used_mb: int
    job_mb: int
    total_mb: int


@dataclass(frozen=True, slots=True)
class JobLoad:
    """The worker and its children together.

    ``cpu_percent``: one core is 100; ``memory_mb``: resident, MiB; ``gpus``: empty without nvidia-smi.
    """

    cpu_percent: float
    memory_mb: float
    processes: int
    gpus: tuple[GpuLoad, ...]


class LoadMeter:
    """Samples a process and its descendants. CPU is counted between two samples, so the first one says 0."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._known: dict[int, psutil.Process] = {}

    def sample(self) -> JobLoad | None:
        """The load now; None when the process is gone. May take some 100 ms where nvidia-smi is asked."""
        try:
            root = psutil.Process(self.pid)
            tree = [root, *root.children(recursive=True)]
        except psutil.Error:
            return None
        # cpu_percent counts from the last call on the same object, so the objects are kept.
        self._known = {p.pid: known if (known := self._known.get(p.pid)) == p else p for p in tree}
        cpu = memory = 0.0
        for process in self._known.values():
            with contextlib.suppress(psutil.Error):
                cpu += process.cpu_percent()
                memory += process.memory_info().rss / 2**20
        return JobLoad(round(cpu, 1), round(memory, 1), len(tree), _gpus(frozenset(self._known)))


def _gpus(pids: frozenset[int]) -> tuple[GpuLoad, ...]:
    cards = _smi("--query-gpu=index,uuid,utilization.gpu,memory.used,memory.total")
    apps = _smi("--query-compute-apps=pid,gpu_uuid,used_memory") if cards else []
    mine: dict[str, int] = {}
    for app in apps:
        if len(app) == 3 and _int(app[0]) in pids:
            mine[app[1]] = mine.get(app[1], 0) + (_int(app[2]) or 0)
    return tuple(
        GpuLoad(_int(index) or 0, _int(percent), _int(used) or 0, mine.get(uuid, 0), _int(total) or 0)
        for index, uuid, percent, used, total in (card for card in cards if len(card) == 5)
    )


def _smi(query: str) -> list[list[str]]:
    program = _nvidia_smi()
    if program is None:
        return []
    try:
        answer = subprocess.run(
            [program, query, "--format=csv,noheader,nounits"],
            capture_output=True,
            text=True,
            timeout=3,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return []
    return [[cell.strip() for cell in line.split(",")] for line in answer.stdout.splitlines() if line.strip()]


@cache
def _nvidia_smi() -> str | None:
    return shutil.which("nvidia-smi")


def _int(text: str) -> int | None:
    # A card may answer "[N/A]" to any single question.
    return int(text) if text.isdigit() else None

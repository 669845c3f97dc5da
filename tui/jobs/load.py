"""What a running job costs this machine."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

import psutil

from tui.core.vision import gpus


@dataclass(frozen=True, slots=True)
class GpuLoad:
    """One GPU: its name, percent busy, MiB used by everyone, by this job, and in all."""

    index: int
    name: str
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
    cards = gpus.cards()
    apps = gpus.smi("--query-compute-apps=pid,gpu_uuid,used_memory") if cards else []
    mine: dict[str, int] = {}
    for app in apps:
        if len(app) == 3 and gpus.number(app[0]) in pids:
            mine[app[1]] = mine.get(app[1], 0) + (gpus.number(app[2]) or 0)
    return tuple(
        GpuLoad(card.index, card.name, card.percent, card.used_mb, mine.get(card.uuid, 0), card.total_mb)
        for card in cards
    )

"""Which process is meant: a pid alone is used again, and a zombie still has one."""

from __future__ import annotations

import os
import signal
import time
from functools import cache
from pathlib import Path

from tui.core.errors import KitescopeError
from tui.core.services.ticks import start_ticks

_ELSEWHERE_QUIET_S = 15.0


@cache
def here() -> str:
    """The boot and the pid namespace in which this process's pids mean something."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"{boot} {Path('/proc/self/ns/pid').readlink()}"


def is_alive(pid: int | None, ticks: int | None, place: str | None, heartbeat: float | None) -> bool:
    """Whether the worker known by these facts still runs.

    A worker of another boot or container cannot be looked up here; then its heartbeat decides.
    """
    if place is not None and place != here():
        return heartbeat is not None and time.time() - heartbeat < _ELSEWHERE_QUIET_S
    return pid is not None and ticks is not None and start_ticks(pid) == ticks


def send(pid: int, ticks: int, place: str | None, number: signal.Signals, *, group: bool = False) -> bool:
    """Send a signal to that very process, or to the group it leads; False when it is gone.

    Raises ``KitescopeError`` when the process lives in another container or belongs to another user.
    """
    if place is not None and place != here():
        raise KitescopeError(
            "The job's worker runs in another container or on another machine", "Cancel it from there"
        )
    if start_ticks(pid) != ticks:
        return False
    try:
        (os.killpg if group else os.kill)(pid, number)
    except ProcessLookupError:
        return False
    except PermissionError as error:
        raise KitescopeError(
            "The job's worker belongs to another user", "Ask its owner to cancel it"
        ) from error
    return True

"""A mark by which a process is known again: a pid alone is used again, and a zombie still has one."""

from __future__ import annotations

from pathlib import Path


def start_ticks(pid: int) -> int | None:
    """When the process started, in clock ticks since boot; None when it is gone or a zombie.

    Ticks since boot, because a process's start in wall time moves when the clock is set.
    """
    try:
        # The command in parentheses may hold spaces, so count fields from its last parenthesis.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in "ZX" else int(fields[19])

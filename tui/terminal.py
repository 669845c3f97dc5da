"""Keeps the screen ours: whatever a library writes to file descriptors 1 and 2 goes to the log instead."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def screen_guard(log: Path) -> Iterator[None]:
    """Give Textual a private copy of the terminal and send descriptors 1 and 2 to ``log`` meanwhile.

    C libraries (gRPC, CUDA, mongod's service) write to the descriptors and not to ``sys.stderr``, so only
    the descriptors themselves can be guarded. Textual draws on ``sys.__stderr__``, which becomes the copy.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    kept = {number: os.dup(number) for number in (1, 2)}
    before = sys.__stdout__, sys.__stderr__
    sink = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    # Descriptor 1, as ``kitescope 2>errors`` is a usual way to start a program and must not hide the screen.
    screen = os.fdopen(os.dup(1), "w", encoding="utf-8", errors="replace")
    sys.__stdout__ = sys.__stderr__ = screen  # type: ignore[misc]
    try:
        for number in kept:
            os.dup2(sink, number)
        yield
    finally:
        screen.flush()
        for number, copy in kept.items():
            os.dup2(copy, number)
            os.close(copy)
        sys.__stdout__, sys.__stderr__ = before  # type: ignore[misc]
        screen.close()
        os.close(sink)

"""What long work tells while it runs: a few small facts, sent to one callback."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

Phase = Literal["model", "embed", "upload", "index"]
PHASES: tuple[Phase, ...] = get_args(Phase)


@dataclass(frozen=True, slots=True)
class Progress:
    """``done`` of ``total`` items of a phase are finished; ``total`` is None while it is unknown."""

    phase: Phase
    done: int
    total: int | None


@dataclass(frozen=True, slots=True)
class Skipped:
    """One item that could not become a vector, and why. The rest of its batch is unharmed."""

    id: str
    filepath: str
    reason: str


@dataclass(frozen=True, slots=True)
class Notice:
    """A sentence worth showing beside the bars, such as waiting for a server; empty clears it."""

    text: str


Event = Progress | Skipped | Notice
OnEvent = Callable[[Event], None]
ShouldStop = Callable[[], bool]


def ignore(_event: Event) -> None:
    """Take an event and do nothing, for callers that do not watch."""


def never() -> bool:
    """Answer that nobody asked to stop."""
    return False

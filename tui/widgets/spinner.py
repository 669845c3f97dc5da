"""A sign that something is under way."""

from __future__ import annotations

_FRAMES = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"


def spinner(turn: int) -> str:
    """The sign at this turn; ten a second look right."""
    return _FRAMES[turn % len(_FRAMES)]

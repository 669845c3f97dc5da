"""How counts are said."""

from __future__ import annotations


def counted(count: int, noun: str, plural: str = "") -> str:
    """Answer a count with its noun: ``1 vector``, ``1,797 vectors``, ``2 indexes``.

    Args:
        plural: the noun for any count but one, where that is not the noun and an s.
    """
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"

"""How counts are said, and text that came from data: shown as itself, whatever it holds."""

from __future__ import annotations

import unicodedata

_PICTURES = {code: chr(0x2400 + code) for code in range(32)} | {127: "␡"}
# Steers a terminal or the direction of what follows, or ends a line.
_UNSEEN = {"Cf", "Cc", "Cs", "Zl", "Zp"}


def counted(count: int, noun: str, plural: str = "") -> str:
    """Answer a count with its noun: ``1 vector``, ``1,797 vectors``, ``2 indexes``.

    Args:
        plural: the noun for any count but one, where that is not the noun and an s.
    """
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def plain(value: object) -> str:
    """Text in which nothing can steer the terminal: control characters become their pictures (␛, ␊).

    Bidirectional overrides and other format characters are shown by code point, so that a name cannot
    pretend to be another.
    """
    text = str(value).translate(_PICTURES)
    if text.isascii():
        return text
    return "".join(
        f"⟨{ord(c):X}⟩" if unicodedata.category(c) in _UNSEEN and c != "\u200d" else c for c in text
    )

"""Text that came from data: shown as itself, whatever it holds."""

from __future__ import annotations

from rich.text import Text

from tui.core.words import plain as plain


def cell(value: object, style: str = "", *, justify: str = "left") -> Text:
    """A table cell: never markup, one line, cut with an ellipsis where it does not fit."""
    return Text(plain(value), style=style, justify=justify, no_wrap=True, overflow="ellipsis", end="")  # type: ignore[arg-type]


def number(value: int | None) -> Text:
    """A count, right-aligned with thin groups of thousands; a dash while unknown."""
    return cell("–" if value is None else f"{value:,}", justify="right")


def seconds(value: float | None) -> str:
    """A duration as people say it: ``8 s``, ``3 min 20 s``, ``2 h 5 min``; empty while unknown."""
    if value is None:
        return ""
    whole = max(0, round(value))
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def size(count: float) -> str:
    """A number of bytes in binary units."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"

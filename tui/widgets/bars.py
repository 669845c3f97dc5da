"""Counts as bars: the largest fills the line."""

from __future__ import annotations

from collections.abc import Mapping

from rich.text import Text

from tui.widgets.text import plain

_LABEL = 18
_WIDEST = 60


def bar(share: float, width: int) -> str:
    """A bar of ``share`` (0 to 1) of ``width`` cells, to half a cell; never nothing for something."""
    halves = round(max(0.0, min(share, 1.0)) * width * 2)
    full, rest = divmod(max(halves, 1) if share > 0 else 0, 2)
    return "━" * full + "╸" * rest


def bars(counts: Mapping[str, int], width: int, *, most: int = 12, style: str = "") -> Text:
    """One line for each of the ``most`` largest: name, bar, count; a last line says how many are left out."""
    ranked = sorted(counts.items(), key=lambda pair: -pair[1])
    shown = ranked[:most]
    names = [plain(name) for name, _ in shown]
    name_width = min(max((Text(name).cell_len for name in names), default=0), _LABEL, max(6, width // 3))
    count_width = max((len(f"{count:,}") for _, count in shown), default=0)
    room = max(1, min(width - name_width - count_width - 2, _WIDEST))
    lines = []
    for name, (_, count) in zip(names, shown, strict=True):
        label = Text(name)
        label.truncate(name_width, overflow="ellipsis", pad=True)
        line = Text(no_wrap=True, end="").append_text(label).append(" ")
        line.append(bar(count / shown[0][1] if shown[0][1] else 0, room).ljust(room), style)
        lines.append(line.append(f" {count:>{count_width},}", "dim"))
    if len(ranked) > most:
        rest = ranked[most:]
        told = f"and {len(rest):,} more with {sum(count for _, count in rest):,}"
        lines.append(Text(told, "dim italic", no_wrap=True, end=""))
    return Text("\n").join(lines)

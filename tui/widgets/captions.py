"""Words on a picture, as text in cells: sharp in every protocol, and never markup."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.cells import cell_len, set_cell_size
from rich.color import ColorSystem
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from tui.widgets.text import plain

if TYPE_CHECKING:
    from tui.core.documents.label import Label

_LONGEST = 24


@dataclass(frozen=True, slots=True)
class Caption:
    """Words at a cell of a drawing."""

    x: int
    y: int
    text: str
    style: Style

    @property
    def width(self) -> int:
        """Cells it covers."""
        return cell_len(self.text)

    def ansi(self) -> str:
        """As escape codes, for what is painted past the compositor."""
        return self.style.render(self.text, color_system=ColorSystem.TRUECOLOR)


def captions(labels: Sequence[Label], place: tuple[int, int, int, int]) -> list[Caption]:
    """The words of labels inside ``place`` (x, y, width, height in cells), none over another.

    What is about the whole picture stands at its bottom, with its field; what finds no free place is left
    out: the facts beside the picture have it.
    """
    left, top, width, height = place
    taken: set[tuple[int, int]] = set()
    made: list[Caption] = []
    for label in labels:
        text = _words(label)
        anchor = _anchor(label)
        if not text or width < 4:
            continue
        text = _shortened(text, width if anchor is None else min(width, _LONGEST))
        if anchor is None:
            rows: Iterable[int] = range(top + height - 1, top + height // 2, -1)
            x = left
        else:
            x = min(max(left + int(anchor[0] * width), left), left + width - cell_len(text))
            row = top + int(anchor[1] * height)
            # Above the box, in its first line, or a little further down.
            rows = [one for one in (row - 1, row, row + 1, row + 2) if top <= one < top + height]
        for y in rows:
            cells = {(x + i, y) for i in range(cell_len(text))}
            if not cells & taken:
                taken |= cells
                made.append(Caption(x, y, text, _style(label)))
                break
    return made


def written_over(line: Strip, y: int, over: Sequence[Caption]) -> Strip:
    """A line of a drawing with the captions of that line written over it."""
    mine = [one for one in over if one.y == y]
    if not mine:
        return line
    cells = [(text, segment.style) for segment in line for text in _cells(segment.text)]
    for one in mine:
        cells[one.x : one.x + one.width] = [(one.text, one.style)] + [("", one.style)] * (one.width - 1)
    segments: list[Segment] = []
    for text, style in cells:
        if segments and segments[-1].style == style:
            segments[-1] = Segment(segments[-1].text + text, style)
        else:
            segments.append(Segment(text, style))
    return Strip(segments, line.cell_length)


def _cells(text: str) -> list[str]:
    """Text split into cells: a placeholder of kitty's keeps the marks that follow it."""
    found: list[str] = []
    for char in text:
        if found and unicodedata.combining(char):
            found[-1] += char
        else:
            found.append(char)
    return found


def _words(label: Label) -> str:
    if label.is_drawn:
        return plain(label.text)
    return plain(f"{label.field}: {label.text}")


def _anchor(label: Label) -> tuple[float, float] | None:
    """The upper left corner of what is drawn; None for the whole picture."""
    if label.box is not None:
        return label.box[0], label.box[1]
    places = [point for line in label.lines for point in line] or list(label.points)
    if not places:
        return None
    return min(x for x, _ in places), min(y for _, y in places)


def _shortened(text: str, room: int) -> str:
    return text if cell_len(text) <= room else set_cell_size(text, room - 1) + "…"


def _style(label: Label) -> Style:
    from tui.core.vision.overlay import colour_of

    red, green, blue = colour_of(label)
    return Style.parse(f"bold #101010 on #{red:02x}{green:02x}{blue:02x}")

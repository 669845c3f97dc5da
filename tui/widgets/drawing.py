"""From a picture file to the cells that show it. Nothing here touches a widget: it all runs in threads."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from rich.cells import cell_len, set_cell_size
from rich.color import Color
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from tui.preferences import ImageProtocol
from tui.widgets.captions import Caption, captions, written_over
from tui.widgets.cells import Line, colours_of, half_cell_lines
from tui.widgets.painting import (
    Answer,
    Colours,
    KittyPicture,
    Order,
    Painted,
    SixelPicture,
    Subject,
    Unpainted,
    paint,
)
from tui.widgets.text import plain

if TYPE_CHECKING:
    from rich.console import Console


# Chunks of one kitty picture must not be mixed with those of another.
_kitty = Lock()


@dataclass(frozen=True, slots=True)
class Look:
    """The colours around a picture, as ``#rrggbb``."""

    background: str = "#000000"
    text: str = "#909090"
    error: str = "#d06060"


@dataclass(frozen=True, slots=True)
class Sixels:
    """Sixel data and where it goes inside a drawing, in cells; ``over`` is written over it."""

    x: int
    y: int
    data: str
    over: tuple[Caption, ...] = ()

    def painted(self, x: int, y: int) -> str:
        """The codes that paint it, for a drawing whose upper left cell is at (x, y) of the screen."""
        words = "".join(f"\x1b[{y + one.y + 1};{x + one.x + 1}H{one.ansi()}" for one in self.over)
        return f"\x1b7\x1b[{y + self.y + 1};{x + self.x + 1}H{self.data}{words}\x1b8"


@dataclass(frozen=True, slots=True)
class Drawing:
    """A picture as ``height`` strips of ``width`` cells each; ``reason`` says why there is none.

    ``release`` frees what the terminal keeps for it.
    """

    lines: tuple[Strip, ...]
    reason: str = ""
    sixels: Sixels | None = None
    release: Callable[[], None] | None = None


def draw(
    subject: Subject,
    size: tuple[int, int],
    protocol: ImageProtocol,
    look: Look,
    console: Console | None = None,
    paint: Callable[[Order], Answer] = paint,
) -> Drawing:
    """Draw a picture into ``size`` cells, keeping its proportions; never raises for a bad file.

    Args:
        console: the app's; the escape codes of half cells are then made here, not by the event loop.
        paint: who reads the file.
    """
    if protocol == "none":
        return words(_spoken(subject), size, look)
    colours = colours_of(console)
    wanted = "halfcell" if protocol == "auto" else protocol
    painted = paint(Order(subject, size, wanted, look.background, colours))
    if isinstance(painted, Painted):
        return _half_cell_drawing(painted, colours, console, subject)
    if isinstance(painted, Unpainted):
        return words(painted.reason, size, look, wrong=True)
    if isinstance(painted, SixelPicture):
        return _sixel_drawing(painted, size, look, subject)
    return _kitty_drawing(painted, size, look, subject)


def _spoken(subject: Subject) -> str:
    """What tells a picture from others in words: its label and its file's name, once."""
    file = Path(subject.path)
    return " ".join(
        dict.fromkeys(filter(None, (subject.label, "" if subject.label == file.stem else file.name)))
    )


def words(text: str, size: tuple[int, int], look: Look, *, wrong: bool = False) -> Drawing:
    """Text in the middle of the cells: a label instead of a picture, or why there is none."""
    width, height = size
    ground = Style.parse(f"{look.error if wrong else look.text} on {look.background}")
    wrapped = textwrap.wrap(plain(text), max(width - 2, 1))[:height] if width > 2 else []
    above = (height - len(wrapped)) // 2
    rows = [""] * above + wrapped + [""] * (height - above - len(wrapped))
    lines = tuple(Line([Segment(_centred(row, width), ground)], width) for row in rows)
    return Drawing(lines, reason=text if wrong else "")


def _centred(text: str, width: int) -> str:
    free = max(width - cell_len(text), 0)
    return set_cell_size(" " * (free // 2) + text, width)


def _half_cell_drawing(
    painted: Painted, colours: Colours | None, console: Console | None, subject: Subject
) -> Drawing:
    over = _captions(subject, painted.place)
    lines = half_cell_lines(painted, colours)
    strips = tuple(written_over(line, y, over) for y, line in enumerate(lines))
    if console is not None:
        for strip in strips:
            strip.render(console)  # it remembers
    return Drawing(strips)


def _captions(subject: Subject, place: tuple[int, int, int, int]) -> Sequence[Caption]:
    """The words of the subject's labels on a picture at ``place`` (x, y, width, height in cells)."""
    if not subject.labels:
        return ()
    return captions(subject.labels, place)


def _kitty_drawing(painted: KittyPicture, size: tuple[int, int], look: Look, subject: Subject) -> Drawing:
    """Send the picture once; from then on it is text, placeholders that scroll like any other."""
    _send(painted.sent)
    left, top = _middle(size, painted.cells)
    over = _captions(subject, (left, top, *painted.cells))
    ground = Style.parse(f"on {look.background}")
    style = ground + Style(color=Color.from_rgb(*painted.colour))
    before, after = Segment(" " * left, ground), Segment(" " * (size[0] - left - painted.cells[0]), ground)
    lines = [Line([Segment(" " * size[0], ground)], size[0]) for _ in range(size[1])]
    for y, row in enumerate(painted.rows, top):
        lines[y] = Line([before, Segment(row, style), after], size[0])
    strips = tuple(written_over(line, y, over) for y, line in enumerate(lines))
    return Drawing(strips, release=partial(_send, (painted.forget,)))


def _send(messages: Iterable[str]) -> None:
    with _kitty:
        for message in messages:
            assert sys.__stdout__ is not None
            sys.__stdout__.write(message)
            sys.__stdout__.flush()


def _middle(size: tuple[int, int], shown: tuple[int, int]) -> tuple[int, int]:
    """Where a picture of ``shown`` cells begins in the middle of ``size``."""
    return (size[0] - shown[0]) // 2, (size[1] - shown[1]) // 2


def _sixel_drawing(painted: SixelPicture, size: tuple[int, int], look: Look, subject: Subject) -> Drawing:
    """Blank cells to write, and the data to paint over them."""
    ground = Style.parse(f"on {look.background}")
    lines = tuple(Line([Segment(" " * size[0], ground)], size[0]) for _ in range(size[1]))
    place = _middle(size, painted.cells)
    over = tuple(_captions(subject, (*place, *painted.cells)))
    return Drawing(lines, sixels=Sixels(*place, painted.data, over))

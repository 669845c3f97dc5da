"""From a picture file to the cells that show it. Nothing here touches a widget: it all runs in threads."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from tui.preferences import ImageProtocol
from tui.widgets.captions import Caption, captions, written_over
from tui.widgets.cells import Line, colours_of, half_cell_lines
from tui.widgets.painting import Colours, Order, Painted, Subject, Unpainted, paint
from tui.widgets.protocols import renderables
from tui.widgets.text import plain

if TYPE_CHECKING:
    from PIL import Image
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
    paint: Callable[[Order], Painted | Unpainted] = paint,
) -> Drawing:
    """Draw a picture into ``size`` cells, keeping its proportions; never raises for a bad file.

    Args:
        console: the app's; the escape codes of half cells are then made here, not by the event loop.
        paint: who reads the file.
    """
    if protocol == "none":
        return words(_spoken(subject), size, look)
    scaled = protocol in ("kitty", "sixel")
    colours = colours_of(console)
    order = Order(subject, size, None, None) if scaled else Order(subject, size, look.background, colours)
    painted = paint(order)
    if isinstance(painted, Unpainted):
        return words(painted.reason, size, look, wrong=True)
    if not scaled:
        return _half_cell_drawing(painted, colours, console, subject)
    from PIL import Image

    picture = Image.frombytes("RGB", painted.size, painted.pixels)
    make = _kitty_drawing if protocol == "kitty" else _sixel_drawing
    return make(picture, size, look, subject)


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


def _rows(segments: Iterable[Segment]) -> Iterable[list[Segment]]:
    row: list[Segment] = []
    for segment in segments:
        if segment.text == "\n":
            yield row
            row = []
        else:
            row.append(segment)


def _captions(subject: Subject, place: tuple[int, int, int, int]) -> Sequence[Caption]:
    """The words of the subject's labels on a picture at ``place`` (x, y, width, height in cells)."""
    if not subject.labels:
        return ()
    return captions(subject.labels, place)


def _kitty_drawing(picture: Image.Image, size: tuple[int, int], look: Look, subject: Subject) -> Drawing:
    """Send the picture once; from then on it is text, placeholders that scroll like any other."""
    image = renderables().TGPImage(picture, "auto", "auto")
    with _kitty:
        rows = [list(row) for row in _rows(_split(image, size))]

    def release() -> None:
        with _kitty:
            image.cleanup()

    shown = (sum(_cells(segment) for segment in rows[0]) if rows else 0, len(rows))
    over = _captions(subject, (*_middle(size, shown), *shown))
    lines = _centre(rows, size, look)
    return Drawing(tuple(written_over(line, y, over) for y, line in enumerate(lines)), release=release)


def _middle(size: tuple[int, int], shown: tuple[int, int]) -> tuple[int, int]:
    """Where a picture of ``shown`` cells begins in the middle of ``size``."""
    return (size[0] - shown[0]) // 2, (size[1] - shown[1]) // 2


def _sixel_drawing(picture: Image.Image, size: tuple[int, int], look: Look, subject: Subject) -> Drawing:
    """Blank cells to write, and the data to paint over them."""
    image = renderables().SixelImage(picture, "auto", "auto")
    segments = list(_split(image, size))
    data = next(segment.text for segment in segments if segment.text.startswith("\x1bP"))
    blanks = [row for row in _rows(segment for segment in segments if not segment.control) if row]
    shown = (cell_len(blanks[0][0].text), len(blanks)) if blanks else (0, 0)
    ground = Style.parse(f"on {look.background}")
    lines = tuple(Line([Segment(" " * size[0], ground)], size[0]) for _ in range(size[1]))
    place = _middle(size, shown)
    return Drawing(lines, sixels=Sixels(*place, data, tuple(_captions(subject, (*place, *shown)))))


def _split(image: Any, size: tuple[int, int]) -> Iterable[Segment]:
    """What a renderable yields, with line ends as segments of their own."""
    from rich.console import Console

    console = Console(width=size[0], height=size[1], force_terminal=True, color_system="truecolor")
    for segment in console.render(image, console.options.update_dimensions(*size)):
        if segment.text.endswith("\n") and segment.text != "\n":
            yield Segment(segment.text[:-1], segment.style)
            yield Segment("\n")
        else:
            yield segment


def _centre(rows: list[list[Segment]], size: tuple[int, int], look: Look) -> tuple[Strip, ...]:
    width, height = size
    ground = Style.parse(f"on {look.background}")
    shown = rows[:height]
    above = (height - len(shown)) // 2
    lines = []
    for y in range(height):
        inside = shown[y - above] if 0 <= y - above < len(shown) else []
        used = sum(_cells(segment) for segment in inside)
        left = (width - used) // 2
        styled = [
            Segment(segment.text, ground + segment.style if segment.style else ground) for segment in inside
        ]
        pads = Segment(" " * left, ground), Segment(" " * (width - used - left), ground)
        lines.append(Line([pads[0], *styled, pads[1]], width))
    return tuple(lines)


def _cells(segment: Segment) -> int:
    # A placeholder is one private-use character and three combining marks.
    return segment.text.count("\U0010eeee") or cell_len(segment.text)

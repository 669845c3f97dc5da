"""From a picture file to what shows it in some cells: what a ``PaintingPool`` has done in its processes.

Decoding takes the interpreter back from the event loop again and again, and so does making escape codes. A
decoder that crashes takes such a process with it, and not the program. Nothing here imports Textual: a
process that paints is there sooner, and small.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from PIL import Image

    from tui.core.documents.label import Label

_log = logging.getLogger(__name__)
Box = tuple[float, float, float, float]
Pixel = tuple[int, int, int]
Code = Callable[[int, int, int], str]
Colours = Literal["truecolor", "256"]
Protocol = Literal["halfcell", "kitty", "sixel"]

# One size of thumbnail serves every zoom level, so that zooming decodes nothing again.
_SMALL, _LARGE = (256, 256), (1024, 1024)
_SHARP = 640  # pixels that lines need
_END = "\x1b[0m"
# Whoever looks at pictures waits for the answer to a key first; the other processors are free anyway.
_NICE = 5


@dataclass(frozen=True, slots=True)
class Subject:
    """What to draw: a file, the box of a patch in it, and the words that stand for it without pictures.

    With ``whole`` a patch is drawn as the whole picture with its box on it. ``labels`` are drawn on the
    whole picture.
    """

    path: str
    box: Box | None = None
    label: str = ""
    whole: bool = False
    labels: tuple[Label, ...] = ()

    @property
    def drawn_box(self) -> Box | None:
        """The box to draw."""
        return self.box if self.whole else None

    @property
    def cut_box(self) -> Box | None:
        """The box to cut out."""
        return None if self.whole else self.box


class Order(NamedTuple):
    """What to paint.

    Attributes:
        cells: width and height of the place.
        protocol: what the terminal is sent.
        ground: the colour around half cells, as ``#rrggbb``.
        colours: how many the terminal knows; with None the codes of half cells are not made.
    """

    subject: Subject
    cells: tuple[int, int]
    protocol: Protocol = "halfcell"
    ground: str = "#000000"
    colours: Colours | None = None


class Painted(NamedTuple):
    """Pixels of half cells, two a cell.

    Attributes:
        size: width and height.
        pixels: RGB, row by row.
        place: x, y, width and height in cells of the picture inside its ground.
        codes: of each line of half cells, when they were asked for.
    """

    size: tuple[int, int]
    pixels: bytes
    place: tuple[int, int, int, int]
    codes: tuple[str, ...] = ()

    def rows(self) -> list[bytes]:
        """The pixels of each row."""
        wide = 3 * self.size[0]
        return [self.pixels[at : at + wide] for at in range(0, len(self.pixels), wide)]


class KittyPicture(NamedTuple):
    """A picture that kitty keeps, and the text that stands for it.

    Attributes:
        cells: width and height in cells.
        sent: messages that bring it to the terminal.
        rows: the placeholders of each line.
        colour: that they are written in; it is the picture's number.
        forget: the message that frees it.
    """

    cells: tuple[int, int]
    sent: tuple[str, ...]
    rows: tuple[str, ...]
    colour: Pixel
    forget: str


class SixelPicture(NamedTuple):
    """A picture to be painted over blank cells: their width and height, and the data."""

    cells: tuple[int, int]
    data: str


class Unpainted(NamedTuple):
    """Why no picture can be made."""

    reason: str


Answer = Painted | KittyPicture | SixelPicture | Unpainted


def paint(order: Order) -> Answer:
    """Paint a picture; never raises for a bad file."""
    from tui.core.thumbnails import thumbnail
    from tui.core.vision.images import UnreadableImage

    subject = order.subject
    enough = _SMALL if order.cells[0] <= 40 else _LARGE
    try:
        picture = thumbnail(subject.path, enough, box=subject.cut_box)
    except UnreadableImage as error:
        return Unpainted(error.reason)
    if order.protocol == "halfcell":
        return _half_cells(picture, order)
    from tui.widgets import encoding

    encoded = encoding.kitty if order.protocol == "kitty" else encoding.sixel
    return encoded(_labelled(picture, subject), order.cells)


def _half_cells(picture: Image.Image, order: Order) -> Painted:
    """Two pixels a cell, the picture in the middle."""
    from PIL import Image

    width, height = order.cells
    canvas = Image.new("RGB", (width, 2 * height), order.ground)
    fitted = _fit(picture, canvas.size)
    left, top = (width - fitted.width) // 2, (canvas.height - fitted.height) // 2
    canvas.paste(_drawn_on(fitted, order.subject, thick=1), (left, top))
    place = left, top // 2, fitted.width, -(-fitted.height // 2)
    painted = Painted(canvas.size, canvas.tobytes(), place)
    if order.colours is None:
        return painted
    rows, code = painted.rows(), code_of(order.colours)
    pairs = zip(rows[::2], rows[1::2], strict=True)
    return painted._replace(codes=tuple(codes_of(cells_of(*pair), code) for pair in pairs))


def _labelled(picture: Image.Image, subject: Subject) -> Image.Image:
    """The picture with its labels, enlarged first where lines would cover what they show."""
    if not subject.labels and subject.drawn_box is None:
        return picture
    if max(picture.size) < _SHARP:
        picture = _fit(picture, (_SHARP, _SHARP))
    return _drawn_on(picture, subject, thick=max(2, min(picture.size) // 150))


def _drawn_on(picture: Image.Image, subject: Subject, *, thick: int) -> Image.Image:
    if not subject.labels and subject.drawn_box is None:
        return picture
    from tui.core.vision.overlay import draw_labels

    drawn = picture.copy()
    draw_labels(drawn, subject.labels, subject.drawn_box, thick=thick)
    return drawn


def _fit(picture: Image.Image, room: tuple[int, int]) -> Image.Image:
    """Scale to the largest size that fits: hard pixels when a tiny picture grows, smooth when it shrinks."""
    from PIL import Image

    scale = min(room[0] / picture.width, room[1] / picture.height)
    wanted = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    if wanted == picture.size:
        return picture
    if scale > 1:
        how = Image.Resampling.NEAREST if max(picture.size) <= 32 else Image.Resampling.BICUBIC
        return picture.resize(wanted, how)
    return picture.resize(wanted, Image.Resampling.LANCZOS, reducing_gap=3.0)


# -- codes --------------------------------------------------------------------------------------
def cells_of(upper: bytes, lower: bytes) -> Iterator[tuple[Pixel, Pixel]]:
    """The two pixels of each cell of a line, of two rows of pixels."""
    return zip(
        zip(upper[::3], upper[1::3], upper[2::3], strict=True),
        zip(lower[::3], lower[1::3], lower[2::3], strict=True),
        strict=True,
    )


def codes_of(cells: Iterable[tuple[Pixel, Pixel]], code: Code) -> str:
    """What shows a line in a terminal: the lower pixel is the block's colour, the upper one the background.

    A colour is sent when it changes; no style is left behind.
    """
    codes: list[str] = []
    ground = block = ""
    for above, below in cells:
        wanted, over = code(*above), code(*below)
        # A space shows no block, so that flat parts cost a byte a cell on the wire.
        changed = [f"48;{wanted}"] if wanted != ground else []
        if over != wanted and over != block:
            changed.append(f"38;{over}")
            block = over
        ground = wanted
        if changed:
            codes.append(f"\x1b[{';'.join(changed)}m")
        codes.append(" " if over == wanted else "▄")
    codes.append(_END)
    return "".join(codes)


def code_of(colours: Colours | None) -> Code:
    """What a colour is in the codes."""
    return _of_256 if colours == "256" else _true


def _true(red: int, green: int, blue: int) -> str:
    return f"2;{red};{green};{blue}"


def _of_256(red: int, green: int, blue: int) -> str:
    # Five bits a channel are more than 256 colours can show, and few enough to remember.
    return _nearest_of_256(red & 0xF8 | red >> 5, green & 0xF8 | green >> 5, blue & 0xF8 | blue >> 5)


@lru_cache(32_768)
def _nearest_of_256(red: int, green: int, blue: int) -> str:
    from rich.color import Color, ColorSystem

    return f"5;{Color.from_rgb(red, green, blue).downgrade(ColorSystem.EIGHT_BIT).number}"


def main() -> None:
    """Run in a child: paint what is ordered."""
    from PIL import Image

    from tui.core import thumbnails  # noqa: F401 (before the first order, which is then done sooner)
    from tui.core.services.child import serve

    Image.preinit()
    os.nice(_NICE)
    if hasattr(os, "SCHED_BATCH"):  # Linux: whoever waits for a key is not stopped each time a picture comes
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    serve(_answer)


def _answer(_about: None, order: Order) -> Answer:
    try:
        return paint(order)
    except Exception as error:
        _log.exception("painting %s", order.subject.path)
        return Unpainted(f"cannot be drawn ({type(error).__name__})")


if __name__ == "__main__":
    # Under the module's real name, so that what is pickled here is the parent's class.
    from tui.widgets import painting

    painting.main()

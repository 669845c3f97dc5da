"""Lines of a picture in half cells: escape codes from the start, for nearly all of them are only written.

Textual's segments carry a style for every cell, and making those takes ten times as long as the codes, in
the interpreter, which the event loop then waits for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import groupby
from typing import TYPE_CHECKING

from rich.color import Color, ColorSystem, ColorType
from rich.color_triplet import ColorTriplet
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

if TYPE_CHECKING:
    from numpy import uint8
    from numpy.typing import NDArray
    from rich.console import Console

Pixels = Sequence[tuple[int, int, int]]
_END = "\x1b[0m"


class Written(Strip):
    """A line whose codes are known; its segments are made when it is cut or looked into.

    Args:
        codes: what the terminal is sent; leaves no style behind.
        width: in cells.
        segments: makes what Textual would have made the same codes of.
    """

    __slots__ = ("_made", "_make")

    def __init__(self, codes: str, width: int, segments: Callable[[], list[Segment]]) -> None:
        self._make = segments
        self._made: list[Segment] | None = None
        super().__init__((), width)
        self._render_cache = codes

    @property
    def _segments(self) -> list[Segment]:
        if self._made is None:
            self._made = self._make()
        return self._made

    @_segments.setter
    def _segments(self, _none: list[Segment]) -> None:
        """Textual's constructor sets them; here nothing is known yet."""


def beside(parts: Sequence[Strip], console: Console) -> Strip:
    """Lines beside each other, without looking into them; those of no width are left out."""
    wide = [part for part in parts if part.cell_length]
    return Written(
        "".join([part.render(console) for part in wide]),
        sum(part.cell_length for part in wide),
        lambda: [segment for part in wide for segment in part],
    )


def half_cell_lines(pixels: NDArray[uint8], console: Console | None) -> list[Strip]:
    """Two pixels a cell: the lower one is the block's colour, the upper one the background.

    Args:
        pixels: shape (2 * lines, width, 3), RGB.
        console: where they are written; without one, or where it knows fewer than 256 colours, the codes are
            left to Textual.
    """
    system = None if console is None else console._color_system or ColorSystem.TRUECOLOR
    if system not in (ColorSystem.TRUECOLOR, ColorSystem.EIGHT_BIT):
        return [
            Strip(_segments(upper, lower), pixels.shape[1])
            for upper, lower in zip(pixels[::2], pixels[1::2], strict=True)
        ]
    return [
        _written(upper, lower, _true if system is ColorSystem.TRUECOLOR else _of_256)
        for upper, lower in zip(pixels[::2], pixels[1::2], strict=True)
    ]


def _written(upper: NDArray[uint8], lower: NDArray[uint8], code: Callable[[int, int, int], str]) -> Written:
    codes: list[str] = []
    ground = block = ""
    for above, below in zip(upper.tolist(), lower.tolist(), strict=True):
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
    return Written("".join(codes), len(upper), lambda: _segments(upper, lower))


def _true(red: int, green: int, blue: int) -> str:
    return f"2;{red};{green};{blue}"


def _of_256(red: int, green: int, blue: int) -> str:
    # Five bits a channel are more than 256 colours can show, and few enough to remember.
    return _nearest_of_256(red & 0xF8 | red >> 5, green & 0xF8 | green >> 5, blue & 0xF8 | blue >> 5)


@lru_cache(32_768)
def _nearest_of_256(red: int, green: int, blue: int) -> str:
    return f"5;{Color.from_rgb(red, green, blue).downgrade(ColorSystem.EIGHT_BIT).number}"


def _segments(upper: NDArray[uint8], lower: NDArray[uint8]) -> list[Segment]:
    """The same as segments; neighbours of one colour are joined.

    Rich's own way, parsing a style's description, takes ten times as long as making it from colours.
    """
    cells = zip(map(tuple, upper.tolist()), map(tuple, lower.tolist()), strict=True)
    segments = []
    for (above, below), same in groupby(cells):
        style = Style.from_color(_colour(*below), _colour(*above))
        segments.append(Segment((" " if above == below else "▄") * sum(1 for _ in same), style))
    return segments


@lru_cache(16_384)
def _colour(red: int, green: int, blue: int) -> Color:
    triplet = ColorTriplet(red, green, blue)
    return Color(triplet.hex, ColorType.TRUECOLOR, triplet=triplet)

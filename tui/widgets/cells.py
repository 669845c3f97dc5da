"""Lines of a picture in half cells: codes for the terminal, made without a style for every cell.

Textual's segments carry a style each, and making those takes ten times as long as the codes, in the
interpreter, which the event loop then waits for. Nearly all lines of pictures are only written, or cut, or
dimmed behind a dialog, and need none.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import groupby, pairwise
from typing import TYPE_CHECKING

from rich.color import Color, ColorSystem, ColorType
from rich.color_triplet import ColorTriplet
from rich.segment import Segment
from rich.style import Style
from textual.color import Color as Colour
from textual.renderables.background_screen import BackgroundScreen
from textual.strip import Strip

if TYPE_CHECKING:
    from numpy import uint8
    from numpy.typing import NDArray
    from rich.console import Console

Pixel = tuple[int, int, int]
Code = Callable[[int, int, int], str]
_END = "\x1b[0m"


class Written(Strip, ABC):
    """A line that can be written, cut and dimmed as it is.

    Its segments are made when somebody looks into it.

    Args:
        width: in cells.
    """

    __slots__ = ("_made",)

    def __init__(self, width: int) -> None:
        self._made: list[Segment] | None = None
        super().__init__((), width)

    @property
    def _segments(self) -> list[Segment]:
        if self._made is None:
            self._made = self.segments()
        return self._made

    @_segments.setter
    def _segments(self, _none: list[Segment]) -> None:
        """Textual's constructor sets them; here nothing is known yet."""

    def render(self, console: Console) -> str:
        """The codes, made once."""
        if self._render_cache is None:
            self._render_cache = self.codes(console)
        return self._render_cache

    @abstractmethod
    def codes(self, console: Console) -> str:
        """Make what the terminal is sent; it leaves no style behind."""

    @abstractmethod
    def segments(self) -> list[Segment]:
        """Make what Textual would make such codes of."""

    @abstractmethod
    def cut(self, start: int, end: int) -> Strip:
        """The cells from ``start`` to ``end``, both inside the line."""

    @abstractmethod
    def dimmed(self, colour: Colour) -> Strip:
        """The line under a translucent colour."""

    def crop(self, start: int, end: int | None = None) -> Strip:
        """As Textual's, without looking into the line."""
        start, end = max(start, 0), self.cell_length if end is None else min(end, self.cell_length)
        if (start, end) == (0, self.cell_length):
            return self
        return self.cut(start, end) if start < end else Strip([], 0)

    def divide(self, cuts: Iterable[int]) -> Sequence[Strip]:
        """As Textual's, without looking into the line."""
        inside = [cut for cut in cuts if cut <= self.cell_length]
        return [self.crop(start, end) for start, end in pairwise([0, *inside])]


class HalfCells(Written):
    """A line of half cells: the lower pixel is the block's colour, the upper one the background.

    Args:
        upper, lower: shape (width, 3), RGB.
        code: what a colour is in the codes.
        under: translucent colours that lie over it, the lowest first.
    """

    __slots__ = ("_code", "_lower", "_under", "_upper")

    def __init__(
        self, upper: NDArray[uint8], lower: NDArray[uint8], code: Code, under: tuple[Colour, ...] = ()
    ) -> None:
        self._upper, self._lower, self._code, self._under = upper, lower, code, under
        super().__init__(len(upper))

    def _cells(self) -> Iterator[tuple[Pixel, Pixel]]:
        upper, lower = self._upper.tolist(), self._lower.tolist()
        if not self._under:
            return zip(map(tuple, upper), map(tuple, lower), strict=True)
        red, green, blue = _blends(self._under)
        return (
            ((red[r], green[g], blue[b]), (red[x], green[y], blue[z]))
            for (r, g, b), (x, y, z) in zip(upper, lower, strict=True)
        )

    def codes(self, console: Console) -> str:
        """A colour is sent when it changes."""
        codes: list[str] = []
        ground = block = ""
        for above, below in self._cells():
            wanted, over = self._code(*above), self._code(*below)
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

    def segments(self) -> list[Segment]:
        """One for neighbours of one colour.

        Rich's own way, parsing a style's description, takes ten times as long as making it from colours.
        """
        segments = []
        for (above, below), same in groupby(self._cells()):
            style = Style.from_color(_colour(*below), _colour(*above))
            segments.append(Segment((" " if above == below else "▄") * sum(1 for _ in same), style))
        return segments

    def cut(self, start: int, end: int) -> Strip:
        """Some of the pixels."""
        return HalfCells(self._upper[start:end], self._lower[start:end], self._code, self._under)

    def dimmed(self, colour: Colour) -> Strip:
        """Each pixel blended with the colour."""
        return HalfCells(self._upper, self._lower, self._code, (*self._under, colour))


class Beside(Written):
    """Lines beside each other."""

    __slots__ = ("_parts",)

    def __init__(self, parts: Sequence[Strip]) -> None:
        self._parts = parts
        super().__init__(sum(part.cell_length for part in parts))

    def codes(self, console: Console) -> str:
        """Those of all."""
        return "".join([part.render(console) for part in self._parts])

    def segments(self) -> list[Segment]:
        """Those of all."""
        return [segment for part in self._parts for segment in part]

    def cut(self, start: int, end: int) -> Strip:
        """Those inside, the outer ones cut."""
        found, at = [], 0
        for part in self._parts:
            if start < at + part.cell_length and at < end:
                found.append(part.crop(start - at, end - at))
            at += part.cell_length
        return beside(found)

    def dimmed(self, colour: Colour) -> Strip:
        """Each of them."""
        return beside([dimmed(part, colour) for part in self._parts])


def beside(parts: Sequence[Strip]) -> Strip:
    """Lines beside each other, without looking into them; those of no width are left out."""
    return Beside([part for part in parts if part.cell_length])


def dimmed(line: Strip, colour: Colour) -> Strip:
    """A line under a translucent colour, as Textual shows the screen behind a dialog."""
    if isinstance(line, Written):
        return line.dimmed(colour)
    # A screen shows the same few again and again: edges, blanks, words in one style.
    return Strip([each if each.control else _dimmed(each, colour) for each in line], line.cell_length)


@lru_cache(8_192)
def _dimmed(segment: Segment, colour: Colour) -> Segment:
    (seen,) = BackgroundScreen.process_segments([segment], colour)
    return seen


def half_cell_lines(pixels: NDArray[uint8], console: Console | None) -> list[Strip]:
    """Two pixels a cell.

    Args:
        pixels: shape (2 * lines, width, 3), RGB.
        console: where they are written; without one, or where it knows fewer than 256 colours, the codes are
            left to Textual.
    """
    system = None if console is None else console._color_system or ColorSystem.TRUECOLOR
    code = _of_256 if system is ColorSystem.EIGHT_BIT else _true
    lines = [HalfCells(upper, lower, code) for upper, lower in zip(pixels[::2], pixels[1::2], strict=True)]
    if system in (ColorSystem.TRUECOLOR, ColorSystem.EIGHT_BIT):
        return list(lines)
    return [Strip(line.segments(), line.cell_length) for line in lines]


def _true(red: int, green: int, blue: int) -> str:
    return f"2;{red};{green};{blue}"


def _of_256(red: int, green: int, blue: int) -> str:
    # Five bits a channel are more than 256 colours can show, and few enough to remember.
    return _nearest_of_256(red & 0xF8 | red >> 5, green & 0xF8 | green >> 5, blue & 0xF8 | blue >> 5)


@lru_cache(32_768)
def _nearest_of_256(red: int, green: int, blue: int) -> str:
    return f"5;{Color.from_rgb(red, green, blue).downgrade(ColorSystem.EIGHT_BIT).number}"


@lru_cache(16_384)
def _colour(red: int, green: int, blue: int) -> Color:
    triplet = ColorTriplet(red, green, blue)
    return Color(triplet.hex, ColorType.TRUECOLOR, triplet=triplet)


@lru_cache(16)
def _blends(under: tuple[Colour, ...]) -> tuple[list[int], list[int], list[int]]:
    """What each value of red, green and blue becomes under some colours, rounded as Textual does."""
    red, green, blue = (list(range(256)) for _ in range(3))
    for colour in under:
        red, green, blue = (
            [int(value + (over - value) * colour.a) for value in values]
            for values, over in zip((red, green, blue), colour.rgb, strict=True)
        )
    return red, green, blue

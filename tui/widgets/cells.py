"""Lines of a picture in half cells: codes for the terminal, made without a style for every cell.

Textual's segments carry a style each, and making those takes ten times as long as the codes, in the
interpreter, which the event loop then waits for. Nearly all lines of pictures are only written, or cut, or
dimmed behind a dialog, and need none.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import groupby, pairwise, zip_longest
from typing import TYPE_CHECKING, Any

from rich.color import Color, ColorSystem, ColorType
from rich.color_triplet import ColorTriplet
from rich.segment import Segment
from rich.style import Style
from textual.cache import FIFOCache
from textual.color import Color as Colour
from textual.renderables.background_screen import BackgroundScreen
from textual.strip import Strip

from tui.widgets.painting import Code, Colours, Painted, Pixel, cells_of, code_of, codes_of

if TYPE_CHECKING:
    from rich.console import Console


_CACHES = frozenset(name for name in Strip.__slots__ if name.endswith("_cache"))


class Written(Strip, ABC):
    """A line that can be written, cut and dimmed as it is.

    Its segments are made when somebody looks into it.

    Args:
        width: in cells.
    """

    __slots__ = ("_made",)

    def __init__(self, width: int) -> None:
        # Textual's constructor makes seven caches for every line. There are thousands of lines, and Python
        # stops the event loop to look for garbage among them.
        self._cell_length = width
        self._made: list[Segment] | None = None
        self._render_cache = None
        self._link_ids = None
        self._cell_count = None

    def __getattr__(self, name: str) -> FIFOCache[Any, Any]:
        """A cache that Textual looks for is made when it does."""
        if name not in _CACHES:
            raise AttributeError(name)
        cache: FIFOCache[Any, Any] = FIFOCache(4)
        setattr(self, name, cache)
        return cache

    @property
    def _segments(self) -> list[Segment]:  # type: ignore[override]
        if self._made is None:
            self._made = self.segments()
        return self._made

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
        upper, lower: a row of pixels each, RGB.
        code: what a colour is in the codes.
        under: translucent colours that lie over it, the lowest first.
        codes: its codes, where they were made already.
    """

    __slots__ = ("_code", "_lower", "_under", "_upper")

    def __init__(
        self,
        upper: bytes,
        lower: bytes,
        code: Code,
        under: tuple[Colour, ...] = (),
        codes: str | None = None,
    ) -> None:
        self._upper, self._lower, self._code, self._under = upper, lower, code, under
        super().__init__(len(upper) // 3)
        self._render_cache = codes

    def _cells(self) -> Iterator[tuple[Pixel, Pixel]]:
        cells = cells_of(self._upper, self._lower)
        if not self._under:
            return cells
        red, green, blue = _blends(self._under)
        return (((red[r], green[g], blue[b]), (red[x], green[y], blue[z])) for (r, g, b), (x, y, z) in cells)

    def codes(self, console: Console) -> str:
        """A colour is sent when it changes."""
        return codes_of(self._cells(), self._code)

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
        inside = slice(3 * start, 3 * end)
        return HalfCells(self._upper[inside], self._lower[inside], self._code, self._under)

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


class Line(Written):
    """A line of segments.

    Args:
        made: at least one.
    """

    __slots__ = ()

    def __init__(self, made: list[Segment], width: int) -> None:
        super().__init__(width)
        self._made = made

    def segments(self) -> list[Segment]:
        """They are there."""
        return self._made or []

    def codes(self, console: Console) -> str:
        """As Textual makes them."""
        return Strip.render(self, console)

    def cut(self, start: int, end: int) -> Strip:
        """As Textual cuts them."""
        return Strip(self._segments, self.cell_length).crop(start, end)

    def dimmed(self, colour: Colour) -> Strip:
        """Each of them."""
        return Line([_dimmed(each, colour) for each in self._segments], self.cell_length)


def beside(parts: Sequence[Strip]) -> Strip:
    """Lines beside each other, without looking into them; those of no width are left out."""
    return Beside([part for part in parts if part.cell_length])


def dimmed(line: Strip, colour: Colour) -> Strip:
    """A line under a translucent colour, as Textual shows the screen behind a dialog."""
    if isinstance(line, Written):
        return line.dimmed(colour)
    # A screen shows the same few again and again: edges, blanks, words in one style.
    return Line([each if each.control else _dimmed(each, colour) for each in line], line.cell_length)


@lru_cache(8_192)
def _dimmed(segment: Segment, colour: Colour) -> Segment:
    (seen,) = BackgroundScreen.process_segments([segment], colour)
    return seen


def colours_of(console: Console | None) -> Colours | None:
    """How many colours codes can be made for; None leaves them to Textual."""
    known: dict[ColorSystem | None, Colours] = {
        None: "truecolor",
        ColorSystem.TRUECOLOR: "truecolor",
        ColorSystem.EIGHT_BIT: "256",
    }
    return None if console is None else known.get(console._color_system)


def half_cell_lines(painted: Painted, colours: Colours | None) -> list[Strip]:
    """The lines of a picture with its ground.

    Args:
        colours: as ``colours_of`` says; without them the lines are Textual's own, of segments.
    """
    rows, code = painted.rows(), code_of(colours)
    lines = [
        HalfCells(upper, lower, code, codes=codes)
        for upper, lower, codes in zip_longest(rows[::2], rows[1::2], painted.codes)
    ]
    if colours is not None:
        return list(lines)
    return [Strip(line.segments(), line.cell_length) for line in lines]


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

"""Lines of half cells show what Textual would make of their segments, whole, cut, and beside others."""

from __future__ import annotations

import gc
import io
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from rich.ansi import AnsiDecoder
from rich.cells import cell_len
from rich.color import Color
from rich.console import Console
from rich.segment import Segment
from rich.style import Style
from rich.text import Text
from textual.cache import FIFOCache
from textual.color import Color as Colour
from textual.filter import Monochrome
from textual.renderables.background_screen import BackgroundScreen
from textual.strip import Strip

from tests.ui.graphics import half_cells
from tui.widgets.cells import Line, Written, beside, dimmed

# Few values, so that neighbours are often of one colour.
_channel = st.sampled_from([0, 1, 7, 8, 94, 95, 96, 128, 254, 255])
_pixels = st.tuples(st.integers(1, 3), st.integers(1, 9)).flatmap(
    lambda size: arrays(np.uint8, (2 * size[0], size[1], 3), elements=_channel)
)
_systems = pytest.mark.parametrize("system", ["truecolor", "256", "standard"])
Cell = tuple[Color | None, Color | None]


def console(system: Any) -> Console:
    return Console(file=io.StringIO(), force_terminal=True, color_system=system, width=200)


def seen(codes: str) -> list[Cell]:
    """The colours that a terminal shows for codes, upper and lower, cell by cell."""
    cells: list[Cell] = []
    (text,) = AnsiDecoder().decode(codes) if codes else (Text(),)
    for segment in text.render(Console(force_terminal=True, color_system="truecolor", width=200)):
        style = segment.style or Style()
        ground, block = _colour(style.bgcolor), _colour(style.color)
        cells += [(ground, ground if char == " " else block) for char in segment.text if char != "\n"]
    return cells


def _colour(colour: Color | None) -> Color | None:
    """Without its name, which depends on where it was written down."""
    return None if colour is None else colour._replace(name="")


@_systems
@given(pixels=_pixels)
def test_codes_show_what_textual_makes_of_the_segments(system: str, pixels: Any) -> None:
    terminal = console(system)
    # Among 256 colours the nearest to five bits a channel is taken.
    meant = pixels & 0xF8 | pixels >> 5 if system == "256" else pixels
    lines, segments = half_cells(pixels, terminal), half_cells(meant, terminal)
    for line, plain in zip(lines, segments, strict=True):
        assert line.cell_length == pixels.shape[1] == cell_len(line.text)
        assert seen(line.render(terminal)) == seen(Strip(list(plain)).render(terminal))


@given(pixels=_pixels, data=st.data())
def test_a_line_is_cut_as_its_segments_are(pixels: Any, data: st.DataObject) -> None:
    terminal = console("truecolor")
    (one, *_) = half_cells(pixels, terminal)
    line = beside([Strip([Segment("ab")]), one, Strip.blank(2), one])
    plain = Strip(list(line), line.cell_length)
    start = data.draw(st.integers(0, line.cell_length))
    end = data.draw(st.integers(start, line.cell_length + 3))
    assert line.crop(start, end).text == plain.crop(start, end).text
    assert seen(line.crop(start, end).render(terminal)) == seen(plain.crop(start, end).render(terminal))
    cuts = sorted({start, min(end, line.cell_length), line.cell_length})
    for mine, theirs in zip(line.divide(cuts), plain.divide(cuts), strict=True):
        assert (mine.text, mine.cell_length) == (theirs.text, theirs.cell_length)
        assert seen(mine.render(terminal)) == seen(theirs.render(terminal))


@given(pixels=_pixels, rgb=st.tuples(_channel, _channel, _channel), alpha=st.sampled_from([0.1, 0.6, 0.9]))
def test_a_line_is_dimmed_as_textual_dims_its_segments(
    pixels: Any, rgb: tuple[int, int, int], alpha: float
) -> None:
    terminal, over = console("truecolor"), Colour(*rgb, alpha)
    (one, *_) = half_cells(pixels, terminal)
    words = Strip([Segment("ab", Style.parse("bold #102030 on #405060"))])
    line = beside([words, one])
    theirs = Strip(BackgroundScreen.process_segments(list(line), over))
    assert seen(dimmed(line, over).render(terminal)) == seen(theirs.render(terminal))
    assert dimmed(line, over).cell_length == line.cell_length == cell_len(dimmed(line, over).text)


def test_lines_beside_each_other_are_not_looked_into_until_they_are_cut() -> None:
    terminal = console("truecolor")
    pixels = np.array([[[255, 0, 0], [0, 0, 255]], [[0, 255, 0], [0, 0, 255]]], np.uint8)
    (line,) = half_cells(pixels, terminal)
    both = beside([Strip.blank(1), line, Strip.blank(0), line])
    assert isinstance(line, Written) and isinstance(both, Written)
    assert both.render(terminal) == " " + 2 * line.render(terminal)
    assert line._made is None and both._made is None
    assert (both.cell_length, both.text) == (5, " ▄ ▄ ")
    assert list(both) == [*Strip.blank(1), *line, *line]


@given(pixels=_pixels)
def test_what_textual_does_to_a_line_is_what_it_does_to_its_segments(pixels: NDArray[np.uint8]) -> None:
    terminal = console("truecolor")
    (half, *_) = half_cells(pixels, terminal)
    words = Line([Segment("ab", Style.parse("bold #102030 on #405060"))], 2)
    for line in (half, words, beside([words, half])):
        plain, width = Strip(list(line), line.cell_length), line.cell_length
        dim, grey = Style(dim=True), Colour(9, 9, 9)
        for _again in range(2):  # the second answer comes from a cache
            for made, meant in (
                (line.crop_extend(0, width + 2, dim), plain.crop_extend(0, width + 2, dim)),
                (line.adjust_cell_length(width + 3, dim), plain.adjust_cell_length(width + 3, dim)),
                (line.apply_style(dim), plain.apply_style(dim)),
                (line.apply_filter(Monochrome(), grey), plain.apply_filter(Monochrome(), grey)),
                (line.apply_offsets(3, 1), plain.apply_offsets(3, 1)),
                (line.simplify(), plain.simplify()),
            ):
                assert list(made) == list(meant) and made.cell_length == meant.cell_length
        assert (line.cell_count, line.link_ids, len(line)) == (plain.cell_count, plain.link_ids, len(plain))
        with pytest.raises(AttributeError):
            line.nonsense  # type: ignore[attr-defined]  # noqa: B018


@given(pixels=_pixels)
def test_a_line_is_one_object_to_a_collection_of_garbage(pixels: NDArray[np.uint8]) -> None:
    terminal = console("truecolor")
    lines = half_cells(pixels, terminal)
    every = [*lines, Line([Segment("ab")], 2), beside(lines)]
    for line in every:
        line.render(terminal)
        assert not any(isinstance(each, FIFOCache) for each in gc.get_referents(line))


def test_a_colour_is_sent_only_when_it_changes() -> None:
    terminal = console("truecolor")
    flat = np.full((2, 50, 3), 7, np.uint8)
    (line,) = half_cells(flat, terminal)
    assert line.render(terminal) == "\x1b[48;2;7;7;7m" + 50 * " " + "\x1b[0m"

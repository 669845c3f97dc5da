"""A picture in a terminal's own protocol, made by the library that knows them: in a process that paints."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import TYPE_CHECKING, Any

from rich.cells import cell_len
from rich.console import Console
from rich.segment import Segment

from tui.widgets.painting import KittyPicture, SixelPicture
from tui.widgets.protocols import renderables

if TYPE_CHECKING:
    from PIL import Image

PLACEHOLDER = "\U0010eeee"
"""Of kitty's: this and three combining marks are a cell of a picture."""
_MESSAGE_END = "\x1b\\"
# Two threads that swap stdout at once would leave the stand-in behind.
_swapping = Lock()


def kitty(picture: Image.Image, cells: tuple[int, int]) -> KittyPicture:
    """Make what shows an RGB picture within so many cells, its proportions kept."""
    image = renderables().TGPImage(picture, "auto", "auto")
    with _what_is_sent() as sent:
        segments = list(_split(image, cells))
    with _what_is_sent() as forget:
        image.cleanup()
    rows = tuple(segment.text for segment in segments if segment.text != "\n")
    colour = segments[0].style.color if segments and segments[0].style else None
    assert colour is not None and colour.triplet is not None
    messages = sent.getvalue().split(_MESSAGE_END)[:-1]
    return KittyPicture(
        (rows[0].count(PLACEHOLDER), len(rows)),
        tuple(message + _MESSAGE_END for message in messages),
        rows,
        (*colour.triplet,),
        forget.getvalue(),
    )


def sixel(picture: Image.Image, cells: tuple[int, int]) -> SixelPicture:
    """As ``kitty``."""
    image = renderables().SixelImage(picture, "auto", "auto")
    segments = list(_split(image, cells))
    data = next(segment.text for segment in segments if segment.text.startswith("\x1bP"))
    blanks = [segment.text for segment in segments if not segment.control and segment.text != "\n"]
    return SixelPicture((cell_len(blanks[0]), len(blanks)) if blanks else (0, 0), data)


@contextmanager
def _what_is_sent() -> Iterator[io.StringIO]:
    """The library writes to the terminal by itself; here that is for whoever has one."""
    with _swapping:
        real, sys.__stdout__ = sys.__stdout__, io.StringIO()  # type: ignore[misc,assignment]
        try:
            yield sys.__stdout__  # type: ignore[misc]
        finally:
            sys.__stdout__ = real  # type: ignore[misc]


def _split(image: Any, cells: tuple[int, int]) -> Iterator[Segment]:
    """What a renderable yields, with line ends as segments of their own."""
    console = Console(width=cells[0], height=cells[1], force_terminal=True, color_system="truecolor")
    for segment in console.render(image, console.options.update_dimensions(*cells)):
        if segment.text.endswith("\n") and segment.text != "\n":
            yield Segment(segment.text[:-1], segment.style)
            yield Segment("\n")
        else:
            yield segment

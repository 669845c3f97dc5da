"""Pictures into lines of half cells, and back from kitty's and sixel's codes, as a terminal reads them."""

from __future__ import annotations

import base64
import io
import re

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console
from textual.strip import Strip

from tui.widgets.cells import colours_of, half_cell_lines
from tui.widgets.painting import Painted


def half_cells(pixels: NDArray[np.uint8], terminal: Console) -> list[Strip]:
    """Lines that show pixels of shape (2 * lines, width, 3)."""
    height, width, _ = pixels.shape
    return half_cell_lines(Painted((width, height), pixels.tobytes(), (0, 0, 0, 0)), colours_of(terminal))


def kitty_pictures(written: str) -> list[Image.Image]:
    """Every picture that was sent, in order of its last chunk."""
    open_ones: dict[str, str] = {}
    found = []
    last = ""
    for keys, payload in re.findall(r"\x1b_G([^;\x1b]*);?([^\x1b]*)\x1b\\", written):
        values = dict(part.split("=", 1) for part in keys.split(","))
        # Later chunks carry no id: they belong to the one before.
        last = values.get("i", last)
        if payload:
            open_ones[last] = open_ones.get(last, "") + payload
            if values.get("m", "0") == "0":
                data = base64.b64decode(open_ones.pop(last), validate=True)
                found.append(Image.open(io.BytesIO(data)).convert("RGB"))
    return found


def kitty_placed(written: str) -> list[tuple[int, int]]:
    """Columns and rows of every picture that placeholders stand for."""
    placed = re.findall(r"\x1b_Ga=p,[^\x1b]*?c=(\d+),r=(\d+)[^\x1b]*?U=1[^\x1b]*\x1b\\", written)
    return [(int(columns), int(rows)) for columns, rows in placed]


def sixel_pictures(written: str) -> list[Image.Image]:
    """Every picture that was painted."""
    return [_sixels(data) for data in re.findall(r"\x1bP[\d;]*q([^\x1b]*)\x1b\\", written)]


def _sixels(data: str) -> Image.Image:
    raster = re.match(r'"(\d+);(\d+);(\d+);(\d+)', data)
    assert raster is not None, data[:40]
    picture = Image.new("RGB", (int(raster[3]), int(raster[4])))
    colours: dict[int, tuple[int, ...]] = {}
    x = y = colour = 0
    token = re.compile(r"#(\d+)(?:;2;(\d+);(\d+);(\d+))?|!(\d+)([?-~])|([?-~])|([$-])")
    for found in token.finditer(data, raster.end()):
        number, red, green, blue, count, repeated, single, move = found.groups()
        if number:
            colour = int(number)
            if red is not None:
                colours[colour] = tuple(round(int(part) * 2.55) for part in (red, green, blue))
        elif move:
            x, y = 0, y + 6 if move == "-" else y
        else:
            bits, end = ord(repeated or single) - 63, x + int(count or 1)
            for bit in range(6):
                if bits >> bit & 1:
                    picture.paste(colours[colour], (x, y + bit, end, y + bit + 1))
            x = end
    return picture

"""Labels drawn on a picture: masks, outlines, points. Their words are the caller's business."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING
from zlib import crc32

from PIL import Image, ImageDraw

from tui.core.vision.images import Box

if TYPE_CHECKING:
    from tui.core.documents.label import Label, Point

Colour = tuple[int, int, int]

OWN_COLOUR: Colour = (255, 213, 0)
"""Of the box that a patch was cut from."""
COLOURS: tuple[Colour, ...] = (
    (0, 200, 255), (255, 96, 96), (96, 224, 96), (255, 128, 224), (255, 160, 64), (160, 144, 255),
    (64, 224, 192), (224, 224, 96), (128, 176, 255), (240, 150, 130),
)  # fmt: skip


def colour_of(label: Label) -> Colour:
    """The same colour for the same name, in every picture and every session."""
    return COLOURS[crc32(f"{label.field}\0{label.name}".encode("utf-8", "replace")) % len(COLOURS)]


def draw_labels(
    picture: Image.Image, labels: Sequence[Label], own: Box | None = None, *, thick: int = 1
) -> None:
    """Draw labels on an RGB picture in place, and over them ``own``, the box of a patch.

    Args:
        thick: the width of lines in pixels. Outlines thicker than one pixel get a dark rim.
    """
    for label in labels:
        if label.mask is not None or label.mask_path is not None:
            _blend(picture, label)
    pen = ImageDraw.Draw(picture)
    for label in labels:
        colour = colour_of(label)
        if label.box is not None:
            _rectangle(pen, picture.size, label.box, colour, thick)
        for line in label.lines:
            places = [_pixel(picture.size, point) for point in (*line, *line[:1] * label.closed)]
            pen.line(places, fill=colour, width=thick)
        for point in label.points:
            x, y = _pixel(picture.size, point)
            pen.ellipse((x - thick, y - thick, x + thick, y + thick), fill=colour)
    if own is not None:
        _rectangle(pen, picture.size, own, OWN_COLOUR, thick)


def _pixel(size: tuple[int, int], point: Point) -> tuple[int, int]:
    return round(point[0] * (size[0] - 1)), round(point[1] * (size[1] - 1))


def _rectangle(pen: ImageDraw.ImageDraw, size: tuple[int, int], box: Box, colour: Colour, thick: int) -> None:
    left, top = _pixel(size, (box[0], box[1]))
    right, bottom = _pixel(size, (box[0] + box[2], box[1] + box[3]))
    right, bottom = max(right, left), max(bottom, top)
    if thick > 1:
        pen.rectangle((left - 1, top - 1, right + 1, bottom + 1), outline=(0, 0, 0), width=thick + 2)
    pen.rectangle((left, top, right, bottom), outline=colour, width=thick)


def _blend(picture: Image.Image, label: Label) -> None:
    """Tint what a mask covers; one that cannot be read leaves the picture as it is."""
    box = label.box or (0.0, 0.0, 1.0, 1.0)
    left, top = round(box[0] * picture.width), round(box[1] * picture.height)
    width, height = max(round(box[2] * picture.width), 1), max(round(box[3] * picture.height), 1)
    if width > 4 * picture.width or height > 4 * picture.height:
        return
    try:
        from tui.core.vision.masks import tinted

        tint, covered = tinted(label)
        whole = Image.fromarray(tint).resize((width, height), Image.Resampling.NEAREST)
        where = Image.fromarray(covered).resize((width, height), Image.Resampling.NEAREST)
    except Exception:
        # Damaged data and odd shapes raise nearly everything, and the picture is worth more than its mask.
        return
    picture.paste(whole, (left, top), where)

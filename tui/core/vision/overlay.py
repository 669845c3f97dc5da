"""Labels drawn on a picture: masks, outlines, points. Their words are the caller's business."""

from __future__ import annotations

import io
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from zlib import crc32

import numpy as np
from PIL import Image, ImageDraw

from tui.core.vision.images import Box, check_file, identify, open_image

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tui.core.documents.labels import Label, Point

Colour = tuple[int, int, int]

OWN_COLOUR: Colour = (255, 213, 0)
"""Of the box that a patch was cut from."""
_COLOURS: tuple[Colour, ...] = (
    (0, 200, 255), (255, 96, 96), (96, 224, 96), (255, 128, 224), (255, 160, 64), (160, 144, 255),
    (64, 224, 192), (224, 224, 96), (128, 176, 255), (240, 150, 130),
)  # fmt: skip
_SHARE = 0.45  # of a mask's colour where it covers the picture
_MOST_HEAT = 0.8
_MOST_MASK_BYTES = 256 * 1024 * 1024


def colour_of(label: Label) -> Colour:
    """The same colour for the same name, in every picture and every session."""
    return _COLOURS[crc32(f"{label.field}\0{label.name}".encode("utf-8", "replace")) % len(_COLOURS)]


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
        tint, covered = _tinted(_mask(label), label)
        whole = Image.fromarray(tint).resize((width, height), Image.Resampling.NEAREST)
        where = Image.fromarray(covered).resize((width, height), Image.Resampling.NEAREST)
    except Exception:
        # Damaged data and odd shapes raise nearly everything, and the picture is worth more than its mask.
        return
    picture.paste(whole, (left, top), where)


def _mask(label: Label) -> NDArray[np.generic]:
    if label.mask is not None:
        unpacker = zlib.decompressobj()
        raw = unpacker.decompress(label.mask, _MOST_MASK_BYTES)
        return np.asarray(np.load(io.BytesIO(raw), allow_pickle=False))
    assert label.mask_path is not None
    check_file(Path(label.mask_path))
    with Path(label.mask_path).open("rb") as file:
        picture = identify(file, label.mask_path)
        if picture.mode in ("1", "L", "P", "I", "I;16"):
            return np.asarray(picture)
    return np.asarray(open_image(label.mask_path))


def _tinted(mask: NDArray[np.generic], label: Label) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The colour of each pixel of a mask (h, w, 3), and how much of it counts (h, w).

    Raises:
        ValueError: the mask is neither (h, w) nor (h, w, channels), or a heatmap has no range.
    """
    share = np.uint8(255 * _SHARE)
    if mask.ndim == 3 and mask.shape[2] == 1:
        mask = mask[:, :, 0]
    if mask.ndim not in (2, 3):
        raise ValueError(f"a mask of shape {mask.shape}")
    if label.heat is not None:
        values = mask if mask.ndim == 2 else mask[:, :, :3].mean(axis=2).astype(mask.dtype)
        return _of_one_colour(mask, label), (255 * _MOST_HEAT * _strength(values, label)).astype(np.uint8)
    if mask.ndim == 3:
        return np.ascontiguousarray(mask[:, :, :3], np.uint8), np.where(mask.any(axis=2), share, 0).astype(
            np.uint8
        )
    values = mask.astype(np.int64)
    covered = np.where(values != 0, share, 0).astype(np.uint8)
    if label.box is not None:
        return _of_one_colour(mask, label), covered
    return np.array(_COLOURS, np.uint8)[values % len(_COLOURS)], covered


def _of_one_colour(mask: NDArray[np.generic], label: Label) -> NDArray[np.uint8]:
    return np.broadcast_to(np.array(colour_of(label), np.uint8), (*mask.shape[:2], 3)).copy()


def _strength(values: NDArray[np.generic], label: Label) -> NDArray[np.float64]:
    """Where each value (h, w) lies in a heatmap's range, 0 to 1; nowhere for what is not a number.

    A range that is not told is what ``fiftyone.Heatmap`` assumes.

    Raises:
        ValueError: the range is empty.
    """
    low, high = label.heat or (None, None)
    if high is None:
        high = 1.0
        if np.issubdtype(values.dtype, np.integer):
            high = 65535.0 if label.mask is None and values.dtype.itemsize > 1 else 255.0
    low = low or 0.0
    if high <= low:
        raise ValueError(f"a range from {low} to {high}")
    return np.nan_to_num(np.clip((values.astype(np.float64) - low) / (high - low), 0, 1))

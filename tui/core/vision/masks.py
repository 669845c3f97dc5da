"""Masks and heatmaps of labels as colours: read from the database's bytes or a file."""

from __future__ import annotations

import io
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tui.core.vision.images import check_file, identify, open_image
from tui.core.vision.overlay import COLOURS, colour_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tui.core.documents.label import Label

_SHARE = 0.45  # of a mask's colour where it covers the picture
_MOST_HEAT = 0.8
_MOST_MASK_BYTES = 256 * 1024 * 1024


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


def tinted(label: Label) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The colour of each pixel of a label's mask (h, w, 3), and how much of it counts (h, w).

    Raises:
        ValueError: the mask is neither (h, w) nor (h, w, channels), or a heatmap has no range.
        Exception: nearly anything else, of damaged data.
    """
    mask = _mask(label)
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
    return np.array(COLOURS, np.uint8)[values % len(COLOURS)], covered


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

"""Small pictures for the screen: decoded at reduced scale, fitted, kept on disk under a hash."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
import tempfile
from pathlib import Path

from PIL import Image

from tui import paths
from tui.core.vision.images import Box, UnreadableImage, crop, open_image

LIMIT_BYTES = 256 * 1024 * 1024
_KEEP = 0.8  # of the limit, when it was passed: so that pruning is rare
_PRUNE_EVERY = 500  # pictures written by this process
# A smaller file is decoded sooner than a copy of it is found.
_WORTH_KEEPING_BYTES = 48 * 1024
_WORTH_KEEPING_PIXELS = 512 * 512
_VERSION = 2

_written = itertools.count()


def thumbnail(path: str | os.PathLike[str], size: tuple[int, int], box: Box | None = None) -> Image.Image:
    """A picture fitted into ``size``: proportions kept, never enlarged, upright, RGB.

    Args:
        path: the file.
        size: width and height in pixels that the result does not exceed.
        box: relative ``(x, y, width, height)``: only this part of the picture.

    Raises:
        UnreadableImage: no picture can be made of the file, or the box covers none of it.
    """
    place = _place(path, size, box)
    kept = _read(place) if place is not None else None
    if kept is not None:
        return kept
    picture = open_image(path, _hint(size, box), upright=True)
    large = picture.width * picture.height > _WORTH_KEEPING_PIXELS
    if box is not None:
        picture = crop(picture, box)
    picture.thumbnail((max(size[0], 1), max(size[1], 1)), Image.Resampling.LANCZOS, reducing_gap=2.0)
    if place is not None and (large or _bytes(path) > _WORTH_KEEPING_BYTES):
        _write(place, picture)
    return picture


def prune(limit: int = LIMIT_BYTES) -> int:
    """Remove the pictures used longest ago when all together take more than ``limit`` bytes.

    Returns:
        how many were removed.
    """
    found: list[tuple[float, int, Path]] = []
    for file in _folder().glob("*/*"):
        with contextlib.suppress(OSError):
            status = file.stat()
            found.append((status.st_mtime, status.st_size, file))
    total = sum(size for _, size, _ in found)
    if total <= limit:
        return 0
    removed = 0
    for _, size, file in sorted(found):
        if total <= limit * _KEEP:
            break
        with contextlib.suppress(OSError):
            file.unlink()
            removed += 1
        total -= size
    return removed


def _folder() -> Path:
    return paths.cache_dir() / "thumbnails"


def _place(path: str | os.PathLike[str], size: tuple[int, int], box: Box | None) -> Path | None:
    """Where its copy is or would be; None for a file that cannot be looked at, which the decoder explains."""
    try:
        status = Path(path).stat()
    except (OSError, ValueError):
        return None
    facts = (_VERSION, os.path.abspath(path), status.st_mtime_ns, status.st_size, size, box)  # noqa: PTH100
    name = hashlib.sha256(repr(facts).encode("utf-8", "surrogateescape")).hexdigest()
    return _folder() / name[:2] / f"{name}.jpg"


def _bytes(path: str | os.PathLike[str]) -> int:
    try:
        return Path(path).stat().st_size
    except OSError:  # it went away after it was read
        return 0


def _read(place: Path) -> Image.Image | None:
    try:
        picture = open_image(place)
    except UnreadableImage:
        return None
    with contextlib.suppress(OSError):
        os.utime(place)  # what was used last is pruned last
    return picture


def _write(place: Path, picture: Image.Image) -> None:
    """Keep a copy; a cache that cannot be written costs time, not the picture."""
    with contextlib.suppress(OSError):
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=".", suffix=".part", dir=place.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                picture.save(file, "JPEG", quality=90, subsampling=0)
            Path(temporary).replace(place)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
        if next(_written) % _PRUNE_EVERY == 0:
            prune()


def _hint(size: tuple[int, int], box: Box | None) -> tuple[int, int]:
    width, height = (1.0, 1.0) if box is None else (max(box[2], 0.01), max(box[3], 0.01))
    return int(size[0] / width) + 1, int(size[1] / height) + 1

"""One decoder for everything that looks at a picture: embedding, thumbnails, a query's image.

A file either becomes an RGB picture or an `UnreadableImage` that says why; nothing else is ever raised
for a bad file. Decoding is done by Pillow, from an allow list of formats whose decoders run no other program.
"""

from __future__ import annotations

import os
import stat
import warnings
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from PIL import Image, JpegImagePlugin, UnidentifiedImageError

from tui.core.errors import KitescopeError
from tui.core.words import counted

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Box = tuple[float, float, float, float]
"""``(x, y, width, height)`` relative to the picture's size, as FiftyOne's ``bounding_box``."""


class Patch(NamedTuple):
    """A relative box, and what FiftyOne's ``alpha`` and ``force_square`` make of it before it is cut out.

    ``alpha`` is how much wider and higher it becomes, 0.1 for a tenth; ``square`` widens its shorter side.
    """

    x: float
    y: float
    width: float
    height: float
    alpha: float = 0.0
    square: bool = False


MAX_PIXELS = 178_956_970
"""Larger pictures are refused before their pixels are decoded; where stock FiftyOne fails too."""

_REDUCED = (2048, 2048)
_FORMATS = (
    "JPEG", "MPO", "PNG", "GIF", "BMP", "DIB", "TIFF", "WEBP", "AVIF", "JPEG2000", "PPM", "ICO", "QOI",
    "PCX", "SGI", "DDS", "TGA",
)  # fmt: skip
_EXIF_ORIENTATION = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_VIDEO_BRANDS = (b"isom", b"iso2", b"mp4", b"M4V", b"qt  ", b"avc1", b"3gp", b"MSNV", b"dash")

# Too large a picture is refused with a reason, so Pillow's own warning would only be noise on a screen.
warnings.simplefilter("ignore", Image.DecompressionBombWarning)


class UnreadableImage(KitescopeError):
    """No picture can be made of a file.

    Args:
        reason: why, a few words that fit a list, such as ``the file is empty``.
        path: the file, when the reader should be told which.
    """

    def __init__(self, reason: str, path: str | os.PathLike[str] | None = None) -> None:
        what = f"Cannot read {os.fspath(path)}: {reason}" if path is not None else f"Cannot read it: {reason}"
        super().__init__(what, "Choose a picture that Pillow can open")
        self.reason = reason


def open_image(
    path: str | os.PathLike[str], size_hint: tuple[int, int] | None = None, *, upright: bool = False
) -> Image.Image:
    """Decode a file to an RGB picture, its first frame when it is animated.

    Args:
        path: a file; its extension does not matter.
        size_hint: ``(width, height)`` in pixels that are enough for the caller: a JPEG may then be decoded at
            1/2, 1/4 or 1/8 scale, never smaller than this in either direction.
        upright: turn the picture as its EXIF orientation says. The caller's choice, because stock FiftyOne
            does so for patches (OpenCV) and not for whole images (Pillow).

    Raises:
        UnreadableImage: missing, empty, truncated, too large, a video, a folder, unreadable, not a picture.
    """
    check_file(Path(path))
    try:
        with Path(path).open("rb") as file:
            image = identify(file, path)
            _reduce(image, path, size_hint)
            orientation = _orientation(image) if upright else 1
            picture = to_rgb(image)
    except UnreadableImage:
        raise
    except PermissionError as error:
        raise UnreadableImage("no permission to read it", path) from error
    except MemoryError as error:
        raise UnreadableImage("not enough memory to decode it", path) from error
    except Exception as error:  # Pillow's plugins raise nearly everything for a damaged file
        raise UnreadableImage(_damage(error), path) from error
    return picture.transpose(_TURNS[orientation]) if orientation in _TURNS else picture


def to_rgb(image: Image.Image) -> Image.Image:
    """Convert any mode to RGB as stock FiftyOne does, except that 16-bit and float pictures are scaled.

    Pillow clips them, which leaves a 16-bit picture almost white.
    """
    if image.mode == "RGB":
        image.load()
        return image
    if image.mode.startswith("I") or image.mode == "F":
        import numpy as np

        return Image.fromarray(_to_uint8(np.asarray(image))).convert("RGB")
    return image.convert("RGB")


def crop(image: Image.Image, box: Box | Patch) -> Image.Image:
    """Cut out a relative box at the pixel edges of FiftyOne's patch extraction (truncated, not rounded).

    Raises:
        UnreadableImage: the box covers no pixel of the picture.
    """
    patch = Patch(*box)
    if not all(-1e6 < value < 1e6 for value in patch):
        raise UnreadableImage("its box is out of range")
    left, right = _side(patch.x, patch.width, patch.alpha, image.width)
    top, bottom = _side(patch.y, patch.height, patch.alpha, image.height)
    if right <= left or bottom <= top:
        raise UnreadableImage("its box covers no pixel")
    if patch.square:
        short = min(max(right - left, bottom - top), image.width, image.height)
        left, right = _resized(left, right, short, image.width)
        top, bottom = _resized(top, bottom, short, image.height)
    return image.crop((left, top, right, bottom))


def _side(start: float, extent: float, alpha: float, pixels: int) -> tuple[int, int]:
    """Where a relative side begins and ends in pixels, rounded as FiftyOne does: the order matters."""
    first, last = _within(start), _within(start + extent)
    if alpha:
        pad = 0.5 * alpha * (last - first)
        first, last = _within(first - pad), _within(last + pad)
    return int(pixels * first), int(pixels * last)


def _within(value: float) -> float:
    return max(0.0, min(value, 1.0))


def _resized(first: int, last: int, wanted: int, pixels: int) -> tuple[int, int]:
    """Grow or shrink a side about its middle, and push it back into the picture."""
    more = wanted - (last - first)
    before = int(0.5 * more)
    after = more - before
    shift = max(0, before - first) - max(0, last + after - pixels)
    return first - before + shift, last + after + shift


def check_file(path: Path) -> None:
    """Refuse what is no file with something in it.

    Raises:
        UnreadableImage: missing, a folder, a pipe or device, empty, or not ours to read.
    """
    try:
        status = path.stat()
    except FileNotFoundError as error:
        raise UnreadableImage("the file is missing", path) from error
    except PermissionError as error:
        raise UnreadableImage("no permission to read it", path) from error
    except (OSError, ValueError) as error:
        raise UnreadableImage("the path cannot be opened", path) from error
    if stat.S_ISDIR(status.st_mode):
        raise UnreadableImage("it is a folder, not a file", path)
    if not stat.S_ISREG(status.st_mode):
        raise UnreadableImage("it is not a regular file", path)
    if status.st_size == 0:
        raise UnreadableImage("the file is empty", path)


@cache
def _formats() -> tuple[str, ...]:
    Image.init()
    return tuple(name for name in _FORMATS if name in Image.OPEN)


def identify(file: Any, path: str | os.PathLike[str]) -> Image.Image:
    """Open the header of a file of an allowed format; pixels stay undecoded.

    Raises:
        UnreadableImage: it is of none, or too large.
    """
    try:
        return Image.open(file, formats=_formats())
    except UnidentifiedImageError as error:
        file.seek(0)
        if _looks_like_video(file.read(16)):
            raise UnreadableImage("it is a video, not a picture", path) from error
        raise UnreadableImage("not a picture, or of an unknown format", path) from error
    except Image.DecompressionBombError as error:
        file.seek(0)
        if file.read(2) != b"\xff\xd8":
            raise UnreadableImage(
                f"too large to decode safely (over {counted(MAX_PIXELS, 'pixel')})", path
            ) from error
        file.seek(0)
        return JpegImagePlugin.JpegImageFile(file)


def _reduce(image: Image.Image, path: str | os.PathLike[str], hint: tuple[int, int] | None) -> None:
    """Choose the scale a JPEG is decoded at, and refuse what would still be too large."""
    too_large = image.width * image.height > MAX_PIXELS
    # A progressive JPEG keeps all its coefficients in memory, whatever the scale.
    sequential = image.format in ("JPEG", "MPO") and not image.info.get("progressive")
    if too_large and sequential:
        image.draft(None, hint or _REDUCED)
    elif hint is not None and not too_large:
        turned = image.format in ("JPEG", "MPO") and _orientation(image) >= 5
        image.draft(None, (hint[1], hint[0]) if turned else hint)
    if image.width * image.height > MAX_PIXELS:
        size = f"{image.width:,} x {image.height:,}"
        raise UnreadableImage(f"{size} pixels are too many to decode safely", path)


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 when there is none or its block is damaged: the pixels may be fine."""
    try:
        return int(image.getexif().get(_EXIF_ORIENTATION, 1))
    except Exception:  # a damaged EXIF block raises nearly anything
        return 1


def _to_uint8(values: NDArray[Any]) -> NDArray[np.uint8]:
    import numpy as np

    if values.dtype.kind == "f":
        values = np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
        top = float(values.max(initial=0.0))
        scale = 255.0 if top <= 1.0 else 1.0 if top <= 255.0 else 255.0 / top
        scaled: NDArray[np.uint8] = np.clip(values * scale, 0, 255).astype(np.uint8)
        return scaled
    if values.dtype.itemsize == 2:
        return (values >> 8).astype(np.uint8)
    top = int(values.max(initial=0))
    shift = 0 if top <= 0xFF else 8 if top <= 0xFFFF else 23
    shifted: NDArray[np.uint8] = np.clip(values >> shift, 0, 255).astype(np.uint8)
    return shifted


def _looks_like_video(head: bytes) -> bool:
    return (
        (head[4:8] == b"ftyp" and head[8:12].startswith(_VIDEO_BRANDS))
        or head[:4] in (b"\x1aE\xdf\xa3", b"\x00\x00\x01\xba", b"\x00\x00\x01\xb3")
        or (head[:4] == b"RIFF" and head[8:12] == b"AVI ")
    )


def _damage(error: Exception) -> str:
    text = str(error).splitlines()[0] if str(error) else type(error).__name__
    cut = ("truncated", "Truncated", "unexpected end", "not enough", "broken data stream", "image file is")
    return (
        "the file is truncated or damaged"
        if any(word in text for word in cut)
        else f"cannot be decoded ({text[:120]})"
    )

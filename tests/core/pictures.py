"""Real picture files for tests: healthy ones in many formats, and every kind of broken one."""

from __future__ import annotations

import os
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tui.core.vision.descriptor import Descriptor


@dataclass(frozen=True)
class PictureItem:
    """What `embed` takes, without a dataset behind it."""

    id: str
    filepath: str
    box: tuple[float, float, float, float] | None = None

    @property
    def sample_id(self) -> str:
        return f"sample-of-{self.id}"


def photo(seed: int = 0, size: tuple[int, int] = (640, 480)) -> Image.Image:
    """A crop of a real photograph, a different one for each seed."""
    from skimage import data

    rng = np.random.default_rng(seed)
    source = Image.fromarray(data.astronaut() if seed % 2 else data.coffee())
    left, top = (int(rng.integers(0, extent - 200)) for extent in source.size)
    return source.crop((left, top, left + 200, top + 150)).resize(size, Image.Resampling.BICUBIC)


def healthy(folder: Path) -> dict[str, Path]:
    """Files that stock FiftyOne reads too, by what is special about them."""
    folder.mkdir(parents=True, exist_ok=True)
    picture = photo()
    exif = Image.Exif()
    exif[0x0112] = 6
    alpha = picture.copy()
    alpha.putalpha(picture.convert("L"))
    frames = [photo(seed) for seed in range(3)]
    files = {
        "jpeg": lambda path: picture.save(path, "JPEG", quality=90),
        "progressive": lambda path: picture.save(path, "JPEG", progressive=True),
        "grey": lambda path: picture.convert("L").save(path, "JPEG"),
        "cmyk": lambda path: picture.convert("CMYK").save(path, "JPEG"),
        "rotated": lambda path: picture.save(path, "JPEG", exif=exif),
        "png": lambda path: picture.save(path, "PNG"),
        "palette": lambda path: picture.quantize(64).save(path, "PNG"),
        "alpha": lambda path: alpha.save(path, "PNG"),
        "bilevel": lambda path: picture.convert("1").save(path, "PNG"),
        "webp": lambda path: picture.save(path, "WEBP"),
        "tiff": lambda path: picture.save(path, "TIFF"),
        "bmp": lambda path: picture.save(path, "BMP"),
        "animated": lambda path: frames[0].save(path, "GIF", save_all=True, append_images=frames[1:]),
        "misnamed": lambda path: picture.save(path, "PNG"),
    }
    suffixes = {"png": ".png", "palette": ".png", "alpha": ".png", "bilevel": ".png", "webp": ".webp"}
    suffixes |= {"tiff": ".tif", "bmp": ".bmp", "animated": ".gif"}
    places = {name: folder / f"{name}{suffixes.get(name, '.jpg')}" for name in files}
    for name, save in files.items():
        save(places[name])
    return places


def broken(folder: Path) -> dict[str, tuple[Path, str]]:
    """Files (and others) of which no picture can be made, with a word of the reason."""
    folder.mkdir(parents=True, exist_ok=True)
    jpeg = folder / "whole.jpg"
    photo().save(jpeg, "JPEG")
    png = folder / "whole.png"
    photo().save(png, "PNG")
    contents = {
        "empty.jpg": (b"", "empty"),
        "truncated.jpg": (jpeg.read_bytes()[:5000], "truncated"),
        "truncated.png": (png.read_bytes()[:5000], "truncated"),
        "text.jpg": (b"this is no picture\n" * 50, "not a picture"),
        "video.jpg": (b"\x00\x00\x00\x20ftypisom\x00\x00\x02\x00isomiso2mp41" + bytes(200), "video"),
        "matroska.png": (b"\x1aE\xdf\xa3" + bytes(200), "video"),
        "script.eps": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EOF\n", "not a picture"),
        "bomb.png": (_png_header(20_000, 20_000), "too large"),
    }
    for name, (content, _) in contents.items():
        (folder / name).write_bytes(content)
    found = {name: (folder / name, word) for name, (_, word) in contents.items()}
    (folder / "folder.jpg").mkdir()
    return found | {
        "missing.jpg": (folder / "missing.jpg", "missing"),
        "folder.jpg": (folder / "folder.jpg", "folder"),
        "nul": (Path("/tmp/a\0b.jpg"), "cannot be opened"),
    }


def sixteen_bit(folder: Path) -> dict[str, Path]:
    """The same grey picture with 16 bits a channel, which Pillow's own conversion leaves almost white."""
    folder.mkdir(parents=True, exist_ok=True)
    grey = np.asarray(photo().convert("L")).astype(np.uint16) * 257
    Image.fromarray(grey).save(folder / "deep.png")
    Image.fromarray(grey).save(folder / "deep.tif")
    Image.fromarray((grey / 65535).astype(np.float32)).save(folder / "float.tif")
    Image.fromarray(grey.astype(np.int32)).save(folder / "wide.tif")
    return {path.name: path for path in folder.iterdir()}


def _png_header(width: int, height: int) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(3000))) + chunk(b"IEND", b"")


class Fatal(Descriptor):
    """Takes its whole process with it when it sees a picture of 13 pixels, as a broken decoder might."""

    name = "fatal"

    def prepare(self, image: Image.Image) -> Any:
        if image.width == 13:
            os.kill(os.getpid(), 9)
        return super().prepare(image)

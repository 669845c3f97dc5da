from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from PIL import Image

from tests.core.pictures import broken, healthy, photo, sixteen_bit
from tui.core.errors import KitescopeError
from tui.core.vision.images import UnreadableImage, crop, open_image

HEALTHY = [
    "jpeg", "progressive", "grey", "cmyk", "rotated", "png", "palette", "alpha", "bilevel", "webp", "tiff",
    "bmp", "animated", "misnamed",
]  # fmt: skip
BROKEN = [
    "empty.jpg", "truncated.jpg", "truncated.png", "text.jpg", "video.jpg", "matroska.png", "script.eps",
    "bomb.png", "missing.jpg", "folder.jpg", "nul",
]  # fmt: skip


def test_the_lists_here_are_complete(tmp_path: Path) -> None:
    assert sorted(healthy(tmp_path / "good")) == sorted(HEALTHY)
    assert sorted(broken(tmp_path / "bad")) == sorted(BROKEN)


@pytest.mark.parametrize("name", HEALTHY)
def test_a_readable_file_has_the_pixels_stock_fiftyone_feeds_to_a_model(tmp_path: Path, name: str) -> None:
    from fiftyone.utils.torch import _load_image

    path = healthy(tmp_path)[name]
    ours, stock = open_image(path), _load_image(str(path), use_numpy=False, force_rgb=True)
    assert ours.mode == "RGB"
    assert np.array_equal(np.asarray(ours), np.asarray(stock))


@pytest.mark.parametrize("name", [name for name in HEALTHY if name not in ("cmyk", "animated")])
def test_upright_pixels_are_those_stock_fiftyone_cuts_patches_from(tmp_path: Path, name: str) -> None:
    from fiftyone.utils.torch import _load_image

    path = healthy(tmp_path)[name]
    stock = _load_image(str(path), use_numpy=True, force_rgb=True)
    assert np.array_equal(np.asarray(open_image(path, upright=True)), stock)


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_file_says_why(tmp_path: Path, name: str) -> None:
    path, word = broken(tmp_path)[name]
    began = time.perf_counter()
    with pytest.raises(UnreadableImage) as caught:
        open_image(path)
    assert word in caught.value.reason
    assert time.perf_counter() - began < 2
    assert isinstance(caught.value, KitescopeError) and str(path) in str(caught.value)


@contextmanager
def nobody() -> Iterator[None]:
    """Not root in here, who may read everything."""
    me = os.geteuid()
    if me == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(me)


def test_no_permission() -> None:
    with TemporaryDirectory() as place:  # pytest's own folders let nobody in
        folder = Path(place)
        file, hidden, plain = folder / "secret.jpg", folder / "closed" / "there.jpg", folder / "plain.jpg"
        hidden.parent.mkdir()
        for path in (file, hidden, plain):
            photo(size=(60, 40)).save(path)
        folder.chmod(0o755)
        file.chmod(0)
        hidden.parent.chmod(0)
        with nobody():
            for path in (file, hidden):
                with pytest.raises(UnreadableImage, match="no permission to read it"):
                    open_image(path)
            assert open_image(plain).size == (60, 40)
        hidden.parent.chmod(0o700)


def test_a_pipe_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(UnreadableImage, match="regular file"):
        open_image(tmp_path / "pipe.jpg")


@pytest.mark.parametrize("name", ["deep.png", "deep.tif", "wide.tif", "float.tif"])
def test_deep_pictures_are_scaled_not_clipped(tmp_path: Path, name: str) -> None:
    ours = np.asarray(open_image(sixteen_bit(tmp_path)[name]), dtype=int)
    meant = np.asarray(photo().convert("L").convert("RGB"), dtype=int)
    assert np.abs(ours - meant).max() <= 1
    assert np.asarray(Image.open(tmp_path / "deep.png").convert("RGB")).mean() > ours.mean() + 50


def test_a_huge_jpeg_is_decoded_at_reduced_scale_and_a_progressive_one_refused(tmp_path: Path) -> None:
    Image.new("L", (20_000, 20_000), 200).save(tmp_path / "huge.jpg", quality=50)
    reduced = open_image(tmp_path / "huge.jpg")
    assert reduced.size == (2500, 2500)
    assert np.abs(np.asarray(reduced)[1000, 1000].astype(int) - 200).max() < 8
    Image.new("L", (20_000, 9_500), 200).save(tmp_path / "slow.jpg", quality=20, progressive=True)
    with pytest.raises(UnreadableImage, match=r"20,000 x 9,500 pixels"):
        open_image(tmp_path / "slow.jpg")


def test_a_size_hint_reduces_a_jpeg_and_never_below_it(tmp_path: Path) -> None:
    path = tmp_path / "large.jpg"
    photo(size=(1600, 1200)).save(path)
    assert open_image(path, (300, 300)).size == (400, 300)
    assert open_image(path, (301, 301)).size == (800, 600)
    assert open_image(path, (2000, 2000)).size == (1600, 1200)
    exif = Image.Exif()
    exif[0x0112] = 6
    photo(size=(1600, 1200)).save(path, exif=exif)
    assert open_image(path, (300, 400), upright=True).size == (300, 400)


def test_every_exif_orientation_is_turned_upright(tmp_path: Path) -> None:
    from PIL import ImageOps

    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        path = tmp_path / f"{orientation}.png"
        photo(size=(60, 40)).save(path, exif=exif)
        upright = ImageOps.exif_transpose(Image.open(path)).convert("RGB")
        assert np.array_equal(np.asarray(open_image(path, upright=True)), np.asarray(upright))


def test_crops_have_the_edges_of_stock_patches() -> None:
    from eta.core.geometry import BoundingBox

    picture = photo(size=(637, 411))
    pixels = np.asarray(picture)
    rng = np.random.default_rng(0)
    for _ in range(200):
        x, y = rng.uniform(0, 0.9, 2)
        width, height = rng.uniform(0.02, 1 - x), rng.uniform(0.02, 1 - y)
        stock = BoundingBox.from_coords(x, y, x + width, y + height).extract_from(pixels)
        assert np.array_equal(np.asarray(crop(picture, (x, y, width, height))), stock)


@pytest.mark.parametrize(
    "box", [(0.5, 0.5, 0, 0), (1.2, 0, 0.5, 0.5), (float("nan"), 0, 1, 1), (0, 0, float("inf"), 1)]
)
def test_a_box_without_pixels_says_so(box: tuple[float, float, float, float]) -> None:
    with pytest.raises(UnreadableImage, match="box"):
        crop(photo(), box)


def test_a_box_that_leaves_the_picture_is_cut_at_its_edge() -> None:
    assert crop(photo(size=(100, 100)), (-0.5, 0.5, 1.0, 1.0)).size == (50, 50)

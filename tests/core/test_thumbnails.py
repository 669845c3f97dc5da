from __future__ import annotations

import os
import stat
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.core.pictures import broken, photo
from tui import paths
from tui.core.thumbnails import prune, thumbnail
from tui.core.vision.images import UnreadableImage


def _kept() -> list[Path]:
    return sorted((paths.cache_dir() / "thumbnails").glob("*/*"))


@pytest.fixture
def large(tmp_path: Path) -> Path:
    path = tmp_path / "large.jpg"
    photo(size=(1600, 1200)).save(path)
    return path


def test_it_is_fitted_and_never_enlarged(large: Path, tmp_path: Path) -> None:
    assert thumbnail(large, (320, 320)).size == (320, 240)
    assert thumbnail(large, (100, 500)).size == (100, 75)
    photo(size=(64, 48)).save(tmp_path / "small.png")
    small = thumbnail(tmp_path / "small.png", (320, 320))
    assert small.size == (64, 48) and small.mode == "RGB"


def test_it_looks_like_the_picture(large: Path) -> None:
    exact = Image.open(large).resize((320, 240), Image.Resampling.LANCZOS)
    for _ in range(2):  # made, then found
        off = np.abs(np.asarray(thumbnail(large, (320, 240)), int) - np.asarray(exact, int))
        assert off.mean() < 3


def test_a_large_picture_is_kept_privately_and_found_again(large: Path) -> None:
    first = thumbnail(large, (320, 240))
    assert len(_kept()) == 1
    written = _kept()[0].stat().st_ino
    second = thumbnail(large, (320, 240))
    assert second.size == first.size and [p.stat().st_ino for p in _kept()] == [written]
    assert stat.S_IMODE(_kept()[0].stat().st_mode) == 0o600


def test_a_changed_file_a_size_and_a_box_have_copies_of_their_own(large: Path) -> None:
    thumbnail(large, (320, 240))
    thumbnail(large, (160, 120))
    thumbnail(large, (320, 240), box=(0, 0, 0.5, 0.5))
    assert len(_kept()) == 3
    Image.new("RGB", (1600, 1200), "red").save(large)
    os.utime(large, ns=(1, 1))
    assert np.asarray(thumbnail(large, (320, 240)))[0, 0].tolist() == [254, 0, 0]


def test_a_small_file_is_not_copied(tmp_path: Path) -> None:
    photo(size=(64, 64)).save(tmp_path / "small.png")
    thumbnail(tmp_path / "small.png", (32, 32))
    assert _kept() == []


def test_a_box_is_cut_out(tmp_path: Path) -> None:
    picture = Image.new("RGB", (400, 200), "blue")
    picture.paste((0, 255, 0), (200, 100, 400, 200))
    picture.save(tmp_path / "two.png")
    part = np.asarray(thumbnail(tmp_path / "two.png", (100, 100), box=(0.5, 0.5, 0.5, 0.5)))
    assert part.shape == (50, 100, 3) and (part == (0, 255, 0)).all()


def test_it_is_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    photo(size=(1600, 1200)).save(tmp_path / "turned.jpg", exif=exif)
    for _ in range(2):
        assert thumbnail(tmp_path / "turned.jpg", (400, 400)).size == (300, 400)


def test_bad_files_say_why_and_leave_nothing(tmp_path: Path) -> None:
    for path, word in broken(tmp_path).values():
        with pytest.raises(UnreadableImage, match=word):
            thumbnail(path, (64, 64))
    assert _kept() == []


def test_a_damaged_copy_is_made_again(large: Path) -> None:
    thumbnail(large, (320, 240))
    _kept()[0].write_bytes(_kept()[0].read_bytes()[:200])
    assert thumbnail(large, (320, 240)).size == (320, 240)
    assert Image.open(_kept()[0]).convert("RGB").size == (320, 240)


def test_a_cache_that_cannot_be_written_costs_no_picture(large: Path) -> None:
    paths.cache_dir().mkdir(parents=True)
    (paths.cache_dir() / "thumbnails").write_text("in the way")
    assert thumbnail(large, (320, 240)).size == (320, 240)


def test_names_never_leave_the_cache(large: Path) -> None:
    tricky = large.parent / "..%2f..%2fetc" / "a b;$(touch x).jpg"
    tricky.parent.mkdir()
    large.rename(tricky)
    thumbnail(tricky.parent / ".." / tricky.parent.name / tricky.name, (320, 240))
    thumbnail(tricky, (320, 240))
    (kept,) = _kept()
    assert kept.resolve().is_relative_to(paths.cache_dir().resolve()) and kept.stem.isalnum()


def test_pruning_keeps_what_was_used_last(large: Path) -> None:
    for width in range(300, 310):
        thumbnail(large, (width, width))
    for age, path in enumerate(_kept()):
        os.utime(path, (time.time() - 1000 - age, time.time() - 1000 - age))
    total = sum(path.stat().st_size for path in _kept())
    thumbnail(large, (305, 305))
    oldest = min(_kept(), key=lambda path: path.stat().st_mtime)
    used = max(_kept(), key=lambda path: path.stat().st_mtime)
    assert prune(total) == 0
    removed = prune(total // 2)
    assert removed >= 5 and sum(path.stat().st_size for path in _kept()) <= total // 2
    assert used in _kept() and oldest not in _kept()

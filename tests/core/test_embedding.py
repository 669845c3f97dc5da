from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from PIL import Image

from tests.core.pictures import Fatal, PictureItem, broken, healthy, photo, sixteen_bit
from tests.engines.servers import wait_until
from tui.core import embedding
from tui.core.embedding import embed, embed_image
from tui.core.errors import KitescopeError
from tui.core.vision import preparation
from tui.core.vision.descriptor import DIM, Descriptor
from tui.core.vision.images import UnreadableImage


class Means:
    """A model that answers each picture's mean colour; ``fault`` may raise first."""

    name, dim, supports_prompts, input_size = "means", 3, False, None
    upright, share, notice = False, "threads", ""
    batch_size = max_batch_size = 4

    def __init__(self, fault: Any = None) -> None:
        self.fault, self.sizes = fault, []

    def prepare(self, image: Image.Image) -> Any:
        return np.asarray(image, np.float32).reshape(-1, 3).mean(axis=0)

    def embed(self, batch: Sequence[Any]) -> Any:
        self.sizes.append(len(batch))
        if self.fault is not None:
            self.fault(batch)
        return np.stack(batch)


@pytest.fixture
def files(tmp_path: Path) -> list[PictureItem]:
    folder = tmp_path / "files"
    folder.mkdir()
    items = []
    for number in range(30):
        path = folder / f"{number}.png"
        Image.new("RGB", (20 + number, 20), (number * 8, 0, 0)).save(path)
        items.append(PictureItem(f"id{number}", str(path)))
    return items


def _all(batches: Iterator[embedding.Batch]) -> tuple[list[str], np.ndarray[Any, Any], list[Any]]:
    ids, rows, skipped = [], [], []
    for batch in batches:
        assert len(batch.ids) == len(batch.sample_ids) == len(batch.vectors)
        ids += batch.ids
        rows.append(batch.vectors)
        skipped += batch.skipped
    return ids, np.concatenate(rows), skipped


@pytest.mark.parametrize("workers", [0, 1, 3])
@pytest.mark.parametrize("batch_size", [None, 1, 7, 100])
def test_everything_comes_back_in_order(
    files: list[PictureItem], workers: int, batch_size: int | None
) -> None:
    batches = list(embed(files, Means(), batch_size=batch_size, workers=workers))
    ids, vectors, skipped = _all(iter(batches))
    assert ids == [item.id for item in files] and skipped == []
    assert vectors.dtype == np.float32 and vectors[:, 0].tolist() == [8.0 * n for n in range(30)]
    assert batches[0].sample_ids[0] == "sample-of-id0"
    assert max(len(batch.ids) for batch in batches) == min(batch_size or 4, 30)


def test_nothing_in_gives_nothing_out() -> None:
    assert list(embed([], Means())) == []


def test_a_bad_file_costs_only_itself(tmp_path: Path) -> None:
    good = [PictureItem(name, str(path)) for name, path in healthy(tmp_path / "good").items()]
    good += [PictureItem(name, str(path)) for name, path in sixteen_bit(tmp_path / "deep").items()]
    bad = [PictureItem(name, str(path)) for name, (path, _) in broken(tmp_path / "bad").items()]
    reasons = {name: word for name, (_, word) in broken(tmp_path / "again").items()}
    mixed = [item for pair in itertools.zip_longest(good, bad) for item in pair if item is not None]
    ids, vectors, skipped = _all(embed(mixed, Descriptor(), batch_size=4))
    assert ids == [item.id for item in mixed if item in good]
    assert np.isfinite(vectors).all() and vectors.shape == (len(good), DIM)
    assert [one.id for one in skipped] == [item.id for item in mixed if item in bad]
    for one in skipped:
        assert reasons[one.id] in one.reason and one.filepath == {b.id: b.filepath for b in bad}[one.id]


def test_items_are_read_a_bounded_way_ahead(files: list[PictureItem]) -> None:
    read = 0

    def endless() -> Iterator[PictureItem]:
        nonlocal read
        for number in itertools.count():
            read += 1
            yield PictureItem(str(number), files[0].filepath)

    stream = embed(endless(), Means(), batch_size=5, workers=2)
    for number in range(20):
        next(stream)
        assert read <= 5 * (number + 2) + 5 + 2 * 2 + 2
    stream.close()
    reached = read
    time.sleep(0.1)
    assert read == reached
    assert not [thread for thread in threading.enumerate() if thread.name.startswith(("prepare", "embed"))]


def test_it_stops_between_batches(files: list[PictureItem]) -> None:
    stop = False
    stream = embed(files, Means(), batch_size=3, should_stop=lambda: stop)
    next(stream)
    stop = True
    assert len(list(stream)) <= 2


def test_the_next_batch_is_made_while_the_caller_is_busy(files: list[PictureItem]) -> None:
    made = 0

    def count(_batch: Sequence[Any]) -> None:
        nonlocal made
        made += 1

    for taken, _ in enumerate(embed(files, Means(count), batch_size=3), start=1):
        wait_until(lambda taken=taken: made > min(taken, 9), 30, "the next batch", every=0.001)
    assert made == 10


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("CUDA out of memory. Tried to allocate")])
def test_batches_are_halved_when_memory_runs_out(files: list[PictureItem], error: Exception) -> None:
    def fault(batch: Sequence[Any]) -> None:
        if len(batch) >= 64:
            raise error

    model = Means(fault)
    many = [PictureItem(f"{n}", files[n % 30].filepath) for n in range(150)]
    ids, vectors, skipped = _all(embed(many, model, batch_size=64))
    assert ids == [item.id for item in many] and skipped == []
    assert vectors[:, 0].tolist() == [8.0 * (n % 30) for n in range(150)]
    assert model.sizes == [64, 32, 32, 32, 32, 22], "the size that failed must not be tried again"


def test_one_input_the_model_cannot_take_costs_only_itself(files: list[PictureItem]) -> None:
    def fault(batch: Sequence[Any]) -> None:
        if any(value[0] == 8 * 9 for value in batch):
            raise ValueError("nine is too much\nsecond line")

    ids, _, skipped = _all(embed(files, Means(fault), batch_size=8))
    assert ids == [item.id for item in files if item.id != "id9"]
    assert [(one.id, one.reason) for one in skipped] == [("id9", "the model failed on it (nine is too much)")]


def test_a_model_that_fails_on_everything_fails_the_build(files: list[PictureItem]) -> None:
    def fault(batch: Sequence[Any]) -> None:
        raise ValueError("weights are broken")

    for items in (files, files[:2]):
        with pytest.raises(KitescopeError, match=r"means failed: weights are broken"):
            list(embed(items, Means(fault)))


def test_vectors_that_are_not_finite_are_skipped(files: list[PictureItem]) -> None:
    class Holes(Means):
        def embed(self, batch: Sequence[Any]) -> Any:
            vectors = np.stack(batch)
            vectors[vectors[:, 0] == 8 * 5] = np.nan
            vectors[vectors[:, 0] == 8 * 6, 1] = np.inf
            return vectors

    ids, vectors, skipped = _all(embed(files, Holes()))
    assert len(ids) == 28 and np.isfinite(vectors).all()
    assert [one.id for one in skipped] == ["id5", "id6"] and "not finite" in skipped[0].reason


def test_boxes_of_a_file_are_cut_from_one_decoding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    picture = Image.new("RGB", (100, 100))
    for column in range(4):
        picture.paste((column * 50, 0, 0), (column * 25, 0, column * 25 + 25, 100))
    picture.save(tmp_path / "a.png")
    picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(tmp_path / "b.png")
    opened: list[str] = []
    original = preparation.open_image

    def counted(path: Any, *args: Any, **kwargs: Any) -> Any:
        opened.append(Path(path).name)
        return original(path, *args, **kwargs)

    monkeypatch.setattr(preparation, "open_image", counted)
    boxes = [(column / 4, 0.0, 0.25, 1.0) for column in range(4)]
    items = [
        PictureItem(f"{name}{n}", str(tmp_path / f"{name}.png"), box)
        for name in "ab"
        for n, box in enumerate(boxes)
    ]
    items.insert(2, PictureItem("empty", str(tmp_path / "a.png"), (0.5, 0.5, 0.0, 0.1)))
    ids, vectors, skipped = _all(embed(items, Means(), batch_size=3))
    assert opened == ["a.png", "b.png"]
    assert vectors[:, 0].tolist() == [0, 50, 100, 150, 150, 100, 50, 0]
    assert ids == ["a0", "a1", "a2", "a3", "b0", "b1", "b2", "b3"]
    assert [(one.id, one.reason) for one in skipped] == [("empty", "its box covers no pixel")]


# -- processes ----------------------------------------------------------------------------------
@pytest.fixture
def many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[PictureItem]:
    monkeypatch.setattr(embedding, "_PROCESSES_FROM", 10)
    for number in range(40):
        photo(number, (48 + number, 40)).save(tmp_path / f"{number}.jpg")
    return [PictureItem(str(number), str(tmp_path / f"{number}.jpg")) for number in range(40)]


def _children() -> list[psutil.Process]:
    found = []
    for child in psutil.Process().children():
        with suppress(psutil.NoSuchProcess):  # what other tests left may be a zombie, or end just now
            found += [child] * ("tui.core.vision.preparation" in child.cmdline())
    return found


def test_processes_give_what_threads_give(many: list[PictureItem]) -> None:
    stream = embed(many, Descriptor(), workers=2, batch_size=8)
    first = next(stream)
    assert len(_children()) == 2
    ids, vectors, skipped = _all(itertools.chain([first], stream))
    assert _children() == [] and skipped == []
    inline = _all(embed(many, Descriptor(), workers=0))
    assert ids == inline[0] and np.array_equal(vectors, inline[1])


def test_a_file_that_kills_its_decoder_costs_only_itself(many: list[PictureItem], tmp_path: Path) -> None:
    photo(0, (13, 40)).save(tmp_path / "17.jpg")
    ids, _, skipped = _all(embed(many, Fatal(), workers=2, batch_size=8))
    assert ids == [item.id for item in many if item.id != "17"]
    assert [(one.id, one.reason) for one in skipped] == [("17", "the decoder crashed on this file")]


def test_a_worker_killed_from_outside_is_replaced(many: list[PictureItem]) -> None:
    stream = embed(many, Descriptor(), workers=1, batch_size=4)
    first = next(stream)
    for child in _children():
        child.kill()
    ids, _, skipped = _all(itertools.chain([first], stream))
    assert ids == [item.id for item in many] and skipped == []


_ORPHANS = """
import itertools, os, sys
from tests.core.pictures import PictureItem
from tui.core.vision.descriptor import Descriptor
from tui.core.embedding import embed
stream = embed((PictureItem(str(n), sys.argv[1]) for n in itertools.count()), Descriptor(), workers=2)
next(stream)
print("ready", flush=True)
list(stream)
"""


@pytest.mark.parametrize("kind", [signal.SIGKILL, signal.SIGTERM])
def test_processes_end_with_their_parent(many: list[PictureItem], kind: signal.Signals) -> None:
    root = Path(__file__).parents[2]
    parent = subprocess.Popen(
        [sys.executable, "-c", _ORPHANS, many[0].filepath],
        stdout=subprocess.PIPE,
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
    )
    assert parent.stdout is not None and parent.stdout.readline() == b"ready\n"
    children = psutil.Process(parent.pid).children()
    assert len(children) == 2
    parent.send_signal(kind)
    parent.wait(10)
    parent.stdout.close()
    assert psutil.wait_procs(children, timeout=5)[1] == []


# -- one picture --------------------------------------------------------------------------------
def test_one_picture(tmp_path: Path) -> None:
    Image.new("RGB", (9, 9), (1, 2, 3)).save(tmp_path / "one.png")
    assert embed_image(tmp_path / "one.png", Means()).tolist() == [1, 2, 3]
    for name, (path, word) in broken(tmp_path / "bad").items():
        with pytest.raises(UnreadableImage, match=word):
            embed_image(path, Means())
        assert name
    with pytest.raises(KitescopeError, match="means failed: no"):
        embed_image(tmp_path / "one.png", Means(lambda _: _raise(ValueError("no"))))


def _raise(error: Exception) -> None:
    raise error

"""How many pictures a model gets at once: doubled while that pays, halved when memory runs out."""

from __future__ import annotations

import gc
import resource
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch
from PIL import Image

from tests.core.pictures import PictureItem
from tui.core.embedding import embed
from tui.core.vision import runner, torch_embedder
from tui.core.vision.batch_size import BatchSize
from tui.core.vision.runner import Runner
from tui.core.vision.torch_embedder import Inputs, TorchEmbedder

Seconds = Callable[[int], float]
GB = 2**30


class Timed:
    """A model that takes ``seconds(count)`` for a batch, and fails beyond ``room``."""

    name, dim, supports_prompts, input_size = "timed", 3, False, None
    upright, share, notice = False, "threads", ""
    batch_size, max_batch_size = 64, 512

    def __init__(self, seconds: Seconds, room: int = 10_000) -> None:
        self.seconds, self.room = seconds, room
        self.now, self.sizes = 0.0, list[int]()

    def prepare(self, image: Image.Image) -> Any:
        return np.asarray(image, np.float32).reshape(-1, 3).mean(axis=0)

    def embed(self, batch: Sequence[Any]) -> Any:
        self.sizes.append(len(batch))
        if len(batch) > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        self.now += self.seconds(len(batch))
        return np.stack(batch)


@pytest.fixture
def timed(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Timed]:
    """``timed(seconds, room)``: such a model, whose seconds are the ones that count."""

    def make(seconds: Seconds, room: int = 10_000) -> Timed:
        model = Timed(seconds, room)
        monkeypatch.setattr(runner, "perf_counter", lambda: model.now)
        return model

    return make


@pytest.fixture
def pictures(tmp_path: Path) -> Callable[[int], Iterator[PictureItem]]:
    Image.new("RGB", (4, 4), (8, 16, 24)).save(tmp_path / "one.png")
    return lambda count: (PictureItem(str(n), str(tmp_path / "one.png")) for n in range(count))


def until(most: int) -> Seconds:
    """A device that takes as long for any batch up to ``most``, and longer in proportion beyond."""
    return lambda count: max(1.0, count / most)


@pytest.mark.parametrize(("pays", "found"), [(64, 64), (200, 256), (300, 512), (9_999, 512), (1, 64)])
def test_a_batch_is_doubled_while_that_is_faster(
    timed: Callable[..., Timed], pictures: Any, pays: int, found: int
) -> None:
    model = timed(until(pays))
    batches = list(embed(pictures(6_000), model, workers=0))
    assert [one for batch in batches for one in batch.ids] == [str(n) for n in range(6_000)]
    assert model.sizes[-2] == found == len(batches[-2].ids)
    assert all(after in (before, 2 * before, before // 2) for before, after in pairwise(model.sizes[:-1]))


def test_a_size_that_brings_nothing_is_tried_only_once(timed: Callable[..., Timed], pictures: Any) -> None:
    model = timed(until(64))
    list(embed(pictures(3_000), model, workers=0))
    wider = [place for place, size in enumerate(model.sizes) if size == 128]
    assert 0 < len(wider) < 5 and wider == list(range(wider[0], wider[-1] + 1))
    assert max(model.sizes) == 128


def test_a_first_batch_that_warms_up_is_not_a_measure(timed: Callable[..., Timed], pictures: Any) -> None:
    model = timed(lambda _: 1.0)
    model.seconds = lambda count: 1.0 if model.sizes.count(count) > 1 else 60.0
    list(embed(pictures(4_000), model, workers=0))
    assert model.sizes[-2] == 512


def test_a_batch_that_does_not_fit_is_halved_and_stays_so(timed: Callable[..., Timed], pictures: Any) -> None:
    model = timed(until(9_999), room=200)
    batches = list(embed(pictures(3_000), model, workers=0))
    assert [one for batch in batches for one in batch.ids] == [str(n) for n in range(3_000)]
    assert not any(batch.skipped for batch in batches)
    assert model.sizes.count(256) == 1, "the size that failed must not be tried again"
    assert model.sizes[-2] == 128


def test_what_the_user_said_is_not_grown(timed: Callable[..., Timed], pictures: Any) -> None:
    model = timed(until(9_999))
    assert {len(batch.ids) for batch in embed(pictures(640), model, batch_size=32, workers=0)} == {32}
    assert set(model.sizes) == {32}
    model.room = 20
    batches = list(embed(pictures(640), model, batch_size=32, workers=0))
    assert sum(len(batch.ids) for batch in batches) == 640
    assert model.sizes.count(32) == 20 + 1 and model.sizes[-1] == 16


def test_batches_with_gaps_are_no_measure_and_nothing_is_slow() -> None:
    sizes = BatchSize(64, 512)
    for _ in range(20):
        sizes.worked(32, 0.1)
    assert sizes.size == 64
    for _ in range(20):
        sizes.worked(sizes.size - 3, 0.0)
    assert sizes.size == 512


def test_one_input_too_large_leaves_a_batch_of_one() -> None:
    model = Timed(until(64), room=0)
    outcomes = Runner(model, 4).run([np.zeros(3)] * 3)
    assert [one.reason for one in outcomes] == ["not enough memory to embed it"] * 3


def test_growing_is_for_gpus_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a CPU a pass has the size that its cache likes, whatever the batch."""
    model = TorchEmbedder("mean", lambda images: images.mean((2, 3)), Inputs(), torch.device("cpu"))
    assert model.max_batch_size == model.batch_size
    assert torch_embedder._MOST["cuda"] > torch_embedder._BATCH["cuda"]
    monkeypatch.setitem(torch_embedder._MOST, "cpu", 512)
    model = TorchEmbedder("mean", lambda images: images.mean((2, 3)), Inputs(), torch.device("cpu"))
    assert model.max_batch_size == 512


@pytest.mark.parametrize("batch_size", [None, 64])
def test_a_torch_model_that_really_runs_out_of_memory_at_64_finishes(
    pictures: Any, batch_size: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel refuses the memory for 64 pictures, and has enough for 32."""
    sizes: list[int] = []

    def forward(images: torch.Tensor) -> torch.Tensor:
        sizes.append(len(images))
        torch.empty(len(images), GB // 32, dtype=torch.uint8)
        return images.mean((2, 3))

    monkeypatch.setitem(torch_embedder._BATCH, "cpu", 64)
    model = TorchEmbedder("hungry", forward, Inputs(), torch.device("cpu"))
    sizes.clear()
    gc.collect()  # what is given back later would make room for 64
    used = psutil.Process().memory_info().vms
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + GB + GB // 2, hard))
    try:
        batches = list(embed(pictures(200), model, batch_size=batch_size, workers=0))
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
    assert [one for batch in batches for one in batch.ids] == [str(n) for n in range(200)]
    assert not any(batch.skipped for batch in batches)
    assert sizes == [64, 32, 32, 32, 32, 32, 32, 8]

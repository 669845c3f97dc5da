"""How many pictures a model gets at once: doubled while that pays, halved when memory runs out."""

from __future__ import annotations

import gc
import resource
import weakref
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
from tui.core.vision.runner import DeviceLost, Runner
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


def test_what_did_not_fit_is_not_kept_by_the_error_that_says_so() -> None:
    """Also where the model's code caught it and raised another: frames hold the tensors that are in them."""
    alive: list[weakref.ref[Any]] = []
    seen: list[int] = []

    class Wrapping(Timed):
        def embed(self, batch: Sequence[Any]) -> Any:
            seen.append(sum(ref() is not None for ref in alive))
            if len(batch) > 2:
                self._attempt(batch)
            return np.stack(batch)

        def _attempt(self, batch: Sequence[Any]) -> None:
            try:
                self._allocate(batch)
            except torch.OutOfMemoryError as error:
                raise RuntimeError("the layer failed: CUDA out of memory") from error

        def _allocate(self, batch: Sequence[Any]) -> None:
            large = torch.zeros(len(batch))
            alive.append(weakref.ref(large))
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    gc.disable()  # what only a collection would free comes too late for the next batch
    try:
        outcomes = Runner(Wrapping(until(64)), 8).run([np.zeros(3)] * 8)
    finally:
        gc.enable()
    assert len(outcomes) == 8 and len(alive) == 2
    assert not any(seen)


@pytest.mark.parametrize(
    "error",
    [
        "CUDA error: out of memory",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
    ],
)
def test_cudas_libraries_run_out_of_memory_in_words_of_their_own(
    timed: Callable[..., Timed], error: str
) -> None:
    model = timed(until(64))

    def fault(count: int) -> float:
        if count > 16:
            raise RuntimeError(error)
        return 1.0

    model.seconds = fault
    runner = Runner(model, 64)
    assert len(runner.run([np.zeros(3)] * 64)) == 64 and runner.batch_size == 16


def test_a_gpu_that_failed_is_not_asked_again() -> None:
    model = Timed(lambda _: 1 / 0)
    model.seconds = lambda _: _raise(RuntimeError("CUDA error: an illegal memory access was encountered"))
    with pytest.raises(DeviceLost, match="illegal memory access"):
        Runner(model, 4).run([np.zeros(3)] * 4)
    assert model.sizes == [4]


def _raise(error: Exception) -> float:
    raise error


@pytest.mark.parametrize(
    ("count", "size", "passes"),
    [(512, (224, 224), [512]), (256, (640, 480), [64, 64, 64, 64]), (100, (640, 480), [50, 50]),
     (3, (4000, 3000), [2, 1])],
)  # fmt: skip
def test_passes_of_a_gpu_are_even(count: int, size: tuple[int, int], passes: list[int]) -> None:
    """Only the division of a batch, which needs no GPU."""
    model = TorchEmbedder("mean", lambda images: images.mean((2, 3)), Inputs(), torch.device("cpu"))
    model.device = torch.device("cuda:0")
    batch = [np.broadcast_to(np.uint8(0), (size[1], size[0], 3))] * count
    assert [len(one) for one in model._passes(batch)] == passes


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

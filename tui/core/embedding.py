"""Decode, transform, embed: a stream of items in, a stream of batches of vectors out, in the same order.

It needs neither FiftyOne nor Milvus, holds only a few batches in memory, and a bad file costs only itself.
"""

from __future__ import annotations

import itertools
import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, cast

from tui.core.progress import ShouldStop, Skipped, never
from tui.core.services.processors import processors
from tui.core.vision.images import Box, Patch, UnreadableImage
from tui.core.vision.preparation import Crew, Task, Unusable, prepare_task
from tui.core.vision.runner import Runner

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tui.core.models import Embedder

_PROCESSES_FROM = 2048  # items; below, children would still be importing when the work is done
_MOST_WORKERS = 16
_MOST_BOXES = 256  # of one file in one task, so that memory stays bounded on a picture with thousands


class ItemLike(Protocol):
    """What is embedded: a file, or one box in it."""

    @property
    def id(self) -> str:
        """The vector's id."""

    @property
    def sample_id(self) -> str:
        """The sample that the file belongs to."""

    @property
    def filepath(self) -> str:
        """The file."""

    @property
    def box(self) -> Box | Patch | None:
        """The relative box, or None for the whole picture."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Some items' vectors, float32 of shape ``(len(ids), dim)``, and the items that have none."""

    ids: tuple[str, ...]
    sample_ids: tuple[str, ...]
    vectors: NDArray[np.float32]
    skipped: tuple[Skipped, ...]


def embed(
    items: Iterable[ItemLike],
    model: Embedder,
    *,
    batch_size: int | None = None,
    workers: int | None = None,
    should_stop: ShouldStop = never,
) -> Iterator[Batch]:
    """Embed items in their order.

    The next batch is computed while the caller deals with the one it got. Boxes of one file are cut from one
    decoding when they are adjacent.

    Args:
        items: read lazily; a few batches ahead at most.
        model: see `tui.core.models.load_model`.
        batch_size: items a batch; when None the model's own choice, on a GPU doubled while that is faster.
            Halved when memory runs out.
        workers: how many files are prepared at a time; as many as there are processors when None.
        should_stop: asked before each batch; when it says yes the stream ends.

    Raises:
        KitescopeError: the model fails on everything it is given.
    """
    batches = _batches(items, model, batch_size, workers, should_stop)
    try:
        with ThreadPoolExecutor(1, "embed") as runner:
            future = runner.submit(next, batches, None)
            while (batch := future.result()) is not None:
                future = runner.submit(next, batches, None)
                yield batch
    finally:
        batches.close()


def embed_image(path: str | os.PathLike[str], model: Embedder) -> NDArray[np.float32]:
    """Embed one whole picture: float32 of shape ``(dim,)``.

    Raises:
        UnreadableImage: no picture can be made of the file.
        KitescopeError: the model fails on it.
    """
    outcome = prepare_task(model, Task(os.fspath(path), (None,)))[0]
    if isinstance(outcome, Unusable):
        raise UnreadableImage(outcome.reason, path)
    runner = Runner(model)
    vector = runner.run([outcome])[0]
    runner.finish()
    if isinstance(vector, Unusable):
        raise UnreadableImage(vector.reason, path)
    return cast("NDArray[np.float32]", vector)


def _batches(
    items: Iterable[ItemLike],
    model: Embedder,
    batch_size: int | None,
    workers: int | None,
    should_stop: ShouldStop,
) -> Generator[Batch, None, None]:
    source = iter(items)
    first = list(itertools.islice(source, _PROCESSES_FROM)) if model.share == "processes" else []
    count = min(processors(), _MOST_WORKERS) if workers is None else max(workers, 0)
    processes = len(first) == _PROCESSES_FROM and count > 1
    runner = Runner(model, batch_size)
    with Crew(model, count, processes=processes) as crew:
        prepared = _prepared(
            itertools.chain(first, source), crew, lambda: runner.batch_size + 2 * max(count, 1)
        )
        while not should_stop() and (chunk := list(itertools.islice(prepared, runner.batch_size))):
            yield make_batch(chunk, runner)
        runner.finish()


def _prepared(
    items: Iterable[ItemLike], crew: Crew, ahead: Callable[[], int]
) -> Iterator[tuple[ItemLike, Any]]:
    """Each item with its prepared input (or `Unusable`), in order, ``ahead()`` items in the making."""
    pending: deque[tuple[list[ItemLike], Future[list[Any]]]] = deque()
    waiting = 0
    for group in groups(items):
        task = Task(group[0].filepath, tuple(item.box for item in group))
        pending.append((group, crew.submit(task)))
        waiting += len(group)
        while pending and waiting > ahead():
            done, future = pending.popleft()
            waiting -= len(done)
            yield from zip(done, future.result(), strict=True)
    while pending:
        done, future = pending.popleft()
        yield from zip(done, future.result(), strict=True)


def groups(items: Iterable[ItemLike]) -> Iterator[list[ItemLike]]:
    """Adjacent boxes of one file together; whole pictures one by one."""
    group: list[ItemLike] = []
    for item in items:
        joins = group and item.box is not None and group[0].box is not None
        if not (joins and item.filepath == group[0].filepath and len(group) < _MOST_BOXES):
            if group:
                yield group
            group = []
        group.append(item)
    if group:
        yield group


def make_batch(chunk: Sequence[tuple[ItemLike, Any]], runner: Runner) -> Batch:
    """Run the model on a chunk of items and their prepared inputs (or `Unusable`s).

    Raises:
        KitescopeError: the model fails on everything, or its device failed.
    """
    import numpy as np

    outcomes = iter(runner.run([value for _, value in chunk if not isinstance(value, Unusable)]))
    good: list[ItemLike] = []
    rows: list[NDArray[np.float32]] = []
    skipped: list[Skipped] = []
    for item, value in chunk:
        outcome = value if isinstance(value, Unusable) else next(outcomes)
        if isinstance(outcome, Unusable):
            skipped.append(Skipped(item.id, item.filepath, outcome.reason))
        else:
            good.append(item)
            rows.append(outcome)
    vectors = np.stack(rows) if rows else np.empty((0, runner.dim), np.float32)
    ids, sample_ids = tuple(item.id for item in good), tuple(item.sample_id for item in good)
    return Batch(ids, sample_ids, vectors, tuple(skipped))

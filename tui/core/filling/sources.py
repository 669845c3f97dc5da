"""Where an index gets its vectors: a model, a field of the dataset, or a file; each a stream of batches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from tui.core import datasets
from tui.core.embedding import Batch, embed
from tui.core.errors import InvalidInput
from tui.core.filling.vector_files import RowIds, VectorFile
from tui.core.indexes import Crop
from tui.core.progress import Notice, OnEvent, Progress, ShouldStop, Skipped
from tui.core.vision.devices import choose
from tui.core.vision.fleet import Fleet
from tui.core.vision.images import Patch
from tui.core.words import counted

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tui.core.indexes import BuildSpec
    from tui.core.models import Embedder
    from tui.core.scope import Scope
    from tui.core.workspace import Workspace

_STEP = 1_000


@dataclass(frozen=True, slots=True)
class Part:
    """Some items that have no vector yet, in dataset order, and which rows of the scope they are."""

    ids: Sequence[str]
    sample_ids: Sequence[str]
    rows: NDArray[np.int64]

    def slices(self, size: int) -> Iterator[Part]:
        """Yield the part in pieces of at most ``size`` items."""
        for start in range(0, len(self.ids), size):
            end = start + size
            yield Part(self.ids[start:end], self.sample_ids[start:end], self.rows[start:end])


class VectorSource(Protocol):
    """Makes vectors. ``dim`` is their length where it is known beforehand."""

    dim: int | None
    supports_prompts: bool

    def batches(self, parts: Iterable[Part]) -> Iterator[Batch]:
        """Yield vectors for the items, and those that have none with the reason."""

    def leftovers(self) -> Sequence[Skipped]:
        """Answer what the source had and nobody asked for, once all batches are out."""

    def close(self) -> None:
        """Give files and memory back."""


def open_source(ws: Workspace, spec: BuildSpec, on_event: OnEvent, should_stop: ShouldStop) -> VectorSource:
    """Open the source that a build names; loading a model may take minutes.

    Raises:
        InvalidInput: a file that cannot be used.
        UnknownName: there is no such model or field.
    """
    if spec.source.embeddings_field is not None:
        return _Field(ws, spec.scope, spec.source.embeddings_field)
    if spec.source.embeddings is not None:
        return _File(ws, spec.scope, spec.source.embeddings, spec.source.ids)
    return _Model(ws, spec, on_event, should_stop)


class _Model:
    def __init__(self, ws: Workspace, spec: BuildSpec, on_event: OnEvent, should_stop: ShouldStop) -> None:
        self._ws, self._spec, self._should_stop = ws, spec, should_stop
        on_event(Progress("model", 0, None))
        self._model = _load(spec, on_event, should_stop)
        on_event(Progress("model", 1, 1))
        if self._model.notice:
            on_event(Notice(self._model.notice))
        self.dim: int | None = self._model.dim
        self.supports_prompts = self._model.supports_prompts

    def batches(self, parts: Iterable[Part]) -> Iterator[Batch]:
        if isinstance(self._model, Fleet):
            yield from self._model.embed(self._items(parts), self._should_stop)
            return
        yield from embed(
            self._items(parts),
            self._model,
            batch_size=self._spec.batch_size,
            workers=self._spec.workers,
            should_stop=self._should_stop,
        )

    def _items(self, parts: Iterable[Part]) -> Iterator[datasets.Item]:
        for part in parts:
            for piece in part.slices(_STEP):
                for item in datasets.items(self._ws, self._spec.scope, piece.ids, piece.sample_ids):
                    yield self._cut(item)

    def _cut(self, item: datasets.Item) -> datasets.Item:
        crop = self._spec.crop
        if item.box is None or crop == Crop():
            return item
        return replace(item, box=Patch(*item.box[:4], crop.alpha or 0.0, crop.force_square))

    def leftovers(self) -> Sequence[Skipped]:
        return ()

    def close(self) -> None:
        self._model.close()


def _load(spec: BuildSpec, on_event: OnEvent, should_stop: ShouldStop) -> Embedder | Fleet:
    """The model here, or on its devices in processes of their own.

    That is several, or one that is not the first GPU: much code takes the first that it sees.
    """
    from tui.core.models import BUILTIN, load_model

    name = spec.source.model or BUILTIN
    chosen = choose(spec.device)[0] if name != BUILTIN else ("cpu",)
    if chosen in (("cpu",), ("cuda:0",)):
        return load_model(
            name, device=spec.device, precision=spec.precision, decode=spec.decode, on_event=on_event
        )
    return Fleet(
        name,
        chosen,
        precision=spec.precision,
        decode=spec.decode,
        batch_size=spec.batch_size,
        workers=spec.workers,
        on_event=on_event,
        should_stop=should_stop,
    )


class _Field:
    supports_prompts = False

    def __init__(self, ws: Workspace, scope: Scope, field: str) -> None:
        self._ws, self._scope, self._field = ws, scope, field
        # Asked for nothing, this still says when the field does not exist.
        datasets.field_vectors(ws, scope, field, [], [])
        self.dim: int | None = None

    def batches(self, parts: Iterable[Part]) -> Iterator[Batch]:
        for part in parts:
            for piece in part.slices(_STEP):
                yield self._batch(piece)

    def _batch(self, part: Part) -> Batch:
        found, vectors = datasets.field_vectors(self._ws, self._scope, self._field, part.ids, part.sample_ids)
        has = set(found)
        samples = tuple(sample for one, sample in zip(part.ids, part.sample_ids, strict=True) if one in has)
        reason = f"no vector in field {self._field}"
        skipped = tuple(Skipped(one, "", reason) for one in part.ids if one not in has)
        return Batch(tuple(found), samples, vectors, skipped)

    def leftovers(self) -> Sequence[Skipped]:
        return ()

    def close(self) -> None:
        return


class _File:
    supports_prompts = False

    def __init__(self, ws: Workspace, scope: Scope, path: str, ids: str | None) -> None:
        self._file = VectorFile(Path(path))
        self._rows = RowIds(Path(ids)) if ids is not None else None
        self.dim: int | None = self._file.dim
        self._ws, self._scope, self._path = ws, scope, path
        check_rows(ws, scope, self._file, self._rows)

    def batches(self, parts: Iterable[Part]) -> Iterator[Batch]:
        step = max(1, min(_STEP, (8 << 20) // (4 * self._file.dim)))
        for part in parts:
            for piece in part.slices(step):
                yield self._batch(piece)

    def _batch(self, part: Part) -> Batch:
        rows = part.rows if self._rows is None else self._rows.rows_of(part.ids)
        there = rows >= 0
        vectors = self._file.read(rows[there])
        kept = np.flatnonzero(there).tolist()
        ids, samples = tuple(part.ids[at] for at in kept), tuple(part.sample_ids[at] for at in kept)
        reason = f"no row of {Path(self._path).name} has this id"
        skipped = tuple(Skipped(part.ids[at], "", reason) for at in np.flatnonzero(~there).tolist())
        return Batch(ids, samples, vectors, skipped)

    def leftovers(self) -> Sequence[Skipped]:
        if self._rows is None:
            return ()
        known = sum(
            int((self._rows.rows_of(ids) >= 0).sum()) for ids, _ in datasets.scope_ids(self._ws, self._scope)
        )
        left = self._file.count - known
        reason = f"{counted(left, 'row')} of it without an item to index"
        return (Skipped("", self._path, reason),) if left > 0 else ()

    def close(self) -> None:
        self._file.close()


def check_rows(ws: Workspace, scope: Scope, file: VectorFile, ids: RowIds | None) -> None:
    """Refuse a file whose rows cannot be matched with the scope's items.

    Raises:
        InvalidInput: the numbers do not agree.
    """
    if ids is not None:
        if len(ids) != file.count:
            raise InvalidInput(
                f"The file of embeddings has {counted(file.count, 'row')} and the file of ids has {len(ids)}",
                "Give one id for each row",
            )
        return
    expected = datasets.count(ws, scope)
    if expected != file.count:
        items = counted(expected, "item")
        raise InvalidInput(
            f"The file of embeddings has {counted(file.count, 'row')} for {items} to index",
            "Give one row for each in dataset order, or say with --ids whose they are",
        )


def sound(batch: Batch, metric: str) -> Batch:
    """Leave out vectors that no index can hold, and say why: NaN, infinite, or without a direction."""
    vectors = np.ascontiguousarray(batch.vectors, dtype=np.float32)
    if not len(vectors):
        return batch
    with np.errstate(over="ignore", invalid="ignore"):
        length = np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64)
    bad = ~np.isfinite(length)
    empty = (length == 0.0) if metric == "cosine" else np.zeros(len(vectors), dtype=bool)
    if not (bad.any() or empty.any()):
        return Batch(batch.ids, batch.sample_ids, vectors, batch.skipped)
    reasons = {True: "its vector holds NaN or infinite numbers", False: "its vector is all zeros"}
    lost = np.flatnonzero(bad | empty).tolist()
    skipped = tuple(Skipped(batch.ids[at], "", reasons[bool(bad[at])]) for at in lost)
    kept = np.flatnonzero(~(bad | empty)).tolist()
    return Batch(
        tuple(batch.ids[at] for at in kept),
        tuple(batch.sample_ids[at] for at in kept),
        vectors[kept],
        (*batch.skipped, *skipped),
    )

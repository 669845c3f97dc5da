"""Keeping an index in step with its dataset, whoever made it: add, remove, repair."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tui.core import datasets, ledger
from tui.core.client.index_types import CONSISTENCY_LEVELS, METRICS, Metric
from tui.core.documents.run_list import RunInfo, require_run, runs_on
from tui.core.documents.schema import read
from tui.core.embedding import Batch
from tui.core.errors import InvalidInput, UnknownName
from tui.core.filling import resuming
from tui.core.filling.building import expected_items
from tui.core.filling.coverage import Coverage, compare
from tui.core.filling.fill import Filler, mark_ready, one_at_a_time
from tui.core.filling.ids import IdBuffer, IdSet
from tui.core.filling.leases import Lease, hold
from tui.core.filling.patience import Patience
from tui.core.filling.sources import Part, VectorSource, open_source
from tui.core.filling.targets import READY, properties
from tui.core.indexes import BuildSpec, Crop, Source, SyncResult
from tui.core.progress import OnEvent, ShouldStop, Skipped
from tui.core.words import counted

if TYPE_CHECKING:
    from tui.core.milvus import CollectionInfo, Milvus
    from tui.core.scope import Scope
    from tui.core.workspace import Workspace


def require_index(ws: Workspace, dataset: str, brain_key: str, *, finished: bool = False) -> RunInfo:
    """Answer a run that is an index in Milvus; one that was never finished may name no collection.

    Args:
        finished: refuse one that was never finished.

    Raises:
        UnknownName: there is no such dataset or run. InvalidInput: it is no such index.
    """
    run = require_run(ws, dataset, brain_key)
    if not run.is_index:
        raise InvalidInput(f"Run {brain_key!r} is no similarity index in Milvus", "Choose one that is")
    if finished and not run.finished:
        raise InvalidInput(
            f"Run {brain_key!r} was never finished", "Resume it (kitescope sync), or discard it"
        )
    return run


def sharers(ws: Workspace, run: RunInfo) -> list[Scope]:
    """Answer the scopes of the other runs on a run's collection: clones of a dataset share theirs."""
    return [
        other.scope
        for other in runs_on(ws, run.collection or "")
        if (other.dataset, other.brain_key) != (run.dataset, run.brain_key)
    ]


def look(ws: Workspace, patience: Patience, run: RunInfo) -> tuple[CollectionInfo | None, Coverage]:
    """Compare a run's collection with its scope, and change nothing but loading it."""
    name = run.collection or ""
    info = _described(patience, name)
    there = name if info is not None and info.index_type else None
    coverage = compare(ws, patience, there, run.scope, sharers(ws, run))
    return info, coverage


def _described(patience: Patience, name: str) -> CollectionInfo | None:
    def describe(milvus: Milvus) -> CollectionInfo | None:
        return milvus.describe(name, counted=False) if name and milvus.exists(name) else None

    return patience.call(describe)


def dry_run(
    ws: Workspace,
    dataset: str,
    brain_key: str,
    on_event: OnEvent,
    should_stop: ShouldStop,
    wait: float | None,
) -> SyncResult:
    """Say what a sync would do."""
    run = require_index(ws, dataset, brain_key)
    patience = Patience(ws, one_at_a_time(on_event), should_stop, wait)
    info, coverage = look(ws, patience, run)
    stale = coverage.stale_count
    missing = expected_items(ws, spec_of(run, info), coverage)[1]
    return SyncResult(missing, stale, len(coverage.present) - stale, (), coverage.duplicates)


def sync(
    ws: Workspace,
    dataset: str,
    brain_key: str,
    on_event: OnEvent,
    should_stop: ShouldStop,
    wait: float | None,
) -> SyncResult:
    """Add, remove and repair, and complete a run that was never finished; see ``indexes.sync``."""
    ws.require_writable(f"sync {brain_key!r}")
    run = require_index(ws, dataset, brain_key)
    tell = one_at_a_time(on_event)
    patience = Patience(ws, tell, should_stop, wait)
    with ExitStack() as stack:
        purpose = f"{'syncing' if run.finished else 'resuming'} {dataset}/{brain_key}"
        if not run.finished:
            stack.enter_context(hold(ws, [f"run {brain_key} of dataset {dataset}"], purpose))
            run = resuming.settle(ws, patience, run, spec_of(run, None))
        name = run.collection or ""
        lease = stack.enter_context(hold(ws, [f"collection {name}"], purpose))
        filler = _filler(ws, run, patience, lease, tell, should_stop)
        outcome = filler.run()
        if filler.unfinished and filler.info is not None:
            mark_ready(patience, name)
        if not run.finished:
            resuming.finish(ws, patience, run, filler, outcome)
    if outcome.removed:
        what = "removed stale vectors of run"
        ledger.record(ws, what, f"{dataset}/{brain_key}", collection=name, vectors=outcome.removed)
    before = len(outcome.first.present) - outcome.removed
    return SyncResult(
        max(0, outcome.rows - before),
        outcome.removed,
        before,
        filler.casualties.report(),
        outcome.repaired,
    )


def _filler(
    ws: Workspace,
    run: RunInfo,
    patience: Patience,
    lease: Lease,
    tell: OnEvent,
    should_stop: ShouldStop,
) -> Filler:
    """The work on the collection of a run, which is leased."""
    name = run.collection or ""
    info = _described(patience, name)
    spec = spec_of(run, info)
    # A collection of ours that a killed sync left half made has no index worth keeping.
    unfinished = info is None or (
        info.properties.get("kitescope.state") not in (None, READY) or not info.index_type
    )
    return Filler(
        ws=ws,
        spec=spec,
        name=name,
        info=info,
        unfinished=unfinished,
        properties=properties(spec, str(read(ws, run.dataset).id)),
        patience=patience,
        lease=lease,
        tell=tell,
        open_source=lambda: _source_of(ws, spec, run, tell, should_stop),
        lacking=lambda coverage: expected_items(ws, spec, coverage)[1],
        sharers=sharers(ws, run),
        guard=lambda coverage: _require_source(ws, run, coverage),
        removing=lambda count: ws.require_destroyable(
            f"remove {counted(count, 'stale vector')} of run {run.brain_key!r}"
        ),
    )


def _require_source(ws: Workspace, run: RunInfo, coverage: Coverage) -> None:
    if not run.finished and coverage.missing:
        resuming.require_source(ws, run)


def spec_of(run: RunInfo, info: CollectionInfo | None) -> BuildSpec:
    """Answer the spec that would build a run again, from its record and what its collection says."""
    begun: Mapping[str, object] = {}
    if info is not None and (text := info.properties.get("kitescope.source")):
        begun = json.loads(text)
    ids = begun.get("ids")
    metric: Metric = next((one for one in METRICS if one == run.metric), "cosine")
    level = run.consistency_level
    return BuildSpec(
        scope=run.scope,
        brain_key=run.brain_key,
        source=Source(
            model=run.model,
            embeddings_field=run.embeddings_field,
            embeddings=run.embeddings,
            ids=str(ids["path"]) if isinstance(ids, dict) else None,
        ),
        collection=run.collection,
        metric=metric,
        consistency_level=level if level in CONSISTENCY_LEVELS else "Session",
        precision=str(begun.get("precision", "auto")),
        decode=str(begun.get("decode", "auto")),
        crop=Crop(run.alpha, run.force_square),
    )


def _source_of(
    ws: Workspace, spec: BuildSpec, run: RunInfo, tell: OnEvent, should_stop: ShouldStop
) -> VectorSource:
    """Open what makes the missing vectors of a run, or something that says why nothing can."""
    source = spec.source
    if source.model is not None and not source.embeds:
        # A file in dataset order says nothing about items that came later.
        there = source.embeddings is None or (source.ids is not None and Path(source.embeddings).is_file())
        try:
            vectors = open_source(ws, spec, tell, should_stop) if there else None
        except UnknownName:
            # Stock FiftyOne makes the field when it has all vectors: a build that crashed left none.
            vectors = None
        only_model = replace(spec, source=Source(model=source.model))
        return _VectorsThenModel(
            ws, spec.scope, vectors, lambda: open_source(ws, only_model, tell, should_stop)
        )
    if source.embeddings is not None and source.ids is None:
        return _Nothing("the index was made from a file in dataset order: build it again with a new one")
    if source.model is source.embeddings_field is source.embeddings is None:
        return _Nothing("the run does not say what made its vectors: build it again")
    return open_source(ws, spec, tell, should_stop)


class _Nothing:
    """Stands for vectors that cannot be made again."""

    dim: int | None = None
    supports_prompts = False

    def __init__(self, reason: str) -> None:
        self._reason = reason

    def batches(self, parts: Iterable[Part]) -> Iterator[Batch]:
        for part in parts:
            skipped = tuple(Skipped(one, "", self._reason) for one in part.ids)
            yield Batch((), (), np.empty((0, 0), dtype=np.float32), skipped)

    def leftovers(self) -> Sequence[Skipped]:
        return ()

    def close(self) -> None:
        return


class _VectorsThenModel:
    """The vectors of a field or a file, and for the rest those of the model that is named beside them."""

    dim: int | None = None
    supports_prompts = False

    def __init__(
        self,
        ws: Workspace,
        scope: Scope,
        vectors: VectorSource | None,
        open_model: Callable[[], VectorSource],
    ) -> None:
        self._ws, self._scope, self._vectors, self._open = ws, scope, vectors, open_model
        self._model: VectorSource | None = None

    def batches(self, parts: Iterable[Part]) -> Iterator[Batch]:
        if self._vectors is None:
            self._model = self._open()
            yield from self._model.batches(parts)
            return
        rest = IdBuffer()
        for batch in self._vectors.batches(parts):
            rest.add([one.id for one in batch.skipped])
            yield Batch(batch.ids, batch.sample_ids, batch.vectors, ())
        left = rest.freeze()
        if len(left):
            self._model = self._open()
            yield from self._model.batches(self._parts(left))

    def _parts(self, wanted: IdSet) -> Iterator[Part]:
        start = 0
        for ids, sample_ids in datasets.scope_ids(self._ws, self._scope):
            places = np.flatnonzero(wanted.contains(ids))
            if len(places):
                at = places.tolist()
                yield Part([ids[one] for one in at], [sample_ids[one] for one in at], places + start)
            start += len(ids)

    def leftovers(self) -> Sequence[Skipped]:
        return ()

    def close(self) -> None:
        if self._vectors is not None:
            self._vectors.close()
        if self._model is not None:
            self._model.close()

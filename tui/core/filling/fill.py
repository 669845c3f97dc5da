"""Bringing one collection in step with a scope: remove, repair, fill, index, and prove by counting."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from tui.core.client.index_types import IndexSpec
from tui.core.documents.scopes import scope_ids
from tui.core.errors import KitescopeError
from tui.core.filling.casualties import Casualties
from tui.core.filling.coverage import Coverage, compare, repeated
from tui.core.filling.sources import Part, VectorSource, sound
from tui.core.filling.targets import READY, check_dim
from tui.core.filling.uploading import Uploader
from tui.core.progress import Event, OnEvent, Progress
from tui.core.words import counted

if TYPE_CHECKING:
    from tui.core.filling.ids import IdSet
    from tui.core.filling.leases import Lease
    from tui.core.filling.patience import Patience
    from tui.core.indexes import BuildSpec
    from tui.core.milvus import CollectionInfo, Milvus
    from tui.core.scope import Scope
    from tui.core.workspace import Workspace

_ROUNDS = 4
# A server answers searches of fewer than these without an index, and nobody waits for it.
_FEW = 20_000
# Bytes of vectors. A server indexes what fills a segment while it ingests, which takes longer in all than an
# index made at the end. Below, loading costs nothing: it happens while vectors are made and written.
_LATE = 512 << 20
_STALLED = 60.0
_PAUSE = 0.5


def one_at_a_time(on_event: OnEvent) -> OnEvent:
    """Wrap a callback so that threads of ours call it one after the other."""
    lock = threading.Lock()

    def tell(event: Event) -> None:
        with lock:
            on_event(event)

    return tell


@dataclass(frozen=True)
class Outcome:
    """What was done: the first comparison, vectors removed and repaired, and how many there are now."""

    first: Coverage
    removed: int
    repaired: int
    rows: int


@dataclass
class Filler:
    """The work on one collection.

    Attributes:
        info: what is there at the start; None where the collection has to be made.
        unfinished: its index is ours to drop and make.
        properties: what a new collection says about itself.
        open_source: opens the source of vectors, when any are missing.
        guard: looks at the first comparison and may refuse it, before anything is written.
        lacking: how many items lack a vector and could have one.
        may_remove: whether stale vectors are removed.
        removing: hears how many are about to be, and may refuse.
        sharers: scopes of other runs that use the collection.
    """

    ws: Workspace
    spec: BuildSpec
    name: str
    info: CollectionInfo | None
    unfinished: bool
    properties: dict[str, str]
    patience: Patience
    lease: Lease
    tell: OnEvent
    open_source: Callable[[], VectorSource]
    guard: Callable[[Coverage], None] = lambda _coverage: None
    lacking: Callable[[Coverage], int] = lambda coverage: coverage.missing
    may_remove: bool = True
    removing: Callable[[int], None] = lambda _count: None
    sharers: Sequence[Scope] = ()
    casualties: Casualties = field(init=False)

    def __post_init__(self) -> None:
        self.casualties = Casualties(self.tell)
        self._source: VectorSource | None = None

    def run(self) -> Outcome:
        """Do all of it, until a strongly consistent count is right.

        Raises:
            KitescopeError: the collection or the dataset changes faster than it can be followed.
        """
        first: Coverage | None = None
        removed = repaired = 0
        try:
            for _ in range(_ROUNDS):
                coverage = self._look()
                if first is None:
                    first = coverage
                    self.guard(coverage)
                removed += self._remove(coverage)
                repaired += self._repair(coverage)
                filled = self._fill(coverage)
                changed = filled or coverage.duplicates or coverage.stale_count
                rows = self._finish() if changed or self.unfinished else coverage.rows
                if rows == self._wanted(coverage, filled):
                    if self._source is not None:
                        self.casualties.add(self._source.leftovers())
                    return Outcome(first, removed, repaired, rows)
        finally:
            if self._source is not None:
                self._source.close()
        raise KitescopeError(
            f"Collection {self.name} does not come to rest: it has {counted(rows, 'vector')}",
            "Stop what else changes it or its dataset, then start again",
        )

    @property
    def takes_text(self) -> bool | None:
        """Whether the model that made vectors takes text; None when none was loaded."""
        embedded = self._source is not None and self.spec.source.embeds
        return self._source.supports_prompts if embedded and self._source else None

    def _wanted(self, coverage: Coverage, filled: bool) -> int:
        """Answer how many rows there have to be after a round."""
        wanted = len(coverage.present) - (coverage.stale_count if self.may_remove else 0)
        return wanted + (coverage.missing - len(self.casualties.ids()) if filled else 0)

    # -- looking ------------------------------------------------------------------------------------
    def _look(self) -> Coverage:
        if self.info is None:
            return compare(self.ws, self.patience, None, self.spec.scope)
        self._make_readable()
        return compare(self.ws, self.patience, self.name, self.spec.scope, self.sharers)

    def _make_readable(self) -> None:
        """Load the collection; without an index a server cannot, so an unfinished one gets the cheapest."""

        def make(milvus: Milvus) -> None:
            if milvus.is_lite:
                # A flush that a killed writer set off would hide rows from us while it lasts. And what is not
                # flushed makes every question slow, even which index there is.
                milvus.flush(self.name)
            info = milvus.describe(self.name, counted=False)
            if not info.index_type:
                cheap = self.unfinished and not milvus.is_lite
                milvus.create_index(
                    self.name, self.spec.metric, IndexSpec("FLAT") if cheap else self.spec.index
                )
            milvus.load(self.name, self._stopping)

        self.patience.call(make)

    # -- removing and repairing ---------------------------------------------------------------------
    def _remove(self, coverage: Coverage) -> int:
        if not self.may_remove:
            return 0
        if coverage.stale_count:
            self.removing(coverage.stale_count)
        for page in coverage.present.pages(coverage.stale):
            self.patience.check()
            self.lease.require()
            self._delete(page)
        return coverage.stale_count

    def _delete(self, ids: Sequence[str]) -> None:
        self.patience.call(lambda milvus: milvus.delete(self.name, ids))

    def _repair(self, coverage: Coverage) -> int:
        """Write again what is there more than once; a vector that cannot be written is deleted instead."""
        if not coverage.duplicates:
            return 0
        for ids in repeated(self.patience, self.name, coverage.present):
            self.lease.require()
            self._rewrite(ids)
        return coverage.duplicates

    def _rewrite(self, ids: Sequence[str]) -> None:
        def rewrite(milvus: Milvus) -> None:
            found, samples, vectors = milvus.rows(self.name, ids)
            good = np.isfinite(vectors).all(axis=1)
            kept = np.flatnonzero(good).tolist()
            milvus.upsert(self.name, [found[at] for at in kept], [samples[at] for at in kept], vectors[kept])
            milvus.delete(self.name, [found[at] for at in np.flatnonzero(~good).tolist()])

        self.patience.call(rewrite)

    # -- filling ------------------------------------------------------------------------------------
    def _fill(self, coverage: Coverage) -> bool:
        """Make and write the missing vectors; False when there was nothing to do."""
        skipped = self.casualties.ids()
        if coverage.missing <= len(skipped) or not self.lacking(coverage):
            return False
        if self._source is None:
            self._source = self.open_source()
        check_dim(self.info, self._source.dim)
        if self.info is not None and self.unfinished and _is_late(coverage.missing, self.info.dim):
            self.patience.call(self._postpone_index)
        there = coverage.expected - coverage.missing
        parts = self._parts(coverage, skipped)
        uploader: Uploader | None = None
        done = there
        self.tell(Progress("embed", there, coverage.expected))
        try:
            for raw in self._source.batches(parts):
                self.patience.check()
                batch = sound(raw, self.spec.metric)
                self.casualties.add(batch.skipped)
                done += len(batch.ids) + len(batch.skipped)
                self.tell(Progress("embed", min(done, coverage.expected), coverage.expected))
                if not batch.ids:
                    continue
                if uploader is None:
                    uploader = self._uploader(batch.vectors.shape[1], there, coverage)
                uploader.put(batch.ids, batch.sample_ids, batch.vectors)
            self.patience.check()
            if uploader is not None:
                uploader.close()
            return True
        except BaseException:
            if uploader is not None:
                uploader.abandon()
            raise

    def _parts(self, coverage: Coverage, skipped: IdSet) -> Iterator[Part]:
        """Stream the items without a vector, in dataset order, with the number of each in it."""
        start = 0
        for ids, sample_ids in scope_ids(self.ws, self.spec.scope):
            self.patience.check()
            lacking = np.flatnonzero(~(coverage.present.contains(ids) | skipped.contains(ids)))
            if len(lacking):
                places = lacking.tolist()
                yield Part([ids[at] for at in places], [sample_ids[at] for at in places], lacking + start)
            start += len(ids)

    def _postpone_index(self, milvus: Milvus) -> None:
        """Make a server index at the end, all at once; Milvus Lite indexes better as it goes."""
        if not milvus.is_lite:
            milvus.drop_index(self.name)

    def _uploader(self, dim: int, there: int, coverage: Coverage) -> Uploader:
        total = coverage.expected
        self.lease.require()
        if self.info is None:
            self._create(dim, _is_late(coverage.missing, dim))
        check_dim(self.info, dim)
        self.tell(Progress("upload", there, total))
        rows = None if self.spec.source.embeds else self.spec.batch_size
        return Uploader(
            self.patience,
            self.name,
            dim,
            self.lease,
            lambda written: self.tell(Progress("upload", min(there + written, total), total)),
            rows,
        )

    def _create(self, dim: int, late: bool) -> None:
        """Make the collection, and let the engine judge the index before hours of work depend on it."""

        def create(milvus: Milvus) -> CollectionInfo:
            if not milvus.exists(self.name):
                milvus.create(
                    self.name,
                    dim=dim,
                    metric=self.spec.metric,
                    consistency_level=self.spec.consistency_level,
                    properties=self.properties,
                )
            try:
                if not milvus.describe(self.name, counted=False).index_type:
                    milvus.create_index(self.name, self.spec.metric, self.spec.index)
            except KitescopeError:
                milvus.drop(self.name)
                raise
            if milvus.is_lite:
                milvus.load(self.name, self._stopping)
            elif late:
                self._postpone_index(milvus)
            else:
                milvus.begin_load(self.name)
            return milvus.describe(self.name, counted=False)

        self.info = self.patience.call(create)

    # -- finishing ----------------------------------------------------------------------------------
    def _finish(self) -> int:
        """Index, load, and count what a strongly consistent query sees; 0 where there is no collection."""
        if self.info is None:
            return 0
        self.tell(Progress("index", 0, None))

        def finish(milvus: Milvus) -> int:
            milvus.flush(self.name)
            if self.unfinished:
                self._make_index(milvus)
            milvus.load(self.name, self._stopping)
            self.patience.check()
            return milvus.count(self.name)

        self.patience.check()
        return self.patience.call(finish)

    def _make_index(self, milvus: Milvus) -> None:
        """Leave a collection of ours with the index that was asked for."""
        info = milvus.describe(self.name, counted=False)
        wanted = self.properties["kitescope.index"]
        kind = str(json.loads(wanted)["type"])
        if info.index_type and info.index_type == kind and info.properties.get("kitescope.index") == wanted:
            return
        if info.index_type:
            milvus.drop_index(self.name)
        milvus.create_index(self.name, self.spec.metric, self.spec.index)
        milvus.set_properties(self.name, {"kitescope.index": wanted})

    def _stopping(self) -> bool:
        return self.patience.stopping()


def _is_late(missing: int, dim: int) -> bool:
    return missing * dim * 4 > _LATE


def mark_ready(patience: Patience, name: str) -> None:
    """Note in a collection of ours that its build is finished."""
    patience.call(lambda milvus: milvus.set_properties(name, {"kitescope.state": READY}))


def await_index(patience: Patience, name: str, rows: int, tell: OnEvent) -> None:
    """Follow the server's indexing until it is done, stands still, or somebody asks to stop.

    The collection answers searches all the while, so nothing here is an error.
    """
    if patience.milvus.is_lite or rows <= _FEW:
        tell(Progress("index", rows, rows))
        return
    last, since = -1, time.monotonic()
    while not patience.stopping() and time.monotonic() - since < _STALLED:
        done, total = patience.call(lambda milvus: milvus.index_progress(name))
        tell(Progress("index", min(done, rows), rows))
        if done >= total >= rows:
            return
        if done != last:
            last, since = done, time.monotonic()
        time.sleep(_PAUSE)

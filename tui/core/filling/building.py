"""Building an index: choose its collection, fill it, register the run last, then tidy up."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from tui.core import datasets, ledger, runs
from tui.core.documents.run_list import RunInfo, get_run, runs_on
from tui.core.documents.schema import read
from tui.core.errors import InvalidInput, KitescopeError
from tui.core.filling.coverage import Coverage
from tui.core.filling.fill import Filler, await_index, mark_ready, one_at_a_time
from tui.core.filling.leases import Lease, hold
from tui.core.filling.lengths import check_made_by, known_dim
from tui.core.filling.patience import Patience
from tui.core.filling.sources import open_source
from tui.core.filling.targets import BUILDING, Target, choose, properties, stem
from tui.core.indexes import BuildResult, BuildSpec
from tui.core.models import BUILTIN, absolute, certain_info
from tui.core.progress import OnEvent, ShouldStop
from tui.core.words import counted

if TYPE_CHECKING:
    from tui.core.milvus import Milvus
    from tui.core.workspace import Workspace


def complete(spec: BuildSpec) -> BuildSpec:
    """Fill in what a spec leaves to us: the built-in model, whole paths, the index' defaults."""
    source = spec.source
    if source.model is source.embeddings_field is source.embeddings is None:
        source = replace(source, model=BUILTIN)
    if source.model is not None:
        source = replace(source, model=absolute(source.model))
    if source.embeddings is not None:
        source = replace(source, embeddings=str(Path(source.embeddings).resolve()))
    if source.ids is not None:
        source = replace(source, ids=str(Path(source.ids).resolve()))
    return replace(spec, source=source, index=spec.index.complete())


def require_items(ws: Workspace, spec: BuildSpec) -> int:
    """Answer how many items a build is about.

    Raises:
        InvalidInput: there is none.
    """
    if spec.source.embeds:
        datasets.require_pictures(read(ws, spec.scope.dataset))
    field = spec.source.embeddings_field
    items = datasets.count(ws, spec.scope, field)
    if not items:
        has = f"has a vector in field {field!r}" if field is not None else "is in scope"
        raise InvalidInput(
            f"No item of dataset {spec.scope.dataset!r} {has}", "Choose another view, tag or field"
        )
    return items


def expected_items(ws: Workspace, spec: BuildSpec, coverage: Coverage) -> tuple[int, int]:
    """Answer how many items should have a vector, and how many of them have none.

    Items without a vector in the field that an index is made from are not expected in it.
    """
    field = spec.source.embeddings_field
    if field is None or spec.source.model is not None:
        return coverage.expected, coverage.missing
    expected = datasets.count(ws, spec.scope, field)
    return expected, max(0, expected - (coverage.expected - coverage.missing))


def build(
    ws: Workspace, spec: BuildSpec, on_event: OnEvent, should_stop: ShouldStop, wait: float | None
) -> BuildResult:
    """Build an index; see ``indexes.build``."""
    ws.require_writable("build an index")
    if spec.overwrite:
        ws.require_destroyable(f"overwrite run {spec.brain_key!r}")
    spec = complete(spec)
    patience = Patience(ws, one_at_a_time(on_event), should_stop, wait)
    purpose = f"building {spec.scope.dataset}/{spec.brain_key}"
    with ExitStack() as stack:
        names = [f"run {spec.brain_key} of dataset {spec.scope.dataset}"]
        if spec.collection is not None:
            names.append(f"collection {spec.collection}")
        lease = stack.enter_context(hold(ws, names, purpose))
        require_items(ws, spec)
        takes_text = _beside_takes_text(ws, spec)
        run = get_run(ws, spec.scope.dataset, spec.brain_key)
        target = patience.call(lambda milvus: choose(ws, milvus, spec, run))
        if target.name != spec.collection:
            lease = stack.enter_context(hold(ws, [f"collection {target.name}"], purpose))
        return _Build(ws, spec, run, target, patience, lease, one_at_a_time(on_event), takes_text).run()


def _beside_takes_text(ws: Workspace, spec: BuildSpec) -> bool | None:
    """Whether the model named beside vectors takes text; None where the vectors are still to be made.

    Raises:
        InvalidInput: it cannot have made them.
    """
    if spec.source.embeds:
        return None
    if spec.source.model is None:
        return False
    model = certain_info(spec.source.model)
    check_made_by(spec.source, known_dim(ws, spec), model)
    return model.supports_prompts


@dataclass
class _Build:
    ws: Workspace
    spec: BuildSpec
    previous: RunInfo | None
    target: Target
    patience: Patience
    lease: Lease
    tell: OnEvent
    takes_text: bool | None

    def run(self) -> BuildResult:
        began = time.monotonic()
        if self.target.discard:
            self.patience.call(lambda milvus: milvus.drop(self.target.name))
            self.target = replace(self.target, info=None, ours=True, unfinished=True, discard=False)
        filler = self._filler()
        outcome = filler.run()
        info = filler.info
        skipped = filler.casualties.report()
        if info is None or not outcome.rows:
            reason = f": {skipped[0].reason}" if skipped else ""
            raise KitescopeError(
                f"Of {counted(outcome.first.expected, 'item')} none could become a vector{reason}",
                "See that the files are there, or choose another source",
            )
        self._find_out_about_text(filler)
        self._register(info.dim)
        self._tidy()
        await_index(self.patience, self.target.last_name, outcome.rows, self.tell)
        return BuildResult(
            self.spec.brain_key,
            self.target.last_name,
            outcome.rows,
            info.dim,
            round(time.monotonic() - began, 3),
            skipped,
        )

    def _filler(self) -> Filler:
        spec, target = self.spec, self.target
        return Filler(
            ws=self.ws,
            spec=spec,
            name=target.name,
            info=target.info,
            unfinished=target.unfinished,
            properties=properties(spec, str(read(self.ws, spec.scope.dataset).id)),
            patience=self.patience,
            lease=self.lease,
            tell=self.tell,
            open_source=lambda: open_source(self.ws, spec, self.tell, self.patience.stopping),
            guard=self._guard,
            lacking=lambda coverage: expected_items(self.ws, spec, coverage)[1],
            may_remove=target.ours,
        )

    def _find_out_about_text(self, filler: Filler) -> None:
        """What was loaded knows best; a build that found nothing to do has loaded nothing."""
        if self.takes_text is None:
            self.takes_text = filler.takes_text
        if self.takes_text is None:
            self.takes_text = certain_info(self.spec.source.model or BUILTIN).supports_prompts

    def _guard(self, coverage: Coverage) -> None:
        """Refuse to write to what others use, and to drop vectors that a build of ours did not put there."""
        name, stale = self.target.name, coverage.stale_count
        if self.target.shared and (coverage.missing or stale):
            raise InvalidInput(
                f"Collection {name} is used by {', '.join(self.target.shared)}: it lacks "
                f"{coverage.missing} of these items and holds {stale} others",
                "Choose another name: it can be shared only when it holds exactly these items",
            )
        if not self.target.ours and stale:
            raise InvalidInput(
                f"Collection {name} holds {counted(stale, 'vector')} of other items", "Choose another name"
            )

    def _register(self, dim: int) -> None:
        """Make it a run. At each point in here the run that readers find names a complete collection."""
        target = self.target
        if target.ours:
            mark_ready(self.patience, target.name)
        self._record(target.name, dim)
        if target.replaces is not None:
            self._drop_unused(target.replaces)
        if target.final and not self.patience.milvus.exists(target.final):
            self.patience.call(self._rename)
            self._record(target.final, dim)

    def _record(self, collection: str, dim: int) -> None:
        spec = self.spec
        runs.register(
            self.ws,
            scope=spec.scope,
            brain_key=spec.brain_key,
            collection=collection,
            source=spec.source,
            metric=spec.metric,
            consistency_level=spec.consistency_level,
            supports_prompts=bool(self.takes_text),
            dim=dim,
            crop=spec.crop,
            overwrite=spec.overwrite,
        )

    def _rename(self, milvus: Milvus) -> None:
        if milvus.exists(self.target.name):
            milvus.rename(self.target.name, self.target.final)
        milvus.load(self.target.final)

    def _drop_unused(self, name: str) -> None:
        if not runs_on(self.ws, name):
            self.patience.call(lambda milvus: milvus.drop(name))
            run = f"{self.spec.scope.dataset}/{self.spec.brain_key}"
            ledger.record(self.ws, "dropped what a build replaced for run", run, collection=name)

    def _tidy(self) -> None:
        """Drop what earlier builds of this key, from other sources, left unfinished."""
        mine = stem(self.spec, str(read(self.ws, self.spec.scope.dataset).id)) + "_"

        def unfinished(milvus: Milvus) -> list[str]:
            names = [name for name in milvus.collections() if name.startswith(mine)]
            return [
                name
                for name in names
                if name != self.target.last_name
                and milvus.describe(name, counted=False).properties.get("kitescope.state") == BUILDING
            ]

        for name in self.patience.call(unfinished):
            self._drop_unused(name)

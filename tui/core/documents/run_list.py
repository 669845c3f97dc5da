"""What brain runs there are and how they are: from FiftyOne's documents, and from Milvus when asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from tui.core.documents import run_documents
from tui.core.documents.run_documents import OURS, RunDocument, all_runs, require
from tui.core.errors import EngineUnreachable
from tui.core.indexes import Health
from tui.core.scope import Scope
from tui.core.vision.naming import from_fiftyone

if TYPE_CHECKING:
    from tui.core.documents.schema import Record
    from tui.core.workspace import Workspace


@dataclass(frozen=True, slots=True)
class RunInfo:
    """One brain run.

    Attributes:
        type, method: such as ``similarity`` and ``milvus``; the rest is mostly for these.
        vectors: in the collection. ``expected``: items in scope. Both None until asked for.
        missing, stale: how many are lacking, or there without reason, judging by those two numbers.
        health: None while unknown, and for runs that have none.
        timestamp: when it was made, ISO 8601 in UTC.
        finished: whether results were saved: a stock build that crashed left none.
        scope: what it indexes. ``embeddings``: the file its vectors came from, if one.
        dim: length of a vector, if known without asking Milvus.
        former: the keys it had before it was renamed, each with until when, ISO 8601 in UTC; oldest first.
        alpha, force_square: how patches were cut out, as far as it was noted.
    """

    dataset: str
    brain_key: str
    type: str | None
    method: str | None
    patches_field: str | None = None
    model: str | None = None
    supports_prompts: bool = False
    metric: str | None = None
    collection: str | None = None
    vectors: int | None = None
    expected: int | None = None
    missing: int | None = None
    stale: int | None = None
    health: Health | None = None
    timestamp: str | None = None
    consistency_level: str | None = None
    embeddings_field: str | None = None
    finished: bool = True
    scope: Scope = field(default_factory=lambda: Scope(""))
    embeddings: str | None = None
    dim: int | None = None
    former: tuple[tuple[str, str], ...] = ()
    alpha: float | None = None
    force_square: bool = False

    @property
    def is_index(self) -> bool:
        """Whether it is a similarity index in Milvus, which Kitescope can search."""
        return self.type == "similarity" and self.method == "milvus"

    @property
    def unchecked(self) -> RunInfo:
        """The run as its document has it, without what was counted since."""
        return replace(self, vectors=None, expected=None, missing=None, stale=None, health=None)


def list_runs(
    ws: Workspace,
    dataset: str | None = None,
    *,
    type: str | None = None,
    patches_field: str | None = None,
    supports_prompts: bool | None = None,
) -> list[RunInfo]:
    """The brain runs of one dataset or all, of every type, by dataset and key. Milvus is not asked.

    Args:
        type: such as ``similarity``, ``visualization``, ``uniqueness``.
        patches_field: only runs on this field's patches.
        supports_prompts: only runs that take text, or that do not.

    Raises:
        UnknownName: there is no such dataset.
    """
    found = [_info(document) for document in all_runs(ws, dataset)]
    return [
        run
        for run in found
        if (type is None or run.type == type)
        and (patches_field is None or run.patches_field == patches_field)
        and (supports_prompts is None or run.supports_prompts == supports_prompts)
    ]


def get_run(ws: Workspace, dataset: str, key: str) -> RunInfo | None:
    """One run, or None when the dataset has no such key."""
    document = run_documents.get(ws, dataset, key)
    return _info(document) if document else None


def require_run(ws: Workspace, dataset: str, key: str, record: Record | None = None) -> RunInfo:
    """One run that has to be there; ``record`` is the dataset, when the caller has read it already.

    Raises:
        UnknownName: there is no such dataset or key; near keys are suggested.
    """
    return _info(require(ws, dataset, key, record))


def runs_on(ws: Workspace, collection: str) -> list[RunInfo]:
    """The runs that name a collection: clones of a dataset share theirs."""
    return [_info(document) for document in all_runs(ws) if document.collection == collection]


def with_health(ws: Workspace, run: RunInfo, *, reachable: bool = True) -> RunInfo:
    """Fill in counts and a quick verdict from them; ``indexes.check`` gives the exact one.

    The verdict compares how many vectors the collection has with how many items are in scope: fewer is
    ``incomplete``, more is ``stale``. As many missing as stale look ``ok``, and duplicates look stale.
    A run that is no index in Milvus comes back as it is. A collection that its owner released from a
    server's memory is not loaded for this: its health stays unknown.

    Args:
        reachable: False where Milvus is known not to answer: then it is not waited for again.
    """
    from tui.core.datasets import count

    if not run.is_index:
        return run
    # With a model beside the field, a sync can embed what the field lacks.
    expected = count(ws, run.scope, run.embeddings_field if run.model is None else None)
    if not reachable:
        return replace(run, expected=expected, health="unreachable")
    try:
        milvus = ws.milvus()
        if run.collection is None or not milvus.exists(run.collection):
            health: Health = "no-collection" if run.finished else "incomplete"
            return replace(run, expected=expected, missing=expected, health=health)
        about = milvus.describe(run.collection, counted=False)
        if not about.index_type:
            return replace(run, expected=expected, health="incomplete")
        if not about.loaded and not milvus.is_lite:
            return replace(run, expected=expected)
        vectors = milvus.count(run.collection)
    except EngineUnreachable:
        return replace(run, expected=expected, health="unreachable")
    missing, stale = max(expected - vectors, 0), max(vectors - expected, 0)
    health = "incomplete" if missing or not run.finished else "stale" if stale else "ok"
    return replace(run, vectors=vectors, expected=expected, missing=missing, stale=stale, health=health)


def _info(document: RunDocument) -> RunInfo:
    config = document.config
    ours: Mapping[str, Any] = config.get(OURS) or {}
    # Uniqueness and its like keep their results in fields of the dataset.
    finished = document.results is not None or config.get("type") not in ("similarity", "visualization")
    return RunInfo(
        dataset=document.dataset,
        brain_key=document.key,
        type=config.get("type"),
        method=config.get("method"),
        patches_field=config.get("patches_field"),
        model=from_fiftyone(config.get("model"), config.get("model_kwargs")),
        supports_prompts=bool(config.get("supports_prompts")),
        metric=config.get("metric"),
        collection=document.collection,
        health="incomplete" if document.is_milvus and not finished else None,
        timestamp=_iso(document.timestamp) if document.timestamp else None,
        consistency_level=config.get("consistency_level"),
        embeddings_field=config.get("embeddings_field"),
        finished=finished,
        scope=_scope(document.dataset, config.get("patches_field"), ours.get("scope") or {}),
        embeddings=ours.get("embeddings"),
        dim=document.facts.get("dim"),
        former=tuple((one["key"], _iso(one["until"])) for one in ours.get("former") or ()),
        alpha=ours.get("alpha"),
        force_square=bool(ours.get("force_square")),
    )


def _iso(when: datetime) -> str:
    return when.isoformat(timespec="seconds") + "Z"


def _scope(dataset: str, patches_field: str | None, narrowed: Mapping[str, Any]) -> Scope:
    return Scope(
        dataset,
        patches_field,
        view=narrowed.get("view"),
        tags=tuple(narrowed.get("tags") or ()),
        where=tuple((path, value) for path, value in narrowed.get("where") or ()),
        limit=narrowed.get("limit"),
        slices=tuple(narrowed.get("slices") or ()),
    )

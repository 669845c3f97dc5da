"""Change brain runs: register, rename, delete, clean up. Reading them is ``run_list``."""

from __future__ import annotations

import json
import logging
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from tui.core import ledger
from tui.core.documents import collection_notes, run_documents
from tui.core.documents.run_details import run_info
from tui.core.documents.run_documents import OURS, RunDocument, check_key, require
from tui.core.documents.run_list import (
    RunInfo,
    get_run,
    list_runs,
    require_run,
    runs_on,
    with_health,
)
from tui.core.documents.snippet import snippet
from tui.core.errors import InvalidInput, KitescopeError
from tui.core.filling import leases
from tui.core.scope import Scope
from tui.core.vision.naming import in_fiftyone

if TYPE_CHECKING:
    from tui.core.indexes import Crop, Source
    from tui.core.workspace import Workspace

__all__ = [
    "Removed",
    "RunInfo",
    "check_key",
    "cleanup",
    "delete",
    "discard",
    "get_run",
    "list_runs",
    "register",
    "rename",
    "require_run",
    "run_info",
    "runs_on",
    "snippet",
    "with_health",
]

_log = logging.getLogger(__name__)
_STOCK = "fiftyone.brain.internal.core.milvus"

RESULTS = json.dumps({"cls": f"{_STOCK}.MilvusSimilarityIndex"}).encode()
"""What FiftyOne keeps as the results of an index in Milvus: what opens it."""


@dataclass(frozen=True, slots=True)
class Removed:
    """What a delete or clean-up did: which collection, whether it was ``dropped``, and if not why.

    ``vectors`` is how many it had, None when nobody could say.
    """

    dataset: str
    brain_key: str
    collection: str | None
    dropped: bool
    vectors: int | None
    reason: str = ""


def register(
    ws: Workspace,
    *,
    scope: Scope,
    brain_key: str,
    collection: str,
    source: Source,
    metric: str,
    consistency_level: str,
    supports_prompts: bool,
    dim: int,
    crop: Crop | None = None,
    overwrite: bool = False,
) -> None:
    """Make a filled collection a brain run that stock FiftyOne opens like one of its own.

    Done last in a build: a build that did not finish never blocks its key. A run that has the key and
    names the same collection is replaced, so registering twice does no harm.

    Args:
        crop: how patches were cut out.
        overwrite: replace the run that has the key, whatever it is; its collection stays.

    Raises:
        ReadOnly: the profile forbids it.
        InvalidInput: the key is not valid or taken.
    """
    ws.require_writable(f"register run {brain_key!r}")
    existing = run_documents.get(ws, scope.dataset, brain_key)
    model, model_kwargs = in_fiftyone(source.model) if source.model else (None, None)
    replaces = existing if existing and (overwrite or existing.collection == collection) else None
    config = {
        "cls": f"{_STOCK}.MilvusSimilarityConfig",
        "type": "similarity",
        "method": "milvus",
        "embeddings_field": _label_attribute(ws, scope, source.embeddings_field),
        "model": model,
        "model_kwargs": model_kwargs,
        "patches_field": scope.patches_field,
        "roi_field": None,
        "supports_prompts": supports_prompts,
        "collection_name": collection,
        "metric": metric,
        "consistency_level": consistency_level,
        **_ours(scope, source, crop),
    }
    run_documents.insert(
        ws,
        scope.dataset,
        brain_key,
        config,
        RESULTS,
        version=version("fiftyone"),
        facts={"dim": dim},
        view_stages=_view_stages(ws, scope),
        replaces=replaces,
    )


def rename(ws: Workspace, dataset: str, key: str, new: str) -> RunInfo:
    """Give a run another key.

    Raises:
        ReadOnly: the profile forbids it.
        UnknownName: there is no such dataset or key.
        InvalidInput: the new key is not valid or taken.
    """
    ws.require_writable(f"rename run {key!r}")
    run_documents.rename(ws, require(ws, dataset, key), new)
    run = require_run(ws, dataset, new)
    collection_notes.tell_key(ws, run)
    return run


def delete(ws: Workspace, dataset: str, key: str, keep_collection: bool = False) -> Removed:
    """Delete a run with its collection: first the collection, then the record.

    A collection that another run names as well is kept, and the answer says so.

    Raises:
        ReadOnly: the profile forbids it.
        UnknownName: there is no such dataset or key.
        EngineUnreachable: Milvus does not answer; the run is still there and still names its collection.
        KitescopeError: a build or sync is writing to the collection, or the run was deleted just now.
    """
    ws.require_destroyable(f"delete run {key!r}")
    document = require(ws, dataset, key)
    if not document.is_milvus:
        from tui.core.datasets import load

        # FiftyOne knows what else such a run made, the fields of a uniqueness run for one.
        load(ws, dataset).delete_brain_run(key)
        ledger.record(ws, "deleted run", f"{dataset}/{key}")
        return Removed(dataset, key, None, False, None, "it is no index in Milvus")
    if keep_collection:
        collection_notes.tell_owner(ws, document)
        removed = Removed(dataset, key, document.collection, False, None, "keeping it was asked for")
    else:
        removed = _drop(ws, document)
    gone = run_documents.delete(ws, document)
    if gone or removed.dropped:
        _note(ws, "deleted run" if gone else "dropped collection of run", removed)
    if not gone:
        raise KitescopeError(
            f"Run {key!r} on dataset {dataset!r} was deleted or renamed by somebody else just now",
            "Look again",
        )
    return removed


def discard(ws: Workspace, dataset: str, key: str) -> Removed:
    """Delete a run that was never finished, with what there is of its collection.

    What lies under its name and is not its own is kept, and the answer says so.

    Raises:
        ReadOnly, UnknownName, EngineUnreachable, KitescopeError: as ``delete``.
        InvalidInput: the run is finished: deleting it is something else.
    """
    ws.require_destroyable(f"discard run {key!r}")
    if require_run(ws, dataset, key).finished:
        raise InvalidInput(f"Run {key!r} is finished, so there is nothing to discard", "Delete it instead")
    return delete(ws, dataset, key)


def cleanup(ws: Workspace, dataset: str, key: str) -> Removed:
    """Drop a run's collection and keep its record, so that it can be built again.

    Raises:
        ReadOnly: the profile forbids it.
        UnknownName: there is no such dataset or key.
        InvalidInput: the run has no collection of its own.
        EngineUnreachable: Milvus does not answer.
    """
    ws.require_destroyable(f"clean up run {key!r}")
    document = require(ws, dataset, key)
    removed = _drop(ws, document)
    if not removed.dropped:
        raise InvalidInput(f"Nothing of run {key!r} can be dropped: {removed.reason}")
    _note(ws, "cleaned up run", removed)
    return removed


def _note(ws: Workspace, what: str, removed: Removed) -> None:
    dropped = removed.collection if removed.dropped else None
    ledger.record(
        ws, what, f"{removed.dataset}/{removed.brain_key}", collection=dropped, vectors=removed.vectors
    )


def _drop(ws: Workspace, document: RunDocument) -> Removed:
    name = document.collection
    kept = Removed(document.dataset, document.key, name, False, None)
    if name is None:
        return replace(kept, reason="it names no collection")
    others = [
        run for run in runs_on(ws, name) if (run.dataset, run.brain_key) != (document.dataset, document.key)
    ]
    if others:
        users = ", ".join(f"{run.brain_key!r} on {run.dataset!r}" for run in others)
        return replace(kept, reason=f"run {users} uses it too")
    milvus = ws.milvus()
    if not milvus.exists(name):
        return replace(kept, reason="the collection does not exist")
    if document.results is None and (why := _not_its_own(ws, document)):
        return replace(kept, reason=why)
    # A build or sync that writes to it would find it gone in mid-work.
    with leases.hold(ws, [f"collection {name}"], f"dropping it with run {document.key!r}"):
        vectors = milvus.describe(name).vectors
        milvus.drop(name)
    return replace(kept, dropped=True, vectors=vectors)


def _not_its_own(ws: Workspace, document: RunDocument) -> str:
    from tui.core.filling.resuming import not_its_own

    return not_its_own(ws, require_run(ws, document.dataset, document.key))


def _ours(scope: Scope, source: Source, crop: Crop | None) -> dict[str, Any]:
    """What a sync has to know and FiftyOne's configuration does not say; nothing for a plain run."""
    ours: dict[str, Any] = {}
    if not scope.is_whole:
        ours["scope"] = {
            "view": scope.view,
            "tags": list(scope.tags),
            "where": [list(pair) for pair in scope.where],
            "limit": scope.limit,
            **({"slices": list(scope.slices)} if scope.slices else {}),
        }
    if source.embeddings is not None:
        ours["embeddings"] = source.embeddings
    if crop is not None:
        ours |= {name: value for name, value in asdict(crop).items() if value}
    return {OURS: ours} if ours else {}


def _view_stages(ws: Workspace, scope: Scope) -> list[str] | None:
    if scope.is_whole:
        return None
    from bson import json_util

    from tui.core.datasets import scope_view

    return [json_util.dumps(stage) for stage in scope_view(ws, scope)._serialize(include_uuids=False)]


def _label_attribute(ws: Workspace, scope: Scope, name: str | None) -> str | None:
    """FiftyOne names a field of a patch by what follows the list of labels."""
    if name is None or scope.patches_field is None:
        return name
    from tui.core.documents.selection import select

    selection = select(ws, Scope(scope.dataset, scope.patches_field), any_slice=True)
    prefixes = (selection.label_path + ".", scope.patches_field + ".")
    return next((name.removeprefix(p) for p in prefixes if name.startswith(p)), name)

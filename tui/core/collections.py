"""The Milvus side of runs: every collection, who uses it, and what can be done with it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tui.core import ledger
from tui.core.documents.run_details import collection_info
from tui.core.documents.run_documents import all_runs
from tui.core.documents.schema import unknown
from tui.core.errors import InvalidInput
from tui.core.filling import leases

if TYPE_CHECKING:
    from collections.abc import Callable

    from tui.core.milvus import CollectionInfo
    from tui.core.models import ModelInfo
    from tui.core.workspace import Workspace


@dataclass(frozen=True, slots=True)
class CollectionRow:
    """One collection.

    Attributes:
        vectors: None while it is not loaded. ``dim`` is 0 for a collection of another application.
        owner: the first run that names it, as ``dataset/key``; None for an orphan, which may still belong
            to another FiftyOne database on the same Milvus.
        runs: all runs that name it: clones of a dataset share theirs.
        made_for: the run it was made for, as it says itself: a build of ours notes that, and a deletion that
            keeps the collection. The run may be gone or renamed.
        similarity: whether it has the fields of a similarity index; otherwise it is another application's.
    """

    name: str
    vectors: int | None
    dim: int
    index_type: str
    metric: str | None
    loaded: bool
    owner: str | None
    runs: tuple[str, ...] = ()
    made_for: str | None = None
    similarity: bool = True


@dataclass(frozen=True, slots=True)
class Adopted:
    """A collection that became a run, and what of the dataset it lacks or holds beyond it: a sync mends both.

    ``vectors`` counts its rows, ``duplicates`` those of them that are there once more than they should.
    """

    collection: str
    dataset: str
    brain_key: str
    vectors: int
    missing: int
    stale: int
    duplicates: int


def list_collections(ws: Workspace, *, orphans: bool = False) -> list[CollectionRow]:
    """The collections of the Milvus database by name; with ``orphans`` only those that no run here names.

    Raises:
        EngineUnreachable: Milvus or FiftyOne's database does not answer.
    """
    users = _users(ws)
    milvus = ws.milvus()
    names = [name for name in milvus.collections() if not (orphans and name in users)]
    return [_row(milvus.describe(name), users.get(name, ())) for name in names]


def collection_row(ws: Workspace, name: str) -> CollectionRow:
    """One collection.

    Raises:
        UnknownName: there is none of that name; near names are suggested.
    """
    return _row(existing(ws, name), _users(ws).get(name, ()))


def collection_facts(ws: Workspace, name: str) -> dict[str, Any]:
    """Everything about a collection, ready for JSON: ``run_details.collection_info`` and who uses it.

    Raises:
        UnknownName: there is none of that name; near names are suggested.
    """
    row = _row(existing(ws, name), _users(ws).get(name, ()))
    return collection_info(ws, name) | {"owner": row.owner, "runs": row.runs, "made_for": row.made_for}


def load(ws: Workspace, name: str) -> CollectionRow:
    """Load a collection into Milvus' memory, where it can be searched."""
    existing(ws, name)
    ws.milvus().load(name)
    return collection_row(ws, name)


def release(ws: Workspace, name: str) -> CollectionRow:
    """Take a collection out of Milvus' memory; its data stay. Raises ``ReadOnly``."""
    ws.require_writable(f"release collection {name!r}")
    existing(ws, name)
    ws.milvus().release(name)
    return collection_row(ws, name)


def drop(ws: Workspace, name: str) -> CollectionRow:
    """Drop an orphan for good, and answer what it was.

    Raises:
        ReadOnly: the profile forbids it.
        UnknownName: there is none of that name.
        InvalidInput: runs use it; deleting or cleaning them up is what is meant then.
        KitescopeError: a build is writing to it.
    """
    ws.require_destroyable(f"drop collection {name!r}")
    row = collection_row(ws, name)
    if row.runs:
        raise InvalidInput(
            f"Collection {name!r} belongs to {', '.join(row.runs)}",
            "Delete or clean up these runs instead",
        )
    with leases.hold(ws, [f"collection {name}"], "dropping it"):
        ws.milvus().drop(name)
    ledger.record(ws, "dropped collection", row.made_for or name, collection=name, vectors=row.vectors)
    return row


def adopt(
    ws: Workspace,
    name: str,
    dataset: str,
    brain_key: str,
    *,
    patches_field: str | None = None,
    model: str | None = None,
    about: Callable[[str], ModelInfo] | None = None,
) -> Adopted:
    """Attach a new run to a collection that is there, after comparing its ids with the dataset's.

    Nothing is written to the collection, and it may have other runs.

    Args:
        patches_field: its ids are those of this field's labels, not of samples.
        model: what made its vectors; with it a sync can add what is missing, and prompts work.
        about: tells what is true of the model instead of ``models.certain_info``, which may load it here.

    Raises:
        ReadOnly: the profile forbids it.
        UnknownName: there is no such collection, dataset, field or model.
        InvalidInput: the key is not valid or taken, its schema is another, or it has no id of the dataset.
        KitescopeError: a build is writing to it.
    """
    from tui.core.filling import adopting

    return adopting.adopt(ws, name, dataset, brain_key, patches_field, model, about)


def existing(ws: Workspace, name: str) -> CollectionInfo:
    """What Milvus knows about a collection that has to be there.

    Raises:
        UnknownName: there is none of that name; near names are suggested.
    """
    milvus = ws.milvus()
    if not milvus.exists(name):
        raise unknown("collection", name, milvus.collections())
    return milvus.describe(name)


def _users(ws: Workspace) -> dict[str, tuple[str, ...]]:
    users: dict[str, list[str]] = {}
    for document in all_runs(ws):
        if document.collection:
            users.setdefault(document.collection, []).append(f"{document.dataset}/{document.key}")
    return {name: tuple(runs) for name, runs in users.items()}


def _row(info: CollectionInfo, runs: tuple[str, ...]) -> CollectionRow:
    key = info.properties.get("kitescope.brain_key")
    dataset = info.properties.get("kitescope.dataset")
    return CollectionRow(
        name=info.name,
        vectors=info.vectors,
        dim=info.dim,
        index_type=info.index_type,
        metric=info.metric,
        loaded=info.loaded,
        owner=runs[0] if runs else None,
        runs=runs,
        similarity=info.compatible,
        made_for=info.properties.get("kitescope.made_for")
        or (f"{dataset}/{key}" if key and dataset else None),
    )

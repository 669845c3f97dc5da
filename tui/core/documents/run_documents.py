"""Brain runs as FiftyOne stores them: a document per run, a reference in its dataset, results in GridFS.

Everything here reads and writes those documents themselves, so it needs neither FiftyOne nor the class
that made a run, and two processes that change runs of one dataset at once never lose each other's key:
each change touches only ``brain_methods.<key>``.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from bson import ObjectId

from tui.core.documents.mongo import guarded, journalled
from tui.core.documents.schema import LISTED, Record, parse, read, unknown
from tui.core.errors import InvalidInput, KitescopeError

if TYPE_CHECKING:
    from tui.core.workspace import Workspace

OURS = "kitescope"
"""Where the configuration of a run keeps what FiftyOne has no word for; FiftyOne carries it along unread."""


@dataclass(frozen=True, slots=True)
class RunDocument:
    """One run. ``config`` is what its maker wrote; ``results`` a GridFS file, None when it never finished."""

    id: ObjectId
    dataset: str
    dataset_id: ObjectId
    key: str
    version: str | None
    timestamp: datetime | None
    config: Mapping[str, Any]
    results: ObjectId | None
    facts: Mapping[str, Any]

    @property
    def is_milvus(self) -> bool:
        """Whether it is a similarity index in Milvus."""
        return self.config.get("type") == "similarity" and self.config.get("method") == "milvus"

    @property
    def collection(self) -> str | None:
        """The Milvus collection it names, if it is one and got that far."""
        return self.config.get("collection_name") if self.is_milvus else None


def all_runs(ws: Workspace, dataset: str | None = None) -> list[RunDocument]:
    """The brain runs of one dataset or of all, by dataset and key: two database queries, however many.

    Raises:
        UnknownName: there is no such dataset.
    """
    with guarded():
        if dataset is None:
            wanted = {"name": 1, "brain_methods": 1, "sample_collection_name": 1}
            records = [parse(raw) for raw in ws.database()["datasets"].find(LISTED, wanted)]
        else:
            records = [read(ws, dataset)]
        ids = [id for record in records for id in record.runs.values()]
        documents = {raw["_id"]: raw for raw in ws.database()["runs"].find({"_id": {"$in": ids}})}
    found = [
        _document(documents[id], record, key)
        for record in records
        for key, id in record.runs.items()
        if id in documents
    ]
    return sorted(found, key=lambda run: (run.dataset, run.key))


def get(ws: Workspace, dataset: str, key: str, record: Record | None = None) -> RunDocument | None:
    """One run, or None when the dataset has no such key.

    Args:
        record: the dataset, when the caller has read it already.

    Raises:
        UnknownName: there is no such dataset.
    """
    record = record or read(ws, dataset)
    if key not in record.runs:
        return None
    with guarded():
        raw = ws.database()["runs"].find_one({"_id": record.runs[key]})
    return _document(raw, record, key) if raw else None


def require(ws: Workspace, dataset: str, key: str, record: Record | None = None) -> RunDocument:
    """One run that has to be there; ``record`` as for ``get``.

    Raises:
        UnknownName: there is no such dataset or key; near keys are suggested.
    """
    found = get(ws, dataset, key, record)
    if found is None:
        known = sorted(read(ws, dataset).runs)
        raise unknown(f"run on dataset {dataset!r} with the key", key, known, "Build one first")
    return found


def check_key(key: str) -> None:
    """Hold a brain key to FiftyOne's own rule.

    Raises:
        InvalidInput: it is not a valid Python name.
    """
    if not key.isidentifier():
        raise InvalidInput(
            f"{key!r} cannot be a brain key", "Use letters, digits and _, and do not begin with a digit"
        )


def insert(
    ws: Workspace,
    dataset: str,
    key: str,
    config: Mapping[str, Any],
    results: bytes,
    *,
    version: str,
    facts: Mapping[str, Any],
    view_stages: Sequence[str] | None = None,
    replaces: RunDocument | None = None,
) -> ObjectId:
    """Write a finished run: its results, its document, and last the reference that makes it exist.

    Args:
        results: JSON as FiftyOne serialises results.
        version: of FiftyOne.
        facts: small facts about the results, readable without them.
        replaces: the run that has this key and gives it up.

    Raises:
        InvalidInput: the key is not valid, or somebody else has it by now.
        KitescopeError: the dataset is gone. In each case nothing is left behind.
    """
    check_key(key)
    record = read(ws, dataset)
    database = journalled(ws)
    document: dict[str, Any] = {
        "_id": ObjectId(),
        "_dataset_id": record.id,
        "key": key,
        "version": version,
        "timestamp": _now(),
        "config": dict(config),
        "results_meta": dict(facts),
    }
    if view_stages is not None:
        document["view_stages"] = list(view_stages)
    with guarded():
        document["results"] = _files(database).put(results, content_type="application/json")
        database["runs"].insert_one(document)
        expected: Any = replaces.id if replaces else {"$exists": False}
        if not _refer(
            database,
            record,
            {f"brain_methods.{key}": expected},
            {"$set": {f"brain_methods.{key}": document["_id"]}},
        ):
            _erase(database, document["_id"], document["results"])
            raise _lost(ws, record, key)
        if replaces:
            _erase(database, replaces.id, replaces.results)
    _refresh(record.name, key)
    return document["_id"]


def rename(ws: Workspace, run: RunDocument, new: str) -> None:
    """Give a run another key, in one step for every reader.

    Raises:
        InvalidInput: the new key is not valid or taken.
        KitescopeError: the run is gone.
    """
    check_key(new)
    record = read(ws, run.dataset)
    if new in record.runs:
        raise InvalidInput(f"Dataset {run.dataset!r} has a run {new!r} already", "Choose another key")
    database = journalled(ws)
    old_path, new_path = f"brain_methods.{run.key}", f"brain_methods.{new}"
    former = {"key": run.key, "until": _now()}
    with guarded():
        renamed = {"$set": {"key": new}, "$push": {f"config.{OURS}.former": former}}
        database["runs"].update_one({"_id": run.id}, renamed)
        if not _refer(
            database,
            record,
            {old_path: run.id, new_path: {"$exists": False}},
            {"$rename": {old_path: new_path}},
        ):
            undone = {"$set": {"key": run.key}, "$pull": {f"config.{OURS}.former": former}}
            database["runs"].update_one({"_id": run.id}, undone)
            raise _lost(ws, record, new)
    _refresh(run.dataset, run.key)


def place(ws: Workspace, run: RunDocument, collection: str) -> None:
    """Let a run that never finished name the collection that it will have.

    Raises:
        KitescopeError: somebody else finished, deleted or changed it just now.
    """
    unchanged = {"_id": run.id, "results": None, "config.collection_name": run.collection}
    with guarded():
        answer = journalled(ws)["runs"].update_one(
            unchanged, {"$set": {"config.collection_name": collection}}
        )
    if not answer.matched_count:
        raise _changed()
    _refresh(run.dataset, run.key)


def finish(ws: Workspace, run: RunDocument, results: bytes, facts: Mapping[str, Any]) -> None:
    """Give a run that never finished its results, after which FiftyOne opens it.

    Raises:
        KitescopeError: somebody else finished, deleted or changed it just now.
    """
    database = journalled(ws)
    unchanged = {"_id": run.id, "results": None, "config.collection_name": run.collection}
    with guarded():
        file = _files(database).put(results, content_type="application/json")
        change = {"$set": {"results": file, "results_meta": dict(facts)}}
        if not database["runs"].update_one(unchanged, change).matched_count:
            _files(database).delete(file)
            raise _changed()
    _refresh(run.dataset, run.key)


def delete(ws: Workspace, run: RunDocument) -> bool:
    """Forget a run; False when somebody else deleted or renamed it just before."""
    record = read(ws, run.dataset)
    database = journalled(ws)
    path = f"brain_methods.{run.key}"
    with guarded():
        mine = _refer(database, record, {path: run.id}, {"$unset": {path: ""}})
        # Renamed meanwhile it is still in use, and without its document FiftyOne would call it corrupted.
        if mine:
            _erase(database, run.id, run.results)
    _refresh(run.dataset, run.key)
    return mine


def _document(raw: Mapping[str, Any], record: Record, key: str) -> RunDocument:
    return RunDocument(
        id=raw["_id"],
        dataset=record.name,
        dataset_id=record.id,
        key=key,
        version=raw.get("version"),
        timestamp=raw.get("timestamp"),
        config=raw.get("config") or {},
        results=raw.get("results"),
        facts=raw.get("results_meta") or {},
    )


def _refer(database: Any, record: Record, when: Mapping[str, Any], update: Mapping[str, Any]) -> bool:
    """Change a dataset's references when they still are as expected; says whether they were."""
    change = {**update, "$set": {**update.get("$set", {}), "last_modified_at": _now()}}
    answer = database["datasets"].update_one({"_id": record.id, **when}, change)
    return bool(answer.matched_count)


def _lost(ws: Workspace, record: Record, key: str) -> KitescopeError:
    if key in read(ws, record.name).runs:
        return InvalidInput(f"Dataset {record.name!r} has a run {key!r} already", "Choose another key")
    return _changed()


def _changed() -> KitescopeError:
    return KitescopeError("The run was deleted or changed by somebody else just now", "Look again")


def _erase(database: Any, run: ObjectId, results: ObjectId | None) -> None:
    database["runs"].delete_one({"_id": run})
    if results is not None:
        _files(database).delete(results)


def _files(database: Any) -> Any:
    import gridfs

    return gridfs.GridFS(database)


def _now() -> datetime:
    """FiftyOne's clock: naive UTC, in the milliseconds that BSON keeps."""
    now = datetime.now(UTC).replace(tzinfo=None)
    return now.replace(microsecond=now.microsecond // 1000 * 1000)


def _refresh(dataset: str, key: str) -> None:
    """Let a FiftyOne dataset that this process holds see the change: it caches its document and results."""
    fiftyone = sys.modules.get("fiftyone")
    instance = fiftyone.Dataset._instances.get(dataset) if fiftyone is not None else None
    if instance is not None and not instance.deleted:
        instance._brain_cache.pop(key, None)
        instance._doc.reload("brain_methods")

"""FiftyOne's datasets: list, look into, import, delete. What is in one is read through ``scopes``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from dataclasses import field as default
from typing import TYPE_CHECKING, Any

from tui.core import ledger
from tui.core.documents.dataset_import import IMPORT_TYPES, import_dataset
from tui.core.documents.mongo import guarded
from tui.core.documents.rows import decode_vector
from tui.core.documents.schema import LISTED, DatasetInfo, Field, Record, dataset_info, parse, read
from tui.core.documents.scopes import (
    Item,
    SampleInfo,
    count,
    field_vectors,
    items,
    present,
    require_pictures,
    sample_page,
    samples_by_id,
    scope_ids,
    scope_view,
)
from tui.core.documents.views import views_of
from tui.core.errors import KitescopeError
from tui.core.filling import leases
from tui.core.scope import Scope

if TYPE_CHECKING:
    from tui.core.documents.run_documents import RunDocument
    from tui.core.workspace import Workspace

__all__ = [
    "IMPORT_TYPES",
    "DatasetDetail",
    "DatasetInfo",
    "DeletedDataset",
    "EmbeddingsField",
    "FieldInfo",
    "Item",
    "SampleInfo",
    "Scope",
    "count",
    "dataset_detail",
    "delete_dataset",
    "field_vectors",
    "import_dataset",
    "items",
    "list_datasets",
    "load",
    "present",
    "require_pictures",
    "sample_page",
    "samples_by_id",
    "scope_ids",
    "scope_view",
]


@dataclass(frozen=True, slots=True)
class FieldInfo:
    """A field of the samples: its path and its type in a word."""

    path: str
    type: str


@dataclass(frozen=True, slots=True)
class EmbeddingsField:
    """A field that holds vectors; ``dim`` is that of the first one, None while there is none.

    ``patches_field`` is the label field it belongs to when the labels hold it, not the samples.
    """

    name: str
    dim: int | None
    patches_field: str | None = None


@dataclass(frozen=True, slots=True)
class DatasetDetail:
    """Everything worth choosing from in one dataset. Counts are of samples, or of labels per label.

    ``other_views`` are the saved views that do not consist of samples, each with what it consists of.
    """

    info: DatasetInfo
    fields: tuple[FieldInfo, ...]
    label_fields: Mapping[str, Mapping[str, int]]
    saved_views: tuple[str, ...]
    tags: Mapping[str, int]
    runs: tuple[str, ...]
    patches_fields: tuple[str, ...]
    embeddings_fields: tuple[EmbeddingsField, ...]
    slices: tuple[str, ...] = ()
    other_views: Mapping[str, str] = default(default_factory=dict)

    @property
    def sample_views(self) -> tuple[str, ...]:
        """The saved views that a part of the dataset can be chosen by."""
        return tuple(view for view in self.saved_views if view not in self.other_views)

    @property
    def left_out(self) -> str:
        """Why not every saved view is among them, in a sentence; empty when every one is."""
        others = list(self.other_views)
        if not others:
            return ""
        whose = f"Saved view {others[0]} is" if len(others) == 1 else f"{len(others):,} saved views are"
        held = " or ".join(sorted(set(self.other_views.values())))
        return f"{whose} left out: {'it holds' if len(others) == 1 else 'they hold'} {held}, not samples"


@dataclass(frozen=True, slots=True)
class DeletedDataset:
    """What went with a dataset: collections ``dropped``, and those ``kept`` with the reason."""

    name: str
    samples: int
    dropped: tuple[str, ...]
    kept: Mapping[str, str]


def list_datasets(ws: Workspace) -> list[DatasetInfo]:
    """The datasets that ``fo.list_datasets()`` shows, by name; counts are Mongo's own estimates.

    Raises:
        EngineUnreachable: the database does not answer.
    """
    projection = {"sample_fields": 0, "frame_fields": 0, "app_config": 0, "info": 0}
    with guarded():
        found = [parse(raw) for raw in ws.database()["datasets"].find(LISTED, projection)]
        return [dataset_info(ws, record) for record in sorted(found, key=lambda record: record.name)]


def dataset_detail(ws: Workspace, name: str) -> DatasetDetail:
    """Look into one dataset: counts every label and tag, so it takes a moment on a large one.

    Raises:
        UnknownName: there is no such dataset; near names are suggested.
    """
    record = read(ws, name)
    with guarded():
        samples = ws.database()[record.collection]
        views = views_of(ws, record)
        return DatasetDetail(
            info=dataset_info(ws, record),
            fields=tuple(FieldInfo(field.path, field.kind) for field in record.walk()),
            label_fields={field.path: _label_counts(samples, field) for field in record.label_fields()},
            saved_views=tuple(views),
            tags=_counts(samples, "tags", "tags"),
            runs=tuple(sorted(record.runs)),
            patches_fields=tuple(field.path for field in record.patches_fields()),
            embeddings_fields=_embeddings_fields(samples, record),
            slices=tuple(record.slices),
            other_views={name: held for name, held in views.items() if held},
        )


def load(ws: Workspace, name: str) -> Any:
    """The FiftyOne dataset, as it is in the database now.

    Raises:
        UnknownName: there is no such dataset; near names are suggested.
    """
    read(ws, name)
    return ws.fiftyone().load_dataset(name, reload=True)


def delete_dataset(ws: Workspace, name: str, with_collections: bool = False) -> DeletedDataset:
    """Delete a dataset, and on request the Milvus collections that its runs made.

    Collections go first, so that a Milvus that fails leaves runs that still name them. One that a run
    of another dataset names too (clones share them) is kept.

    Raises:
        ReadOnly: the profile forbids it.
        UnknownName: there is no such dataset.
        EngineUnreachable: Milvus does not answer; the dataset and its runs are still there, and the
            message names the collections that are not.
    """
    from tui.core.documents import run_documents

    ws.require_destroyable(f"delete dataset {name!r}")
    record = read(ws, name)
    samples = dataset_info(ws, record).samples
    mine, kept = _collections_of(name, run_documents.all_runs(ws))
    if with_collections:
        gone = {collection for collection in mine if not ws.milvus().exists(collection)}
        kept |= dict.fromkeys(gone, "it does not exist")
        dropped = _drop(ws, name, [collection for collection in mine if collection not in gone])
    else:
        dropped, kept = (), kept | dict.fromkeys(mine, "dropping it was not asked for")
    load(ws, name).delete()
    ledger.record(ws, "deleted dataset", name)
    return DeletedDataset(name, samples, dropped, kept)


def _collections_of(name: str, documents: Sequence[RunDocument]) -> tuple[list[str], dict[str, str]]:
    """The collections that only this dataset's runs name, and the shared ones with who shares them."""
    users: dict[str, set[str]] = {}
    for document in documents:
        if document.collection:
            users.setdefault(document.collection, set()).add(document.dataset)
    mine = sorted(collection for collection, datasets in users.items() if datasets == {name})
    shared = {c: sorted(datasets - {name}) for c, datasets in users.items() if {name} < datasets}
    return mine, {c: f"dataset {', '.join(map(repr, others))} uses it too" for c, others in shared.items()}


def _drop(ws: Workspace, dataset: str, collections: Sequence[str]) -> tuple[str, ...]:
    dropped: list[str] = []
    for collection in collections:
        try:
            with leases.hold(ws, [f"collection {collection}"], "dropping it with its dataset"):
                vectors = ws.milvus().describe(collection).vectors
                ws.milvus().drop(collection)
        except KitescopeError as error:
            if dropped:
                error.what += f"; dropped before that: {', '.join(dropped)}"
            raise
        dropped.append(collection)
        what = "dropped collection of dataset"
        ledger.record(ws, what, dataset, collection=collection, vectors=vectors)
    return tuple(dropped)


def _label_counts(samples: Any, field: Field) -> dict[str, int]:
    path = field.list_path or field.db_path
    return _counts(samples, field.list_path, f"{path}.label")


def _counts(samples: Any, unwind: str | None, path: str) -> dict[str, int]:
    stages: list[dict[str, Any]] = [{"$unwind": f"${unwind}"}] if unwind else []
    stages.append({"$match": {path: {"$ne": None}}})
    stages.append({"$group": {"_id": f"${path}", "n": {"$sum": 1}}})
    found = sorted(samples.aggregate(stages), key=lambda row: (-row["n"], str(row["_id"])))
    return {str(row["_id"]): int(row["n"]) for row in found}


def _embeddings_fields(samples: Any, record: Record) -> tuple[EmbeddingsField, ...]:
    patches = {field.path: field for field in record.patches_fields()}
    found = []
    for field in record.walk():
        if not _holds_vectors(field):
            continue
        owner = next((p for p in patches if field.path.startswith(p + ".")), None)
        found.append(EmbeddingsField(field.path, _dim(samples, field, patches.get(owner or "")), owner))
    return tuple(found)


# Arrays too, but of classes, pixels and corners: nobody means them by embeddings.
_OTHER_ARRAYS = (".logits", ".mask", ".map", ".bounding_box", ".points", ".attributes", ".support")


def _holds_vectors(field: Field) -> bool:
    if field.path.endswith(_OTHER_ARRAYS):
        return False
    of_floats = field.type == "ListField" and field.subfield == "FloatField"
    return field.type in ("VectorField", "ArrayField") or of_floats


def _dim(samples: Any, field: Field, owner: Field | None) -> int | None:
    unwind = [{"$unwind": f"${owner.list_path}"}] if owner and owner.list_path else []
    stages = [*unwind, {"$match": {field.db_path: {"$ne": None}}}, {"$limit": 1}]
    first = next(iter(samples.aggregate([*stages, {"$project": {"v": f"${field.db_path}"}}])), None)
    try:
        return len(decode_vector(first["v"])) if first else None
    except (ValueError, TypeError):
        return None

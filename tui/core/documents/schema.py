"""A dataset as FiftyOne wrote it down: its document and its fields, read without importing FiftyOne."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from dataclasses import field as default
from datetime import datetime
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from bson import DBRef, ObjectId

from tui.core.documents.mongo import guarded
from tui.core.errors import UnknownName

if TYPE_CHECKING:
    from tui.core.workspace import Workspace

# Label classes that hold a list of labels, and the attribute that holds it.
LABEL_LISTS: Mapping[str, str] = {
    "Classifications": "classifications",
    "Detections": "detections",
    "Keypoints": "keypoints",
    "Polylines": "polylines",
    "TemporalDetections": "detections",
}
LABELS = frozenset({*LABEL_LISTS, "Classification", "Detection", "Keypoint", "Polyline", "TemporalDetection"})
PATCHES = frozenset({"Detection", "Detections", "Polyline", "Polylines"})
# fo.list_datasets() shows exactly these; patches, clips and frames collections are generated ones.
LISTED = {"sample_collection_name": {"$regex": r"^samples\."}}


@dataclass(frozen=True, slots=True)
class DatasetInfo:
    """One line of the list. ``runs`` counts brain runs, ``last_modified`` is ISO 8601 in UTC."""

    name: str
    samples: int
    media_type: str
    runs: int
    persistent: bool
    last_modified: str | None


@dataclass(frozen=True, slots=True)
class Field:
    """One field of the samples.

    Attributes:
        path: its name for people, with dots.
        db_path: its name in the database, with dots; lists are passed through.
        type: FiftyOne's field class, such as ``StringField``.
        subfield: for lists and dicts, the class of the elements.
        document: for embedded documents (also in a list), their class, such as ``Detections``.
        children: the fields of the embedded document.
    """

    path: str
    db_path: str
    type: str
    subfield: str | None = None
    document: str | None = None
    children: tuple[Field, ...] = ()

    @property
    def is_label(self) -> bool:
        """Whether it holds a label or labels."""
        return self.type == "EmbeddedDocumentField" and self.document in LABELS

    @property
    def list_path(self) -> str | None:
        """For a label field with many labels per sample: the database path of the list."""
        name = LABEL_LISTS.get(self.document or "") if self.is_label else None
        return f"{self.db_path}.{name}" if name else None

    @property
    def kind(self) -> str:
        """The type in a word for people, such as ``string``, ``list of float`` or ``Detections``."""
        if self.type == "EmbeddedDocumentField":
            return self.document or "document"
        name = self.type.removesuffix("Field").lower()
        if self.subfield is None:
            return name
        inner = self.document or self.subfield.removesuffix("Field").lower()
        return f"{name} of {inner}"


@dataclass(frozen=True, slots=True)
class Record:
    """A dataset's document. ``collection`` holds the samples; ``runs`` maps brain keys to run documents.

    ``slices`` are those of a grouped dataset with the type of their media; ``group`` is the field that says
    which slice a sample is.
    """

    id: ObjectId
    name: str
    collection: str
    media_type: str
    persistent: bool
    last_modified: datetime | None
    fields: tuple[Field, ...]
    runs: Mapping[str, ObjectId]
    saved_views: tuple[ObjectId, ...]
    group: str | None = None
    slices: Mapping[str, str] = default(default_factory=dict)

    def field(self, path: str) -> Field | None:
        """The field of that path; the list inside a label field may be left out (``gt.label``)."""
        return _find(self.fields, path)

    def walk(self) -> Iterator[Field]:
        """Every public field, parents before children."""
        yield from _walk(self.fields)

    def label_fields(self) -> tuple[Field, ...]:
        """Top-level fields that hold labels."""
        return tuple(field for field in self.fields if field.is_label)

    def patches_fields(self) -> tuple[Field, ...]:
        """Top-level fields whose labels can be cut out as patches."""
        return tuple(field for field in self.label_fields() if field.document in PATCHES)


def read(ws: Workspace, name: str) -> Record:
    """Read a dataset's document.

    Raises:
        UnknownName: there is no such dataset; near names are suggested.
        EngineUnreachable: the database does not answer.
    """
    with guarded():
        found = ws.database()["datasets"].find_one({"name": name, **LISTED})
        if found is None:
            names = ws.database()["datasets"].distinct("name", LISTED)
            raise unknown("dataset", name, names)
    return parse(found)


def dataset_info(ws: Workspace, record: Record) -> DatasetInfo:
    """The line a list shows of a dataset; the number of samples is Mongo's own estimate."""
    modified = record.last_modified
    return DatasetInfo(
        name=record.name,
        samples=int(ws.database()[record.collection].estimated_document_count()),
        media_type=record.media_type,
        runs=len(record.runs),
        persistent=record.persistent,
        last_modified=modified.isoformat(timespec="seconds") + "Z" if modified else None,
    )


def unknown(what: str, name: str, known: list[str], see: str = "") -> UnknownName:
    """The error for a name that does not exist, suggesting near ones."""
    near = get_close_matches(name, known, n=3, cutoff=0.5)
    if near:
        remedy = "Close names: " + ", ".join(repr(n) for n in near)
    elif known:
        more = f", and {len(known) - 10:,} more" if known[10:] else ""
        remedy = "There are: " + ", ".join(repr(n) for n in sorted(known)[:10]) + more
    else:
        remedy = see or f"There is no {what} yet"
    return UnknownName(f"There is no {what} {name!r}", remedy)


def parse(document: Mapping[str, Any]) -> Record:
    """Make a record out of a raw document of FiftyOne's ``datasets`` collection."""
    return Record(
        id=document["_id"],
        name=document["name"],
        collection=document["sample_collection_name"],
        media_type=document.get("media_type") or "",
        persistent=bool(document.get("persistent")),
        last_modified=document.get("last_modified_at") or document.get("created_at"),
        fields=tuple(_field(raw, "", "") for raw in document.get("sample_fields") or () if _public(raw)),
        runs={key: reference(ref) for key, ref in (document.get("brain_methods") or {}).items()},
        saved_views=tuple(reference(ref) for ref in document.get("saved_views") or ()),
        group=document.get("group_field"),
        slices=document.get("group_media_types") or {},
    )


def reference(value: Any) -> ObjectId:
    """The id a reference holds, in the form that today's FiftyOne writes or that of older ones."""
    return value.id if isinstance(value, DBRef) else value


def _public(raw: Mapping[str, Any]) -> bool:
    return not str(raw["name"]).startswith("_")


def _short(name: str | None) -> str | None:
    return name.rsplit(".", 1)[-1] if name else None


def _field(raw: Mapping[str, Any], parent: str, db_parent: str) -> Field:
    path = parent + raw["name"]
    db_path = db_parent + (raw.get("db_field") or raw["name"])
    return Field(
        path=path,
        db_path=db_path,
        type=_short(raw.get("ftype")) or "Field",
        subfield=_short(raw.get("subfield")),
        document=_short(raw.get("embedded_doc_type")),
        children=tuple(_field(r, path + ".", db_path + ".") for r in raw.get("fields") or () if _public(r)),
    )


def _walk(fields: tuple[Field, ...]) -> Iterator[Field]:
    for field in fields:
        yield field
        yield from _walk(field.children)


def _find(fields: tuple[Field, ...], path: str) -> Field | None:
    for field in fields:
        if field.path == path:
            return field
        if not path.startswith(field.path + "."):
            continue
        found = _find(field.children, path)
        if found is None and field.list_path is not None:
            inner = LABEL_LISTS[field.document or ""]
            found = _find(field.children, f"{field.path}.{inner}{path[len(field.path) :]}")
        return found
    return None

"""The ids, pictures and vectors of a scope, read from FiftyOne's database in batches with flat memory."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from bson import ObjectId
from bson.errors import InvalidId

from tui.core.documents.mongo import guarded
from tui.core.documents.rows import decode_vector, id_rows
from tui.core.documents.schema import Field, Record, unknown
from tui.core.documents.selection import Selection, conditions, select
from tui.core.errors import InvalidInput
from tui.core.scope import Scope

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tui.core.documents.witness import Witness
    from tui.core.vision.images import Patch
    from tui.core.workspace import Workspace

Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Item:
    """One picture to embed: a file, and for a patch the box in it, relative (x, y, width, height)."""

    id: str
    sample_id: str
    filepath: str
    box: Box | Patch | None = None


@dataclass(frozen=True, slots=True)
class SampleInfo:
    """What a list or a grid shows of a sample or patch; ``label`` is a patch's own, or the sample's class."""

    id: str
    sample_id: str
    filepath: str
    label: str | None
    tags: tuple[str, ...]
    box: Box | None = None


def scope_ids(
    ws: Workspace, scope: Scope, batch_size: int = 5_000, *, any_slice: bool = False
) -> Iterator[tuple[list[str], list[str]]]:
    """Stream the ids in a scope as (ids, sample ids) batches, in dataset order.

    Dataset order is that of ``dataset.values("id")``, the order in which samples were added. For
    patches an id is the label's, and its sample follows in the second list; for samples both are equal.
    A consumer may take its time: a cursor that the database gave up on is opened again where it was.

    Args:
        any_slice: as for ``select``.

    Raises:
        KitescopeError: the dataset changed while it was being read so that the place is lost.
    """
    selection = select(ws, scope, any_slice=any_slice)
    for ids, samples in id_rows(ws, selection, batch_size):
        yield hex_ids(ids), hex_ids(samples) if selection.patches else hex_ids(ids)


def count(ws: Workspace, scope: Scope, field: str | None = None, *, any_slice: bool = False) -> int:
    """How many items a scope has; with ``field``, only those that have a value in that embeddings field.

    Args:
        any_slice: as for ``select``.
    """
    selection = select(ws, scope, any_slice=any_slice)
    stages = selection.rows()
    if field is not None:
        stages.append({"$match": {_vector_path(selection, field): {"$ne": None}}})
    collection = ws.database()[selection.collection]
    with guarded():
        if not stages:
            return int(collection.count_documents({}))
        found = list(collection.aggregate([*stages, {"$count": "n"}]))
    return int(found[0]["n"]) if found else 0


def items(
    ws: Workspace, scope: Scope, ids: Sequence[str], sample_ids: Sequence[str] | None = None
) -> list[Item]:
    """The pictures of some ids of a scope, in that order; ids that are gone are left out.

    Args:
        sample_ids: for patches, the samples of ``ids`` as ``scope_ids`` gave them: without them every
            sample has to be looked at.

    Raises:
        InvalidInput: the dataset's media are not images.
    """
    selection = select(ws, scope)
    require_pictures(selection.record)
    found = infos(ws, selection, ids, sample_ids)
    return [Item(i.id, i.sample_id, i.filepath, i.box) for i in (found.get(id) for id in ids) if i]


def require_pictures(record: Record) -> None:
    """Refuse a dataset of which no picture can be embedded.

    Raises:
        InvalidInput: its media are not images.
    """
    media = record.media_type
    if media == "video":
        raise InvalidInput(
            f"Dataset {record.name!r} holds videos, which are not embedded as they are",
            "Make a dataset of frames with dataset.to_frames(sample_frames=True).clone(NAME), or give a "
            "field or a file of vectors",
        )
    if media not in ("image", "group", ""):
        raise InvalidInput(
            f"Dataset {record.name!r} holds media of type {media!r}, which cannot be embedded as images",
            "Give a field or a file of vectors",
        )


def field_vectors(
    ws: Workspace,
    scope: Scope,
    field: str,
    ids: Sequence[str],
    sample_ids: Sequence[str] | None = None,
) -> tuple[list[str], NDArray[np.float32]]:
    """The vectors that an embeddings field holds for some ids of a scope.

    Args:
        field: a field of the samples, or for patches of their labels (``emb`` or ``gt.detections.emb``).
        sample_ids: as for ``items``.

    Returns:
        The ids that have a vector, in the order asked for, and their vectors as (n, dim).

    Raises:
        UnknownName: no such field.
        InvalidInput: vectors of several lengths.
    """
    selection = select(ws, scope)
    path = _vector_path(selection, field)
    stages = selection.rows(*_object_ids(ids, sample_ids))
    stages.append({"$project": {"_id": 0, "i": f"${selection.id_path}", "v": f"${path}"}})
    with guarded():
        rows = ws.database()[selection.collection].aggregate(stages)
        found = {str(row["i"]): decode_vector(row["v"]) for row in rows if row.get("v") is not None}
    kept = [id for id in ids if id in found]
    lengths = {id: len(found[id]) for id in kept}
    if len(set(lengths.values())) > 1:
        short, long = min(lengths, key=lengths.__getitem__), max(lengths, key=lengths.__getitem__)
        raise InvalidInput(
            f"Field {field!r} holds vectors of several lengths: {lengths[short]} ({short}), "
            f"{lengths[long]} ({long})",
            "Compute the field again with one model",
        )
    if not kept:
        return [], np.empty((0, 0), np.float32)
    return kept, np.stack([found[id] for id in kept]).astype(np.float32, copy=False)


def sample_page(ws: Workspace, scope: Scope, offset: int, limit: int) -> list[SampleInfo]:
    """Up to ``limit`` items of a scope from ``offset`` on, in dataset order; where grouped, of any slice."""
    selection = select(ws, scope, any_slice=True)
    stages = [*selection.rows(), {"$skip": offset}, {"$limit": limit}, {"$project": _projection(selection)}]
    with guarded():
        return [_info(row) for row in ws.database()[selection.collection].aggregate(stages)]


def samples_by_id(
    ws: Workspace, scope: Scope, ids: Sequence[str], sample_ids: Sequence[str] | None = None
) -> list[SampleInfo]:
    """What is shown of some ids of a scope, in that order; ids that are not in it are left out."""
    found = present(ws, scope, ids, sample_ids)
    return [found[id] for id in ids if id in found]


def present(
    ws: Workspace, scope: Scope, ids: Sequence[str], sample_ids: Sequence[str] | None = None
) -> dict[str, SampleInfo]:
    """Which of some ids are in a scope, and what is shown of them: one database query.

    In a grouped dataset they may be of any slice, as a run of stock FiftyOne does not say which it is of.
    """
    return infos(ws, select(ws, scope, any_slice=True), ids, sample_ids)


def scope_view(ws: Workspace, scope: Scope) -> Any:
    """The scope's samples as a FiftyOne view; for patches, with only the scope's labels in their field."""
    from tui.core.datasets import load

    selection = select(ws, scope)
    dataset = load(ws, scope.dataset)
    view = dataset.load_saved_view(scope.view) if scope.view else dataset.view()
    if scope.slices and view.media_type == "group":
        view = view.select_group_slices(list(scope.slices))
    if scope.tags:
        view = view.match_tags(list(scope.tags))
    of_samples, of_labels = conditions(
        selection.record, replace(scope, tags=(), slices=()), selection.patches
    )
    for match in of_samples:
        view = view.match(match)
    if scope.limit is not None:
        view = view.limit(scope.limit)
    if of_labels:
        field = ws.fiftyone().ViewField
        for path, value in of_labels.items():
            inner = path.removeprefix(selection.label_path + ".")
            for holds in _holding(field(inner), value):
                view = view.filter_labels(scope.patches_field, holds)
    return view


def _holding(field: Any, value: Any) -> list[Any]:
    """What a Mongo match of one field says, as FiftyOne's expressions."""
    if not isinstance(value, dict):
        return [field == value]
    said = {
        "$gte": lambda one: field >= one,
        "$lte": lambda one: field.exists() & (field <= one),
        "$in": field.is_in,
    }
    return [said[name](one) for name, one in value.items()]


def hex_ids(rows: NDArray[np.uint8]) -> list[str]:
    """Ids of 12 bytes each, (n, 12), as people write them."""
    text = np.ascontiguousarray(rows).tobytes().hex()
    return [text[i : i + 24] for i in range(0, len(text), 24)]


def _object_ids(
    ids: Sequence[str], sample_ids: Sequence[str] | None
) -> tuple[list[ObjectId], list[ObjectId] | None]:
    """Ids as the database has them; what is no id cannot be in it."""
    return _valid(ids), None if sample_ids is None else _valid(set(sample_ids))


def _valid(ids: Collection[str]) -> list[ObjectId]:
    try:
        return [ObjectId(id) for id in ids]
    except InvalidId:
        return [ObjectId(id) for id in ids if ObjectId.is_valid(id)]


def _vector_path(selection: Selection, name: str) -> str:
    """The database path of an embeddings field, after ``rows()``."""
    record, patches = selection.record, selection.patches
    if patches is None:
        field = record.field(name)
    else:
        field = record.field(name) if name.startswith(patches.path + ".") else None
        field = field or record.field(f"{patches.path}.{name}")
    if field is None:
        known = [f.path for f in record.walk() if f.type in ("VectorField", "ArrayField")]
        raise unknown("embeddings field", name, known)
    return field.db_path


def infos(
    ws: Workspace,
    selection: Selection,
    ids: Sequence[str],
    sample_ids: Sequence[str] | None,
    witness: Witness | None = None,
) -> dict[str, SampleInfo]:
    """``present`` for a scope that is compiled already; ``witness`` looks along, in the same query."""
    if selection.patches is None:
        sample_ids = None  # they are the ids
    stages = [*selection.rows(*_object_ids(ids, sample_ids)), {"$project": _projection(selection)}]
    if witness is not None:
        stages += witness.questions()
    with guarded():
        rows: Iterable[Mapping[str, Any]] = ws.database()[selection.collection].aggregate(stages)
        found = [_info(row) for row in (witness.hear(rows) if witness is not None else rows)]
    return {info.id: info for info in found}


def _projection(selection: Selection) -> dict[str, Any]:
    shown = {"_id": 1, "filepath": 1}
    if selection.patches is None:
        field = _class_field(selection.record)
        label = {"label": f"${field.db_path}.label"} if field else {}
        return {**shown, "tags": 1, **label}
    at = f"${selection.label_path}"
    return {
        **shown,
        "id": f"{at}._id",
        "label": f"{at}.label",
        "tags": f"{at}.tags",
        "box": f"{at}.bounding_box",
        "points": f"{at}.points",
    }


def _class_field(record: Record) -> Field | None:
    """The field that says what a sample is: ``ground_truth``, or else the first classification."""
    fields = [field for field in record.fields if field.document == "Classification"]
    return next((f for f in fields if f.path == "ground_truth"), fields[0] if fields else None)


def _info(row: Mapping[str, Any]) -> SampleInfo:
    sample = str(row["_id"])
    return SampleInfo(
        id=str(row.get("id", sample)),
        sample_id=sample,
        filepath=row.get("filepath") or "",
        label=row.get("label"),
        tags=tuple(row.get("tags") or ()),
        box=_box(row),
    )


def _box(row: Mapping[str, Any]) -> Box | None:
    """A detection's box, or the smallest around a polyline's points."""
    box = row.get("box")
    if box and len(box) == 4:
        return (float(box[0]), float(box[1]), float(box[2]), float(box[3]))
    points = [point for line in row.get("points") or () for point in line]
    if not points:
        return None
    left, top = min(p[0] for p in points), min(p[1] for p in points)
    right, bottom = max(p[0] for p in points), max(p[1] for p in points)
    return (float(left), float(top), float(right - left), float(bottom - top))

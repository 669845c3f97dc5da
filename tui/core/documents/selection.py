"""From a scope (which images or patches of a dataset) to the Mongo pipeline that reads them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from bson import ObjectId

from tui.core.documents.schema import Field, Record, read, unknown
from tui.core.documents.views import Pipeline, Stage, saved_view
from tui.core.errors import InvalidInput
from tui.core.scope import Scope

if TYPE_CHECKING:
    from tui.core.workspace import Workspace

# What a path ends with when ``FIELD>=VALUE`` or ``FIELD<=VALUE`` was split at its equals sign.
_BOUNDS = {">": "$gte", "<": "$lte"}
_TRUE, _FALSE = frozenset({"true", "yes", "1"}), frozenset({"false", "no", "0"})


@dataclass(frozen=True, slots=True)
class Selection:
    """A scope, compiled.

    Attributes:
        record: the dataset.
        samples: selects the samples.
        patches: the label field when the items are patches.
        label_match: what each label of it must match, by database path.
    """

    record: Record
    samples: Pipeline
    patches: Field | None = None
    label_match: Mapping[str, Any] | None = None

    @property
    def collection(self) -> str:
        """The Mongo collection of the dataset's samples."""
        return self.samples.collection

    @property
    def label_path(self) -> str:
        """Database path of one label, after ``rows()``."""
        assert self.patches is not None
        return self.patches.list_path or self.patches.db_path

    @property
    def id_path(self) -> str:
        """Database path of an item's id, after ``rows()``."""
        return f"{self.label_path}._id" if self.patches else "_id"

    def rows(
        self, ids: Sequence[ObjectId] | None = None, samples: Sequence[ObjectId] | None = None
    ) -> list[Stage]:
        """The pipeline that gives one document per item, in dataset order.

        Args:
            ids: only these items, and no order.
            samples: for patches, the samples that hold ``ids``, when known: an index finds them then.
        """
        if ids is None:
            stages = list(self.samples.stages)
        elif self.samples.each and (self.patches is None or samples is not None):
            stages = [{"$match": _wanted(self, ids, samples)}, *self.samples.asking]
        else:
            stages = [*self.samples.stages, {"$match": _wanted(self, ids, samples)}]
        if self.patches is None:
            return stages
        if self.patches.list_path:
            stages.append({"$unwind": f"${self.label_path}"})
        if self.label_match:
            stages.append({"$match": self.label_match})
        if ids is not None:
            stages.append({"$match": {self.id_path: {"$in": list(ids)}}})
        return stages


def select(
    ws: Workspace, scope: Scope, *, any_slice: bool = False, record: Record | None = None
) -> Selection:
    """Compile a scope.

    Args:
        any_slice: let a grouped dataset be the files of all its slices, each a sample of its own.
        record: the dataset, when the caller has read it already.

    Raises:
        UnknownName: no such dataset, saved view or field.
        InvalidInput: a value that its field cannot have, or a dataset that has to be prepared first.
    """
    record = record or read(ws, scope.dataset)
    _check_slices(record, scope, any_slice)
    patches = _patches(record, scope.patches_field)
    pipeline = saved_view(ws, record, scope.view) if scope.view else Pipeline(record.collection)
    of_samples, of_labels = conditions(record, scope, patches)
    more: list[Stage] = [{"$match": match} for match in of_samples]
    if scope.limit is not None:
        if scope.limit < 1:
            raise InvalidInput(f"The limit is {scope.limit}", "Give a limit of at least 1")
        more.append({"$limit": scope.limit})
    return Selection(record, pipeline.then(more), patches, of_labels or None)


def conditions(
    record: Record, scope: Scope, patches: Field | None
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """What a scope's slices, tags and ``where`` ask, as Mongo matches: of each sample, and of each label."""
    of_samples: list[dict[str, Any]] = []
    of_labels: dict[str, Any] = {}
    if scope.slices:
        of_samples.append({f"{record.group}.name": {"$in": list(scope.slices)}})
    if scope.tags:
        of_samples.append({"tags": {"$in": list(scope.tags)}})
    for path, text in scope.where:
        bound = _BOUNDS.get(path[-1:])
        field = _target(record, path[:-1] if bound else path)
        value = _bounded(field, bound, text) if bound else _typed(field, text)
        if patches is not None and (field.path + ".").startswith(patches.path + "."):
            before = of_labels.get(field.db_path)
            both = {**before, **value} if isinstance(before, dict) and isinstance(value, dict) else value
            of_labels[field.db_path] = both
        else:
            of_samples.append({field.db_path: value})
    return of_samples, of_labels


def _bounded(field: Field, bound: str, text: str) -> dict[str, Any]:
    value = _typed(field, text)
    if isinstance(value, bool) or not isinstance(value, (int, float, datetime)):
        raise InvalidInput(
            f"Field {field.path!r} holds no numbers and no dates, so nothing is more or less",
            f"Give one value: {field.path}=VALUE",
        )
    return {bound: value}


def _check_slices(record: Record, scope: Scope, any_slice: bool) -> None:
    names = ", ".join(repr(name) for name, media in record.slices.items() if media == "image")
    if record.media_type == "group" and scope.view is None and not scope.slices and not any_slice:
        raise InvalidInput(
            f"Dataset {record.name!r} is grouped, so one sample is several files",
            f"Choose slices of it (--slice), or a saved view of one: {names or 'none holds images'}",
        )
    for name in scope.slices:
        if name not in record.slices:
            known = list(record.slices)
            raise unknown("slice", name, known, f"Dataset {record.name!r} is not grouped")
        if (media := record.slices[name]) != "image":
            raise InvalidInput(
                f"Slice {name!r} holds media of type {media!r}, not images",
                f"Choose others: {names or 'none holds images'}",
            )


def _patches(record: Record, name: str | None) -> Field | None:
    if name is None:
        return None
    allowed = {field.path: field for field in record.patches_fields()}
    if name in allowed:
        return allowed[name]
    if record.field(name) is None:
        raise unknown(
            "patches field", name, list(allowed), f"Dataset {record.name!r} has no field with boxes"
        )
    raise InvalidInput(
        f"Field {name!r} has no boxes to cut patches from",
        "Fields with boxes: " + (", ".join(map(repr, allowed)) or "none"),
    )


def _target(record: Record, path: str) -> Field:
    """The field that ``where`` compares: a label field stands for its label."""
    field = record.field(path)
    if field is not None and field.is_label:
        field = record.field(f"{path}.label") or field
    if field is None:
        names = [f.path for f in record.walk()]
        raise unknown("field", path, names)
    if field.type == "EmbeddedDocumentField" or field.document:
        inside = ", ".join(repr(child.path) for child in field.children[:8])
        raise InvalidInput(f"Field {path!r} holds a whole document", f"Name a field in it: {inside}")
    return field


def _typed(field: Field, text: str) -> Any:
    """The value as its field stores it.

    Raises:
        InvalidInput: the field cannot have that value.
    """
    kind = field.subfield if field.type == "ListField" and field.subfield else field.type
    try:
        if kind in ("IntField", "FrameNumberField"):
            return int(text)
        if kind == "FloatField":
            return _finite(text)
        if kind == "BooleanField":
            return _boolean(text)
        if kind == "ObjectIdField":
            ids = [ObjectId(part) for part in text.split(",")]
            return ids[0] if len(ids) == 1 else {"$in": ids}
        if kind in ("DateField", "DateTimeField"):
            return _utc(text)
    except Exception as error:
        raise InvalidInput(
            f"{text!r} is no value for {field.path!r}, which is a {kind.removesuffix('Field').lower()}",
            f"Give a {kind.removesuffix('Field').lower()}",
        ) from error
    if kind in ("VectorField", "ArrayField", "DictField", "Field"):
        raise InvalidInput(f"Field {field.path!r} is a {field.kind} and cannot be compared with a value")
    return text


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(text)
    return value


def _boolean(text: str) -> bool:
    if text.lower() not in _TRUE | _FALSE:
        raise ValueError(text)
    return text.lower() in _TRUE


def _utc(text: str) -> datetime:
    """FiftyOne stores dates as naive UTC."""
    value = datetime.fromisoformat(text)
    return value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value


def _wanted(
    selection: Selection, ids: Sequence[ObjectId], samples: Sequence[ObjectId] | None
) -> dict[str, Any]:
    within = selection.samples.within if selection.samples.each else list
    if selection.patches is None:
        return {"_id": {"$in": within(ids)}}
    if samples is not None:
        return {"_id": {"$in": within(samples)}}
    return {selection.id_path: {"$in": list(ids)}}

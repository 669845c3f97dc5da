"""Everything one sample says about itself: its fields in words, and its labels as what can be drawn."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

from bson import ObjectId

from tui.core.documents.label import Label, Point
from tui.core.documents.mongo import guarded
from tui.core.documents.schema import LABELS, Field, Record, read
from tui.core.documents.scopes import Box

if TYPE_CHECKING:
    from tui.core.workspace import Workspace

MOST_LABELS = 300
"""More on one picture could not be told apart."""
_MOST_TEXT = 200
# Told elsewhere, or of no use to people.
_SKIPPED = frozenset({"id", "filepath", "tags", "created_at", "last_modified_at"})
# Masks and numbers say nothing to narrow or count by, but they can be shown.
_SHOWN = LABELS | {"Segmentation", "Heatmap", "Regression"}
_WORDS = (str, bool, int, float, date)


@dataclass(frozen=True, slots=True)
class SampleDetail:
    """A sample's plain fields as (name, words), its labels, and how many more labels were left out."""

    sample_id: str
    fields: tuple[tuple[str, str], ...] = ()
    labels: tuple[Label, ...] = ()
    left_out: int = 0


def sample_detail(ws: Workspace, dataset: str, sample_id: str) -> SampleDetail:
    """Read one sample; one that is gone says nothing.

    Raises:
        UnknownName: there is no such dataset.
        EngineUnreachable: the database does not answer.
    """
    record = read(ws, dataset)
    if not ObjectId.is_valid(sample_id):
        return SampleDetail(sample_id)
    of_labels = [field for field in record.fields if _holds_labels(field)]
    wanted = {field.db_path: 1 for field in (*of_labels, *_plain_fields(record))}
    with guarded():
        found = ws.database()[record.collection].find_one({"_id": ObjectId(sample_id)}, {"_id": 1, **wanted})
    if found is None:
        return SampleDetail(sample_id)
    labels = [label for field in of_labels for label in _labels(field, found.get(field.db_path))]
    words = [(field.path, _spoken(found.get(field.db_path))) for field in _plain_fields(record)]
    return SampleDetail(
        sample_id,
        tuple((name, text) for name, text in words if text),
        tuple(labels[:MOST_LABELS]),
        max(len(labels) - MOST_LABELS, 0),
    )


def _holds_labels(field: Field) -> bool:
    return field.type == "EmbeddedDocumentField" and field.document in _SHOWN


def _plain_fields(record: Record) -> list[Field]:
    unread = ("VectorField", "ArrayField")
    return [
        field
        for field in record.fields
        if field.path not in _SKIPPED
        and not _holds_labels(field)
        and field.type not in unread
        and not (field.type == "ListField" and field.subfield == "FloatField")
    ]


def _spoken(value: Any) -> str:
    """A value in words: documents and lists as far as their values are plain."""
    if value is None or value == "":
        return ""
    if isinstance(value, Mapping):
        inner = ((name, _spoken(one)) for name, one in value.items() if not name.startswith("_"))
        text = " · ".join(f"{name} {words}" for name, words in inner if words)
    elif isinstance(value, (list, tuple)):
        text = ", ".join(filter(None, map(_spoken, value[:20]))) + (" …" if len(value) > 20 else "")
    elif isinstance(value, float):
        text = f"{value:.6g}"
    elif isinstance(value, (*_WORDS, ObjectId)):
        text = str(value)
    else:
        return ""
    return text if len(text) <= _MOST_TEXT else text[: _MOST_TEXT - 1] + "…"


def _labels(field: Field, value: Any) -> Iterator[Label]:
    """The labels of one field; what is not as FiftyOne writes it is passed over."""
    if not isinstance(value, Mapping):
        return
    name = (field.list_path or "").rpartition(".")[2]
    for one in (value.get(name) or ()) if name else (value,):
        if isinstance(one, Mapping):
            label = _label(field, one)
            if label.name or label.is_drawn:
                yield label


def _label(field: Field, raw: Mapping[str, Any]) -> Label:
    heat = _heat(raw.get("range")) if field.document == "Heatmap" else None
    mask, path = (
        (raw.get("mask"), raw.get("mask_path")) if heat is None else (raw.get("map"), raw.get("map_path"))
    )
    keypoint = "Keypoint" in (field.document or "")
    lines, confidence = raw.get("points") or (), raw.get("confidence")
    return Label(
        field=field.path,
        name=_name(raw),
        confidence=float(confidence) if isinstance(confidence, (int, float)) else None,
        id=str(raw.get("_id", "")),
        box=_box(raw.get("bounding_box")),
        lines=() if keypoint else tuple(filter(None, map(_points, lines))),
        closed=bool(raw.get("closed") or raw.get("filled")),
        points=_points(lines) if keypoint else (),
        mask=bytes(mask) if isinstance(mask, bytes) else None,
        mask_path=path if isinstance(path, str) else None,
        heat=heat,
    )


def _name(raw: Mapping[str, Any]) -> str:
    name, value = raw.get("label"), raw.get("value")
    if name is None and isinstance(value, (int, float)):
        return f"{value:.6g}"
    return "" if name is None else str(name)


def _box(raw: Any) -> Box | None:
    if not isinstance(raw, Sequence) or len(raw) != 4 or not all(map(_finite, raw)):
        return None
    return (float(raw[0]), float(raw[1]), float(raw[2]), float(raw[3]))


def _heat(raw: Any) -> tuple[float | None, float | None]:
    if isinstance(raw, Sequence) and len(raw) == 2 and all(map(_finite, raw)):
        return float(raw[0]), float(raw[1])
    return None, None


def _points(raw: Any) -> tuple[Point, ...]:
    """Points; one that is missing (NaN, as FiftyOne writes it) is left out."""
    if not isinstance(raw, Sequence):
        return ()
    return tuple(
        (float(one[0]), float(one[1]))
        for one in raw
        if isinstance(one, Sequence) and len(one) == 2 and all(map(_finite, one))
    )


def _finite(value: Any) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value) and abs(value) < 1e6

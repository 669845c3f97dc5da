"""Saved views as Mongo pipelines: to read their samples, and to ask which of some samples are in them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial, reduce
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
from bson import ObjectId

from tui.core.documents.mongo import guarded
from tui.core.documents.schema import Record, unknown
from tui.core.errors import InvalidInput

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tui.core.workspace import Workspace

Stage = Mapping[str, Any]

VERSION = {"name": 1, "last_modified_at": 1}
"""What of a saved view's document tells it from what it was."""

# Stages that decide about each sample alone: asking "which of these ids" may then come first.
_EACH = frozenset({"$match", "$project", "$addFields", "$set", "$unset", "$sort", "$lookup"})
# The field by which FiftyOne puts selected samples into the order in which they were selected.
_ORDER = "_select_order"
_REMEMBERED = 16
# FiftyOne's stages after which a view no longer consists of the dataset's samples, or does so again.
_GENERATE = {
    "ToPatches": "patches",
    "ToEvaluationPatches": "patches",
    "ToClips": "clips",
    "ToTrajectories": "clips",
    "ToFrames": "frames",
}
_REGROUP = ("GroupBy", "SelectGroupSlices", "Flatten")
# A selection of samples is a stage of megabytes, which is none of these.
_TELLING = {
    "$filter": {
        "input": "$view_stages",
        "cond": {
            "$regexMatch": {
                "input": "$$this",
                "regex": rf'^\{{"_cls": "[^"]*\.({"|".join((*_GENERATE, *_REGROUP))})"',
            }
        },
    }
}


@dataclass(frozen=True)
class Pipeline:
    """Stages that select samples of a dataset, from the Mongo collection of that name, after ``head``'s."""

    collection: str
    own: tuple[Stage, ...] = ()
    head: Pipeline | None = None

    def then(self, stages: Sequence[Stage]) -> Pipeline:
        """This pipeline with some more stages; what is known of this one is not worked out again."""
        return Pipeline(self.collection, tuple(stages), self) if stages else self

    @property
    def stages(self) -> tuple[Stage, ...]:
        """All stages."""
        return (*self.head.stages, *self.own) if self.head else self.own

    @cached_property
    def each(self) -> bool:
        """Whether the stages judge each sample alone."""
        own = all(next(iter(stage)) in _EACH for stage in self.own)
        return own and (self.head is None or self.head.each)

    @cached_property
    def asking(self) -> tuple[Stage, ...]:
        """For ``each``: what else to ask of a sample that ``within`` let pass; no order, no lists of ids."""
        kept = [s for s in self.own if _named(s) is None and "$sort" not in s and not _orders(s)]
        return (*(self.head.asking if self.head else ()), *kept)

    @cached_property
    def _members(self) -> NDArray[np.bytes_] | None:
        """The ids that the stages name one by one, sorted: 12 bytes each."""
        sets = [np.unique(_packed(named)) for s in self.own if (named := _named(s)) is not None]
        if self.head is not None and self.head._members is not None:
            sets.append(self.head._members)
        if not sets:
            return None
        return reduce(partial(np.intersect1d, assume_unique=True), sets)

    def within(self, ids: Sequence[ObjectId]) -> list[ObjectId]:
        """Those that the stages name, if they name any: sending the names each time would cost most."""
        members = self._members
        if members is None or not ids:
            return list(ids)
        if not len(members):
            return []
        wanted = _packed(ids)
        at = np.minimum(np.searchsorted(members, wanted), len(members) - 1)
        return [id for id, found in zip(ids, members[at] == wanted, strict=True) if found]


def _packed(ids: Iterable[ObjectId]) -> NDArray[np.bytes_]:
    return np.frombuffer(b"".join(id.binary for id in ids), dtype="S12")


def _named(stage: Stage) -> list[ObjectId] | None:
    """The ids of a stage that lets nothing but these pass, as FiftyOne's ``select`` makes it."""
    match = stage.get("$match")
    if not isinstance(match, Mapping) or set(match) != {"_id"}:
        return None
    wanted = match["_id"]
    if not isinstance(wanted, Mapping) or set(wanted) != {"$in"}:
        return None
    ids = wanted["$in"]
    return ids if all(isinstance(id, ObjectId) for id in ids) else None


def _orders(stage: Stage) -> bool:
    return any(set(stage.get(name) or ()) == {_ORDER} for name in ("$addFields", "$project"))


def views_of(ws: Workspace, record: Record) -> dict[str, str]:
    """A dataset's saved views by name, each with what it consists of; empty where that is samples.

    None is loaded for that: FiftyOne would cut out every patch of a view of patches.
    """
    stages = [
        {"$match": {"_id": {"$in": list(record.saved_views)}}},
        {"$project": {"name": 1, "telling": _TELLING}},
        {"$sort": {"name": 1}},
    ]
    with guarded():
        found = list(ws.database()["views"].aggregate(stages))
    return {view["name"]: _held(record, [json.loads(stage) for stage in view["telling"]]) for view in found}


def _held(record: Record, telling: Iterable[Stage]) -> str:
    """What a view consists of, by the stages that tell: a word, or nothing for samples."""
    held = whole = "groups" if record.media_type == "group" else ""
    for stage in telling:
        name = stage["_cls"].rpartition(".")[2]
        flat = dict(stage["kwargs"]).get("flat")
        if name in _GENERATE:
            return _GENERATE[name]
        if name == "Flatten":
            held = whole
        elif name == "GroupBy":
            held = "" if flat else "groups"
        elif flat is not False:
            held = ""
    return held


_views: dict[tuple[Any, ...], Pipeline] = {}
_views_lock = Lock()


def saved_view(ws: Workspace, record: Record, name: str) -> Pipeline:
    """The pipeline of a saved view, remembered until the view or the dataset changes.

    Raises:
        UnknownName: the dataset has no such saved view.
        InvalidInput: the view does not consist of the dataset's samples.
    """
    # A selection of 50,000 samples is a document of 2 MB: its version is looked at before it is read.
    known = {"_id": {"$in": list(record.saved_views)}}
    with guarded():
        found = list(ws.database()["views"].find(known, VERSION))
    by_name = {view["name"]: view for view in found}
    if name not in by_name:
        raise unknown("saved view", name, list(by_name), "Save one with dataset.save_view(NAME, view)")
    key = (by_name[name]["_id"], by_name[name].get("last_modified_at"), record.last_modified)
    with _views_lock:
        if key in _views:
            return _views[key]
    made = _compile(ws, record, name)
    with _views_lock:
        while len(_views) >= _REMEMBERED:
            del _views[next(iter(_views))]
        _views[key] = made
    return made


def _compile(ws: Workspace, record: Record, name: str) -> Pipeline:
    fiftyone = ws.fiftyone()
    dataset = fiftyone.load_dataset(record.name, reload=True)
    view = dataset.load_saved_view(name)
    if view._dataset is not view._root_dataset:
        raise InvalidInput(
            f"Saved view {name!r} consists of {_generated(view)}, not of samples",
            "Give a saved view of samples; for patches give their label field beside it",
        )
    if view.media_type == "group":
        raise InvalidInput(
            f"Saved view {name!r} is grouped, so one sample is several files",
            "Save a view of one slice with view.select_group_slices(SLICE)",
        )
    return Pipeline(view._dataset._sample_collection_name, tuple(view._pipeline()))


def _generated(view: Any) -> str:
    return "patches" if view._is_patches else "clips" if view._is_clips else "frames"

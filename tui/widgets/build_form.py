"""The form of a build: every option there is, and the specification it amounts to."""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

from tui.core.client.index_types import HNSW_DEFAULT, LITE_TYPES, IndexSpec, Metric
from tui.core.files import expanded
from tui.core.indexes import BuildSpec, Crop, Source
from tui.core.models import absolute
from tui.core.scope import Scope
from tui.widgets.build_fields import (
    OF_VIEW,
    index_fields,
    pairs,
    scope_fields,
    source_fields,
    words,
    work_fields,
)
from tui.widgets.form import Form

if TYPE_CHECKING:
    from tui.core.datasets import DatasetDetail
    from tui.core.settings import Settings

_SERVER_TYPES = ("HNSW", "AUTOINDEX", "FLAT", "IVF_FLAT", "IVF_SQ8", "IVF_PQ", "SCANN", "DISKANN")
_OF_SOURCE: Mapping[str, tuple[str, ...]] = {
    "built-in": ("workers",),
    "model": ("model", "workers", "device", "precision", "decode"),
    "field": ("field", "made_by"),
    "file": ("embeddings", "ids", "made_by"),
}

_OF_PATCHES = ("alpha", "square")
_EMPTY = ("alpha", "model", "made_by", "embeddings", "ids", "nlist", "params", "batch_size", "workers")


class BuildForm(Form):
    """What to index, where vectors come from, the index, and how to work."""

    def __init__(self, settings: Settings, *, id: str | None = None) -> None:
        super().__init__(*scope_fields(), *source_fields(), *index_fields(settings), *work_fields(), id=id)
        self._defaults = {name: str(value.value or "") for name, value in settings.defaults.items()}
        self._detail: DatasetDetail | None = None
        self._key_is_ours = True

    # What there is to choose from

    def offer_datasets(self, names: Sequence[str], chosen: str | None) -> None:
        """The datasets to choose from."""
        empty = [("", "choose one")] if chosen is None else []
        self.choice("dataset").options([*empty, *((name, name) for name in names)], chosen or "")

    def offer(self, detail: DatasetDetail | None) -> None:
        """What the chosen dataset has; None while it is being read."""
        self._detail = detail
        patches = detail.patches_fields if detail else ()
        views = detail.sample_views if detail else ()
        self.choice("patches").options([("", "whole images"), *((name, name) for name in patches)])
        self.choice("view").options([("", "every sample"), *((name, name) for name in views)])
        self["view"].note("", (detail and detail.left_out) or OF_VIEW)
        self.offer_fields()

    def offer_fields(self) -> None:
        """The fields of vectors that fit the chosen patches."""
        of = self["patches"].value or None
        found = (
            [one for one in self._detail.embeddings_fields if one.patches_field == of] if self._detail else []
        )
        self.choice("field").options(
            [(one.name, f"{one.name} ({one.dim or 'empty'})") for one in found], self["field"].value
        )

    def offer_index_types(self, *, lite: bool) -> None:
        """The index types of the Milvus in use."""
        types = LITE_TYPES if lite else _SERVER_TYPES
        ordered = sorted(types, key=lambda name: (name != "HNSW", name != "AUTOINDEX"))
        self.choice("type").options([(name, name) for name in ordered])
        self.show_used()

    def put_scope(self, scope: Scope | None) -> None:
        """Take over the part that was chosen elsewhere."""
        self["dataset"].put(scope.dataset if scope else "")
        self["patches"].put((scope and scope.patches_field) or "")
        self["view"].put((scope and scope.view) or "")
        self["tags"].put(shlex.join(scope.tags) if scope else "")
        self["where"].put(shlex.join(f"{path}={value}" for path, value in scope.where) if scope else "")
        self["limit"].put(str(scope.limit) if scope and scope.limit else "")
        self["slices"].put(shlex.join(scope.slices) if scope else "")
        self.show_used()

    def put_defaults(self) -> None:
        """Every field as it was at the start, but for the dataset."""
        dataset = self["dataset"].value
        self.put_scope(Scope(dataset) if dataset else None)
        for name in _EMPTY:
            self[name].put("")
        self["source"].put("built-in")
        self["collection"].put(self._defaults["collection_name"])
        self["metric"].put(self._defaults["metric"])
        self["consistency"].put(self._defaults["consistency_level"])
        self["type"].put("HNSW")
        self["M"].put(str(HNSW_DEFAULT["M"]))
        self["efConstruction"].put(str(HNSW_DEFAULT["efConstruction"]))
        for name in ("device", "precision", "decode"):
            self[name].put("auto")
        for name in ("square", "overwrite"):
            self[name].put("no")
        self._key_is_ours = True
        self.offer_fields()
        self.show_used()

    # What belongs together

    def show_used(self) -> None:
        """Show the fields that the source and the index type have a use for."""
        used = _OF_SOURCE[self["source"].value]
        for name in {name for names in _OF_SOURCE.values() for name in names}:
            self[name].display = name in used
        kind = self["type"].value
        for name in ("M", "efConstruction"):
            self[name].display = kind.startswith("HNSW")
        slices = self._detail.slices if self._detail else ()
        self["slices"].display = bool(slices)
        self.text("slices").placeholder(" ".join(slices))
        for name in _OF_PATCHES:
            self[name].display = bool(self["patches"].value) and self["source"].value not in ("field", "file")
        self["nlist"].display = kind.startswith("IVF") or kind == "SCANN"
        self["params"].display = kind not in ("FLAT", "AUTOINDEX")

    def changed(self, key: str) -> None:
        """Follow what the user did to one field."""
        if key == "key":
            self._key_is_ours = not self["key"].value
        if key == "patches":
            self.offer_fields()
        if key in ("source", "type", "patches"):
            self.show_used()

    def take_model(self, name: str) -> None:
        """A model was chosen from the list: what embeds, or what made the vectors that are there."""
        there = self["source"].value in ("field", "file")
        if not there:
            self["source"].put("model")
            self.changed("source")
        field = "made_by" if there else "model"
        self[field].put(name)
        self.go_to(field)

    def suggest_key(self, taken: Collection[str]) -> None:
        """Name the index after its source, as long as the user did not name it."""
        if self._key_is_ours and self["key"].value != (name := self._own_key(taken)):
            self["key"].put(name)

    def _own_key(self, taken: Collection[str]) -> str:
        source = self["source"].value
        of = {"built-in": "descriptor", "model": self["model"].value, "field": self["field"].value}
        stem = of.get(source) or Path(self["embeddings"].value).stem
        name = re.sub(r"\W+", "_", f"{self['patches'].value} {stem}".strip()).strip("_").lower() or "index"
        name = name if name.isidentifier() else f"i_{name}"
        numbers = ("", *(f"_{number}" for number in range(2, 1000)))
        return next(name + number for number in numbers if name + number not in taken)

    # What it amounts to

    def scope(self) -> Scope:
        """The part to index; the form must be right."""
        return Scope(
            self["dataset"].value,
            self["patches"].value or None,
            view=self["view"].value or None,
            tags=tuple(words(self["tags"].value)),
            where=pairs(self["where"].value),
            limit=_number(self["limit"].value),
            slices=tuple(words(self["slices"].value)) if self["slices"].display else (),
        )

    def source(self) -> Source:
        """Where the vectors come from."""
        kind = self["source"].value
        if kind == "model":
            return Source(model=absolute(self["model"].value.strip()))
        made_by = absolute(self["made_by"].value.strip()) or None
        if kind == "field":
            return Source(made_by, self["field"].value)
        if kind == "file":
            ids = self["ids"].value
            return Source(made_by, None, _path(self["embeddings"].value), _path(ids) if ids else None)
        return Source()

    def crop(self) -> Crop:
        """How patches are cut out."""
        alpha = self["alpha"].value if self["alpha"].display else ""
        square = self["square"].display and self["square"].value == "yes"
        return Crop(float(alpha) if alpha else None, square)

    def index(self) -> IndexSpec:
        """The index and its parameters, those of the fields that are shown."""
        named = {name: self[name].value for name in ("M", "efConstruction", "nlist") if self[name].display}
        more = dict(pairs(self["params"].value)) if self["params"].display else {}
        params = {name: _value(value) for name, value in {**named, **more}.items() if value}
        return IndexSpec(self["type"].value, params)

    def spec(self) -> BuildSpec:
        """The specification; the form must be right."""
        model = self["source"].value == "model"
        return BuildSpec(
            scope=self.scope(),
            brain_key=self["key"].value,
            source=self.source(),
            collection=self["collection"].value or None,
            metric=cast("Metric", self["metric"].value),
            consistency_level=self["consistency"].value,
            index=self.index(),
            batch_size=_number(self["batch_size"].value),
            workers=_number(self["workers"].value) if self["workers"].display else None,
            device=self["device"].value if model else "auto",
            precision=self["precision"].value if model else "auto",
            decode=self["decode"].value if model else "auto",
            overwrite=self["overwrite"].value == "yes",
            crop=self.crop(),
        )


def _number(text: str) -> int | None:
    return int(text) if text else None


def _value(text: str) -> int | float | str:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _path(text: str) -> str:
    return str(expanded(text).resolve())

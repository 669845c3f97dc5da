"""Small values of the kinds that core and jobs answer with."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, TypeVar

from tui.core.datasets import DatasetInfo
from tui.core.runs import RunInfo
from tui.jobs.info import JobInfo

T = TypeVar("T")


def _make(made: type[T], /, **known: Any) -> T:
    """A value with ``known`` fields, and None or an empty value for the rest."""
    empty = {"int": 0, "str": "", "bool": False, "float": 0.0, "Path": Path()}
    values = {field.name: empty.get(str(field.type)) for field in dataclasses.fields(made)}  # type: ignore[arg-type]
    return made(**(values | known))


def dataset(name: str, samples: int = 3) -> DatasetInfo:
    return _make(DatasetInfo, name=name, samples=samples, media_type="image")


def run(name: str, key: str) -> RunInfo:
    return _make(RunInfo, dataset=name, brain_key=key, method="milvus", collection=f"{name}_{key}")


def job(id: str, state: str = "running") -> JobInfo:
    return _make(
        JobInfo, id=id, kind="build", dataset="birds", brain_key="k", state=state, phases={}, skipped=()
    )

"""Adopting: a collection that is there becomes a brain run, when its schema and its ids fit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tui.core import ledger, runs
from tui.core.collections import Adopted, existing
from tui.core.documents.run_documents import check_key
from tui.core.documents.run_list import get_run, runs_on
from tui.core.errors import InvalidInput
from tui.core.filling.coverage import compare
from tui.core.filling.leases import hold
from tui.core.filling.patience import Patience
from tui.core.indexes import Source
from tui.core.models import absolute, certain_info
from tui.core.progress import ignore, never
from tui.core.scope import Scope
from tui.core.words import counted

if TYPE_CHECKING:
    from collections.abc import Callable

    from tui.core.client.index_types import Metric
    from tui.core.milvus import CollectionInfo
    from tui.core.models import ModelInfo
    from tui.core.workspace import Workspace


def adopt(
    ws: Workspace,
    name: str,
    dataset: str,
    brain_key: str,
    patches_field: str | None,
    model: str | None,
    about: Callable[[str], ModelInfo] | None,
) -> Adopted:
    """Make a run of a collection; see ``collections.adopt``."""
    ws.require_writable(f"adopt collection {name!r}")
    check_key(brain_key)
    scope = Scope(dataset, patches_field)
    if get_run(ws, dataset, brain_key) is not None:
        raise InvalidInput(f"Dataset {dataset!r} has a run {brain_key!r} already", "Choose another key")
    model = absolute(model) if model is not None else None
    made_by = (about or certain_info)(model) if model is not None else None
    info = existing(ws, name)
    metric = _fitting(name, info, made_by)
    with hold(ws, [f"run {brain_key} of dataset {dataset}", f"collection {name}"], f"adopting {name}"):
        sharers = [run.scope for run in runs_on(ws, name)]
        coverage = compare(ws, Patience(ws, ignore, never, 0.0), name, scope, sharers)
        known = coverage.expected - coverage.missing
        if not known:
            what = f"patch in {patches_field}" if patches_field else "sample"
            raise InvalidInput(
                f"Collection {name!r} has {counted(len(coverage.present), 'id')}, "
                f"none of a {what} of dataset {dataset!r}",
                "Choose the dataset, or the patches field, that the collection was made from",
            )
        runs.register(
            ws,
            scope=scope,
            brain_key=brain_key,
            collection=name,
            source=Source(model=model),
            metric=metric,
            consistency_level=info.consistency_level,
            supports_prompts=made_by is not None and made_by.supports_prompts,
            dim=info.dim,
        )
    deed, run = "adopted collection", f"{dataset}/{brain_key}"
    ledger.record(ws, deed, run, collection=name, vectors=coverage.rows)
    return Adopted(
        name,
        dataset,
        brain_key,
        coverage.rows,
        coverage.missing,
        coverage.stale_count,
        coverage.duplicates,
    )


def _fitting(name: str, info: CollectionInfo, made_by: ModelInfo | None) -> Metric:
    """The metric of a collection that can be a run's.

    Raises:
        InvalidInput: it has not the fields of an index, or other vectors than the model makes.
    """
    if not info.compatible or info.metric is None:
        raise InvalidInput(
            f"Collection {name!r} is no similarity index: it needs the fields pk, vector and sample_id, and "
            "an index of its vectors",
            "Build an index of the dataset instead",
        )
    if made_by is not None and made_by.dim not in (None, info.dim):
        raise InvalidInput(
            f"Model {made_by.name} makes vectors of {counted(made_by.dim, 'number')}, "
            f"those in {name!r} have {info.dim}",
            "Name the model that made them, or none",
        )
    return info.metric

"""Saying what a build would do, without doing any of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tui.core import datasets
from tui.core.client.index_types import IndexSpec, check_index
from tui.core.documents.run_list import get_run
from tui.core.errors import EngineUnreachable, KitescopeError
from tui.core.filling.building import complete, require_items
from tui.core.filling.sources import check_rows
from tui.core.filling.targets import Target, check_dim, choose
from tui.core.filling.vector_files import RowIds, VectorFile
from tui.core.indexes import BuildPlan, BuildSpec
from tui.core.models import model_info

if TYPE_CHECKING:
    from tui.core.milvus import Milvus
    from tui.core.workspace import Workspace

_LITE_LIMIT = 1_000_000
_PEEK = 100


def plan(ws: Workspace, spec: BuildSpec) -> BuildPlan:
    """Say what a build would do; see ``indexes.plan``."""
    spec = complete(spec)
    milvus = ws.milvus()
    check_index(spec.index, is_lite=milvus.is_lite)
    run = get_run(ws, spec.scope.dataset, spec.brain_key)
    target = choose(ws, milvus, spec, run)
    items = require_items(ws, spec)
    dim = known_dim(ws, spec)
    if not target.discard:
        check_dim(target.info, dim)
    there = _there(milvus, target)
    return BuildPlan(
        target.last_name,
        items,
        dim,
        memory_bytes(items, dim, spec.index) if dim is not None else None,
        min(items, there or 0),
        tuple(_warnings(ws, milvus, spec, target, items, there)),
    )


def known_dim(ws: Workspace, spec: BuildSpec) -> int | None:
    """Answer how long the vectors will be, as far as it can be known without loading a model.

    Raises:
        InvalidInput: a file cannot be used or does not fit the scope. UnknownName: no such field or model.
    """
    source = spec.source
    if source.embeddings is not None:
        file = VectorFile(Path(source.embeddings))
        try:
            check_rows(ws, spec.scope, file, RowIds(Path(source.ids)) if source.ids is not None else None)
            return file.dim
        finally:
            file.close()
    if source.embeddings_field is not None:
        return _field_dim(ws, spec, source.embeddings_field)
    return model_info(source.model or "").dim


def _field_dim(ws: Workspace, spec: BuildSpec, field: str) -> int | None:
    for ids, sample_ids in datasets.scope_ids(ws, spec.scope, _PEEK):
        found, vectors = datasets.field_vectors(ws, spec.scope, field, ids, sample_ids)
        if found:
            return int(vectors.shape[1])
    return None


def memory_bytes(vectors: int, dim: int, index: IndexSpec) -> int:
    """Estimate what an index takes in Milvus: the vectors, the graph's links or lists, and ids."""
    links = 0
    if index.type.startswith("HNSW"):
        links = 8 * int(str(index.params.get("M", 16)))
    width = dim if "SQ8" in index.type else 4 * dim
    return vectors * (width + links + 64)


def _there(milvus: Milvus, target: Target) -> int | None:
    """Answer how many vectors an unfinished collection has; None where Milvus cannot say without work."""
    if target.info is None or target.discard:
        return 0
    if not target.info.loaded or not target.info.index_type:
        return None
    try:
        return milvus.count(target.name)
    except EngineUnreachable:
        raise
    except KitescopeError:
        return None


def _warnings(
    ws: Workspace, milvus: Milvus, spec: BuildSpec, target: Target, items: int, there: int | None
) -> list[str]:
    found = []
    if there is None:
        found.append(f"Continues an unfinished build in collection {target.name}")
    if target.replaces is not None:
        found.append(
            f"Replaces run {spec.brain_key} and its collection {target.replaces} once it is complete"
        )
    if target.shared:
        found.append(f"Collection {target.name} is also used by {', '.join(target.shared)}")
    if milvus.is_lite and items > _LITE_LIMIT:
        found.append(f"{items:,} vectors are much for Milvus Lite: a Milvus server answers faster")
    if spec.source.model is not None and not model_info(spec.source.model).downloaded:
        size = model_info(spec.source.model).size_mb
        found.append(f"Model {spec.source.model} is downloaded first" + (f" ({size:.0f} MB)" if size else ""))
    if spec.source.embeddings_field is not None:
        without = datasets.count(ws, spec.scope) - items
        if without:
            found.append(f"{without:,} items have no vector in field {spec.source.embeddings_field}")
    return found

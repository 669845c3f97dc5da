"""Saying what a build would do, without doing any of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tui.core import datasets
from tui.core.client.index_types import IndexSpec, check_index
from tui.core.documents.run_list import get_run
from tui.core.errors import EngineUnreachable, KitescopeError
from tui.core.filling.building import complete, require_items
from tui.core.filling.lengths import check_made_by, known_dim
from tui.core.filling.targets import Target, check_dim, choose
from tui.core.indexes import BuildPlan, BuildSpec
from tui.core.models import BUILTIN, model_info
from tui.core.vision import devices
from tui.core.vision.descriptor import useless
from tui.core.words import counted

if TYPE_CHECKING:
    from tui.core.milvus import Milvus
    from tui.core.workspace import Workspace

_LITE_LIMIT = 1_000_000


def plan(ws: Workspace, spec: BuildSpec) -> BuildPlan:
    """Say what a build would do; see ``indexes.plan``."""
    spec = complete(spec)
    milvus = ws.milvus()
    check_index(spec.index, is_lite=milvus.is_lite)
    run = get_run(ws, spec.scope.dataset, spec.brain_key)
    target = choose(ws, milvus, spec, run)
    items = require_items(ws, spec)
    dim = known_dim(ws, spec)
    if spec.source.model is not None:
        check_made_by(spec.source, dim, model_info(spec.source.model))
    if not target.discard:
        check_dim(target.info, dim)
    there = _there(milvus, target)
    runs_on, warning = _device(spec)
    return BuildPlan(
        target.last_name,
        items,
        dim,
        memory_bytes(items, dim, spec.index) if dim is not None else None,
        min(items, there or 0),
        (*([warning] if warning else []), *_warnings(ws, milvus, spec, target, items, there)),
        runs_on,
    )


def _device(spec: BuildSpec) -> tuple[str, str]:
    """What the model runs on, and a warning; nothing where no network makes the vectors."""
    if not spec.source.embeds:
        return "", ""
    if spec.source.model in (None, BUILTIN):
        warning = useless(spec.device, spec.precision)
        return (devices.forecast("cpu")[0], warning) if warning else ("", "")
    return devices.forecast(spec.device)


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
        found.append(f"{counted(items, 'vector')} are much for Milvus Lite: a Milvus server answers faster")
    source = spec.source
    if source.embeds and source.model is not None and not model_info(source.model).downloaded:
        size = model_info(source.model).size_mb
        found.append(f"Model {source.model} is downloaded first" + (f" ({size:.0f} MB)" if size else ""))
    if source.embeddings_field is not None:
        without = datasets.count(ws, spec.scope) - items
        later = f"; a sync embeds them with {source.model}" if source.model else ""
        if without:
            found.append(
                f"Without a vector in field {source.embeddings_field}: {counted(without, 'item')}{later}"
            )
    return found

"""Everything about one run or one collection, ready for JSON: FiftyOne's record, and what Milvus knows."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from tui.core.client.index_types import IndexSpec
from tui.core.documents.run_documents import require
from tui.core.documents.run_list import require_run, runs_on, with_health
from tui.core.errors import EngineUnreachable, KitescopeError

if TYPE_CHECKING:
    from tui.core.milvus import CollectionInfo
    from tui.core.workspace import Workspace

_log = logging.getLogger(__name__)


def run_info(ws: Workspace, dataset: str, key: str) -> dict[str, Any]:
    """Everything about a run: its record, its health, its collection, and who shares that.

    Its health stays None where it cannot be judged. ``collection_info`` is None where there is no collection
    or Milvus does not answer; inside it ``vectors`` is a strongly consistent count, None while the collection
    is released.

    Raises:
        UnknownName: there is no such dataset or key.
    """
    document = require(ws, dataset, key)
    run = require_run(ws, dataset, key)
    try:
        run = with_health(ws, run)
    except EngineUnreachable:
        raise
    except KitescopeError as error:
        # What a stock run on a grouped dataset indexes cannot be counted; the rest is worth telling.
        _log.info("health of %s / %s: %s", dataset, key, error)
    described: dict[str, Any] = asdict(run) | {
        "config": json.loads(json.dumps(dict(document.config), default=str)),
        "fiftyone_version": document.version,
        "collection_info": None,
        "shared_with": [],
    }
    if run.collection is None:
        return described
    me = (dataset, key)
    others = [one for one in runs_on(ws, run.collection) if (one.dataset, one.brain_key) != me]
    described["shared_with"] = [f"{one.dataset}/{one.brain_key}" for one in others]
    if run.health not in ("unreachable", "no-collection"):
        described["collection_info"] = _there(ws, run.collection)
    return described


def collection_info(ws: Workspace, name: str) -> dict[str, Any]:
    """Everything about a collection: schema, index and its parameters, state, count, memory, properties.

    Raises:
        UnknownName: there is none of that name.
    """
    info = ws.milvus().describe(name)
    return asdict(replace(info, properties={}, index_params={}, fields=())) | {
        "fields": [dict(field) for field in info.fields],
        "index_params": dict(info.index_params),
        "state": "loaded" if info.loaded else "released",
        "memory_bytes": _memory(info),
        "properties": dict(info.properties),
    }


def _there(ws: Workspace, name: str) -> dict[str, Any] | None:
    try:
        return collection_info(ws, name) if ws.milvus().exists(name) else None
    except EngineUnreachable:
        # What FiftyOne knows is worth telling by itself.
        return None


def _memory(info: CollectionInfo) -> int | None:
    """Estimate what Milvus holds of it in memory: nothing while it is released."""
    if not info.loaded:
        return 0
    if info.vectors is None or not info.dim:
        return None
    from tui.core.filling.planning import memory_bytes

    return memory_bytes(info.vectors, info.dim, IndexSpec(info.index_type, _numbers(info.index_params)))


def _numbers(params: Mapping[str, str]) -> dict[str, int | float | str]:
    """The parameters of an index, also where the server hands them out as one JSON text."""
    nested = params.get("params")
    return {**params, **(json.loads(nested.replace("'", '"')) if nested else {})}

"""From a query to hits: their pictures, labels and scores."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, cast

from tui.core.client.index_types import HIGHER_IS_CLOSER, MAX_K, METRICS, Metric
from tui.core.documents.run_list import RunInfo, require_run
from tui.core.documents.schema import read
from tui.core.documents.selection import select
from tui.core.errors import InvalidInput, KitescopeError, UnknownName
from tui.core.progress import ShouldStop, never
from tui.core.querying import deep
from tui.core.querying.exact import farthest
from tui.core.querying.nearest import Near, everywhere, nearest, resolve
from tui.core.querying.place import Place, at_place
from tui.core.querying.query import Embed, Query, check, query_vector
from tui.core.querying.target import Target
from tui.core.scope import Scope

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from tui.core.documents.scopes import Box
    from tui.core.documents.witness import Witness
    from tui.core.workspace import Workspace

__all__ = ["Embed", "Hit", "Query", "SearchResult", "search"]

# What a hit's score is, for people.
SCORES: dict[Metric, str] = {
    "cosine": "cosine similarity",
    "dotproduct": "inner product",
    "euclidean": "squared distance",
}
# A server compares all vectors in some 5 us each.
_MOST_COMPARED = 1_000_000
_HARD = 4_096


@dataclass(frozen=True, slots=True)
class Hit:
    """One result. ``rank`` counts from 1 over all pages; ``box`` is relative (x, y, width, height)."""

    rank: int
    id: str
    sample_id: str
    score: float
    filepath: str
    label: str | None
    tags: tuple[str, ...]
    box: Box | None = None


@dataclass(frozen=True, slots=True)
class SearchResult:
    """A page of hits, best first, or with ``least`` worst first. ``score`` says what the scores are.

    ``approximate``: the least similar among more than a million vectors of a server, of which some may
    have been missed.
    """

    brain_key: str
    metric: str
    score: str
    higher_is_closer: bool
    k: int
    hits: tuple[Hit, ...]
    elapsed_ms: float = 0.0
    approximate: bool = False


def search(
    ws: Workspace,
    query: Query,
    *,
    embed: Embed | None = None,
    tell: Callable[[int, int], None] = lambda done, total: None,
    should_stop: ShouldStop = never,
) -> SearchResult:
    """Search an index.

    Narrowed by view, tags or where, all that is there is found, at any size. Vectors of samples that are
    gone are passed over. A sample that is searched for is among its own hits.

    Args:
        embed: how to embed a text or a picture; in this process unless given.
        tell: hears how many vectors of how many were looked at, where every one has to be: the least similar
            by distance have no shortcut, and fetching takes 40 to 100 us a vector.
        should_stop: asked for every 2,000 items where all are looked at.

    Raises:
        UnknownName: no such dataset, run, view or field.
        InvalidInput: the query cannot mean anything for this index.
        KitescopeError: an id is not in the index, or the index has lost its collection.
        EngineUnreachable: an engine does not answer.
        Interrupted: ``should_stop`` said so.
    """
    started = time.perf_counter()
    check(query)
    result = at_place(
        ws, query, lambda: _read(ws, query), partial(_search, ws, query, embed, tell, should_stop)
    )
    return replace(result, elapsed_ms=(time.perf_counter() - started) * 1000)


def _read(ws: Workspace, query: Query) -> Place:
    record = read(ws, query.dataset)
    run = _searchable(require_run(ws, query.dataset, query.brain_key, record))
    where = query.where
    if query.only:
        where = (*where, (f"{run.patches_field}.id" if run.patches_field else "id", ",".join(query.only)))
    scope = Scope(query.dataset, run.patches_field, query.view, query.tags, where)
    return Place(run, scope, select(ws, scope, any_slice=True, record=record))


def _search(
    ws: Workspace,
    query: Query,
    embed: Embed | None,
    tell: Callable[[int, int], None],
    should_stop: ShouldStop,
    place: Place,
    witness: Witness,
) -> SearchResult:
    run, metric = place.run, cast("Metric", place.run.metric)
    assert run.collection is not None
    target = Target(
        ws,
        ws.milvus(),
        run.collection,
        metric,
        place.scope,
        place.selection,
        witness=witness,
        tell=tell,
        should_stop=should_stop,
    )
    try:
        vector = query_vector(ws, run, query, embed)
        approximate = query.least and _is_approximate(target)
        found = _find(target, vector, query, approximate)
    except UnknownName as error:
        raise _explained(ws, run, error) from error
    return SearchResult(
        brain_key=run.brain_key,
        metric=metric,
        score=SCORES[metric],
        higher_is_closer=HIGHER_IS_CLOSER[metric],
        k=query.k,
        hits=tuple(_hit(query.offset + i + 1, near) for i, near in enumerate(found)),
        approximate=approximate,
    )


def _find(target: Target, vector: NDArray[np.float32], query: Query, approximate: bool) -> list[Near]:
    """The hits of the page that is asked for."""
    want = query.offset + query.k
    far = query.least and target.metric == "euclidean"
    # The most similar to the opposite are the least similar.
    turned = query.least and not far
    if turned:
        vector = -vector
        target = replace(target, ef=_HARD)
    # A server's graph leads to what is similar and not to what is far from all, however hard it looks.
    exact = turned and not approximate and not target.milvus.is_lite
    if want > MAX_K:
        found = deep.page(target, vector, query.offset, query.k, far=far, exact=exact)
    elif far:
        found = resolve(target, farthest(target, vector, want))[query.offset :]
    else:
        found = (everywhere if exact else nearest)(target, vector, want)[query.offset :]
    return [replace(near, score=-near.score) for near in found] if turned else found


def _is_approximate(target: Target) -> bool:
    """Whether the least similar have to be searched for with an index, which misses one in ten of them."""
    return (
        target.metric != "euclidean"
        and not target.milvus.is_lite
        and target.milvus.count(target.collection) > _MOST_COMPARED
    )


def _searchable(run: RunInfo) -> RunInfo:
    if not run.is_index:
        raise InvalidInput(
            f"Run {run.brain_key!r} is a {run.type} run by {run.method}, not an index in Milvus",
            "See kitescope runs list --type similarity",
        )
    if run.collection is None:
        raise KitescopeError(
            f"The build of index {run.brain_key!r} did not get as far as a collection", "Build it again"
        )
    if run.metric not in METRICS:
        raise InvalidInput(f"Index {run.brain_key!r} has an unknown metric, {run.metric!r}")
    return run


def _explained(ws: Workspace, run: RunInfo, error: UnknownName) -> KitescopeError:
    """A collection that is gone is not the user's wrong input."""
    assert run.collection is not None
    if ws.milvus().exists(run.collection):
        return error
    return KitescopeError(
        f"The collection of index {run.brain_key!r}, {run.collection!r}, does not exist any more",
        f"Build it again: kitescope build {run.dataset} {run.brain_key} --overwrite",
    )


def _hit(rank: int, near: Near) -> Hit:
    info = near.info
    return Hit(rank, info.id, info.sample_id, near.score, info.filepath, info.label, info.tags, info.box)

"""Checking an index: which ids it has, and how well a search of it finds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from tui.core.client.index_types import Metric
from tui.core.filling.building import expected_items
from tui.core.filling.coverage import Coverage
from tui.core.filling.patience import Patience
from tui.core.filling.syncing import look, require_index, spec_of
from tui.core.indexes import CheckResult, Health
from tui.core.progress import ignore, never

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tui.core.filling.ids import IdSet
    from tui.core.workspace import Workspace

K = 10
_BLOCK = 4_096
# Scores that differ by less are equal: the engine and numpy add up in another order.
_TIE = 1e-4


def check(ws: Workspace, dataset: str, brain_key: str, recall: int) -> CheckResult:
    """Compare an index with its dataset; see ``indexes.check``."""
    run = require_index(ws, dataset, brain_key)
    patience = Patience(ws, ignore, never, 0.0)
    info, coverage = look(ws, patience, run)
    expected, missing = expected_items(ws, spec_of(run, info), coverage)
    measured = None
    if recall and info is not None and len(coverage.present):
        metric: Metric = info.metric or "cosine"
        measured = recall_at_10(patience, run.collection or "", coverage.present, metric, recall)
    return CheckResult(
        vectors=coverage.rows,
        distinct=len(coverage.present),
        expected=expected,
        missing=missing,
        stale=coverage.stale_count,
        duplicates=coverage.duplicates,
        health=_health(info is None, missing, coverage) if run.finished else "incomplete",
        recall_at_10=measured,
    )


def _health(absent: bool, missing: int, coverage: Coverage) -> Health:
    if absent:
        return "no-collection"
    if missing:
        return "incomplete"
    if coverage.duplicates:
        return "duplicates"
    return "stale" if coverage.stale_count else "ok"


def recall_at_10(
    patience: Patience, collection: str, present: IdSet, metric: Metric, queries: int, seed: int = 0
) -> float:
    """Answer which share of the ten nearest a search with default settings finds.

    The truth is an exact search over the collection's own vectors, streamed through memory once. Queries are
    vectors of the collection, chosen at random; each finds itself in both searches.
    """
    count = min(queries, len(present))
    chosen = np.random.default_rng(seed).choice(len(present), count, replace=False)
    asked, vectors = patience.call(
        lambda milvus: milvus.vectors(collection, present.at(sorted(chosen.tolist())))
    )
    k = min(K, len(present))
    found = patience.call(lambda milvus: milvus.search(collection, vectors, k, metric=metric))
    worst = _exact(patience, collection, present, vectors, metric, k)[:, -1]
    slack = _TIE * np.maximum(1.0, np.abs(worst))
    hits = 0
    for row, neighbours in enumerate(found):
        # Equal vectors are equally right, and a compressed index has scores of its own: the true ones decide.
        ids = sorted({one.id for one in neighbours})
        scores = _scores(vectors[row : row + 1], _fetch(patience, collection, ids), metric)[0]
        hits += min(k, int((scores >= worst[row] - slack[row]).sum()))
    return hits / (k * max(1, len(asked)))


def _exact(
    patience: Patience,
    collection: str,
    present: IdSet,
    queries: NDArray[np.float32],
    metric: Metric,
    k: int,
) -> NDArray[np.float64]:
    """Answer the k best scores of each query, best first, higher better, (queries, k)."""
    best = np.full((len(queries), k), -np.inf)
    for ids in present.pages(size=_BLOCK):
        vectors = _fetch(patience, collection, ids)
        scores = _scores(queries, vectors, metric)
        both = np.concatenate([best, scores], axis=1)
        best = -np.sort(-np.partition(both, both.shape[1] - k, axis=1)[:, -k:], axis=1)
    return best


def _fetch(patience: Patience, collection: str, ids: Sequence[str]) -> NDArray[np.float32]:
    return patience.call(lambda milvus: milvus.vectors(collection, ids))[1]


def _scores(
    queries: NDArray[np.float32], vectors: NDArray[np.float32], metric: Metric
) -> NDArray[np.float64]:
    """Score every pair as Milvus does, with the sign that makes higher better."""
    left, right = queries.astype(np.float64), vectors.astype(np.float64)
    if metric == "euclidean":
        lengths = (left**2).sum(1)[:, None] + (right**2).sum(1)[None, :]
        return np.asarray(-(lengths - 2 * left @ right.T))
    if metric == "cosine":
        left /= np.maximum(np.linalg.norm(left, axis=1, keepdims=True), 1e-30)
        right /= np.maximum(np.linalg.norm(right, axis=1, keepdims=True), 1e-30)
    return np.asarray(left @ right.T)

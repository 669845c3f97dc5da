"""The nearest of an index that are in a scope: never fewer than there are, and never by naming every id.

Most often the index is asked for somewhat more than is wanted, and FiftyOne's database which of these are
in the scope. Their share says how to go on: ask for more, or, when the scope is small, look at its items
alone. If the scope lies far away from the query, its items are looked at in pieces, however many.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tui.core.client.index_types import HIGHER_IS_CLOSER, MAX_K, Metric
from tui.core.documents.rows import id_rows
from tui.core.documents.scopes import SampleInfo, hex_ids, infos

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tui.core.documents.selection import Selection
    from tui.core.milvus import Milvus, Neighbour
    from tui.core.workspace import Workspace

# Measured: asking for more and sieving wins where at least one in fifty is in the scope.
_SHARE = 0.02
_FIRST = 400
# A server compares all vectors that an expression lets through while these are few of its rows, and else
# follows its graph, which misses some. An expression of 2,000 ids takes it 30 ms.
_FEW_OF_ROWS = 50
_PIECE = 2_000
# Up to so many, fetching the vectors and comparing them here is as fast as the server.
_FETCHED = 500


@dataclass(frozen=True, slots=True)
class Near:
    """One result: ``score`` as Milvus counts it, and what the dataset says of the item."""

    score: float
    info: SampleInfo


@dataclass(frozen=True, slots=True)
class Target:
    """Where to look: a collection, and what part of the dataset counts.

    Attributes:
        whole: that part is all of it.
        ef: how hard the index should look; None for what suits similar vectors.
    """

    ws: Workspace
    milvus: Milvus
    collection: str
    metric: Metric
    selection: Selection
    whole: bool
    ef: int | None = None


def nearest(target: Target, vector: NDArray[np.float32], want: int) -> list[Near]:
    """The ``want`` items nearest to a vector of shape (dim,), best first; fewer only if there are fewer.

    Vectors of items that are gone, or outside the scope, do not count.
    """
    size = min(MAX_K, want if target.whole else max(4 * want, _FIRST))
    inside: dict[str, SampleInfo] = {}
    asked: set[str] = set()
    sieve, before = target.whole, 0
    while True:
        answers = {answer.id: answer for answer in _ask(target, vector, size)}
        fresh = [answer for id, answer in answers.items() if id not in asked]
        asked |= answers.keys()
        ids, samples = [answer.id for answer in fresh], [answer.sample_id for answer in fresh]
        inside |= infos(target.ws, target.selection, ids, samples)
        hits = [Near(answer.score, inside[id]) for id, answer in answers.items() if id in inside]
        if len(hits) >= want:
            return hits[:want]
        if len(answers) < size:
            if len(answers) >= target.milvus.count(target.collection):
                return hits
            # A server counts an id that it holds twice as two answers and then gives one of them.
            if len(answers) <= before or size == MAX_K:
                return everywhere(target, vector, want)
        before = len(answers)
        share = len(hits) / max(len(asked), 1)
        if not sieve and share < _SHARE:
            few = _few(target)
            if few is not None:
                return _resolve(target, _among(target, vector, want, *few))
            sieve = True
        if size == MAX_K:
            return everywhere(target, vector, want)
        size = min(MAX_K, max(2 * size, math.ceil(1.5 * want / share) if share else 8 * size))


def everywhere(target: Target, vector: NDArray[np.float32], want: int) -> list[Near]:
    """As ``nearest``, by looking at every item in scope, in pieces: exact, and 20 to 40 us an item."""
    best: list[tuple[float, str, str]] = []
    for ids, samples in _pieces(target):
        best = _best(target, want, [*best, *_among(target, vector, want, ids, samples)])
    return _resolve(target, best)


def farthest(target: Target, vector: NDArray[np.float32], want: int) -> list[Near]:
    """The ``want`` items farthest from a vector, farthest first, by comparing all vectors here."""
    best: list[tuple[float, str, str]] = []
    sign = -1.0 if HIGHER_IS_CLOSER[target.metric] else 1.0
    for ids, samples in _pieces(target):
        scored = _scored(target, vector, ids, samples)
        best = heapq.nlargest(want, [*best, *((sign * score, id, sample) for score, id, sample in scored)])
    return _resolve(target, [(sign * score, id, sample) for score, id, sample in best])


def scores(metric: Metric, vectors: NDArray[np.float32], query: NDArray[np.float32]) -> NDArray[np.float32]:
    """The scores of (n, dim) vectors against a query as Milvus counts them: for L2, the distance squared."""
    if metric == "euclidean":
        difference = vectors - query
        return np.asarray(np.einsum("ij,ij->i", difference, difference), np.float32)
    products = vectors @ query
    if metric == "cosine":
        lengths = np.linalg.norm(vectors, axis=1) * np.linalg.norm(query)
        products = products / np.where(lengths > 0, lengths, 1)
    return np.asarray(products, np.float32)


def _ask(target: Target, vector: NDArray[np.float32], size: int, filter: str = "") -> list[Neighbour]:
    return target.milvus.search(
        target.collection, vector[None, :], size, metric=target.metric, filter=filter, ef=target.ef
    )[0]


def _few(target: Target) -> tuple[list[str], list[str]] | None:
    """The ids in scope, if they are few."""
    ids, samples = next(id_rows(target.ws, target.selection, _PIECE + 1), (None, None))
    if ids is None or samples is None:
        return [], []
    return None if len(ids) > _PIECE else (hex_ids(ids), hex_ids(samples))


def _pieces(target: Target) -> Iterable[tuple[list[str], list[str]]]:
    for ids, samples in id_rows(target.ws, target.selection, _PIECE):
        yield hex_ids(ids), hex_ids(samples)


def _among(
    target: Target, vector: NDArray[np.float32], want: int, ids: Sequence[str], samples: Sequence[str]
) -> list[tuple[float, str, str]]:
    """The nearest of some ids as (score, id, sample id), best first; exact."""
    step = _expression_size(target) if len(ids) > _FETCHED else 0
    if not step:
        return _best(target, want, _scored(target, vector, ids, samples))
    best: list[tuple[float, str, str]] = []
    for start in range(0, len(ids), step):
        piece = slice(start, start + step)
        best = _best(target, want, [*best, *_filtered(target, vector, want, ids[piece], samples[piece])])
    return best


def _expression_size(target: Target) -> int:
    """How many ids an expression may name so that the server compares them all; 0 for none.

    Milvus Lite applies an expression after it has looked for neighbours, so that it misses most of them.
    """
    if target.milvus.is_lite:
        return 0
    size = min(_PIECE, target.milvus.count(target.collection, strong=False) // _FEW_OF_ROWS)
    return size if size > _FETCHED else 0


def _filtered(
    target: Target, vector: NDArray[np.float32], want: int, ids: Sequence[str], samples: Sequence[str]
) -> list[tuple[float, str, str]]:
    from tui.core.milvus import id_filter

    size = min(want, len(ids))
    answers = _ask(target, vector, size, id_filter(ids))
    if len(answers) < size:
        return _scored(target, vector, ids, samples)
    return [(answer.score, answer.id, answer.sample_id) for answer in answers]


def _scored(
    target: Target, vector: NDArray[np.float32], ids: Sequence[str], samples: Sequence[str]
) -> list[tuple[float, str, str]]:
    sample_of = dict(zip(ids, samples, strict=True))
    kept, vectors = target.milvus.vectors(target.collection, ids, strong=False)
    if not kept:
        return []
    found = scores(target.metric, vectors, vector).tolist()
    return [(score, id, sample_of[id]) for score, id in zip(found, kept, strict=True)]


def _best(
    target: Target, want: int, scored: Iterable[tuple[float, str, str]]
) -> list[tuple[float, str, str]]:
    choose = heapq.nlargest if HIGHER_IS_CLOSER[target.metric] else heapq.nsmallest
    return choose(want, scored, key=lambda row: row[0])


def _resolve(target: Target, found: Sequence[tuple[float, str, str]]) -> list[Near]:
    ids, samples = [id for _, id, _ in found], [sample for _, _, sample in found]
    known = infos(target.ws, target.selection, ids, samples)
    return [Near(score, known[id]) for score, id, _ in found if id in known]

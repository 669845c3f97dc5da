"""The nearest of an index that are in a scope: never fewer than there are, and never by naming every id.

Most often the index is asked for somewhat more than is wanted, and FiftyOne's database which of these are
in the scope. Their share says how to go on: ask for more, or, when the scope is small, look at its items
alone. If the scope lies far away from the query, its items are looked at in pieces, however many.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from tui.core.client.index_types import HIGHER_IS_CLOSER, MAX_K, Metric
from tui.core.documents.rows import id_rows
from tui.core.documents.scopes import SampleInfo, hex_ids, infos
from tui.core.querying import shares
from tui.core.querying.shares import Share

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tui.core.documents.selection import Selection
    from tui.core.milvus import Milvus, Neighbour
    from tui.core.scope import Scope
    from tui.core.workspace import Workspace

# Measured: asking for more and sieving wins where at least one in fifty is in the scope.
_SHARE = 0.02
# Asked for first where nothing is known of the scope.
_FIRST = 100
_HARD = 4_096
# FiftyOne's database is asked about so many ids at once, the nearest first.
_CHUNK = 1_000
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
        scope: that part; ``selection`` is the same, compiled.
        ef: how hard the index should look; None for what suits similar vectors.
    """

    ws: Workspace
    milvus: Milvus
    collection: str
    metric: Metric
    scope: Scope
    selection: Selection
    ef: int | None = None

    @property
    def key(self) -> tuple[str, str, Scope]:
        """What names the part of the collection that counts."""
        return self.milvus.address, self.collection, self.scope


def nearest(target: Target, vector: NDArray[np.float32], want: int) -> list[Near]:
    """The ``want`` items nearest to a vector of shape (dim,), best first; fewer only if there are fewer.

    Vectors of items that are gone, or outside the scope, do not count. ``want`` is at most 16,384.
    """
    share = Share(1.0, many=True) if target.scope.is_whole else shares.known(target.key)
    sieve, size, before = _Sieve(target), 0, 0
    while size < MAX_K:
        if not share.many and share.inside is not None and share.inside < _SHARE:
            few = _few(target)
            if few is not None:
                return _resolve(target, _among(target, vector, want, *few))
            share = replace(share, many=True)
        size = min(MAX_K, max(2 * size, _window(want, share.inside)))
        answers = {answer.id: answer for answer in _ask(target, vector, size, best=want)}
        hits = sieve.through(list(answers.values()), want)
        share = replace(share, inside=sieve.share)
        if not target.scope.is_whole:
            shares.remember(target.key, share)
        if len(hits) >= want:
            return hits
        if len(answers) < size:
            if len(answers) >= target.milvus.count(target.collection):
                return hits
            # A server counts an id that it holds twice as two answers and then gives one of them.
            if len(answers) <= before:
                break
        before = len(answers)
    return everywhere(target, vector, want)


def _window(want: int, share: float | None) -> int:
    """How many neighbours to ask for so that ``want`` of them are most likely in the scope."""
    if share is None:
        return max(4 * want, _FIRST)
    return want if share >= 1 else math.ceil((want + 2.5 * math.sqrt(want)) / share)


class _Sieve:
    """Lets what is in the scope through, and asks about each neighbour once."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._asked: set[str] = set()
        self._inside: dict[str, SampleInfo] = {}

    @property
    def share(self) -> float:
        """What part of those asked about was in the scope; never 0."""
        return max(len(self._inside), 0.5) / max(len(self._asked), 1)

    def through(self, answers: Sequence[Neighbour], want: int) -> list[Near]:
        """The first ``want`` of some neighbours that are in the scope; those behind are not asked about."""
        hits: list[Near] = []
        for start in range(0, len(answers), _CHUNK):
            chunk = answers[start : start + _CHUNK]
            fresh = [answer for answer in chunk if answer.id not in self._asked]
            if fresh:
                ids, samples = [answer.id for answer in fresh], [answer.sample_id for answer in fresh]
                self._inside |= infos(self._target.ws, self._target.selection, ids, samples)
                self._asked.update(ids)
            hits += [Near(one.score, self._inside[one.id]) for one in chunk if one.id in self._inside]
            if len(hits) >= want:
                break
        return hits[:want]


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


def _ask(target: Target, vector: NDArray[np.float32], size: int, **how: Any) -> list[Neighbour]:
    how = {"ef": target.ef, **how}
    with_samples = target.selection.patches is not None
    return target.milvus.search(
        target.collection, vector[None, :], size, metric=target.metric, sample_ids=with_samples, **how
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
    # Where the server follows its index all the same, it should look everywhere.
    answers = _ask(target, vector, size, filter=id_filter(ids), ef=_HARD)
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

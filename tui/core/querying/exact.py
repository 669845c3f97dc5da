"""Exact search: every item in scope is looked at, in pieces, however many there are."""

from __future__ import annotations

import heapq
import json
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tui.core.client.index_types import HIGHER_IS_CLOSER, Metric
from tui.core.documents.rows import id_rows
from tui.core.documents.scopes import hex_ids
from tui.core.querying.target import Target, ask

if TYPE_CHECKING:
    from numpy.typing import NDArray

# One item as (score, id, sample id).
Scored = tuple[float, str, str]

# A server compares all vectors that an expression lets through while these are few of its rows, and else
# follows its graph, which misses some. An expression of 2,000 ids takes it 30 ms, one of a range of ids 5.
_FEW_OF_ROWS = 50
PIECE = 2_000
# Up to so many, fetching the vectors and comparing them here is as fast as the server.
_FETCHED = 100
# How hard to look, should a server follow its index all the same.
_HARD = 4_096


def ranked(target: Target, vector: NDArray[np.float32], want: int) -> list[Scored]:
    """The ``want`` items nearest to a vector of shape (dim,), best first: 5 to 40 us an item.

    When nothing narrows the scope, vectors of items that are gone are among them.
    """
    best: list[Scored] = []
    for found in _found_in_pieces(target, vector, want):
        best = _best(target, want, [*best, *found])
    return best


def farthest(target: Target, vector: NDArray[np.float32], want: int) -> list[Scored]:
    """The ``want`` items farthest from a vector, farthest first, by comparing all vectors here."""
    best: list[Scored] = []
    sign = -1.0 if HIGHER_IS_CLOSER[target.metric] else 1.0
    done, total = 0, target.milvus.count(target.collection, strong=False)
    for ids, samples in _pieces(target):
        scored = _fetched(target, vector, ids, samples)
        best = heapq.nlargest(want, [*best, *((sign * score, id, sample) for score, id, sample in scored)])
        done += len(scored)
        target.tell(done, total)
    return [(sign * score, id, sample) for score, id, sample in best]


def few(target: Target) -> tuple[list[str], list[str]] | None:
    """The ids in scope and their samples, if they are few."""
    ids, samples = next(id_rows(target.ws, target.selection, PIECE + 1), (None, None))
    if ids is None or samples is None:
        return [], []
    return None if len(ids) > PIECE else (hex_ids(ids), hex_ids(samples))


def among(
    target: Target,
    vector: NDArray[np.float32],
    want: int,
    ids: Sequence[str],
    samples: Sequence[str],
    reach: int | None = None,
) -> list[Scored]:
    """The nearest of some ids, best first.

    Args:
        reach: on Milvus Lite, let the index look for them among so many nearest of all; if it does not find
            enough, and by default, all are fetched and compared here.
    """
    if reach is not None and len(ids) > _FETCHED:
        ef = max(target.ef or 0, 2 * reach)
        return _best(target, want, _named(target, vector, want, ids, samples, ef))
    step = _expression_size(target) if len(ids) > _FETCHED else 0
    if not step:
        return _best(target, want, _fetched(target, vector, ids, samples))
    best: list[Scored] = []
    for start in range(0, len(ids), step):
        piece = slice(start, start + step)
        best = _best(target, want, [*best, *_named(target, vector, want, ids[piece], samples[piece])])
    return best


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


def _found_in_pieces(target: Target, vector: NDArray[np.float32], want: int) -> Iterator[list[Scored]]:
    step = _expression_size(target)
    if not (step and target.scope.is_whole):
        for ids, samples in _pieces(target):
            yield among(target, vector, want, ids, samples)
        return
    for page in target.milvus.ids(target.collection):
        page.sort()
        for start in range(0, len(page), step):
            target.check_stop()
            yield _in_range(target, vector, want, page[start : start + step])


def _pieces(target: Target) -> Iterator[tuple[list[str], list[str]]]:
    for ids, samples in id_rows(target.ws, target.selection, PIECE):
        target.check_stop()
        yield hex_ids(ids), hex_ids(samples)


def _expression_size(target: Target) -> int:
    """How many rows an expression may let through so that the server compares them all; 0 for none.

    Milvus Lite looks for them with its index however few they are, and so misses some.
    """
    if target.milvus.is_lite:
        return 0
    size = min(PIECE, target.milvus.count(target.collection, strong=False) // _FEW_OF_ROWS)
    return size if size > _FETCHED else 0


def _in_range(target: Target, vector: NDArray[np.float32], want: int, ids: Sequence[str]) -> list[Scored]:
    first, last = (json.dumps(id, ensure_ascii=False) for id in (ids[0], ids[-1]))
    size = min(want, len(ids))
    answers = ask(target, vector, size, filter=f"pk >= {first} and pk <= {last}", ef=_HARD)
    if len(answers) >= size:
        return [(answer.score, answer.id, answer.sample_id) for answer in answers]
    # It followed its index, or it holds some ids twice, which it counts as answers and then merges.
    return _fetched(target, vector, ids)


def _named(
    target: Target,
    vector: NDArray[np.float32],
    want: int,
    ids: Sequence[str],
    samples: Sequence[str],
    ef: int = _HARD,
) -> list[Scored]:
    from tui.core.milvus import id_filter

    size = min(want, len(ids))
    answers = ask(target, vector, size, filter=id_filter(ids), ef=ef)
    if len(answers) < size:
        return _fetched(target, vector, ids, samples)
    return [(answer.score, answer.id, answer.sample_id) for answer in answers]


def _fetched(
    target: Target, vector: NDArray[np.float32], ids: Sequence[str], samples: Sequence[str] | None = None
) -> list[Scored]:
    kept, known, vectors = target.milvus.rows(target.collection, ids, strong=False)
    if not kept:
        return []
    sample_of: dict[str, Any] = dict(zip(ids, samples, strict=True)) if samples else {}
    found = scores(target.metric, vectors, vector).tolist()
    return [
        (score, id, sample_of.get(id, sample)) for score, id, sample in zip(found, kept, known, strict=True)
    ]


def _best(target: Target, want: int, scored: Iterable[Scored]) -> list[Scored]:
    choose = heapq.nlargest if HIGHER_IS_CLOSER[target.metric] else heapq.nsmallest
    return choose(want, scored, key=lambda row: row[0])

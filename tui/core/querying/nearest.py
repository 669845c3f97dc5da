"""The nearest of an index that are in a scope: never fewer than there are, and never by naming every id.

Most often the index is asked for somewhat more than is wanted, and FiftyOne's database which of these are
in the scope. Their share says how to go on: ask for more, or, when the scope is small, look at its items
alone. If the scope lies far away from the query, its items are looked at in pieces, however many.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tui.core.client.index_types import MAX_K
from tui.core.documents.scopes import SampleInfo, infos
from tui.core.querying import shares
from tui.core.querying.exact import Scored, among, few, ranked
from tui.core.querying.shares import Share
from tui.core.querying.target import Target, ask

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tui.core.milvus import Neighbour

# Measured: asking for more and sieving wins where at least one in fifty is in the scope.
_SHARE = 0.02
# Milvus Lite reads the whole row of each answer, 0.1 ms: where more than so many would have to be sieved, its
# index looks among the items of a small scope alone.
_LITE_ANSWERS = 500
# Asked for first where nothing is known of the scope.
_FIRST = 100
# FiftyOne's database is asked about so many ids at once, the nearest first.
_CHUNK = 1_000


@dataclass(frozen=True, slots=True)
class Near:
    """One result: ``score`` as Milvus counts it, and what the dataset says of the item."""

    score: float
    info: SampleInfo


def nearest(target: Target, vector: NDArray[np.float32], want: int) -> list[Near]:
    """The ``want`` items nearest to a vector of shape (dim,), best first; fewer only if there are fewer.

    Vectors of items that are gone, or outside the scope, do not count. ``want`` is at most 16,384.
    """
    share = Share(1.0, many=True) if target.scope.is_whole else shares.known(target.key)
    sieve, size, before = _Sieve(target), 0, 0
    while size < MAX_K:
        window = _window(want, share.inside)
        if not share.many and share.inside is not None and _favours_few(target, share.inside, window):
            items = few(target)
            if items is not None:
                reach = window if share.inside >= _SHARE else None
                return resolve(target, among(target, vector, want, *items, reach))
            share = replace(share, many=True)
        size = min(MAX_K, max(2 * size, window))
        answers = {answer.id: answer for answer in ask(target, vector, size, best=want)}
        hits = sieve.through(list(answers.values()), want)
        # A scope that was small and far may have become another since.
        window = _window(want, sieve.share)
        share = Share(sieve.share, many=share.many and _favours_few(target, sieve.share, window))
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


def _favours_few(target: Target, inside: float, window: int) -> bool:
    """Whether a scope of few items is better looked at alone."""
    costly = target.milvus.is_lite and window > _LITE_ANSWERS
    return not target.scope.is_whole and (inside < _SHARE or costly)


def everywhere(target: Target, vector: NDArray[np.float32], want: int) -> list[Near]:
    """As ``nearest``, by looking at every item: exact, and for as many as are wanted."""
    more = want
    while True:
        found = ranked(target, vector, more)
        hits = resolve(target, found[:more])
        if len(hits) >= want or len(found) < more:
            return hits[:want]
        # What is gone from the dataset took the place of others.
        more *= 2


def resolve(target: Target, found: Sequence[Scored]) -> list[Near]:
    """What the dataset says of some items, without those that are not in the scope."""
    hits: list[Near] = []
    for start in range(0, len(found), _CHUNK):
        part = found[start : start + _CHUNK]
        ids, samples = [id for _, id, _ in part], [sample for _, _, sample in part]
        known = infos(target.ws, target.selection, ids, samples, target.witness)
        hits += [Near(score, known[id]) for score, id, _ in part if id in known]
    return hits


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
                target = self._target
                self._inside |= infos(target.ws, target.selection, ids, samples, target.witness)
                self._asked.update(ids)
            hits += [Near(one.score, self._inside[one.id]) for one in chunk if one.id in self._inside]
            if len(hits) >= want:
                break
        return hits[:want]

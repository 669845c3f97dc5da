"""Pages beyond what Milvus answers at once: they go on where its answer ends, and miss and repeat nothing."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Sequence
from threading import Lock
from typing import TYPE_CHECKING

from tui.core.client.index_types import MAX_K
from tui.core.querying.exact import Scored, farthest
from tui.core.querying.nearest import Near, everywhere, nearest, resolve
from tui.core.querying.target import Target

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# Some 250 bytes a result: the rankings of the last queries take 100 MB where each goes 200,000 deep.
_REMEMBERED = 2

_rankings: OrderedDict[Hashable, list[Scored]] = OrderedDict()
_lock = Lock()


def page(
    target: Target,
    vector: NDArray[np.float32],
    offset: int,
    k: int,
    *,
    far: bool = False,
    exact: bool = False,
) -> list[Near]:
    """The hits from ``offset`` on, at most ``k``.

    Every item in scope is looked at. The next page is of the same ranking: what changes in between in the
    collection shows when a search begins again, and what is gone from the dataset leaves its place empty.

    Args:
        far: the farthest first.
        exact: the pages before were found by looking at every item, not by the index.
    """
    key = (target.key, far, vector.tobytes())
    with _lock:
        ranking = _rankings.pop(key, [])
    if len(ranking) < offset + k:
        ranking = _rank(target, vector, offset + k + MAX_K, far, exact)
    with _lock:
        _rankings[key] = ranking
        while len(_rankings) > _REMEMBERED:
            _rankings.popitem(last=False)
    return resolve(target, ranking[offset : offset + k])


def _rank(target: Target, vector: NDArray[np.float32], want: int, far: bool, exact: bool) -> list[Scored]:
    if far:
        return _kept(resolve(target, farthest(target, vector, want)))
    if exact:
        return _kept(everywhere(target, vector, want))
    # The pages before are the index' answers; where it missed any, these come next.
    first = _kept(nearest(target, vector, MAX_K))
    if len(first) < MAX_K:
        return first
    there = {id for _, id, _ in first}
    return [*first, *(one for one in _kept(everywhere(target, vector, want)) if one[1] not in there)]


def _kept(hits: Sequence[Near]) -> list[Scored]:
    return [(hit.score, hit.info.id, hit.info.sample_id) for hit in hits]

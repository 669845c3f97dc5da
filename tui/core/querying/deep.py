"""Pages beyond what Milvus answers at once: they go on where its answer ends, and miss and repeat nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tui.core.client.index_types import MAX_K
from tui.core.querying.exact import farthest
from tui.core.querying.nearest import Near, everywhere, nearest, resolve
from tui.core.querying.target import Target

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def page(
    target: Target,
    vector: NDArray[np.float32],
    offset: int,
    k: int,
    *,
    far: bool = False,
    exact: bool = False,
) -> list[Near]:
    """The hits from ``offset`` on, at most ``k``. Every item in scope is looked at, for each page anew.

    Args:
        far: the farthest first.
        exact: the pages before were found by looking at every item, not by the index.
    """
    return _rank(target, vector, offset + k, far, exact)[offset : offset + k]


def _rank(target: Target, vector: NDArray[np.float32], want: int, far: bool, exact: bool) -> list[Near]:
    if far:
        return resolve(target, farthest(target, vector, want))
    if exact:
        return everywhere(target, vector, want)
    # The pages before are the index' answers; where it missed any, these come next.
    first = nearest(target, vector, MAX_K)
    if len(first) < MAX_K:
        return first
    there = {hit.info.id for hit in first}
    return [*first, *(hit for hit in everywhere(target, vector, want) if hit.info.id not in there)]

"""Near-duplicates: items whose vectors are closer than a threshold, in groups, from the index alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from tui.core.client.index_types import HIGHER_IS_CLOSER, Metric
from tui.core.errors import Interrupted, InvalidInput
from tui.core.progress import ShouldStop, ignore, never

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tui.core.documents.scopes import SampleInfo
    from tui.core.filling.ids import IdSet
    from tui.core.milvus import Neighbour
    from tui.core.scope import Scope
    from tui.core.workspace import Workspace

_PAGE = 1_000
# Most items have no double: few neighbours are asked of all, many of those that have many.
_FEW, _MANY = 8, 1_024


@dataclass(frozen=True, slots=True)
class NearDuplicates:
    """Groups of items that a chain of near-duplicates connects, largest first.

    Attributes:
        groups: in each the item that was added first comes first: it is the one to keep.
        compared: how many vectors were looked at.
    """

    threshold: float
    metric: str
    groups: tuple[tuple[SampleInfo, ...], ...]
    compared: int

    @property
    def spare(self) -> tuple[str, ...]:
        """The ids of all but the first of each group."""
        return tuple(item.id for group in self.groups for item in group[1:])


def near_duplicates(
    ws: Workspace,
    dataset: str,
    brain_key: str,
    threshold: float,
    *,
    tell: Callable[[int, int], None] = lambda done, total: None,
    should_stop: ShouldStop = never,
) -> NearDuplicates:
    """Find near-duplicates by asking the index for the neighbours of each of its vectors.

    Memory grows by 12 bytes a vector and 16 a pair. What a search of the index misses is missed here.

    Args:
        threshold: the least score of a pair, by the index's metric; for euclidean the largest squared
            distance.
        tell: hears how many vectors of how many were looked at.

    Raises:
        UnknownName: there is no such dataset or run.
        InvalidInput: the run is no index in Milvus, or nothing can reach the threshold.
        Interrupted: ``should_stop`` said so.
    """
    import numpy as np
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    from tui.core.filling.coverage import list_ids
    from tui.core.filling.patience import Patience
    from tui.core.filling.syncing import require_index

    run = require_index(ws, dataset, brain_key, finished=True)
    metric = cast("Metric", run.metric)
    _check_threshold(metric, threshold)
    name = run.collection or ""
    patience = Patience(ws, ignore, should_stop, 0.0)
    present, _ = list_ids(patience, name)
    left: list[NDArray[np.int64]] = []
    right: list[NDArray[np.int64]] = []
    done = 0
    for ids in present.pages(size=_PAGE):
        if should_stop():
            raise Interrupted("The search for duplicates was stopped")
        for rows, columns in _pairs(ws, name, metric, threshold, present, ids):
            left.append(rows)
            right.append(columns)
        done += len(ids)
        tell(done, len(present))
    rows = np.concatenate(left) if left else np.empty(0, np.int64)
    columns = np.concatenate(right) if right else np.empty(0, np.int64)
    graph = coo_array((np.ones(len(rows), np.int8), (rows, columns)), shape=(len(present), len(present)))
    _, labels = connected_components(graph, directed=False)
    involved = np.union1d(rows, columns).tolist()
    groups = _groups(ws, run.scope, present.at(involved), labels[involved].tolist())
    return NearDuplicates(threshold, metric, tuple(groups), done)


def _check_threshold(metric: Metric, threshold: float) -> None:
    possible = {"cosine": -1 <= threshold <= 1, "euclidean": threshold >= 0}.get(metric, True)
    if not possible:
        raise InvalidInput(
            f"No pair has a score of {threshold:g} by the metric {metric}",
            "Give a cosine from -1 to 1, such as 0.98" if metric == "cosine" else "Give a squared distance",
        )


def _pairs(
    ws: Workspace, name: str, metric: Metric, threshold: float, present: IdSet, ids: Sequence[str]
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Yield the positions of near pairs whose left side is among ``ids``."""
    import numpy as np

    milvus = ws.milvus()
    found_ids, vectors = milvus.vectors(name, ids)
    k, open_rows = _FEW, np.arange(len(found_ids))
    while len(open_rows):
        answers = milvus.search(name, vectors[open_rows], k, metric=metric)
        near = [[one.id for one in answer if _is_near(one, metric, threshold)] for answer in answers]
        full = np.array([len(some) == k for some in near], dtype=bool)
        if k == _MANY:
            full[:] = False
        sides = [
            (found_ids[row], id)
            for row, some, more in zip(open_rows.tolist(), near, full.tolist(), strict=True)
            if not more
            for id in some
            if id != found_ids[row]
        ]
        if sides:
            rows = present.positions([one for one, _ in sides])
            columns = present.positions([other for _, other in sides])
            known = (rows >= 0) & (columns >= 0)
            yield rows[known], columns[known]
        open_rows, k = open_rows[full], min(k * 8, _MANY)


def _is_near(one: Neighbour, metric: Metric, threshold: float) -> bool:
    return one.score >= threshold if HIGHER_IS_CLOSER[metric] else one.score <= threshold


def _groups(
    ws: Workspace, scope: Scope, members: Sequence[str], labels: Sequence[int]
) -> list[tuple[SampleInfo, ...]]:
    """What belongs together, without what is gone from the dataset."""
    from tui.core.documents.scopes import present

    known = {}
    for start in range(0, len(members), _PAGE):
        known.update(present(ws, scope, members[start : start + _PAGE]))
    groups: dict[int, list[SampleInfo]] = {}
    # An ObjectId begins with the time at which it was made.
    for id, label in sorted(zip(members, labels, strict=True)):
        if id in known:
            groups.setdefault(label, []).append(known[id])
    found = [tuple(group) for group in groups.values() if len(group) > 1]
    return sorted(found, key=lambda group: (-len(group), group[0].id))

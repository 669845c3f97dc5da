"""Near-duplicates: items whose vectors are closer than a threshold, in groups, from the index alone."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

from tui.core.client.index_types import HIGHER_IS_CLOSER, Metric
from tui.core.errors import Interrupted, InvalidInput
from tui.core.progress import ShouldStop, ignore, never
from tui.core.querying.joined import Joined

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tui.core.documents.run_list import RunInfo
    from tui.core.documents.scopes import SampleInfo
    from tui.core.filling.ids import IdSet
    from tui.core.milvus import Neighbour
    from tui.core.scope import Scope
    from tui.core.workspace import Workspace

    Pairs = tuple[NDArray[np.int64], NDArray[np.int64]]

_PAGE = 1_000
# Most items have no double: few neighbours are asked of all, many of those that have many.
_FEW, _MANY = 8, 1_024
# Milvus Lite gives some ten thousand answers a second; between two questions stopping is heard.
_ANSWERS = 20_000
# What is found so far is told this often; of very many groups so much less often, as telling takes its time.
_EVERY_S, _CALM = 0.5, 10


@dataclass(frozen=True, slots=True)
class NearDuplicates:
    """Groups of items that a chain of near-duplicates connects, largest first.

    Attributes:
        groups: in each the item that was added first comes first: it is the one to keep.
        compared: how many of ``total`` vectors were looked at; until all were, groups may grow and join.
    """

    threshold: float
    metric: str
    groups: tuple[tuple[SampleInfo, ...], ...]
    compared: int
    total: int

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
    view: str | None = None,
    tags: Sequence[str] = (),
    where: Sequence[tuple[str, str]] = (),
    tell: Callable[[NearDuplicates], None] = lambda so_far: None,
    should_stop: ShouldStop = never,
) -> NearDuplicates:
    """Find near-duplicates by asking the index for the neighbours of each of its vectors.

    Memory grows by 16 bytes a vector, and by what the dataset says of the duplicates. What a search of the
    index misses is missed here. An item with more than 1,024 near ones is joined to the nearest of them.

    Args:
        threshold: the least score of a pair, by the index's metric; for euclidean the largest squared
            distance.
        view, tags, where: only among these, as in ``Scope``.
        tell: hears what is found so far, twice a second at most; not the whole, which is returned.

    Raises:
        UnknownName: there is no such dataset, run, view or field.
        InvalidInput: the run is no index in Milvus, or nothing can reach the threshold.
        Interrupted: ``should_stop`` said so.
    """
    from tui.core.filling.syncing import require_index

    run = require_index(ws, dataset, brain_key, finished=True)
    metric = cast("Metric", run.metric)
    _check_threshold(metric, threshold)
    scope = _narrowed(run.scope, view, tags, where)
    now_and_then = _now_and_then()
    items = _items(ws, run.collection or "", scope if scope != run.scope else None, should_stop)
    joined = Joined(len(items))
    known: dict[str, SampleInfo] = {}

    def grouped(done: int) -> NearDuplicates:
        members, labels = joined.groups()
        groups = _groups(ws, scope, run.collection or "", items.at(members), labels, known)
        return NearDuplicates(threshold, metric, tuple(groups), done, len(items))

    def tell_in_time(done: int) -> None:
        if done < len(items):
            now_and_then(lambda: tell(grouped(done)))

    done = 0
    tell_in_time(done)
    for ids in items.pages(size=_PAGE):
        _heed(should_stop)
        for pairs, compared in _pairs(ws, run, metric, threshold, items, ids):
            joined.join(*pairs)
            if joined.whole:
                return grouped(len(items))
            tell_in_time(done + compared)
            _heed(should_stop)
        done += len(ids)
    return grouped(done)


def _now_and_then() -> Callable[[Callable[[], None]], None]:
    """Calls what it is given twice a second at most, and more rarely where that takes long itself."""
    next_time = time.monotonic() + _EVERY_S

    def call(say: Callable[[], None]) -> None:
        nonlocal next_time
        if (began := time.monotonic()) >= next_time:
            say()
            next_time = time.monotonic() + max(_EVERY_S, _CALM * (time.monotonic() - began))

    return call


def _heed(should_stop: ShouldStop) -> None:
    if should_stop():
        raise Interrupted("The search for duplicates was stopped")


def _narrowed(scope: Scope, view: str | None, tags: Sequence[str], where: Sequence[tuple[str, str]]) -> Scope:
    """A scope of less, or the same when nothing narrows it."""
    if view is None and not tags and not where:
        return scope
    return replace(
        scope,
        view=view or scope.view,
        tags=tuple(tags) or scope.tags,
        where=(*scope.where, *where),
        limit=None,
    )


def _items(ws: Workspace, collection: str, scope: Scope | None, should_stop: ShouldStop) -> IdSet:
    """The ids of an index, or those of them that are in a scope."""
    from tui.core.documents.scopes import scope_ids
    from tui.core.filling.coverage import list_ids
    from tui.core.filling.ids import IdSet
    from tui.core.filling.patience import Patience

    present, _ = list_ids(Patience(ws, ignore, should_stop, 0.0), collection)
    if scope is None:
        return present
    inside = IdSet.collect(ids for ids, _ in scope_ids(ws, scope, any_slice=True))
    return IdSet.collect(
        [id for id, wanted in zip(page, inside.contains(page), strict=True) if wanted]
        for page in present.pages()
    )


def _check_threshold(metric: Metric, threshold: float) -> None:
    possible = {"cosine": -1 <= threshold <= 1, "euclidean": threshold >= 0}.get(metric, True)
    if not possible:
        raise InvalidInput(
            f"No pair has a score of {threshold:g} by the metric {metric}",
            "Give a cosine from -1 to 1, such as 0.98" if metric == "cosine" else "Give a squared distance",
        )


def _pairs(
    ws: Workspace, run: RunInfo, metric: Metric, threshold: float, items: IdSet, ids: Sequence[str]
) -> Iterator[tuple[Pairs, int]]:
    """Yield the positions in ``items`` of near pairs whose left side is among ``ids``.

    Those with more near ones than were asked for come again, with more. Beside each lot stands how many of
    ``ids`` are done with.
    """
    import numpy as np

    milvus, name = ws.milvus(), run.collection or ""
    found_ids, vectors = milvus.vectors(name, ids, strong=False)
    k, open_rows = _FEW, np.arange(len(found_ids))
    done = len(ids) - len(open_rows)
    while len(open_rows):
        full, step = np.zeros(len(open_rows), dtype=bool), max(1, _ANSWERS // k)
        for start in range(0, len(open_rows), step):
            part = open_rows[start : start + step]
            answers = milvus.search(name, vectors[part], k, metric=metric, sample_ids=False)
            near = [[one.id for one in answer if _is_near(one, metric, threshold)] for answer in answers]
            full[start : start + step] = [len(some) == k for some in near]
            done += len(part) - (int(full[start : start + step].sum()) if k < _MANY else 0)
            yield _sides(items, [found_ids[row] for row in part.tolist()], near), done
        if k == _MANY:
            return
        open_rows, k = open_rows[full], min(k * 8, _MANY)


def _sides(items: IdSet, of: Sequence[str], near: Sequence[Sequence[str]]) -> Pairs:
    """The positions of ids, and of those near to each: the two sides of every pair."""
    pairs = [(one, other) for one, others in zip(of, near, strict=True) for other in others if other != one]
    left, right = (items.positions([pair[side] for pair in pairs]) for side in (0, 1))
    known = (left >= 0) & (right >= 0)
    return left[known], right[known]


def _is_near(one: Neighbour, metric: Metric, threshold: float) -> bool:
    return one.score >= threshold if HIGHER_IS_CLOSER[metric] else one.score <= threshold


def _groups(
    ws: Workspace,
    scope: Scope,
    collection: str,
    members: Sequence[str],
    labels: Sequence[int],
    known: dict[str, SampleInfo],
) -> list[tuple[SampleInfo, ...]]:
    """What belongs together, without what is gone from the dataset; ``known`` gains what was not known."""
    from tui.core.documents.scopes import present

    new = [id for id in members if id not in known]
    for start in range(0, len(new), _PAGE):
        page, samples = new[start : start + _PAGE], None
        if scope.patches_field is not None:
            page, samples, _ = ws.milvus().rows(collection, page, strong=False)
        known.update(present(ws, scope, page, samples))
    groups: dict[int, list[SampleInfo]] = {}
    # An ObjectId begins with the time at which it was made.
    for id, label in sorted(zip(members, labels, strict=True)):
        if id in known:
            groups.setdefault(label, []).append(known[id])
    found = [tuple(group) for group in groups.values() if len(group) > 1]
    return sorted(found, key=lambda group: (-len(group), group[0].id))

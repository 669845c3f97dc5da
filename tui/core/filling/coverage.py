"""What a collection has and what it should have, found by streaming both sides: never by asking id by id."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from threading import Event, Thread
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from tui.core.documents.scopes import scope_ids
from tui.core.errors import KitescopeError
from tui.core.filling.ids import IdSet

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tui.core.filling.patience import Patience
    from tui.core.scope import Scope
    from tui.core.workspace import Workspace

_CHUNK = 16_384
# A range of ids with a duplicate in it is written again as a whole when it is no larger than this.
_LEAF = 1_024
_ATTEMPTS = 3
_T = TypeVar("_T")


@dataclass(frozen=True)
class Coverage:
    """One comparison of a collection with a scope.

    Attributes:
        present: the distinct ids in the collection.
        rows: how many rows the server counts; more than there are ids where some are there twice.
        expected: distinct ids in scope.
        missing: how many of these are not in the collection.
        stale: for each position in ``present``, whether no scope wants it.
    """

    present: IdSet
    rows: int
    expected: int
    missing: int
    stale: NDArray[np.bool_]

    @property
    def duplicates(self) -> int:
        """How many rows there are too many."""
        return self.rows - len(self.present)

    @property
    def stale_count(self) -> int:
        """How many ids of the collection no scope wants."""
        return int(self.stale.sum())


def compare(
    ws: Workspace, patience: Patience, collection: str | None, scope: Scope, sharers: Sequence[Scope] = ()
) -> Coverage:
    """Compare a collection with a scope, id by id, in 12 bytes for each id of either. Both are read at once.

    Args:
        collection: None where there is none yet.
        sharers: scopes of other runs that use the collection: what they want is not stale.
    """
    if collection is None:
        present, rows, inside = IdSet.collect([]), 0, IdSet.collect(_scope(ws, patience, scope))
    else:
        given_up = Event()
        expected = _beside("scope", lambda: IdSet.collect(_scope(ws, patience, scope, given_up)))
        try:
            present, rows = list_ids(patience, collection)
            inside = expected()
        finally:
            given_up.set()
    wanted = np.zeros(len(present), dtype=bool)
    places = present.places_of(inside)
    wanted[places[places >= 0]] = True
    for other in sharers:
        for ids in _scope(ws, patience, other):
            positions = present.positions(ids)
            wanted[positions[positions >= 0]] = True
    return Coverage(present, rows, len(inside), int((places < 0).sum()), ~wanted)


def _beside(name: str, work: Callable[[], _T]) -> Callable[[], _T]:
    """Begin ``work`` in a thread that nobody has to wait for, and answer what waits for its answer."""
    future: Future[_T] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:
            future.set_exception(error)

    Thread(target=run, name=name, daemon=True).start()
    return future.result


def _scope(
    ws: Workspace, patience: Patience, scope: Scope, given_up: Event | None = None
) -> Iterator[list[str]]:
    for ids, _ in scope_ids(ws, scope):
        patience.check()
        if given_up is not None and given_up.is_set():
            return
        yield ids


def list_ids(patience: Patience, collection: str) -> tuple[IdSet, int]:
    """Answer the distinct ids of a collection and the number of its rows, both as of one moment.

    Servers merge duplicates when they list ids and count them when they count rows, so the two differ by what
    is there twice. That the listing left nothing out is proved by counting the rows of the listed ids.

    Raises:
        KitescopeError: somebody else writes to the collection all the while.
    """
    for _ in range(_ATTEMPTS):
        counted = _beside("count", lambda: patience.call(lambda milvus: milvus.count(collection)))
        present = IdSet.collect(_pages(patience, collection))
        rows = counted()
        if rows == len(present):
            return present, rows
        if rows > len(present) and sum(_rows_by_chunk(patience, collection, present)) == rows:
            return present, rows
    raise KitescopeError(
        f"Collection {collection} changes while it is being read",
        "Stop what else writes to it, then try again",
    )


def _pages(patience: Patience, collection: str) -> Iterator[list[str]]:
    after: str | None = None
    while True:
        patience.check()
        page = _page(patience, collection, after)
        if not page:
            return
        after = max(page)
        yield page


def _page(patience: Patience, collection: str, after: str | None) -> list[str]:
    return patience.call(lambda milvus: milvus.id_page(collection, after))


def _rows_by_chunk(patience: Patience, collection: str, present: IdSet) -> Iterator[int]:
    for chunk in present.pages(size=_CHUNK):
        yield _rows_of(patience, collection, chunk)


def _rows_of(patience: Patience, collection: str, ids: Sequence[str]) -> int:
    from tui.core.milvus import id_filter

    patience.check()
    return patience.call(lambda milvus: milvus.count(collection, id_filter(ids)))


def repeated(patience: Patience, collection: str, present: IdSet) -> Iterator[list[str]]:
    """Yield groups of ids, small enough to be written again, that hold all duplicates of a collection."""
    for chunk in present.pages(size=_CHUNK):
        yield from _narrow(patience, collection, chunk)


def _narrow(patience: Patience, collection: str, ids: list[str]) -> Iterator[list[str]]:
    if _rows_of(patience, collection, ids) == len(ids):
        return
    if len(ids) <= _LEAF:
        yield ids
        return
    half = len(ids) // 2
    yield from _narrow(patience, collection, ids[:half])
    yield from _narrow(patience, collection, ids[half:])

"""What FiftyOne's documents say of an index and of what counts in it: read each time, but not waited for.

A search goes by what the documents said last time while they are read again; if they say something else by
then, what was found does not count, and the search is made anew.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock, Thread
from typing import TYPE_CHECKING, TypeVar
from weakref import WeakKeyDictionary

from tui.core.errors import KitescopeError

if TYPE_CHECKING:
    from tui.core.documents.run_list import RunInfo
    from tui.core.documents.selection import Selection
    from tui.core.querying.query import Query
    from tui.core.scope import Scope
    from tui.core.workspace import Workspace

    Key = tuple[object, ...]

_T = TypeVar("_T")
# Of each workspace; a place may hold the list of ids of a saved view.
_REMEMBERED = 16


@dataclass(frozen=True, slots=True)
class Place:
    """An index, and what part of its dataset counts; ``selection`` is ``scope``, compiled."""

    run: RunInfo
    scope: Scope
    selection: Selection


_places: WeakKeyDictionary[Workspace, OrderedDict[Key, Place]] = WeakKeyDictionary()
_lock = Lock()


def at_place(ws: Workspace, query: Query, read: Callable[[], Place], search: Callable[[Place], _T]) -> _T:
    """Search at the place that ``read`` answers, and answer what was found.

    Raises:
        KitescopeError: what ``read`` or ``search`` raises.
    """
    key = (query.dataset, query.brain_key, query.view, query.tags, query.where, query.only)
    with _lock:
        known = _places.setdefault(ws, OrderedDict()).pop(key, None)
    if known is None:
        place = read()
    else:
        reading = _Reading(read)
        try:
            found = search(known)
        except KitescopeError:
            place = reading.answer()
            if place == known:
                _remember(ws, key, known)
                raise
        else:
            place = reading.answer()
            if place == known:
                _remember(ws, key, known)
                return found
    _remember(ws, key, place)
    return search(place)


def _remember(ws: Workspace, key: Key, place: Place) -> None:
    with _lock:
        places = _places.setdefault(ws, OrderedDict())
        places[key] = place
        while len(places) > _REMEMBERED:
            places.popitem(last=False)


class _Reading:
    """A call on its way in a thread of its own."""

    def __init__(self, read: Callable[[], Place]) -> None:
        self._read = read
        self._place: Place | None = None
        self._error: BaseException | None = None
        self._thread = Thread(target=self._run, name="place", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._place = self._read()
        except BaseException as error:
            self._error = error

    def answer(self) -> Place:
        """Wait for it, and answer or raise what it did."""
        self._thread.join()
        if self._error is not None:
            raise self._error
        assert self._place is not None
        return self._place

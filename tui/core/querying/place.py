"""What FiftyOne's documents say of an index and of what counts in it: not waited for, and yet never outdated.

A search goes by what the documents said last time, and when it asks about the samples it found, it looks at
the documents too. Only if they are others are they read again; and if they say something else, what was found
does not count, and the search is made anew.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakKeyDictionary

from tui.core.documents.witness import Witness
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
    """An index, and what part of its dataset counts.

    Attributes:
        selection: ``scope``, compiled.
        documents: what it was read from, as a witness saw it shortly before; None where none looked.
    """

    run: RunInfo
    scope: Scope
    selection: Selection
    documents: list[Any] | None = field(default=None, compare=False)


_places: WeakKeyDictionary[Workspace, OrderedDict[Key, Place]] = WeakKeyDictionary()
_lock = Lock()


def at_place(
    ws: Workspace, query: Query, read: Callable[[], Place], search: Callable[[Place, Witness], _T]
) -> _T:
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
        witness = _witness(known)
        try:
            found = search(known, witness)
        except KitescopeError:
            place = read()
            if place == known:
                _remember(ws, key, known)
                raise
        else:
            if witness.saw is not None and witness.saw == known.documents:
                _remember(ws, key, known)
                return found
            # They were seen first, so that a change in between is noticed by the next witness.
            place = replace(read(), documents=witness.saw)
            if place == known:
                _remember(ws, key, place)
                return found
    _remember(ws, key, place)
    return search(place, _witness(place))


def _witness(place: Place) -> Witness:
    return Witness(place.selection.record, place.run.brain_key)


def _remember(ws: Workspace, key: Key, place: Place) -> None:
    with _lock:
        places = _places.setdefault(ws, OrderedDict())
        places[key] = place
        while len(places) > _REMEMBERED:
            places.popitem(last=False)

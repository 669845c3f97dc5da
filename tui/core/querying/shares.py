"""How much of what an index holds near a query is in a scope: found by one search, used by the next.

Only the choice of the way leans on it, never the result, so nothing has to be known of what changed since.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from threading import Lock

_REMEMBERED = 256


@dataclass(frozen=True, slots=True)
class Share:
    """``inside``: what part is in the scope, None while unknown. ``many``: too many to look at each."""

    inside: float | None = None
    many: bool = False


_shares: OrderedDict[Hashable, Share] = OrderedDict()
_lock = Lock()


def known(scope: Hashable) -> Share:
    """What the last searches of a scope found."""
    with _lock:
        return _shares.get(scope, Share())


def remember(scope: Hashable, share: Share) -> None:
    """Keep what a search found, evened out with what was known, of the last 256 scopes."""
    with _lock:
        before = _shares.pop(scope, share)
        if share.inside is not None and before.inside is not None:
            share = Share((share.inside + before.inside) / 2, share.many)
        _shares[scope] = share
        if len(_shares) > _REMEMBERED:
            _shares.popitem(last=False)

"""Sets of ids that stay small: 12 bytes for each of FiftyOne's, so that ten million are 120 MB.

FiftyOne's ids are 24 hexadecimal digits; they are packed into sorted numpy arrays. Other strings, which only
a foreign collection holds, are kept apart as they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Packed = NDArray[np.bytes_]

_WIDTH: Final = 12
_DIGITS: Final = 24
_PAGE: Final = 16_384
_BLOCK: Final = 64 * _PAGE


class IdSet:
    """An immutable set of ids, with how many were given in all (``rows``; ids given twice count twice)."""

    def __init__(self, packed: Packed, others: frozenset[str], rows: int) -> None:
        self._packed = packed
        self._others = others
        self.rows = rows

    @classmethod
    def collect(cls, pages: Iterable[Sequence[str]]) -> IdSet:
        """Make a set of all ids in ``pages``; memory grows by 12 bytes an id."""
        buffer = IdBuffer()
        for page in pages:
            buffer.add(page)
        return buffer.freeze()

    def __len__(self) -> int:
        return len(self._packed) + len(self._others)

    def contains(self, ids: Sequence[str]) -> NDArray[np.bool_]:
        """Tell for each id whether it is in the set."""
        return self.positions(ids) >= 0

    def positions(self, ids: Sequence[str]) -> NDArray[np.int64]:
        """Answer a number from 0 to ``len(self) - 1`` for each id that is in the set, and -1 for others."""
        packed, odd = _split(ids)
        if not odd:
            return self._find(np.frombuffer(packed, dtype=f"S{_WIDTH}"))
        found = np.full(len(ids), -1, dtype=np.int64)
        strange = set(odd)
        usual = np.fromiter((one not in strange for one in ids), dtype=bool, count=len(ids))
        found[usual] = self._find(np.frombuffer(packed, dtype=f"S{_WIDTH}"))
        order = {one: len(self._packed) + at for at, one in enumerate(sorted(self._others))}
        for at in np.flatnonzero(~usual).tolist():
            found[at] = order.get(ids[at], -1)
        return found

    def places_of(self, other: IdSet) -> NDArray[np.int64]:
        """Answer for each id of another set, in the order of its positions, what ``positions`` does."""
        places = self._find(other._packed)
        return np.concatenate((places, self.positions(sorted(other._others)))) if other._others else places

    def pages(self, chosen: NDArray[np.bool_] | None = None, size: int = _PAGE) -> Iterator[list[str]]:
        """Yield the ids, or those whose position is chosen, in pages of at most ``size``."""
        places = len(self._packed)
        for block in range(0, places, _BLOCK):
            packed = self._packed[block : block + _BLOCK]
            if chosen is not None:
                packed = packed[chosen[block : block + len(packed)]]
            for start in range(0, len(packed), size):
                yield unpack(packed[start : start + size])
        rest = sorted(self._others)
        if chosen is not None:
            rest = [one for at, one in enumerate(rest) if chosen[places + at]]
        for start in range(0, len(rest), size):
            yield rest[start : start + size]

    def at(self, positions: Sequence[int]) -> list[str]:
        """Answer the ids at some positions."""
        rest = sorted(self._others)
        places = len(self._packed)
        return [
            unpack(self._packed[one : one + 1])[0] if one < places else rest[one - places]
            for one in positions
        ]

    def _find(self, wanted: Packed) -> NDArray[np.int64]:
        if not len(self._packed):
            return np.full(len(wanted), -1, dtype=np.int64)
        at = np.searchsorted(self._packed, wanted)
        at[at == len(self._packed)] = 0
        return np.where(self._packed[at] == wanted, at, -1).astype(np.int64)


class IdBuffer:
    """Ids on their way into a set."""

    def __init__(self) -> None:
        self._raw = bytearray()
        self._others: set[str] = set()
        self._rows = 0

    def add(self, ids: Sequence[str]) -> None:
        """Take some more ids."""
        packed, odd = _split(ids)
        self._raw += packed
        self._others.update(odd)
        self._rows += len(ids)

    def freeze(self) -> IdSet:
        """Answer the set of what was added; nothing may be added afterwards."""
        return IdSet(_sorted_unique(self._raw), frozenset(self._others), self._rows)

    def snapshot(self) -> IdSet:
        """Answer the set of what was added so far, in memory of its own."""
        return IdSet(_sorted_unique(bytearray(self._raw)), frozenset(self._others), self._rows)


def unpack(packed: Packed) -> list[str]:
    """Answer the ids that a packed array holds, as 24 hexadecimal digits each."""
    text = packed.tobytes().hex()
    return [text[start : start + _DIGITS] for start in range(0, len(text), _DIGITS)]


def _split(ids: Sequence[str]) -> tuple[bytes, list[str]]:
    """Pack what has FiftyOne's form, in its order, and answer the others beside it."""
    text = "".join(ids)
    if len(text) == _DIGITS * len(ids) and all(len(one) == _DIGITS for one in ids):
        packed = _packed(text)
        if packed is not None:
            return packed, []
    usual: list[bytes] = []
    odd: list[str] = []
    for one in ids:
        packed = _packed(one) if len(one) == _DIGITS else None
        if packed is None:
            odd.append(one)
        else:
            usual.append(packed)
    return b"".join(usual), odd


def _packed(text: str) -> bytes | None:
    """Answer the bytes of hexadecimal digits, or None where they would not come back as the same text."""
    try:
        raw = bytes.fromhex(text)
    except ValueError:
        return None
    return raw if raw.hex() == text else None


def _sorted_unique(raw: bytearray) -> Packed:
    # Fixed-width bytes compare right although numpy drops trailing zeros: all have the same width.
    packed: Packed = np.frombuffer(raw, dtype=f"S{_WIDTH}")
    if len(packed) < 2:
        return packed
    if not bool((packed[:-1] <= packed[1:]).all()):
        packed.sort()
    fresh = packed[1:] != packed[:-1]
    if fresh.all():
        return packed
    return packed[np.concatenate(([True], fresh))]

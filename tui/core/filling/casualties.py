"""The items that could not become vectors: told as they happen, listed at the end, never silently cut."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from tui.core.filling.ids import IdBuffer, IdSet
from tui.core.progress import OnEvent, Skipped
from tui.core.words import counted

_LISTED = 10_000


class Casualties:
    """Collects skipped items; beyond ten thousand they are counted by reason instead of listed."""

    def __init__(self, on_event: OnEvent) -> None:
        self._tell = on_event
        self._listed: list[Skipped] = []
        self._more: Counter[str] = Counter()
        self._ids = IdBuffer()

    def add(self, skipped: Iterable[Skipped]) -> None:
        """Take some more, each item once."""
        for one in skipped:
            if one.id:
                self._ids.add([one.id])
            if len(self._listed) < _LISTED:
                self._listed.append(one)
                self._tell(one)
            else:
                self._more[one.reason] += 1

    def ids(self) -> IdSet:
        """Answer the distinct ids."""
        return self._ids.snapshot()

    def report(self) -> tuple[Skipped, ...]:
        """Answer all of them, the last entries standing for many."""
        rest = (
            Skipped("", "", f"{reason} ({counted(count, 'more item')})")
            for reason, count in self._more.items()
        )
        return (*self._listed, *rest)

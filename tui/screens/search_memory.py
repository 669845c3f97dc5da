"""Searches that come back at the next start: what was asked of each index, and what was kept under a name.

One file of the state folder, mode 0600, because a prompt may be nobody else's business; bounded in every
direction. A broken file costs the memory, never the start.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
from filelock import FileLock, Timeout

from tui import paths
from tui.core.errors import InvalidInput
from tui.core.files import private_dir, write_private
from tui.screens.asks import Ask

MOST_ASKED = 50
_MOST_KEPT = 200
_MOST_IDS = 2_000
_MOST_INDEXES = 100
_LOCK_SECONDS = 5.0


class Kept(msgspec.Struct, frozen=True):
    """A search that the user gave a name; pinned ones come first."""

    name: str
    ask: Ask
    pinned: bool = False


class Memory(msgspec.Struct, frozen=True):
    """What is remembered of one index; ``asked`` is the oldest first."""

    dataset: str
    brain_key: str
    asked: tuple[Ask, ...] = ()
    kept: tuple[Kept, ...] = ()

    def with_asked(self, ask: Ask) -> Memory:
        """One question more; asked before, it moves to the end. One about very many ids is let go."""
        if len(ask.ids) + len(ask.not_ids) + len(ask.narrowing.marked) > _MOST_IDS:
            return self
        before = [one for one in self.asked if not one.same_as(ask)]
        return msgspec.structs.replace(self, asked=(*before, ask)[-MOST_ASKED:])

    def without_asked(self, ask: Ask | None = None) -> Memory:
        """That question forgotten, or every one."""
        left = () if ask is None else tuple(one for one in self.asked if not one.same_as(ask))
        return msgspec.structs.replace(self, asked=left)

    def with_kept(self, kept: Kept) -> Memory:
        """A named search more, in the place of one of that name."""
        others = [one for one in self.kept if one.name != kept.name]
        return msgspec.structs.replace(self, kept=(*others, kept)[-_MOST_KEPT:])

    def without_kept(self, name: str) -> Memory:
        """The named search gone."""
        return msgspec.structs.replace(self, kept=tuple(one for one in self.kept if one.name != name))

    def named(self, name: str) -> Kept | None:
        """The search of that name."""
        return next((one for one in self.kept if one.name == name), None)


def load(dataset: str, brain_key: str) -> Memory:
    """What is remembered of an index."""
    for one in _read():
        if (one.dataset, one.brain_key) == (dataset, brain_key):
            return one
    return Memory(dataset, brain_key)


def change(dataset: str, brain_key: str, how: Callable[[Memory], Memory]) -> Memory:
    """Change what is remembered of an index; several programs may do so at once.

    Raises:
        InvalidInput: the state folder cannot be written, or another program holds the file.
    """
    folder = private_dir(paths.state_dir())
    try:
        with FileLock(folder / "searches.lock", timeout=_LOCK_SECONDS, mode=0o600):
            every = _read()
            place = (dataset, brain_key)
            old = next((one for one in every if (one.dataset, one.brain_key) == place), Memory(*place))
            new = how(old)
            others = [one for one in every if (one.dataset, one.brain_key) != place]
            write_private(_file(), msgspec.json.encode([new, *others][:_MOST_INDEXES]).decode() + "\n")
            return new
    except Timeout as error:
        raise InvalidInput(
            "Another program has been writing the remembered searches for some seconds", "Try again"
        ) from error


def _file() -> Path:
    return paths.state_dir() / "searches.json"


def _read() -> list[Memory]:
    try:
        return msgspec.json.decode(_file().read_bytes(), type=list[Memory])
    except (OSError, msgspec.MsgspecError):
        return []

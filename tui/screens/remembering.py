"""Searches kept under a name and those of earlier days: a list to run, pin, and forget them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from textual import work
from textual.binding import Binding

from tui.core.errors import KitescopeError
from tui.screens import search_memory
from tui.screens.asks import Ask
from tui.screens.search_memory import Kept, Memory
from tui.screens.using import Using
from tui.widgets.dialogs import Ask as AskDialog
from tui.widgets.pick import Pick

_FORGET = "forget"


class SearchList(Pick):
    """Choose a search; or pin or forget the one under the cursor: then the answer begins with the verb."""

    HINT = "enter runs · f2 pins · f8 forgets · esc back"
    BINDINGS = [
        Binding("f2", "answer('pin')", "Pin", id="searches-pin"),
        Binding("f8", "answer('drop')", "Forget", id="searches-forget"),
    ]

    def action_answer(self, verb: str) -> None:
        """Close with the verb and the search under the cursor."""
        if (value := self.current) is not None:
            self.dismiss(f"{verb}\n{value}")


class Remembering(Using):
    """What was asked before, and what is kept under a name."""

    @work(group="searches")
    async def action_keep(self) -> None:
        """Keep the search that is shown under a name."""
        step, chosen = self._history.current, self._chosen
        if step is None or chosen is None or (step.ask.browses and not step.ask.narrowing):
            self.tell("Search for something first: then S keeps it under a name.")
            return
        ask = step.ask
        name = await self.ask(AskDialog(f"Keep “{_spoken(ask)}” under the name", placeholder="odd sevens"))
        if name and name.strip():
            kept = Kept(name.strip(), ask)
            if await self._changed(lambda memory: memory.with_kept(kept)):
                self.tell(f"Kept: {kept.name}. s lists what is kept.")

    @work(group="searches")
    async def action_searches(self) -> None:
        """List what is kept, pinned ones first, and what was asked before, the newest first."""
        if self._run is None or self._chosen is None:
            self.tell("Choose an index first: press o.")
            return
        chosen = self._chosen
        memory: Memory | None = await asyncio.to_thread(search_memory.load, *chosen)
        if self._chosen != chosen or not self.is_current:
            return  # another index is on the screen, or none
        place = ""
        while memory is not None:
            options = _options(memory)
            if not options:
                self.tell("Nothing was asked of this index yet.")
                return
            answer = await self.ask(SearchList("Searches", options, place))
            if answer is None:
                return
            verb, _, place = answer.partition("\n")
            if verb not in ("pin", "drop"):
                if answer != _FORGET:
                    self._run_again(_asked(memory, answer))
                    return
                verb, place = "drop", _FORGET
            memory = await self._changed(_change(memory, verb, place))

    def _run_again(self, ask: Ask | None) -> None:
        if ask is not None:
            self._narrowing = ask.narrowing
            self._ask(ask)

    async def _changed(self, how: Callable[[Memory], Memory]) -> Memory | None:
        """What is remembered after a change; None when it could not be written, which is told."""
        if self._chosen is None:
            return None
        try:
            return await asyncio.to_thread(search_memory.change, *self._chosen, how)
        except KitescopeError as error:
            self.tell(str(error))
            return None


def _options(memory: Memory) -> list[tuple[str, str]]:
    """(value, label) of each search: what stands in the label is data, the list shows it as itself."""
    kept = sorted(memory.kept, key=lambda one: (not one.pinned, one.name.casefold()))
    listed = [
        (f"kept\n{one.name}", f"{'★' if one.pinned else '●'} {one.name}   {_spoken(one.ask)}") for one in kept
    ]
    last = len(memory.asked) - 1
    listed += [(f"asked\n{last - n}", f"  {_spoken(ask)}") for n, ask in enumerate(reversed(memory.asked))]
    if memory.asked:
        listed.append((_FORGET, "  forget all that was asked; what is kept stays"))
    return listed


def _spoken(ask: Ask) -> str:
    narrowed = f"only {ask.narrowing}" if ask.narrowing else ""
    return "  ".join(filter(None, (ask.title(), narrowed)))


def _asked(memory: Memory, value: str) -> Ask | None:
    kind, _, rest = value.partition("\n")
    if kind == "kept":
        kept = memory.named(rest)
        return kept.ask if kept else None
    return memory.asked[int(rest)] if kind == "asked" else None


def _change(memory: Memory, verb: str, value: str) -> Callable[[Memory], Memory]:
    """What a verb does to the search of a value; pinning what has no name keeps it under its own words."""
    kind, _, rest = value.partition("\n")
    ask = _asked(memory, value)
    if value == _FORGET:
        return (lambda now: now.without_asked()) if verb == "drop" else (lambda now: now)
    if verb == "drop":
        return lambda now: now.without_kept(rest) if kind == "kept" else now.without_asked(ask)
    old = memory.named(rest) if kind == "kept" else None
    if ask is None:
        return lambda now: now
    pinned = Kept(rest if old else _spoken(ask), ask, pinned=not (old and old.pinned))
    return lambda now: now.with_kept(pinned)

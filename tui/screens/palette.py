"""The command palette: every action of this screen, every screen, every dataset and every index, by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, cast

from textual.command import CommandPalette, DiscoveryHit, Hit, Hits, Provider

from tui import keys
from tui.core.words import counted
from tui.messages import Happened, SearchRequested
from tui.screens.base import BaseScreen
from tui.state import ScopeChosen
from tui.widgets.dialog import Behind
from tui.widgets.text import plain

if TYPE_CHECKING:
    from tui.app import Kitescope

Entry = tuple[str, str, Callable[[], object]]


class Palette(Behind, CommandPalette):
    """Textual's own, with the screen below as behind any dialog."""


class KitescopeCommands(Provider):
    """What can be done now, as commands."""

    @property
    def _kitescope(self) -> Kitescope:
        return cast("Kitescope", self.app)

    async def discover(self) -> Hits:
        """The keys of the screen, before anything is typed."""
        for name, why, act in self._actions():
            yield DiscoveryHit(name, act, help=why)

    async def search(self, query: str) -> Hits:
        """Actions, datasets and indexes whose name holds the query."""
        matcher = self.matcher(query)
        for name, why, act in (*self._actions(), *self._places()):
            if (score := matcher.match(name)) > 0:
                yield Hit(score, matcher.highlight(name), act, help=why)

    def _actions(self) -> Iterator[Entry]:
        screen = self.screen
        groups = [("", keys.APP), ("", keys.COMMON)]
        if isinstance(screen, BaseScreen):
            title = screen.MODE.capitalize()
            groups.insert(0, (f"{title}: ", keys.GROUPS[title]))
        for prefix, bindings in groups:
            for binding in bindings:
                if binding.action == "command_palette":
                    continue
                key = keys.spoken(binding.key)
                yield (
                    f"{prefix}{binding.description} ({key})",
                    binding.tooltip,
                    partial(self._act, binding.action),
                )

    async def _act(self, action: str) -> None:
        screen = self.screen
        node = screen if hasattr(screen, f"action_{action.split('(')[0]}") else self.app
        await self.app.run_action(action, node)

    def _places(self) -> Iterator[Entry]:
        from tui.core.scope import Scope

        app, state = self._kitescope, self._kitescope.state
        for info in state.datasets or ():
            choose = Happened(ScopeChosen(Scope(info.name)))
            yield (
                f"Dataset {plain(info.name)}",
                counted(info.samples, "sample"),
                partial(app.post_message, choose),
            )
        for run in state.runs or ():
            if run.collection:
                go = SearchRequested(run.dataset, run.brain_key)
                name = f"Search {plain(run.dataset)} / {plain(run.brain_key)}"
                yield name, run.model or "", partial(app.post_message, go)

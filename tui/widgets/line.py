"""A line to type into, in which every key acts in the order in which it was typed."""

from __future__ import annotations

from textual import events
from textual.widgets import Input


class Line(Input):
    """Textual's, but for the way of its own keys: they reach it by way of the app, later than letters do."""

    async def on_key(self, event: events.Key) -> None:
        """Do at once what a key of the line does: the letters typed behind it are waiting already."""
        for binding in self._bindings.key_to_bindings.get(event.key, ()):
            if await self.app.run_action(binding.action, self):
                event.stop()
                return

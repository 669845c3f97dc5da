"""The bottom line: the keys that work now, as far as there is room."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rich.text import Text
from textual import events
from textual.reactive import reactive
from textual.screen import Screen
from textual.widget import Widget


@dataclass(frozen=True, slots=True)
class Key:
    """A key of the line: how Textual calls it, how people do, what it does, and whether it acts now."""

    key: str
    spoken: str
    does: str
    enabled: bool
    tooltip: str


class KeyLine(Widget):
    """Shows the keys of the screen and of the widget that has the keyboard; a click presses one.

    Textual's own footer makes a widget of each key, anew whenever the keyboard goes elsewhere, and takes
    longer for that than a dialog for opening.
    """

    ALLOW_SELECT = False
    COMPONENT_CLASSES = {"keys--key", "keys--does", "keys--hover"}
    keys: reactive[tuple[Key, ...]] = reactive(())
    under: reactive[Key | None] = reactive(None)
    """The one under the mouse."""

    def on_mount(self) -> None:
        """Follow the keyboard."""
        self.screen.bindings_updated_signal.subscribe(self, self._changed)

    def on_unmount(self) -> None:
        """Nobody listens any more."""
        self.screen.bindings_updated_signal.unsubscribe(self)

    def _changed(self, screen: Screen[object]) -> None:
        # Without the terminal's focus nothing has the keyboard, and the keys stay as they were.
        if self.app.app_focus and self.is_attached and screen is self.screen:
            self.call_after_refresh(self._take)

    def _take(self) -> None:
        if not self.is_attached:
            return
        found: dict[str, Key] = {}
        for _, binding, enabled, tooltip in self.screen.active_bindings.values():
            if binding.show:
                spoken = self.app.get_key_display(binding)
                key = Key(binding.key, spoken, binding.description, enabled, tooltip)
                found.setdefault(binding.action, key)
        self.keys = tuple(found.values())

    def render(self) -> Text:
        """Draw the line."""
        line = Text(no_wrap=True, overflow="crop", end="")
        name, does, hover = (
            self.get_component_rich_style(f"keys--{part}") for part in ("key", "does", "hover")
        )
        for key in self.keys:
            dim = "" if key.enabled else "dim"
            begun = len(line)
            line.append(key.spoken, name).append(f" {key.does}", does).stylize(dim, begun)
            if key is self.under:
                line.stylize(hover, begun)
            line.append(" ")
        return line

    def _places(self) -> Iterator[tuple[int, int, Key]]:
        """From where to where each key is, in cells."""
        start = 0
        for key in self.keys:
            width = Text(f"{key.spoken} {key.does}").cell_len
            yield start, start + width, key
            start += width + 1

    def _at(self, x: int) -> Key | None:
        return next((key for start, end, key in self._places() if start <= x < end), None)

    def on_mouse_move(self, event: events.MouseMove) -> None:
        """Tell about the key under the mouse."""
        self.under = self._at(event.x)
        self.tooltip = self.under.tooltip if self.under else None

    def on_leave(self) -> None:
        """The mouse went away."""
        self.under = None

    def on_mouse_down(self, event: events.MouseDown) -> None:
        """Press the key under the mouse."""
        key = self._at(event.x)
        if key is not None and key.enabled:
            self.app.simulate_key(key.key)
        elif key is not None:
            self.app.bell()

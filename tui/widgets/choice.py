"""A few options on one line, one of them chosen."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text
from textual import events
from textual.message import Message
from textual.reactive import reactive
from textual.widget import Widget

from tui import keys
from tui.widgets.text import plain


class Choice(Widget, can_focus=True):
    """Left and right choose; options that do not fit on the line open as a list."""

    BINDINGS = [*keys.CHOICE]
    COMPONENT_CLASSES = {"choice--chosen"}
    ALLOW_SELECT = False

    value: reactive[str] = reactive("")
    options: reactive[tuple[tuple[str, str], ...]] = reactive(())

    class Chosen(Message):
        """The user chose another value."""

        def __init__(self, value: str) -> None:
            self.value = value
            super().__init__()

    class Opened(Message):
        """The user wants to see every option."""

    class Left(Message):
        """The user is done here: on to the next field."""

    def __init__(self, options: Sequence[tuple[str, str]], value: str) -> None:
        super().__init__(classes="form-control choice")
        self.set_reactive(Choice.options, tuple(options))
        self.set_reactive(Choice.value, value)

    def _place(self) -> int:
        return next((i for i, (key, _) in enumerate(self.options) if key == self.value), -1)

    def _labels(self) -> list[str]:
        return [f" {plain(label)} " for _, label in self.options]

    def _fits(self) -> bool:
        return sum(Text(label).cell_len for label in self._labels()) <= self.size.width

    def render(self) -> Text:
        """All options in a line, or the chosen one and its number."""
        line = Text(no_wrap=True, overflow="ellipsis", end="")
        chosen = self.get_component_rich_style("choice--chosen")
        place, labels = self._place(), self._labels()
        if not labels:
            return line.append(" nothing to choose", "dim")
        if self._fits():
            for i, label in enumerate(labels):
                line.append(label, chosen if i == place else "")
            return line
        count = f" {place + 1}/{len(labels)} ▾"
        current = Text(labels[place] if place >= 0 else " – ", style=chosen)
        current.truncate(max(1, self.size.width - len(count)), overflow="ellipsis")
        return line.append_text(current).append(count, "dim")

    def _choose(self, place: int) -> None:
        if self.options:
            self.value = self.options[place % len(self.options)][0]
            self.post_message(self.Chosen(self.value))

    def action_choose(self, by: int) -> None:
        """The next option, or the one before."""
        self._choose(self._place() + by)

    def action_open(self) -> None:
        """Show every option, where the line has no room for them; otherwise the next one."""
        if self._fits():
            self.action_choose(1)
        else:
            self.post_message(self.Opened())

    def action_leave(self) -> None:
        """On to the next field; where the line has no room for every option, show them first."""
        self.post_message(self.Left() if self._fits() else self.Opened())

    def on_click(self, event: events.Click) -> None:
        """Choose what is under the mouse."""
        if not self._fits():
            self.action_open()
            return
        start = 0
        for i, label in enumerate(self._labels()):
            width = Text(label).cell_len
            if start <= event.x < start + width:
                self._choose(i)
            start += width

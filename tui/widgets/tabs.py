"""The top line: the six screens, the current one marked."""

from __future__ import annotations

from rich.text import Text
from textual import events
from textual.message import Message
from textual.reactive import reactive
from textual.widget import Widget

SCREENS: tuple[tuple[str, str], ...] = (
    ("connection", "Connection"),
    ("datasets", "Datasets"),
    ("build", "Build"),
    ("jobs", "Jobs"),
    ("runs", "Runs"),
    ("search", "Search"),
)
"""Mode and title of each screen, in the order of the number keys."""


class ScreenTabs(Widget):
    """One line of tabs; a number key or a click goes there."""

    ALLOW_SELECT = False
    COMPONENT_CLASSES = {"tabs--current"}
    current: reactive[str] = reactive("")

    class Clicked(Message):
        """A tab was clicked."""

        def __init__(self, screen: str) -> None:
            self.screen_name = screen
            super().__init__()

    def __init__(self, current: str) -> None:
        super().__init__()
        self.set_reactive(ScreenTabs.current, current)

    def _labels(self) -> list[tuple[str, str]]:
        # 80 columns hold all six with their numbers and one space on each side.
        return [(mode, f" {number} {title} ") for number, (mode, title) in enumerate(SCREENS, 1)]

    def render(self) -> Text:
        """Draw the line."""
        line = Text(no_wrap=True, overflow="crop", end="")
        style = self.get_component_rich_style("tabs--current")
        for mode, label in self._labels():
            line.append(label, style if mode == self.current else "")
        return line

    def on_click(self, event: events.Click) -> None:
        """Go to the tab under the mouse."""
        start = 0
        for mode, label in self._labels():
            if start <= event.x < start + len(label):
                self.post_message(self.Clicked(mode))
            start += len(label)

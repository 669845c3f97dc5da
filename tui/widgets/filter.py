"""The line that opens with ``/`` and narrows a table while one types."""

from __future__ import annotations

from textual import on
from textual.binding import Binding
from textual.message import Message
from textual.widgets import Input

from tui.widgets.line import Line


class FilterBar(Line):
    """One line, hidden until it is asked for."""

    BINDINGS = [Binding("escape", "leave(True)", show=False), Binding("down", "leave(False)", show=False)]

    class Narrowed(Message):
        """The words to filter by changed."""

        def __init__(self, needle: str) -> None:
            self.needle = needle
            super().__init__()

    class Left(Message):
        """The user is done typing: the keyboard goes back to the rows."""

    def __init__(self) -> None:
        super().__init__(
            placeholder="filter: every word must occur", id="filter", compact=True, select_on_focus=False
        )
        self.display = False

    def open(self) -> None:
        """Show the line and type into it."""
        self.display = True
        # At once: ``focus()`` waits, and what is typed meanwhile would be keys of the table.
        self.screen.set_focus(self)

    def close(self) -> bool:
        """Clear and hide the line; tells whether it was there."""
        was_open = self.display
        self.value = ""
        self.display = False
        return was_open

    @on(Input.Changed)
    def _tell(self, event: Input.Changed) -> None:
        event.stop()
        self.post_message(self.Narrowed(event.value))

    @on(Input.Submitted)
    def _submit(self, event: Input.Submitted) -> None:
        event.stop()
        self.action_leave(False)

    def action_leave(self, clear: bool) -> None:
        """Back to the rows, with or without the filter."""
        if clear or not self.value:
            self.close()
        self.post_message(self.Left())

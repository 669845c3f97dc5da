"""One of many: a list that narrows while one types."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from tui.widgets.dialog import Dialog
from tui.widgets.line import Line
from tui.widgets.text import cell, plain


class Pick(Dialog[str | None]):
    """Choose one of (value, label); None when the user changed their mind."""

    BINDINGS = [
        Binding("escape", "dismiss(None)", "Back", id="pick-back"),
        Binding("down,ctrl+j", "step(1)", show=False, id="pick-down"),
        Binding("up,ctrl+k", "step(-1)", show=False, id="pick-up"),
        Binding("pagedown", "step(10)", show=False, id="pick-page-down"),
        Binding("pageup", "step(-10)", show=False, id="pick-page-up"),
    ]

    HINT: ClassVar[str] = "enter chooses · esc back"

    def __init__(self, title: str, options: Sequence[tuple[str, str]], value: str = "") -> None:
        super().__init__()
        self._title = title
        self._options = tuple(options)
        self._shown = self._options
        self._value = value

    def compose(self) -> ComposeResult:
        """Title, filter, list."""
        with Vertical(classes="dialog pick"):
            yield Static(f"{plain(self._title)}  ({self.HINT})", classes="dialog-title", markup=False)
            yield Line(placeholder="filter", compact=True)
            # The keyboard stays in the filter, so the list cannot take it.
            yield OptionList(compact=True)

    def on_mount(self) -> None:
        """Typing filters at once."""
        self.query_one(OptionList).can_focus = False
        self.query_one(Input).focus()
        self._fill("")
        place = next((i for i, (value, _) in enumerate(self._shown) if value == self._value), 0)
        self.query_one(OptionList).highlighted = place if self._shown else None

    def _fill(self, needle: str) -> None:
        words = needle.casefold().split()
        self._shown = tuple(
            (value, label)
            for value, label in self._options
            if all(word in f"{value} {label}".casefold() for word in words)
        )
        found = self.query_one(OptionList)
        found.clear_options()
        found.add_options([Option(cell(label)) for _, label in self._shown])
        found.highlighted = 0 if self._shown else None

    @on(Input.Changed)
    def _narrow(self, event: Input.Changed) -> None:
        self._fill(event.value)

    def action_step(self, by: int) -> None:
        """Move in the list."""
        found = self.query_one(OptionList)
        if self._shown:
            found.highlighted = min(max((found.highlighted or 0) + by, 0), len(self._shown) - 1)

    @property
    def current(self) -> str | None:
        """The value under the cursor; without one, that is told."""
        place = self.query_one(OptionList).highlighted
        if place is None:
            self.notify("Nothing fits the filter.", severity="warning", markup=False)
            return None
        return self._shown[place][0]

    @on(Input.Submitted)
    def _submit(self) -> None:
        if (value := self.current) is not None:
            self.dismiss(value)

    @on(OptionList.OptionSelected)
    def _clicked(self, event: OptionList.OptionSelected) -> None:
        self.dismiss(self._shown[event.option_index][0])

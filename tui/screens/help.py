"""The keys that work here, filterable: made from ``tui.keys``, and the user's own where they remapped one."""

from __future__ import annotations

from collections.abc import Mapping

from rich.table import Table
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical, VerticalScroll
from textual.widgets import Input, Static

from tui import keys
from tui.widgets.dialog import Dialog
from tui.widgets.tabs import SCREENS


class HelpScreen(Dialog[None]):
    """Every key of one screen and of everywhere."""

    BINDINGS = [Binding("escape,f1", "dismiss", "Back", id="help-back")]

    def __init__(self, screen: str, keymap: Mapping[str, str]) -> None:
        super().__init__()
        self._of = dict(SCREENS).get(screen, "")
        self._keymap = keymap

    def compose(self) -> ComposeResult:
        """A filter and the table of keys."""
        with Vertical(classes="dialog page"):
            yield Static(
                f"Keys of {self._of or 'every screen'}  (esc back)", classes="dialog-title", markup=False
            )
            yield Input(placeholder="filter", compact=True)
            with VerticalScroll(can_focus=False):
                yield Static(self._table(""), id="keys")

    def on_mount(self) -> None:
        """Typing filters at once."""
        self.query_one(Input).focus()

    @on(Input.Changed)
    def _narrow(self, event: Input.Changed) -> None:
        self.query_one("#keys", Static).update(self._table(event.value.casefold()))

    def _table(self, needle: str) -> Table:
        table = Table.grid(padding=(0, 2), expand=True)
        table.add_column(style="bold", no_wrap=True)
        table.add_column(ratio=1)
        table.add_column(style="dim", no_wrap=True)
        # A screen's own keys first; the others are of every screen.
        for group in (self._of, "Everywhere", "Tables", "Forms", "Texts"):
            for binding in keys.GROUPS.get(group, ()):
                key = keys.spoken(self._keymap.get(binding.id or "", binding.key))
                if needle in f"{key} {binding.description} {binding.tooltip} {binding.id}".casefold():
                    table.add_row(key, binding.tooltip, binding.id)
        return table

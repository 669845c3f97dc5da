"""The keys that work here, filterable: made from ``tui.keys``, and the user's own where they remapped one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.widgets import Input, Static

from tui import keys
from tui.widgets.dialog import Dialog
from tui.widgets.key_table import KeyRow, KeyTable
from tui.widgets.line import Line
from tui.widgets.tabs import SCREENS


class HelpScreen(Dialog[None]):
    """Every key of one screen and of everywhere."""

    BINDINGS: ClassVar = [
        Binding("escape,f1", "dismiss", "Back", id="help-back"),
        Binding("down", "lines(1)", show=False, id="help-down"),
        Binding("up", "lines(-1)", show=False, id="help-up"),
        Binding("pagedown", "page(1)", show=False, id="help-page-down"),
        Binding("pageup", "page(-1)", show=False, id="help-page-up"),
    ]

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
            yield Line(placeholder="filter", compact=True)
            yield KeyTable(self._rows(""))

    def on_mount(self) -> None:
        """Typing filters at once."""
        self.query_one(Input).focus()

    @on(Input.Changed)
    def _narrow(self, event: Input.Changed) -> None:
        self.query_one(KeyTable).show(self._rows(event.value.casefold()))

    def _rows(self, needle: str) -> list[KeyRow]:
        rows = []
        # A screen's own keys first; the others are of every screen.
        for group in (self._of, "Everywhere", "Tables", "Forms", "Texts"):
            for binding in keys.GROUPS.get(group, ()):
                key = keys.spoken(self._keymap.get(binding.id or "", binding.key))
                if needle in f"{key} {binding.description} {binding.tooltip} {binding.id}".casefold():
                    rows.append(KeyRow(key, binding.tooltip, binding.id or ""))
        return rows

    def action_lines(self, by: int) -> None:
        """Down, or up when negative."""
        self.query_one(KeyTable).scroll_relative(y=by, animate=False)

    def action_page(self, pages: int) -> None:
        """A page down or up."""
        table = self.query_one(KeyTable)
        table.scroll_relative(y=pages * table.size.height, animate=False)

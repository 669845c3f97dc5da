"""One result large: its picture and everything a list has no room for."""

from __future__ import annotations

from dataclasses import dataclass

from rich.table import Table
from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widgets import Static

from tui.widgets.drawing import Subject
from tui.widgets.pictures import Picture
from tui.widgets.text import plain

_NAMES = 10  # cells, so that a long field's name leaves room for its value


@dataclass(frozen=True, slots=True)
class Details:
    """What is told about one picture: facts as (name, value), empty values left out."""

    subject: Subject
    title: str
    facts: tuple[tuple[str, str], ...]


class DetailPane(Vertical, can_focus=True):
    """A large picture and its facts: below each other, or side by side where the pane is low."""

    def compose(self) -> ComposeResult:
        """Picture, title, facts."""
        yield Picture(id="large")
        with Vertical(id="told"):
            yield Static(id="detail-title", markup=False)
            yield Static(id="detail-facts", markup=False)

    def show(self, details: Details | None) -> None:
        """Show one picture, or none."""
        picture = self.query_one(Picture)
        title, facts = self.query_one("#detail-title", Static), self.query_one("#detail-facts", Static)
        if details is None:
            picture.show(None)
            title.update("", layout=False)
            facts.update("", layout=False)
            return
        picture.show(details.subject)
        title.update(Text(plain(details.title), no_wrap=True, overflow="ellipsis"), layout=False)
        table = Table.grid(padding=(0, 1), expand=True)
        table.add_column(style="dim", no_wrap=True, max_width=_NAMES, overflow="ellipsis")
        table.add_column(ratio=1, overflow="fold")
        for name, value in details.facts:
            if value:
                table.add_row(Text(plain(name)), Text(plain(value)))
        # Their heights are fixed, so a held key lays nothing out anew.
        facts.update(table, layout=False)

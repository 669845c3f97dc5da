"""One result large: its picture and everything a list has no room for."""

from __future__ import annotations

from dataclasses import dataclass

from rich.segment import Segment, Segments
from rich.style import Style
from rich.table import Table
from rich.text import Text
from textual import events
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widget import Widget
from textual.widgets import Static

from tui.core.words import counted
from tui.widgets.painting import Subject
from tui.widgets.pictures import Picture
from tui.widgets.text import plain

_NAMES = 10  # cells, so that a long field's name leaves room for its value


@dataclass(frozen=True, slots=True)
class Details:
    """What is told about one picture: facts as (name, value), empty values left out."""

    subject: Subject
    title: str
    facts: tuple[tuple[str, str], ...]


class FactsView(Widget):
    """Names and values. What does not fit is counted in the last line, and can be scrolled to."""

    ALLOW_SELECT = False

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._facts: tuple[tuple[str, str], ...] = ()
        self._top = 0

    def show(self, facts: tuple[tuple[str, str], ...]) -> None:
        """Other facts; the same ones of another picture stay where they were scrolled to."""
        if [name for name, _ in facts] != [name for name, _ in self._facts]:
            self._top = 0
        self._facts = facts
        self.refresh()

    def scroll_lines(self, by: int) -> None:
        """Down, or up when negative."""
        self._top = max(0, min(self._top + by, len(self._lines()) - self.size.height))
        self.refresh()

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """Down with the wheel."""
        event.stop()
        self.scroll_lines(2)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """Up with the wheel."""
        event.stop()
        self.scroll_lines(-2)

    def render(self) -> Segments:
        """The lines there is room for, and how many there are beyond."""
        lines, height = self._lines(), self.size.height
        top = max(0, min(self._top, len(lines) - height))
        shown = lines[top : top + height]
        if (below := len(lines) - top - height) > 0 and shown:
            shown[-1] = [Segment(f"▼ {counted(below + 1, 'more line')}: J K", Style(dim=True))]
        if top > 0 and len(shown) > 1:
            shown[0] = [Segment(f"▲ {top + 1} lines above", Style(dim=True))]
        return Segments([segment for line in shown for segment in (*line, Segment.line())])

    def _lines(self) -> list[list[Segment]]:
        table = Table.grid(padding=(0, 1), expand=True)
        table.add_column(style="dim", no_wrap=True, max_width=_NAMES, overflow="ellipsis")
        table.add_column(ratio=1, overflow="fold")
        for name, value in self._facts:
            if value:
                table.add_row(Text(plain(name)), Text(plain(value)))
        console = self.app.console
        if not table.row_count or self.size.width < 1:
            return []
        return console.render_lines(table, console.options.update(width=self.size.width), pad=False)


class DetailPane(Vertical, can_focus=True):
    """A large picture and its facts: below each other, or side by side where the pane is low."""

    def compose(self) -> ComposeResult:
        """Picture, title, facts."""
        yield Picture(id="large")
        with Vertical(id="told"):
            yield Static(id="detail-title", markup=False)
            yield FactsView(id="detail-facts")

    def show(self, details: Details | None) -> None:
        """Show one picture, or none."""
        picture = self.query_one(Picture)
        title, facts = self.query_one("#detail-title", Static), self.query_one(FactsView)
        if details is None:
            picture.show(None)
            title.update("", layout=False)
            facts.show(())
            return
        picture.show(details.subject)
        title.update(Text(plain(details.title), no_wrap=True, overflow="ellipsis"), layout=False)
        # Their heights are fixed, so a held key lays nothing out anew.
        facts.show(details.facts)

    def scroll_facts(self, by: int) -> None:
        """Other facts, where there are more than lines."""
        self.query_one(FactsView).scroll_lines(by)

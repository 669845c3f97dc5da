"""How a dataset reads: its row in the list, and everything worth choosing from beside it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from rich.console import Console, ConsoleOptions, Group, RenderResult
from rich.table import Table
from rich.text import Text
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.widgets import Static

from tui import keys
from tui.core.words import counted
from tui.widgets.bars import bars
from tui.widgets.fitted import FitColumn
from tui.widgets.pictures import ThumbnailStrip
from tui.widgets.table import TableRow
from tui.widgets.text import cell, number, plain

if TYPE_CHECKING:
    from tui.core.datasets import DatasetDetail, DatasetInfo, SampleInfo

COLUMNS = (
    FitColumn("name", "Name", least=16),
    FitColumn("samples", "Samples", right=True),
    FitColumn("media", "Media", drop=2),
    FitColumn("runs", "Runs", drop=1, right=True),
    FitColumn("changed", "Last change", drop=3),
)

_BAR = "#4ea1d3"


def dataset_row(info: DatasetInfo, chosen: bool) -> TableRow:
    """One line of the list; the chosen dataset carries a dot."""
    name = cell(f"● {plain(info.name)}" if chosen else f"  {plain(info.name)}", "bold" if chosen else "")
    cells = (
        name,
        number(info.samples),
        cell(info.media_type, "dim"),
        number(info.runs) if info.runs else cell("–", "dim", justify="right"),
        cell(when(info.last_modified), "dim"),
    )
    values = (info.name.casefold(), info.samples, info.media_type, info.runs, info.last_modified)
    return TableRow(info.name, cells, values, f"{info.name} {info.media_type}")


def when(moment: str | None) -> str:
    """A moment in local time: the clock today, else the day."""
    if moment is None:
        return ""
    there = datetime.fromisoformat(moment).astimezone()
    today = datetime.now().astimezone().date()
    return f"{there:%H:%M} today" if there.date() == today else f"{there:%Y-%m-%d}"


class DatasetView(VerticalScroll):
    """Pictures, label counts as bars, tags, views, runs and fields of one dataset."""

    BINDINGS = [*keys.SCROLL]

    def compose(self) -> ComposeResult:
        """A strip of pictures and the facts."""
        yield ThumbnailStrip(id="dataset-pictures")
        yield Static(id="dataset-facts", markup=False)

    def loading_of(self, info: DatasetInfo | None) -> None:
        """Nothing but the name is known yet."""
        self.query_one(ThumbnailStrip).display = False
        self.query_one("#dataset-facts", Static).update(
            Text("Looking into it…" if info else "", "dim italic")
        )

    def show(self, detail: DatasetDetail, samples: Sequence[SampleInfo]) -> None:
        """Show what was read."""
        strip = self.query_one(ThumbnailStrip)
        strip.display = bool(samples)
        strip.show([(sample.filepath, sample.box) for sample in samples])
        self.query_one("#dataset-facts", Static).update(Facts(detail))

    def action_lines(self, by: int) -> None:
        """Scroll by lines."""
        self.scroll_relative(y=by, animate=False)

    def action_page(self, by: int) -> None:
        """Scroll by half of what is visible."""
        self.scroll_relative(y=by * max(1, self.size.height // 2), animate=False)

    def action_edge(self, end: int) -> None:
        """Scroll to the beginning or the end."""
        self.scroll_to(y=self.max_scroll_y if end else 0, animate=False)


class Facts:
    """What is known of a dataset, as wide as there is room."""

    def __init__(self, detail: DatasetDetail) -> None:
        self._detail = detail

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw."""
        yield Group(*self._parts(options.max_width))

    def _parts(self, width: int) -> Iterator[Text | Table]:
        detail = self._detail
        info = detail.info
        runs = counted(info.runs, "brain run") if info.runs else "no brain run yet"
        changed = f"changed {when(info.last_modified)}" if info.last_modified else ""
        temporary = "" if info.persistent else "not persistent"
        facts = (counted(info.samples, "sample"), info.media_type, runs, changed, temporary)
        yield Text(" · ".join(filter(None, facts)), "dim")
        for field, counts in detail.label_fields.items():
            labels = counted(len(counts), "label")
            patches = ", patches" if field in detail.patches_fields else ""
            yield from self._section(field, f"{labels}{patches}" if counts else "no labels yet")
            if counts:
                yield bars(counts, width, style=_BAR)
        if detail.tags:
            yield from self._section("Tags")
            yield bars(detail.tags, width, style="yellow")
        for title, names in (("Saved views", detail.saved_views), ("Brain runs", detail.runs)):
            if names:
                yield from self._section(title)
                yield Text(plain(", ".join(names)))
        if detail.embeddings_fields:
            yield from self._section("Embeddings")
            for found in detail.embeddings_fields:
                length = counted(found.dim, "dimension") if found.dim else "– dimensions"
                yield Text(f"{plain(found.name)}  {length}")
        yield from self._section("Fields")
        yield self._fields()

    def _fields(self) -> Table:
        table = Table.grid(padding=(0, 2))
        table.add_column(overflow="fold")
        table.add_column(style="dim", no_wrap=True)
        for field in self._detail.fields:
            table.add_row(Text(plain(field.path)), Text(plain(field.type)))
        return table

    @staticmethod
    def _section(title: str, note: str = "") -> Iterator[Text]:
        yield Text("")
        yield Text(plain(title), "bold").append(f"  {note}" if note else "", "not bold dim")

"""The lists of the Runs screen: what they show and what is chosen in them. Its keys are in ``runs``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from rich.console import RenderableType
from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.message import Message
from textual.timer import Timer
from textual.widgets import Static

from tui.jobs.info import newly_ended
from tui.messages import Answer
from tui.screens.base import core_call
from tui.screens.run_health import RunHealth
from tui.state import AppState
from tui.widgets.filter import FilterBar
from tui.widgets.fitted import FittedTable
from tui.widgets.run_view import (
    COLLECTION_COLUMNS,
    RUN_COLUMNS,
    collection_facts,
    collection_line,
    run_facts,
    run_key,
    run_row,
)
from tui.widgets.table import RowTable, TableRow
from tui.widgets.text import plain

if TYPE_CHECKING:
    from tui.core.collections import CollectionRow
    from tui.core.runs import RunInfo

_SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_REDRAW_S = 0.15
ONLY: Mapping[str, str] = {"health": "what is not healthy", "prompts": "what takes text"}
"""Kinds of runs that are listed alone, beside types and patches fields."""


class CollectionsRead(Answer):
    """What collections Milvus has."""

    def __init__(self, rows: Sequence[CollectionRow]) -> None:
        self.rows = tuple(rows)
        super().__init__()


class RunLists(RunHealth):
    """Two lists, one at a time; beside them what is known of the row under the cursor."""

    MAIN = "#runs"

    def __init__(self) -> None:
        super().__init__()
        self._tab: Literal["runs", "collections"] = "runs"
        self._every_dataset = False
        self._only = ""
        self._collections: tuple[CollectionRow, ...] | None = None
        self._drawn: dict[str, tuple[RunInfo, bool, TableRow]] = {}
        self._redraw: Timer | None = None
        self._turn = 0

    def body(self) -> ComposeResult:
        """A line that says what is listed, the lists, the facts."""
        yield Static(id="runs-head", markup=False)
        with Horizontal():
            with Vertical(id="runs-lists"):
                yield Static(classes="empty", id="runs-empty", markup=False)
                for columns, name, first in (
                    (RUN_COLUMNS, "runs", "dataset"),
                    (COLLECTION_COLUMNS, "collections", "name"),
                ):
                    order = self.kitescope.last.sort.get(name, first)
                    yield FittedTable(
                        columns, id=name, sort=order.removeprefix("-"), reverse=order.startswith("-")
                    )
            with VerticalScroll(classes="pane side", id="run-facts", can_focus=False):
                yield Static(id="run-facts-text", markup=False)

    def on_mount(self) -> None:
        """Draw, and keep the line above moving while something is under way."""
        self.set_interval(0.1, self._spin)
        self.draw()

    # What is shown

    def watch_state(self, old: AppState, new: AppState) -> None:
        """Show the runs as they are now; many changes in a row are drawn once."""
        if new.runs is None:
            self.forget_all_health()
        if new.milvus.status == "connecting":
            self._collections = None
        elif self._tab == "collections" and old.milvus.status != "ready" == new.milvus.status:
            self._load_collections()  # of another Milvus, or one that came back: nobody else asks it
        if old.dataset != new.dataset:
            self._every_dataset = False
        self._note_ended_jobs(old, new)
        if self._redraw is None and self.is_mounted:
            self._redraw = self.set_timer(_REDRAW_S, self.draw)

    def _note_ended_jobs(self, old: AppState, new: AppState) -> None:
        if old.jobs is not None and old.jobs is not new.jobs:
            ended = newly_ended(old.jobs, new.jobs or ())
            self.forget_health([(job.dataset, job.brain_key) for job in ended])

    def draw(self) -> None:
        """Bring the lists, the line above and the facts up to date."""
        self._redraw = None
        runs = self.query_one("#runs", FittedTable)
        reachable = self.state.milvus.status != "failed"
        runs.hide(*(() if self._of is None else ("dataset",)))
        runs.show([self._row(run, reachable) for run in self.listed()])
        if self._tab == "collections":
            self.query_one("#collections", FittedTable).show(
                [collection_line(row) for row in self._collections or ()]
            )
        why = self._why_empty()
        self.query_one("#runs-empty", Static).update(why)
        self.set_class(bool(why), "-empty")
        self.set_class(self._tab == "collections", "-collections")
        if not why and self.focused is None and self.active:
            self.call_after_refresh(self.focus_main)
        self._show_head()
        self._show_facts()
        self.ask_health()

    def _row(self, run: RunInfo, reachable: bool) -> TableRow:
        """The row of a run, the same object while nothing about it changed."""
        key = run_key(run.dataset, run.brain_key)
        known = self._drawn.get(key)
        if known is None or known[0] is not run or known[1] != reachable:
            self._drawn[key] = known = (run, reachable, run_row(run, reachable))
        return known[2]

    @property
    def _of(self) -> str | None:
        """The dataset whose runs are listed; None: those of all."""
        return None if self._every_dataset else self.state.dataset

    def within(self) -> list[RunInfo]:
        """The runs of the chosen dataset or all, of every kind."""
        of = self._of
        return [run for run in self.state.runs or () if of in (None, run.dataset)]

    def listed(self) -> list[RunInfo]:
        """The runs of the chosen dataset or all, of the chosen kind."""
        runs = self.within()
        what, _, value = self._only.partition("=")
        if what == "type":
            return [run for run in runs if run.type == value]
        if what == "patches":
            return [run for run in runs if run.patches_field == value]
        if what == "health":
            return [run for run in runs if run.is_index and run.health not in (None, "ok")]
        return [run for run in runs if run.supports_prompts] if what == "prompts" else runs

    def _why_empty(self) -> str:
        if self._tab == "collections":
            if self._collections is None:
                failed = self.state.milvus.status == "failed"
                return (
                    f"{self.state.milvus.detail}.\n{self.state.milvus.remedy}."
                    if failed
                    else "Asking Milvus…"
                )
            return (
                ""
                if self._collections
                else "Milvus has no collection.\n\nBuild an index (3) and its vectors are here."
            )
        if self.state.runs is None:
            failed = self.state.database.status == "failed"
            database = self.state.database
            return f"{database.detail}.\n{database.remedy}." if failed else "Reading brain runs…"
        if self.listed():
            return ""
        if self._only:
            return "No run is of that kind.\n\nf shows others."
        if self._of is not None and self.state.runs:
            name = plain(self._of)
            return f"{name} has no brain run.\n\nBuild an index (3), or see those of every dataset (A)."
        return "No dataset has a brain run.\n\nBuild an index (3)."

    def _show_head(self) -> None:
        of = f"Runs of {self._of}" if self._of else "Runs of every dataset"
        runs = f" {plain(of)} " + (f"{len(self.listed())} " if self.state.runs is not None else "")
        milvus = " Milvus collections "
        if self._collections is not None:
            orphans = sum(1 for row in self._collections if not row.runs)
            milvus += f"{len(self._collections)} " + (f"· {orphans} without a run " if orphans else "")
        on_runs = self._tab == "runs"
        head = Text(no_wrap=True, overflow="ellipsis", end="")
        head.append(runs, "reverse" if on_runs else "dim").append(" tab ", "bold")
        head.append(milvus, "dim" if on_runs else "reverse")
        for note in self._notes():
            head.append(f"  {note}")
        self.query_one("#runs-head", Static).update(head)

    def _notes(self) -> list[str]:
        table = self.table()
        notes = [f"{len(table.marks)} marked"] if table and table.marks else []
        if table and len(table.shown) != table.total:
            notes.append(f"{len(table.shown)} fit the filter")
        if self._only and self._tab == "runs":
            notes.append(f"only {ONLY.get(self._only, self._only.replace('=', ' '))}")
        turning = _SPINNER[self._turn % len(_SPINNER)]
        if self.busy:
            notes.append(f"{turning} {plain(self.busy)}")
        elif self.checking:
            left = len(self.due())
            notes.append(f"{turning} health of {left}" if left else "")
        return [note for note in notes if note]

    def _spin(self) -> None:
        if self.active and (self.busy or self.checking):
            self._turn += 1
            self._show_head()

    @on(RowTable.RowHighlighted)
    @on(RowTable.MarksChanged)
    def _moved(self) -> None:
        self._show_facts()
        self._show_head()

    @on(FilterBar.Narrowed)
    def _count_again(self) -> None:
        # The table is narrowed by the same message.
        self.call_later(self._show_head)

    def _show_facts(self) -> None:
        table = self.table()
        key = table.current_key if table else None
        facts: RenderableType = Text()
        if self._tab == "collections":
            row = next((row for row in self._collections or () if row.name == key), None)
            facts = collection_facts(row) if row else facts
        else:
            run = next((run for run in self.listed() if run_key(run.dataset, run.brain_key) == key), None)
            facts = run_facts(run, self.state.milvus.status != "failed") if run else facts
        self.query_one("#run-facts-text", Static).update(facts)

    # Collections

    @core_call("reading collections", bound=True)
    def _load_collections(self) -> Message | None:
        from tui.core.collections import list_collections

        return CollectionsRead(list_collections(self.kitescope.workspace))

    @on(CollectionsRead)
    def _take_collections(self, message: CollectionsRead) -> None:
        if message.is_late(self.kitescope.workspace):
            return
        self._collections = message.rows
        self.draw()

    # What is chosen

    def table(self) -> RowTable | None:
        """The list that is shown."""
        return self.query_one(f"#{self._tab}", FittedTable)

    def focus_main(self) -> None:
        """The list that is shown takes the keyboard."""
        self.query_one(f"#{self._tab}", FittedTable).focus()

    def chosen_runs(self) -> tuple[RunInfo, ...]:
        """The marked runs, or else the one under the cursor."""
        chosen = self.query_one("#runs", FittedTable).chosen()
        known = {run_key(run.dataset, run.brain_key): run for run in self.state.runs or ()}
        return tuple(known[key] for key in chosen if key in known)

    def chosen_collections(self) -> tuple[CollectionRow, ...]:
        """The marked collections, or else the one under the cursor."""
        chosen = self.query_one("#collections", FittedTable).chosen()
        known = {row.name: row for row in self._collections or ()}
        return tuple(known[key] for key in chosen if key in known)

    def copy_text(self) -> str | None:
        """What ``y`` copies: dataset and key as the command line wants them, or the collection's name."""
        if self._tab == "collections":
            rows = self.chosen_collections()
            return "\n".join(row.name for row in rows) or None
        return "\n".join(f"{run.dataset} {run.brain_key}" for run in self.chosen_runs()) or None

    def after_each(self, changed: Sequence[tuple[str, str]]) -> None:
        """Ask again what a change may have changed; the cursor may have moved on meanwhile."""
        self.forget_health(changed)
        self.query_one(f"#{self._tab}", FittedTable).clear_marks()
        if self._collections is not None:
            self._load_collections()
        # Where the runs read the same afterwards, nothing else would ask.
        self.draw()

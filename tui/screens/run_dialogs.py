"""The question before runs are deleted, and what is said about each of them there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.widgets import Button, Checkbox, Input, Static

from tui.core.words import counted
from tui.widgets.dialog import Dialog
from tui.widgets.line import Line
from tui.widgets.run_view import named
from tui.widgets.text import plain

if TYPE_CHECKING:
    from tui.core.runs import RunInfo

Answer = Literal["delete", "keep"]

STILL_RUNNING = "A notebook that is building an unfinished one right now would fail: wait for it then."


def vectors_of(run: RunInfo) -> str:
    """How many vectors a run has, as far as is known."""
    return counted(run.vectors, "vector") if run.vectors is not None else "vectors (not counted)"


def what_goes(runs: Sequence[RunInfo], every: Sequence[RunInfo]) -> str:
    """For each run what a delete takes away; a collection that others name stays."""
    going = {(run.dataset, run.brain_key) for run in runs}
    lines = []
    for run in runs:
        others = [
            named(other)
            for other in every
            if run.collection
            and other.collection == run.collection
            and (other.dataset, other.brain_key) not in going
        ]
        if not run.is_index:
            what = f"the {run.type or 'unknown'} run, and what it stored on the dataset"
        elif run.collection is None or run.health == "no-collection":
            what = "the record; there is no collection"
        elif not run.finished and not others:
            what = f"the record, and {run.collection} if it holds vectors of {run.dataset}"
        elif others:
            what = f"the record; {run.collection} stays, as {', '.join(others)} uses it"
        else:
            what = f"the record, and {vectors_of(run)} in {run.collection}"
        lines.append(f"{named(run)}: {what}")
    return "\n".join(lines)


def word_for(runs: Sequence[RunInfo], verb: str) -> str:
    """What has to be typed: the key of one, the number of several."""
    return runs[0].brain_key if len(runs) == 1 else f"{verb} {len(runs)}"


class DeleteRuns(Dialog[Answer | None]):
    """Delete with or without the collection; needs the name typed. None when the user changed their mind."""

    BINDINGS = [Binding("escape", "dismiss(None)", "No", id="delete-runs-no")]

    def __init__(self, runs: Sequence[RunInfo], every: Sequence[RunInfo]) -> None:
        super().__init__()
        self._runs = tuple(runs)
        self._body = what_goes(runs, every)
        if any(run.is_index and not run.finished for run in runs):
            self._body += f"\n\n{STILL_RUNNING}"
        self._word = word_for(runs, "delete")

    def compose(self) -> ComposeResult:
        """What goes, the choice to keep the vectors, the word to type, two buttons."""
        many = len(self._runs)
        verb = "Delete" if any(run.finished or not run.is_index for run in self._runs) else "Discard"
        title = f"{verb} {many} runs?" if many > 1 else f"{verb} {named(self._runs[0])}?"
        with Vertical(classes="dialog"):
            yield Static(plain(title), classes="dialog-title", markup=False)
            with VerticalScroll(classes="dialog-body"):
                yield Static("\n".join(plain(line) for line in self._body.split("\n")), markup=False)
            if any(run.collection for run in self._runs):
                yield Checkbox(self._kept_label(), id="keep", compact=True)
            yield Static(f"Type {plain(self._word)} to go on:", markup=False)
            yield Line(id="typed", compact=True)
            with Horizontal(classes="dialog-buttons"):
                yield Button(verb, variant="error", id="yes", disabled=True, compact=True)
                yield Button("No", id="no", compact=True)

    def _kept_label(self) -> str:
        what = "collection" if len(self._runs) == 1 else "collections"
        return f"Keep the {what} in Milvus (shift+tab, space)"

    def on_mount(self) -> None:
        """Typing is what has to be done."""
        self.query_one("#typed").focus()

    @on(Input.Changed, "#typed")
    def _allow(self, event: Input.Changed) -> None:
        self.query_one("#yes", Button).disabled = event.value != self._word

    @on(Input.Submitted, "#typed")
    def _entered(self) -> None:
        self._answer()

    @on(Button.Pressed)
    def _pressed(self, event: Button.Pressed) -> None:
        if event.button.id == "yes":
            self._answer()
        else:
            self.dismiss(None)

    def _answer(self) -> None:
        if self.query_one("#typed", Input).value != self._word:
            self.notify(f"Type {plain(self._word)} first, or press esc.", severity="warning", markup=False)
            return
        kept = any(box.value for box in self.query(Checkbox))
        self.dismiss("keep" if kept else "delete")

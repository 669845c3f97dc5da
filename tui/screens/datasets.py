"""Datasets: a list, beside it what is in the one under the cursor; choose, narrow, import, delete."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from textual import events, on, work
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.message import Message
from textual.timer import Timer
from textual.widgets import DataTable, Static

from tui import keys
from tui.core.errors import KitescopeError
from tui.core.scope import Scope
from tui.core.words import counted
from tui.messages import Answer, Failed, Happened, RefreshRequested
from tui.screens.base import BaseScreen, core_call
from tui.state import AppState, ScopeChosen
from tui.widgets.dataset_view import COLUMNS, DatasetView, dataset_row
from tui.widgets.fitted import FittedTable
from tui.widgets.spinner import spinner
from tui.widgets.text import plain, seconds

if TYPE_CHECKING:
    from tui.core.datasets import DatasetDetail, DatasetInfo, DeletedDataset, SampleInfo
    from tui.core.settings import Settings
    from tui.jobs import importing

_EMPTY = """No datasets yet.

i   imports a folder of images
1   connects to another FiftyOne database

On the command line, kitescope demo makes one of 1,797 digits."""
_PICTURES = 40
_DWELL_S = 0.15


@dataclass(frozen=True, slots=True)
class Inside:
    """What was read of one dataset, and the line of the list it belongs to."""

    info: DatasetInfo
    detail: DatasetDetail
    samples: tuple[SampleInfo, ...]


class DetailRead(Answer):
    """A dataset was looked into."""

    def __init__(self, inside: Inside) -> None:
        self.inside = inside
        super().__init__()


class ImportStarted(Message):
    """A folder is being imported."""

    def __init__(self, running: importing.Import) -> None:
        self.running = running
        super().__init__()


class Deleted(Message):
    """A dataset is gone."""

    def __init__(self, deleted: DeletedDataset) -> None:
        self.deleted = deleted
        super().__init__()


class DatasetsScreen(BaseScreen):
    """The list decides; what is read of a dataset that the cursor has left meanwhile is kept, not shown."""

    MODE = "datasets"
    MAIN = "#datasets"
    BINDINGS = [*keys.DATASETS]
    TITLE: ClassVar[str] = "Datasets"

    def __init__(self) -> None:
        super().__init__()
        self._inside: dict[str, Inside] = {}
        self._dwell: Timer | None = None
        self._import: importing.Import | None = None
        self._go_to: str | None = None
        self._view_wanted: str | None = None

    def body(self) -> ComposeResult:
        """What is being imported, the list, and the dataset under the cursor."""
        yield Static(id="importing", markup=False)
        yield Static("Reading datasets…", classes="empty", id="no-datasets", markup=False)
        with Horizontal(id="datasets-panes"):
            with Vertical(id="datasets-pane"):
                yield FittedTable(COLUMNS, id="datasets", sort="name")
            yield DatasetView(id="dataset", classes="pane side")

    def on_mount(self) -> None:
        """Draw what is known."""
        self._ticker = self.set_interval(0.1, self._tick, pause=True)
        self._draw()

    # What is shown

    def watch_state(self, old: AppState, new: AppState) -> None:
        """Show the datasets as they are now."""
        if not self.is_mounted:
            return
        if new.datasets is None:
            self._inside.clear()
        if (old.datasets, old.scope, old.database) != (new.datasets, new.scope, new.database):
            self._draw()

    def _draw(self) -> None:
        state = self.state
        table = self.query_one("#datasets", FittedTable)
        first = table.total == 0
        table.show([dataset_row(info, info.name == state.dataset) for info in state.datasets or ()])
        wanted = self._go_to or (state.dataset if first else None)
        if wanted is not None and any(info.name == wanted for info in state.datasets or ()):
            table.go_to(wanted)
            self._go_to = None
        why = self._why_empty()
        self.set_class(bool(why), "-empty")
        self.query_one("#no-datasets", Static).update(plain_lines(why))
        if not why and self.focused is None:
            self.call_after_refresh(self.focus_main)
        self._show_inside()

    def _why_empty(self) -> str:
        database = self.state.database
        if self.state.datasets:
            return ""
        if database.status == "failed":
            return f"{database.detail}.\n{database.remedy}.\n\nr   tries again\n1   changes the connection"
        if self.state.datasets is None:
            return "Opening FiftyOne's database…" if database.status == "connecting" else "Reading datasets…"
        return _EMPTY

    @property
    def _info(self) -> DatasetInfo | None:
        """The dataset under the cursor."""
        key = self.query_one("#datasets", FittedTable).current_key
        return next((info for info in self.state.datasets or () if info.name == key), None)

    @on(DataTable.RowHighlighted, "#datasets")
    def _moved(self) -> None:
        self._show_inside()

    def _show_inside(self) -> None:
        """Show what is known of the dataset under the cursor; read it when that is nothing, or old."""
        info = self._info
        if info is None or info.name != self._view_wanted:
            self._view_wanted = None
        view = self.query_one(DatasetView)
        view.border_title = Content(plain(info.name) if info else "")
        inside = self._inside.get(info.name) if info else None
        if inside is not None:
            view.show(inside.detail, inside.samples)
        else:
            view.loading_of(info)
        if info is not None and (inside is None or inside.info != info):
            if self._dwell is not None:
                self._dwell.stop()
            # Whoever runs down the list does not want every dataset read.
            self._dwell = self.set_timer(_DWELL_S, lambda: self._load_detail(info))

    @core_call("looking into the dataset", bound=True)
    def _load_detail(self, info: DatasetInfo) -> Message | None:
        from tui.core.datasets import dataset_detail, sample_page

        workspace = self.kitescope.workspace
        detail = dataset_detail(workspace, info.name)
        samples = sample_page(workspace, Scope(info.name), 0, _PICTURES) if info.media_type == "image" else []
        return DetailRead(Inside(info, detail, tuple(samples)))

    @on(DetailRead)
    def _show_detail(self, message: DetailRead) -> None:
        if message.is_late(self.kitescope.workspace):
            return
        inside = message.inside
        self._inside[inside.info.name] = inside
        if self._info is not None and self._info.name == inside.info.name:
            self.query_one(DatasetView).show(inside.detail, inside.samples)
            if self._view_wanted == inside.info.name:
                self._view_wanted = None
                if self.is_current:
                    self._ask_view(inside.detail)

    @on(Failed)
    def _failed_here(self) -> None:
        # What is read later, unasked, opens no dialog.
        self._view_wanted = None

    # Choose

    def action_choose(self) -> None:
        """Work with this dataset."""
        if (info := self._needed()) is not None:
            self._choose(Scope(info.name))

    @on(events.Click, "#datasets")
    def _clicked(self, event: events.Click) -> None:
        if event.chain == 2:
            self.action_choose()

    def _choose(self, scope: Scope) -> None:
        self.post_message(Happened(ScopeChosen(scope)))
        indexed = any(run.dataset == scope.dataset and run.collection for run in self.state.runs or ())
        way = "b builds another index · 5 runs · 6 searches" if indexed else "b builds its index"
        part = "a part of " if not scope.is_whole or scope.patches_field else ""
        self.notify(f"{way}", title=f"Working with {part}{plain(scope.dataset)}", markup=False, timeout=4)

    def _needed(self) -> DatasetInfo | None:
        info = self._info
        if info is None:
            self.tell("There is no dataset under the cursor.")
        return info

    def action_view(self) -> None:
        """Narrow to a part."""
        if (info := self._needed()) is None:
            return
        inside = self._inside.get(info.name)
        if inside is not None and inside.info == info:
            self._ask_view(inside.detail)
        else:
            self.notify("Looking into it first…", timeout=2)
            # Whichever reading of it comes first: the cursor's own may replace this one.
            self._view_wanted = info.name
            self._load_detail(info)

    @work(exclusive=True, group="dialog")
    async def _ask_view(self, detail: DatasetDetail) -> None:
        from tui.screens.choose_view import ChooseView, scope_of

        now = self.state.scope
        if now is not None and now.dataset != detail.info.name:
            now = None
        answers = await self.ask(ChooseView(self.kitescope.workspace, detail, now))
        if answers is not None:
            self._choose(scope_of(detail.info.name, answers))

    def action_detail(self) -> None:
        """Look inside: where there is no room beside the list, instead of it."""
        if self._needed() is not None:
            self.add_class("-inside")
            self.call_after_refresh(self.query_one(DatasetView).focus)

    def action_filter(self) -> None:
        """Open the filter line, and show the list that it narrows."""
        self.skip_while_typing()
        self.remove_class("-inside")
        super().action_filter()

    def go_back(self) -> bool:
        """Leave the inside of a dataset."""
        if self.has_class("-inside") or self.query_one(DatasetView).has_focus:
            self.remove_class("-inside")
            self.call_after_refresh(self.focus_main)
            return True
        return super().go_back()

    # Go on with it

    def action_build(self) -> None:
        """Build an index of it."""
        self._go_on("build")

    def action_runs(self) -> None:
        """Its brain runs."""
        self._go_on("runs")

    def _go_on(self, mode: str) -> None:
        if (info := self._needed()) is not None:
            if self.state.dataset != info.name:
                self.post_message(Happened(ScopeChosen(Scope(info.name))))
            self.kitescope.action_show_screen(mode)

    # Import

    @work(exclusive=True, group="dialog")
    async def action_import(self) -> None:
        """Import a folder; while one is imported, ask whether to stop that."""
        from tui.widgets.dialogs import Confirm

        if self._import is not None:
            body = "What was read until now is thrown away. The files stay as they are."
            if await self.ask(Confirm(f"Stop importing {self._import.name}?", body, yes="Stop")):
                self._import.stop() if self._import else None
            return
        if self.state.readonly:
            self.tell("This connection allows no changes.")
            return
        from tui.screens.import_dataset import ImportDataset

        answers = await self.ask(ImportDataset([info.name for info in self.state.datasets or ()]))
        if answers is not None:
            answers = {key: text.strip() for key, text in answers.items()}
            self._start_import(self.kitescope.settings, answers)

    @core_call("importing")
    def _start_import(self, settings: Settings, answers: dict[str, str]) -> Message | None:
        from tui.jobs import importing

        return ImportStarted(
            importing.start(settings, answers["directory"], answers["name"], answers["type"])
        )

    @on(ImportStarted)
    def _import_started(self, message: ImportStarted) -> None:
        self._import = message.running
        self._ticker.resume()
        self.add_class("-importing")

    def _tick(self) -> None:
        running = self._import
        if running is None:
            return
        elapsed = time.monotonic() - running.began
        what = f"Importing {plain(running.name)} from {plain(running.directory)}"
        line = f"{spinner(int(elapsed * 10))} {what}  {seconds(elapsed)} · i stops"
        self.query_one("#importing", Static).update(line)
        try:
            samples = running.poll()
        except KitescopeError as error:
            self._import_ended()
            self.post_message(Failed(error, "importing"))
            return
        if samples is not None:
            self._import_ended()
            self._go_to = running.name
            self.notify(counted(samples, "sample"), title=f"Imported {plain(running.name)}", markup=False)

    def _import_ended(self) -> None:
        self._import = None
        self._ticker.pause()
        self.remove_class("-importing")
        self.post_message(RefreshRequested("datasets"))

    # Delete

    @work(exclusive=True, group="dialog")
    async def action_delete(self) -> None:
        """Delete the dataset, and on request its collections; its name is typed first."""
        from tui.screens.delete_dataset import delete_dialog

        if (info := self._needed()) is None:
            return
        if self.state.readonly:
            self.tell("This connection allows no changes.")
            return
        mine = {
            run.collection for run in self.state.runs or () if run.dataset == info.name and run.collection
        }
        busy = [job for job in self.state.jobs or () if job.dataset == info.name and not job.ended]
        answers = await self.ask(delete_dialog(info, sorted(mine), len(busy)))
        what = f"delete the dataset {info.name}"
        if answers is None or (word := await self.confirm_protected(what)) is None:
            return
        self._delete(info.name, answers.get("collections") == "drop", word)

    @core_call("deleting the dataset", exclusive=False)
    def _delete(self, name: str, with_collections: bool, confirmed: str) -> Message | None:
        from tui.core.datasets import delete_dataset
        from tui.core.workspace import confirming

        with confirming(confirmed):
            return Deleted(delete_dataset(self.kitescope.workspace, name, with_collections))

    @on(Deleted)
    def _deleted(self, message: Deleted) -> None:
        gone = message.deleted
        self._inside.pop(gone.name, None)
        lines = [counted(gone.samples, "sample")]
        lines += [f"dropped {name}" for name in gone.dropped]
        lines += [f"kept {name}: {why}" for name, why in gone.kept.items()]
        self.notify(
            "\n".join(map(plain, lines)), title=f"Deleted {plain(gone.name)}", markup=False, timeout=8
        )
        self.post_message(RefreshRequested("datasets", "runs"))


def plain_lines(text: str) -> str:
    """Several lines, none of which can steer the terminal."""
    return "\n".join(plain(line) for line in text.split("\n"))

"""Runs: every brain run with its health, and on a second tab the Milvus collections behind them."""

from __future__ import annotations

from collections.abc import Callable

from textual import on, work

from tui import keys
from tui.screens.run_lists import ONLY, RunLists
from tui.widgets.filter import FilterBar
from tui.widgets.pick import Pick
from tui.widgets.table import RowTable


class RunsScreen(RunLists):
    """The Runs screen: what its keys do."""

    MODE = "runs"
    BINDINGS = [*keys.RUNS]

    def action_collections(self) -> None:
        """Between runs and collections."""
        self._tab = "collections" if self._tab == "runs" else "runs"
        self.query_one(FilterBar).close()
        if self._tab == "collections" and self.state.milvus.status != "failed":
            self._load_collections()
        self.draw()
        self.call_after_refresh(self.focus_main)

    def action_scope(self) -> None:
        """The runs of every dataset, or of the chosen one."""
        if self._tab == "collections":
            self.tell("Collections are of the whole Milvus database.")
        elif self.state.dataset is None:
            self.tell("No dataset is chosen (2), so the runs of all are listed.")
        else:
            self._every_dataset = not self._every_dataset
            self.draw()

    @work
    async def action_only(self) -> None:
        """List only runs of one kind."""
        if self._tab == "collections":
            self.tell("Filter collections with /: try 'orphan' or 'released'.")
            return
        chosen = await self.ask(Pick("Which runs", self._kinds(), self._only))
        if chosen is not None:
            self._only = chosen
            self.draw()

    def _kinds(self) -> list[tuple[str, str]]:
        runs = self.state.runs or ()
        kinds = [("", "Every run"), *ONLY.items()]
        kinds += [(f"type={name}", f"type {name}") for name in sorted({run.type for run in runs if run.type})]
        fields = sorted({run.patches_field for run in runs if run.patches_field})
        return kinds + [(f"patches={name}", f"patches {name}") for name in fields]

    def action_refresh_data(self) -> None:
        """Read runs and collections again, and ask every health again."""
        self.forget_all_health()
        super().action_refresh_data()
        if self._tab == "collections":
            self._load_collections()
        self.draw()

    def action_search(self) -> None:
        """Search the run, or by the run that uses the collection."""
        self.search_run() if self._tab == "runs" else self.search_collection()

    @on(RowTable.RowSelected)
    def _clicked(self) -> None:
        self.action_search()

    def action_info(self) -> None:
        """Everything that is known, to read."""
        self.show_run() if self._tab == "runs" else self.show_collection()

    def action_load(self) -> None:
        """Load into Milvus' memory, or release."""
        self.load_runs() if self._tab == "runs" else self.load_chosen_collections()

    def action_delete(self) -> None:
        """Delete runs, or drop orphans."""
        self.delete_runs() if self._tab == "runs" else self.drop_collections()

    def action_check(self) -> None:
        """Compare exactly."""
        self._of_runs(self.check_runs)

    def action_sync(self) -> None:
        """Bring up to date."""
        self._of_runs(self.sync_runs)

    def action_rename(self) -> None:
        """Give another key."""
        self._of_runs(self.rename_run)

    def action_cleanup(self) -> None:
        """Drop the collection of a run."""
        self._of_runs(self.cleanup_runs)

    def action_python(self) -> None:
        """Copy as Python."""
        self._of_runs(self.show_python)

    def action_adopt(self) -> None:
        """Make the collection under the cursor a run."""
        if self._tab == "runs":
            self.tell("A collection is adopted: tab goes to the collections.")
        else:
            self.adopt_collection()

    def action_ledger(self) -> None:
        """What was destroyed or taken over."""
        self.show_ledger()

    def _of_runs(self, act: Callable[[], object]) -> None:
        if self._tab == "collections":
            self.tell("That is done to a run: tab goes to the runs.")
        else:
            act()

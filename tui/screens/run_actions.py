"""What can be done to brain runs: each action says why it cannot, asks where it must, tells what happened."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from textual import work

from tui.core.words import counted
from tui.messages import Happened, SearchRequested, SyncRequested
from tui.screens.bulk import BulkScreen, Work
from tui.screens.run_dialogs import STILL_RUNNING, DeleteRuns, vectors_of, word_for
from tui.state import RunChecked
from tui.widgets.dialogs import Ask, Confirm
from tui.widgets.pick import Pick
from tui.widgets.run_view import named, readable, source

if TYPE_CHECKING:
    from tui.core.runs import Removed, RunInfo
    from tui.core.workspace import Workspace


class RunActions(BulkScreen):
    """The actions on the marked runs, or else on the one under the cursor."""

    def chosen_runs(self) -> tuple[RunInfo, ...]:
        """The runs to act on."""
        raise LookupError("a subclass knows what is chosen")

    def forget_health(self, runs: Iterable[tuple[str, str]]) -> None:
        """The health of these (dataset, key) is to be asked again."""

    def _some(self, what: str) -> tuple[RunInfo, ...]:
        runs = self.chosen_runs()
        if not runs:
            self.tell(f"There is no run to {what}.")
        return runs

    def _indexes(self, what: str) -> tuple[RunInfo, ...]:
        """The chosen runs, when all of them are indexes in Milvus."""
        runs = self._some(what)
        for run in runs:
            if not run.is_index:
                kind = " ".join(filter(None, (run.type, run.method)))
                self.tell(
                    f"{named(run)} is a {kind} run, not an index in Milvus: there is nothing to {what}."
                )
                return ()
        return runs

    def _writable(self, what: str) -> bool:
        if self.state.readonly:
            self.tell(f"This connection is read-only, so nothing can be {what}.")
        return not self.state.readonly

    # Looking

    def search_run(self) -> None:
        """Open the run under the cursor on the Search screen."""
        runs = self._some("search")
        if not runs:
            return
        if len(runs) > 1:
            self.tell("Several runs are marked: unmark them (space) to search one.")
            return
        run = runs[0]
        if not run.is_index:
            kind = " by ".join(filter(None, (run.type, run.method)))
            self.tell(f"{named(run)} is a {kind} run: only indexes in Milvus can be searched here.")
        elif not run.finished:
            self.tell(f"{named(run)} was never finished: resume it (u), or discard it (d).")
        elif run.health == "no-collection":
            self.tell(f"The collection of {named(run)} is gone: sync (u) fills it again.")
        else:
            self.post_message(SearchRequested(run.dataset, run.brain_key))

    def show_run(self) -> None:
        """Everything about the run under the cursor."""
        for run in self._some("show")[:1]:
            self.open_page(named(run), partial(_describe, run))

    def show_python(self) -> None:
        """Copy and show the Python that opens the run in a notebook."""
        for run in self._indexes("open in Python")[:1]:
            self.open_page(f"{named(run)} in Python, copied", partial(_snippet, run), copied=True)

    def check_runs(self) -> None:
        """Compare every id of the dataset with every id of the collection."""
        runs = self._indexes("check")
        if runs:
            work = [_work(run, partial(self._check, run)) for run in runs]
            self.each("checking", work, changes=False)

    def _check(self, run: RunInfo, ws: Workspace) -> str:
        from tui.core.indexes import check

        found = check(ws, run.dataset, run.brain_key)
        checked = replace(
            run,
            vectors=found.vectors,
            expected=found.expected,
            missing=found.missing,
            stale=found.stale,
            health=found.health,
        )
        self.post_message(Happened(RunChecked(checked)))
        parts = [
            f"{count:,} {what}"
            for count, what in (
                (found.missing, "missing"),
                (found.stale, "stale"),
                (found.duplicates, "duplicates"),
            )
            if count
        ]
        return f"{counted(found.vectors, 'vector')}: {', '.join(parts) or 'every one is right'}."

    # Changing

    @work
    async def sync_runs(self) -> None:
        """Ask, and start a job for each."""
        runs = self._indexes("sync")
        if not runs or not self._writable("synced"):
            return
        lines = "\n".join(f"{named(run)}: {_sync_counts(run)}" for run in runs)
        verb = "Sync" if any(run.finished for run in runs) else "Resume"
        title = f"{verb} {named(runs[0])}?" if len(runs) == 1 else f"{verb} {len(runs)} runs?"
        body = f"{lines}\n\nAdds vectors of new images and removes those of images that are gone."
        if not all(run.finished for run in runs):
            body += f" What was never finished is a run like any other afterwards.\n\n{STILL_RUNNING}"
        if not await self.ask(Confirm(title, body, yes=verb)):
            return
        confirmed = ""
        if stale := [run for run in runs if run.stale]:
            count = sum(run.stale or 0 for run in stale)
            word = await self.confirm_protected(f"remove {counted(count, 'stale vector')} of {_many(stale)}")
            if word is None:
                return
            confirmed = word
        self.forget_health([(run.dataset, run.brain_key) for run in runs])
        # Only for those that were named: others, should they have stale vectors too, are refused.
        indexes = [(run.dataset, run.brain_key, confirmed if run.stale else "") for run in runs]
        self.post_message(SyncRequested(*indexes))

    @work
    async def rename_run(self) -> None:
        """Ask for another key."""
        runs = self._some("rename")
        if not runs or not self._writable("renamed"):
            return
        if len(runs) > 1:
            self.tell("Several runs are marked, and each needs a key of its own: unmark them (space) first.")
            return
        run = runs[0]
        taken = {other.brain_key for other in self.state.runs or () if other.dataset == run.dataset}
        new = await self.ask(
            Ask(f"New key for {named(run)}", value=run.brain_key, wrong=partial(_wrong_new_key, run, taken))
        )
        if new is not None:
            self.each("renaming", [_work(run, partial(_rename, run, new))])

    @work
    async def delete_runs(self) -> None:
        """Delete the runs, with their collections unless the user keeps these."""
        runs = self._some("delete")
        if not runs or not self._writable("deleted"):
            return
        answer = await self.ask(DeleteRuns(runs, self.state.runs or ()))
        if answer is None or (word := await self.confirm_protected(f"delete {_many(runs)}")) is None:
            return
        work = [_work(run, partial(_delete, run, answer == "keep")) for run in runs]
        self.each("deleting", work, confirmed=word)

    @work
    async def cleanup_runs(self) -> None:
        """Drop the collections and keep the records."""
        runs = self._indexes("clean up")
        if not runs or not self._writable("dropped"):
            return
        lines = [f"{named(run)}: {vectors_of(run)} in {run.collection or 'no collection'}" for run in runs]
        many = (
            f"the collections of {len(runs)} runs" if len(runs) > 1 else f"the collection of {named(runs[0])}"
        )
        body = (
            "\n".join(lines)
            + "\n\nThe vectors go for good; the runs stay, and cannot be searched until they are built again."
        )
        dialog = Confirm(f"Drop {many}?", body, yes="Drop", typed=word_for(runs, "drop"))
        if not await self.ask(dialog) or (word := await self.confirm_protected(f"drop {many}")) is None:
            return
        work = [_work(run, partial(_cleanup, run)) for run in runs]
        self.each("cleaning up", work, confirmed=word)

    @work
    async def load_runs(self) -> None:
        """Load the collection of a run into Milvus' memory, or release it when it is there."""
        runs = [run for run in self._indexes("load") if self._has_collection(run)]
        await self.load_collections([(named(run), run.collection or "") for run in runs])

    async def load_collections(self, named_collections: Sequence[tuple[str, str]]) -> None:
        """Load or release: one by what it is now, several by what the user says."""
        if not named_collections:
            return
        wish: bool | None = None
        if (count := len(named_collections)) > 1:
            options = [
                ("load", f"Load {count} collections into Milvus' memory"),
                ("release", f"Release {count} collections"),
            ]
            answer = await self.ask(Pick("Load or release", options))
            if answer is None:
                return
            wish = answer == "load"
        self.each(
            "releasing" if wish is False else "loading",
            [Work(name, partial(_load, collection, wish)) for name, collection in named_collections],
            # To ask the health of what was just released would load it again.
            changes=False,
        )

    def _has_collection(self, run: RunInfo) -> bool:
        if not run.collection or run.health == "no-collection":
            self.tell(f"{named(run)} has no collection in Milvus.")
            return False
        return True


def _work(run: RunInfo, act: Callable[[Workspace], str]) -> Work:
    return Work(named(run), act, (run.dataset, run.brain_key))


def _many(runs: Sequence[RunInfo]) -> str:
    return f"the run {named(runs[0])}" if len(runs) == 1 else f"{len(runs)} runs"


def _describe(run: RunInfo, ws: Workspace) -> str:
    from tui.core.runs import run_info
    from tui.jobs.history import history

    facts = run_info(ws, run.dataset, run.brain_key)
    # The configuration is long, and read least.
    config = {"config": facts.pop("config")}
    return readable(facts | {"jobs": history(run.dataset, run.brain_key, facts["former"])} | config)


def _snippet(run: RunInfo, ws: Workspace) -> str:
    from tui.core.runs import snippet

    return snippet(ws, run.dataset, run.brain_key)


def _rename(run: RunInfo, new: str, ws: Workspace) -> str:
    from tui.core.runs import rename

    rename(ws, run.dataset, run.brain_key, new)
    return f"Its key is {new} now."


def _delete(run: RunInfo, keep: bool, ws: Workspace) -> str:
    from tui.core.runs import delete

    removed = delete(ws, run.dataset, run.brain_key, keep_collection=keep)
    return f"The record is deleted. {_said(removed)}"


def _cleanup(run: RunInfo, ws: Workspace) -> str:
    from tui.core.runs import cleanup

    return _said(cleanup(ws, run.dataset, run.brain_key))


def _said(removed: Removed) -> str:
    if removed.collection is None:
        return ""
    if removed.dropped:
        count = counted(removed.vectors, "vector") if removed.vectors is not None else "vectors"
        return f"Collection {removed.collection} is dropped with its {count}."
    return f"Collection {removed.collection} was not dropped: {removed.reason}."


def _load(collection: str, wish: bool | None, ws: Workspace) -> str:
    from tui.core import collections

    loaded = collections.collection_row(ws, collection).loaded
    if not loaded if wish is None else wish:
        row = collections.load(ws, collection)
        return (
            f"{collection} is loaded: {counted(row.vectors, 'vector')}."
            if row.vectors is not None
            else "Loaded."
        )
    collections.release(ws, collection)
    return f"{collection} is released from Milvus' memory; its data stay, and a search loads it again."


def _sync_counts(run: RunInfo) -> str:
    if not run.finished:
        return f"never finished; its vectors come from {source(run)}"
    parts = [f"{count:,} {what}" for count, what in ((run.missing, "missing"), (run.stale, "stale")) if count]
    return ", ".join(parts) or "nothing known to be wrong"


def _wrong_new_key(run: RunInfo, taken: set[str], key: str) -> str:
    return "That is its key already" if key == run.brain_key else wrong_key(run.dataset, taken, key)


def wrong_key(dataset: str, taken: set[str], key: str) -> str:
    """Why a run of a dataset cannot have a key; empty when it can."""
    if key in taken:
        return f"{dataset} has a run {key} already"
    if not key.isidentifier():
        return "Use letters, digits and _, and do not begin with a digit"
    return ""

"""What can be done to Milvus collections, whoever made them."""

from __future__ import annotations

from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING

from textual import work

from tui.core.words import counted
from tui.messages import SearchRequested
from tui.screens.bulk import Work
from tui.screens.model_picker import ModelPicker
from tui.screens.run_actions import RunActions, wrong_key
from tui.widgets.dialogs import Ask, Confirm
from tui.widgets.pick import Pick
from tui.widgets.run_view import readable

if TYPE_CHECKING:
    from tui.core.collections import CollectionRow
    from tui.core.workspace import Workspace


class CollectionActions(RunActions):
    """The actions on the marked collections, or else on the one under the cursor."""

    def chosen_collections(self) -> tuple[CollectionRow, ...]:
        """The collections to act on."""
        raise LookupError("a subclass knows what is chosen")

    def _some_collections(self, what: str) -> tuple[CollectionRow, ...]:
        rows = self.chosen_collections()
        if not rows:
            self.tell(f"There is no collection to {what}.")
        return rows

    def search_collection(self) -> None:
        """Search by the run that uses the collection under the cursor."""
        rows = self._some_collections("search")
        if not rows:
            return
        run = next((run for run in self.state.runs or () if run.collection == rows[0].name), None)
        if run is None:
            self.tell(f"No run names {rows[0].name}, and without one its vectors belong to no dataset.")
        else:
            self.post_message(SearchRequested(run.dataset, run.brain_key))

    def show_collection(self) -> None:
        """Everything about the collection under the cursor."""
        for row in self._some_collections("show")[:1]:
            self.open_page(row.name, partial(_describe, row.name))

    @work
    async def load_chosen_collections(self) -> None:
        """Load into Milvus' memory, or release."""
        await self.load_collections([(row.name, row.name) for row in self._some_collections("load")])

    @work
    async def adopt_collection(self) -> None:
        """Make a collection a run of the chosen dataset, under a key that is asked for."""
        rows = self._some_collections("adopt")
        if not rows or not self._writable("adopted"):
            return
        dataset = self.state.dataset
        if len(rows) > 1:
            self.tell("Several collections are marked: unmark them (space) to adopt one.")
        elif dataset is None:
            self.tell("Choose the dataset that its vectors belong to first (2).")
        else:
            row = rows[0]
            field = self.state.scope.patches_field if self.state.scope else None
            items = f"the labels in {field} of {dataset}" if field else f"the samples of {dataset}"
            taken = {run.brain_key for run in self.state.runs or () if run.dataset == dataset}
            key = await self.ask(
                Ask(
                    f"Adopt {row.name} for {items}, as run",
                    value=_old_key(row),
                    wrong=lambda key: wrong_key(dataset, taken, key),
                )
            )
            if key is None or (model := await self._made_by()) is None:
                return
            adopt = partial(_adopt, row.name, dataset, key, field, model or None)
            self.each("adopting", [Work(row.name, adopt)])

    async def _made_by(self) -> str | None:
        """Ask which model made some vectors: empty when nobody knows, None for a change of mind."""
        unknown = "Not known: pictures of the dataset search it, text does not, and a sync adds nothing"
        options = [("unknown", unknown), ("known", "A model that I name: text searches it, and a sync adds")]
        answer = await self.ask(Pick("What made its vectors", options))
        if answer != "known":
            return "" if answer else None
        name: str | None = await self.ask(ModelPicker())
        return name

    def show_ledger(self) -> None:
        """What this user destroyed or took over on this machine."""
        self.open_page("Ledger: what was deleted, dropped or adopted", _ledger)

    @work
    async def drop_collections(self) -> None:
        """Drop orphans for good, each named, after their name was typed."""
        rows = self._some_collections("drop")
        if not rows or not self._writable("dropped"):
            return
        for row in rows:
            if row.runs:
                self.tell(
                    f"{', '.join(row.runs)} uses {row.name}: delete or clean up that run instead (tab)."
                )
                return
        lines = [_what_goes(row) for row in rows]
        body = "\n".join(lines) + (
            "\n\nThe vectors go for good. No run of this FiftyOne database names them, but a run of another "
            "database, or another application, may need them."
        )
        single = len(rows) == 1
        what = rows[0].name if single else f"{len(rows)} collections"
        word = rows[0].name if single else f"drop {len(rows)}"
        dialog = Confirm(f"Drop {what}?", body, yes="Drop", typed=word)
        if not await self.ask(dialog) or (confirmed := await self.confirm_protected(f"drop {what}")) is None:
            return
        work = [Work(row.name, partial(_drop, row.name)) for row in rows]
        self.each("dropping", work, confirmed=confirmed)


def _what_goes(row: CollectionRow) -> str:
    count = counted(row.vectors, "vector") if row.vectors is not None else "vectors (released, not counted)"
    return f"{row.name}: {count}" + (f", made for {row.made_for}" if row.made_for else "")


def _describe(name: str, ws: Workspace) -> str:
    from tui.core.collections import collection_facts

    return readable(collection_facts(ws, name))


def _old_key(row: CollectionRow) -> str:
    return (row.made_for or "").rpartition("/")[2]


def _adopt(
    name: str, dataset: str, key: str, patches_field: str | None, model: str | None, ws: Workspace
) -> str:
    from tui.core.collections import adopt
    from tui.core.vision.query_helper import QueryHelper

    with closing(QueryHelper()) as helper:
        adopted = adopt(ws, name, dataset, key, patches_field=patches_field, model=model, about=helper.about)
    wrong = [
        f"{count:,} {what}"
        for count, what in (
            (adopted.missing, "missing"),
            (adopted.stale, "stale"),
            (adopted.duplicates, "duplicates"),
        )
        if count
    ]
    return f"It is run {key} of {dataset} now: {', '.join(wrong) or 'every vector is right'}."


def _ledger(ws: Workspace) -> str:
    from tui.core.ledger import entries, path

    lines = []
    for one in entries(500):
        count = f", {counted(one.vectors, 'vector')}" if one.vectors is not None else ""
        gone = f" (collection {one.collection}{count})" if one.collection else ""
        lines.append(f"{one.when}  {one.who}  {one.what} {one.name}{gone}  on {one.milvus}")
    return "\n".join([*lines, "", str(path())]) if lines else "Nothing was deleted, dropped or adopted."


def _drop(name: str, ws: Workspace) -> str:
    from tui.core.collections import drop

    row = drop(ws, name)
    return f"Dropped with {counted(row.vectors, 'vector')}." if row.vectors is not None else "Dropped."

"""What can be done to Milvus collections, whoever made them."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING

from textual import work

from tui.messages import SearchRequested
from tui.screens.bulk import Work
from tui.screens.run_actions import RunActions
from tui.widgets.dialogs import Confirm
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
        title = f"Drop {rows[0].name}?" if single else f"Drop {len(rows)} collections?"
        word = rows[0].name if single else f"drop {len(rows)}"
        if await self.ask(Confirm(title, body, yes="Drop", typed=word)):
            self.each("dropping", [Work(row.name, partial(_drop, row.name)) for row in rows])


def _what_goes(row: CollectionRow) -> str:
    count = f"{row.vectors:,} vectors" if row.vectors is not None else "vectors (released, not counted)"
    return f"{row.name}: {count}" + (f", made for {row.made_for}" if row.made_for else "")


def _describe(name: str, ws: Workspace) -> str:
    from tui.core.collections import collection_row

    row = collection_row(ws, name)
    described = ws.milvus().describe(name)
    known = asdict(row) | {
        "index_params": dict(described.index_params),
        "consistency_level": described.consistency_level,
        "schema": "pk, vector, sample_id (a similarity index)" if described.compatible else "another",
        "properties": dict(described.properties),
    }
    return readable(known)


def _drop(name: str, ws: Workspace) -> str:
    from tui.core.collections import drop

    row = drop(ws, name)
    return f"Dropped with {row.vectors:,} vectors." if row.vectors is not None else "Dropped."

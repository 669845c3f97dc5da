"""Search: ask, see a grid of what is near, go on from any picture, back and forward."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import msgspec
from textual import on, work
from textual.message import Message

from tui import keys
from tui.core.errors import KitescopeError
from tui.messages import Happened
from tui.screens.asks import Ask, Narrowing, parse
from tui.screens.base import core_call
from tui.screens.fetching import BROWSING
from tui.screens.narrowing import EVERYTHING, LEFT_OUT, MARKED, OTHER, narrowed, options
from tui.screens.opening import Opening
from tui.screens.remembering import Remembering
from tui.screens.search_messages import Looked
from tui.screens.search_view import index_line
from tui.state import IndexChosen
from tui.widgets.detail import DetailPane
from tui.widgets.dialogs import Ask as AskDialog
from tui.widgets.grid import PictureGrid
from tui.widgets.pick import Pick
from tui.widgets.pictures import Picture
from tui.widgets.search_head import QueryLine, SearchHead

_MOST_MARKED = 100_000


class SearchScreen(Remembering, Opening):
    """The Search screen: what its keys do."""

    MODE: ClassVar[str] = "search"
    BINDINGS = [*keys.SEARCH]

    # Keys that ask

    @on(PictureGrid.Opened)
    def action_similar(self) -> None:
        """Search by the picture under the cursor."""
        current = self.grid.current
        if current is None:
            self.tell("There is no picture to search by.")
        else:
            self._ask_by((current.id,))

    def action_marked(self) -> None:
        """Search by the mean of the marked pictures."""
        if not self.grid.marks:
            self.tell("Nothing is marked: space marks a picture.")
        else:
            self._ask_by(tuple(sorted(self.grid.marks)))

    def action_unlike(self) -> None:
        """Ask the same again, away from the marked pictures or the one under the cursor."""
        away, step = self.grid.chosen(), self._history.current
        if not away or step is None:
            self.tell("There is no picture to push away from.")
            return
        ask = step.ask
        self._ask(replace(ask, not_ids=tuple(dict.fromkeys((*ask.not_ids, *away))), least=False))

    def action_least(self) -> None:
        """Turn between the most and the least similar."""
        step = self._history.current
        if step is None or step.ask.browses:
            self.tell("Search for something first; then L shows what is least similar to it.")
        else:
            self._ask(replace(step.ask, least=not step.ask.least))

    def action_browse(self) -> None:
        """Every picture of the dataset."""
        self._ask(Ask())

    def action_query(self) -> None:
        """Type a question."""
        self.skip_while_typing()
        if self._run is None:
            self.tell("Choose an index first: press o.")
            return
        takes_text = self._run.supports_prompts and self._run.model is not None
        self.query_one(SearchHead).open(
            "a text, id:… or file:…" if takes_text else "id:… or file:…  (this index takes no text)",
            self._mistyped,
        )
        self._mistyped = ""

    @on(SearchHead.Asked)
    def _asked(self, message: SearchHead.Asked) -> None:
        try:
            ask = parse(message.line)
        except KitescopeError as error:
            self.tell(str(error))
            return
        if ask.ids and not ask.not_ids:
            self._ask_by(ask.ids)
        else:
            self._ask(ask)
        self._typed = message.line

    @on(QueryLine.Left)
    def _leave_query(self) -> None:
        self.show_question()
        self.focus_main()

    def action_history_back(self) -> None:
        """The question before."""
        self._walk(-1, "This is the first step.")

    def action_history_forward(self) -> None:
        """The question after."""
        self._walk(1, "This is the last step.")

    def _walk(self, by: int, otherwise: str) -> None:
        self._cancel()
        self._remember_cursor()
        step = self._history.near(by)
        if step is None:
            self.tell(otherwise)
        elif step.answered:
            self._history.go(by)
            self._show_step(step)
        else:
            self._narrowing = step.ask.narrowing
            self._ask(step.ask)
            self._returning = by

    def action_more(self) -> None:
        """Load more results."""
        step = self._history.current
        if step is None:
            self.tell("Search for something first: then M loads more results.")
        elif step.ask.browses:
            self.tell("There is nothing more to load: the whole dataset is here.")
        elif step.ended:
            self.tell("These are all there are.")
        elif self._waiting is None:
            self._load_more(step)

    # Keys that choose

    @work(group="index")
    async def action_index(self) -> None:
        """Choose another index."""
        runs = [run for run in self.state.runs or () if run.is_index]
        if not runs:
            self.tell("There is no index yet: 2 chooses a dataset, b there builds its index.")
            return
        mine = self.state.dataset
        runs.sort(key=lambda run: (run.dataset != mine, run.dataset, run.brain_key))
        options = [(f"{run.dataset}\n{run.brain_key}", index_line(run)) for run in runs]
        chosen = await self.ask(Pick("Choose an index", options, "\n".join(self._chosen or ())))
        if chosen:
            dataset, _, key = chosen.partition("\n")
            self.post_message(Happened(IndexChosen(dataset, key)))

    def action_narrow(self) -> None:
        """Choose what counts."""
        if self._run is None:
            self.tell("Choose an index first: press o.")
        else:
            self._look(self._run.dataset)

    @core_call("looking into the dataset", bound=True)
    def _look(self, dataset: str) -> Message | None:
        from tui.core.datasets import dataset_detail

        return Looked(dataset_detail(self.kitescope.workspace, dataset))

    @on(Looked)
    @work(group="narrow")
    async def _narrow_by(self, message: Looked) -> None:
        if self._run is None or self._run.dataset != message.detail.info.name or not self.is_current:
            return  # what was to be narrowed is not on the screen any more
        now = self._narrowing
        listed = options(message.detail, now, len(self.grid.marks))
        chosen = await self.ask(Pick("Only what is in …", listed))
        if chosen == MARKED:
            marked = () if now.marked else tuple(sorted(self.grid.marks))
            self._narrow_to(replace(now, marked=marked))
            return
        if chosen and chosen.startswith(LEFT_OUT):
            self.tell(f"{message.detail.left_out}.")
            return
        if chosen and chosen.startswith(OTHER):
            chosen = await self._typed_condition(chosen.partition("\n")[2])
        if chosen is not None:
            self._narrow_to(Narrowing() if chosen == EVERYTHING else narrowed(now, chosen))

    async def _typed_condition(self, path: str) -> str | None:
        """A condition as a choice: for a path that is known, only its value is asked for."""
        if path:
            title, example = f"Only where {path}= this", "0.8"
        else:
            title, example = "Only where FIELD=VALUE, FIELD>=VALUE or FIELD<=VALUE", "ground_truth=7 - seven"
        typed = await self.ask(AskDialog(title, placeholder=example))
        line = f"{path}={typed}" if path and typed else typed or ""
        field, found, value = line.partition("=")
        return f"where\n{field.strip()}\n{value.strip()}" if found else None

    def action_widen(self) -> None:
        """Everything counts again."""
        if self._narrowing:
            self._narrow_to(Narrowing())
        else:
            self.tell("Nothing is left out: v narrows to a view, a tag or a label.")

    def _narrow_to(self, narrowing: Narrowing) -> None:
        self._narrowing = narrowing
        step = self._history.current
        self._ask(step.ask if step else Ask())

    # Keys of the grid

    def action_move(self, columns: int, rows: int) -> None:
        """Move the cursor."""
        if self.is_large:
            columns, rows = columns or rows, 0
        self.grid.move(columns, rows)

    def action_first(self) -> None:
        """To the first picture."""
        self.grid.go_to(0)

    def action_last(self) -> None:
        """To the last picture."""
        self.grid.go_to(len(self.grid.tiles) - 1)

    def action_page(self, pages: int) -> None:
        """A screen on or back."""
        self.grid.page(pages)

    def action_mark(self) -> None:
        """Mark the picture under the cursor."""
        if self.grid.current is None:
            self.tell("There is no picture to mark.")
        self.grid.mark()

    def action_mark_all(self) -> None:
        """Mark all that are browsed, or all results that are loaded; or none."""
        step, tiles = self._history.current, self.grid.tiles
        if not tiles or step is None or self._run is None:
            self.tell("There is no picture to mark.")
        elif None not in tiles:
            self.grid.mark_all()
        elif len(tiles) > _MOST_MARKED:
            self.tell(f"More than {_MOST_MARKED:,} cannot be marked at once: v narrows, then a marks.")
        elif self._waiting is None:
            self._wait(self._load_all(step.ask, self._run, len(tiles)), BROWSING)

    def action_detail(self) -> None:
        """Only the picture under the cursor, or only the grid; where there is room, then both again."""
        if not self.grid.tiles and not self.is_large:
            self.tell("There is no picture to show large.")
            return
        # Whatever has another class is styled anew, and all that is in it.
        if self.is_large:
            self.results.update_classes({"-large": False, "-alone": not self.has_class("-narrow")})
        elif self.results.has_class("-alone"):
            self.results.remove_class("-alone")
        else:
            self.results.add_class("-large")
        if self.is_large:
            self.query_one(DetailPane).focus()
        else:
            self.call_after_refresh(self.focus_main)
        self.call_after_refresh(self._tell_facts)

    def action_facts(self, by: int) -> None:
        """Further down or up in what is told about the picture."""
        self.query_one(DetailPane).scroll_facts(by)

    def action_zoom(self, by: int) -> None:
        """Larger or smaller pictures."""
        if not self.grid.set_zoom(by):
            self.tell("This is the largest size." if by > 0 else "This is the smallest size.")
        self.kitescope.last = msgspec.structs.replace(self.kitescope.last, zoom=self.grid.zoom)

    def action_refresh_data(self) -> None:
        """Read pictures and results again."""
        super().action_refresh_data()
        self.grid.forget()
        self.forget_details()
        for picture in self.query(Picture):
            picture.forget()
        self._wrong = None
        if step := self._history.current:
            self._ask(step.ask)
        else:
            self.watch_state(self.state, self.state)

    def action_next_match(self) -> None:
        """There are no rows to go through."""
        self.tell("There is nothing to filter here: v narrows the search.")

    action_previous_match = action_next_match

    def copy_text(self) -> str | None:
        """Ids of the marked pictures, or of the one under the cursor."""
        return ",".join(self.grid.chosen()) or None

    def action_copy_path(self) -> None:
        """Copy the files' paths."""
        paths = [self._items[id].filepath for id in self.grid.chosen() if id in self._items]
        if not paths:
            self.tell("There is nothing to copy here.")
            return
        self.app.copy_to_clipboard("\n".join(paths))
        self.notify(
            f"Copied: {paths[0]}" + (f" and {len(paths) - 1} more" if paths[1:] else ""), markup=False
        )

"""What the Search screen knows and shows: the index, the question, its answer. Its keys are in ``search``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.widgets import Static
from textual.worker import Worker

from tui.core.client.index_types import MAX_K
from tui.core.errors import KitescopeError
from tui.messages import Answer, Failed, Happened, SearchRequested
from tui.screens.asks import PAGE, Ask, History, Narrowing, Step
from tui.screens.fetching import ASKING, BROWSE_PAGE, BROWSING, OPENING, Fetching
from tui.screens.looking import READING_LABELS
from tui.screens.search_messages import AllRead, Counted, Found, Opened, PageRead, Scanned
from tui.screens.search_view import details, facts, nothing_here, tile
from tui.state import AppState, ScopeChosen
from tui.widgets.detail import DetailPane
from tui.widgets.grid import PictureGrid, Tile
from tui.widgets.search_head import SearchHead

if TYPE_CHECKING:
    from tui.core.documents.run_list import RunInfo
    from tui.core.documents.scopes import SampleInfo
    from tui.core.search import Hit

_MOST_AT_ONCE = 2_000


@dataclass(frozen=True, slots=True)
class _Waiting:
    """What is being waited for, and how far it is, so that it can be told and cancelled."""

    worker: Worker[None]
    words: str
    far: str = ""


class Searching(Fetching):
    """A screen that asks an index and shows what it answers; nothing here waits for an engine."""

    MAIN: ClassVar[str] = "#grid"
    SHOWS_INDEX: ClassVar[bool] = True

    def __init__(self) -> None:
        super().__init__()
        self._history = History()
        self._run: RunInfo | None = None
        self._chosen: tuple[str, str] | None = None
        self._wanted_id: str | None = None
        self._narrowing = Narrowing()
        self._returning = 0
        self._waiting: _Waiting | None = None
        self._reading = False
        self._wrong: KitescopeError | None = None
        self._items: dict[str, Hit | SampleInfo] = {}
        self._ready = False
        self._typed = self._mistyped = ""

    def body(self) -> ComposeResult:
        """The question above; the grid and beside it one picture large."""
        yield SearchHead()
        with Horizontal(id="results"):
            yield PictureGrid(zoom=self.kitescope.last.zoom, id="grid")
            yield Static(id="nothing", markup=False)
            yield DetailPane(id="detail", classes="side")

    def on_mount(self) -> None:
        """From now on the state is followed; what it says already is taken up at once."""
        self._ready = True
        self.call_later(lambda: self.watch_state(self.state, self.state))

    @property
    def grid(self) -> PictureGrid:
        """The thumbnails."""
        return self.query_one(PictureGrid)

    @property
    def results(self) -> Horizontal:
        """The grid and what is beside it."""
        return self.query_one("#results", Horizontal)

    @property
    def is_large(self) -> bool:
        """Whether only the picture under the cursor is shown."""
        return self.results.has_class("-large")

    # Which index

    def watch_state(self, _old: AppState, new: AppState) -> None:
        """Open the index that was chosen, as soon as the database is there."""
        if not self._ready:
            return
        if new.index != self._chosen:
            self._close_index()
            self._chosen = new.index
        if new.index and self._run is None and self._waiting is None and self._wrong is None:
            if new.database.status == "ready":
                self._wait(self._load_index(*new.index), OPENING)
            elif new.database.status == "failed":
                self._wrong = KitescopeError(new.database.detail, new.database.remedy)
        elif new.database.status == "connecting":
            self._wrong = None
        self._tell_facts()

    def _close_index(self) -> None:
        self._cancel()
        self._run = self._wrong = None
        self._history.clear()
        self._narrowing = Narrowing()
        self._items.clear()
        self.grid.set_marks(frozenset())
        self.grid.show([])
        self.query_one(SearchHead).show_question("", None)

    @on(Opened)
    def _opened(self, message: Opened) -> None:
        if not self._take_awaited(message):
            return
        self._run = message.run
        self._history.begin(message.earlier)
        if self.state.scope is None:
            from tui.core.scope import Scope

            self.post_message(Happened(ScopeChosen(Scope(message.run.dataset))))
        wanted, self._wanted_id = self._wanted_id, None
        self._ask(Ask(ids=(wanted,)) if wanted else Ask())

    @on(SearchRequested)
    def _search_by(self, message: SearchRequested) -> None:
        """The app brought the user here to search by one picture."""
        message.stop()
        if message.id is None:
            return
        if self._run and (self._run.dataset, self._run.brain_key) == (message.dataset, message.brain_key):
            self._ask_by((message.id,))
        else:
            self._wanted_id = message.id

    # Asking

    def _ask_by(self, ids: tuple[str, ...], **more: Any) -> None:
        item = self._items.get(ids[0]) if ids else None
        shown = (item.filepath, item.box, tile(item).label) if item else None
        self._ask(Ask(ids=ids, shown=shown, **more))

    def _ask(self, ask: Ask) -> None:
        """Search, or browse; what is on the screen stays until the answer is there."""
        if self._run is None:
            self.tell("Choose an index first: press o.")
            return
        ask = replace(ask, narrowing=self._narrowing)
        self._typed = ""
        self._cancel()
        self._remember_cursor()
        if ask.browses:
            self._wait(self._count(ask, self._run), BROWSING)
        else:
            self._wait(self._load_hits(ask, self._run, 0), ASKING)
        self.focus_main()

    def _remember_cursor(self) -> None:
        if step := self._history.current:
            step.cursor = self.grid.cursor
            if step.ask.browses:
                step.total, step.seen = len(self.grid.tiles), self.grid.around()

    # Answers

    @on(Counted)
    def _show_browsing(self, message: Counted) -> None:
        if not self._take_awaited(message):
            return
        step = self._step_for(message.ask)
        step.total = max(message.total, len(message.page))
        self._items.update({item.id: item for item in message.page})
        step.seen = {place: tile(item) for place, item in enumerate(message.page)}
        self._show_step(step)

    @on(PictureGrid.Needed)
    def _need(self, message: PictureGrid.Needed) -> None:
        """Read the page that is looked at; one at a time, the newest wish first."""
        step = self._history.current
        if step is None or self._run is None or self._reading:
            return
        self._reading = True
        self._load_page(step.ask, self._run, message.first // BROWSE_PAGE * BROWSE_PAGE)

    @on(PageRead)
    def _page_read(self, message: PageRead) -> None:
        self._reading = False
        step = self._history.current
        if step is None or step.ask != message.ask or message.run is not self._run:
            self.grid.draw_again()
            return
        if len(message.page) < BROWSE_PAGE:
            # Samples were deleted meanwhile: what is past the last one will never come.
            self.grid.cut(message.first + len(message.page))
        self._fill(message.first, message.page)

    def _fill(self, first: int, items: Sequence[Hit | SampleInfo]) -> None:
        self._items.update({item.id: item for item in items})
        self.grid.put(first, [tile(item) for item in items])
        self._tell_facts()

    @on(AllRead)
    def _mark_all_read(self, message: AllRead) -> None:
        """Mark what is browsed, now that every id of it is known."""
        step = self._history.current
        if not self._take_awaited(message) or step is None or step.ask != message.ask:
            return
        self._items.update({item.id: item for item in message.items})
        self.grid.put(0, message.tiles)
        self.grid.cut(len(message.tiles))
        self.grid.set_marks(self.grid.marks.union(item.id for item in message.items))
        self._tell_facts()

    @on(Scanned)
    def _show_far(self, message: Scanned) -> None:
        if self._waiting is not None and self._waiting.worker is message.worker:
            self._waiting = replace(self._waiting, far=f" · {message.done:,} of {message.total:,}")
            self._tell_facts()

    @on(Found)
    def _show_found(self, message: Found) -> None:
        if not self._take_awaited(message):
            return
        result = message.result
        step = self._step_for(message.ask) if message.offset == 0 else self._history.current
        if step is None or (message.offset and step.ask != message.ask):
            return
        step.score, step.higher_is_closer = result.score, result.higher_is_closer
        step.elapsed_ms, step.ended = result.elapsed_ms, len(result.hits) < result.k
        step.approximate = result.approximate
        step.hits = (*step.hits[: message.offset], *result.hits)
        if message.offset:
            self._fill(message.offset, result.hits)
        else:
            self._show_step(step)

    def _step_for(self, ask: Ask) -> Step:
        """A step of the history for an answer; one that was returned to takes its place again."""
        step, by = Step(ask), self._returning
        self._returning = 0
        if by:
            self._history.go(by)
        self._history.add(step)
        if self._chosen and not ask.browses and self.kitescope.look.remember_searches:
            self._remember(self._chosen, ask)
        return step

    def _settle(self) -> None:
        """The question that is shown is the one in force again."""
        if step := self._history.current:
            self._narrowing = step.ask.narrowing
            self.show_question()

    def show_question(self) -> None:
        """The question of what is shown, in place of one that was only typed, or was not answered."""
        if step := self._history.current:
            self.query_one(SearchHead).show_question(step.ask.line(), step.ask.shown)

    def _show_step(self, step: Step) -> None:
        """Show what a step found, its question in view."""
        self._narrowing = step.ask.narrowing
        self._items.update({hit.id: hit for hit in step.hits})
        tiles: list[Tile | None] = [tile(hit) for hit in step.hits] or [None] * step.total
        for place, one in step.seen.items():
            tiles[place] = one
        self.show_question()
        self.grid.show(tiles, cursor=step.cursor)
        self._tell_facts()

    @on(Failed)
    def _failed_here(self, message: Failed) -> None:
        """The app tells what went wrong; here the waiting ends, and what was there stays."""
        if message.doing == READING_LABELS:
            return
        self._reading = False
        if self._take_awaited(message):
            self._returning = 0
            self._mistyped = self._typed
            self._settle()
            self.awaited_failed()
            if message.doing == OPENING:
                self._wrong = message.error
        self._tell_facts()

    def awaited_failed(self) -> None:
        """What was waited for went wrong."""

    # Waiting

    def _wait(self, worker: Worker[None], words: str) -> None:
        self._waiting = _Waiting(worker, words)
        self._tell_facts()

    def _take_awaited(self, message: Answer) -> bool:
        """Whether this answers what is waited for, which ends then: what was cancelled may answer as well."""
        if self._waiting is None or message.worker is not self._waiting.worker:
            return False
        self._waiting = None
        return True

    def _cancel(self) -> bool:
        """Stop waiting; tells whether anything was awaited."""
        waiting, self._waiting = self._waiting, None
        self._returning = 0
        if waiting is None:
            return False
        waiting.worker.cancel()
        self._helper.abandon()
        return True

    def go_back(self) -> bool:
        """Cancel the query, close the large picture, unmark: one at a time."""
        if self._cancel():
            self._settle()
            self._tell_facts()
            return True
        if super().go_back():
            self.show_question()
            return True
        if self.is_large:
            self.results.remove_class("-large")
            self.call_after_refresh(self.focus_main)
            return True
        if self.grid.marks:
            self.grid.set_marks(frozenset())
            return True
        return False

    # What is told

    @on(PictureGrid.Moved)
    @on(PictureGrid.MarksChanged)
    def _tell_facts(self) -> None:
        if not self._ready:
            return
        step, grid = self._history.current, self.grid
        busy = self._waiting.words + self._waiting.far if self._waiting else ""
        self.query_one(SearchHead).show(
            facts(step, self._run, len(grid.tiles), len(grid.marks), self._history.place, busy)
        )
        empty = not grid.tiles
        self.set_class(empty, "-empty")
        if empty:
            words = nothing_here(self.state, self._run, step, self._wrong, bool(self._waiting))
            self.query_one("#nothing", Static).update(words)
        self.when_calm(self._tell_detail)

    def _tell_detail(self) -> None:
        """Everything about the picture under the cursor."""
        current, step = self.grid.current, self._history.current
        item = self._items.get(current.id) if current else None
        pane = self.query_one(DetailPane)
        # A pane that is not seen needs nothing read.
        run = self._run if pane.display else None
        more = self.known_of(run.dataset, item.sample_id) if item and run else None
        pane.show(details(item, step, self._run, more, labels=self._with_labels) if item else None)

    def detail_arrived(self) -> None:
        """Show it."""
        self._tell_detail()

    @on(PictureGrid.EndReached)
    def _end_reached(self) -> None:
        step = self._history.current
        if step and not step.ask.browses and not step.ended and self._waiting is None:
            self._load_more(step)

    def _load_more(self, step: Step) -> None:
        """As many again: Milvus finds the ones before anew each time, so many small pages would be slow."""
        assert self._run is not None
        loaded = len(step.hits)
        k = min(max(PAGE, loaded), _MOST_AT_ONCE, MAX_K - loaded)
        if k > 0:
            self._wait(self._load_hits(step.ask, self._run, loaded, k), "loading more")
        else:
            self.tell(f"More than {MAX_K:,} are listed by: kitescope search … --offset {MAX_K}")

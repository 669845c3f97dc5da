"""What the Search screen reads from the engines, each in a thread of its own; no widget is touched here."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from textual.message import Message
from textual.worker import get_current_worker

from tui.core.vision.query_helper import QueryHelper
from tui.screens import search_memory
from tui.screens.asks import PAGE, Ask
from tui.screens.base import core_call
from tui.screens.looking import Looking
from tui.screens.search_messages import AllRead, Counted, Found, Opened, PageRead, Scanned
from tui.screens.search_view import tile

if TYPE_CHECKING:
    from tui.core.documents.run_list import RunInfo
    from tui.core.documents.scopes import SampleInfo
    from tui.core.scope import Scope

BROWSE_PAGE = 200
_LARGE_PAGE = 5_000
OPENING, ASKING, BROWSING = "opening the index", "searching", "reading the dataset"


class Fetching(Looking):
    """A screen that can open an index, ask it, and page through its dataset; each answer is a message."""

    def __init__(self) -> None:
        super().__init__()
        self._helper = QueryHelper()

    def on_unmount(self) -> None:
        """The helper process ends with the app."""
        self._helper.close()

    @core_call(OPENING, bound=True)
    def _load_index(self, dataset: str, brain_key: str) -> Message | None:
        from tui.core.documents.run_list import require_run

        run = require_run(self.kitescope.workspace, dataset, brain_key)
        return Opened(run, search_memory.load(dataset, brain_key).asked)

    def _scope(self, ask: Ask, run: RunInfo) -> Scope:
        """What one browses: what the index was made of, narrowed."""
        from tui.core.scope import Scope

        narrowing, made = ask.narrowing, run.scope
        return Scope(
            run.dataset,
            run.patches_field,
            narrowing.view or made.view,
            narrowing.tags or made.tags,
            (*made.where, *narrowing.conditions(run.patches_field)),
            made.limit,
            made.slices,
        )

    @core_call(BROWSING, bound=True)
    def _count(self, ask: Ask, run: RunInfo) -> Message | None:
        from tui.core import datasets

        scope, ws = self._scope(ask, run), self.kitescope.workspace
        page = datasets.sample_page(ws, scope, 0, BROWSE_PAGE)
        total = len(page) if len(page) < BROWSE_PAGE else datasets.count(ws, scope, any_slice=True)
        return Counted(ask, total, page)

    @core_call("reading more of the dataset", bound=True)
    def _load_page(self, ask: Ask, run: RunInfo, first: int) -> Message | None:
        from tui.core.datasets import sample_page

        page = sample_page(self.kitescope.workspace, self._scope(ask, run), first, BROWSE_PAGE)
        return PageRead(ask, run, first, page)

    @core_call(BROWSING, bound=True)
    def _load_all(self, ask: Ask, run: RunInfo, total: int) -> Message | None:
        from tui.core.datasets import sample_page

        scope, worker = self._scope(ask, run), get_current_worker()
        items: list[SampleInfo] = []
        while len(items) < total and not worker.is_cancelled:
            page = sample_page(self.kitescope.workspace, scope, len(items), _LARGE_PAGE)
            items += page
            self.post_message(Scanned(worker, len(items), total))
            if len(page) < _LARGE_PAGE:
                break
        return AllRead(ask, items, [tile(item) for item in items])

    @core_call(ASKING, bound=True)
    def _load_hits(self, ask: Ask, run: RunInfo, offset: int, k: int = PAGE) -> Message | None:
        from tui.core.datasets import samples_by_id
        from tui.core.search import search

        ws, worker = self.kitescope.workspace, get_current_worker()

        def tell(done: int, total: int) -> None:
            self.post_message(Scanned(worker, done, total))

        result = search(
            ws,
            ask.query(run, offset, k),
            embed=self._helper.embed,
            tell=tell,
            should_stop=lambda: worker.is_cancelled,
        )
        if ask.shown is None and ask.image:
            ask = replace(ask, shown=(ask.image, None, Path(ask.image).name))
        elif ask.shown is None and (ask.ids or ask.not_ids):
            one = (ask.ids or ask.not_ids)[:1]
            found = samples_by_id(ws, replace(self._scope(Ask(), run), limit=None), one)
            if found:
                ask = replace(ask, shown=(found[0].filepath, found[0].box, tile(found[0]).label))
        for hit in result.hits:
            tile(hit)  # remembered, so that the event loop need not make them
        return Found(ask, offset, result)

    @core_call("remembering the search", exclusive=False)
    def _remember(self, index: tuple[str, str], ask: Ask) -> Message | None:
        search_memory.change(*index, lambda memory: memory.with_asked(ask))
        return None

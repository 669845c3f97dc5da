"""What the Search screen's threads answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from textual.message import Message

from tui.messages import Answer

if TYPE_CHECKING:
    from textual.worker import Worker

    from tui.core.datasets import DatasetDetail
    from tui.core.documents.labels import SampleDetail
    from tui.core.documents.run_list import RunInfo
    from tui.core.documents.scopes import SampleInfo
    from tui.core.search import SearchResult
    from tui.screens.asks import Ask
    from tui.widgets.grid import Tile


class Opened(Answer):
    """The index that was chosen is known, and what was asked of it before."""

    def __init__(self, run: RunInfo, earlier: Sequence[Ask] = ()) -> None:
        self.run = run
        self.earlier = tuple(earlier)
        super().__init__()


class Counted(Answer):
    """How many pictures there are to browse, and the first of them."""

    def __init__(self, ask: Ask, total: int, page: Sequence[SampleInfo]) -> None:
        self.ask = ask
        self.total = total
        self.page = page
        super().__init__()


class PageRead(Answer):
    """Some of the pictures to browse."""

    def __init__(self, ask: Ask, run: RunInfo, first: int, page: Sequence[SampleInfo]) -> None:
        self.ask = ask
        self.run = run
        self.first = first
        self.page = page
        super().__init__()


class AllRead(Answer):
    """Every picture to browse, and its tile."""

    def __init__(self, ask: Ask, items: Sequence[SampleInfo], tiles: Sequence[Tile]) -> None:
        self.ask = ask
        self.items = items
        self.tiles = tiles
        super().__init__()


class Scanned(Message):
    """How many vectors of how many were looked at, for a question that has to look at every one."""

    def __init__(self, worker: Worker[None], done: int, total: int) -> None:
        self.worker = worker
        self.done = done
        self.total = total
        super().__init__()


class Found(Answer):
    """Hits of a question, from ``offset`` on."""

    def __init__(self, ask: Ask, offset: int, result: SearchResult) -> None:
        self.ask = ask
        self.offset = offset
        self.result = result
        super().__init__()


class Looked(Message):
    """What the dataset offers to narrow by."""

    def __init__(self, detail: DatasetDetail) -> None:
        self.detail = detail
        super().__init__()


class DetailRead(Message):
    """What one sample says about itself."""

    def __init__(self, dataset: str, detail: SampleDetail) -> None:
        self.dataset = dataset
        self.detail = detail
        super().__init__()

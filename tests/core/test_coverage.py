"""A collection is compared with a scope: both are read at once, and neither waits for the other in vain."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.core.making import make_dataset, make_index, vectors
from tui.core.datasets import Scope
from tui.core.errors import EngineUnreachable
from tui.core.filling import coverage
from tui.core.filling.patience import Patience
from tui.core.progress import ignore
from tui.core.workspace import Workspace


def test_a_collection_that_cannot_be_listed_is_told_before_the_dataset_is_read_to_its_end(
    workspace: Workspace, unique_name: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    name = unique_name("coverage")
    make_dataset(workspace, name, 2)
    collection = make_index(workspace, Scope(name), "k", vectors(2))
    ended = threading.Event()

    def without_end(*_: Any) -> Iterator[tuple[list[str], None]]:
        try:
            while True:
                time.sleep(0.01)
                yield [f"{time.monotonic_ns():024x}"], None
        finally:
            ended.set()

    def gone(*_: Any) -> Any:
        raise EngineUnreachable("Milvus is gone", "Start it")

    monkeypatch.setattr(coverage, "scope_ids", without_end)
    monkeypatch.setattr(coverage, "list_ids", gone)
    patience = Patience(workspace, ignore, lambda: False, 0.0)
    with pytest.raises(EngineUnreachable, match="Milvus is gone"):
        coverage.compare(workspace, patience, collection, Scope(name))
    assert ended.wait(30), "the other side goes on reading"

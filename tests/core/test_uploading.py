"""The uploader ends: whichever thread hears first that there is no more."""

from __future__ import annotations

import threading
import time
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tui.core.filling.uploading import Uploader


class _Server:
    """Answers requests when told to: no real server can be made to hold exactly one of several."""

    def __init__(self) -> None:
        self.is_lite = False
        self.held = threading.Event()
        self.arrived = threading.Event()
        self.ids: list[str] = []

    def upsert(self, collection: str, ids: list[str], sample_ids: list[str], vectors: Any) -> None:
        self.arrived.set()
        assert self.held.wait(20)
        self.ids += ids


def _uploader(server: _Server, **more: Any) -> Uploader:
    patience: Any = SimpleNamespace(milvus=server, call=lambda ask: ask(server))
    lease: Any = SimpleNamespace(require=lambda: None)
    return Uploader(patience, "c", 4, lease, lambda written: None, **more)


@pytest.mark.timeout(30)
def test_it_ends_when_a_thread_is_busy_while_the_others_are_told_to_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server = _Server()
    uploader = _uploader(server, rows=2)
    uploader.put(["a", "b"], ["a", "b"], np.zeros((2, 4), np.float32))
    assert server.arrived.wait(20)
    put = uploader._queue.put

    def slow_put(request: Any, timeout: float) -> None:
        put(request, timeout=timeout)
        time.sleep(0.2)  # a busy machine: the thread that took the word has ended before we look again

    monkeypatch.setattr(uploader._queue, "put", slow_put)
    closing = threading.Thread(target=uploader.close, daemon=True)
    closing.start()
    time.sleep(1.0)  # the idle threads have heard by now
    server.held.set()
    closing.join(10)
    assert not closing.is_alive(), "close waits for a thread that waits for a word"
    assert (server.ids, uploader.written) == (["a", "b"], 2)


@pytest.mark.timeout(30)
def test_abandoning_ends_the_threads_too() -> None:
    server = _Server()
    server.held.set()
    uploader = _uploader(server, rows=2)
    uploader.put(["a", "b"], ["a", "b"], np.zeros((2, 4), np.float32))
    uploader.abandon()
    assert not [one for one in uploader._threads if one.is_alive()]

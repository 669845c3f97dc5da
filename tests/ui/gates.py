"""Holding a call to core where a test wants it, so that answers come late, and in any order."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest


class Gate:
    """A function that answers as another does, but gives its first answer only when it is let."""

    def __init__(self, answer: Callable[..., Any]) -> None:
        self._answer = answer
        self._open = threading.Event()
        self.calls = 0
        self.held = threading.Event()

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        self.calls += 1
        first = self.calls == 1
        try:
            return self._answer(*arguments, **named)
        finally:
            if first:
                self.held.set()
                assert self._open.wait(60), "nobody opened the gate"

    def let(self) -> None:
        """Give the first answer now."""
        self._open.set()


@contextmanager
def gate(
    monkeypatch: pytest.MonkeyPatch, module: Any, name: str, answer: Callable[..., Any] | None = None
) -> Iterator[Gate]:
    """Put a gate before ``module.name``, or before ``answer`` in its place; opened at the end."""
    made = Gate(answer or getattr(module, name))
    monkeypatch.setattr(module, name, made)
    try:
        yield made
    finally:
        made.let()

"""What the threads of the Connection screen tell it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.message import Message

if TYPE_CHECKING:
    from tui.core.connections import Connection
    from tui.widgets.steps import Taken


class Listed(Message):
    """The connections to choose from were read."""

    def __init__(self, connections: list[Connection]) -> None:
        self.connections = connections
        super().__init__()


class Stepped(Message):
    """A test took a step, or (``step`` is None) is over."""

    def __init__(self, serial: int, step: Taken | None, verdict: str = "") -> None:
        self.serial = serial
        self.step = step
        self.verdict = verdict
        super().__init__()


class Told(Message):
    """Something was written or can be copied.

    ``go_to`` is the connection it made; ``saved``: of what edits, and what of them is not in the file.
    """

    def __init__(
        self,
        text: str,
        *,
        copy: str | None = None,
        go_to: str | None = None,
        saved: tuple[str, dict[str, str]] | None = None,
    ) -> None:
        self.text = text
        self.copy = copy
        self.go_to = go_to
        self.saved = saved
        super().__init__()

"""The steps of a connection test, one line each, as they are taken."""

from __future__ import annotations

from dataclasses import dataclass

from rich.table import Table
from rich.text import Text
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.reactive import reactive
from textual.widgets import Static

from tui.widgets.spinner import spinner
from tui.widgets.text import plain


@dataclass(frozen=True, slots=True)
class Taken:
    """One step: its name, whether it went well, its milliseconds, what was found, what to do if it failed."""

    name: str
    ok: bool
    elapsed_ms: float
    detail: str
    remedy: str = ""


class Steps(VerticalScroll, can_focus=False):
    """Hidden until a test begins; then its steps, and a spinner while it goes on."""

    running: reactive[bool] = reactive(False, init=False)

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id, classes="pane")
        self._taken: list[Taken] = []
        self._turn = 0
        self.display = False

    def compose(self) -> ComposeResult:
        """The lines."""
        yield Static(id="steps-lines", markup=False)

    def on_mount(self) -> None:
        """Turn the spinner."""
        self._timer = self.set_interval(0.1, self._spin, pause=True)

    def begin(self, title: str) -> None:
        """A new test."""
        self._taken = []
        self.border_title = Content(plain(title))
        self.border_subtitle = "esc cancels"
        self.display = True
        self.running = True
        self._draw()

    def add(self, step: Taken) -> None:
        """One more step was taken."""
        self._taken.append(step)
        self._draw()
        self.call_after_refresh(self.scroll_end, animate=False)

    def finish(self, verdict: str) -> None:
        """The test is over."""
        self.border_title = Content(plain(verdict))
        self.border_subtitle = "esc closes"
        self.running = False
        self._draw()

    def watch_running(self, running: bool) -> None:
        """Only a running test spins."""
        (self._timer.resume if running else self._timer.pause)()

    def _spin(self) -> None:
        self._turn += 1
        self._draw()

    def _draw(self) -> None:
        table = Table.grid(padding=(0, 1))
        for justify in ("left", "left", "right", "left"):
            table.add_column(justify=justify, no_wrap=justify == "right")
        for step in self._taken:
            table.add_row(*self._line(step))
        if self.running:
            table.add_row(Text(spinner(self._turn), "dim"))
        self.query_one("#steps-lines", Static).update(table)

    @staticmethod
    def _line(step: Taken) -> tuple[Text, Text, Text, Text]:
        detail = Text(plain(step.detail), "" if step.ok else "red", overflow="fold")
        if step.remedy:
            detail.append(f"\n→ {plain(step.remedy)}", "yellow")
        sign = Text("✓", "bold green") if step.ok else Text("✗", "bold red")
        return sign, Text(step.name, "bold"), Text(f"{step.elapsed_ms:,.1f} ms", "dim"), detail

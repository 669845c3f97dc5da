"""The top of the Search screen: the question's own picture, the line to ask in, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass

from rich.cells import cell_len
from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical
from textual.message import Message
from textual.reactive import reactive
from textual.widget import Widget
from textual.widgets import Input

from tui.widgets.line import Line
from tui.widgets.painting import Box, Subject
from tui.widgets.pictures import Picture
from tui.widgets.spinner import spinner
from tui.widgets.text import plain

_CLEARS = "  V clears"
_NARROWEST = 12


@dataclass(frozen=True, slots=True)
class HeadFacts:
    """The words of the head.

    Attributes:
        title: what is shown.
        found: how many, how fast.
        index: of which index.
        score: what the scores mean.
        narrowed: what counts; empty for everything.
        marked: how many pictures are marked.
        place: number of this step of the history, and of all.
        busy: what is being waited for.
    """

    title: str = ""
    found: str = ""
    index: str = ""
    score: str = ""
    narrowed: str = ""
    marked: int = 0
    place: tuple[int, int] = (0, 0)
    busy: str = ""


class QueryLine(Line):
    """Where one asks."""

    BINDINGS = [Binding("down", "leave", show=False)]

    class Left(Message):
        """The user wants to go to the pictures."""

    def __init__(self) -> None:
        super().__init__(id="query", compact=True, placeholder="/  text, id:… or file:…")

    def action_leave(self) -> None:
        """Down to the pictures."""
        self.post_message(self.Left())


class FactLines(Widget):
    """Three lines of facts; the first one turns while something is awaited."""

    ALLOW_SELECT = False
    facts: reactive[HeadFacts] = reactive(HeadFacts)

    def on_mount(self) -> None:
        """Turn while waiting."""
        self._turn = 0
        self.set_interval(0.1, self._spin)

    def _spin(self) -> None:
        if self.facts.busy:
            self._turn += 1
            self.refresh()

    def render(self) -> Text:
        """Draw the lines."""
        facts = self.facts
        lines = [self._first(facts), self._second(facts), self._third(facts)]
        for line in lines:
            line.truncate(max(self.size.width, 1), overflow="ellipsis")
        return Text("\n").join(lines)

    def _first(self, facts: HeadFacts) -> Text:
        line = Text()
        if facts.busy:
            line.append(f"{spinner(self._turn)} {plain(facts.busy)}", "bold yellow").append(
                "  esc cancels", "dim"
            )
            return line
        line.append(plain(facts.title), "bold")
        if facts.found:
            line.append(f"  {facts.found}", "dim")
        return line

    def _second(self, facts: HeadFacts) -> Text:
        line = Text(plain(facts.index), "dim")
        if facts.score:
            line.append(f" · {facts.score}", "dim")
        return line

    def _third(self, facts: HeadFacts) -> Text:
        line = Text()
        parts = []
        marked = f"● {facts.marked:,} marked" if facts.marked else ""
        if facts.place[1] > 1:
            parts.append((f"step {facts.place[0]} of {facts.place[1]}  [ back  ] on", "dim"))
        if facts.narrowed:
            narrowed = Text(f"only {plain(facts.narrowed)}")
            # What may be long gives way: how to be rid of it, and what is marked, are to be seen.
            taken = sum(cell_len(text) + 3 for text, _ in parts) + cell_len(_CLEARS)
            room = self.size.width - taken - (cell_len(marked) + 3 if marked else 0)
            narrowed.truncate(max(room, _NARROWEST), overflow="ellipsis")
            parts.append((narrowed.plain + _CLEARS, "bold cyan"))
        if marked:
            parts.append((marked, "bold yellow"))
        for number, (text, style) in enumerate(parts):
            line.append("   " if number else "").append(text, style)
        return line


class SearchHead(Horizontal):
    """The question and its facts."""

    class Asked(Message):
        """The user typed a question."""

        def __init__(self, line: str) -> None:
            self.line = line
            super().__init__()

    def compose(self) -> ComposeResult:
        """The question's picture beside the lines."""
        yield Picture(id="asked")
        with Vertical(id="asking"):
            yield QueryLine()
            yield FactLines()

    def on_mount(self) -> None:
        """There is no question yet."""
        self.query_one(Picture).display = False

    def show(self, facts: HeadFacts) -> None:
        """Say what is shown."""
        self.query_one(FactLines).facts = facts

    def show_question(self, line: str, shown: tuple[str, Box | None, str] | None) -> None:
        """Keep the question in view: as one would type it, and its picture if it has one."""
        self.query_one(QueryLine).value = line
        picture = self.query_one(Picture)
        picture.display = shown is not None
        if shown is not None:
            picture.show(Subject(*shown))

    def open(self, placeholder: str, typed: str = "") -> None:
        """Type into the line; ``typed`` is what was wrong and is likely to be put right."""
        line = self.query_one(QueryLine)
        line.placeholder = placeholder
        if typed:
            line.value = typed
            line.cursor_position = len(typed)
        # At once, as in the filter: what is typed meanwhile would be keys of the grid.
        self.screen.set_focus(line)

    @on(Input.Submitted)
    def _submit(self, event: Input.Submitted) -> None:
        event.stop()
        self.post_message(self.Asked(event.value))

"""The line that is always there: both engines, the dataset, the jobs."""

from __future__ import annotations

from rich.text import Text
from textual.reactive import reactive
from textual.widget import Widget

from tui.core.words import counted
from tui.state import AppState, Engine
from tui.widgets.text import plain

_DOT = {"connecting": ("◌", "yellow"), "ready": ("●", "green"), "failed": ("✗", "red")}


class StatusLine(Widget):
    """Milvus, the FiftyOne database, the chosen dataset and the running jobs, in one line.

    Args:
        of_index: name the dataset of the index that is open, which need not be the chosen one.
    """

    ALLOW_SELECT = False
    state: reactive[AppState] = reactive(AppState)

    def __init__(self, *, of_index: bool = False) -> None:
        super().__init__()
        self._of_index = of_index

    def render(self) -> Text:
        """Draw the line."""
        state = self.state
        line = Text(no_wrap=True, overflow="ellipsis", end="")
        self._engine(line, "Milvus", state.milvus)
        self._engine(line, "FiftyOne", state.database)
        named = state.index[0] if self._of_index and state.index else _scope(state)
        line.append(" ▸ ", "dim").append(plain(named or "no dataset"), "bold" if named else "dim")
        if jobs := _jobs(state):
            line.append("  ").append(jobs, "bold cyan")
        if state.readonly:
            line.append("  read-only", "bold yellow")
        return line

    def _engine(self, line: Text, name: str, engine: Engine) -> None:
        dot, colour = _DOT[engine.status]
        line.append(f" {dot} ", colour).append(name)
        if engine.detail:
            line.append(f" {plain(engine.detail)}", "dim")


def _scope(state: AppState) -> str:
    if state.scope is None:
        return ""
    scope = state.scope
    parts = [scope.dataset]
    if scope.view:
        parts.append(f"view {scope.view}")
    parts += [f"#{tag}" for tag in scope.tags]
    parts += [f"{field}={value}" for field, value in scope.where]
    if scope.patches_field:
        parts.append(f"patches {scope.patches_field}")
    if scope.limit:
        parts.append(f"first {scope.limit:,}")
    return " · ".join(parts)


def _jobs(state: AppState) -> str:
    running = [job for job in state.jobs or () if not job.ended]
    if not running:
        return ""
    text = counted(len(running), "job")
    phase = running[0].phases.get(running[0].phase) if running[0].phase else None
    if phase and phase.total:
        text += f" {running[0].phase} {100 * phase.done // phase.total}%"
    return text

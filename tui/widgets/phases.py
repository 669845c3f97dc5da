"""One bar per phase of a job, with how many are done, how fast, and how long it will still take."""

from __future__ import annotations

import time

from rich.text import Text
from textual.reactive import reactive
from textual.widget import Widget

from tui.core.progress import PHASES, Phase
from tui.jobs.info import JobInfo, PhaseProgress
from tui.widgets.text import seconds

_NAME = 8
_GAP = "  "
_LEAST_BAR = 10
_FULL, _HALF, _REST = "━", "╸", "─"


def brief(count: float) -> str:
    """A count in at most four letters: ``950``, ``1.8k``, ``1.2M``."""
    for unit in ("", "k", "M", "G"):
        if count < 999.5:
            return f"{count:.0f}{unit}" if not unit or count >= 99.5 else f"{count:.1f}{unit}"
        count /= 1000
    return f"{count:.0f}T"


def speed(rate: float | None) -> str:
    """Items a second, as many digits as matter; empty while unknown."""
    if rate is None:
        return ""
    return f"{rate:,.0f}/s" if rate >= 10 else f"{rate:.1f}/s"


class PhaseBars(Widget):
    """The four phases of one job; draws itself from a frozen value and moves when it changes."""

    ALLOW_SELECT = False
    COMPONENT_CLASSES = {"phases--bar", "phases--done", "phases--rest", "phases--stopped"}
    job: reactive[JobInfo | None] = reactive(None)

    def watch_job(self, job: JobInfo | None) -> None:
        """Keep a bar of unknown length moving between two reports."""
        current = job.current if job and not job.ended else None
        self.auto_refresh = 0.25 if current is not None and current.total is None else None

    def render(self) -> Text:
        """Draw the bars, their figures in columns."""
        if self.job is None:
            return Text()
        known = {phase: self.job.phases.get(phase) for phase in PHASES}
        figures = {phase: self._figures(phase, progress) for phase, progress in known.items()}
        room = self.size.width - _NAME
        if room - sum(_widths(list(figures.values()))) - 4 * len(_GAP) < _LEAST_BAR:
            figures = {phase: self._figures(phase, known[phase], short=True) for phase in known}
        widths = _widths(list(figures.values()))
        bar = max(_LEAST_BAR, room - sum(widths) - len(_GAP) * sum(1 for width in widths if width))
        lines = [self._line(phase, known[phase], figures[phase], widths, bar) for phase in PHASES]
        return Text("\n", no_wrap=True, overflow="crop").join(lines)

    def _line(
        self,
        phase: Phase,
        progress: PhaseProgress | None,
        figures: tuple[str, ...],
        widths: list[int],
        bar: int,
    ) -> Text:
        assert self.job is not None
        current = phase == self.job.phase and not self.job.ended
        line = Text(no_wrap=True, overflow="crop")
        line.append(phase.ljust(_NAME), "bold" if current else "" if progress else "dim")
        line.append_text(self._bar(progress, current, bar))
        for figure, width in zip(figures, widths, strict=True):
            if width:
                line.append(_GAP + figure.rjust(width), "" if progress else "dim")
        return line

    def _figures(
        self, phase: Phase, progress: PhaseProgress | None, *, short: bool = False
    ) -> tuple[str, str, str, str]:
        """How many, percent, rate, and what is left; the last says why there is nothing to tell."""
        assert self.job is not None
        if progress is None:
            return "", "", "", "–" if self.job.ended else "waits"
        say = brief if short else "{:,}".format
        total = progress.total
        count = f"{say(progress.done)} of {say(total)}" if total is not None else say(progress.done)
        percent = f"{100 * progress.done // total}%" if total else ""
        if total is not None and progress.done >= total:
            return count, "100%", speed(progress.rate), "done"
        if self.job.ended:
            return count, percent, "", "stopped"
        left = seconds(progress.eta_s) if phase == self.job.phase or progress.eta_s else ""
        return count, percent, speed(progress.rate), f"{left} left" if left else ""

    def _bar(self, progress: PhaseProgress | None, current: bool, width: int) -> Text:
        rest = self.get_component_rich_style("phases--rest")
        if progress is None:
            return Text(_REST * width, rest)
        style = self.get_component_rich_style(f"phases--{self._kind(progress)}")
        if progress.total is None:
            return _moving(width, style, rest) if current else Text(_REST * width, rest)
        part = 1.0 if progress.total == 0 else min(1.0, progress.done / progress.total)
        halves = int(part * width * 2)
        filled = _FULL * (halves // 2) + (_HALF if halves % 2 else "")
        return Text(filled, style).append(_REST * (width - len(filled)), rest)

    def _kind(self, progress: PhaseProgress) -> str:
        """Whether a phase is done, under way (several are at once), or was stopped."""
        assert self.job is not None
        if progress.total is not None and progress.done >= progress.total:
            return "done"
        return "stopped" if self.job.ended else "bar"


def _widths(rows: list[tuple[str, ...]]) -> list[int]:
    return [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]


def _moving(width: int, style: object, rest: object) -> Text:
    """A short piece that travels, as nobody knows how long the bar is."""
    piece = max(3, width // 6)
    start = int(time.monotonic() * 8) % (width - piece + 1)
    line = Text(_REST * start, rest)  # type: ignore[arg-type]
    line.append(_FULL * piece, style)  # type: ignore[arg-type]
    return line.append(_REST * (width - piece - start), rest)  # type: ignore[arg-type]

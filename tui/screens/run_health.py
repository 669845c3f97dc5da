"""The health of runs, asked for behind the list, row by row, and never more than needed."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from textual import events, on
from textual.message import Message

from tui.core.errors import EngineUnreachable, KitescopeError
from tui.messages import Happened
from tui.screens.base import core_call
from tui.screens.collection_actions import CollectionActions
from tui.state import RunChecked

if TYPE_CHECKING:
    from tui.core.runs import RunInfo

_log = logging.getLogger(__name__)


class HealthKnown(Message):
    """The check that ``stop`` would stop has nothing more to ask."""

    def __init__(self, stop: threading.Event) -> None:
        self.asking = stop
        super().__init__()


class RunHealth(CollectionActions):
    """Asks one run after the other while the screen is looked at; what was asked is not asked again."""

    def __init__(self) -> None:
        super().__init__()
        self._checked: set[RunInfo] = set()
        self._asking: threading.Event | None = None
        self.active = False

    def within(self) -> Sequence[RunInfo]:
        """The runs whose health counts, in the order in which to ask: also those hidden by it."""
        raise LookupError("a subclass knows what is listed")

    def draw(self) -> None:
        """Bring the screen up to date."""

    @on(events.ScreenResume)
    def _resume(self) -> None:
        self.active = True
        if self.is_mounted:
            self.draw()

    @on(events.ScreenSuspend)
    def _suspend(self) -> None:
        self.active = False
        self._stop_checking()

    @property
    def checking(self) -> bool:
        """Whether somebody is asking now."""
        return self._asking is not None

    def due(self) -> list[RunInfo]:
        """The indexes whose health was not asked since it could have changed."""
        return [run for run in self.within() if run.is_index and run.unchecked not in self._checked]

    def ask_health(self) -> None:
        """Begin to ask, if there is anybody to ask and anything to ask for."""
        ready = self.state.milvus.status == "ready" and self.state.database.status == "ready"
        if self.active and ready and self._asking is None and (due := self.due()):
            self._asking = threading.Event()
            self._load_health(tuple(due), self._asking)

    def forget_health(self, runs: Iterable[tuple[str, str]]) -> None:
        """Ask the health of these (dataset, key) again."""
        keys = set(runs)
        # A thread adds to the set meanwhile.
        self._checked.difference_update(
            [known for known in tuple(self._checked) if (known.dataset, known.brain_key) in keys]
        )

    def forget_all_health(self) -> None:
        """Ask all of them again."""
        self._stop_checking()
        self._checked.clear()

    def _stop_checking(self) -> None:
        if self._asking is not None:
            self._asking.set()
            self._asking = None

    @core_call("checking the health of runs", exclusive=False)
    def _load_health(self, due: tuple[RunInfo, ...], stop: threading.Event) -> Message | None:
        unreachable = False
        for run in due:
            if stop.is_set():
                break
            self._checked.add(run.unchecked)
            # A server that does not answer is asked once, not once per run.
            seen = replace(run, health="unreachable") if unreachable else self._ask(run)
            if stop.is_set():
                self._checked.discard(run.unchecked)
                break
            if seen is not None:
                unreachable = seen.health == "unreachable"
                self.post_message(Happened(RunChecked(seen)))
        return HealthKnown(stop)

    def _ask(self, run: RunInfo) -> RunInfo | None:
        from tui.core.runs import with_health

        try:
            return with_health(self.kitescope.workspace, run)
        except EngineUnreachable:
            return replace(run, health="unreachable")
        except KitescopeError as error:
            # A dataset may be deleted while its runs are listed.
            _log.info("health of %s / %s: %s", run.dataset, run.brain_key, error)
        except Exception:
            _log.exception("health of %s / %s", run.dataset, run.brain_key)
        return None

    @on(HealthKnown)
    def _health_known(self, message: HealthKnown) -> None:
        if message.asking is self._asking:
            self._asking = None
            self.draw()

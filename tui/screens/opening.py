"""Results in the FiftyOne App, for a browser at the other end of an SSH connection."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from textual import on, work
from textual.message import Message
from textual.worker import get_current_worker

from tui.messages import Answer
from tui.screens.asks import Ask
from tui.screens.base import core_call
from tui.screens.using import Used, Using
from tui.widgets.app_dialog import AppDialog

if TYPE_CHECKING:
    from tui.core.scope import Scope
    from tui.jobs.fiftyone_app import AppInfo

_STARTING = "opening the FiftyOne App"


class AppShows(Answer):
    """The App shows what it was asked for."""

    def __init__(self, info: AppInfo, count: int) -> None:
        self.info = info
        self.count = count
        super().__init__()


class Opening(Using):
    """The marked pictures, or all results, or what is browsed, in the FiftyOne App."""

    def action_app(self) -> None:
        """Open them; an App that runs shows them instead of what it showed."""
        run, step = self._run, self._history.current
        if run is None:
            self.tell("Choose an index first: press o.")
            return
        browsing = step is None or step.ask.browses
        ids = None if browsing and not self.grid.marks else [item.id for item in self._results()]
        self._cancel()
        scope = self._scope(step.ask if step else Ask(), run)
        self._wait(self._load_app(scope, ids), _STARTING)

    @core_call(_STARTING)
    def _load_app(self, scope: Scope, ids: Sequence[str] | None) -> Message | None:
        from tui.core.errors import Interrupted
        from tui.jobs import fiftyone_app

        worker = get_current_worker()
        try:
            found = fiftyone_app.show(
                scope, ids, self.kitescope.settings, should_stop=lambda: worker.is_cancelled
            )
        except Interrupted:
            return None
        return AppShows(*found)

    @on(AppShows)
    def _app_shows(self, message: AppShows) -> None:
        if self._take_awaited(message):
            self._tell_facts()
            self._tell_address(message)

    @work(group="app")
    async def _tell_address(self, message: AppShows) -> None:
        from tui.jobs.fiftyone_app import ssh_line

        info = message.info
        said = f"The FiftyOne App shows these {message.count:,}"
        if await self.ask(AppDialog(said, info.url, ssh_line(info.port))) == "stop":
            self._stop_app()

    @core_call("stopping the FiftyOne App")
    def _stop_app(self) -> Message | None:
        from tui.jobs import fiftyone_app

        return Used("The FiftyOne App is stopped" if fiftyone_app.stop() else "The App did not run any more")

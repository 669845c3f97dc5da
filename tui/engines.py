"""The state, the engines behind it, and what was read of them; what goes wrong is told."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from textual import on, work
from textual.app import App
from textual.message import Message
from textual.reactive import reactive

from tui.core.errors import KitescopeError
from tui.core.workspace import Workspace
from tui.messages import (
    ConnectRequested,
    Failed,
    Happened,
    RefreshRequested,
)
from tui.screens.base import asked_of, core_call
from tui.state import (
    ENGINES,
    AppState,
    ConnectionChosen,
    DatasetsLoaded,
    Engine,
    EngineChanged,
    EngineName,
    IndexChosen,
    RunsLoaded,
    ScopeChosen,
    apply,
)
from tui.widgets.text import plain

if TYPE_CHECKING:
    from textual.notifications import SeverityLevel

    from tui.core.settings import Settings

_THREADS = 64


class EnginesApp(App[None]):
    """Holds the state and keeps it in step with the engines.

    Args:
        settings: the connections to open once ``begin`` is called.
        open_workspace: how a workspace is made from settings.
        dataset: chosen as soon as it is known to exist.
        index: dataset and brain key of an index to begin with.
    """

    state: reactive[AppState] = reactive(AppState)

    def __init__(
        self,
        settings: Settings,
        *,
        open_workspace: Callable[[Settings], Workspace] | None = None,
        dataset: str | None = None,
        index: tuple[str, str] | None = None,
    ) -> None:
        super().__init__()
        self.settings = settings
        self._open = open_workspace or Workspace
        self._workspace = self._open(settings)
        self._wanted = dataset
        state = AppState(connection=connection_name(settings), readonly=settings.readonly)
        self.set_reactive(EnginesApp.state, apply(state, IndexChosen(*index)) if index else state)

    @property
    def workspace(self) -> Workspace:
        """Both engines: those in use, or in the thread of a call to core those that it was made for."""
        return asked_of.get() or self._workspace

    # Engines

    def begin(self) -> None:
        """Connect, asking for the password that a profile came back without."""
        # Python has few threads on a small machine, and a question to an engine that hangs keeps one.
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(_THREADS, "core"))
        if self.settings.missing_secret is None:
            self._connect_all()
        else:
            self._ask_secret(self.settings.missing_secret)

    @work
    async def _ask_secret(self, name: str) -> None:
        """A profile that came back without its password: the only thing to type."""
        from tui.core.connections import with_secret
        from tui.widgets.save_forms import secret_dialog

        secret = await self.push_screen_wait(secret_dialog(self.settings, name))
        if secret:
            self.settings = with_secret(self.settings, name, secret)
            self._workspace = self._open(self.settings)
        self._connect_all()

    def _connect_all(self) -> None:
        for name in ENGINES:
            self._connect_engine(name)

    def _connect_engine(self, name: EngineName) -> None:
        self._take(EngineChanged(name, Engine("connecting")))
        self._connect_milvus() if name == "milvus" else self._connect_database()

    def _take(self, event: Any) -> None:
        self.state = apply(self.state, event)

    @core_call("connecting to Milvus", bound=True)
    def _connect_milvus(self) -> Message | None:
        return Happened(
            EngineChanged("milvus", self._probe(lambda: self.workspace.milvus().server_version()))
        )

    @core_call("connecting to the FiftyOne database", bound=True)
    def _connect_database(self) -> Message | None:
        return Happened(EngineChanged("database", self._probe(lambda: self.workspace.fiftyone().__version__)))

    def _probe(self, ask: Callable[[], str]) -> Engine:
        try:
            return Engine("ready", ask())
        except KitescopeError as error:
            return Engine("failed", error.what, error.remedy)

    # Facts

    @on(Happened)
    def _apply(self, message: Happened) -> None:
        if message.is_late(self.workspace):
            return
        self._take(message.event)
        match message.event:
            case EngineChanged(name, engine):
                self._engine_changed(name, engine)
            case DatasetsLoaded():
                self._restore_scope()

    def _engine_changed(self, name: EngineName, engine: Engine) -> None:
        if engine.status == "failed":
            self._say(
                engine.detail, engine.remedy, title="Milvus" if name == "milvus" else "FiftyOne database"
            )
        elif engine.status == "ready" and name == "database":
            # FiftyOne's 270,000 objects stay; without this the collector walks them, 0.2 s at a time.
            gc.freeze()
            self._load_datasets()
            self._load_runs()

    def _restore_scope(self) -> None:
        """Choose the dataset of the last run, or of the index asked for, once it is known to exist."""
        names = {info.name for info in self.state.datasets or ()}
        if self.state.scope is None and self._wanted in names and self._wanted is not None:
            from tui.core.scope import Scope

            self._take(ScopeChosen(Scope(self._wanted)))

    @on(Failed)
    def _failed(self, message: Failed) -> None:
        if message.is_late(self.workspace):
            return
        self._say(message.error.what, message.error.remedy, title=message.doing)

    def _say(self, *sentences: str, title: str, severity: SeverityLevel = "error") -> None:
        """A notice of a line each; what came from data or a server can neither style nor steer it."""
        lines = "\n".join(plain(sentence) for sentence in sentences if sentence)
        title = title[:1].upper() + title[1:]
        self.notify(
            lines, title=title, severity=severity, markup=False, timeout=10 if severity == "error" else 5
        )

    def notify(  # noqa: D102 - as Textual's
        self,
        message: str,
        *,
        title: str = "",
        severity: SeverityLevel = "information",
        timeout: float | None = None,
        markup: bool = True,
    ) -> None:
        super().notify(message, title=title, severity=severity, timeout=timeout, markup=markup)
        # Textual 8.2 leaves an expired notice painted when the layout was asked for while it was removed.
        self.set_timer((timeout or self.NOTIFICATION_TIMEOUT) + 0.25, lambda: self.screen.refresh())

    # Reading

    @on(RefreshRequested)
    def _refresh(self, message: RefreshRequested) -> None:
        for name in ENGINES:
            if self.state.engine(name).status == "failed" and {name, "all"} & set(message.what):
                self._connect_engine(name)
        if self.state.database.status == "ready":
            if {"datasets", "all"} & set(message.what):
                self._load_datasets()
            if {"runs", "all"} & set(message.what):
                self._load_runs()

    @core_call("reading datasets", bound=True)
    def _load_datasets(self) -> Message | None:
        from tui.core.datasets import list_datasets

        return Happened(DatasetsLoaded(tuple(list_datasets(self.workspace))))

    @core_call("reading brain runs", bound=True)
    def _load_runs(self) -> Message | None:
        from tui.core.runs import list_runs

        return Happened(RunsLoaded(tuple(list_runs(self.workspace))))

    # Wishes

    @on(ConnectRequested)
    def _connect(self, message: ConnectRequested) -> None:
        old, self._workspace = self._workspace, self._open(message.settings)
        self.settings = message.settings
        self._take(ConnectionChosen(connection_name(message.settings), message.settings.readonly))
        self._close(old)
        self._connect_all()

    @core_call("closing the old connection", exclusive=False)
    def _close(self, workspace: Workspace) -> None:
        workspace.close()

    def close_engines(self) -> None:
        """Let the connections go; the engines themselves stay for others."""
        self._workspace.close()


def connection_name(settings: Settings) -> str:
    """What the status line calls the connection."""
    if settings.profile:
        return settings.profile
    return "embedded" if settings.embedded_milvus else settings.milvus["uri"].source

"""The Textual app: holds the state, routes screens and wishes, starts jobs. It does no work of its own."""

from __future__ import annotations

import gc
import logging
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec
from textual import on, work
from textual.app import App
from textual.message import Message
from textual.reactive import reactive
from textual.screen import Screen

from tui import keys, paths, preferences
from tui.core.errors import KitescopeError
from tui.messages import (
    BuildRequested,
    ConnectRequested,
    Failed,
    Happened,
    JobCancelRequested,
    JobResumeRequested,
    RefreshRequested,
    SearchRequested,
    SyncRequested,
)
from tui.screens.base import BaseScreen, core_call
from tui.state import (
    ENGINES,
    AppState,
    ConnectionChosen,
    DatasetsLoaded,
    Engine,
    EngineChanged,
    EngineName,
    IndexChosen,
    JobsSeen,
    RunsLoaded,
    ScopeChosen,
    apply,
)
from tui.widgets.table import RowTable
from tui.widgets.tabs import SCREENS
from tui.widgets.text import plain

if TYPE_CHECKING:
    from textual.command import Provider
    from textual.notifications import SeverityLevel

    from tui.core.indexes import BuildSpec
    from tui.core.settings import Settings
    from tui.core.workspace import Workspace
    from tui.jobs.info import JobInfo, JobState
    from tui.jobs.spec import JobKind

_log = logging.getLogger(__name__)
_SEVERITY: Mapping[JobState, SeverityLevel] = {"done": "information", "cancelled": "warning"}


def _screen(name: str) -> Callable[[], Screen[Any]]:
    """Make a screen when it is first shown: the first frame imports one screen, not six."""

    def make() -> Screen[Any]:
        screen: Screen[Any] = getattr(import_module(f"tui.screens.{name}"), f"{name.capitalize()}Screen")()
        return screen

    return make


def _commands() -> type[Provider]:
    from tui.screens.palette import KitescopeCommands

    return KitescopeCommands


class Kitescope(App[None]):
    """The UI.

    Args:
        settings: the connections to open behind the first frame.
        image_protocol: how pictures are drawn; a key switches it.
        search: dataset and brain key of an index to open at once.
        open_workspace: how a workspace is made from settings.
        look: the user's preferences.
        last: what the last run looked like.
    """

    TITLE = "Kitescope"
    CSS_PATH: ClassVar[list[str]] = [
        str(paths.styles_dir() / name) for name in ("app.tcss", *(f"{mode}.tcss" for mode, _ in SCREENS))
    ]  # type: ignore[assignment]
    MODES: ClassVar[dict[str, Callable[[], Screen[Any]]]] = {mode: _screen(mode) for mode, _ in SCREENS}  # type: ignore[assignment]
    BINDINGS = [*keys.APP]
    COMMANDS = App.COMMANDS | {_commands}

    state: reactive[AppState] = reactive(AppState)
    image_protocol: reactive[preferences.ImageProtocol] = reactive("halfcell")

    def __init__(
        self,
        settings: Settings,
        *,
        image_protocol: preferences.ImageProtocol = "halfcell",
        search: tuple[str, str] | None = None,
        open_workspace: Callable[[Settings], Workspace] | None = None,
        look: preferences.Preferences | None = None,
        last: preferences.Last | None = None,
    ) -> None:
        self.look = look or preferences.Preferences()
        self.last = last or preferences.Last()
        # Starting in the mode, rather than switching to it, saves parsing every style twice.
        self.DEFAULT_MODE = self._first_screen(search)  # type: ignore[misc]
        super().__init__()
        self.settings = settings
        self._open = open_workspace
        self._workspace: Workspace | None = None
        self._first = search
        self._visited: list[str] = []
        self._tick = 0
        wanted = self.last.theme or self.look.theme
        if wanted in self.available_themes:
            self.set_reactive(App.theme, wanted)
        self.set_reactive(Kitescope.image_protocol, image_protocol)
        state = AppState(connection=connection_name(settings), readonly=settings.readonly)
        if index := search or self._last_index():
            state = apply(state, IndexChosen(*index))
        self.set_reactive(Kitescope.state, state)

    def _first_screen(self, search: tuple[str, str] | None) -> str:
        if search:
            return "search"
        return self.last.screen if self.last.screen in dict(SCREENS) else "datasets"

    def _last_index(self) -> tuple[str, str] | None:
        last = self.last
        return (last.dataset, last.brain_key) if last.dataset and last.brain_key else None

    @property
    def workspace(self) -> Workspace:
        """Both engines; made when first asked for, as its imports are not needed for the first frame."""
        if self._workspace is None:
            from tui.core.workspace import Workspace

            self._workspace = (self._open or Workspace)(self.settings)
        return self._workspace

    # The first frame, and what happens behind it

    def on_mount(self) -> None:
        """Show a screen at once; engines and jobs follow."""
        self.set_keymap(self.look.keys)
        self.call_after_refresh(self._begin)

    def _begin(self) -> None:
        if self.settings.missing_secret is None:
            self._connect_all()
        else:
            self._ask_secret(self.settings.missing_secret)
        self._read_jobs()
        self.set_interval(0.25, self._poll_jobs)

    @work
    async def _ask_secret(self, name: str) -> None:
        """A profile that came back without its password: the only thing to type."""
        from tui.core.connections import with_secret
        from tui.widgets.save_forms import secret_dialog

        secret = await self.push_screen_wait(secret_dialog(self.settings, name))
        if secret:
            self.settings = with_secret(self.settings, name, secret)
        self._connect_all()

    def _connect_all(self) -> None:
        for name in ENGINES:
            self._connect_engine(name)

    def _connect_engine(self, name: EngineName) -> None:
        self._take(EngineChanged(name, Engine("connecting")))
        self._connect_milvus() if name == "milvus" else self._connect_database()

    def _take(self, event: Any) -> None:
        self.state = apply(self.state, event)

    @core_call("connecting to Milvus")
    def _connect_milvus(self) -> Message | None:
        return Happened(
            EngineChanged("milvus", self._probe(lambda: self.workspace.milvus().server_version()))
        )

    @core_call("connecting to the FiftyOne database")
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
        before = self.state
        self._take(message.event)
        match message.event:
            case EngineChanged(name, engine):
                self._engine_changed(name, engine)
            case DatasetsLoaded():
                self._restore_scope()
            case JobsSeen(jobs):
                self._tell_ends(before.jobs or (), jobs)

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
        wanted = (self._first or (self.last.dataset, None))[0]
        names = {info.name for info in self.state.datasets or ()}
        if self.state.scope is None and wanted in names and wanted is not None:
            from tui.core.scope import Scope

            self._take(ScopeChosen(Scope(wanted)))

    def _tell_ends(self, before: tuple[JobInfo, ...], now: tuple[JobInfo, ...]) -> None:
        ran = {job.id for job in before if not job.ended}
        ended = [job for job in now if job.id in ran and job.ended]
        for job in ended:
            self._say(
                f"{job.dataset} / {job.brain_key}",
                job.error or "",
                job.remedy or "",
                title=f"{job.kind.capitalize()} {job.state}",
                severity=_SEVERITY.get(job.state, "error"),
            )
        if ended:
            self._load_datasets()
            self._load_runs()

    @on(Failed)
    def _failed(self, message: Failed) -> None:
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
        self._read_jobs()

    @core_call("reading datasets")
    def _load_datasets(self) -> Message | None:
        from tui.core.datasets import list_datasets

        return Happened(DatasetsLoaded(tuple(list_datasets(self.workspace))))

    @core_call("reading brain runs")
    def _load_runs(self) -> Message | None:
        from tui.core.runs import list_runs

        return Happened(RunsLoaded(tuple(list_runs(self.workspace))))

    def _poll_jobs(self) -> None:
        # Once a second is enough to notice a job that another terminal started.
        self._tick = (self._tick + 1) % 4
        if self._tick == 0 or any(not job.ended for job in self.state.jobs or ()):
            self._read_jobs()

    @core_call("reading jobs")
    def _read_jobs(self) -> Message | None:
        from tui.jobs import supervisor

        jobs = tuple(supervisor.list_jobs())
        return None if jobs == self.state.jobs else Happened(JobsSeen(jobs))

    # Wishes

    @on(ConnectRequested)
    def _connect(self, message: ConnectRequested) -> None:
        old, self._workspace, self.settings = self._workspace, None, message.settings
        self._take(ConnectionChosen(connection_name(message.settings), message.settings.readonly))
        if old is not None:
            self._close(old)
        self._connect_all()

    @core_call("closing the old connection", exclusive=False)
    def _close(self, workspace: Workspace) -> None:
        workspace.close()

    @on(BuildRequested)
    def _build(self, message: BuildRequested) -> None:
        spec = message.spec
        self._start_job("build", spec.scope.dataset, spec.brain_key, spec, message.confirmed)

    @on(SyncRequested)
    def _sync(self, message: SyncRequested) -> None:
        self._start_job("sync", message.dataset, message.brain_key)

    @core_call("starting the job", exclusive=False)
    def _start_job(
        self,
        kind: JobKind,
        dataset: str,
        brain_key: str,
        build: BuildSpec | None = None,
        confirmed: str = "",
    ) -> Message | None:
        from tui.jobs import supervisor
        from tui.jobs.spec import job_spec

        self.workspace.require_writable(f"start a {kind}")
        settings = replace(self.settings, confirmed=confirmed)
        supervisor.start(job_spec(kind, dataset, brain_key, settings, build), settings)
        self.call_from_thread(self.action_show_screen, "jobs")
        return Happened(JobsSeen(tuple(supervisor.list_jobs())))

    @on(JobCancelRequested)
    def _wish_cancel(self, message: JobCancelRequested) -> None:
        self._cancel_job(message.job)

    @core_call("cancelling the job", exclusive=False)
    def _cancel_job(self, job: str) -> Message | None:
        from tui.jobs import supervisor

        supervisor.cancel(job)
        return Happened(JobsSeen(tuple(supervisor.list_jobs())))

    @on(JobResumeRequested)
    def _wish_resume(self, message: JobResumeRequested) -> None:
        self._resume_job(message.job)

    @core_call("resuming the job", exclusive=False)
    def _resume_job(self, job: str) -> Message | None:
        from tui.jobs import supervisor

        self.workspace.require_writable("resume a job")
        supervisor.resume(job, self.settings)
        return Happened(JobsSeen(tuple(supervisor.list_jobs())))

    @on(SearchRequested)
    def _search(self, message: SearchRequested) -> None:
        self._take(IndexChosen(message.dataset, message.brain_key))
        self.action_show_screen("search")
        if message.id is not None:
            screen = self.screen
            self.call_after_refresh(lambda: screen.post_message(message))

    @on(RowTable.SortChanged)
    def _remember_order(self, message: RowTable.SortChanged) -> None:
        self.last = msgspec.structs.replace(self.last, sort={**self.last.sort, message.table: message.order})

    def close_engines(self) -> None:
        """Let the connections go; the engines themselves stay for others."""
        if self._workspace is not None:
            self._workspace.close()

    # Keys

    def action_show_screen(self, mode: str) -> None:
        """Go to one of the six screens, and remember where from."""
        if self.current_mode == mode:
            return
        self._visited = [seen for seen in self._visited if seen != self.current_mode]
        self._visited.append(self.current_mode)
        self.switch_mode(mode)

    def action_go_back(self) -> None:
        """One level back: inside the screen, or to the screen before. Never quits."""
        screen = self.screen
        if isinstance(screen, BaseScreen) and not screen.go_back() and self._visited:
            before = self._visited.pop()
            self.switch_mode(before)

    def action_help(self) -> None:
        """Every key that works here."""
        from tui.screens.help import HelpScreen

        if isinstance(self.screen, BaseScreen):
            self.push_screen(HelpScreen(self.screen.MODE, self.look.keys))

    def action_next_image_protocol(self) -> None:
        """Draw pictures another way."""
        choices = preferences.IMAGE_PROTOCOLS[1:]  # not "auto": it was decided at the start
        here = choices.index(self.image_protocol) if self.image_protocol in choices else -1
        self.image_protocol = choices[(here + 1) % len(choices)]
        self.notify(f"Pictures: {self.image_protocol}", timeout=2)

    async def action_quit(self) -> None:
        """Remember the place and leave; jobs go on."""
        index = self.state.index
        self.last = preferences.Last(
            screen=self.current_mode,
            dataset=self.state.dataset or (index[0] if index else None),
            brain_key=index[1] if index else None,
            profile=self.settings.profile,
            theme=self.theme,
            zoom=self.last.zoom,
            sort=self.last.sort,
        )
        preferences.save_last(self.last)
        self.exit()


def connection_name(settings: Settings) -> str:
    """What the status line calls the connection."""
    if settings.profile:
        return settings.profile
    return "embedded" if settings.embedded_milvus else settings.milvus["uri"].source


def run(settings: Settings, *, image_protocol: str = "auto", search: tuple[str, str] | None = None) -> int:
    """Run the UI on this terminal until the user quits; answers the exit code."""
    from tui.terminal import screen_guard
    from tui.widgets.pictures import detect_protocol

    # A screen of pictures makes ten thousand small objects; the default would collect all the while.
    gc.set_threshold(50_000, 20, 50)
    # Threads that draw must not keep a key waiting: each of them gives way after a millisecond, not five.
    sys.setswitchinterval(0.001)
    look, warning = preferences.load()
    if warning:
        _log.warning(warning)
    with screen_guard(paths.log_file()):
        protocol = detect_protocol(image_protocol if image_protocol != "auto" else look.image_protocol)
        app = Kitescope(
            settings, image_protocol=protocol, search=search, look=look, last=preferences.load_last()
        )
        app.run()
        app.close_engines()
    return app.return_code or 0

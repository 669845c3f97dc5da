"""The Textual app: a session with six screens. It routes between them and does no work of its own."""

from __future__ import annotations

import gc
import logging
import os
import signal
import sys
from collections.abc import Callable
from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec
from textual import on, work
from textual.app import App
from textual.reactive import reactive
from textual.screen import Screen

import tui.screens
import tui.widgets
from tui import keys, paths, preferences
from tui.messages import Happened, SearchRequested
from tui.screens.base import BaseScreen
from tui.session import SessionApp
from tui.state import Engine, EngineChanged, IndexChosen
from tui.widgets.painting_pool import PaintingPool
from tui.widgets.table import RowTable
from tui.widgets.tabs import SCREENS

if TYPE_CHECKING:
    from types import FrameType

    from textual.command import Provider

    from tui.core.settings import Settings
    from tui.core.workspace import Workspace

_log = logging.getLogger(__name__)
_STYLES = 512  # more than there are kinds of widgets


def _screen(name: str) -> Callable[[], Screen[Any]]:
    """Make a screen when it is first shown: the first frame imports one screen, not six."""

    def make() -> Screen[Any]:
        screen: Screen[Any] = getattr(import_module(f"tui.screens.{name}"), f"{name.capitalize()}Screen")()
        # A new screen has the styles of now; Textual would parse all of them thrice to be sure.
        screen._css_update_count = screen.app._css_update_count
        # Those of this size, too: else every widget gets styles twice, without and with the classes of it.
        width, height = screen.app.size
        screen.add_class(
            *screen._get_breakpoint_classes(width, screen.HORIZONTAL_BREAKPOINTS or []),
            *screen._get_breakpoint_classes(height, screen.VERTICAL_BREAKPOINTS or []),
            update=False,
        )
        return screen

    return make


def _commands() -> type[Provider]:
    from tui.screens.palette import KitescopeCommands

    return KitescopeCommands


class Kitescope(SessionApp):
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
        self.DEFAULT_MODE = self._first_screen(search)  # type: ignore[misc]
        # Textual waits until a screen of a mode is whole, and before the first one the app has no styles.
        self.MODES = {mode: make for mode, make in self.MODES.items() if mode != self.DEFAULT_MODE}  # type: ignore[misc]
        dataset = search[0] if search else self.last.dataset
        super().__init__(
            settings, open_workspace=open_workspace, dataset=dataset, index=search or self._last_index()
        )
        # Whenever a widget of a new kind is seen, all styles are parsed that are not remembered, and Textual
        # remembers fewer than there are.
        self.stylesheet._parse_cache.grow(_STYLES)
        self._visited: list[str] = []
        self.painting = PaintingPool()
        wanted = self.last.theme or self.look.theme
        if wanted in self.available_themes:
            self.set_reactive(App.theme, wanted)
            self.stylesheet.set_variables(self.get_css_variables())
        self.set_reactive(Kitescope.image_protocol, image_protocol)

    def _first_screen(self, search: tuple[str, str] | None) -> str:
        if search:
            return "search"
        return self.last.screen if self.last.screen in dict(SCREENS) else "datasets"

    def _last_index(self) -> tuple[str, str] | None:
        dataset, key = self.last.index_dataset or self.last.dataset, self.last.brain_key
        return (dataset, key) if dataset and key else None

    def get_default_screen(self) -> Screen[Any]:
        """The first screen, until its mode is known."""
        screen = _screen(self.DEFAULT_MODE)()
        if isinstance(screen, BaseScreen):
            screen.paint_at_once()
        return screen

    def on_mount(self) -> None:
        """Show a screen at once; engines and jobs follow."""
        self.add_mode(self.DEFAULT_MODE, _screen(self.DEFAULT_MODE))
        self.set_keymap(self.look.keys)
        if not self.is_headless:
            signal.signal(signal.SIGHUP, self._hung_up)
        self.call_after_refresh(self.begin)

    def on_unmount(self) -> None:
        """The processes that paint end with the app."""
        self.painting.close()

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

    @on(Happened)
    def _have_the_rest(self, message: Happened) -> None:
        match message.event:
            case EngineChanged("database", Engine("ready" | "failed")):
                self._import_rest()

    @work(thread=True, exclusive=True, group="import", exit_on_error=False)
    def _import_rest(self) -> None:
        """What the first visit of a screen or dialog would wait for."""
        for package in (tui.screens, tui.widgets):
            for module in iter_modules(package.__path__, f"{package.__name__}."):
                import_module(module.name)

    def job_started(self) -> None:
        """Show where it is followed."""
        self.action_show_screen("jobs")

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

    def action_command_palette(self) -> None:
        """Any action by name."""
        from tui.screens.palette import Palette

        if not isinstance(self.screen, Palette):
            self.push_screen(Palette(id="--command-palette"))

    def search_themes(self) -> None:
        """One of the themes by name."""
        from textual.theme import ThemeProvider

        from tui.screens.palette import Palette

        self.push_screen(Palette([ThemeProvider], placeholder="Search for themes…"))

    def action_next_image_protocol(self) -> None:
        """Draw pictures another way."""
        choices = preferences.IMAGE_PROTOCOLS[1:]  # not "auto": it was decided at the start
        here = choices.index(self.image_protocol) if self.image_protocol in choices else -1
        self.image_protocol = choices[(here + 1) % len(choices)]
        self.notify(f"Pictures: {self.image_protocol}", timeout=2)

    async def action_quit(self) -> None:
        """Remember the place and leave; jobs go on."""
        self._remember_place()
        self.exit()

    def _hung_up(self, number: int, _frame: FrameType | None) -> None:
        """Remember the place when the terminal is lost, and end as one does then."""
        try:
            self._remember_place()
        finally:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)

    def _remember_place(self) -> None:
        index = self.state.index
        self.last = preferences.Last(
            screen=self.current_mode,
            dataset=self.state.dataset or (index[0] if index else None),
            brain_key=index[1] if index else None,
            index_dataset=index[0] if index else None,
            profile=self.settings.profile,
            theme=self.theme,
            zoom=self.last.zoom,
            sort=self.last.sort,
        )
        preferences.save_last(self.last)


def favour_the_loop() -> None:
    """Set the interpreter so that neither garbage nor other threads keep a key waiting."""
    # Often, and little at a time: to look at five thousand new objects takes some milliseconds. What has
    # become old is looked at after two hundred such looks, and everything hardly ever.
    gc.set_threshold(5_000, 200, 50)
    # A thread that asks an engine gives way after a millisecond, not five.
    sys.setswitchinterval(0.001)


def run(settings: Settings, *, image_protocol: str = "auto", search: tuple[str, str] | None = None) -> int:
    """Run the UI on this terminal until the user quits; answers the exit code."""
    from tui.terminal import screen_guard
    from tui.widgets.protocols import detect_protocol

    favour_the_loop()
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

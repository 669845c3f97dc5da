"""What every screen shares: the tabs above, the status line below, the app's state, and calls to core."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextvars import ContextVar
from functools import wraps
from typing import TYPE_CHECKING, Any, ClassVar, Concatenate, ParamSpec, TypeVar, cast

from textual import on, work
from textual.actions import SkipAction
from textual.app import ComposeResult
from textual.containers import Container
from textual.dom import DOMNode
from textual.message import Message
from textual.reactive import reactive
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Input
from textual.worker import Worker, get_current_worker

from tui import keys
from tui.core.errors import KitescopeError
from tui.messages import Answer, Failed, RefreshRequested
from tui.state import AppState
from tui.widgets.filter import FilterBar
from tui.widgets.key_line import KeyLine
from tui.widgets.painted import PaintedOnce
from tui.widgets.status import StatusLine
from tui.widgets.table import RowTable
from tui.widgets.tabs import ScreenTabs

if TYPE_CHECKING:
    from tui.app import Kitescope
    from tui.core.workspace import Workspace

P = ParamSpec("P")
Node = TypeVar("Node", bound=DOMNode)
_log = logging.getLogger(__name__)

asked_of: ContextVar[Workspace | None] = ContextVar("asked_of", default=None)
"""In the thread of a call to core: the engines that were in use when it was made."""


def core_call(
    doing: str, *, exclusive: bool = True, bound: bool = False
) -> Callable[[Callable[Concatenate[Node, P], Message | None]], Callable[Concatenate[Node, P], Worker[None]]]:
    """Run a method in a thread, because it waits for an engine, and post the message it returns.

    A later call of an exclusive method replaces an earlier one, whose answer is then dropped. All of a call
    works on the engines that were in use when it was made. What core raises becomes ``Failed``; anything
    else is a defect: its traceback goes to the log, a line to the user.

    Args:
        doing: what the user is told that failed.
        exclusive: whether a later call replaces an earlier one.
        bound: whether an answer, or failure, is worth nothing once other engines are in use.
    """

    def decorate(
        method: Callable[Concatenate[Node, P], Message | None],
    ) -> Callable[Concatenate[Node, P], Worker[None]]:
        def body(self: Node, workspace: Workspace | None, *args: P.args, **kwargs: P.kwargs) -> None:
            worker = get_current_worker()
            token = asked_of.set(workspace)
            try:
                message = method(self, *args, **kwargs)
            except KitescopeError as error:
                _log.info("%s: %s", doing, error)
                message = Failed(error, doing)
            except Exception as error:
                _log.exception("%s", doing)
                message = Failed(
                    KitescopeError(
                        f"Unexpected {type(error).__name__} while {doing}: {error}", "The log has the details"
                    ),
                    doing,
                )
            finally:
                asked_of.reset(token)
            if isinstance(message, Answer):
                message.worker, message.workspace = worker, workspace if bound else None
            if message is not None and not worker.is_cancelled:
                self.post_message(message)

        started = cast(
            "Callable[..., Worker[None]]",
            work(
                name=method.__name__,
                thread=True,
                exclusive=exclusive,
                group=method.__qualname__,
                exit_on_error=False,
            )(body),
        )

        @wraps(method)
        def call(self: Node, *args: P.args, **kwargs: P.kwargs) -> Worker[None]:
            # Asked for here and not in the thread, which may begin when other engines are in use already.
            return started(self, getattr(self.app, "workspace", None), *args, **kwargs)

        return cast("Callable[Concatenate[Node, P], Worker[None]]", call)

    return decorate


class Body(Container):
    """What a screen is about, composed a turn of the loop after the lines around it."""

    def compose(self) -> ComposeResult:
        """The screen knows."""
        return cast("BaseScreen", self.screen).body()


class BaseScreen(PaintedOnce, Screen[None]):
    """A screen with the app's state in ``state``; subclasses compose ``body`` and say what to focus."""

    MODE: ClassVar[str]
    MAIN: ClassVar[str]
    """CSS selector of the widget that has the keyboard when the screen opens."""
    SHOWS_INDEX: ClassVar[bool] = False
    """Whether it shows the index that is open, and not the chosen dataset."""

    BINDINGS = [*keys.COMMON, *keys.FILTER]
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (100, "-wide"), (150, "-very-wide")]
    VERTICAL_BREAKPOINTS = [(0, "-low"), (32, "-high")]
    # Only what a screen itself asks for: else the first line of text would have the keyboard now and then.
    AUTO_FOCUS = ""

    state: reactive[AppState] = reactive(AppState)

    @property
    def kitescope(self) -> Kitescope:
        """The app, as what it is."""
        return cast("Kitescope", self.app)

    # What it is made of

    def compose(self) -> ComposeResult:
        """Tabs, body, filter, status, footer: 80x24 leaves the body 21 lines."""
        yield ScreenTabs(self.MODE)
        yield Body(id="body")
        yield FilterBar()
        yield StatusLine(of_index=self.SHOWS_INDEX).data_bind(state=BaseScreen.state)
        yield KeyLine()

    def body(self) -> ComposeResult:
        """The screen's own widgets."""
        raise LookupError(f"{type(self).__name__} composes nothing")

    def on_mount(self) -> None:
        """Follow the app's state and take the keyboard."""
        # Only then is the screen mounted, and watchers may touch its widgets.
        self.call_later(self._follow_state)
        self.focus_main()

    def _follow_state(self) -> None:
        self.watch(self.app, "state", self._take_state)

    def _take_state(self, state: AppState) -> None:
        self.state = state

    def focus_main(self) -> None:
        """Give the keyboard to the main widget."""
        self.query_one(self.MAIN, Widget).focus()

    def go_back(self) -> bool:
        """Undo one level inside this screen; False when there is none, and the app goes a screen back."""
        if self.query_one(FilterBar).close():
            self.focus_main()
            return True
        if isinstance(self.focused, Input):
            self.focus_main()
            return True
        return False

    def skip_while_typing(self) -> None:
        """Leave a key that comes before all others to the line that one types into.

        Raises:
            SkipAction: there is one, and the key is a character of it.
        """
        if isinstance(self.focused, Input):
            raise SkipAction

    def tell(self, why: str) -> None:
        """Say why a key cannot act now."""
        self.notify(why, severity="warning", markup=False, timeout=4)

    @on(ScreenTabs.Clicked)
    def _go(self, event: ScreenTabs.Clicked) -> None:
        self.kitescope.action_show_screen(event.screen_name)

    # The filter narrows the screen's table

    def table(self) -> RowTable | None:
        """The table that the filter and its keys act on."""
        return next(iter(self.query(RowTable)), None)

    def action_filter(self) -> None:
        """Open the filter line."""
        self.skip_while_typing()
        if self.table() is None:
            self.tell("There is nothing to filter here.")
        else:
            self.query_one(FilterBar).open()

    def action_next_match(self) -> None:
        """Go to the next row that the filter shows."""
        if table := self.table():
            table.step(1)

    def action_previous_match(self) -> None:
        """Go to the row before."""
        if table := self.table():
            table.step(-1)

    @on(FilterBar.Narrowed)
    def _narrow(self, event: FilterBar.Narrowed) -> None:
        if table := self.table():
            table.filter(event.needle)

    @on(FilterBar.Left)
    def _leave_filter(self) -> None:
        self.focus_main()

    # Common keys

    def action_refresh_data(self) -> None:
        """Read everything again."""
        self.post_message(RefreshRequested("all"))

    def copy_text(self) -> str | None:
        """What ``y`` copies: the key of the row under the cursor, unless a screen knows better."""
        table = self.table()
        return table.current_key if table else None

    def action_copy(self) -> None:
        """Copy to the clipboard; OSC 52 carries it over SSH."""
        text = self.copy_text()
        if text is None:
            self.tell("There is nothing to copy here.")
            return
        self.app.copy_to_clipboard(text)
        self.notify(f"Copied: {text if len(text) < 60 else text[:57] + '…'}", markup=False, timeout=3)

    async def ask(self, screen: Screen[Any]) -> Any:
        """Show a dialog and wait for its answer; call from an async worker."""
        return await self.app.push_screen_wait(screen)

    async def confirm_protected(self, what: str) -> str | None:
        """Have a protected profile's name typed before something is destroyed; call from an async worker.

        Args:
            what: the destruction, as in "delete the run digits".

        Returns:
            the word that ``core.workspace.confirming`` wants, empty where nothing is protected; None: no.
        """
        from tui.widgets.dialogs import Confirm

        settings = self.kitescope.settings
        if not settings.protected:
            return ""
        where = settings.milvus["uri"].shown("uri") or "the embedded Milvus"
        body = f"This connection is protected, and you are about to {what}.\nMilvus: {where}"
        word = settings.confirm_word
        dialog = Confirm(f"{word} is protected", body, yes="Go on", typed=word)
        return word if await self.ask(dialog) else None

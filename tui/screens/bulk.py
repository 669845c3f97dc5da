"""One operation on one or many things, one after the other, with a report of what happened to each."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from textual import on
from textual.containers import VerticalScroll
from textual.message import Message
from textual.reactive import reactive

from tui.core.errors import KitescopeError
from tui.messages import RefreshRequested
from tui.screens.base import BaseScreen, core_call
from tui.widgets.dialogs import Page

if TYPE_CHECKING:
    from tui.core.workspace import Workspace

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Work:
    """What to do to one thing; ``act`` answers what happened, in a few words."""

    name: str
    act: Callable[[Workspace], str]
    run: tuple[str, str] | None = None
    """Dataset and key, where it is a run."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What happened to one thing."""

    name: str
    ok: bool
    said: str


class Working(Message):
    """How far a bulk operation is."""

    def __init__(self, text: str) -> None:
        self.text = text
        super().__init__()


class EachDone(Message):
    """A bulk operation ended."""

    def __init__(self, doing: str, work: Sequence[Work], outcomes: Sequence[Outcome]) -> None:
        self.doing = doing
        self.work = tuple(work)
        self.outcomes = tuple(outcomes)
        super().__init__()


class PageRead(Message):
    """The text that a page waits for."""

    def __init__(self, page: Page, text: str) -> None:
        self.page = page
        self.text = text
        super().__init__()


class BulkScreen(BaseScreen):
    """A screen that changes things one after the other; only one such operation at a time."""

    busy: reactive[str] = reactive("")

    def __init__(self) -> None:
        super().__init__()
        self._stop = threading.Event()
        self._changes = False

    def each(self, doing: str, work: Sequence[Work], *, changes: bool = True, confirmed: str = "") -> None:
        """Begin, unless something is under way already.

        Args:
            changes: the things are different afterwards.
            confirmed: what ``confirm_protected`` answered.
        """
        if self.busy:
            self.tell(f"Still busy: {self.busy}. esc stops it after the present one.")
            return
        self._stop = threading.Event()
        self.busy = doing if len(work) > 1 else f"{doing} {work[0].name}"
        self._changes = changes
        self._load_each(doing, tuple(work), confirmed)

    @core_call("working", exclusive=False)
    def _load_each(self, doing: str, work: tuple[Work, ...], confirmed: str) -> Message | None:
        from tui.core.workspace import confirming

        workspace, stop = self.kitescope.workspace, self._stop
        outcomes: list[Outcome] = []
        for place, one in enumerate(work, 1):
            if stop.is_set():
                outcomes.append(Outcome(one.name, False, "Not done, as you stopped it."))
                continue
            if len(work) > 1:
                self.post_message(Working(f"{doing} {place} of {len(work)}: {one.name}"))
            with confirming(confirmed):
                outcomes.append(_done(workspace, doing, one))
        return EachDone(doing, work, outcomes)

    @on(Working)
    def _say_working(self, message: Working) -> None:
        self.busy = message.text

    @on(EachDone)
    def _say_done(self, message: EachDone) -> None:
        self.busy = ""
        self._report(message.doing, message.outcomes)
        if self._changes:
            self.post_message(RefreshRequested("runs", "datasets"))
        self.after_each([one.run for one in message.work if one.run and self._changes])

    def _report(self, doing: str, outcomes: tuple[Outcome, ...]) -> None:
        failed = [outcome for outcome in outcomes if not outcome.ok]
        if len(outcomes) == 1:
            one = outcomes[0]
            self.notify(
                one.said,
                title=one.name,
                severity="information" if one.ok else "error",
                timeout=5 if one.ok else 12,
                markup=False,
            )
            return
        lines = [f"{'✓' if one.ok else '✗'} {one.name}\n    {one.said}" for one in outcomes]
        title = f"{doing.capitalize()}: {len(outcomes) - len(failed)} of {len(outcomes)} done"
        self.app.push_screen(Page(title, "\n".join(lines)))

    def after_each(self, changed: Sequence[tuple[str, str]]) -> None:
        """What a subclass reads again; ``changed`` are runs, as dataset and key."""

    def go_back(self) -> bool:
        """Stop what is under way, or else as every screen."""
        if self.busy:
            self._stop.set()
            self.tell("Stopping after the present one.")
            return True
        return super().go_back()

    # A page that opens at once and gets its text later

    def open_page(self, title: str, read: Callable[[Workspace], str], *, copied: bool = False) -> None:
        """Show a page whose text core has to be asked for; ``copied``: it goes to the clipboard as well."""
        page = Page(title, "Reading…")
        self.app.push_screen(page)
        self._load_page(page, read, copied)

    @core_call("reading", exclusive=False)
    def _load_page(self, page: Page, read: Callable[[Workspace], str], copied: bool) -> Message | None:
        try:
            text = read(self.kitescope.workspace)
        except KitescopeError as error:
            return PageRead(page, str(error))
        if copied:
            self.app.call_from_thread(self.app.copy_to_clipboard, text)
        return PageRead(page, text)

    @on(PageRead)
    def _show_page(self, message: PageRead) -> None:
        # What is read at once may come before the page is there to show it.
        message.page.call_after_refresh(_fill, message.page, message.text)


def _fill(page: Page, text: str) -> None:
    page.update(text)
    # A short text counts as read to its end, and a page stays there.
    page.call_after_refresh(page.query_one("#page-body", VerticalScroll).scroll_home, animate=False)


def _done(workspace: Workspace, doing: str, one: Work) -> Outcome:
    try:
        said = one.act(workspace)
    except KitescopeError as error:
        _log.info("%s %s: %s", doing, one.name, error)
        return Outcome(one.name, False, str(error))
    except Exception as error:
        # What happened to the others must still be told.
        _log.exception("%s %s", doing, one.name)
        return Outcome(
            one.name, False, f"Unexpected {type(error).__name__}: {error}. The log has the details."
        )
    _log.info("%s %s: %s", doing, one.name, said)
    return Outcome(one.name, True, said)

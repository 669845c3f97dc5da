"""Questions: each names the object, the count and the consequence, and `esc` is always no."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.widgets import Button, Input, Static

from tui.widgets.dialog import Dialog
from tui.widgets.line import Line
from tui.widgets.text import plain


class Confirm(Dialog[bool]):
    """Yes or no; with ``typed``, yes only after that word was typed, as dropping vectors demands."""

    BINDINGS = [
        Binding("escape,n", "answer(False)", "No", id="dialog-no"),
        Binding("y", "answer(True)", "Yes", id="dialog-yes"),
    ]

    def __init__(self, title: str, body: str, *, yes: str = "Yes", typed: str | None = None) -> None:
        super().__init__()
        self._title = title
        self._body = body
        self._yes = yes
        self._typed = typed

    def compose(self) -> ComposeResult:
        """Title, consequence, the word to type if any, two buttons."""
        with Vertical(classes="dialog"):
            yield Static(plain(self._title), classes="dialog-title", markup=False)
            with VerticalScroll(classes="dialog-body", can_focus=False):
                yield Static("\n".join(plain(line) for line in self._body.split("\n")), markup=False)
            if self._typed is not None:
                yield Static(f"Type {plain(self._typed)} to go on:", markup=False)
                yield Line(id="typed", compact=True)
            with Horizontal(classes="dialog-buttons"):
                yield Button(
                    self._yes, variant="error", id="yes", disabled=self._typed is not None, compact=True
                )
                yield Button("No", id="no", compact=True)

    def on_mount(self) -> None:
        """The safe answer has the focus, unless something must be typed."""
        self.query_one("#typed" if self._typed is not None else "#no").focus()

    @on(Input.Changed, "#typed")
    def _allow(self, event: Input.Changed) -> None:
        self.query_one("#yes", Button).disabled = event.value != self._typed

    @on(Input.Submitted, "#typed")
    def _typed_enter(self) -> None:
        self.action_answer(True)

    @on(Button.Pressed)
    def _pressed(self, event: Button.Pressed) -> None:
        self.action_answer(event.button.id == "yes")

    def action_answer(self, yes: bool) -> None:
        """Close with the answer; yes counts only when the word was typed."""
        if yes and self._typed is not None and self.query_one("#typed", Input).value != self._typed:
            self.notify(f"Type {plain(self._typed)} first, or press esc.", severity="warning", markup=False)
            return
        self.dismiss(yes)


class Ask(Dialog[str | None]):
    """One line of text, validated while it is typed; None when the user changed their mind."""

    BINDINGS = [Binding("escape", "cancel", "Back", id="dialog-cancel")]

    def __init__(
        self,
        title: str,
        *,
        value: str = "",
        placeholder: str = "",
        password: bool = False,
        wrong: Callable[[str], str] = lambda _value: "",
    ) -> None:
        super().__init__()
        self._title = title
        self._value = value
        self._placeholder = placeholder
        self._password = password
        self._wrong = wrong

    def compose(self) -> ComposeResult:
        """Title, input, what is wrong with it."""
        with Vertical(classes="dialog"):
            yield Static(plain(self._title), classes="dialog-title", markup=False)
            yield Line(self._value, placeholder=self._placeholder, password=self._password, compact=True)
            yield Static("", id="wrong", classes="error", markup=False)

    @on(Input.Changed)
    def _check(self, event: Input.Changed) -> None:
        self.query_one("#wrong", Static).update(plain(self._wrong(event.value)))

    @on(Input.Submitted)
    def _submit(self, event: Input.Submitted) -> None:
        if not self._wrong(event.value):
            self.dismiss(event.value)

    def action_cancel(self) -> None:
        """Leave without an answer."""
        self.dismiss(None)


class Page(Dialog[None]):
    """A text to read: a log, a run's configuration, an error with its remedy."""

    BINDINGS = [
        Binding("escape,q", "dismiss", "Back", id="page-back"),
        Binding("y", "copy", "Copy", id="page-copy"),
        Binding("j,down", "scroll(1)", show=False, id="page-down"),
        Binding("k,up", "scroll(-1)", show=False, id="page-up"),
        Binding("g,home", "scroll(-100000)", show=False, id="page-top"),
        Binding("G,end", "scroll(100000)", show=False, id="page-bottom"),
        Binding("ctrl+d,pagedown", "scroll(10)", show=False, id="page-page-down"),
        Binding("ctrl+u,pageup", "scroll(-10)", show=False, id="page-page-up"),
    ]

    HINT: ClassVar[str] = "esc back · y copy"

    def __init__(self, title: str, body: str, *, end: bool = False) -> None:
        super().__init__()
        self._title = title
        self.body = body
        self._end = end

    def compose(self) -> ComposeResult:
        """Title and text."""
        with Vertical(classes="dialog page"):
            yield Static(f"{plain(self._title)}  ({self.HINT})", classes="dialog-title", markup=False)
            with VerticalScroll(id="page-body"):
                yield Static(self._text(), id="page-text", markup=False)

    def on_mount(self) -> None:
        """Scroll to the end of a log."""
        body = self.query_one("#page-body", VerticalScroll)
        body.focus()
        if self._end:
            self.call_after_refresh(body.scroll_end, animate=False)

    def _text(self) -> str:
        return "\n".join(plain(line) for line in self.body.split("\n"))

    def update(self, body: str) -> None:
        """Show another text; a reader at the end stays at the end."""
        if body == self.body:
            return
        self.body = body
        scroll = self.query_one("#page-body", VerticalScroll)
        at_end = scroll.is_vertical_scroll_end
        self.query_one("#page-text", Static).update(self._text())
        if at_end:
            self.call_after_refresh(scroll.scroll_end, animate=False)

    def action_scroll(self, lines: int) -> None:
        """Move the text."""
        self.query_one("#page-body", VerticalScroll).scroll_relative(y=lines, animate=False)

    def action_copy(self) -> None:
        """Copy the whole text."""
        self.app.copy_to_clipboard(self.body)
        self.notify("Copied.")

"""A question with several answers: a form in a dialog."""

from __future__ import annotations

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical
from textual.widgets import Button, Static
from textual.widgets.button import ButtonVariant

from tui.widgets.dialog import Dialog
from tui.widgets.form import Form
from tui.widgets.text import plain


class FormDialog(Dialog[dict[str, str] | None]):
    """Answers what the form holds, once all of it is fine; None when the user changed their mind.

    A subclass composes ``form()`` and may hear ``Form.Changed``.
    """

    BINDINGS = [
        Binding("escape", "dismiss(None)", "Back", id="form-back"),
        Binding("f5", "accept", "Done", id="form-accept"),
    ]

    def __init__(
        self,
        title: str,
        form: Form | None = None,
        *,
        yes: str = "Save",
        about: str = "",
        danger: bool = False,
    ) -> None:
        super().__init__()
        self._title = title
        self._form = form
        self._yes = yes
        self._about = about
        self._variant: ButtonVariant = "error" if danger else "primary"

    def form(self) -> Form:
        """The form."""
        if self._form is None:
            raise LookupError(f"{type(self).__name__} has no form")
        return self._form

    def compose(self) -> ComposeResult:
        """Title, what it is about, the form, two buttons."""
        with Vertical(classes="dialog form-dialog"):
            yield Static(plain(self._title), classes="dialog-title", markup=False)
            if self._about:
                about = "\n".join(plain(line) for line in self._about.split("\n"))
                yield Static(about, classes="dialog-about", markup=False)
            yield self.form()
            with Horizontal(classes="dialog-buttons"):
                yield Button(f"{self._yes} (f5)", variant=self._variant, id="yes", compact=True)
                yield Button("Back (esc)", id="no", compact=True)

    def on_mount(self) -> None:
        """The first field has the keyboard."""
        self.query_one(Form).focus()

    def say(self, about: str) -> None:
        """Show another line above the form; the dialog must have begun with one."""
        self.query_one(".dialog-about", Static).update(plain(about))

    @on(Form.Finished)
    def _finished(self) -> None:
        self.query_one("#yes").focus()

    @on(Button.Pressed)
    def _pressed(self, event: Button.Pressed) -> None:
        if event.button.id == "yes":
            self.action_accept()
        else:
            self.dismiss(None)

    def action_accept(self) -> None:
        """Close with what the form holds; what is wrong is shown instead."""
        form = self.query_one(Form)
        if form.check():
            self.dismiss(form.values())

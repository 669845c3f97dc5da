"""Where the FiftyOne App is, and the line that brings it to one's own machine."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.widgets import Static

from tui.widgets.dialog import Dialog
from tui.widgets.text import plain


class AppDialog(Dialog[str | None]):
    """Tells address and ssh line; answers ``stop`` when the App is to be stopped, else None."""

    BINDINGS = [
        Binding("y", "copy_line", "Copy the ssh line", id="app-copy"),
        Binding("u", "copy_url", "Copy the address", id="app-copy-url"),
        Binding("x", "dismiss('stop')", "Stop the App", id="app-stop"),
        Binding("escape,q,enter", "dismiss(None)", "Back", id="app-back"),
    ]

    def __init__(self, said: str, url: str, line: str) -> None:
        super().__init__()
        self._said = said
        self._url = url
        self._line = line

    def compose(self) -> ComposeResult:
        """Three things to read, four keys."""
        with Vertical(classes="dialog"):
            yield Static(plain(self._said), classes="dialog-title", markup=False)
            yield Static("On your own machine, run this and leave it open:", markup=False)
            yield Static(plain(self._line), classes="heading", markup=False)
            yield Static("then open in its browser:", markup=False)
            yield Static(plain(self._url), classes="heading", markup=False)
            yield Static(
                "\ny copies the ssh line · u the address · x stops the App · esc back\n"
                "It runs on without Kitescope, until x here or: kitescope stop",
                classes="muted",
                markup=False,
            )

    def action_copy_line(self) -> None:
        """Copy what is run at home."""
        self._copy(self._line)

    def action_copy_url(self) -> None:
        """Copy what is opened there."""
        self._copy(self._url)

    def _copy(self, text: str) -> None:
        self.app.copy_to_clipboard(text)
        self.notify(f"Copied: {plain(text)}", markup=False, timeout=3)

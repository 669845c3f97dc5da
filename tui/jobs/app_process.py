"""``python -m tui.jobs.app_process PORT``: the FiftyOne App, until SIGTERM.

Its stdin brings the settings, its stdout and stderr are the log. It shows what ``wish.json`` says, also when
that changes, and answers in ``answer.json``.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import msgspec

from tui.core.errors import KitescopeError
from tui.core.files import write_private
from tui.core.settings import Settings
from tui.core.workspace import Workspace
from tui.jobs.fiftyone_app import Answer, Wish, folder
from tui.jobs.redact import RedactingStream, secrets_of

if TYPE_CHECKING:
    from types import ModuleType

_log = logging.getLogger("kitescope.app")
_POLL_S = 0.3
_CONNECTS_S = 45.0


def main(arguments: list[str]) -> int:
    """Serve; answers the process's exit status."""
    port = int(arguments[0])
    stopping = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    settings = Settings.from_json(sys.stdin.read())
    secrets = secrets_of(settings)
    sys.stdout, sys.stderr = RedactingStream(sys.stdout, secrets), RedactingStream(sys.stderr, secrets)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO)
    _tell_server(settings)
    with Workspace(settings) as ws:
        _serve(ws, port, stopping)
    return 0


def _tell_server(settings: Settings) -> None:
    """FiftyOne's server is a process below this one: it finds the database by environment."""
    if settings.database_uri.value is not None:
        os.environ["FIFTYONE_DATABASE_URI"] = str(settings.database_uri.value)
    os.environ["FIFTYONE_DATABASE_NAME"] = settings.database_name
    os.environ["FIFTYONE_DATABASE_DIR"] = settings.database_dir
    os.environ["FIFTYONE_DATABASE_VALIDATION"] = "false"
    os.environ["FIFTYONE_DO_NOT_TRACK"] = "true"


def _serve(ws: Workspace, port: int, stopping: threading.Event) -> None:
    session: Any = None
    shown = ""
    while not stopping.is_set():
        wish = _read_wish()
        if wish is not None and wish.number != shown:
            shown = wish.number
            try:
                fo = ws.fiftyone()
                view = _view(ws, wish)
                session = _shown(fo, session, view, port, stopping)
                _answer(Answer(wish.number, len(view)))
                _log.info("%s: %d items on port %d", wish.scope.dataset, len(view), port)
            except KitescopeError as error:
                _answer(Answer(wish.number, error=error.what, remedy=error.remedy))
            except Exception as error:
                _log.exception("showing")
                _answer(Answer(wish.number, error=f"FiftyOne could not show that ({type(error).__name__})"))
            if session is None:
                return
        stopping.wait(_POLL_S)
    if session is not None:
        session.close()


def _shown(fo: ModuleType, session: Any, view: Any, port: int, stopping: threading.Event) -> Any:
    if session is None:
        # Remote: no browser is opened, which on a server would be a text browser over this screen.
        return fo.launch_app(view, port=port, address="127.0.0.1", remote=True, auto=False)
    _set_view(session, view, stopping)
    return session


def _set_view(session: Any, view: Any, stopping: threading.Event) -> None:
    """Show another view, as soon as the session is connected: in a thread of its own it tries every 10 s."""
    until = time.monotonic() + _CONNECTS_S
    while True:
        try:
            session.view = view
            return
        except RuntimeError as error:
            if "not connected" not in str(error) or time.monotonic() > until or stopping.wait(_POLL_S):
                raise


def _view(ws: Workspace, wish: Wish) -> Any:
    from tui.core.datasets import scope_view
    from tui.core.results import view_of

    if wish.ids is not None:
        return view_of(ws, wish.scope.dataset, wish.ids, wish.scope.patches_field)
    view = scope_view(ws, wish.scope)
    return view.to_patches(wish.scope.patches_field) if wish.scope.patches_field else view


def _read_wish() -> Wish | None:
    try:
        return msgspec.json.decode((folder() / "wish.json").read_bytes(), type=Wish)
    except (OSError, msgspec.MsgspecError):
        return None


def _answer(answer: Answer) -> None:
    write_private(folder() / "answer.json", msgspec.json.encode(answer).decode())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

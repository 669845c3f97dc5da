"""The FiftyOne App, started here as a process of its own: one at a time, found again, stopped by hand.

It listens on loopback only. What it shows is written to a file that its process watches, so that other
results appear in the browser's tab that is open already.
"""

from __future__ import annotations

import getpass
import hashlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from filelock import FileLock, Timeout

from tui import paths
from tui.core.errors import Interrupted, KitescopeError
from tui.core.files import private_dir, write_private
from tui.core.scope import Scope
from tui.core.services import processes
from tui.core.services.ticks import start_ticks
from tui.jobs.process import here, is_alive, send

if TYPE_CHECKING:
    from tui.core.settings import Settings

START_SECONDS = 180.0
_STOP_SECONDS = 15.0
_USUAL_PORT = 5151
_POLL_S = 0.1


class Wish(msgspec.Struct, frozen=True):
    """What the App is to show: a scope, or these items of it in this order."""

    scope: Scope
    ids: tuple[str, ...] | None = None
    number: str = ""


class AppInfo(msgspec.Struct, frozen=True):
    """The App's process: where it listens, and a mark of the database it reads."""

    pid: int
    ticks: int
    place: str
    port: int
    database: str

    @property
    def url(self) -> str:
        """Its address on this machine."""
        return f"http://127.0.0.1:{self.port}/"


class Answer(msgspec.Struct, frozen=True):
    """What the App's process says: which wish it shows, how many items that are, or what went wrong."""

    number: str
    count: int = 0
    error: str = ""
    remedy: str = ""


class _Ended(KitescopeError):
    """The App's process is gone before it showed what was wished."""


def folder() -> Path:
    """Where the App's files are."""
    return paths.state_dir() / "app"


def log_file() -> Path:
    """What the App's process and FiftyOne's server write."""
    return folder() / "app.log"


def running() -> AppInfo | None:
    """The App that was started here, by whichever program, if it still runs."""
    info = _written()
    return info if info is not None and is_alive(info.pid, info.ticks, info.place, None) else None


def show(
    scope: Scope,
    ids: Sequence[str] | None,
    settings: Settings,
    *,
    should_stop: Callable[[], bool] = lambda: False,
) -> tuple[AppInfo, int]:
    """Let the App show a scope, or some items of it; start it when it does not run. Never opens a browser.

    Returns:
        where it is, and how many items it shows.

    Raises:
        KitescopeError: it does not start, or cannot show them.
        Interrupted: ``should_stop`` said so; the App goes on starting.
    """
    wish = Wish(scope, None if ids is None else tuple(ids), uuid.uuid4().hex)
    private_dir(folder())
    try:
        with FileLock(folder() / "app.lock", timeout=START_SECONDS, mode=0o600):
            info = running()
            if info is not None and info.database != _mark(settings):
                _end(info)
                info = None
            write_private(folder() / "wish.json", msgspec.json.encode(wish).decode())
            if info is not None:
                # One whose first wish could not be shown is about to end, and looks at no other.
                with suppress(_Ended):
                    return info, _await(info, wish.number, should_stop)
            info = _launch(settings)
            return info, _await(info, wish.number, should_stop)
    except Timeout as error:
        raise KitescopeError(
            "Another program has been starting the App", f"Look into {log_file()}"
        ) from error


def stop() -> AppInfo | None:
    """End the App; answers what was stopped, None when it did not run."""
    info = running()
    if info is not None:
        _end(info)
    return info


def ssh_line(port: int, environment: Mapping[str, str] | None = None) -> str:
    """The command that brings the App's port to the user's own machine, as this session was reached."""
    env = os.environ if environment is None else environment
    reached = env.get("SSH_CONNECTION", "").split()
    host, at = (reached[2], reached[3]) if len(reached) == 4 else (socket.gethostname(), "22")
    other = "" if at == "22" else f" -p {at}"
    return f"ssh -N -L {port}:127.0.0.1:{port}{other} {getpass.getuser()}@{host}"


def _written() -> AppInfo | None:
    try:
        return msgspec.json.decode((folder() / "app.json").read_bytes(), type=AppInfo)
    except (OSError, msgspec.MsgspecError):
        return None


def _mark(settings: Settings) -> str:
    facts = f"{settings.database_uri.value}\0{settings.database_name}\0{settings.database_dir}"
    return hashlib.sha256(facts.encode()).hexdigest()[:16]


def _end(info: AppInfo) -> None:
    """SIGTERM, so that it takes FiftyOne's server with it; then the whole group, server and all."""
    send(info.pid, info.ticks, info.place, signal.SIGTERM)
    deadline = time.monotonic() + _STOP_SECONDS
    while start_ticks(info.pid) == info.ticks and time.monotonic() < deadline:
        time.sleep(_POLL_S)
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(info.pid, signal.SIGKILL)
    # Another program may have started one as soon as this one was gone.
    if _written() == info:
        (folder() / "app.json").unlink(missing_ok=True)


def _launch(settings: Settings) -> AppInfo:
    (folder() / "answer.json").unlink(missing_ok=True)
    port = _USUAL_PORT if processes.can_bind(_USUAL_PORT) else processes.free_port()
    log = os.open(log_file(), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "tui.jobs.app_process", str(port)],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            env=processes.child_environment(),
            start_new_session=True,
        )
    except OSError as error:
        raise KitescopeError(
            f"The App's process cannot be started ({error})", "Free memory or processes"
        ) from error
    finally:
        os.close(log)
    ticks = start_ticks(process.pid) or 0
    info = AppInfo(process.pid, ticks, here(), port, _mark(settings))
    write_private(folder() / "app.json", msgspec.json.encode(info).decode())
    assert process.stdin is not None
    with suppress(BrokenPipeError), process.stdin as pipe:
        pipe.write(settings.to_json().encode())
    threading.Thread(target=process.wait, name="reaper-app", daemon=True).start()
    return info


def _await(info: AppInfo, number: str, should_stop: Callable[[], bool]) -> int:
    """Wait until the wish is shown; answers of how many items."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if should_stop():
            raise Interrupted("Opening the FiftyOne App was stopped")
        with suppress(OSError, msgspec.MsgspecError):
            answer = msgspec.json.decode((folder() / "answer.json").read_bytes(), type=Answer)
            if answer.number == number and answer.error:
                raise KitescopeError(answer.error, answer.remedy or f"Look into {log_file()}")
            if answer.number == number:
                return answer.count
        if start_ticks(info.pid) != info.ticks:
            raise _Ended("The FiftyOne App ended as soon as it was started", f"Its log is {log_file()}")
        time.sleep(_POLL_S)
    raise KitescopeError(
        f"The FiftyOne App does not come up within {START_SECONDS:.0f} s", f"Its log is {log_file()}"
    )

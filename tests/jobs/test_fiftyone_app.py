"""The App's process, without FiftyOne: found again, stopped for good, and the line that leads to it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from tests.cli.program import Cli
from tui.core.files import private_dir, write_private
from tui.core.scope import Scope
from tui.core.services.ticks import start_ticks
from tui.core.settings import Settings, resolve
from tui.jobs import app_process, fiftyone_app
from tui.jobs.fiftyone_app import Answer, AppInfo, Wish, folder, ssh_line
from tui.jobs.process import here


@pytest.fixture
def app() -> Iterator[subprocess.Popen[bytes]]:
    """A process in the App's place, with a child of its own."""
    sleep = "import time; time.sleep(600)"
    code = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {sleep!r}]); {sleep}"
    with subprocess.Popen([sys.executable, "-c", code], start_new_session=True) as process:
        info = AppInfo(process.pid, start_ticks(process.pid) or 0, here(), 5999, "x")
        private_dir(folder())
        write_private(folder() / "app.json", msgspec.json.encode(info).decode())
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def test_it_is_found_again_and_stopped_once(app: subprocess.Popen[bytes]) -> None:
    found = fiftyone_app.running()
    assert found and found.pid == app.pid and found.url == "http://127.0.0.1:5999/"
    stopped = fiftyone_app.stop()
    assert stopped == found and app.wait(60) is not None
    assert fiftyone_app.running() is None and fiftyone_app.stop() is None


def test_the_command_that_stops_engines_stops_it_too(app: subprocess.Popen[bytes]) -> None:
    stopped = {one["engine"]: one["stopped"] for one in Cli(os.environ)("stop", "--json").json["stopped"]}
    assert stopped["fiftyone-app"] is True and stopped["milvus"] is False
    assert app.wait(60) is not None


def test_another_process_of_the_same_number_is_not_the_app(app: subprocess.Popen[bytes]) -> None:
    other = AppInfo(app.pid, 1, here(), 5999, "x")
    write_private(folder() / "app.json", msgspec.json.encode(other).decode())
    assert fiftyone_app.stop() is None and app.poll() is None


def test_one_that_another_program_starts_as_soon_as_it_is_gone_is_not_lost(
    app: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    newer = AppInfo(os.getpid(), start_ticks(os.getpid()) or 0, here(), 6000, "x")
    send = fiftyone_app.send

    def sent(*arguments: Any) -> bool:
        done = send(*arguments)
        write_private(folder() / "app.json", msgspec.json.encode(newer).decode())
        return done

    monkeypatch.setattr(fiftyone_app, "send", sent)
    stopped = fiftyone_app.stop()
    assert stopped and stopped.pid == app.pid and app.wait(60) is not None
    assert fiftyone_app.running() == newer


def test_one_that_is_about_to_end_when_it_is_wished_something_is_started_anew(
    app: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    newer = AppInfo(os.getpid(), start_ticks(os.getpid()) or 0, here(), 6000, "x")

    def launch(_settings: Settings) -> AppInfo:
        wish = msgspec.json.decode((folder() / "wish.json").read_bytes(), type=Wish)
        write_private(folder() / "answer.json", msgspec.json.encode(Answer(wish.number, 7)).decode())
        return newer

    monkeypatch.setattr(fiftyone_app, "_launch", launch)
    monkeypatch.setattr(fiftyone_app, "_mark", lambda _settings: "x")

    def stopping() -> bool:
        app.kill()
        return False

    shown = fiftyone_app.show(Scope("d"), None, resolve(), should_stop=stopping)
    assert shown == (newer, 7)


@pytest.mark.parametrize(
    ("connection", "expected"),
    [("10.1.2.3 55000 10.9.8.7 22", "@10.9.8.7"), ("10.1.2.3 55000 fe80::1 2222", " -p 2222 ")],
)
def test_the_line_leads_the_way_the_session_came(connection: str, expected: str) -> None:
    line = ssh_line(5151, {"SSH_CONNECTION": connection})
    assert line.startswith("ssh -N -L 5151:127.0.0.1:5151 ") and expected in line
    assert "@" in ssh_line(5151, {}) and " -p" not in ssh_line(5151, {})


class Connecting:
    """A session that is not connected yet: FiftyOne's tries it when a test cannot choose."""

    def __init__(self, refusals: int, words: str = "Client is not connected") -> None:
        self.refusals, self.words, self.seen = refusals, words, list[str]()

    @property
    def view(self) -> str:
        return self.seen[-1]

    @view.setter
    def view(self, view: str) -> None:
        if self.refusals:
            self.refusals -= 1
            raise RuntimeError(self.words)
        self.seen.append(view)


def test_a_session_that_is_not_connected_yet_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app_process, "_POLL_S", 0.01)
    session = Connecting(3)
    app_process._set_view(session, "a view", threading.Event())
    assert session.seen == ["a view"]
    with pytest.raises(RuntimeError, match="something else"):
        app_process._set_view(Connecting(1, "something else"), "a view", threading.Event())
    monkeypatch.setattr(app_process, "_CONNECTS_S", 0.05)
    with pytest.raises(RuntimeError, match="not connected"):
        app_process._set_view(Connecting(1_000), "a view", threading.Event())
    stopping = threading.Event()
    stopping.set()
    monkeypatch.setattr(app_process, "_CONNECTS_S", 600.0)
    with pytest.raises(RuntimeError, match="not connected"):
        app_process._set_view(Connecting(1), "a view", stopping)

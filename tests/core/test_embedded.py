"""The embedded Milvus: started once, found by everyone, back after a kill -9."""

from __future__ import annotations

import fcntl
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.engines.programs import KITESCOPE, Program
from tests.engines.servers import freeze
from tui import paths
from tui.core import doctor, embedded
from tui.core.errors import EngineUnreachable
from tui.core.services import lite_server, processes
from tui.core.settings import resolve
from tui.core.workspace import Workspace

CREATE = 'm.create(NAME, dim=2, metric="cosine", consistency_level="Strong", properties={})'


@pytest.fixture(autouse=True)
def nothing_left_behind(home: Path) -> Iterator[None]:
    yield
    embedded.milvus_server().stop()


def pid_file() -> Path:
    return paths.state_dir() / "engines" / "milvus.json"


def server() -> psutil.Process:
    process = embedded.milvus_server().process()
    assert process is not None
    return process


def test_one_server_that_only_this_user_can_reach() -> None:
    uri = embedded.milvus_server().ensure(5.0)
    assert embedded.milvus_server().ensure(5.0) == uri
    assert [c for c in server().net_connections("inet") if c.status == psutil.CONN_LISTEN] == []
    place = Path(uri.removeprefix("unix:"))
    assert stat.S_ISSOCK(place.stat().st_mode)
    for folder in (place.parent, embedded.milvus_data()):
        about = folder.stat()
        assert (stat.S_IMODE(about.st_mode), about.st_uid) == (0o700, os.geteuid())
    for file in (place, pid_file(), embedded.milvus_server().log, embedded.milvus_data() / "LOCK"):
        assert stat.S_IMODE(file.stat().st_mode) & 0o077 == 0, file
    assert os.getsid(server().pid) == server().pid


def test_where_no_socket_can_be_it_listens_on_loopback_and_doctor_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(lite_server, "private_socket", lambda *_: None)
        uri = embedded.milvus_server().ensure(5.0)
    listening = [c.laddr for c in server().net_connections("tcp") if c.status == psutil.CONN_LISTEN]
    assert [f"http://{a.ip.removeprefix('::ffff:')}:{a.port}" for a in listening] == [uri]
    settings = resolve(flags={"database_uri": "mongodb://h"})
    assert "the embedded Milvus listens on 127.0.0.1" in doctor._shared_machine(settings).detail
    embedded.stop()
    assert embedded.milvus_server().ensure(5.0).startswith("unix:")
    assert "the embedded Milvus can be reached by you alone" in doctor._shared_machine(settings).detail


def test_ten_starters_at_once_share_one_server() -> None:
    code = KITESCOPE + (
        "import sys; NAME = 'c' + sys.argv[1]; m = ws.milvus()\n" + CREATE + "\n"
        "from tui.core import embedded; print(embedded.milvus_server().process().pid, m.count(NAME))"
    )
    started = [
        subprocess.Popen([sys.executable, "-c", code, str(n)], stdout=subprocess.PIPE, text=True)
        for n in range(10)
    ]
    answers = [process.communicate(timeout=240)[0] for process in started]
    assert [process.returncode for process in started] == [0] * 10
    assert answers == [f"{server().pid} 0\n"] * 10
    assert len(Workspace(resolve()).milvus().collections()) == 10
    ours = [
        p
        for p in psutil.process_iter(["cmdline"])
        if str(embedded.milvus_data()) in (p.info["cmdline"] or [])
    ]
    assert len(ours) == 1


def test_after_a_kill9_the_same_connection_works_again() -> None:
    with Workspace(resolve()) as workspace:
        workspace.milvus().create("kept", dim=2, metric="cosine", consistency_level="Strong", properties={})
        pid, uri = server().pid, embedded.milvus_server().ensure(5.0)
        server().kill()
        assert workspace.milvus().collections() == ["kept"]
        assert server().pid != pid
        assert embedded.milvus_server().ensure(5.0) == uri


def test_a_lock_that_is_let_go_in_a_moment_is_waited_for() -> None:
    """One that was killed has its folder locked until the kernel has taken its memory back."""
    embedded.milvus_server().ensure(5.0)
    embedded.stop()
    with (embedded.milvus_data() / "LOCK").open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        letting_go = threading.Timer(0.5, lambda: fcntl.flock(file, fcntl.LOCK_UN))
        letting_go.start()
        began = time.monotonic()
        assert embedded.milvus_server().ensure(5.0).startswith("unix:")
        assert time.monotonic() - began >= 0.5
        letting_go.join()


@pytest.mark.parametrize("text", [None, "", "{not json", '{"pid": 1}', '{"pid": "x"}', "[]"])
def test_a_lost_or_wrong_pid_file_finds_the_running_server(text: str | None) -> None:
    uri, pid = embedded.milvus_server().ensure(5.0), server().pid
    if text is None:
        pid_file().unlink()
    else:
        pid_file().write_text(text)
    assert embedded.milvus_server().ensure(5.0) == uri
    assert server().pid == pid


def test_a_stale_pid_file_starts_a_server() -> None:
    pid_file().parent.mkdir(parents=True)
    pid_file().write_text('{"pid": 1}')
    assert Workspace(resolve()).milvus().collections() == []


def test_a_socket_that_was_deleted_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    place = Path(embedded.milvus_server().ensure(5.0).removeprefix("unix:"))
    place.unlink()
    with monkeypatch.context() as patch:
        patch.setattr(lite_server, "START_SECONDS", 0.0)  # so that it does not count as just started
        with pytest.raises(EngineUnreachable, match=r"its socket .* is gone"):
            embedded.milvus_server().ensure(5.0)
    assert embedded.stop()[0].stopped
    assert embedded.milvus_server().ensure(5.0) == f"unix:{place}"


def test_its_address_in_the_environment_means_it_and_starts_it(monkeypatch: pytest.MonkeyPatch) -> None:
    uri = embedded.milvus_server().ensure(5.0)
    embedded.stop()
    monkeypatch.setenv("FIFTYONE_BRAIN_SIMILARITY_MILVUS_URI", uri)
    assert not resolve().embedded_milvus
    assert Workspace(resolve()).milvus().collections() == []


def test_a_suspended_server_is_told_in_time() -> None:
    embedded.milvus_server().ensure(5.0)
    freeze(server().pid)
    began = time.monotonic()
    with pytest.raises(EngineUnreachable, match="suspended") as caught:
        embedded.milvus_server().ensure(1.0)
    assert time.monotonic() - began < 30, "it is not waited for as if it were starting"
    assert f"kill -CONT {server().pid}" in caught.value.remedy
    assert embedded.status()[0].detail == "is there and does not answer"
    os.kill(server().pid, signal.SIGCONT)
    assert embedded.milvus_server().ensure(60.0)


def test_it_outlives_the_terminal_that_started_it() -> None:
    program = Program(KITESCOPE)
    assert program.ask("ws.milvus().collections()") == []
    pid = server().pid
    program.kill9()
    assert psutil.pid_exists(pid)
    assert Workspace(resolve()).milvus().collections() == []
    assert server().pid == pid


def test_stop_ends_it_and_says_so() -> None:
    place = Path(embedded.milvus_server().ensure(5.0).removeprefix("unix:"))
    process = server()
    first, second = embedded.stop(), embedded.stop()
    assert (first[0].engine, first[0].stopped, str(process.pid) in first[0].detail) == ("milvus", True, True)
    assert not process.is_running()
    assert (second[0].stopped, second[0].detail) == (False, "was not running")
    assert not place.exists()
    assert embedded.status()[0].running is False


def test_a_suspended_server_can_be_stopped() -> None:
    embedded.milvus_server().ensure(5.0)
    process = server()
    freeze(process.pid)
    assert embedded.stop()[0].stopped
    assert not process.is_running()


def test_a_folder_that_cannot_be_used_is_told() -> None:
    embedded.milvus_data().parent.mkdir(parents=True)
    embedded.milvus_data().write_text("a file where the folder should be")
    with pytest.raises(Exception) as caught:
        embedded.milvus_server().ensure(5.0)
    assert str(embedded.milvus_data()) in str(caught.value)


def test_status_starts_nothing() -> None:
    milvus, database = embedded.status()
    assert (milvus.running, milvus.address, milvus.pids) == (False, "", ())
    assert (database.running, database.pids, database.detail) == (False, (), "is not running")
    assert not embedded.milvus_data().exists()


def test_children_do_not_inherit_the_port_of_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FIFTYONE_PRIVATE_DATABASE_PORT", "1")
    child = processes.child_environment()
    assert "FIFTYONE_PRIVATE_DATABASE_PORT" not in child
    assert child["HOME"] == os.environ["HOME"]
    assert processes.child_environment({"A": "1", "FIFTYONE_PRIVATE_DATABASE_PORT": "2"}) == {"A": "1"}


def test_a_process_that_ends_just_as_it_is_to_be_killed_is_gone() -> None:
    class Ending(psutil.Process):
        def kill(self) -> None:
            os.kill(self.pid, signal.SIGKILL)
            self.wait(30)
            super().kill()

    ignore = "from signal import *; signal(SIGTERM, SIG_IGN)"
    stubborn = f"{ignore}; print(flush=True); sigwait([SIGUSR1])"
    with subprocess.Popen([sys.executable, "-c", stubborn], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None and child.stdout.readline()
        processes.end(Ending(child.pid), 0.05)
        assert not psutil.pid_exists(child.pid)

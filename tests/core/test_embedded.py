"""The embedded Milvus: started once, found by everyone, back after a kill -9."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.engines.programs import KITESCOPE, Program
from tests.engines.servers import wait_until
from tui import paths
from tui.core import embedded
from tui.core.errors import EngineUnreachable
from tui.core.services import processes
from tui.core.settings import resolve
from tui.core.workspace import Workspace

CREATE = 'm.create(NAME, dim=2, metric="cosine", consistency_level="Strong", properties={})'


@pytest.fixture(autouse=True)
def nothing_left_behind(home: Path) -> Iterator[None]:
    yield
    if (process := embedded.milvus_process()) is not None:
        process.resume()
        process.kill()
        process.wait(10)


def address_file() -> Path:
    return paths.state_dir() / "engines" / "milvus.json"


def server() -> psutil.Process:
    process = embedded.milvus_process()
    assert process is not None
    return process


def test_one_server_on_loopback_in_private_folders() -> None:
    uri = embedded.ensure_milvus()
    assert embedded.ensure_milvus() == uri
    listening = [c.laddr for c in server().net_connections("tcp") if c.status == psutil.CONN_LISTEN]
    assert [f"http://{a.ip.removeprefix('::ffff:')}:{a.port}" for a in listening] == [uri]
    assert stat.S_IMODE(embedded.milvus_data().stat().st_mode) == 0o700
    assert stat.S_IMODE(address_file().stat().st_mode) == 0o600
    assert stat.S_IMODE(embedded.milvus_log().stat().st_mode) == 0o600
    assert os.getsid(server().pid) == server().pid


def test_ten_starters_at_once_share_one_server() -> None:
    code = KITESCOPE + (
        "import sys; NAME = 'c' + sys.argv[1]; m = ws.milvus()\n" + CREATE + "\n"
        "from tui.core import embedded; print(embedded.milvus_process().pid, m.count(NAME))"
    )
    started = [
        subprocess.Popen([sys.executable, "-c", code, str(n)], stdout=subprocess.PIPE, text=True)
        for n in range(10)
    ]
    answers = [process.communicate(timeout=120)[0] for process in started]
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
        pid, uri = server().pid, embedded.ensure_milvus()
        server().kill()
        assert workspace.milvus().collections() == ["kept"]
        assert server().pid != pid
        assert embedded.ensure_milvus() == uri


@pytest.mark.parametrize("text", [None, "", "{not json", '{"pid": 1, "port": 1}', '{"pid": "x"}', "[]"])
def test_a_lost_or_wrong_address_file_finds_the_running_server(text: str | None) -> None:
    uri, pid = embedded.ensure_milvus(), server().pid
    if text is None:
        address_file().unlink()
    else:
        address_file().write_text(text)
    assert embedded.ensure_milvus() == uri
    assert server().pid == pid


@pytest.mark.parametrize("text", ['{"pid": 1, "port": 1}', '{"pid": 1}', "{}"])
def test_a_stale_address_file_starts_a_server(text: str) -> None:
    address_file().parent.mkdir(parents=True)
    address_file().write_text(text)
    assert Workspace(resolve()).milvus().collections() == []


def test_the_old_port_taken_by_a_stranger_is_given_up() -> None:
    uri = embedded.ensure_milvus()
    port = int(uri.rpartition(":")[2])
    server().kill()
    wait_until(lambda: processes.can_bind(port), 5, "the port is free")
    with socket.create_server(("127.0.0.1", port)):
        assert embedded.ensure_milvus() != uri
        assert Workspace(resolve()).milvus().collections() == []


def test_a_suspended_server_is_told_in_time() -> None:
    embedded.ensure_milvus()
    server().suspend()
    began = time.monotonic()
    with pytest.raises(EngineUnreachable, match="suspended") as caught:
        embedded.ensure_milvus(timeout=1.0)
    assert time.monotonic() - began < 2.0
    assert f"kill -CONT {server().pid}" in caught.value.remedy
    assert embedded.status()[0].detail == "is there and does not answer"
    os.kill(server().pid, signal.SIGCONT)
    assert embedded.ensure_milvus(timeout=5.0)


def test_it_outlives_the_terminal_that_started_it() -> None:
    program = Program(KITESCOPE)
    assert program.ask("ws.milvus().collections()") == []
    pid = server().pid
    program.kill9()
    assert psutil.pid_exists(pid)
    assert Workspace(resolve()).milvus().collections() == []
    assert server().pid == pid


def test_stop_ends_it_and_says_so() -> None:
    embedded.ensure_milvus()
    process = server()
    first, second = embedded.stop(), embedded.stop()
    assert (first[0].engine, first[0].stopped, str(process.pid) in first[0].detail) == ("milvus", True, True)
    assert not process.is_running()
    assert (second[0].stopped, second[0].detail) == (False, "was not running")
    assert not address_file().exists()
    assert embedded.status()[0].running is False


def test_a_suspended_server_can_be_stopped() -> None:
    embedded.ensure_milvus()
    process = server()
    process.suspend()
    assert embedded.stop()[0].stopped
    assert not process.is_running()


def test_a_folder_that_cannot_be_used_is_told() -> None:
    embedded.milvus_data().parent.mkdir(parents=True)
    embedded.milvus_data().write_text("a file where the folder should be")
    with pytest.raises(Exception) as caught:
        embedded.ensure_milvus()
    assert str(embedded.milvus_data()) in str(caught.value)


def test_status_starts_nothing() -> None:
    milvus, database = embedded.status()
    assert (milvus.running, milvus.address, milvus.pids) == (False, "", ())
    assert (database.running, database.pids, database.detail) == (False, (), "is not running")
    assert not embedded.milvus_data().exists()


def test_children_do_not_inherit_the_port_of_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FIFTYONE_PRIVATE_DATABASE_PORT", "1")
    child = embedded.child_environment()
    assert "FIFTYONE_PRIVATE_DATABASE_PORT" not in child
    assert child["HOME"] == os.environ["HOME"]
    assert embedded.child_environment({"A": "1", "FIFTYONE_PRIVATE_DATABASE_PORT": "2"}) == {"A": "1"}

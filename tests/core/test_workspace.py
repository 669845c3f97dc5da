"""A workspace reaches both engines, and says in time why it does not."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.conftest import settings_for
from tests.engines.servers import MilvusLite, MilvusServer, Mongod, free_port
from tests.engines.tls import Certificates
from tui.core.errors import AuthenticationFailed, EngineUnreachable, InvalidInput, ReadOnly
from tui.core.services.database import with_timeouts
from tui.core.settings import resolve
from tui.core.workspace import Workspace


def database_only(uri: str, timeout: float = 2.0) -> Workspace:
    return Workspace(
        resolve(flags={"database_uri": uri, "uri": "http://127.0.0.1:1"}, env={}, timeout=timeout)
    )


@contextmanager
def silent_server() -> Iterator[int]:
    """A port that accepts and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        taken: list[socket.socket] = []
        accept = threading.Thread(target=_accept_all, args=(listener, taken), daemon=True)
        accept.start()
        yield listener.getsockname()[1]
    for one in taken:
        one.close()


def _accept_all(listener: socket.socket, taken: list[socket.socket]) -> None:
    while True:
        try:
            taken.append(listener.accept()[0])
        except OSError:
            return


def test_both_engines_work_together(engine_workspace: Workspace, unique_name: Callable[[str], str]) -> None:
    fo = engine_workspace.fiftyone()
    name = unique_name("ws")
    dataset = fo.Dataset(name, persistent=True)
    dataset.add_sample(fo.Sample(filepath="/nowhere.png"))
    documents = engine_workspace.database()
    assert [d["name"] for d in documents["datasets"].find({"name": name})] == [name]
    assert name not in engine_workspace.milvus().collections()
    assert engine_workspace.milvus() is engine_workspace.milvus()
    fo.delete_dataset(name)


def test_database_by_uri_needs_no_fiftyone(mongod: Mongod) -> None:
    code = (
        "import sys; from tui.core.settings import resolve; from tui.core.workspace import Workspace\n"
        f"ws = Workspace(resolve(flags={{'database_uri': {mongod.uri!r}}}, env={{}}))\n"
        "ws.database().list_collection_names(); print('fiftyone' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_fiftyone_says_nothing_on_stdout_and_stderr(mongod: Mongod) -> None:
    code = (
        "from tui.core.settings import resolve; from tui.core.workspace import Workspace\n"
        f"ws = Workspace(resolve(flags={{'database_uri': {mongod.uri!r}}}, env={{}}))\n"
        "ws.fiftyone().list_datasets()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")


@pytest.mark.parametrize("call", ["database", "fiftyone"])
def test_a_closed_port_is_told_at_once(call: str) -> None:
    workspace = database_only(f"mongodb://127.0.0.1:{free_port()}", timeout=5)
    began = time.monotonic()
    with pytest.raises(EngineUnreachable, match="Nobody listens") as caught:
        getattr(workspace, call)()
    assert time.monotonic() - began < 1.5
    assert not isinstance(caught.value, AuthenticationFailed)
    assert "Start MongoDB" in caught.value.remedy


@pytest.mark.parametrize("call", ["database", "fiftyone"])
def test_a_silent_port_is_given_up_within_the_timeout(call: str) -> None:
    with silent_server() as port:
        workspace = database_only(f"mongodb://127.0.0.1:{port}", timeout=1.5)
        began = time.monotonic()
        with pytest.raises(EngineUnreachable, match="does not answer within the timeout"):
            getattr(workspace, call)()
        assert time.monotonic() - began < 2.5


def test_a_host_that_swallows_packets_is_given_up_within_the_timeout() -> None:
    """A full backlog drops what comes, as a firewall does."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        time.sleep(0.2)
        began = time.monotonic()
        with pytest.raises(EngineUnreachable, match="does not answer within the timeout"):
            database_only(f"mongodb://127.0.0.1:{listener.getsockname()[1]}", timeout=1.5).database()
        assert time.monotonic() - began < 2.5
        for filler in fillers:
            filler.close()


def test_an_unknown_host_is_told(tmp_path: Any) -> None:
    with pytest.raises(EngineUnreachable, match="is not known") as caught:
        database_only("mongodb://no-such-host.invalid:27017").database()
    assert "host" in caught.value.remedy


@pytest.mark.parametrize("uri", ["localhost:27017", "mongodb://", "mongodb://h:99999999", "http://h"])
def test_a_uri_that_cannot_be_is_invalid_input(uri: str) -> None:
    with pytest.raises(InvalidInput, match="database URI"):
        database_only(uri).database()


def test_logins_that_fail(mongod_factory: Callable[..., Mongod]) -> None:
    server = mongod_factory(user="root", password="s3cret")
    with pytest.raises(AuthenticationFailed, match="was refused") as wrong:
        database_only(server.uri.replace("s3cret", "wr0ng-one")).database()
    assert "wr0ng-one" not in str(wrong.value)
    with pytest.raises(AuthenticationFailed, match="wants a login"):
        database_only(server.uri_without_credentials).database()
    with pytest.raises(AuthenticationFailed, match="without a password"):
        database_only(server.uri.replace(":s3cret", "")).database()
    assert database_only(server.uri).database().list_collection_names() == []


def test_tls_that_does_not_fit(mongod_factory: Callable[..., Mongod], certificates: Certificates) -> None:
    server = mongod_factory(certificates=certificates)
    assert database_only(server.uri).database().list_collection_names() == []
    with pytest.raises(EngineUnreachable, match="closes the connection") as plain:
        database_only(server.uri_without_credentials).database()
    assert "tls=true" in plain.value.remedy
    with pytest.raises(EngineUnreachable, match="does not agree on TLS") as stranger:
        database_only(server.uri.replace(str(certificates.ca), str(certificates.other_ca))).database()
    assert "tlsCAFile" in stranger.value.remedy


def test_tls_towards_a_plain_port(mongod: Mongod) -> None:
    with pytest.raises(EngineUnreachable, match="TLS") as caught:
        database_only(f"{mongod.uri}?tls=true").database()
    assert "tls=true" in caught.value.remedy


def test_a_frozen_database_is_noticed_and_comes_back(mongod_factory: Callable[..., Mongod]) -> None:
    server = mongod_factory()
    workspace = database_only(server.uri, timeout=1.0)
    database = workspace.database()
    database["config"].find_one({})
    server.stop()
    began = time.monotonic()
    with pytest.raises(EngineUnreachable, match="does not answer within"):
        database_only(server.uri, timeout=1.0).database()
    assert time.monotonic() - began < 2.0
    server.cont()
    assert database["config"].find_one({}) is None


def test_a_killed_database_comes_back_under_the_same_client(mongod_factory: Callable[..., Mongod]) -> None:
    server = mongod_factory()
    database = database_only(server.uri).database()
    database["config"].find_one({})
    server.kill9()
    server.start()
    assert database["config"].find_one({}) is None


def test_switching_the_database_of_one_process(mongod: Mongod, mongod_factory: Callable[..., Mongod]) -> None:
    """In a process of its own: the session's database must stay what it is."""
    other = mongod_factory()
    code = (
        "import sys; from tui.core.settings import resolve; from tui.core.workspace import Workspace\n"
        "first, second = (Workspace(resolve(flags={'database_uri': u}, env={})) for u in sys.argv[1:])\n"
        "for ws, number in ((first, 1), (second, 2), (first, 1), (second, 2)):\n"
        "    fo = ws.fiftyone()\n"
        "    if not fo.dataset_exists('same'):\n"
        "        made = fo.Dataset('same', persistent=True)\n"
        "        made.add_samples([fo.Sample(filepath=f'/{i}.png') for i in range(number)])\n"
        "    assert len(fo.load_dataset('same')) == number, number\n"
        "first.fiftyone().delete_dataset('same')\n"
        "print('same' in second.fiftyone().list_datasets(), 'same' in first.fiftyone().list_datasets())\n"
        # What FiftyOne deletes with a dataset must not go to the database it had at the first deletion.
        "second.fiftyone().delete_dataset('same')\n"
        "print('same' in second.fiftyone().list_datasets())\n"
    )
    run = [sys.executable, "-c", code, mongod.uri, other.uri]
    done = subprocess.run(run, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("True False\nFalse\n", "")


def test_a_wrong_milvus_address_is_told_in_time(mongod: Mongod) -> None:
    flags = {"uri": f"http://127.0.0.1:{free_port()}", "database_uri": mongod.uri}
    workspace = Workspace(resolve(flags=flags, env={}, timeout=2.0))
    began = time.monotonic()
    with pytest.raises(EngineUnreachable):
        workspace.milvus()
    assert time.monotonic() - began < 3.0


def test_a_read_only_workspace_refuses(mongod: Mongod, milvus_lite: MilvusServer) -> None:
    workspace = Workspace(settings_for(mongod, milvus_lite, readonly=True))
    with pytest.raises(ReadOnly, match="delete the run digits"):
        workspace.require_writable("delete the run digits")
    Workspace(settings_for(mongod, milvus_lite)).require_writable("delete the run digits")


def test_a_closed_workspace_says_so(mongod: Mongod, milvus_lite: MilvusLite) -> None:
    with Workspace(settings_for(mongod, milvus_lite)) as workspace:
        workspace.milvus()
    with pytest.raises(EngineUnreachable, match="closed"):
        workspace.milvus()


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (
            "mongodb://h",
            "mongodb://h/?serverSelectionTimeoutMS=2000&connectTimeoutMS=2000&heartbeatFrequencyMS=5000",
        ),
        (
            "mongodb://u:p%40@h:1,g:2/db?tls=true&connecttimeoutms=7",
            "mongodb://u:p%40@h:1,g:2/db?tls=true&connecttimeoutms=7&serverSelectionTimeoutMS=2000"
            "&heartbeatFrequencyMS=5000",
        ),
    ],
)
def test_timeouts_are_added_to_a_uri(given: str, expected: str) -> None:
    assert with_timeouts(given, 2.0) == expected

"""Connecting to Milvus: each way to fail says which it is, within its time and without a word on stderr."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.engines.servers import MilvusLite, free_port
from tests.engines.standalone import MilvusStandalone
from tests.engines.tls import Certificates
from tui.core.client import link as milvus_link
from tui.core.errors import (
    AuthenticationFailed,
    EngineUnreachable,
    InvalidInput,
    KitescopeError,
    TimedOut,
    UnknownName,
)
from tui.core.milvus import Milvus

TIMEOUT = 3.0


@contextmanager
def within(seconds: float) -> Iterator[None]:
    began = time.monotonic()
    yield
    assert time.monotonic() - began < seconds


def fails(kind: type[KitescopeError], **kwargs: str | bool) -> KitescopeError:
    # What answers has its time on a busy machine; only a silence takes all of it.
    timeout = TIMEOUT if kind in (EngineUnreachable, TimedOut) else 15.0
    with within(timeout + 1), pytest.raises(KitescopeError) as error:
        Milvus.connect(kwargs, timeout)
    # On a busy machine a refusal may come too late, and is then a silence.
    allowed = (kind, TimedOut) if kind is EngineUnreachable else (kind,)
    assert type(error.value) in allowed, error.value
    assert error.value.remedy
    assert "s3cret" not in str(error.value)
    return error.value


def test_a_closed_port() -> None:
    error = fails(EngineUnreachable, uri=f"http://user:s3cret@127.0.0.1:{free_port()}")
    assert "refused" in error.what


def test_a_host_without_an_address() -> None:
    error = fails(EngineUnreachable, uri="http://no-such-host.invalid:19530", password="s3cret", user="u")
    assert "address" in error.what


def test_a_port_that_accepts_and_never_answers() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        fails(TimedOut, uri=f"http://127.0.0.1:{listener.getsockname()[1]}")


def test_a_server_that_speaks_something_else() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        done = threading.Event()

        def answer() -> None:
            listener.settimeout(0.1)
            while not done.is_set():
                try:
                    peer, _ = listener.accept()
                except TimeoutError:
                    continue
                with peer:
                    peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        try:
            fails(EngineUnreachable, uri=f"http://127.0.0.1:{listener.getsockname()[1]}")
        finally:
            done.set()
            thread.join()


@pytest.mark.parametrize(
    "kwargs",
    [
        {"uri": "nonsense"},
        {"uri": "ftp://localhost:19530"},
        {"uri": "http://"},
        {"uri": "http://localhost:notaport"},
        {"uri": "http://localhost:99999"},
        {"uri": "http://localhost:19530", "user": "somebody"},
        {"uri": "https://localhost:19530", "server_pem_path": "/no/such/file.pem"},
        {"uri": "https://localhost:19530", "client_key_path": "/no/such/key.pem"},
    ],
)
def test_settings_that_cannot_work(kwargs: dict[str, str]) -> None:
    fails(InvalidInput, **kwargs)


def test_a_database_that_does_not_exist(milvus_lite: MilvusLite, milvus_standalone: MilvusStandalone) -> None:
    for server in (milvus_lite, milvus_standalone):
        assert "nodb" in fails(UnknownName, uri=server.uri, db_name="nodb").what


def test_wrong_credentials(milvus_standalone_factory: Callable[..., MilvusStandalone]) -> None:
    server = milvus_standalone_factory(auth=True)
    fails(AuthenticationFailed, uri=server.uri, user="root", password="s3cret")
    fails(AuthenticationFailed, uri=server.uri, token="root:s3cret")
    fails(AuthenticationFailed, uri=server.uri)
    Milvus.connect({"uri": server.uri, "token": "root:Milvus"}, 15.0).close()
    Milvus.connect({"uri": server.uri.replace("//", "//root:Milvus@")}, 15.0).close()
    server.create_user("poor", "s3cret-poor")
    poor = Milvus.connect({"uri": server.uri, "user": "poor", "password": "s3cret-poor"}, 15.0)
    with pytest.raises(AuthenticationFailed) as error:
        poor.create("c", dim=2, metric="cosine", consistency_level="Session", properties={})
    assert "s3cret" not in str(error.value)
    poor.close()


def test_tls_and_its_mismatches(
    milvus_standalone_factory: Callable[..., MilvusStandalone],
    certificates: Certificates,
    milvus_lite: MilvusLite,
) -> None:
    server = milvus_standalone_factory(tls="two-way")
    opened = Milvus.connect(server.client_kwargs(), 15.0)
    assert opened.collections() == []
    opened.close()
    good = server.client_kwargs()
    fails(EngineUnreachable, **{**good, "ca_pem_path": str(certificates.other_ca)})
    fails(EngineUnreachable, **{**good, "server_name": "other.test"})
    fails(EngineUnreachable, **{**good, "client_pem_path": str(certificates.server_key)})
    fails(EngineUnreachable, uri=server.uri.replace("https", "http"))
    fails(EngineUnreachable, uri=milvus_lite.uri.replace("http", "https"))


def test_a_frozen_server_stops_no_call_for_longer_than_its_timeout(
    milvus_lite_factory: Callable[..., MilvusLite], monkeypatch: pytest.MonkeyPatch
) -> None:
    import numpy as np

    monkeypatch.setattr(milvus_link, "patient_enough", lambda timeout: timeout)
    server = milvus_lite_factory()
    milvus = Milvus.connect(server.client_kwargs(), 15.0)
    milvus.create("c", dim=2, metric="cosine", consistency_level="Session", properties={})
    row = np.ones((1, 2), dtype=np.float32)
    milvus.upsert("c", ["a"], ["a"], row)
    milvus.close()
    milvus = Milvus.connect(server.client_kwargs(), 1.0)
    server.stop()
    for call in (
        milvus.ping,
        milvus.collections,
        lambda: milvus.exists("c"),
        lambda: milvus.describe("c"),
        lambda: milvus.create("d", dim=2, metric="cosine", consistency_level="Session", properties={}),
        lambda: milvus.index_progress("c"),
        lambda: milvus.load("c"),
        lambda: milvus.flush("c"),
        lambda: milvus.count("c"),
        lambda: milvus.upsert("c", ["b"], ["b"], row),
        lambda: milvus.delete("c", ["a"]),
        lambda: list(milvus.ids("c")),
        lambda: milvus.vectors("c", ["a"]),
        lambda: milvus.search("c", row, 1, metric="cosine"),
        lambda: milvus.set_properties("c", {"a": "b"}),
        lambda: milvus.drop("c"),
    ):
        with within(4), pytest.raises(EngineUnreachable):
            call()
    server.cont()
    with within(4):
        milvus.ping()
    milvus.close()


def test_a_restarted_server_is_reached_again_at_once(
    milvus_lite_factory: Callable[..., MilvusLite],
) -> None:
    server = milvus_lite_factory()
    milvus = Milvus.connect(server.client_kwargs(), 2.0)
    server.kill9()
    for _ in range(6):  # so that gRPC would back off
        with pytest.raises(EngineUnreachable):
            milvus.collections()
        time.sleep(0.3)
    server.start()
    with within(2):
        assert milvus.collections() == []
    milvus.close()


def test_the_cyclic_chain_of_causes_ends() -> None:
    first, second = RuntimeError("first"), RuntimeError("second")
    first.__cause__, second.__cause__ = second, first
    first.__context__ = first
    assert set(milvus_link._causes(first)) == {first, second}
    assert isinstance(milvus_link.explain(first, "here"), KitescopeError)


def test_importing_pymilvus_reads_no_stray_env_file_and_says_nothing(tmp_path: Path) -> None:
    """A ``.env`` above the virtual environment, or a broken ``MILVUS_URI``, is none of our business."""
    code = (
        "import os, dotenv, dotenv.main\n"
        "found = dotenv.main.find_dotenv\n"
        "dotenv.main.find_dotenv = lambda *a, **k: os.environ['STRAY']\n"
        "from tui.core.client.link import pymilvus\n"
        "from tui.core.milvus import Milvus\n"
        "pymilvus()\n"
        "assert 'FROM_STRAY_FILE' not in os.environ\n"
        "assert os.environ['MILVUS_URI'] == 'not a uri'\n"
        "try:\n    Milvus.connect({'uri': 'http://127.0.0.1:1'}, 30.0)\n"
        "except Exception as error:\n    print(type(error).__name__)\n"
    )
    stray = tmp_path / ".env"
    stray.write_text("FROM_STRAY_FILE=1\nMILVUS_CONN_TIMEOUT=bad\n")
    env = {**os.environ, "STRAY": str(stray), "MILVUS_URI": "not a uri"}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("EngineUnreachable\n", "")

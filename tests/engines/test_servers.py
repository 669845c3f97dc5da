"""The servers of the tests are what the tests believe them to be."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pymongo
import pytest
from pymilvus import MilvusException

from tests.engines.servers import MilvusLite, MilvusServer, Mongod, free_port, thread_states
from tests.engines.standalone import MilvusStandalone


def test_ports_differ_and_are_free() -> None:
    ports = {free_port() for _ in range(50)}
    assert len(ports) == 50
    assert all(12_000 <= port < 32_000 for port in ports)


def test_home_is_a_temporary_one(home: Path) -> None:
    assert Path(os.environ["HOME"]) == home
    assert Path("~").expanduser() == home
    assert not [n for n in os.environ if n.startswith("FIFTYONE_BRAIN")]


def test_milvus_engine_answers(milvus_engine: MilvusServer) -> None:
    client = milvus_engine.client()
    assert "no-such-collection" not in client.list_collections(timeout=5)
    version = client.get_server_version(timeout=5)
    assert version.startswith("v2.3.5") != milvus_engine.is_lite, version
    client.close()


def test_mongod_with_auth_refuses_strangers(mongod_factory: Callable[..., Mongod]) -> None:
    server = mongod_factory(user="root", password="s3cret")
    stranger = pymongo.MongoClient(server.uri_without_credentials, serverSelectionTimeoutMS=2000)
    with pytest.raises(pymongo.errors.OperationFailure):
        stranger.list_database_names()
    stranger.close()


def test_kill9_stop_and_restart_keep_port_and_data(milvus_lite_factory: Callable[..., MilvusLite]) -> None:
    server = milvus_lite_factory()
    client = server.client()
    client.create_collection("kept", dimension=2, timeout=5)
    server.stop()
    assert set(thread_states(server.pid)) == {"T"}
    began = time.monotonic()
    with pytest.raises(Exception, match=r"(?i)deadline"):
        client.list_collections(timeout=1)
    assert time.monotonic() - began < 5
    server.cont()
    assert client.list_collections(timeout=5) == ["kept"]
    port, pid = server.port, server.pid
    server.kill9()
    server.start()
    assert (server.port, server.pid != pid) == (port, True)
    assert server.client().list_collections(timeout=5) == ["kept"]


@pytest.mark.parametrize("tls", ["none", "one-way", "two-way"])
def test_standalone_with_auth_and_tls(
    tls: str, milvus_standalone_factory: Callable[..., MilvusStandalone]
) -> None:
    server = milvus_standalone_factory(auth=True, tls=tls)
    client = server.client()
    assert client.list_users(timeout=5) == ["root"]
    client.close()
    with pytest.raises(MilvusException):
        server.client(password="wrong", timeout=3).list_collections(timeout=3)

"""One writer at a time, on one machine and across machines."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.conftest import settings_for
from tests.engines.servers import MilvusLite, Mongod, wait_until
from tui.core.errors import EngineUnreachable, KitescopeError
from tui.core.filling import leases
from tui.core.filling.leases import hold
from tui.core.settings import resolve
from tui.core.workspace import Workspace


@pytest.fixture
def ws(mongod: Mongod) -> Iterator[Workspace]:
    settings = resolve(flags={"database_uri": mongod.uri, "uri": "http://127.0.0.1:1"}, env={})
    with Workspace(settings) as opened:
        yield opened


@pytest.fixture
def name() -> str:
    return f"collection {uuid.uuid4().hex}"


def _stored(ws: Workspace) -> Any:
    return ws.database().client[leases.DATABASE][leases.COLLECTION]


def test_a_second_writer_is_told_who_holds_it(ws: Workspace, name: str) -> None:
    with hold(ws, [name], "building d/k") as lease:
        lease.require()
        with pytest.raises(KitescopeError) as error, hold(ws, ["other " + name, name], "syncing d/k"):
            pytest.fail("two writers")
        assert name in error.value.what and "building d/k" in error.value.what
        assert f"process {os.getpid()}" in error.value.what and "jobs" in error.value.remedy
        with hold(ws, ["other " + name], "what the loser had taken is free again"):
            pass
    with hold(ws, [name], "afterwards"):
        pass
    assert _stored(ws).count_documents({"_id": {"$regex": name}}) == 0


def test_of_many_at_the_same_moment_one_gets_it(ws: Workspace, name: str) -> None:
    ready, winners, losers = threading.Barrier(8), [], []
    done = threading.Event()

    def compete() -> None:
        ready.wait()
        try:
            with hold(ws, [name], "competing"):
                winners.append(1)
                done.wait(10)
        except KitescopeError:
            losers.append(1)

    threads = [threading.Thread(target=compete) for _ in range(8)]
    for thread in threads:
        thread.start()
    while len(winners) + len(losers) < 8:
        time.sleep(0.01)
    done.set()
    for thread in threads:
        thread.join()
    assert (len(winners), len(losers)) == (1, 7)


def _age(ws: Workspace, name: str, **holder: Any) -> None:
    """Leave a lease behind, as a holder that vanished would."""
    document = {
        "_id": name,
        "token": "gone",
        "host": "elsewhere",
        "machine": "elsewhere/1",
        "pid": 1,
        "ticks": 1,
        "purpose": "building x/y",
    }
    _stored(ws).insert_one(document)
    pipeline = [
        {"$set": {"since": "$$NOW", "expires": {"$add": ["$$NOW", holder.pop("left", 60_000)]}, **holder}}
    ]
    _stored(ws).update_one({"_id": name}, pipeline)


def test_another_machines_lease_counts_until_it_runs_out(ws: Workspace, name: str) -> None:
    _age(ws, name)
    with pytest.raises(KitescopeError, match="elsewhere"), hold(ws, [name], "me"):
        pytest.fail("its time had not run out")
    _stored(ws).delete_one({"_id": name})
    _age(ws, name, left=-1)
    with hold(ws, [name], "me"):
        assert _stored(ws).find_one({"_id": name})["pid"] == os.getpid()


def test_a_process_of_this_machine_that_is_gone_holds_nothing(ws: Workspace, name: str) -> None:
    with subprocess.Popen([sys.executable, "-c", "pass"]) as process:
        process.wait()
    _age(ws, name, host=leases.socket.gethostname(), machine=leases._machine(), pid=process.pid)
    with hold(ws, [name], "me") as lease:
        lease.require()


def test_a_killed_holder_is_succeeded_at_once(ws: Workspace, name: str, mongod: Mongod) -> None:
    code = (
        "import sys\nfrom tui.core.filling.leases import hold\nfrom tui.core.settings import resolve\n"
        "from tui.core.workspace import Workspace\n"
        "ws = Workspace(resolve(flags={'database_uri': sys.argv[1], 'uri': 'http://127.0.0.1:1'}, env={}))\n"
        "with hold(ws, [sys.argv[2]], 'child'):\n    print('held', flush=True)\n    sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, mongod.uri, name],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdout is not None and child.stdout.readline().strip() == "held"
        with pytest.raises(KitescopeError, match=str(child.pid)), hold(ws, [name], "me"):
            pytest.fail("the child has it")
        child.kill()
        # Not waited for: a zombie counts as gone.
        deadline = time.monotonic() + 10
        while True:
            try:
                with hold(ws, [name], "me"):
                    break
            except KitescopeError:
                assert time.monotonic() < deadline
                time.sleep(0.1)


def test_a_lease_is_renewed_and_its_loss_is_noticed(
    ws: Workspace, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "_RENEW", 0.1)
    with hold(ws, [name], "me") as lease:
        ours, stored = lease._ends, _stored(ws).find_one({"_id": name})["expires"]
        wait_until(lambda: _stored(ws).find_one({"_id": name})["expires"] > stored, 30, "it is renewed")
        wait_until(lambda: lease._ends > ours, 30, "its holder knows")
        lease.require()
        _stored(ws).update_one({"_id": name}, {"$set": {"token": "somebody else"}})
        deadline = time.monotonic() + 5
        with pytest.raises(KitescopeError, match="lost"):
            while time.monotonic() < deadline:
                lease.require()
                time.sleep(0.05)
    assert _stored(ws).find_one({"_id": name})["token"] == "somebody else"


def test_the_time_that_an_answer_takes_is_time_of_the_lease(
    ws: Workspace, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another may have the lease when this process stood still until the database's answer came."""

    class Late:
        def __getattr__(self, wanted: str) -> Any:
            return getattr(_stored(ws), wanted)

        def update_one(self, *arguments: Any, **options: Any) -> Any:
            answer = _stored(ws).update_one(*arguments, **options)
            time.sleep(0.5)
            return answer

    monkeypatch.setattr(leases, "TTL", 0.3)
    monkeypatch.setattr(leases, "_leases", lambda _ws: Late())
    with hold(ws, [name], "me") as lease, pytest.raises(KitescopeError, match="lost"):
        lease.require()


def test_a_clock_that_is_set_takes_no_lease_away(
    ws: Workspace, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with hold(ws, [name], "me"):
        born = psutil.Process.create_time
        # What a process's start is computed from: the boot, which moves when the clock does.
        monkeypatch.setattr(psutil.Process, "create_time", lambda process: born(process) + 60)
        with pytest.raises(KitescopeError, match="Another Kitescope"), hold(ws, [name], "second"):
            pytest.fail("two writers")


def test_a_database_that_is_away_for_a_while_costs_nothing(
    milvus_lite: MilvusLite, mongod_factory: Callable[..., Mongod], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "_RENEW", 0.2)
    server = mongod_factory()
    settings = settings_for(server, milvus_lite, timeout=1.0)
    with Workspace(settings) as ws, hold(ws, [name], "me") as lease:
        server.restart()
        time.sleep(1.0)
        lease.require()
        assert _stored(ws).find_one({"_id": name}) is not None
    server.close()
    with Workspace(settings) as ws, pytest.raises(EngineUnreachable), hold(ws, [name], "me"):
        pytest.fail("there is no database")


def test_who_may_not_write_the_database_is_kept_apart_by_files(
    mongod_factory: Callable[..., Mongod], milvus_lite: MilvusLite, name: str, home: Path
) -> None:
    import pymongo

    server = mongod_factory(user="root", password="s3cret")
    client: Any = pymongo.MongoClient(server.uri)
    client["admin"].command("createUser", "poor", pwd="p", roles=[{"role": "readWrite", "db": "fiftyone"}])
    client.close()
    uri = server.uri.replace("root:s3cret@", "poor:p@") + "?authSource=admin"
    settings = resolve(flags={"database_uri": uri, **milvus_lite.client_kwargs()}, env={})
    with Workspace(settings) as ws:
        with hold(ws, [name], "building d/k") as lease:
            lease.require()
            with pytest.raises(KitescopeError, match="building d/k"), hold(ws, [name], "second"):
                pytest.fail("two writers")
        with hold(ws, [name], "afterwards"):
            pass

"""What others do, and what breaks, while runs are deleted: nothing is half-forgotten."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from tests.conftest import settings_for
from tests.core.making import make_dataset, make_index, python, vectors
from tests.engines.servers import MilvusLite, Mongod
from tui.core import runs
from tui.core.client.server import Server
from tui.core.documents import run_documents
from tui.core.errors import EngineUnreachable, KitescopeError, UnknownName
from tui.core.scope import Scope
from tui.core.workspace import Workspace

Name = Callable[[str], str]


def test_milvus_dies_in_the_middle_of_a_delete_and_the_run_still_names_its_collection(
    mongod: Mongod,
    milvus_lite_factory: Callable[..., MilvusLite],
    unique_name: Name,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server = milvus_lite_factory()
    drop = Server.drop

    def drop_on_a_dead_server(milvus: Server, name: str) -> None:
        server.kill9()
        drop(milvus, name)

    with Workspace(settings_for(mongod, server)) as ws:
        name = unique_name("middle").replace("-", "_")
        dataset = make_dataset(ws, name, 3)
        collection = make_index(ws, Scope(name), "k", vectors(3))
        with monkeypatch.context() as patch:
            patch.setattr(Server, "drop", drop_on_a_dead_server)
            with pytest.raises(EngineUnreachable):
                runs.delete(ws, name, "k")
        assert runs.require_run(ws, name, "k").collection == collection
        dataset.reload()
        assert dataset.get_brain_info("k").config.collection_name == collection
        server.start()
    with Workspace(settings_for(mongod, server)) as ws:
        assert runs.with_health(ws, runs.require_run(ws, name, "k")).health == "ok"
        assert runs.delete(ws, name, "k").dropped
        assert not ws.milvus().exists(collection)


def test_two_delete_the_same_run_and_one_is_told(
    workspace: Workspace, mongod: Mongod, unique_name: Name, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = unique_name("both").replace("-", "_")
    make_dataset(workspace, name, 3)
    collection = make_index(workspace, Scope(name), "k", vectors(3))
    both = threading.Barrier(2, timeout=60)
    require = runs.require

    def require_together(*arguments: object) -> object:
        found = require(*arguments)  # type: ignore[arg-type]
        both.wait()
        return found

    monkeypatch.setattr(runs, "require", require_together)
    became: list[object] = []

    def delete() -> None:
        try:
            became.append(runs.delete(workspace, name, "k"))
        except KitescopeError as error:
            became.append(error)

    threads = [threading.Thread(target=delete) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert len(became) == 2
    assert [isinstance(one, KitescopeError) for one in became].count(True) == 1, became
    assert runs.get_run(workspace, name, "k") is None and not workspace.milvus().exists(collection)
    code = "import sys, fiftyone as fo\nprint(fo.load_dataset(sys.argv[1]).list_brain_runs())\n"
    assert python(code, mongod.uri, name).splitlines()[-1] == "[]"


def test_a_collection_dropped_behind_our_back_leaves_a_run_that_says_so_and_can_go(
    workspace: Workspace, unique_name: Name
) -> None:
    name = unique_name("behind").replace("-", "_")
    make_dataset(workspace, name, 3)
    collection = make_index(workspace, Scope(name), "k", vectors(3))
    workspace.milvus()._client.drop_collection(collection)
    run = runs.require_run(workspace, name, "k")
    assert runs.with_health(workspace, run).health == "no-collection"
    gone = runs.delete(workspace, name, "k")
    assert (gone.dropped, gone.reason) == (False, "the collection does not exist")
    assert runs.list_runs(workspace, name) == []


def test_a_dataset_deleted_while_its_runs_are_shown(workspace: Workspace, unique_name: Name) -> None:
    name = unique_name("vanished").replace("-", "_")
    make_dataset(workspace, name, 3)
    collection = make_index(workspace, Scope(name), "k", vectors(3))
    (run,) = runs.list_runs(workspace, name)
    document = run_documents.require(workspace, name, "k")
    workspace.fiftyone().delete_dataset(name)
    for late in (
        lambda: runs.with_health(workspace, run),
        lambda: runs.delete(workspace, name, "k"),
        lambda: runs.rename(workspace, name, "k", "n"),
        lambda: run_documents.delete(workspace, document),
    ):
        with pytest.raises(UnknownName, match=name):
            late()
    # Stock FiftyOne leaves the collection, and so do we: it is an orphan now.
    assert workspace.milvus().count(collection) == 3

"""Registered runs are stock FiftyOne's own, and two writers never lose each other's."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.core.making import Made, make_dataset, make_index, python, stock_index, vectors
from tests.engines.servers import MilvusLite, Mongod
from tui.core import runs
from tui.core.datasets import Scope
from tui.core.documents import run_documents
from tui.core.errors import InvalidInput
from tui.core.workspace import Workspace

Name = Callable[[str], str]


def _raw(ws: Workspace, dataset: Any, key: str) -> dict[str, Any]:
    document = run_documents.require(ws, dataset.name, key)
    found: dict[str, Any] = ws.database()["runs"].find_one({"_id": document.id})
    return found


def _results(ws: Workspace, id: Any) -> bytes:
    import gridfs

    content: bytes = gridfs.GridFS(ws.database()).get(id).read()
    return content


def test_a_registered_run_is_written_as_stock_writes_it(
    workspace: Workspace, milvus_lite: MilvusLite, unique_name: Name
) -> None:
    dataset = make_dataset(workspace, unique_name("same"), 5)
    stock_index(workspace, milvus_lite.uri, dataset, "stock", embeddings="emb")
    make_index(workspace, Scope(dataset.name), "ours", vectors(5), source=Made(embeddings_field="emb"))
    stock, ours = _raw(workspace, dataset, "stock"), _raw(workspace, dataset, "ours")
    assert set(ours) == set(stock)
    assert ours["config"] | {"collection_name": 0, "consistency_level": 0} == stock["config"] | {
        "collection_name": 0,
        "consistency_level": 0,
    }
    assert ours["version"] == stock["version"] and ours["_dataset_id"] == stock["_dataset_id"]
    assert type(ours["timestamp"]) is type(stock["timestamp"])
    assert _results(workspace, ours["results"]) == _results(workspace, stock["results"])
    found = workspace.database()["datasets"].find_one({"name": dataset.name})
    assert found["brain_methods"] == {"stock": stock["_id"], "ours": ours["_id"]}


def test_registering_needs_no_stock_milvus_class(
    mongod: Mongod, milvus_lite: MilvusLite, workspace: Workspace, unique_name: Name
) -> None:
    dataset = make_dataset(workspace, unique_name("blocked"), 4)
    code = (
        "import sys\n"
        "sys.modules['fiftyone.brain.internal.core.milvus'] = None\n"
        "from tests.core.making import *\n"
        "from tui.core import search\n"
        "from tui.core.settings import resolve\n"
        "with Workspace(resolve(flags={'uri': sys.argv[2], 'database_uri': sys.argv[3]}, env={})) as ws:\n"
        "    scope = Scope(sys.argv[1])\n"
        "    make_index(ws, scope, 'k', vectors(4))\n"
        "    ids, _ = all_ids(ws, scope)\n"
        "    print(len(search.search(ws, search.Query(sys.argv[1], 'k', ids=(ids[0],))).hits))\n"
        "    print([run.brain_key for run in runs.list_runs(ws, sys.argv[1])])\n"
        "    runs.delete(ws, sys.argv[1], runs.rename(ws, sys.argv[1], 'k', 'k2').brain_key)\n"
        "    print([run.brain_key for run in runs.list_runs(ws, sys.argv[1])])\n"
        "    print('fiftyone' in sys.modules)\n"
    )
    out = python(code, mongod.uri, dataset.name, milvus_lite.uri, mongod.uri)
    assert out.splitlines() == ["4", "['k']", "[]", "False"]


def test_two_processes_registering_at_once_lose_nothing(
    workspace: Workspace, mongod: Mongod, unique_name: Name
) -> None:
    dataset = make_dataset(workspace, unique_name("race"), 1)
    code = (
        "import sys\n"
        "from tests.core.making import Made, Scope, Workspace, runs\n"
        "from tui.core.settings import resolve\n"
        "with Workspace(resolve(flags={'database_uri': sys.argv[3]}, env={})) as ws:\n"
        "    sys.stdin.readline()\n"
        "    for i in range(25):\n"
        "        runs.register(ws, scope=Scope(sys.argv[1]), brain_key=f'{sys.argv[2]}{i}', collection='c',\n"
        "            source=Made(), metric='cosine', consistency_level='Session',\n"
        "            supports_prompts=False, dim=3)\n"
    )
    started = [
        subprocess.Popen([sys.executable, "-c", code, dataset.name, stem, mongod.uri], stdin=subprocess.PIPE)
        for stem in ("a", "b")
    ]
    for process in started:
        assert process.stdin is not None
        process.stdin.write(b"go\n")
        process.stdin.close()
    # Stock FiftyOne saves its own view of the dataset at the same time.
    for number in range(20):
        dataset.info["n"] = number
        dataset.save()
    assert [process.wait(60) for process in started] == [0, 0]
    dataset.reload()
    assert set(dataset.list_brain_runs()) == {f"{stem}{i}" for stem in "ab" for i in range(25)}


def test_a_key_taken_meanwhile_is_refused_and_leaves_nothing(workspace: Workspace, unique_name: Name) -> None:
    dataset = make_dataset(workspace, unique_name("taken"), 1)
    database = workspace.database()
    arguments = {"metric": "cosine", "consistency_level": "Session", "supports_prompts": False, "dim": 3}
    outcomes: list[Exception | None] = []

    def register(number: int) -> None:
        try:
            runs.register(
                workspace,
                scope=Scope(dataset.name),
                brain_key="k",
                collection=f"c{number}",
                source=Made(),
                **arguments,
            )
            outcomes.append(None)
        except InvalidInput as error:
            outcomes.append(error)

    before = database["runs"].estimated_document_count(), database["fs.files"].estimated_document_count()
    threads = [threading.Thread(target=register, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes.count(None) == 1 and len(outcomes) == 8
    after = database["runs"].estimated_document_count(), database["fs.files"].estimated_document_count()
    assert after == (before[0] + 1, before[1] + 1)


def test_registering_the_same_collection_again_and_overwriting(
    workspace: Workspace, unique_name: Name
) -> None:
    dataset = make_dataset(workspace, unique_name("again"), 1)
    arguments: dict[str, Any] = {
        "scope": Scope(dataset.name),
        "brain_key": "k",
        "metric": "cosine",
        "consistency_level": "Session",
        "supports_prompts": False,
        "dim": 3,
    }
    runs.register(workspace, collection="c", source=Made(), **arguments)
    first = run_documents.require(workspace, dataset.name, "k")
    runs.register(workspace, collection="c", source=Made(model="m"), **arguments)
    assert runs.require_run(workspace, dataset.name, "k").model == "m"
    with pytest.raises(InvalidInput, match="already"):
        runs.register(workspace, collection="other", source=Made(), **arguments)
    runs.register(workspace, collection="other", source=Made(), overwrite=True, **arguments)
    assert runs.require_run(workspace, dataset.name, "k").collection == "other"
    assert workspace.database()["runs"].find_one({"_id": first.id}) is None
    assert workspace.database()["fs.files"].find_one({"_id": first.results}) is None


@pytest.mark.parametrize("key", ["", "1st", "a-b", "a.b", "a b"])
def test_keys_follow_fiftyones_rule(key: str, workspace: Workspace, unique_name: Name) -> None:
    import fiftyone.core.brain as fob

    dataset = make_dataset(workspace, unique_name("key"), 1)
    with pytest.raises(InvalidInput, match="cannot be a brain key"):
        runs.register(
            workspace,
            scope=Scope(dataset.name),
            brain_key=key,
            collection="c",
            source=Made(),
            metric="cosine",
            consistency_level="Session",
            supports_prompts=False,
            dim=3,
        )
    with pytest.raises(ValueError, match="Keys must be valid"):
        fob.BrainMethod(fob.BrainMethodConfig()).validate_run(dataset, key)


def test_a_view_of_a_run_loads_in_stock(workspace: Workspace, mongod: Mongod, unique_name: Name) -> None:
    dataset = make_dataset(workspace, unique_name("runview"), 8)
    dataset.save_view("few", dataset.limit(6))
    scope = Scope(dataset.name, view="few", tags=("train",), where=(("number", "3"),))
    make_index(workspace, scope, "k", vectors(1))
    out = python(
        "import sys, fiftyone as fo\n"
        "print(fo.load_dataset(sys.argv[1]).load_brain_view('k').values('number'))",
        mongod.uri,
        dataset.name,
    )
    assert out.splitlines()[-1] == "[3]"


def test_npy_sources_are_remembered(workspace: Workspace, unique_name: Name) -> None:
    dataset = make_dataset(workspace, unique_name("npy"), 2)
    make_index(
        workspace, Scope(dataset.name), "k", np.eye(2, 8, dtype=np.float32), source=Made(embeddings="/v.npy")
    )
    assert runs.require_run(workspace, dataset.name, "k").embeddings == "/v.npy"
    dataset.reload()
    clone = dataset.clone(unique_name("npyclone"))
    assert runs.require_run(workspace, clone.name, "k").embeddings == "/v.npy"

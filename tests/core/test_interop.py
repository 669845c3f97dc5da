"""Stock FiftyOne, in a fresh process, opens what is made here and finds the same; and the reverse."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest

from tests.core.making import all_ids, make_dataset, make_index, python, stock_index, vectors
from tests.engines.servers import MilvusServer, Mongod
from tui.core import embedded, runs
from tui.core.client.index_types import METRICS
from tui.core.datasets import Scope
from tui.core.documents.snippet import snippet
from tui.core.search import Query, search
from tui.core.settings import resolve
from tui.core.workspace import Workspace

Name = Callable[[str], str]

# Prints the ids that stock FiftyOne finds: arguments are dataset, keys, Milvus URI, query id, k.
STOCK_SEARCH = """
import json, sys
import fiftyone as fo
name, keys, uri, query, k = sys.argv[1:]
dataset = fo.load_dataset(name)
found = []
for key in keys.split(","):
    index = dataset.load_brain_results(key, uri=uri)
    if index.config.patches_field:
        samples, ids = index._kneighbors(query=query, k=int(k), aggregation="mean")
    else:
        ids = index.sort_by_similarity(query, k=int(k)).values("id")
    found.append(ids)
print(json.dumps([*found, dataset.load_brain_view(key).values("id")]))
"""


def _stock(
    mongod: Mongod, server: MilvusServer, dataset: str, keys: str, query: str, k: int
) -> list[list[str]]:
    out = python(STOCK_SEARCH, mongod.uri, dataset, keys, server.uri, query, str(k))
    found: list[list[str]] = json.loads(out.splitlines()[-1])
    return found


def test_stock_opens_our_index_and_finds_the_same(
    engine_workspace: Workspace, milvus_engine: MilvusServer, mongod: Mongod, unique_name: Name
) -> None:
    ws = engine_workspace
    dataset = make_dataset(ws, unique_name("ours"), 60)
    query = dataset.skip(20).first().id
    ours = []
    for metric in METRICS:
        make_index(ws, Scope(dataset.name), metric, vectors(60), metric=metric)
        hits = search(ws, Query(dataset.name, metric, ids=(query,), k=10)).hits
        assert len(hits) == 10 and (metric == "dotproduct" or hits[0].id == query)
        ours.append([hit.id for hit in hits])
    *found, view = _stock(mongod, milvus_engine, dataset.name, ",".join(METRICS), query, 10)
    assert found == ours
    assert view == dataset.values("id")


def test_stock_opens_our_index_of_patches(
    engine_workspace: Workspace, milvus_engine: MilvusServer, mongod: Mongod, unique_name: Name
) -> None:
    ws = engine_workspace
    dataset = make_dataset(ws, unique_name("patches"), 20)
    scope = Scope(dataset.name, "boxes")
    ids, _ = all_ids(ws, scope)
    make_index(ws, scope, "k", vectors(len(ids)))
    ours = search(ws, Query(dataset.name, "k", ids=(ids[7],), k=9))
    found, _ = _stock(mongod, milvus_engine, dataset.name, "k", ids[7], 9)
    assert found == [hit.id for hit in ours.hits]
    owner = {label.id: (sample.id, label.label) for sample in dataset for label in sample.boxes.detections}
    assert [(hit.sample_id, hit.label) for hit in ours.hits] == [owner[hit.id] for hit in ours.hits]
    assert all(hit.box is not None for hit in ours.hits)


def test_stock_opens_our_index_of_a_view(
    engine_workspace: Workspace, milvus_engine: MilvusServer, mongod: Mongod, unique_name: Name
) -> None:
    ws = engine_workspace
    dataset = make_dataset(ws, unique_name("view"), 40)
    scope = Scope(dataset.name, tags=("train",))
    ids, _ = all_ids(ws, scope)
    make_index(ws, scope, "k", vectors(len(ids)))
    ours = [hit.id for hit in search(ws, Query(dataset.name, "k", ids=(ids[3],), k=8)).hits]
    found, view = _stock(mongod, milvus_engine, dataset.name, "k", ids[3], 8)
    assert (found, view) == (ours, ids)


def test_an_index_that_stock_made_is_listed_searched_and_deleted_here(
    engine_workspace: Workspace, milvus_engine: MilvusServer, mongod: Mongod, unique_name: Name
) -> None:
    ws = engine_workspace
    dataset = make_dataset(ws, unique_name("stock"), 30)
    stock_index(ws, milvus_engine.uri, dataset, "k", embeddings="emb")
    (run,) = runs.list_runs(ws, dataset.name)
    assert (run.brain_key, run.metric, run.embeddings_field) == ("k", "cosine", "emb")
    checked = runs.with_health(ws, run)
    assert (checked.health, checked.vectors) == ("ok", 30)
    query = dataset.skip(4).first().id
    ours = [hit.id for hit in search(ws, Query(dataset.name, "k", ids=(query,), k=12)).hits]
    assert _stock(mongod, milvus_engine, dataset.name, "k", query, 12)[0] == ours
    assert runs.delete(ws, dataset.name, "k").dropped
    out = python(
        "import sys, fiftyone as fo\nprint(fo.load_dataset(sys.argv[1]).list_brain_runs())",
        mongod.uri,
        dataset.name,
    )
    assert out.splitlines()[-1] == "[]"
    assert run.collection not in ws.milvus().collections()


@pytest.fixture
def on_embedded(mongod: Mongod) -> Iterator[Workspace]:
    """FiftyOne on the session's mongod, and the embedded Milvus of this test's home."""
    with Workspace(resolve(flags={"database_uri": mongod.uri}, env={})) as opened:
        yield opened
    embedded.stop()


def test_stock_uses_the_socket_of_the_embedded_milvus_in_both_directions(
    on_embedded: Workspace, mongod: Mongod, unique_name: Name
) -> None:
    ws, uri = on_embedded, embedded.milvus_server().ensure(5.0)
    assert uri.startswith("unix:")
    dataset = make_dataset(ws, unique_name("socket"), 30)
    make_index(ws, Scope(dataset.name), "ours", vectors(30))
    opened = snippet(ws, dataset.name, "ours")
    assert uri in opened
    out = python(opened + MAKE_STOCK, mongod.uri, FIFTYONE_BRAIN_SIMILARITY_MILVUS_URI=uri)
    of_the_snippet = json.loads(out.splitlines()[-1])
    first = dataset.first().id
    assert of_the_snippet == [
        hit.id for hit in search(ws, Query(dataset.name, "ours", ids=(first,), k=25)).hits
    ]
    assert runs.with_health(ws, runs.get_run(ws, dataset.name, "theirs")).health == "ok"
    assert len(search(ws, Query(dataset.name, "theirs", ids=(first,), k=5)).hits) == 5


# What a notebook adds to the snippet: the ids of its view, and an index of its own by the environment.
MAKE_STOCK = """
import json
import fiftyone.brain as fob
fob.compute_similarity(dataset, embeddings="emb", brain_key="theirs", backend="milvus", progress=False)
print(json.dumps(view.values("id")))
"""

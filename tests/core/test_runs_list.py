"""Runs and collections are listed, counted and judged from both sides."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.core.making import Made, make_dataset, make_index, stock_index, vectors
from tests.engines.servers import MilvusLite
from tui.core import collections, runs
from tui.core.datasets import Scope
from tui.core.errors import InvalidInput, UnknownName
from tui.core.workspace import Workspace

Name = Callable[[str], str]


def test_runs_of_every_type_are_listed_and_filtered(
    workspace: Workspace, milvus_lite: MilvusLite, unique_name: Name
) -> None:
    import fiftyone.brain as fob

    dataset = make_dataset(workspace, unique_name("types"), 6)
    fob.compute_visualization(dataset, embeddings="emb", method="pca", brain_key="viz", verbose=False)
    fob.compute_similarity(dataset, embeddings="emb", backend="sklearn", brain_key="sk", progress=False)
    fob.compute_uniqueness(dataset, embeddings="emb", progress=False)
    stock_index(workspace, milvus_lite.uri, dataset, "stock", embeddings="emb")
    make_index(workspace, Scope(dataset.name, "boxes"), "patches", vectors(12), supports_prompts=True)
    found = {run.brain_key: run for run in runs.list_runs(workspace, dataset.name)}
    assert {key: (run.type, run.method) for key, run in found.items()} == {
        "viz": ("visualization", "pca"),
        "sk": ("similarity", "sklearn"),
        "uniqueness": ("uniqueness", "neighbors"),
        "stock": ("similarity", "milvus"),
        "patches": ("similarity", "milvus"),
    }
    assert "viz" not in [run.brain_key for run in runs.list_runs(workspace, dataset.name, type="similarity")]
    for filters in ({"patches_field": "boxes"}, {"supports_prompts": True}):
        assert [run.brain_key for run in runs.list_runs(workspace, dataset.name, **filters)] == ["patches"]
        assert dataset.list_brain_runs(**filters) == ["patches"]
    assert {run.dataset for run in runs.list_runs(workspace)} >= {dataset.name}
    with pytest.raises(UnknownName):
        runs.list_runs(workspace, "no such dataset")


def test_five_hundred_runs_are_listed_in_under_two_seconds(workspace: Workspace, unique_name: Name) -> None:
    fo = workspace.fiftyone()
    names = [unique_name("lot") for _ in range(50)]
    for name in names:
        fo.Dataset(name)
        for number in range(10):
            runs.register(
                workspace,
                scope=Scope(name),
                brain_key=f"k{number}",
                collection=f"c{number}",
                source=Made(),
                metric="cosine",
                consistency_level="Session",
                supports_prompts=False,
                dim=3,
            )
    started = time.perf_counter()
    listed = [run for run in runs.list_runs(workspace) if run.dataset in set(names)]
    elapsed = time.perf_counter() - started
    assert len(listed) == 500
    # A tenth of a second on an idle machine.
    assert elapsed < 5.0
    for name in names:
        fo.delete_dataset(name)


def test_a_crashed_stock_build_is_listed_as_incomplete(
    workspace: Workspace, milvus_lite: MilvusLite, unique_name: Name
) -> None:
    dataset = make_dataset(workspace, unique_name("crash"), 3)
    with pytest.raises(ValueError, match="Failed to connect"):
        import fiftyone.brain as fob

        fob.compute_similarity(
            dataset, embeddings="emb", brain_key="dead", backend="milvus", uri="http://127.0.0.1:9"
        )
    run = runs.require_run(workspace, dataset.name, "dead")
    assert (run.health, run.finished, run.collection) == ("incomplete", False, None)
    assert runs.with_health(workspace, run).missing == 3
    assert runs.delete(workspace, dataset.name, "dead").dropped is False
    assert runs.list_runs(workspace, dataset.name) == []


def test_health_counts_what_is_there_and_what_should_be(workspace: Workspace, unique_name: Name) -> None:
    dataset = make_dataset(workspace, unique_name("health"), 6)
    collection = make_index(workspace, Scope(dataset.name), "k", vectors(6))

    def health() -> tuple[Any, ...]:
        run = runs.with_health(workspace, runs.require_run(workspace, dataset.name, "k"))
        return run.health, run.vectors, run.expected, run.missing, run.stale

    assert health() == ("ok", 6, 6, 0, 0)
    ids = dataset.values("id")
    workspace.milvus().delete(collection, ids[:2])
    assert health() == ("incomplete", 4, 6, 2, 0)
    dataset.delete_samples(ids[:4])
    assert health() == ("stale", 4, 2, 0, 2)
    workspace.milvus().drop(collection)
    assert health() == ("no-collection", None, 2, 2, None)


def test_health_knows_the_scope_of_a_run(workspace: Workspace, unique_name: Name) -> None:
    dataset = make_dataset(workspace, unique_name("scoped"), 8)
    scope = Scope(dataset.name, "boxes", tags=("train",), where=(("boxes", "part0"),), limit=3)
    make_index(workspace, scope, "k", vectors(3))
    run = runs.require_run(workspace, dataset.name, "k")
    assert run.scope == scope
    assert runs.with_health(workspace, run).health == "ok"
    sample = dataset.first()
    sample["emb"] = None
    sample.save()
    make_index(workspace, Scope(dataset.name), "e", vectors(8), source=Made(embeddings_field="emb"))
    workspace.milvus().delete(runs.require_run(workspace, dataset.name, "e").collection or "", [sample.id])
    assert runs.with_health(workspace, runs.require_run(workspace, dataset.name, "e")).health == "ok"


def test_info_joins_both_sides(engine_workspace: Workspace, unique_name: Name) -> None:
    ws, name = engine_workspace, unique_name("info")
    make_dataset(ws, name, 3)
    collection = make_index(ws, Scope(name), "k", vectors(3), source=Made(model="m"))
    info = json.loads(json.dumps(runs.run_info(ws, name, "k")))
    assert info["config"]["model"] == "m" and info["dim"] == 8 and info["health"] == "ok"
    assert info["shared_with"] == [] and info["vectors"] == 3
    there = info["collection_info"]
    assert (there["name"], there["dim"], there["vectors"], there["state"]) == (collection, 8, 3, "loaded")
    assert (there["index_type"], there["index_params"].get("M", "16")) == ("HNSW", "16")
    assert there["consistency_level"] == "Session"
    # Milvus Lite does not tell M. Counted are 8 float32, 16 links both ways on the lowest layer, and the ids.
    assert there["memory_bytes"] == 3 * (8 * 4 + 8 * 16 + 64)
    pk, vector, sample_id = there["fields"]
    assert (pk["name"], pk["type"], pk["primary"], pk["max_length"]) == ("pk", "VARCHAR", True, 64_000)
    assert (vector["type"], vector["dim"], sample_id["type"]) == ("FLOAT_VECTOR", 8, "VARCHAR")
    collections.release(ws, collection)
    there = runs.run_info(ws, name, "k")["collection_info"]
    assert (there["state"], there["memory_bytes"], there["vectors"]) == ("released", 0, None)
    ws.milvus().drop(collection)
    assert runs.run_info(ws, name, "k")["collection_info"] is None


def test_collections_show_owners_and_orphans(workspace: Workspace, unique_name: Name) -> None:
    dataset = make_dataset(workspace, unique_name("cols"), 3)
    collection = make_index(workspace, Scope(dataset.name), "k", vectors(3))
    row = next(r for r in collections.list_collections(workspace) if r.name == collection)
    assert (row.owner, row.vectors, row.dim, row.metric) == (f"{dataset.name}/k", 3, 8, "cosine")
    with pytest.raises(InvalidInput, match="belongs to"):
        collections.drop(workspace, collection)
    runs.delete(workspace, dataset.name, "k", keep_collection=True)
    orphans = {r.name: r for r in collections.list_collections(workspace, orphans=True)}
    assert orphans[collection].owner is None
    assert not collections.release(workspace, collection).loaded
    assert collections.load(workspace, collection).loaded
    assert collections.drop(workspace, collection).vectors == 3
    with pytest.raises(UnknownName):
        collections.load(workspace, collection)

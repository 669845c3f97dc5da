"""A run that a crashed stock build left is shown as incomplete, and can be resumed or discarded."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from bson import ObjectId

from tests.core.indexing import assert_exact, scope_set
from tests.core.making import crash_stock, fill, make_dataset, make_index, python, stock_index, vectors
from tests.core.pictures import photo
from tests.engines.servers import MilvusLite, MilvusServer, Mongod
from tui.core import indexes, runs
from tui.core.errors import InvalidInput, ReadOnly
from tui.core.models import BUILTIN
from tui.core.scope import Scope
from tui.core.workspace import Workspace

Name = Callable[[str], str]

STOCK_FINDS = """
import sys, fiftyone as fo
dataset = fo.load_dataset(sys.argv[1])
index = dataset.load_brain_results(sys.argv[2], uri=sys.argv[3])
view = index.sort_by_similarity(dataset.first().id, k=3)
print(index.total_index_size, view.first().id == dataset.first().id)
"""


def _configure(ws: Workspace, dataset: str, key: str, **config: Any) -> None:
    run = ws.database()["datasets"].find_one({"name": dataset})["brain_methods"][key]
    change = {f"config.{name}": value for name, value in config.items()}
    ws.database()["runs"].update_one({"_id": ObjectId(run)}, {"$set": change})


@pytest.mark.parametrize("at", ["connect", "embed", "upload"])
def test_what_a_crash_left_is_completed_under_its_key(
    engine_workspace: Workspace, milvus_engine: MilvusServer, mongod: Mongod, unique_name: Name, at: str
) -> None:
    ws, name = engine_workspace, unique_name("crash").replace("-", "_")
    dataset = make_dataset(ws, name, 6)
    crash_stock(ws, milvus_engine.uri, dataset, "k", at, embeddings="emb")
    run = runs.require_run(ws, name, "k")
    assert (run.finished, run.health) == (False, "incomplete")
    there = 2 if at == "upload" else 0
    checked = indexes.check(ws, name, "k")
    assert (checked.health, checked.vectors, checked.missing) == ("incomplete", there, 6 - there)
    would = indexes.sync(ws, name, "k", dry_run=True)
    assert (would.added, would.unchanged) == (6 - there, there)
    done = indexes.sync(ws, name, "k")
    assert (done.added, done.unchanged) == (6 - there, there)
    resumed = runs.require_run(ws, name, "k")
    assert resumed.finished and resumed.collection
    assert runs.with_health(ws, resumed).health == "ok"
    assert_exact(ws, resumed.collection, scope_set(ws, Scope(name)))
    assert python(STOCK_FINDS, mongod.uri, name, "k", milvus_engine.uri).splitlines()[-1] == "6 True"
    again = indexes.sync(ws, name, "k")
    assert (again.added, again.removed) == (0, 0)
    with pytest.raises(InvalidInput, match="is finished"):
        runs.discard(ws, name, "k")


def test_its_model_makes_the_vectors_also_when_the_field_it_would_fill_is_not_there_yet(
    workspace: Workspace, milvus_lite: MilvusLite, unique_name: Name, tmp_path: Path
) -> None:
    name = unique_name("model").replace("-", "_")
    dataset = workspace.fiftyone().Dataset(name, persistent=True)
    for number in range(3):
        photo(number).save(tmp_path / f"{number}.png")
    dataset.add_samples([workspace.fiftyone().Sample(filepath=str(f)) for f in tmp_path.glob("*.png")])
    crash_stock(workspace, milvus_lite.uri, dataset, "k", "connect", embeddings=vectors(3))
    # As FiftyOne writes it for model=NAME, embeddings="made".
    _configure(workspace, name, "k", model=BUILTIN, embeddings_field="made")
    run = runs.require_run(workspace, name, "k")
    assert runs.with_health(workspace, run).expected == 3
    assert indexes.sync(workspace, name, "k").added == 3
    assert indexes.check(workspace, name, "k").health == "ok"


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({}, "does not say what makes its vectors"),
        ({"model": BUILTIN, "roi_field": "boxes"}, "averages the regions in boxes"),
        ({"model": BUILTIN, "model_kwargs": {"ratio": 2}}, "gives its model arguments"),
    ],
)
def test_what_only_fiftyone_could_make_is_refused_and_can_be_discarded(
    workspace: Workspace, milvus_lite: MilvusLite, unique_name: Name, config: dict[str, Any], said: str
) -> None:
    name = unique_name("unknown").replace("-", "_")
    dataset = make_dataset(workspace, name, 4)
    crash_stock(workspace, milvus_lite.uri, dataset, "k", "upload", embeddings=vectors(4))
    _configure(workspace, name, "k", **config)
    before = runs.require_run(workspace, name, "k")
    with pytest.raises(InvalidInput, match=said):
        indexes.sync(workspace, name, "k")
    assert runs.require_run(workspace, name, "k") == before
    done = runs.discard(workspace, name, "k")
    assert (done.dropped, done.vectors) == (True, 2), done.reason
    dataset.reload()
    assert dataset.list_brain_runs() == [] and not workspace.milvus().exists(before.collection or "")


def test_a_collection_that_others_took_the_name_of_is_neither_filled_nor_dropped(
    workspace: Workspace, milvus_lite: MilvusLite, unique_name: Name
) -> None:
    name, other = unique_name("first").replace("-", "_"), unique_name("second").replace("-", "_")
    dataset = make_dataset(workspace, name, 4)
    make_dataset(workspace, other, 4)
    taken = make_index(workspace, Scope(other), "theirs", vectors(4))
    foreign = f"foreign_{name}"
    fill(workspace, foreign, ["a" * 24, "b" * 24], ["a" * 24, "b" * 24], vectors(2))
    for key, collection in (("k", taken), ("f", foreign)):
        crash_stock(workspace, milvus_lite.uri, dataset, key, "embed", embeddings="emb")
        _configure(workspace, name, key, collection_name=collection)
    kept = [runs.discard(workspace, name, key) for key in ("k", "f")]
    assert [one.dropped for one in kept] == [False, False]
    assert f"'theirs' on {other!r} uses it too" in kept[0].reason
    assert f"of its 2 vectors none is of dataset {name!r}" in kept[1].reason
    for key, collection in (("k", taken), ("f", foreign)):
        crash_stock(workspace, milvus_lite.uri, dataset, key, "embed", embeddings="emb")
        _configure(workspace, name, key, collection_name=collection)
        assert indexes.sync(workspace, name, key).added == 4
        resumed = runs.require_run(workspace, name, key)
        assert resumed.finished and resumed.collection not in (None, collection)
    assert workspace.milvus().count(taken) == 4 and workspace.milvus().count(foreign) == 2
    assert indexes.check(workspace, name, "k").health == "ok"


def test_nothing_of_it_is_touched_read_only_and_results_in_fields_are_results(
    workspace: Workspace, mongod: Mongod, milvus_lite: MilvusLite, unique_name: Name
) -> None:
    import fiftyone.brain as fob

    from tests.conftest import settings_for

    name = unique_name("ro").replace("-", "_")
    dataset = make_dataset(workspace, name, 4)
    crash_stock(workspace, milvus_lite.uri, dataset, "k", "connect", embeddings="emb")
    with Workspace(settings_for(mongod, milvus_lite, readonly=True)) as ws:
        for change in (runs.discard, indexes.sync):
            with pytest.raises(ReadOnly):
                change(ws, name, "k")
    assert not runs.require_run(workspace, name, "k").finished
    fob.compute_uniqueness(dataset, embeddings="emb", progress=False)
    stock_index(workspace, milvus_lite.uri, dataset, "whole", embeddings="emb")
    found = {run.brain_key: run.finished for run in runs.list_runs(workspace, name)}
    assert found == {"k": False, "uniqueness": True, "whole": True}

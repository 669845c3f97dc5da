"""Listing, inspecting and deleting datasets, against what FiftyOne itself says of them."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable

import pytest

from tests.conftest import settings_for
from tests.core.making import make_dataset, make_index, python, vectors
from tests.engines.servers import MilvusLite, Mongod
from tui.core import datasets
from tui.core.datasets import EmbeddingsField, Scope
from tui.core.documents.schema import unknown
from tui.core.errors import EngineUnreachable, ReadOnly, UnknownName
from tui.core.workspace import Workspace

Name = Callable[[str], str]


def test_the_list_is_fiftyones_list_without_generated_datasets(
    workspace: Workspace, unique_name: Name
) -> None:
    name = unique_name("list")
    dataset = make_dataset(workspace, name, 5)
    dataset.save_view("patches", dataset.to_patches("boxes"))
    listed = datasets.list_datasets(workspace)
    assert [info.name for info in listed] == workspace.fiftyone().list_datasets()
    mine = next(info for info in listed if info.name == name)
    assert (mine.samples, mine.media_type, mine.runs, mine.persistent) == (5, "image", 0, True)
    assert mine.last_modified and mine.last_modified.endswith("Z")


def test_sixty_datasets_are_listed_in_a_blink(workspace: Workspace, unique_name: Name) -> None:
    fo = workspace.fiftyone()
    names = [unique_name("many") for _ in range(60)]
    for name in names:
        fo.Dataset(name)
    workspace.database()
    started = time.perf_counter()
    listed = datasets.list_datasets(workspace)
    elapsed = time.perf_counter() - started
    assert set(names) <= {info.name for info in listed}
    assert elapsed < 1.0
    for name in names:
        fo.delete_dataset(name)


def test_detail_counts_labels_and_tags_and_finds_vectors(workspace: Workspace, unique_name: Name) -> None:
    name = unique_name("detail")
    dataset = make_dataset(workspace, name, 10)
    dataset.save_view("odd", dataset.match_tags("train"))
    labels = dataset.values("boxes.detections.id", unwind=True)
    dataset.set_values(
        "boxes.detections.crop", [[vectors(1, 3)[0]] * min(i, 3) for i in range(10)], dynamic=True
    )
    detail = datasets.dataset_detail(workspace, name)
    assert detail.label_fields == {
        "ground_truth": dataset.count_values("ground_truth.label"),
        "boxes": dataset.count_values("boxes.detections.label"),
    }
    assert sum(detail.label_fields["boxes"].values()) == len(labels)
    assert detail.tags == {"train": 5, "val": 5}
    assert detail.saved_views == ("odd",)
    assert detail.patches_fields == ("boxes",)
    assert set(detail.embeddings_fields) == {
        EmbeddingsField("emb", 8),
        EmbeddingsField("boxes.detections.crop", 3, "boxes"),
    }
    assert {"number", "ground_truth.label", "boxes.detections.label"} <= {f.path for f in detail.fields}
    assert {f.path: f.type for f in detail.fields}["names"] == "list of string"


def test_an_unknown_name_suggests_the_near_one(workspace: Workspace, unique_name: Name) -> None:
    name = unique_name("kites")
    workspace.fiftyone().Dataset(name)
    with pytest.raises(UnknownName) as caught:
        datasets.load(workspace, name[:-1])
    assert repr(name) in caught.value.remedy
    with pytest.raises(UnknownName):
        datasets.dataset_detail(workspace, "no such thing at all")


def test_load_sees_what_another_process_changed(
    workspace: Workspace, mongod: Mongod, unique_name: Name
) -> None:
    name = unique_name("load")
    held = make_dataset(workspace, name, 3)
    python(
        "import sys, fiftyone as fo\nfo.load_dataset(sys.argv[1]).add_sample_field('later', fo.IntField)",
        mongod.uri,
        name,
    )
    assert not held.has_field("later")
    assert datasets.load(workspace, name).has_field("later")


def test_delete_drops_own_collections_and_keeps_shared_ones(workspace: Workspace, unique_name: Name) -> None:
    name, clone = unique_name("del"), unique_name("clone")
    dataset = make_dataset(workspace, name, 4)
    shared = make_index(workspace, Scope(name), "shared", vectors(4))
    dataset.reload()
    dataset.clone(clone, persistent=True)
    own = make_index(workspace, Scope(name), "own", vectors(4))
    done = datasets.delete_dataset(workspace, name, with_collections=True)
    assert (done.name, done.samples, done.dropped) == (name, 4, (own,))
    assert set(done.kept) == {shared} and repr(clone) in done.kept[shared]
    assert not workspace.fiftyone().dataset_exists(name)
    assert not workspace.milvus().exists(own)
    assert workspace.milvus().count(shared) == 4
    again = datasets.delete_dataset(workspace, clone, with_collections=True)
    assert again.dropped == (shared,) and not workspace.milvus().exists(shared)


def test_delete_leaves_collections_unless_asked(workspace: Workspace, unique_name: Name) -> None:
    name = unique_name("keep")
    make_dataset(workspace, name, 2)
    collection = make_index(workspace, Scope(name), "k", vectors(2))
    done = datasets.delete_dataset(workspace, name)
    assert done.dropped == () and set(done.kept) == {collection}
    assert workspace.milvus().exists(collection)
    workspace.milvus().drop(collection)


def test_delete_with_milvus_away_deletes_nothing(
    mongod: Mongod, milvus_lite_factory: Callable[..., MilvusLite], unique_name: Name
) -> None:
    server = milvus_lite_factory()
    with Workspace(settings_for(mongod, server, timeout=2)) as ws:
        name = unique_name("away")
        make_dataset(ws, name, 2)
        make_index(ws, Scope(name), "k", vectors(2))
        server.kill9()
        with pytest.raises(EngineUnreachable):
            datasets.delete_dataset(ws, name, with_collections=True)
        assert ws.fiftyone().load_dataset(name).has_brain_run("k")


def test_readonly_refuses_to_change_datasets(workspace: Workspace, unique_name: Name) -> None:
    name = unique_name("ro")
    make_dataset(workspace, name, 1)
    with Workspace(dataclasses.replace(workspace.settings, readonly=True)) as ws:
        with pytest.raises(ReadOnly):
            datasets.delete_dataset(ws, name)
        with pytest.raises(ReadOnly):
            datasets.import_dataset(ws, "/tmp", "x")
        assert name in [info.name for info in datasets.list_datasets(ws)]


def test_an_unknown_name_tells_ten_that_there_are_and_how_many_more():
    told = unknown("field", "zzz", [f"{n:02}" for n in range(13)])
    assert told.remedy.endswith("'08', '09', and 3 more")
    assert "more" not in unknown("field", "zzz", ["01", "02"]).remedy

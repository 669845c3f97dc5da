"""Rename, delete and clean up runs: stock FiftyOne sees it, and nothing is half-forgotten."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest

from tests.conftest import settings_for
from tests.core.making import make_dataset, make_index, python, stock_index, vectors
from tests.engines.servers import MilvusLite, Mongod
from tui.core import collections, datasets, runs
from tui.core.datasets import Scope
from tui.core.documents import run_documents
from tui.core.errors import EngineUnreachable, InvalidInput, KitescopeError, ReadOnly, UnknownName
from tui.core.filling import leases
from tui.core.workspace import Workspace

Name = Callable[[str], str]


def test_a_dead_milvus_is_unreachable_and_nothing_is_half_forgotten(
    mongod: Mongod, milvus_lite_factory: Callable[..., MilvusLite], unique_name: Name
) -> None:
    server = milvus_lite_factory()
    with Workspace(settings_for(mongod, server, timeout=2)) as ws:
        dataset = make_dataset(ws, unique_name("dead"), 3)
        collection = make_index(ws, Scope(dataset.name), "k", vectors(3))
        server.kill9()
        run = runs.require_run(ws, dataset.name, "k")
        assert runs.with_health(ws, run).health == "unreachable"
        with pytest.raises(EngineUnreachable):
            runs.delete(ws, dataset.name, "k")
        with pytest.raises(EngineUnreachable):
            runs.cleanup(ws, dataset.name, "k")
        assert runs.require_run(ws, dataset.name, "k").collection == collection
        kept = runs.delete(ws, dataset.name, "k", keep_collection=True)
        assert (kept.dropped, kept.collection) == (False, collection)
        assert runs.list_runs(ws, dataset.name) == []


def test_rename_is_seen_by_stock_and_refused_when_it_cannot_be(
    workspace: Workspace, mongod: Mongod, milvus_lite: MilvusLite, unique_name: Name
) -> None:
    dataset = make_dataset(workspace, unique_name("ren"), 3)
    make_index(workspace, Scope(dataset.name), "one", vectors(3))
    stock_index(workspace, milvus_lite.uri, dataset, "two", embeddings="emb")
    with pytest.raises(InvalidInput, match="already"):
        runs.rename(workspace, dataset.name, "one", "two")
    with pytest.raises(InvalidInput, match="cannot be a brain key"):
        runs.rename(workspace, dataset.name, "one", "a-b")
    with pytest.raises(UnknownName, match="'on'") as caught:
        runs.rename(workspace, dataset.name, "on", "x")
    assert "'one'" in caught.value.remedy
    assert runs.rename(workspace, dataset.name, "two", "three").brain_key == "three"
    assert dataset.list_brain_runs() == ["one", "three"]
    out = python(
        "import sys, fiftyone as fo\n"
        "d = fo.load_dataset(sys.argv[1])\n"
        "print(d.list_brain_runs(), d.get_brain_info('three').key)\n"
        "print(d.load_brain_results('three', uri=sys.argv[2]).total_index_size)\n",
        mongod.uri,
        dataset.name,
        milvus_lite.uri,
    )
    assert out.splitlines()[-2:] == ["['one', 'three'] three", "3"]


def test_delete_takes_the_collection_and_everything_of_the_record(
    workspace: Workspace, unique_name: Name
) -> None:
    dataset = make_dataset(workspace, unique_name("del"), 3)
    collection = make_index(workspace, Scope(dataset.name), "k", vectors(3))
    document = run_documents.require(workspace, dataset.name, "k")
    done = runs.delete(workspace, dataset.name, "k")
    assert (done.collection, done.dropped, done.vectors) == (collection, True, 3)
    assert not workspace.milvus().exists(collection)
    assert not dataset.has_brain_run("k")
    assert workspace.database()["runs"].find_one({"_id": document.id}) is None
    assert workspace.database()["fs.files"].find_one({"_id": document.results}) is None
    with pytest.raises(UnknownName):
        runs.delete(workspace, dataset.name, "k")


def test_a_collection_that_a_clone_shares_outlives_the_first_run(
    workspace: Workspace, unique_name: Name
) -> None:
    dataset = make_dataset(workspace, unique_name("orig"), 3)
    collection = make_index(workspace, Scope(dataset.name), "k", vectors(3))
    clone = (
        workspace.fiftyone()
        .load_dataset(dataset.name, reload=True)
        .clone(unique_name("copy"), persistent=True)
    )
    assert {(r.dataset, r.brain_key) for r in runs.runs_on(workspace, collection)} == {
        (dataset.name, "k"),
        (clone.name, "k"),
    }
    with pytest.raises(InvalidInput, match="uses it too"):
        runs.cleanup(workspace, dataset.name, "k")
    first = runs.delete(workspace, dataset.name, "k")
    assert not first.dropped and clone.name in first.reason
    assert workspace.milvus().count(collection) == 3
    assert runs.delete(workspace, clone.name, "k").dropped
    assert not workspace.milvus().exists(collection)


def test_a_run_renamed_behind_our_back_is_not_deleted(workspace: Workspace, unique_name: Name) -> None:
    dataset = make_dataset(workspace, unique_name("behind"), 2)
    make_index(workspace, Scope(dataset.name), "k", vectors(2))
    seen = run_documents.require(workspace, dataset.name, "k")
    runs.rename(workspace, dataset.name, "k", "k2")
    assert run_documents.delete(workspace, seen) is False
    with pytest.raises(KitescopeError):
        run_documents.rename(workspace, seen, "k3")
    assert dataset.get_brain_info("k2").key == "k2"


def test_cleanup_drops_the_collection_and_keeps_the_record(workspace: Workspace, unique_name: Name) -> None:
    dataset = make_dataset(workspace, unique_name("clean"), 2)
    collection = make_index(workspace, Scope(dataset.name), "k", vectors(2))
    assert runs.cleanup(workspace, dataset.name, "k").dropped
    assert not workspace.milvus().exists(collection)
    assert (
        runs.with_health(workspace, runs.require_run(workspace, dataset.name, "k")).health == "no-collection"
    )
    with pytest.raises(InvalidInput, match="does not exist"):
        runs.cleanup(workspace, dataset.name, "k")


def test_deleting_another_kind_of_run_takes_what_it_made(workspace: Workspace, unique_name: Name) -> None:
    import fiftyone.brain as fob

    dataset = make_dataset(workspace, unique_name("uniq"), 5)
    fob.compute_uniqueness(dataset, embeddings="emb", progress=False)
    (run,) = runs.list_runs(workspace, dataset.name)
    assert run.type == "uniqueness" and dataset.has_field("uniqueness")
    runs.delete(workspace, dataset.name, run.brain_key)
    dataset.reload()
    assert not dataset.has_field("uniqueness") and dataset.list_brain_runs() == []


def test_readonly_refuses_every_change(workspace: Workspace, unique_name: Name) -> None:
    dataset = make_dataset(workspace, unique_name("ro"), 2)
    collection = make_index(workspace, Scope(dataset.name), "k", vectors(2))
    with Workspace(dataclasses.replace(workspace.settings, readonly=True)) as ws:
        changes: list[Callable[[], object]] = [
            lambda: runs.rename(ws, dataset.name, "k", "n"),
            lambda: runs.delete(ws, dataset.name, "k"),
            lambda: runs.delete(ws, dataset.name, "k", keep_collection=True),
            lambda: runs.cleanup(ws, dataset.name, "k"),
            lambda: collections.drop(ws, collection),
        ]
        for change in changes:
            with pytest.raises(ReadOnly):
                change()
        assert runs.with_health(ws, runs.require_run(ws, dataset.name, "k")).health == "ok"


def test_snippet_runs_in_stock_fiftyone_and_holds_no_secret(
    workspace: Workspace, mongod: Mongod, milvus_lite: MilvusLite, unique_name: Name
) -> None:
    dataset = make_dataset(workspace, unique_name("snip"), 3)
    make_index(workspace, Scope(dataset.name), "k", vectors(3))
    make_index(workspace, Scope(dataset.name, "boxes"), "p", vectors(3))
    both = "".join(runs.snippet(workspace, dataset.name, key) + "\nprint(len(view))\n" for key in ("k", "p"))
    assert python(both, mongod.uri).splitlines()[-2:] == ["3", "3"]
    flags = {"uri": milvus_lite.uri, "user": "me", "password": "p@ss", "database_uri": mongod.uri}
    from tui.core.settings import resolve

    with Workspace(resolve(flags=flags, env={})) as ws:
        text = runs.snippet(ws, dataset.name, "k")
    assert "p@ss" not in text and "FIFTYONE_BRAIN_SIMILARITY_MILVUS_PASSWORD" in text
    compile(text, "snippet", "exec")


def test_what_a_build_is_writing_to_is_not_dropped(workspace: Workspace, unique_name: Name) -> None:
    dataset = make_dataset(workspace, unique_name("busy"), 2)
    collection = make_index(workspace, Scope(dataset.name), "k", vectors(2))
    with leases.hold(workspace, [f"collection {collection}"], "a test"):
        for change in (
            lambda: runs.delete(workspace, dataset.name, "k"),
            lambda: runs.cleanup(workspace, dataset.name, "k"),
            lambda: datasets.delete_dataset(workspace, dataset.name, with_collections=True),
        ):
            with pytest.raises(KitescopeError, match="a test"):
                change()
    assert workspace.milvus().count(collection) == 2
    assert runs.delete(workspace, dataset.name, "k").dropped

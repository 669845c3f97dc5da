"""Adopting a collection, and the ledger of what was destroyed or taken over."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.core.making import all_ids, fill, make_dataset, make_index, python, vectors
from tests.engines.servers import MilvusLite, MilvusServer, Mongod
from tui.core import collections, datasets, indexes, ledger, runs
from tui.core.errors import InvalidInput, ReadOnly, UnknownName
from tui.core.models import BUILTIN
from tui.core.scope import Scope
from tui.core.workspace import Workspace

Name = Callable[[str], str]


@pytest.fixture(autouse=True)
def own_ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A ledger of this test's own."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return ledger.path()


def _deeds() -> list[tuple[str, str, str | None, int | None]]:
    return [(one.what, one.name, one.collection, one.vectors) for one in ledger.entries()]


def test_an_adopted_collection_is_a_run_for_stock_and_can_be_synced(
    engine_workspace: Workspace, milvus_engine: MilvusServer, mongod: Mongod, unique_name: Name
) -> None:
    ws, name = engine_workspace, unique_name("adopt").replace("-", "_")
    dataset = make_dataset(ws, name, 10)
    ids, samples = all_ids(ws, Scope(name))
    rows = np.asarray(dataset.values("emb"), dtype=np.float32)
    fill(ws, name, [*ids[:8], "f" * 24], [*samples[:8], "f" * 24], np.concatenate([rows[:8], rows[:1]]))
    done = collections.adopt(ws, name, name, "taken")
    assert (done.vectors, done.missing, done.stale, done.duplicates) == (9, 2, 1, 0)
    assert collections.collection_row(ws, name).runs == (f"{name}/taken",)
    out = python(
        "import sys, fiftyone as fo\n"
        "d = fo.load_dataset(sys.argv[1])\n"
        "index = d.load_brain_results('taken', uri=sys.argv[2])\n"
        "print(index.config.metric, d.sort_by_similarity(d.first().id, k=1, brain_key='taken').first().id)\n",
        mongod.uri,
        name,
        milvus_engine.uri,
    )
    assert out.splitlines()[-1] == f"cosine {ids[0]}"
    assert indexes.check(ws, name, "taken").health == "incomplete"
    changed = indexes.sync(ws, name, "taken")
    assert (changed.added, changed.removed) == (0, 1), "nothing says what made the vectors"
    assert _deeds() == [
        ("removed stale vectors of run", f"{name}/taken", name, 1),
        ("adopted collection", f"{name}/taken", name, 9),
    ]


def test_what_does_not_fit_is_not_adopted(workspace: Workspace, unique_name: Name) -> None:
    name, other = unique_name("fits").replace("-", "_"), unique_name("other").replace("-", "_")
    make_dataset(workspace, other, 3)
    dataset = make_dataset(workspace, name, 5)
    collection = make_index(workspace, Scope(name), "k", vectors(5))
    workspace.milvus()._client.create_collection(f"foreign_{name}", dimension=4)
    for of, field, key, said in (
        (other, None, "x", "has 5 ids, none of a sample"),
        (name, "boxes", "x", "none of a patch in boxes"),
        (name, None, "k", "has a run 'k' already"),
        (name, None, "no key", "cannot be a brain key"),
    ):
        with pytest.raises(InvalidInput, match=said):
            collections.adopt(workspace, collection, of, key, patches_field=field)
    with pytest.raises(InvalidInput, match=r"those in .* have 8"):
        collections.adopt(workspace, collection, name, "x", model=BUILTIN)
    with pytest.raises(InvalidInput, match="no similarity index"):
        collections.adopt(workspace, f"foreign_{name}", name, "x")
    with pytest.raises(UnknownName):
        collections.adopt(workspace, "nowhere", name, "x")
    assert dataset.list_brain_runs() == ["k"]
    assert _deeds() == []


def test_a_readonly_profile_adopts_nothing(
    workspace: Workspace, mongod: Mongod, milvus_lite: MilvusLite, unique_name: Name
) -> None:
    from tests.conftest import settings_for

    name = unique_name("ro").replace("-", "_")
    make_dataset(workspace, name, 3)
    collection = make_index(workspace, Scope(name), "k", vectors(3))
    with Workspace(settings_for(mongod, milvus_lite, readonly=True)) as ws, pytest.raises(ReadOnly):
        collections.adopt(ws, collection, name, "x")


def test_everything_destructive_is_in_the_ledger(workspace: Workspace, unique_name: Name) -> None:
    name = unique_name("ledger").replace("-", "_")
    make_dataset(workspace, name, 4)
    made = {key: make_index(workspace, Scope(name), key, vectors(4)) for key in ("a", "b", "c", "d")}
    runs.delete(workspace, name, "a")
    runs.cleanup(workspace, name, "b")
    runs.delete(workspace, name, "b")
    runs.delete(workspace, name, "c", keep_collection=True)
    collections.drop(workspace, made["c"])
    datasets.delete_dataset(workspace, name, with_collections=True)
    assert _deeds() == [
        ("deleted dataset", name, None, None),
        ("dropped collection of dataset", name, made["d"], 4),
        ("dropped collection", f"{name}/c", made["c"], 4),
        ("deleted run", f"{name}/c", None, None),
        ("deleted run", f"{name}/b", None, None),
        ("cleaned up run", f"{name}/b", made["b"], 4),
        ("deleted run", f"{name}/a", made["a"], 4),
    ]
    newest = ledger.entries(1)[0]
    assert newest.who.count("@") == 1 and newest.when.endswith("Z")
    assert ledger.path().stat().st_mode & 0o777 == 0o600


def test_a_line_cut_short_hides_no_other_and_a_full_disk_stops_nothing(
    workspace: Workspace, own_ledger: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ledger.record(workspace, "deleted run", "d/k")
    with own_ledger.open("a") as file:
        file.write('{"when": "20\n')
    ledger.record(workspace, "deleted dataset", "d")
    assert [one.name for one in ledger.entries()] == ["d", "d/k"]
    own_ledger.unlink()
    own_ledger.mkdir()  # what cannot be written to, whoever runs this
    ledger.record(workspace, "deleted run", "d/k")
    assert "not in the ledger" in caplog.text


def test_a_renamed_run_leaves_an_orphan_of_its_present_name(
    workspace: Workspace, tmp_path: Path, unique_name: Name
) -> None:
    name = unique_name("renamed").replace("-", "_")
    make_dataset(workspace, name, 4)
    np.save(tmp_path / "v.npy", vectors(4))
    source = indexes.Source(embeddings=str(tmp_path / "v.npy"))
    built = indexes.build(workspace, indexes.BuildSpec(Scope(name), "before", source))
    runs.rename(workspace, name, "before", "after")
    runs.delete(workspace, name, "after", keep_collection=True)
    assert collections.collection_row(workspace, built.collection).made_for == f"{name}/after"
    assert json.loads(own_line())["what"] == "deleted run"


def own_line() -> str:
    return ledger.path().read_text().splitlines()[-1]

"""Building, resuming and syncing an index, exactly, on both engines."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.core.indexing import (
    DIM,
    add_samples,
    assert_exact,
    build,
    collection_of,
    file_spec,
    make_detections,
    make_samples,
    random_vectors,
    rows_in,
    saved,
    scope_set,
    stock_add,
)
from tests.core.making import all_ids
from tui.core import indexes, runs
from tui.core.client.index_types import IndexSpec
from tui.core.documents.scopes import Scope
from tui.core.errors import Interrupted, InvalidInput, KitescopeError, Protected, ReadOnly, UnknownName
from tui.core.indexes import BuildSpec, Source
from tui.core.progress import Event, Progress, Skipped
from tui.core.workspace import Workspace, confirming

Name = Callable[[str], str]


def test_a_build_from_a_file_is_exact_and_registered(
    engine_workspace: Workspace, unique_name: Name, tmp_path: Path
) -> None:
    ws, name = engine_workspace, unique_name("file")
    make_samples(ws, name, 300)
    rows = random_vectors(300)
    spec = file_spec(name, saved(tmp_path, rows))
    plan = indexes.plan(ws, spec)
    assert (plan.vectors, plan.dim, plan.resumes, plan.warnings) == (300, DIM, 0, ())
    assert plan.memory_bytes is not None and plan.memory_bytes >= rows.nbytes
    assert not ws.milvus().exists(plan.collection), "planning must not create anything"
    events: list[Event] = []
    result = build(ws, spec, events)
    assert (result.vectors, result.dim, result.skipped) == (300, DIM, ())
    assert result.collection == plan.collection == collection_of(ws, name)
    ids, _ = all_ids(ws, Scope(name))
    assert_exact(ws, result.collection, set(ids), dict(zip(ids, rows, strict=True)))
    for phase in ("embed", "upload", "index"):
        told = [event for event in events if isinstance(event, Progress) and event.phase == phase]
        assert told and (told[-1].done, told[-1].total) == (300, 300)
        assert [event.done for event in told] == sorted(event.done for event in told)
    check = indexes.check(ws, name, "k", recall=20)
    assert (check.vectors, check.distinct, check.expected) == (300, 300, 300)
    assert (check.missing, check.stale, check.duplicates, check.health) == (0, 0, 0, "ok")
    assert check.recall_at_10 == 1.0
    info = ws.milvus().describe(result.collection)
    assert (info.index_type, info.metric, info.loaded) == ("HNSW", "cosine", True)


def test_a_key_that_exists_is_refused_and_nothing_changes(
    workspace: Workspace, unique_name: Name, tmp_path: Path
) -> None:
    ws, name = workspace, unique_name("taken")
    make_samples(ws, name, 20)
    spec = file_spec(name, saved(tmp_path, random_vectors(20)))
    first = build(ws, spec)
    before = ws.milvus().collections()
    for again in (indexes.plan, build):
        with pytest.raises(InvalidInput, match="overwrite") as error:
            again(ws, spec)
        assert "sync" in error.value.remedy
    assert ws.milvus().collections() == before
    assert collection_of(ws, name) == first.collection


def test_overwriting_replaces_the_vectors_and_drops_the_old_collection(
    engine_workspace: Workspace, unique_name: Name, tmp_path: Path
) -> None:
    ws, name = engine_workspace, unique_name("over")
    make_samples(ws, name, 40)
    ids, _ = all_ids(ws, Scope(name))
    first = build(ws, file_spec(name, saved(tmp_path, random_vectors(40))))
    newer = random_vectors(40, 24, seed=9)
    spec = file_spec(name, saved(tmp_path, newer, "newer.npy"), overwrite=True, metric="euclidean")
    second = build(ws, spec)
    assert second.collection != first.collection and second.dim == 24
    assert not ws.milvus().exists(first.collection)
    assert_exact(ws, second.collection, set(ids), dict(zip(ids, newer, strict=True)))
    third = build(ws, spec)  # the same once more must not reuse what it replaces
    assert third.collection != second.collection and not ws.milvus().exists(second.collection)
    run = runs.require_run(ws, name, "k")
    assert (run.collection, run.metric, run.dim) == (third.collection, "euclidean", 24)


def test_an_overwrite_that_fails_loses_nothing(
    workspace: Workspace, unique_name: Name, tmp_path: Path
) -> None:
    ws, name = workspace, unique_name("keep")
    make_samples(ws, name, 3_000)
    rows = random_vectors(3_000)
    first = build(ws, file_spec(name, saved(tmp_path, rows), collection=unique_name("C").replace("-", "_")))
    spec = replace(
        file_spec(name, saved(tmp_path, random_vectors(3_000, seed=4), "newer.npy")),
        collection=first.collection,
        overwrite=True,
    )
    stop = _StopAfterUpload(1)
    with pytest.raises(Interrupted):
        indexes.build(ws, spec, stop, stop.asked)
    assert collection_of(ws, name) == first.collection
    ids, _ = all_ids(ws, Scope(name))
    assert_exact(ws, first.collection, set(ids), dict(zip(ids, rows, strict=True)))
    again = build(ws, spec)
    assert again.collection == first.collection, "a name that the user gave is kept"
    newer = random_vectors(3_000, seed=4)
    assert_exact(ws, first.collection, set(ids), dict(zip(ids, newer, strict=True)))
    assert not [one for one in ws.milvus().collections() if one.startswith(f"{first.collection}_")]


class _StopAfterUpload:
    """Asks to stop as soon as some vectors are written."""

    def __init__(self, written: int) -> None:
        self._written, self._stop = written, False
        self.events: list[Event] = []

    def __call__(self, event: Event) -> None:
        self.events.append(event)
        if isinstance(event, Progress) and event.phase == "upload" and event.done >= self._written:
            self._stop = True

    def asked(self) -> bool:
        return self._stop


def test_a_cancelled_build_keeps_what_is_done_and_goes_on_there(
    engine_workspace: Workspace, unique_name: Name, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tui.core.filling.fill._LATE", 0)  # as a large build: the server's index comes last
    # Several requests are on their way at a time: enough must be left that those are not everything.
    ws, name = engine_workspace, unique_name("cancel")
    make_samples(ws, name, 6_000)
    rows = random_vectors(6_000)
    spec = file_spec(name, saved(tmp_path, rows), batch_size=200)
    stop = _StopAfterUpload(400)
    with pytest.raises(Interrupted):
        indexes.build(ws, spec, stop, stop.asked)
    assert runs.get_run(ws, name, "k") is None, "an unfinished build must not block its key"
    events: list[Event] = []
    result = build(ws, spec, events)
    embedded = [event for event in events if isinstance(event, Progress) and event.phase == "embed"]
    assert embedded[0].done >= 400, "what was written is not embedded again"
    assert result.vectors == 6_000
    ids, _ = all_ids(ws, Scope(name))
    assert_exact(ws, result.collection, set(ids), dict(zip(ids, rows, strict=True)))
    assert ws.milvus().describe(result.collection).index_type == "HNSW"


def test_sync_follows_the_dataset_and_a_second_sync_changes_nothing(
    engine_workspace: Workspace, unique_name: Name, tmp_path: Path
) -> None:
    ws, name = engine_workspace, unique_name("sync")
    dataset = make_samples(ws, name, 120)
    first_rows = random_vectors(120)
    dataset.set_values("emb", list(first_rows))
    build(ws, BuildSpec(Scope(name), "k", Source(embeddings_field="emb")))
    gone = dataset.values("id")[10:40]
    dataset.delete_samples(gone)
    new = add_samples(ws, dataset, 25)
    rows = random_vectors(25, seed=2)
    dataset.select(new).set_values("emb", list(rows))
    seen = indexes.sync(ws, name, "k", dry_run=True)
    assert (seen.added, seen.removed, seen.unchanged) == (25, 30, 90)
    done = indexes.sync(ws, name, "k")
    assert (done.added, done.removed, done.unchanged, done.skipped) == (25, 30, 90, ())
    wanted = dict(zip(dataset.values("id"), dataset.values("emb"), strict=True))
    assert_exact(ws, collection_of(ws, name), set(wanted), wanted)
    again = indexes.sync(ws, name, "k")
    assert (again.added, again.removed, again.unchanged, again.repaired) == (0, 0, 115, 0)


def test_a_protected_profile_gives_no_vector_away_in_a_sync_without_its_name(
    workspace: Workspace, unique_name: Name, tmp_path: Path
) -> None:
    name, rows = unique_name("guarded"), random_vectors(20)
    make_samples(workspace, name, 20)
    collection = build(workspace, file_spec(name, saved(tmp_path, rows))).collection
    ids, _ = all_ids(workspace, Scope(name))
    settings = replace(workspace.settings, profile="lab", protected=True)
    with Workspace(settings) as ws:
        # What only adds needs no name.
        workspace.milvus().delete(collection, ids[:1])
        assert indexes.sync(ws, name, "k").removed == 0
        stock_add(ws, collection, ["0" * 24], rows[:1])
        workspace.milvus().delete(collection, ids[1:2])
        with pytest.raises(Protected, match="remove 1 stale vector of run 'k': profile lab is prot") as no:
            indexes.sync(ws, name, "k")
        assert "--confirm-protected lab" in no.value.remedy
        check = indexes.check(ws, name, "k")
        assert (check.stale, check.missing) == (1, 2)
        with confirming("lab"):
            assert indexes.sync(ws, name, "k").removed == 1
    with Workspace(replace(settings, confirmed="lab")) as ws:
        stock_add(ws, collection, ["0" * 24], rows[:1])
        assert indexes.sync(ws, name, "k").removed == 1
    assert indexes.check(workspace, name, "k").stale == 0


def test_duplicates_that_stock_made_are_found_and_repaired(
    engine_workspace: Workspace, unique_name: Name, tmp_path: Path
) -> None:
    ws, name = engine_workspace, unique_name("dup")
    make_samples(ws, name, 60)
    rows = random_vectors(60)
    collection = build(ws, file_spec(name, saved(tmp_path, rows))).collection
    ids, _ = all_ids(ws, Scope(name))
    for _ in range(2):
        stock_add(ws, collection, ids[:10], rows[:10])
    stranger = "0" * 24
    stock_add(ws, collection, [stranger, stranger], rows[:2])
    twice = 0 if ws.milvus().is_lite else 21
    check = indexes.check(ws, name, "k")
    assert (check.vectors, check.distinct, check.duplicates, check.stale) == (61 + twice, 61, twice, 1)
    assert check.health == ("duplicates" if twice else "stale")
    done = indexes.sync(ws, name, "k")
    assert (done.added, done.removed, done.unchanged) == (0, 1, 60)
    assert (done.repaired > 0) == (twice > 0)
    assert_exact(ws, collection, set(ids), dict(zip(ids, rows, strict=True)))
    assert indexes.check(ws, name, "k").health == "ok"


def test_patches_with_several_labels_each(engine_workspace: Workspace, unique_name: Name) -> None:
    ws, name = engine_workspace, unique_name("patches")
    dataset = make_detections(ws, name, 30, 4)
    scope = Scope(name, "gt")
    spec = BuildSpec(scope, "k", Source(embeddings_field="emb"))
    result = build(ws, spec)
    labels = {box.id: sample.id for sample in dataset for box in sample.gt.detections}
    assert result.vectors == 120
    assert_exact(ws, result.collection, set(labels))
    ids, sample_ids, _ = ws.milvus().rows(result.collection, sorted(labels))
    assert dict(zip(ids, sample_ids, strict=True)) == labels
    dataset.delete_samples(dataset.first().id)
    assert indexes.sync(ws, name, "k").removed == 4
    assert indexes.check(ws, name, "k").health == "ok"


def test_vectors_that_no_index_can_hold_are_skipped_and_listed(
    engine_workspace: Workspace, unique_name: Name, tmp_path: Path
) -> None:
    ws, name = engine_workspace, unique_name("nan")
    make_samples(ws, name, 30)
    ids, _ = all_ids(ws, Scope(name))
    rows = random_vectors(30).astype(np.float64)
    rows[3, 1], rows[7, 0], rows[8, 2], rows[11], rows[12, 5] = np.nan, np.inf, -np.inf, 0.0, 1e300
    result = build(ws, file_spec(name, saved(tmp_path, rows)))
    reasons = {one.id: one.reason for one in result.skipped}
    assert set(reasons) == {ids[at] for at in (3, 7, 8, 11, 12)}
    assert "zeros" in reasons[ids[11]] and "NaN" in reasons[ids[3]]
    assert_exact(ws, result.collection, set(ids) - set(reasons))
    plain = build(ws, file_spec(name, saved(tmp_path, rows), "ip", metric="dotproduct"))
    assert plain.vectors == 26, "a vector of zeros has a dot product"


def test_a_dimension_that_does_not_fit_is_refused_before_anything_is_written(
    engine_workspace: Workspace, unique_name: Name, tmp_path: Path
) -> None:
    ws, name, other = engine_workspace, unique_name("dim"), unique_name("dim2")
    dataset = make_samples(ws, name, 20)
    dataset.set_values("emb", list(random_vectors(20, DIM + 1)))
    collection = f"c_{name}".replace("-", "_")
    ws.milvus().create(collection, dim=DIM, metric="cosine", consistency_level="Session", properties={})
    for spec in (
        file_spec(name, saved(tmp_path, random_vectors(20, DIM + 1)), collection=collection),
        BuildSpec(Scope(name), "k", Source(embeddings_field="emb"), collection=collection),
    ):
        with pytest.raises(InvalidInput, match=f"{DIM + 1}"):
            build(ws, spec)
        with pytest.raises(InvalidInput, match=f"{DIM + 1}"):
            indexes.plan(ws, spec)
    assert runs.get_run(ws, name, "k") is None
    assert ws.milvus().count(collection) == 0
    # Vectors of several lengths: the run is not registered, and the collection holds one length only.
    mixed = make_samples(ws, other, 3)
    mixed.set_values("emb", [np.ones(4), np.ones(4), np.ones(5)])
    with pytest.raises(InvalidInput, match="lengths"):
        build(ws, BuildSpec(Scope(other), "k", Source(embeddings_field="emb")))
    assert runs.get_run(ws, other, "k") is None


def test_one_sample_makes_an_index(engine_workspace: Workspace, unique_name: Name, tmp_path: Path) -> None:
    ws, name = engine_workspace, unique_name("one")
    dataset = make_samples(ws, name, 1)
    result = build(ws, file_spec(name, saved(tmp_path, random_vectors(1))))
    assert_exact(ws, result.collection, {dataset.first().id})
    assert indexes.check(ws, name, "k", recall=5).recall_at_10 == 1.0


@pytest.mark.parametrize(
    "name", ["数据集", "набор данных 7", "x" * 500, "emoji 🪁 & <tags>", "UPPER-lower_09"]
)
def test_any_dataset_name_gets_a_collection(workspace: Workspace, tmp_path: Path, name: str) -> None:
    ws = workspace
    fo = ws.fiftyone()
    try:
        make_samples(ws, name, 5)
    except ValueError:
        # FiftyOne refuses names that have no letter of its own; those it accepts by another route stay.
        made = fo.Dataset(f"t{abs(hash(name))}", persistent=True)
        made.add_samples([fo.Sample(filepath=f"/nowhere/{at}.png") for at in range(5)], progress=False)
        ws.database()["datasets"].update_one({"_id": made._doc.id}, {"$set": {"name": name}})
    result = build(ws, file_spec(name, saved(tmp_path, random_vectors(5))))
    assert len(result.collection) <= 255 and result.collection.isascii()
    assert_exact(ws, result.collection, scope_set(ws, Scope(name)))
    assert indexes.sync(ws, name, "k").unchanged == 5


def test_an_empty_scope_is_refused_and_creates_nothing(
    workspace: Workspace, unique_name: Name, tmp_path: Path
) -> None:
    ws, name = workspace, unique_name("empty")
    dataset = make_samples(ws, name, 10)
    dataset.save_view("nothing", dataset.match_tags("nobody has this"))
    dataset.add_sample_field("emb", ws.fiftyone().VectorField)
    before = ws.milvus().collections()
    path = saved(tmp_path, random_vectors(10))
    for spec in (
        file_spec(name, path, scope=Scope(name, view="nothing")),
        file_spec(name, path, scope=Scope(name, tags=("nobody has this",))),
        BuildSpec(Scope(name), "k", Source(embeddings_field="emb")),
    ):
        for call in (indexes.plan, build):
            with pytest.raises(InvalidInput, match="No item"):
                call(ws, spec)
    assert ws.milvus().collections() == before
    assert runs.get_run(ws, name, "k") is None


def test_a_view_is_indexed_and_synced_as_that_view(workspace: Workspace, unique_name: Name) -> None:
    ws, name = workspace, unique_name("view")
    dataset = make_samples(ws, name, 40)
    dataset.set_values("emb", list(random_vectors(40)))
    dataset[:15].tag_samples("mine")
    scope = Scope(name, tags=("mine",))
    result = build(ws, BuildSpec(scope, "k", Source(embeddings_field="emb")))
    assert_exact(ws, result.collection, scope_set(ws, scope))
    dataset[15:18].tag_samples("mine")
    dataset[:1].untag_samples("mine")
    done = indexes.sync(ws, name, "k")
    assert (done.added, done.removed) == (3, 1)
    assert_exact(ws, result.collection, scope_set(ws, scope))


def test_rows_may_be_named_by_a_file_of_ids(workspace: Workspace, unique_name: Name, tmp_path: Path) -> None:
    ws, name = workspace, unique_name("ids")
    make_samples(ws, name, 30)
    ids, _ = all_ids(ws, Scope(name))
    order = np.random.default_rng(1).permutation(30)
    rows = random_vectors(31)
    named = [ids[at] for at in order[:28]] + ["f" * 24, "not an id", "e" * 24]
    wanted = {ids[order[at]]: rows[at] for at in range(28)}
    text = tmp_path / "ids.txt"
    text.write_text("\n".join(named) + "\n")
    for number, path in enumerate((str(text), saved(tmp_path, np.array(named), "ids.npy"))):
        spec = file_spec(name, saved(tmp_path, rows), f"k{number}", ids=path)
        result = build(ws, spec)
        assert_exact(ws, result.collection, set(wanted), wanted)
        assert {one.id for one in result.skipped if one.id} == set(ids) - set(wanted)
        assert any("3 rows of it" in one.reason for one in result.skipped if not one.id)


@pytest.mark.parametrize(
    ("array", "match"),
    [
        (np.zeros((9, 4), dtype=np.float32), "9 rows"),
        (np.zeros(10, dtype=np.float32), "shape"),
        (np.zeros((10, 4), dtype="U3"), "type"),
        (np.zeros((10, 0), dtype=np.float32), "cannot be read|shape"),
    ],
)
def test_a_file_that_does_not_fit_is_refused(
    workspace: Workspace, unique_name: Name, tmp_path: Path, array: np.ndarray, match: str
) -> None:
    ws, name = workspace, unique_name("bad")
    make_samples(ws, name, 10)
    before = ws.milvus().collections()
    for call in (indexes.plan, build):
        with pytest.raises(InvalidInput, match=match):
            call(ws, file_spec(name, saved(tmp_path, array)))
    assert ws.milvus().collections() == before


def test_other_files_are_refused(workspace: Workspace, unique_name: Name, tmp_path: Path) -> None:
    ws, name = workspace, unique_name("bad")
    make_samples(ws, name, 2)
    (tmp_path / "text.npy").write_text("hello")
    np.savez(tmp_path / "two.npz", a=np.ones((2, 3)), b=np.ones((2, 3)))
    good = saved(tmp_path, random_vectors(2))
    (tmp_path / "same.txt").write_text("a\na\n")
    (tmp_path / "one.txt").write_text("a\n")
    for source in (
        Source(embeddings=str(tmp_path / "missing.npy")),
        Source(embeddings=str(tmp_path / "text.npy")),
        Source(embeddings=str(tmp_path / "two.npz")),
        Source(embeddings=good, ids=str(tmp_path / "same.txt")),
        Source(embeddings=good, ids=str(tmp_path / "one.txt")),
        Source(embeddings=good, embeddings_field="emb"),
        Source(embeddings=good, model="kitescope-descriptor"),  # makes longer ones
        Source(ids=str(tmp_path / "one.txt")),
    ):
        with pytest.raises(InvalidInput):
            indexes.plan(ws, BuildSpec(Scope(name), "k", source))


@pytest.mark.parametrize("kind", [np.float16, np.float64, np.int32, ">f4"])
def test_numbers_of_any_type_become_float32(
    workspace: Workspace, unique_name: Name, tmp_path: Path, kind: object
) -> None:
    ws, name = workspace, unique_name("type")
    make_samples(ws, name, 8)
    ids, _ = all_ids(ws, Scope(name))
    rows = (random_vectors(8) * 10).astype(kind)  # type: ignore[call-overload]
    for key, order in (("c", "C"), ("f", "F")):
        path = saved(tmp_path, np.asarray(rows, order=order), f"{key}.npy")  # type: ignore[call-overload]
        result = build(ws, file_spec(name, path, key))
        wanted = dict(zip(ids, rows.astype(np.float32), strict=True))
        assert_exact(ws, result.collection, set(ids), wanted)


def test_a_collection_of_others_is_not_written_to(
    workspace: Workspace, unique_name: Name, tmp_path: Path
) -> None:
    ws, name, other = workspace, unique_name("mine"), unique_name("theirs")
    make_samples(ws, name, 12)
    make_samples(ws, other, 12)
    path = saved(tmp_path, random_vectors(12))
    theirs = build(ws, file_spec(other, path))
    before = rows_in(ws, theirs.collection)
    with pytest.raises(InvalidInput, match="used by"):
        build(ws, file_spec(name, path, collection=theirs.collection))
    runs.delete(ws, other, "k", keep_collection=True)
    with pytest.raises(InvalidInput, match="other items"):
        build(ws, file_spec(name, path, collection=theirs.collection))
    with pytest.raises(InvalidInput, match="cosine"):
        build(ws, file_spec(name, path, collection=theirs.collection, metric="euclidean"))
    assert rows_in(ws, theirs.collection) == before
    ws.milvus()._client.create_collection("quick_setup", dimension=DIM, timeout=10)
    try:
        with pytest.raises(InvalidInput, match="fields"):
            build(ws, file_spec(name, path, collection="quick_setup"))
    finally:
        ws.milvus().drop("quick_setup")


def test_two_keys_may_share_a_collection_that_holds_exactly_their_items(
    workspace: Workspace, unique_name: Name, tmp_path: Path
) -> None:
    ws, name = workspace, unique_name("share")
    dataset = make_samples(ws, name, 12)
    dataset.set_values("emb", list(random_vectors(12)))
    first = build(ws, BuildSpec(Scope(name), "a", Source(embeddings_field="emb")))
    second = build(
        ws, BuildSpec(Scope(name), "b", Source(embeddings_field="emb"), collection=first.collection)
    )
    assert second.collection == first.collection and second.vectors == 12
    # A clone shares the collection too, and what only the clone still has is not stale.
    clone = dataset.clone(unique_name("clone"), persistent=True)
    kept = dataset.first().id
    dataset.delete_samples(kept)
    assert indexes.sync(ws, name, "a").removed == 0
    assert kept in rows_in(ws, first.collection)
    clone.delete_samples(kept)
    assert indexes.sync(ws, name, "a").removed == 1


def test_a_shared_collection_that_a_sync_left_unfinished_is_not_emptied_for_another_build(
    workspace: Workspace, unique_name: Name, tmp_path: Path
) -> None:
    ws, name = workspace, unique_name("both")
    dataset = make_samples(ws, name, 12)
    made = build(ws, file_spec(name, saved(tmp_path, random_vectors(12), "a.npy")))
    clone = dataset.clone(unique_name("clone"), persistent=True)
    ws.milvus().set_properties(made.collection, {"kitescope.state": "building"})
    other = saved(tmp_path, random_vectors(12, seed=1), "b.npy")
    with pytest.raises(InvalidInput, match=f"used by {clone.name}/k"):
        build(ws, file_spec(name, other, collection=made.collection, overwrite=True))
    assert ws.milvus().count(made.collection) == 12


def test_a_dropped_collection_is_made_again_by_sync(engine_workspace: Workspace, unique_name: Name) -> None:
    ws, name = engine_workspace, unique_name("again")
    dataset = make_samples(ws, name, 15)
    dataset.set_values("emb", list(random_vectors(15)))
    result = build(ws, BuildSpec(Scope(name), "k", Source(embeddings_field="emb"), metric="euclidean"))
    ws.milvus().drop(result.collection)
    assert indexes.check(ws, name, "k").health == "no-collection"
    assert indexes.sync(ws, name, "k").added == 15
    assert indexes.check(ws, name, "k").health == "ok"
    assert ws.milvus().describe(result.collection).metric == "euclidean"


def test_a_kept_collection_is_taken_up_again(workspace: Workspace, unique_name: Name, tmp_path: Path) -> None:
    ws, name = workspace, unique_name("kept")
    make_samples(ws, name, 15)
    spec = file_spec(name, saved(tmp_path, random_vectors(15)))
    first = build(ws, spec)
    runs.delete(ws, name, "k", keep_collection=True)
    events: list[Event] = []
    second = build(ws, spec, events)
    assert second.collection == first.collection
    assert not [event for event in events if isinstance(event, Progress) and event.phase == "upload"]


def test_a_renamed_run_keeps_its_collection_when_its_old_key_is_built_again(
    workspace: Workspace, unique_name: Name, tmp_path: Path
) -> None:
    ws, name = workspace, unique_name("renamed")
    make_samples(ws, name, 10)
    spec = file_spec(name, saved(tmp_path, random_vectors(10)))
    first = build(ws, spec)
    runs.rename(ws, name, "k", "old")
    second = build(ws, spec)
    assert second.collection != first.collection
    assert ws.milvus().count(first.collection) == 10


def test_what_an_earlier_source_left_unfinished_is_tidied_up(
    workspace: Workspace, unique_name: Name, tmp_path: Path
) -> None:
    ws, name = workspace, unique_name("tidy")
    make_samples(ws, name, 1_500)
    spec = file_spec(name, saved(tmp_path, random_vectors(1_500), "a.npy"), batch_size=100)
    stop = _StopAfterUpload(1)
    with pytest.raises(Interrupted):
        indexes.build(ws, spec, stop, stop.asked)
    left = indexes.plan(ws, spec)
    assert ws.milvus().exists(left.collection)
    assert 0 < left.resumes <= 1_500
    build(ws, file_spec(name, saved(tmp_path, random_vectors(1_500), "b.npy")))
    assert not ws.milvus().exists(left.collection)


def test_items_that_vanish_while_building_do_not_confuse_it(workspace: Workspace, unique_name: Name) -> None:
    ws, name = workspace, unique_name("moving")
    dataset = make_samples(ws, name, 60)
    dataset.set_values("emb", list(random_vectors(60)))
    spec = BuildSpec(Scope(name), "k", Source(embeddings_field="emb"))
    changed: list[str] = []

    def change(event: Event) -> None:
        if isinstance(event, Progress) and event.phase == "upload" and not changed:
            changed.append(dataset.first().id)
            dataset.delete_samples(changed)

    result = indexes.build(ws, spec, change)
    assert result.vectors in (59, 60)
    indexes.sync(ws, name, "k")
    assert_exact(ws, result.collection, scope_set(ws, Scope(name)))


def test_labels_with_one_id_in_two_samples_are_one_vector(
    engine_workspace: Workspace, unique_name: Name
) -> None:
    """Copied samples keep their labels' ids, so an id may occur twice in a scope, even in one request."""
    ws, name = engine_workspace, unique_name("copies")
    dataset = make_detections(ws, name, 6, 2)
    samples = dataset._sample_collection
    first = samples.find_one()["gt"]["detections"][0]["_id"]
    samples.update_many({}, {"$set": {"gt.detections.0._id": first}})
    scope = Scope(name, "gt")
    result = build(ws, BuildSpec(scope, "k", Source(embeddings_field="emb")))
    assert_exact(ws, result.collection, scope_set(ws, scope))
    assert indexes.sync(ws, name, "k").added == 0


def test_what_cannot_be_planned_is_said_before_a_job_starts(
    workspace: Workspace, unique_name: Name, tmp_path: Path
) -> None:
    ws, name = workspace, unique_name("plan")
    make_samples(ws, name, 3)
    good = file_spec(name, saved(tmp_path, random_vectors(3)))
    for spec, error in (
        (replace(good, brain_key="not a key"), InvalidInput),
        (replace(good, scope=Scope("no such dataset")), UnknownName),
        (replace(good, scope=Scope(name, "no_such_field")), UnknownName),
        (replace(good, metric="manhattan"), InvalidInput),  # type: ignore[arg-type]
        (replace(good, consistency_level="Sometimes"), InvalidInput),
        (replace(good, index=IndexSpec("BOGUS")), InvalidInput),
        (replace(good, source=Source(model="no-such-model")), UnknownName),
        (replace(good, source=Source(embeddings_field="no_such_field")), UnknownName),
    ):
        with pytest.raises(error):
            indexes.plan(ws, spec)
        with pytest.raises(KitescopeError):
            build(ws, spec)
    assert runs.list_runs(ws, name) == []


def test_a_bogus_index_is_refused_before_anything_is_kept(
    engine_workspace: Workspace, unique_name: Name, tmp_path: Path
) -> None:
    ws, name = engine_workspace, unique_name("bogus")
    make_samples(ws, name, 4)
    before = ws.milvus().collections()
    with pytest.raises(KitescopeError, match="BOGUS"):
        build(ws, file_spec(name, saved(tmp_path, random_vectors(4)), index=IndexSpec("BOGUS")))
    assert ws.milvus().collections() == before
    flat = build(ws, file_spec(name, saved(tmp_path, random_vectors(4)), index=IndexSpec("flat")))
    assert ws.milvus().describe(flat.collection).index_type == "FLAT"


def test_nothing_is_changed_read_only(workspace: Workspace, unique_name: Name, tmp_path: Path) -> None:
    name = unique_name("ro")
    make_samples(workspace, name, 3)
    spec = file_spec(name, saved(tmp_path, random_vectors(3)))
    build(workspace, spec)
    before = workspace.milvus().collections()
    settings = replace(workspace.settings, readonly=True)
    with Workspace(settings) as ws:
        with pytest.raises(ReadOnly):
            build(ws, replace(spec, brain_key="k2"))
        with pytest.raises(ReadOnly):
            indexes.sync(ws, name, "k")
        assert indexes.sync(ws, name, "k", dry_run=True).unchanged == 3
        assert indexes.check(ws, name, "k").health == "ok"
    assert workspace.milvus().collections() == before


def test_a_dataset_whose_pictures_are_all_gone_fails_and_leaves_nothing(
    workspace: Workspace, unique_name: Name
) -> None:
    ws, name = workspace, unique_name("gone")
    make_samples(ws, name, 5)
    before = ws.milvus().collections()
    events: list[Event] = []
    with pytest.raises(KitescopeError, match="Of 5 items none"):
        build(ws, BuildSpec(Scope(name), "k"), events)
    assert len([event for event in events if isinstance(event, Skipped)]) == 5
    assert ws.milvus().collections() == before

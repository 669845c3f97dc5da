"""Scopes give what FiftyOne's own views give, in the dataset's order, and survive a lost cursor."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from bson import ObjectId
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.core.making import all_ids, make_dataset, vectors
from tui.core import datasets
from tui.core.datasets import Scope
from tui.core.documents import rows
from tui.core.documents.selection import select
from tui.core.errors import InvalidInput, KitescopeError, UnknownName
from tui.core.workspace import Workspace

Name = Callable[[str], str]


@pytest.fixture(scope="module")
def kept() -> dict[str, Any]:
    """The dataset that the property test looks at, made once."""
    return {}


@pytest.fixture
def dataset(workspace: Workspace, unique_name: Name, kept: dict[str, Any]) -> Any:
    if "dataset" not in kept:
        made = make_dataset(workspace, unique_name("scopes"), 23)
        fields = workspace.fiftyone().ViewField
        made.save_view("late", made.match(fields("number") > 8))
        made.save_view("few", made.sort_by("ratio", reverse=True).limit(7))
        made.save_view("sure", made.filter_labels("boxes", fields("label") != "part1"))
        kept["dataset"] = made
    return kept["dataset"]


def _expected(view: Any, patches: str | None) -> list[str]:
    return view.values(f"{patches}.detections.id", unwind=True) if patches else view.values("id")


tags = st.lists(st.sampled_from(["train", "val", "none"]), max_size=2, unique=True)
conditions = st.lists(
    st.sampled_from(
        [
            ("number", "3"),
            ("ratio", "2.5"),
            ("flag", "true"),
            ("text", "t1"),
            ("names", "n0"),
            ("tags", "val"),
            ("ground_truth", "odd"),
            ("ground_truth.label", "even"),
            ("number>", "3"),
            ("ratio<", "2.5"),
            ("ground_truth.confidence>", "0.4"),
            ("boxes.confidence>", "0.5"),
            ("boxes.confidence<", "0.5"),
            ("boxes", "part0"),
            ("boxes.label", "part2"),
            ("boxes.detections.label", "part1"),
        ]
    ),
    max_size=2,
    unique=True,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    patches=st.sampled_from([None, "boxes"]),
    view=st.sampled_from([None, "late", "few", "sure"]),
    tags=tags,
    where=conditions,
    limit=st.sampled_from([None, 1, 5, 100]),
)
def test_every_scope_is_what_its_fiftyone_view_has(
    workspace: Workspace,
    dataset: Any,
    patches: str | None,
    view: str | None,
    tags: list[str],
    where: list[tuple[str, str]],
    limit: int | None,
) -> None:
    scope = Scope(dataset.name, patches, view, tuple(tags), tuple(where), limit)
    ids, samples = all_ids(workspace, scope)
    assert ids == _expected(datasets.scope_view(workspace, scope), patches)
    assert datasets.count(workspace, scope) == len(ids)
    found = datasets.present(workspace, scope, ids[::2], samples[::2])
    assert set(found) == set(ids[::2])
    outside = set(_expected(dataset, patches)) - set(ids)
    assert datasets.present(workspace, scope, list(outside)) == {}
    page = datasets.sample_page(workspace, scope, 2, 3)
    assert [(info.id, info.sample_id) for info in page] == list(zip(ids, samples, strict=True))[2:5]


def test_the_order_is_that_of_adding_not_of_ids(workspace: Workspace, unique_name: Name) -> None:
    name = unique_name("order")
    dataset = make_dataset(workspace, name, 3)
    collection = workspace.database()[dataset._sample_collection_name]
    early = collection.find_one()
    early["_id"] = ObjectId("000000000000000000000001")
    collection.insert_one(early)
    ids, _ = all_ids(workspace, Scope(name))
    assert ids[-1] == "000000000000000000000001"
    assert ids == dataset.values("id")


def test_patches_are_labels_with_their_sample(workspace: Workspace, dataset: Any) -> None:
    ids, samples = all_ids(workspace, Scope(dataset.name, "boxes"))
    expected = [(label.id, sample.id) for sample in dataset for label in sample.boxes.detections]
    assert list(zip(ids, samples, strict=True)) == expected
    items = datasets.items(workspace, Scope(dataset.name, "boxes"), ids[::-1], samples[::-1])
    assert [item.id for item in items] == ids[::-1]
    assert items[-1].box == pytest.approx((0.0, 0.2, 0.3, 0.4))
    assert items[0].filepath == dataset.last().filepath


def test_polylines_have_the_box_around_their_points(workspace: Workspace, unique_name: Name) -> None:
    fo = workspace.fiftyone()
    dataset = fo.Dataset(unique_name("poly"))
    line = fo.Polyline(label="p", points=[[(0.1, 0.2), (0.5, 0.3)], [(0.2, 0.9)]])
    dataset.add_sample(fo.Sample(filepath="/x.png", shape=line))
    scope = Scope(dataset.name, "shape")
    ids, samples = all_ids(workspace, scope)
    item = datasets.items(workspace, scope, ids, samples)[0]
    assert item.id == dataset.first().shape.id and item.sample_id == dataset.first().id
    assert item.box == pytest.approx((0.1, 0.2, 0.4, 0.7))


@pytest.mark.parametrize(
    ("where", "error"),
    [
        (("number", "three"), "is no value for 'number'"),
        (("flag", "maybe"), "is no value for 'flag'"),
        (("ratio", "nan"), "is no value for 'ratio'"),
        (("nothing", "x"), "no field 'nothing'"),
        (("metadata", "x"), "whole document"),
        (("emb", "x"), "cannot be compared"),
        (("text>", "t1"), "holds no numbers"),
    ],
)
def test_a_condition_that_cannot_be_says_why(
    workspace: Workspace, dataset: Any, where: tuple[str, str], error: str
) -> None:
    with pytest.raises(InvalidInput, match=error):
        datasets.count(workspace, Scope(dataset.name, where=(where,)))


def test_several_ids_are_any_of_them(workspace: Workspace, dataset: Any) -> None:
    samples = dataset.values("id")[2:5]
    found, _ = all_ids(workspace, Scope(dataset.name, where=(("id", ",".join(samples)),)))
    assert found == samples
    boxes = dataset.values("boxes.detections.id", unwind=True)[1:4]
    scope = Scope(dataset.name, "boxes", where=(("boxes.id", ",".join(boxes)),))
    assert set(all_ids(workspace, scope)[0]) == set(boxes)
    assert set(datasets.scope_view(workspace, scope).values("boxes.detections.id", unwind=True)) == set(boxes)


def test_unknown_views_and_fields_are_named(workspace: Workspace, dataset: Any) -> None:
    with pytest.raises(UnknownName, match="saved view 'lat'") as caught:
        datasets.count(workspace, Scope(dataset.name, view="lat"))
    assert "'late'" in caught.value.remedy
    with pytest.raises(InvalidInput, match="no boxes"):
        datasets.count(workspace, Scope(dataset.name, "ground_truth"))
    with pytest.raises(UnknownName):
        datasets.count(workspace, Scope(dataset.name, "boxe"))
    with pytest.raises(InvalidInput, match="limit"):
        datasets.count(workspace, Scope(dataset.name, limit=0))


def test_a_view_that_changes_is_read_anew(workspace: Workspace, unique_name: Name) -> None:
    dataset = make_dataset(workspace, unique_name("view"), 6)
    dataset.save_view("v", dataset.limit(2))
    scope = Scope(dataset.name, view="v")
    assert datasets.count(workspace, scope) == 2
    dataset.save_view("v", dataset.limit(4), overwrite=True)
    assert datasets.count(workspace, scope) == 4


def test_views_that_hold_no_samples_are_refused(workspace: Workspace, unique_name: Name) -> None:
    dataset = make_dataset(workspace, unique_name("gen"), 4)
    dataset.save_view("patches", dataset.to_patches("boxes"))
    with pytest.raises(InvalidInput, match="consists of patches"):
        datasets.count(workspace, Scope(dataset.name, view="patches"))


def test_the_saved_views_to_choose_from_are_those_that_are_not_refused(
    workspace: Workspace, unique_name: Name
) -> None:
    dataset = make_dataset(workspace, unique_name("views"), 4)
    assert datasets.dataset_detail(workspace, dataset.name).left_out == ""
    dataset.save_view("chosen", dataset.select(dataset.values("id")[:2]))
    dataset.save_view("patches", dataset.match_tags("train").to_patches("boxes").limit(2))
    detail = datasets.dataset_detail(workspace, dataset.name)
    assert detail.saved_views == ("chosen", "patches") and detail.sample_views == ("chosen",)
    assert detail.left_out == "Saved view patches is left out: it holds patches, not samples"
    dataset.save_view("by number", dataset.group_by("number"))
    dataset.save_view("flat", dataset.group_by("number", flat=True))
    dataset.save_view("flat again", dataset.group_by("number").flatten())
    dataset.save_view("both", dataset.limit(1).concat(dataset.skip(2)))
    detail = datasets.dataset_detail(workspace, dataset.name)
    assert detail.other_views == {"patches": "patches", "by number": "groups"}
    assert detail.left_out == "2 saved views are left out: they hold groups or patches, not samples"
    for name in detail.sample_views:
        assert datasets.count(workspace, Scope(dataset.name, view=name)) > 0
    for name in detail.other_views:
        with pytest.raises(InvalidInput, match="Saved view"):
            datasets.count(workspace, Scope(dataset.name, view=name))


def test_vectors_of_a_field_keep_order_and_leave_gaps_out(workspace: Workspace, unique_name: Name) -> None:
    dataset = make_dataset(workspace, unique_name("field"), 6)
    scope = Scope(dataset.name)
    ids = dataset.values("id")
    wanted = [ids[4], "0" * 24, ids[1]]
    kept, found = datasets.field_vectors(workspace, scope, "emb", wanted)
    assert kept == [ids[4], ids[1]] and found.dtype == np.float32
    np.testing.assert_array_equal(found, vectors(6, seed=7)[[4, 1]])
    sample = dataset[ids[1]]
    sample["emb"] = None
    sample["listed"] = [1.0, 2.0]
    sample.save()
    assert datasets.field_vectors(workspace, scope, "emb", wanted)[0] == [ids[4]]
    assert datasets.count(workspace, scope, "emb") == 5
    np.testing.assert_array_equal(datasets.field_vectors(workspace, scope, "listed", ids)[1], [[1.0, 2.0]])
    with pytest.raises(UnknownName):
        datasets.field_vectors(workspace, scope, "embb", ids)


def test_vectors_of_several_lengths_are_refused(workspace: Workspace, unique_name: Name) -> None:
    dataset = make_dataset(workspace, unique_name("ragged"), 3)
    sample = dataset.first()
    sample["emb"] = np.ones(5, np.float32)
    sample.save()
    with pytest.raises(InvalidInput, match="several lengths: 5"):
        datasets.field_vectors(workspace, Scope(dataset.name), "emb", dataset.values("id"))


@pytest.mark.parametrize("field", ["crop", "boxes.crop", "boxes.detections.crop"])
def test_vectors_of_patches(field: str, workspace: Workspace, unique_name: Name) -> None:
    dataset = make_dataset(workspace, unique_name("crops"), 5)
    values = [[np.full(3, 10 * i + j, np.float32) for j in range(min(i, 3))] for i in range(5)]
    dataset.set_values("boxes.detections.crop", values, dynamic=True)
    scope = Scope(dataset.name, "boxes")
    ids, samples = all_ids(workspace, scope)
    for of in (samples, None):
        kept, found = datasets.field_vectors(workspace, scope, field, ids, of)
        assert kept == ids
        np.testing.assert_array_equal(found, np.concatenate([v for v in values if v]))


def test_what_is_shown_of_samples(workspace: Workspace, dataset: Any) -> None:
    sample = dataset.skip(3).first()
    info = datasets.samples_by_id(workspace, Scope(dataset.name), [sample.id, "f" * 24, "not an id"])
    assert [(i.id, i.label, i.tags, i.filepath) for i in info] == [
        (sample.id, "odd", ("train",), sample.filepath)
    ]


@pytest.fixture
def long_dataset(workspace: Workspace, unique_name: Name) -> Iterator[Any]:
    """120,000 bare samples, written as FiftyOne writes them."""
    dataset = workspace.fiftyone().Dataset(unique_name("long"))
    collection = workspace.database()[dataset._sample_collection_name]
    for start in range(0, 120_000, 20_000):
        collection.insert_many(
            {"filepath": f"/{i}.png", "tags": [], "_media_type": "image"}
            for i in range(start, start + 20_000)
        )
    yield dataset
    dataset.delete()


def test_ids_stream_with_flat_memory_and_survive_a_killed_cursor(
    workspace: Workspace, long_dataset: Any
) -> None:
    expected = long_dataset.values("id")
    database = workspace.database()
    found: list[str] = []
    tracemalloc.start()
    for number, (ids, _) in enumerate(datasets.scope_ids(workspace, Scope(long_dataset.name), 1000)):
        if number in (3, 4, 50):
            _kill_cursors(database, long_dataset._sample_collection_name)
        assert ids == expected[len(found) : len(found) + len(ids)]
        found += [ids[0]] * len(ids)
        peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(found) == len(expected) == 120_000
    assert peak < 3_000_000


def test_a_place_that_was_deleted_under_a_lost_cursor_is_an_error(
    workspace: Workspace, long_dataset: Any
) -> None:
    stream = rows.id_rows(workspace, select(workspace, Scope(long_dataset.name)), 1000)
    ids, _ = next(stream)
    collection = workspace.database()[long_dataset._sample_collection_name]
    collection.delete_one({"_id": ObjectId(ids[-1].tobytes())})
    _kill_cursors(workspace.database(), long_dataset._sample_collection_name)
    with pytest.raises(KitescopeError, match="were deleted while"):
        next(stream)


def _kill_cursors(database: Any, collection: str) -> None:
    open_cursors = database.client.admin.aggregate(
        [
            {"$currentOp": {"idleCursors": True, "allUsers": True}},
            {"$match": {"type": "idleCursor", "ns": f"{database.name}.{collection}"}},
        ]
    )
    ids = [operation["cursor"]["cursorId"] for operation in open_cursors]
    assert ids
    database.command("killCursors", collection, cursors=ids)

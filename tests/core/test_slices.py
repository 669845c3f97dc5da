"""Grouped datasets by their slices, and videos: what they give, or what to do about them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.core.making import all_ids, make_dataset, stock_index, vectors
from tests.engines.servers import MilvusLite
from tui.core import datasets, indexes, runs
from tui.core.datasets import Scope
from tui.core.errors import InvalidInput, UnknownName
from tui.core.indexes import BuildSpec, Source
from tui.core.near_duplicates import near_duplicates
from tui.core.search import Query, search
from tui.core.workspace import Workspace

Name = Callable[[str], str]


def _grouped(workspace: Workspace, name: str) -> Any:
    fo = workspace.fiftyone()
    dataset = fo.Dataset(name)
    dataset.add_group_field("group", default="left")
    for i in range(3):
        group = fo.Group()
        files = {"left": f"/l{i}.png", "right": f"/r{i}.png", "cloud": f"/c{i}.pcd"}
        dataset.add_samples(
            [fo.Sample(filepath=path, group=group.element(slice)) for slice, path in files.items()],
            progress=False,
        )
    return dataset


def test_a_grouped_dataset_is_read_by_its_slices_or_a_view_of_one(
    workspace: Workspace, unique_name: Name
) -> None:
    dataset = _grouped(workspace, unique_name("group"))
    with pytest.raises(InvalidInput, match="grouped") as caught:
        datasets.count(workspace, Scope(dataset.name))
    assert "'left', 'right'" in caught.value.remedy and "cloud" not in caught.value.remedy
    dataset.save_view("right", dataset.select_group_slices("right"))
    for scope, stock in (
        (Scope(dataset.name, view="right"), dataset.select_group_slices("right")),
        (Scope(dataset.name, slices=("left",)), dataset.select_group_slices("left")),
        (Scope(dataset.name, slices=("left", "right")), dataset.select_group_slices(["left", "right"])),
    ):
        ids, _ = all_ids(workspace, scope)
        assert sorted(ids) == sorted(stock.values("id")) and datasets.count(workspace, scope) == len(ids)
        found = [item.filepath for item in datasets.items(workspace, scope, ids)]
        assert sorted(found) == sorted(stock.values("filepath"))
        assert sorted(datasets.scope_view(workspace, scope).values("id")) == sorted(ids)
    dataset.save_view("few groups", dataset.limit(2))
    dataset.save_view("left groups", dataset.select_group_slices("left", flat=False))
    detail = datasets.dataset_detail(workspace, dataset.name)
    assert detail.slices == ("left", "right", "cloud")
    assert detail.sample_views == ("right",)
    for name in detail.other_views:
        with pytest.raises(InvalidInput, match="grouped"):
            datasets.count(workspace, Scope(dataset.name, view=name))
    with pytest.raises(InvalidInput, match="point-cloud"):
        datasets.count(workspace, Scope(dataset.name, slices=("cloud",)))
    with pytest.raises(UnknownName, match="slice 'rigt'"):
        datasets.count(workspace, Scope(dataset.name, slices=("rigt",)))


def test_a_run_whose_items_cannot_be_counted_is_told_all_the_same(
    workspace: Workspace, unique_name: Name
) -> None:
    dataset = _grouped(workspace, unique_name("stock"))
    runs.register(
        workspace,
        scope=Scope(dataset.name),
        brain_key="k",
        collection="gone",
        source=Source(),
        metric="cosine",
        consistency_level="Session",
        supports_prompts=False,
        dim=3,
    )
    told = runs.run_info(workspace, dataset.name, "k")
    assert (told["method"], told["health"], told["collection"]) == ("milvus", None, "gone")


def test_slices_of_what_is_not_grouped_are_refused(workspace: Workspace, unique_name: Name) -> None:
    dataset = make_dataset(workspace, unique_name("plain"), 2)
    with pytest.raises(UnknownName, match="slice 'left'") as caught:
        datasets.count(workspace, Scope(dataset.name, slices=("left",)))
    assert "not grouped" in caught.value.remedy


def test_an_index_of_slices_is_kept_in_step_and_found_by_stock_fiftyone(
    workspace: Workspace, milvus_lite: MilvusLite, unique_name: Name, tmp_path: Path
) -> None:
    dataset = _grouped(workspace, unique_name("slices"))
    scope = Scope(dataset.name, slices=("left", "right"))
    np.save(tmp_path / "six.npy", vectors(6))
    indexes.build(workspace, BuildSpec(scope, "both", Source(embeddings=str(tmp_path / "six.npy"))))
    run = runs.require_run(workspace, dataset.name, "both")
    assert run.scope == scope and indexes.check(workspace, dataset.name, "both").health == "ok"
    ids, _ = all_ids(workspace, scope)
    ours = search(workspace, Query(dataset.name, "both", ids=(ids[0],), k=3)).hits
    dataset.reload()
    index = dataset.load_brain_results("both", uri=milvus_lite.uri)
    index.use_view(dataset.select_group_slices(["left", "right"]))
    assert index.sort_by_similarity(ids[0], k=3).values("id") == [hit.id for hit in ours]


def test_a_stock_index_of_slices_is_browsed_and_its_duplicates_are_found(
    workspace: Workspace, milvus_lite: MilvusLite, unique_name: Name
) -> None:
    dataset = _grouped(workspace, unique_name("stock"))
    view = dataset.select_group_slices(["left", "right"])
    rows = vectors(6)
    rows[4] = rows[1]
    stock_index(workspace, milvus_lite.uri, view, "both", embeddings=rows)
    ids, scope = view.values("id"), runs.require_run(workspace, dataset.name, "both").scope
    page = datasets.sample_page(workspace, scope, 0, 20)
    assert set(ids) < {info.id for info in page}
    assert datasets.count(workspace, scope, any_slice=True) == len(page) == 9
    found = near_duplicates(workspace, dataset.name, "both", 0.999)
    assert [{item.id for item in group} for group in found.groups] == [{ids[1], ids[4]}]
    filepath = next(info.filepath for info in page if info.id == ids[1])
    alone = near_duplicates(workspace, dataset.name, "both", 0.999, where=[("filepath", filepath)])
    assert alone.compared == 1 and not alone.groups


def test_videos_have_ids_but_no_pictures(workspace: Workspace, unique_name: Name) -> None:
    fo = workspace.fiftyone()
    dataset = fo.Dataset(unique_name("video"))
    dataset.add_sample(fo.Sample(filepath="/a.mp4"))
    scope = Scope(dataset.name)
    ids, _ = all_ids(workspace, scope)
    assert ids == dataset.values("id")
    for refused in (
        lambda: datasets.items(workspace, scope, ids),
        lambda: indexes.plan(workspace, BuildSpec(scope, "k")),
    ):
        with pytest.raises(InvalidInput, match="holds videos") as caught:
            refused()
        assert "to_frames" in caught.value.remedy

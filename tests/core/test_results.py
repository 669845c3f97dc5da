"""Results put to use: tags, saved views and exports, as stock FiftyOne and the file system then see them."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.core.making import all_ids, make_dataset, make_index, vectors
from tui.core import datasets, results
from tui.core.client.index_types import Metric
from tui.core.documents.scopes import SampleInfo
from tui.core.errors import Interrupted, InvalidInput, KitescopeError, UnknownName
from tui.core.near_duplicates import near_duplicates
from tui.core.scope import Scope
from tui.core.search import Hit
from tui.core.workspace import Workspace

Name = Callable[[str], str]


def _hits(ids: list[str], folder: Path) -> list[Hit]:
    made = []
    for rank, one in enumerate(ids, 1):
        path = folder / f"{one}.png"
        path.write_bytes(b"")
        made.append(Hit(rank, one, one, 1 / rank, str(path), "a,b", ("[red]x", "y"), None))
    return made


def test_samples_are_tagged_and_untagged_once(workspace: Workspace, unique_name: Name) -> None:
    dataset = make_dataset(workspace, unique_name("tag"), 4)
    ids = dataset.values("id")
    for _ in range(2):
        assert results.tag(workspace, dataset.name, ids[:2], ["[b]new", "more"]) == 2
    dataset.reload()
    assert dataset.values("tags") == [
        ["val", "[b]new", "more"],
        ["train", "[b]new", "more"],
        ["val"],
        ["train"],
    ]
    assert results.tag(workspace, dataset.name, [*ids, "f" * 24], ["more"], remove=True) == 4
    dataset.reload()
    assert dataset.count_sample_tags() == {"val": 2, "train": 2, "[b]new": 2}
    with pytest.raises(InvalidInput, match="no tag"):
        results.tag(workspace, dataset.name, ids, [" "])
    with pytest.raises(UnknownName):
        results.tag(workspace, "nowhere-at-all", ids, ["x"])


def test_patches_are_tagged_themselves(workspace: Workspace, unique_name: Name) -> None:
    dataset = make_dataset(workspace, unique_name("patch"), 4)
    ids, _ = all_ids(workspace, Scope(dataset.name, "boxes"))
    assert results.tag(workspace, dataset.name, ids[1:3], ["odd one"], patches_field="boxes") == 2
    dataset.reload()
    assert dataset.count_label_tags("boxes") == {"odd one": 2}
    assert dataset.count_sample_tags() == {"val": 2, "train": 2}


def test_a_saved_view_keeps_the_order(workspace: Workspace, unique_name: Name) -> None:
    dataset = make_dataset(workspace, unique_name("view"), 5)
    ids = dataset.values("id")
    wanted = [ids[3], ids[0], ids[4]]
    assert results.save_view(workspace, dataset.name, "near", wanted) == 3
    boxes, _ = all_ids(workspace, Scope(dataset.name, "boxes"))
    chosen = boxes[::-1][:3]
    assert results.save_view(workspace, dataset.name, "parts", chosen, patches_field="boxes") == 3
    dataset.reload()
    assert dataset.load_saved_view("near").values("id") == wanted
    assert dataset.load_saved_view("parts").values("id") == chosen
    with pytest.raises(InvalidInput, match="near"):
        results.save_view(workspace, dataset.name, "near", wanted[:1])
    assert dataset.load_saved_view("near").values("id") == wanted
    for name, what in (("x", []), (" ", wanted)):
        with pytest.raises(InvalidInput):
            results.save_view(workspace, dataset.name, name, what)
    assert datasets.count(workspace, Scope(dataset.name, view="near")) == 3


def test_tables_json_and_links(workspace: Workspace, tmp_path: Path) -> None:
    hits = _hits(["a" * 24, "b" * 24], tmp_path)
    assert results.export(workspace, "any", hits, "csv", str(tmp_path / "x.csv")) == 2
    with (tmp_path / "x.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["rank"], row["label"], row["tags"], row["score"]) for row in rows] == [
        ("1", "a,b", "[red]x;y", "1.0"),
        ("2", "a,b", "[red]x;y", "0.5"),
    ]
    results.export(workspace, "any", hits, "json", str(tmp_path / "x.json"))
    assert [row["id"] for row in json.loads((tmp_path / "x.json").read_text())] == ["a" * 24, "b" * 24]
    results.export(workspace, "any", hits, "links", str(tmp_path / "links"))
    links = sorted((tmp_path / "links").iterdir())
    assert [link.name for link in links] == [f"0001_1.0000_{'a' * 24}.png", f"0002_0.5000_{'b' * 24}.png"]
    assert [str(link.readlink()) for link in links] == [hit.filepath for hit in hits]
    browsed = [SampleInfo("c" * 24, "c" * 24, hits[0].filepath, None, ())]
    results.export(workspace, "any", browsed, "links", str(tmp_path / "more"))
    assert [link.name for link in (tmp_path / "more").iterdir()] == [f"0001_{'a' * 24}.png"]


def test_links_to_files_with_the_longest_names(workspace: Workspace, tmp_path: Path) -> None:
    names = ["x" * 251 + ".png", "é" * 125 + ".jpeg", "no." + "s" * 252]
    hits = [
        Hit(rank, str(rank), str(rank), 0.5, str(tmp_path / name), None, ())
        for rank, name in enumerate(names, 1)
    ]
    assert results.export(workspace, "any", hits, "links", str(tmp_path / "links")) == 3
    links = sorted((tmp_path / "links").iterdir())
    assert [str(link.readlink()) for link in links] == [hit.filepath for hit in hits]
    assert [link.name.rpartition(".")[2] for link in links[:2]] == ["png", "jpeg"]
    assert links[0].name.startswith("0001_0.5000_xxx")


def test_an_export_that_failed_leaves_nothing_in_the_way_of_the_next(
    workspace: Workspace, unique_name: Name, tmp_path: Path
) -> None:
    dataset = make_dataset(workspace, unique_name("half"), 3)
    for sample in dataset:
        sample.filepath = str(tmp_path / f"{sample.id}.png")
        Path(sample.filepath).write_bytes(b"not looked at")
        sample.save()
    infos = datasets.samples_by_id(workspace, Scope(dataset.name), dataset.values("id"))
    gone = Path(infos[-1].filepath)
    gone.unlink()
    for format in ("ImageDirectory", "FiftyOneDataset"):
        with pytest.raises(KitescopeError, match=f"could not export as {format}: .*{gone.name}"):
            results.export(workspace, dataset.name, infos, format, str(tmp_path / "made"))
        assert not list((tmp_path / "made").iterdir())
        results.export(workspace, dataset.name, infos[:2], format, str(tmp_path / "made" / format))
        assert len(list((tmp_path / "made" / format).rglob("*.png"))) == 2
        assert Path(infos[0].filepath).read_bytes() == b"not looked at"
        shutil.rmtree(tmp_path / "made")


def test_nothing_that_is_there_is_overwritten(workspace: Workspace, tmp_path: Path) -> None:
    hits = _hits(["a" * 24], tmp_path)
    (tmp_path / "mine.csv").write_text("precious")
    for format, where in (("csv", "mine.csv"), ("links", "."), ("ImageDirectory", ".")):
        with pytest.raises(InvalidInput, match="is there already"):
            results.export(workspace, "any", hits, format, str(tmp_path / where))
    assert (tmp_path / "mine.csv").read_text() == "precious"
    (tmp_path / "empty").mkdir()
    with pytest.raises(InvalidInput, match="is a folder"):
        results.export(workspace, "any", hits, "csv", str(tmp_path / "empty"))
    for format in ("csv", "json"):
        with pytest.raises(InvalidInput, match="There is no folder"):
            results.export(workspace, "any", hits, format, str(tmp_path / "tpyo" / "x"))
    assert not (tmp_path / "tpyo").exists()
    results.export(workspace, "any", hits, "links", str(tmp_path / "new" / "links"))
    with pytest.raises(InvalidInput, match="nothing to export"):
        results.export(workspace, "any", [], "csv", str(tmp_path / "no.csv"))


def test_fiftyones_formats(workspace: Workspace, unique_name: Name, tmp_path: Path) -> None:
    import fiftyone as fo

    dataset = make_dataset(workspace, unique_name("export"), 3)
    for sample in dataset:
        sample.filepath = str(tmp_path / f"{sample.id}.png")
        Path(sample.filepath).write_bytes(b"not looked at")
        sample.save()
    ids = dataset.values("id")[:2]
    infos = datasets.samples_by_id(workspace, Scope(dataset.name), ids)
    known = results.formats(workspace)
    assert known[:3] == ["csv", "json", "links"] and {"ImageDirectory", "FiftyOneDataset"} < set(known)
    results.export(workspace, dataset.name, infos, "ImageDirectory", str(tmp_path / "images"))
    assert sorted(path.stem for path in (tmp_path / "images").iterdir()) == sorted(ids)
    results.export(workspace, dataset.name, infos, "FiftyOneDataset", str(tmp_path / "whole"))
    again = fo.Dataset.from_dir(str(tmp_path / "whole"), fo.types.FiftyOneDataset, name=unique_name("in"))
    assert again.values("ground_truth.label") == ["even", "odd"]
    again.delete()
    with pytest.raises(UnknownName, match="ImageDirectry") as caught:
        results.export(workspace, dataset.name, infos, "ImageDirectry", str(tmp_path / "no"))
    assert "ImageDirectory" in caught.value.remedy
    with pytest.raises(KitescopeError, match="could not export as COCODetectionDataset"):
        results.export(
            workspace, dataset.name, infos, "COCODetectionDataset", str(tmp_path / "no"), label_field="number"
        )


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_near_duplicates_are_grouped_whatever_their_number(
    engine_workspace: Workspace, unique_name: Name, metric: Metric
) -> None:
    ws, name = engine_workspace, unique_name("double").replace("-", "_")
    dataset = make_dataset(ws, name, 40)
    ids = dataset.values("id")
    rows = vectors(40, dim=32, seed=3)
    rows[5] = rows[30] = rows[2] + 1e-4  # a group of three
    rows[7] = rows[8]
    rows[20:36] = rows[20]  # more than are asked for at first
    rows[30] = rows[2]
    make_index(ws, Scope(name), "k", rows, metric=metric)
    threshold = 0.999 if metric == "cosine" else 0.01
    found = near_duplicates(ws, name, "k", threshold)
    groups = [[ids.index(item.id) for item in group] for group in found.groups]
    assert groups == [[20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 31, 32, 33, 34, 35], [2, 5, 30], [7, 8]]
    assert found.compared == found.total == 40
    assert len(found.spare) == 14 + 2 + 1 and ids[2] not in found.spare
    dataset.delete_samples([ids[8]])
    assert len(near_duplicates(ws, name, "k", threshold).groups) == 2
    with pytest.raises(InvalidInput):
        near_duplicates(ws, name, "k", -2.0)
    with pytest.raises(Interrupted):
        near_duplicates(ws, name, "k", threshold, should_stop=lambda: True)

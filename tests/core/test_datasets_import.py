"""Folders become datasets through FiftyOne's importers, or leave nothing behind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tui.core import datasets
from tui.core.documents import dataset_import
from tui.core.errors import InvalidInput
from tui.core.workspace import Workspace

Name = Callable[[str], str]

EXPORTED = {
    "coco": ("COCODetectionDataset", "detections"),
    "yolov5": ("YOLOv5Dataset", "ground_truth"),
    "voc": ("VOCDetectionDataset", "ground_truth"),
    "fiftyone": ("FiftyOneDataset", "ground_truth"),
}


def _images(folder: Path, n: int) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{i}.png" for i in range(n)]
    for i, path in enumerate(paths):
        Image.fromarray(np.full((8, 8, 3), i * 40, np.uint8)).save(path)
    return paths


def _with_boxes(ws: Workspace, folder: Path, name: str) -> Any:
    fo = ws.fiftyone()
    dataset = fo.Dataset(name)
    for path in _images(folder, 3):
        box = fo.Detection(label="kite", bounding_box=[0.25, 0.25, 0.5, 0.5])
        dataset.add_sample(fo.Sample(filepath=str(path), ground_truth=fo.Detections(detections=[box])))
    return dataset


def test_a_folder_of_images(workspace: Workspace, tmp_path: Path, unique_name: Name) -> None:
    paths = _images(tmp_path / "in" / "deep", 4)
    name = unique_name("dir")
    info = datasets.import_dataset(workspace, tmp_path / "in", name, "image-directory")
    assert (info.name, info.samples, info.persistent) == (name, 4, True)
    assert set(datasets.load(workspace, name).values("filepath")) == {str(path) for path in paths}


def test_a_tree_of_classes(workspace: Workspace, tmp_path: Path, unique_name: Name) -> None:
    _images(tmp_path / "tree" / "cat", 2)
    _images(tmp_path / "tree" / "dog", 1)
    name = unique_name("tree")
    datasets.import_dataset(workspace, tmp_path / "tree", name, "image-classification-directory-tree")
    assert datasets.dataset_detail(workspace, name).label_fields == {"ground_truth": {"cat": 2, "dog": 1}}


@pytest.mark.parametrize("kind", EXPORTED)
def test_what_fiftyone_exported_comes_back(
    kind: str, workspace: Workspace, tmp_path: Path, unique_name: Name
) -> None:
    source = _with_boxes(workspace, tmp_path / "images", unique_name("source"))
    exported, field = EXPORTED[kind]
    source.export(
        export_dir=str(tmp_path / kind),
        dataset_type=getattr(workspace.fiftyone().types, exported),
        label_field="ground_truth",
        progress=False,
    )
    name = unique_name(kind)
    assert datasets.import_dataset(workspace, tmp_path / kind, name, kind).samples == 3
    assert datasets.dataset_detail(workspace, name).label_fields[field] == {"kite": 3}


@pytest.mark.parametrize(
    ("kind", "make", "says"),
    [
        ("image-directory", None, "no folder"),
        ("image-directory", [], "empty"),
        ("image-directory", ["notes.txt"], "Nothing of type image-directory"),
        ("coco", ["notes.txt"], "cannot be imported as coco"),
        ("no-such-type", ["notes.txt"], "no import type"),
    ],
)
def test_a_failed_import_says_why_and_leaves_nothing(
    kind: str, make: list[str] | None, says: str, workspace: Workspace, tmp_path: Path, unique_name: Name
) -> None:
    folder = tmp_path / "folder"
    if make is not None:
        folder.mkdir()
        for file in make:
            (folder / file).write_text("nothing")
    name = unique_name("half")
    with pytest.raises(InvalidInput, match=says) as caught:
        datasets.import_dataset(workspace, folder, name, kind)
    assert caught.value.remedy
    assert not workspace.fiftyone().dataset_exists(name)


def test_a_taken_name_is_refused_and_its_dataset_untouched(
    workspace: Workspace, tmp_path: Path, unique_name: Name
) -> None:
    _images(tmp_path / "in", 2)
    name = unique_name("taken")
    workspace.fiftyone().Dataset(name)
    with pytest.raises(InvalidInput, match="exists already"):
        datasets.import_dataset(workspace, tmp_path / "in", name)
    assert datasets.load(workspace, name).count() == 0
    with pytest.raises(InvalidInput, match="cannot be a dataset's name"):
        datasets.import_dataset(workspace, tmp_path / "in", "風箏")


def test_one_that_is_stopped_in_its_last_moment_leaves_nothing(
    workspace: Workspace, tmp_path: Path, unique_name: Name, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*_: Any) -> None:
        raise SystemExit

    _images(tmp_path / "in", 1)
    name = unique_name("in")
    monkeypatch.setattr(dataset_import, "dataset_info", stopped)
    with pytest.raises(SystemExit):
        datasets.import_dataset(workspace, tmp_path / "in", name)
    assert not workspace.fiftyone().dataset_exists(name)

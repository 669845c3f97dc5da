"""What a sample says about itself, read from what FiftyOne wrote, and its labels drawn on its picture."""

from __future__ import annotations

import io
import os
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tui.core.documents.label import Label
from tui.core.documents.labels import MOST_LABELS, sample_detail
from tui.core.vision.overlay import OWN_COLOUR, colour_of, draw_labels
from tui.core.workspace import Workspace


def _labelled(ws: Workspace, name: str) -> Any:
    """A dataset of one sample with a label of every kind that can be shown."""
    fo = ws.fiftyone()
    mask = np.zeros((4, 4), np.uint8)
    mask[:, 2:] = 1
    boxes = [
        fo.Detection(label="cat", bounding_box=[0.1, 0.2, 0.3, 0.4], confidence=0.876),
        fo.Detection(label="[red]dog", bounding_box=[0.5, 0.5, 0.5, 0.5], mask=mask.astype(bool)),
    ]
    line = fo.Polyline(label="road", points=[[(0.0, 0.0), (1.0, 1.0)]], closed=True)
    points = fo.Keypoint(label="nose", points=[(0.5, 0.5), (float("nan"), float("nan"))])
    dataset = fo.Dataset(name, persistent=True)
    dataset.add_sample(
        fo.Sample(
            filepath="/nowhere/a.png",
            ground_truth=fo.Classification(label="animals", confidence=0.5),
            boxes=fo.Detections(detections=boxes),
            line=line,
            points=fo.Keypoints(keypoints=[points]),
            ground=fo.Segmentation(mask=mask),
            heat=fo.Heatmap(map=np.array([[-1.0, 0.0, 1.0, 3.0]]), range=[-1, 3]),
            age=fo.Regression(value=3.5),
            weather="rain",
            embedding=np.zeros(8),
        )
    )
    return dataset


def test_every_kind_of_label_and_plain_fields_are_read(
    workspace: Workspace, unique_name: Callable[[str], str]
) -> None:
    dataset = _labelled(workspace, unique_name("labels"))
    detail = sample_detail(workspace, dataset.name, dataset.first().id)
    by_field: dict[str, list[Label]] = {}
    for label in detail.labels:
        by_field.setdefault(label.field, []).append(label)
    cat, dog = by_field["boxes"]
    assert (cat.text, cat.box, cat.id) == (
        "cat 0.88", (0.1, 0.2, 0.3, 0.4), dataset.first().boxes.detections[0].id,
    )  # fmt: skip
    assert dog.text == "[red]dog" and dog.mask
    assert by_field["line"][0].lines == (((0.0, 0.0), (1.0, 1.0)),) and by_field["line"][0].closed
    assert by_field["points"][0].points == ((0.5, 0.5),) and not by_field["points"][0].lines
    assert by_field["ground_truth"][0].text == "animals 0.50" and not by_field["ground_truth"][0].is_drawn
    assert by_field["ground"][0].mask and by_field["age"][0].text == "3.5"
    assert by_field["heat"][0].mask and by_field["heat"][0].heat == (-1, 3)
    assert dict(detail.fields) == {"weather": "rain"} and detail.left_out == 0
    dataset.delete()


def test_what_is_not_as_fiftyone_writes_it_and_what_is_gone_says_nothing(
    workspace: Workspace, unique_name: Callable[[str], str]
) -> None:
    dataset = _labelled(workspace, unique_name("labels"))
    id = dataset.first().id
    many = [{"label": "x", "bounding_box": [0, 0, 1, 1]}] * (MOST_LABELS + 5)
    broken = [{"label": "y", "bounding_box": [0, 0, "a", 1]}, {"bounding_box": [0, 0, 1]}, 7]
    dataset._sample_collection.update_one(
        {}, {"$set": {"boxes.detections": [*broken, *many], "line.points": [[[0, 0, 0], 3], 4], "points": 5}}
    )
    detail = sample_detail(workspace, dataset.name, id)
    assert len(detail.labels) == MOST_LABELS and detail.left_out > 5
    assert detail.labels[0].box is None or detail.labels[0].name != "y"
    dataset.delete_samples([id])
    assert sample_detail(workspace, dataset.name, id).labels == ()
    assert sample_detail(workspace, dataset.name, "no id").labels == ()
    dataset.delete()


def test_masks_outlines_and_a_patchs_own_box_are_where_they_belong(
    workspace: Workspace, unique_name: Callable[[str], str]
) -> None:
    dataset = _labelled(workspace, unique_name("labels"))
    labels = {
        label.name or label.field: label
        for label in sample_detail(workspace, dataset.name, dataset.first().id).labels
    }
    cat, dog, ground = labels["cat"], labels["[red]dog"], labels["ground"]
    dataset.delete()

    def drawn(*shown: Label, **more: Any) -> np.ndarray:
        picture = Image.new("RGB", (101, 101))
        draw_labels(picture, shown, **more)
        return np.asarray(picture)

    outlined = drawn(cat)
    assert tuple(outlined[20, 25]) == tuple(outlined[40, 10]) == colour_of(cat)
    assert not outlined[40, 25].any() and not outlined[0].any()
    masked = drawn(dog)
    assert masked[75, 90].any() and not masked[75, 60].any(), "half of its box"
    covered = drawn(ground)
    assert covered[50, 80].any() and not covered[50, 20].any()
    own = drawn(cat, own=(0.1, 0.2, 0.3, 0.4))
    assert tuple(own[20, 25]) == OWN_COLOUR
    damaged = Label("ground", mask=b"nonsense"), Label("ground", mask_path="/nowhere.png")
    assert not drawn(*damaged).any()


def test_a_heatmap_is_as_strong_as_its_values_between_the_ends_of_its_range(
    workspace: Workspace, unique_name: Callable[[str], str], tmp_path: Path
) -> None:
    dataset = _labelled(workspace, unique_name("labels"))
    labels = sample_detail(workspace, dataset.name, dataset.first().id).labels
    dataset.delete()
    [stored] = [label for label in labels if label.field == "heat"]
    file = tmp_path / "heat.png"
    Image.fromarray(np.array([[0, 64, 128, 255]], np.uint8)).save(file)

    def strengths(label: Label) -> list[int]:
        picture = Image.new("RGB", (4, 1))
        draw_labels(picture, [label])
        return [int(pixel.max()) for pixel in np.asarray(picture)[0]]

    deep = tmp_path / "deep.png"
    Image.fromarray(np.array([[0, 64 << 8, 128 << 8, 65535]], np.uint16)).save(deep)
    files = [Label("heat", mask_path=str(path), heat=(None, None)) for path in (file, deep)]
    for label in (stored, *files):
        lowest, low, middle, highest = strengths(label)
        assert 0 == lowest < low < middle < highest
        assert abs(middle - highest / 2) <= 2 and abs(low - highest / 4) <= 2
    reversed_, flat = (
        Label("heat", mask=stored.mask, heat=(3, -1)),
        Label("heat", mask=stored.mask, heat=(1, 1)),
    )
    assert strengths(reversed_) == strengths(flat) == [0, 0, 0, 0], "a range that is none shows nothing"


def test_masks_of_odd_shapes_and_files_of_odd_kinds_leave_the_picture_as_it_is(tmp_path: Path) -> None:
    def packed(*shape: int) -> bytes:
        raw = io.BytesIO()
        np.save(raw, np.ones(shape, np.uint8))
        return zlib.compress(raw.getvalue())

    pipe, script = tmp_path / "pipe", tmp_path / "script.png"
    os.mkfifo(pipe)
    # Pillow would have another program run this one.
    script.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 4 4\n")
    picture = Image.new("RGB", (20, 20))
    odd = [Label("ground", mask=packed(*shape)) for shape in ((3,), (0, 4), (2, 2, 2, 2))]
    draw_labels(picture, [*odd, *(Label("ground", mask_path=str(path)) for path in (pipe, script))])
    assert not np.asarray(picture).any()
    draw_labels(picture, [Label("ground", mask=packed(4, 4, 1))])
    assert np.asarray(picture).any(axis=2).all()

"""Patches are cut out as stock FiftyOne cuts them, box by box, whatever label holds them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.core.indexing import assert_exact, scope_set
from tests.core.making import all_ids
from tests.core.pictures import photo
from tui.core import datasets, indexes, runs
from tui.core.errors import InvalidInput
from tui.core.indexes import BuildSpec, Crop, Scope
from tui.core.vision.images import Patch
from tui.core.vision.preparation import Task, prepare_task
from tui.core.workspace import Workspace

KINDS = ("detections", "polylines", "detection", "polyline")


class Pixels:
    """A model whose input is the picture itself."""

    input_size = None
    upright = False

    def prepare(self, image: Image.Image) -> Any:
        return np.asarray(image)


@pytest.fixture
def dataset(workspace: Workspace, unique_name: Callable[[str], str], tmp_path: Path) -> Iterator[Any]:
    """Pictures with several labels, one, and none, in every kind of field; some leave the picture."""
    fo = workspace.fiftyone()
    rng = np.random.default_rng(3)
    made = fo.Dataset(unique_name("patches"), persistent=True)
    for number in range(6):
        path = tmp_path / f"{number}.jpg"
        photo(number, ((200, 90), (91, 203), (120, 120))[number % 3]).save(path, quality=90)
        count = (4, 1, 0)[number % 3]
        boxes = [[*rng.uniform(-0.1, 0.7, 2), *rng.uniform(0.15, 0.9, 2)] for _ in range(count)]
        lines = [[[(x, y), (x + w, y), (x + w / 3, y + h)]] for x, y, w, h in boxes]
        found = [fo.Detection(label="a", bounding_box=box) for box in boxes]
        drawn = [fo.Polyline(label="a", points=points, closed=True) for points in lines]
        sample = fo.Sample(filepath=str(path))
        sample["detections"] = fo.Detections(detections=found)
        sample["polylines"] = fo.Polylines(polylines=drawn) if count else None
        sample["detection"] = found[0].copy() if count else None
        sample["polyline"] = drawn[0].copy() if count else None
        made.add_sample(sample)
    yield made
    made.delete()


@pytest.mark.parametrize("crop", [Crop(), Crop(0.3), Crop(-0.25, True), Crop(force_square=True)])
@pytest.mark.parametrize("kind", KINDS)
def test_crops_are_stocks_pixel_by_pixel(workspace: Workspace, dataset: Any, kind: str, crop: Crop) -> None:
    from fiftyone.utils.torch import TorchImagePatchesDataset

    view = dataset.exists(kind)
    options = {"alpha": crop.alpha, "force_square": crop.force_square}
    loader = TorchImagePatchesDataset(
        samples=view, patches_field=kind, ragged_batches=True, use_numpy=True, force_rgb=True, **options
    )
    meant = [patch for at in range(len(loader)) for patch in loader[at] or ()]
    scope = Scope(dataset.name, kind)
    items = datasets.items(workspace, scope, *all_ids(workspace, scope))
    path = {"detections": "detections.detections", "polylines": "polylines.polylines"}.get(kind, kind)
    assert [item.id for item in items] == [one for one in dataset.values(f"{path}.id", unwind=True) if one]
    boxes = [Patch(*item.box, crop.alpha or 0.0, crop.force_square) for item in items if item.box]
    paths = [item.filepath for item in items]
    ours = [prepare_task(Pixels(), Task(file, (box,)))[0] for file, box in zip(paths, boxes, strict=True)]
    assert len(ours) == len(meant) == (10 if kind in ("detections", "polylines") else 4)
    for mine, stock, item in zip(ours, meant, items, strict=True):
        assert mine.shape == stock.shape and np.array_equal(mine, stock), item
    if crop.force_square:
        assert all(patch.shape[0] == patch.shape[1] for patch in ours)


def test_a_build_cuts_as_it_was_told_and_a_sync_does_too(workspace: Workspace, dataset: Any) -> None:
    ws, scope = workspace, Scope(dataset.name, "detections")
    wide = BuildSpec(scope, "wide", crop=Crop(0.5, True))
    built = indexes.build(ws, wide)
    plain = indexes.build(ws, BuildSpec(scope, "plain"))
    assert built.collection != plain.collection
    assert_exact(ws, built.collection, scope_set(ws, scope))
    run = runs.require_run(ws, dataset.name, "wide")
    assert (run.alpha, run.force_square) == (0.5, True)
    first, *_ = ids = sorted(scope_set(ws, scope))
    before = dict(zip(*ws.milvus().vectors(built.collection, ids), strict=True))
    assert not np.allclose(before[first], ws.milvus().vectors(plain.collection, [first])[1][0])
    ws.milvus().delete(built.collection, [first])
    assert indexes.sync(ws, dataset.name, "wide").added == 1
    assert np.allclose(ws.milvus().vectors(built.collection, [first])[1][0], before[first], atol=1e-6)


def test_what_cannot_be_cut_is_said(workspace: Workspace, dataset: Any) -> None:
    for scope, crop in ((Scope(dataset.name), Crop(0.1)), (Scope(dataset.name, "detections"), Crop(-1.0))):
        with pytest.raises(InvalidInput, match=r"patches|alpha"):
            indexes.plan(workspace, BuildSpec(scope, "k", crop=crop))

"""What the tests of the index engine share: small datasets, builds from a file, and the exact truth."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.core.making import all_ids
from tui.core import indexes
from tui.core.documents.scopes import Scope
from tui.core.indexes import BuildResult, BuildSpec, Source
from tui.core.progress import Event
from tui.core.runs import get_run
from tui.core.workspace import Workspace

DIM = 16


def random_vectors(count: int, dim: int = DIM, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal((count, dim)).astype(np.float32)


def make_samples(ws: Workspace, name: str, count: int) -> Any:
    """A dataset of samples without anything but a path that does not exist."""
    fo = ws.fiftyone()
    dataset = fo.Dataset(name, persistent=True)
    add_samples(ws, dataset, count)
    return dataset


def add_samples(ws: Workspace, dataset: Any, count: int) -> list[str]:
    fo = ws.fiftyone()
    start = len(dataset)
    samples = [fo.Sample(filepath=f"/nowhere/{len(dataset.name)}/{start + at}.png") for at in range(count)]
    return list(dataset.add_samples(samples, progress=False))


def make_detections(ws: Workspace, name: str, samples: int, each: int) -> Any:
    """A dataset whose samples have ``each`` detections with an embedding of their own."""
    fo = ws.fiftyone()
    dataset = fo.Dataset(name, persistent=True)
    rows = random_vectors(samples * each, seed=3)
    made = []
    for at in range(samples):
        boxes = [
            fo.Detection(label="x", bounding_box=[0.1, 0.1, 0.2, 0.2], emb=rows[at * each + box])
            for box in range(each)
        ]
        made.append(fo.Sample(filepath=f"/nowhere/{at}.png", gt=fo.Detections(detections=boxes)))
    dataset.add_samples(made, dynamic=True, progress=False)
    return dataset


def saved(folder: Path, rows: NDArray[Any], name: str = "vectors.npy") -> str:
    np.save(folder / name, rows)
    return str(folder / name)


def file_spec(dataset: str, path: str, key: str = "k", **more: Any) -> BuildSpec:
    source = Source(embeddings=path, ids=more.pop("ids", None))
    scope = more.pop("scope", None) or Scope(dataset)
    return BuildSpec(scope, key, source, **more)


def build(ws: Workspace, spec: BuildSpec, events: list[Event] | None = None, **more: Any) -> BuildResult:
    heard: list[Event] = [] if events is None else events
    return indexes.build(ws, spec, heard.append, **more)


def collection_of(ws: Workspace, dataset: str, key: str = "k") -> str:
    run = get_run(ws, dataset, key)
    assert run is not None and run.collection is not None
    return run.collection


def rows_in(ws: Workspace, collection: str) -> Counter[str]:
    """How often each id is in a collection, counted one by one where the server says there are too many."""
    from tui.core.milvus import id_filter

    milvus = ws.milvus()
    found = Counter({one for page in milvus.ids(collection) for one in page})
    total = milvus.count(collection)
    if total != len(found):
        for one in found:
            found[one] = milvus.count(collection, id_filter([one]))
    assert sum(found.values()) == total
    return found


def assert_exact(
    ws: Workspace, collection: str, expected: set[str], vectors: dict[str, Any] | None = None
) -> None:
    """The collection holds exactly these ids, once each, and if given these vectors."""
    found = rows_in(ws, collection)
    assert set(found) == expected
    assert all(count == 1 for count in found.values())
    if vectors is not None:
        ids, rows = ws.milvus().vectors(collection, sorted(expected))
        assert ids == sorted(expected)
        np.testing.assert_array_equal(rows, np.stack([vectors[one] for one in ids]))


def scope_set(ws: Workspace, scope: Scope) -> set[str]:
    return set(all_ids(ws, scope)[0])


def stock_add(ws: Workspace, collection: str, ids: list[str], rows: NDArray[np.float32]) -> None:
    """Insert as stock FiftyOne's ``add_to_index`` does: what is there already is there once more."""
    client = ws.milvus()._client
    data = [{"pk": one, "vector": row, "sample_id": one} for one, row in zip(ids, rows, strict=True)]
    client.insert(collection, data, timeout=30)

"""Small datasets and indexes for tests, made with stock FiftyOne and the Milvus wrapper alone."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tui.core import runs
from tui.core.client.index_types import IndexSpec, Metric
from tui.core.documents.scopes import scope_ids
from tui.core.documents.selection import Scope
from tui.core.workspace import Workspace


@dataclass(frozen=True)
class Made:
    """A source as the index engine hands it to ``runs.register``."""

    model: str | None = None
    embeddings_field: str | None = None
    embeddings: str | None = None
    ids: str | None = None


def vectors(n: int, dim: int = 8, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=(n, dim)).astype(np.float32)


def make_dataset(ws: Workspace, name: str, n: int = 10) -> Any:
    """``n`` samples: tags, a class, ``i`` boxes in the i-th (at most 3), numbers, and an embedding."""
    fo = ws.fiftyone()
    dataset = fo.Dataset(name, persistent=True)
    embedding = vectors(n, seed=7)
    samples = []
    for i in range(n):
        sample = fo.Sample(filepath=f"/nowhere/{name}/{i}.png", tags=["train" if i % 2 else "val"])
        sample["ground_truth"] = fo.Classification(label="odd" if i % 2 else "even", confidence=i / n)
        sample["boxes"] = fo.Detections(
            detections=[
                fo.Detection(label=f"part{j}", bounding_box=[0.1 * j, 0.2, 0.3, 0.4])
                for j in range(min(i, 3))
            ]
        )
        sample["number"], sample["ratio"], sample["flag"] = i, i / 2, bool(i % 2)
        sample["text"], sample["names"] = f"t{i % 3}", [f"n{i % 2}", f"n{i % 5}"]
        sample["emb"] = embedding[i]
        samples.append(sample)
    dataset.add_samples(samples, progress=False)
    return dataset


def all_ids(ws: Workspace, scope: Scope) -> tuple[list[str], list[str]]:
    ids: list[str] = []
    samples: list[str] = []
    for batch, of in scope_ids(ws, scope):
        ids += batch
        samples += of
    return ids, samples


def make_index(
    ws: Workspace,
    scope: Scope,
    key: str,
    rows: NDArray[np.float32],
    *,
    metric: Metric = "cosine",
    collection: str | None = None,
    source: Any = None,
    index: IndexSpec | None = None,
    **register: Any,
) -> str:
    """Fill a collection with one row per id in scope, and register it; answers the collection's name."""
    name = collection or f"k_{scope.dataset}_{key}".replace("-", "_")
    fill(ws, name, *all_ids(ws, scope), rows, metric=metric, index=index)
    runs.register(
        ws,
        scope=scope,
        brain_key=key,
        collection=name,
        source=source or Made(),
        metric=metric,
        consistency_level="Session",
        supports_prompts=register.pop("supports_prompts", False),
        dim=rows.shape[1],
        **register,
    )
    return name


def fill(
    ws: Workspace,
    name: str,
    ids: Sequence[str],
    samples: Sequence[str],
    rows: NDArray[np.float32],
    *,
    metric: Metric = "cosine",
    index: IndexSpec | None = None,
) -> None:
    milvus = ws.milvus()
    milvus.create(name, dim=rows.shape[1], metric=metric, consistency_level="Session", properties={})
    milvus.create_index(name, metric, index or IndexSpec())
    milvus.load(name)
    for start in range(0, len(ids), 1000):
        milvus.upsert(
            name, ids[start : start + 1000], samples[start : start + 1000], rows[start : start + 1000]
        )


def stock_index(ws: Workspace, uri: str, dataset: Any, key: str, **more: Any) -> Any:
    """Let stock FiftyOne make an index."""
    import fiftyone.brain as fob

    return fob.compute_similarity(
        dataset,
        brain_key=key,
        backend="milvus",
        uri=uri,
        collection_name=f"stock_{key}_{dataset.name}"[:60].replace("-", "_"),
        metric="cosine",
        progress=False,
        **more,
    )


def python(code: str, mongod_uri: str, *arguments: str, **environment: str) -> str:
    """Run Python in a fresh process over the test's database; answers its stdout."""
    env = {**os.environ, "FIFTYONE_DATABASE_URI": mongod_uri, "PYTHONWARNINGS": "ignore", **environment}
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], env=env, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def crash_stock(ws: Workspace, uri: str, dataset: Any, key: str, at: str, **more: Any) -> None:
    """Let a stock build die, and leave its run: as it ``connect``s, ``embed``s, or ``upload``s its third."""
    from unittest import mock

    import fiftyone.brain.internal.core.milvus as stock
    import fiftyone.brain.similarity as similarity

    add = stock.MilvusSimilarityIndex.add_to_index

    def add_two(index: Any, embeddings: Any, sample_ids: Any, label_ids: Any = None, **options: Any) -> None:
        some = label_ids[:2] if label_ids is not None else None
        add(index, embeddings[:2], sample_ids[:2], label_ids=some, **options)
        raise MemoryError

    places = {
        "connect": (stock.pymilvus.connections, "connect", MemoryError),
        "embed": (similarity.fbu, "get_embeddings", MemoryError),
        "upload": (stock.MilvusSimilarityIndex, "add_to_index", add_two),
    }
    owner, name, behaves = places[at]
    replaced = {"side_effect": behaves} if behaves is MemoryError else {"new": behaves}
    with mock.patch.object(owner, name, **replaced), contextlib.suppress(MemoryError):
        stock_index(ws, uri, dataset, key, **more)

"""Dropping a collection of our Milvus Lite servers does not wait for its index, and leaves nothing of it."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pytest
from milvus_lite.db import MilvusLite as Database
from milvus_lite.engine.collection import Collection
from milvus_lite.index.faiss_hnsw import FaissHnswIndex

from tests.core.test_lite_columns import ids_of, insert, make
from tests.engines.servers import MilvusLite
from tui.core.client.index_types import HNSW_DEFAULT, IndexSpec
from tui.core.milvus import Milvus
from tui.core.services import lite_dropping

# So thorough that it takes long: whoever waits for it is found out.
HEAVY = {"index_type": "HNSW", "metric_type": "COSINE", "params": {"M": 64, "efConstruction": 20_000}}
COUNT, DIM = 6_000, 64


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    """With what our servers do, in this process."""
    for where, name, ours in (
        (Database, "drop_collection", lite_dropping.without_waiting),
        (Collection, "_build_or_load_segment_index", lite_dropping.known_to_its_steps),
        (Collection, "_ensure_loaded_segments_indexed", lite_dropping.unless_dropped),
        (FaissHnswIndex, "build", lite_dropping.in_steps),
    ):
        make_ours: Callable[[Any], Any] = ours
        monkeypatch.setattr(where, name, make_ours(getattr(where, name)))
    opened = Database(str(tmp_path / "data"))
    yield opened
    opened.close()


def building(collection: Any, monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Set when the first step of an index was made."""
    begun = threading.Event()
    heed = lite_dropping._heed

    def noticed(one: Any) -> None:
        heed(one)
        if one is collection:
            begun.set()

    monkeypatch.setattr(lite_dropping, "_heed", noticed)
    return begun


@pytest.mark.parametrize("by", ["flush", "load"])
def test_a_collection_goes_before_its_index_is_complete(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    collection = make(database, DIM)
    collection.create_index("vector", HEAVY)
    if by == "load":
        collection.release()
    insert(collection, ids_of(*range(COUNT)))
    begun = building(collection, monkeypatch)
    errors: list[BaseException] = []
    collection.flush()

    def load() -> None:
        try:
            collection.load()
        except lite_dropping.Dropped as error:
            errors.append(error)

    loading = threading.Thread(target=load)
    if by == "load":
        loading.start()
    assert begun.wait(60)
    segments = list(collection._segment_cache.values())
    database.drop_collection("plain")
    # With the index it would have one.
    assert segments and not any(segment.indexes for segment in segments)
    if by == "load":
        loading.join()
        assert errors
    assert not database.has_collection("plain")
    assert not list(tmp_path.rglob("*.parquet")) and not list(tmp_path.rglob("*.idx"))

    # The next one of that name is a new one.
    again = make(database, DIM)
    again.create_index("vector", HEAVY)
    again.load()
    insert(again, ids_of(7))
    again.flush()
    again._wait_for_bg()
    assert [row["pk"] for row in again.query("", ["pk"])] == ids_of(7)
    assert list(tmp_path.rglob("*.idx"))


def test_what_is_not_there_is_said_as_ever(database: Database) -> None:
    database.drop_collection("nowhere")
    with pytest.raises(Exception, match="nothing"):
        database.drop_collection("plain", "nothing")


@pytest.mark.parametrize("metric", ["COSINE", "IP", "L2"])
def test_an_index_that_is_built_in_steps_finds_what_one_built_at_once_does(metric: str) -> None:
    vectors = np.random.default_rng(1).standard_normal((2_500, 16)).astype(np.float32)
    at_once = FaissHnswIndex.build(vectors, metric, {})
    in_steps = lite_dropping.in_steps(FaissHnswIndex.build)(vectors, metric, {})
    assert (in_steps.num_vectors, in_steps.dim, in_steps.metric) == (2_500, 16, metric)
    (expected, distances), (found, ours) = (one.search(vectors[:200], 10) for one in (at_once, in_steps))
    np.testing.assert_allclose(ours[:, 0], distances[:, 0], atol=1e-5)
    same = [len({*a} & {*b}) / 10 for a, b in zip(found.tolist(), expected.tolist(), strict=True)]
    assert np.mean(same) > 0.97
    empty = lite_dropping.in_steps(FaissHnswIndex.build)(vectors[:0], metric, {})
    assert empty.num_vectors == 0


def seconds_of(work: Callable[[], object]) -> float:
    """Processor time, of one thread."""
    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        before = time.process_time()
        work()
        return time.process_time() - before
    finally:
        faiss.omp_set_num_threads(threads)


def test_a_server_of_ours_drops_what_it_builds(milvus_lite: MilvusLite) -> None:
    milvus, name = Milvus.connect(milvus_lite.client_kwargs(), 5.0), f"t_{uuid.uuid4().hex[:12]}"
    ids = ids_of(*range(20_000))
    rows = np.random.default_rng(2).standard_normal((len(ids), DIM)).astype(np.float32)
    try:
        milvus.create(name, dim=DIM, metric="cosine", consistency_level="Session", properties={})
        milvus.create_index(name, "cosine", IndexSpec())
        milvus.load(name)
        milvus.upsert(name, ids, ids, rows)
        milvus.flush(name)
        before = milvus_lite.processor_seconds()
        milvus.drop(name)
        dropping = milvus_lite.processor_seconds() - before
        assert not milvus.exists(name)
    finally:
        milvus.drop(name)
        milvus.close()
    fifth = seconds_of(lambda: FaissHnswIndex.build(rows[:4_000], "COSINE", dict(HNSW_DEFAULT)))
    # The whole takes more than 5 times as long as a fifth of it, and each of its 20 steps less than half.
    assert dropping < 2 * fifth

"""What our Milvus Lite servers do by column has milvus_lite's own answers, for a fraction of the work."""

from __future__ import annotations

import os
import statistics
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from milvus_lite.db import MilvusLite as Database
from milvus_lite.engine.collection import Collection
from milvus_lite.exceptions import CollectionNotLoadedError
from milvus_lite.schema.types import CollectionSchema, DataType, FieldSchema
from milvus_lite.search.bitmap import build_valid_mask
from milvus_lite.storage.memtable import MemTable

from tests.engines.servers import MilvusLite
from tui.core.client.index_types import IndexSpec
from tui.core.milvus import Milvus
from tui.core.services import lite_columns

DIM = 8


def ids_of(*numbers: int) -> list[str]:
    return [f"{number:024x}" for number in numbers]


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = Database(str(tmp_path / "data"))
    yield opened
    opened.close()


def make(database: Database, dim: int = DIM, name: str = "plain", *, nullable: bool = False) -> Any:
    """A collection with our fields."""
    text: dict[str, Any] = {"dtype": DataType.VARCHAR, "max_length": 64_000}
    vector = FieldSchema("vector", DataType.FLOAT_VECTOR, dim=dim, nullable=nullable)
    fields = [FieldSchema("pk", is_primary=True, **text), vector, FieldSchema("sample_id", **text)]
    return database.create_collection(name, CollectionSchema(fields=fields))


def insert(collection: Any, ids: list[str], seed: int = 0) -> None:
    dim = next(field.dim for field in collection.schema.fields if field.name == "vector")
    vectors = np.random.default_rng(seed).standard_normal((len(ids), dim)).astype(np.float32).tolist()
    collection.insert(
        [{"pk": pk, "vector": vector, "sample_id": pk[::-1]} for pk, vector in zip(ids, vectors, strict=True)]
    )


def write_variously(collection: Any) -> None:
    """Rows on disk and in memory, some replaced or deleted in either, in batches of any size."""
    insert(collection, ids_of(*range(60, 0, -1)))
    collection.delete(ids_of(7, 8))
    collection.flush()
    collection.flush()
    insert(collection, ids_of(*range(50, 90)), 1)
    insert(collection, ids_of(55), 2)
    insert(collection, ids_of(100, 55, 3), 3)
    collection.delete(ids_of(1, 100, 70))
    insert(collection, ids_of(70, 7), 4)


@pytest.mark.parametrize("vector_field", ["vector", None])
@pytest.mark.parametrize("include_table", [True, False])
def test_a_snapshot_is_milvus_lites_own(
    database: Database, vector_field: str | None, include_table: bool
) -> None:
    collection = make(database)
    for prepare in (
        lambda: None,
        lambda: insert(collection, ids_of(4, 2)),
        lambda: write_variously(collection),
    ):
        prepare()
        table = collection._memtable
        own = MemTable.to_search_snapshot(table, vector_field, None, include_table)
        ours = lite_columns.search_snapshot(table, vector_field, None, include_table)
        assert ours[0] == own[0]
        np.testing.assert_array_equal(ours[1], own[1])
        np.testing.assert_array_equal(ours[2], own[2])
        assert (ours[1].dtype, ours[2].dtype) == (own[1].dtype, own[2].dtype)
        assert ours[3] == own[3]
        assert (ours[4] is None and own[4] is None) or ours[4].equals(own[4])


def test_what_goes_to_disk_is_milvus_lites_own(database: Database) -> None:
    collection = make(database)
    write_variously(collection)
    table = collection._memtable
    for places in (
        [(batch, row) for batch, row, _ in table._pk_index.values()],
        [(0, row) for row in range(table._insert_batches[0].num_rows)],
    ):
        own = MemTable._build_data_table(table, places)
        ours = lite_columns.data_table(table, places)
        assert ours.schema.equals(own.schema, check_metadata=True)
        assert ours.equals(own)


@pytest.mark.parametrize("expr", [None, "", f'pk > "{ids_of(40)[0]}"', 'pk > "ffff"', 'sample_id > "5"'])
@pytest.mark.parametrize("order", [True, False])
@pytest.mark.parametrize(("limit", "offset"), [(None, 0), (10, 0), (10, 5), (1_000, 0)])
def test_ids_are_milvus_lites_own(
    database: Database, expr: str | None, order: bool, limit: int | None, offset: int
) -> None:
    collection = make(database)
    write_variously(collection)
    asked: dict[str, Any] = {"limit": limit, "offset": offset, "order_by_pk": order}
    own = Collection.query(collection, expr, ["pk"], **asked)
    assert lite_columns.query_ids(collection, expr, ["pk"], **asked) == own
    assert own or expr == 'pk > "ffff"'


def test_what_is_valid_is_milvus_lites_own(database: Database) -> None:
    collection = make(database)
    memtable, deleted = collection._memtable, collection._delta_index
    ids, numbers = ids_of(3, 1, 2), np.arange(3, dtype=np.uint64)
    for wanted in (None, np.array([True, False, True])):
        own = build_valid_mask(ids, numbers, deleted, wanted, memtable)
        ours = lite_columns.valid_mask(ids, numbers, deleted, wanted, memtable)
        assert (ours.tolist(), ours.dtype) == (own.tolist(), own.dtype)
        assert ours is not wanted
    twice = ids_of(3, 1, 3)
    with pytest.raises(lite_columns.NotPlain):
        lite_columns.valid_mask(twice, numbers, deleted, None, memtable)
    collection.delete(ids_of(1))
    with pytest.raises(lite_columns.NotPlain):
        lite_columns.valid_mask(ids, numbers, deleted, None, memtable)
    collection.flush()
    with pytest.raises(lite_columns.NotPlain):
        lite_columns.valid_mask(ids, numbers, deleted, None, collection._memtable)


def test_ids_of_a_collection_that_is_not_loaded_are_refused_as_ever(database: Database) -> None:
    collection = make(database)
    insert(collection, ids_of(1))
    collection.create_index("vector", {"index_type": "FLAT", "metric_type": "COSINE"})
    collection.release()
    with pytest.raises(CollectionNotLoadedError):
        lite_columns.query_ids(collection, "", ["pk"])


def test_whatever_is_not_plain_is_left_to_milvus_lite(database: Database) -> None:
    collection = make(database, nullable=True)
    collection.insert([{"pk": "a", "vector": [1.0] * DIM, "sample_id": "s"}])

    def answer(own: Callable[..., Any], ours: Callable[..., Any], *given: Any) -> Any:
        return lite_columns._or_else(own, ours)(*given)

    query, snapshot = lite_columns.query_ids, lite_columns.search_snapshot
    whole = answer(Collection.query, query, collection, "", ["pk", "vector"])
    assert whole == [{"pk": "a", "vector": [1.0] * DIM}]
    assert answer(Collection.query, query, collection, "", None)[0]["sample_id"] == "s"
    assert answer(Collection.query, query, collection, "", ["pk"], ["_default"]) == [{"pk": "a"}]
    assert answer(MemTable.to_search_snapshot, snapshot, collection._memtable, "vector", ["none"])[0] == []
    with pytest.raises(Exception, match="nonsense"):
        answer(Collection.query, query, collection, "nonsense == 1", ["pk"])


def spent(work: Callable[[], object]) -> float:
    began = time.thread_time()
    work()
    return time.thread_time() - began


def test_our_servers_count_and_list_what_was_just_written_in_a_fraction_of_the_time(
    database: Database, milvus_lite: MilvusLite
) -> None:
    ids, dim = ids_of(*range(4_000)), 512
    collection = make(database, dim)
    insert(collection, ids)
    own = spent(lambda: Collection.query(collection, "", ["pk"])) + spent(lambda: collection.num_entities)

    milvus, name = Milvus.connect(milvus_lite.client_kwargs(), 5.0), f"t_{uuid.uuid4().hex[:12]}"
    milvus.create(name, dim=dim, metric="cosine", consistency_level="Session", properties={})
    milvus.create_index(name, "cosine", IndexSpec())
    milvus.load(name)
    vectors = np.random.default_rng(0).standard_normal((len(ids), dim)).astype(np.float32)
    milvus.upsert(name, ids, ids, vectors)
    try:
        rounds = []
        for _ in range(5):
            before = milvus_lite.processor_seconds()
            assert milvus.id_page(name, None) == ids
            assert milvus.count(name) == len(ids)
            rounds.append(milvus_lite.processor_seconds() - before)
    finally:
        milvus.drop(name)
        milvus.close()
    # The server may have something else to do in one of the rounds.
    assert own > 3 * statistics.median(rounds)


def test_an_index_is_built_aside_and_what_goes_wrong_there_is_told() -> None:
    def priority() -> int:
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    ours = priority()
    where = lite_columns._aside(lambda one: (one + 1, threading.current_thread().name, priority()))(1)
    assert where == (2, "index", max(ours, lite_columns._NICE)) and priority() == ours

    def fail(_one: int) -> int:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        lite_columns._aside(fail)(1)

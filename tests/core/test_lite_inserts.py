"""What our Milvus Lite servers insert by column is what milvus_lite itself would have written."""

from __future__ import annotations

import itertools
import statistics
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from milvus_lite.adapter.grpc.servicer import MilvusServicer
from milvus_lite.db import MilvusLite as Database
from milvus_lite.schema.types import CollectionSchema, DataType, FieldSchema
from milvus_lite.storage.memtable import MemTable
from pymilvus.grpc_gen import milvus_pb2, schema_pb2

from tests.engines.servers import MilvusLite
from tui.core.milvus import Milvus
from tui.core.services import lite_inserts
from tui.core.services.lite_columns import NotPlain

DIM = 3
_names = itertools.count()
OWN, OURS = MilvusServicer.Insert, lite_inserts._or_own(MilvusServicer.Insert)


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    opened = Database(str(tmp_path_factory.mktemp("lite")))
    yield opened
    opened.close()


def make(database: Database, *more: FieldSchema, dim: int = DIM, **options: Any) -> Any:
    """A collection with our fields."""
    fields = [
        FieldSchema("pk", DataType.VARCHAR, is_primary=True, max_length=64),
        FieldSchema("vector", DataType.FLOAT_VECTOR, dim=dim),
        FieldSchema("sample_id", DataType.VARCHAR, max_length=64),
        *more,
    ]
    return database.create_collection(f"c{next(_names)}", CollectionSchema(fields=fields, **options))


def request(collection: Any, ids: list[str], vectors: Any, samples: list[str] | None = None) -> Any:
    """What our client and stock FiftyOne's send."""
    made = milvus_pb2.InsertRequest(collection_name=collection.name, num_rows=len(ids))
    for name, texts in (("pk", ids), ("sample_id", ids if samples is None else samples)):
        field = made.fields_data.add(field_name=name, type=schema_pb2.VarChar)
        field.scalars.string_data.data.extend(texts)
    field = made.fields_data.add(field_name="vector", type=schema_pb2.FloatVector)
    field.vectors.dim = np.shape(vectors)[1]
    field.vectors.float_vector.data.extend(np.ravel(vectors).tolist())
    return made


def rows(collection: Any) -> list[Any]:
    """Everything in memory: the batches as they were logged, and where each id is."""
    table = collection._memtable
    return [batch.to_pydict() for batch in table._insert_batches] + [table._pk_index, table._insert_bytes]


_ids = st.lists(st.text("ab\u00e9\U0001f426", min_size=1, max_size=3), min_size=1, max_size=6)
_numbers = st.floats(width=32, allow_nan=False)


_vectors = st.lists(st.lists(_numbers, min_size=DIM, max_size=DIM), min_size=6, max_size=6)


@settings(deadline=None)
@given(st.lists(st.tuples(_ids, _vectors), min_size=1, max_size=4))
def test_what_is_inserted_is_milvus_lites_own(
    database: Database, sent: list[tuple[list[str], list[list[float]]]]
) -> None:
    servicer = MilvusServicer(database)
    own, ours = make(database), make(database)
    try:
        for ids, vectors in sent:
            answers = [
                insert(servicer, request(collection, ids, vectors[: len(ids)]), None)
                for insert, collection in ((OWN, own), (OURS, ours))
            ]
            assert answers[0] == answers[1] and answers[1].insert_cnt == len(ids)
        assert rows(ours) == rows(own)
        assert ours._memtable._insert_batches[0].schema.equals(own._memtable._insert_batches[0].schema)
        assert ours._next_seq == own._next_seq
    finally:
        database.drop_collection(own.name)
        database.drop_collection(ours.name)


def test_what_is_inserted_outlives_the_server_and_is_found(tmp_path: Path) -> None:
    vectors = np.random.default_rng(0).standard_normal((50, DIM)).astype(np.float32)
    ids = [f"{n:024x}" for n in range(50)]
    folder = str(tmp_path / "data")
    opened = Database(folder)
    collection = make(opened)
    name = collection.name
    OURS(MilvusServicer(opened), request(collection, ids, vectors), None)
    opened.close()
    again = Database(folder)
    try:
        collection = again.get_collection(name)
        collection.load()
        found = collection.query(None, ["pk", "vector", "sample_id"])
        assert [one["pk"] for one in found] == ids == [one["sample_id"] for one in found]
        np.testing.assert_array_equal(np.array([one["vector"] for one in found], np.float32), vectors)
    finally:
        again.close()


def _short(made: Any) -> None:
    made.fields_data[2].vectors.float_vector.data.pop()


def _other_dim(made: Any) -> None:
    made.fields_data[2].vectors.dim = DIM + 1


def _long_text(made: Any) -> None:
    made.fields_data[0].scalars.string_data.data[0] = "x" * 65


def _missing(made: Any) -> None:
    del made.fields_data[1]


def _unknown_field(made: Any) -> None:
    made.fields_data.add(field_name="more", type=schema_pb2.VarChar).scalars.string_data.data.extend("ab")


def _no_partition(made: Any) -> None:
    made.partition_name = "none"


def _no_collection(made: Any) -> None:
    made.collection_name = "none"


def _nulls(made: Any) -> None:
    made.fields_data[0].valid_data.extend([True, False])
    made.fields_data[0].scalars.string_data.data.pop()


def _nothing(made: Any) -> None:
    made.num_rows = 0
    made.fields_data[0].scalars.string_data.data.clear()


@pytest.mark.parametrize(
    "spoil",
    [
        _short,
        _other_dim,
        _long_text,
        _missing,
        _unknown_field,
        _no_partition,
        _no_collection,
        _nulls,
        _nothing,
    ],
)
def test_what_is_wrong_is_refused_as_milvus_lite_does(
    database: Database, spoil: Callable[[Any], None]
) -> None:
    servicer, collection = MilvusServicer(database), make(database)
    wrong = request(collection, ["a", "b"], np.ones((2, DIM)))
    spoil(wrong)
    own, ours = OWN(servicer, wrong, None), OURS(servicer, wrong, None)
    assert own == ours and not collection._memtable._pk_index
    assert ours.status.code != 0 or spoil is _nothing


def test_whatever_is_not_plain_is_left_to_milvus_lite(database: Database) -> None:
    number = FieldSchema("n", DataType.INT64, nullable=True)
    for collection in (make(database, number), make(database, enable_dynamic_field=True)):
        made = request(collection, ["a"], np.ones((1, DIM)))
        with pytest.raises(NotPlain):
            lite_inserts._columns(collection, made)
        assert OURS(MilvusServicer(database), made, None).insert_cnt == 1
        assert list(collection._memtable._pk_index) == ["a"]


def test_ids_that_were_deleted_or_are_newer_are_remembered_as_milvus_lite_does(database: Database) -> None:
    ours = lite_inserts._remember_or_own(MemTable.apply_insert)
    source, tables = make(database), []
    columns: list[Any] = [["a", "b", "a"], np.ones((3, DIM), np.float32), ["a", "b", "a"]]

    def batch(first: int) -> Any:
        schema = source._wal_data_schema
        return lite_inserts.record_batch(schema, first, "_default", ["pk", "vector", "sample_id"], columns)

    for insert in (MemTable.apply_insert, ours):
        table = MemTable(source.schema)
        insert(table, batch(10))
        insert(table, batch(2))  # older than what is there
        insert(table, batch(20))
        table.apply_delete(source._build_wal_delta_batch(["b"], "_default", 30))
        insert(table, batch(25))
        insert(table, batch(40))
        tables.append((table._pk_index, table._delete_index, table._insert_bytes, table._delete_bytes))
    assert tables[0] == tables[1] and tables[0][0]["a"][2] == 42


def test_numbers_are_read_from_the_message_at_any_length() -> None:
    for count in (1, 31, 32, 4_095, 4_096, 600_000):
        numbers = np.arange(count, dtype=np.float32)
        read = lite_inserts.floats(schema_pb2.FloatArray(data=numbers.tolist()))
        np.testing.assert_array_equal(read, numbers)
        assert read.flags.aligned and read.dtype == np.float32
    with pytest.raises(NotPlain):
        lite_inserts.floats(schema_pb2.FloatArray())


def test_columns_take_a_fraction_of_the_time_also_in_our_servers(
    database: Database, milvus_lite: MilvusLite
) -> None:
    count, dim = 4_000, 512
    ids = [f"{n:024x}" for n in range(count)]
    vectors = np.random.default_rng(0).standard_normal((count, dim)).astype(np.float32)
    collection = make(database, dim=dim)
    made = request(collection, ids, vectors)
    own = _spent(lambda: OWN(MilvusServicer(database), made, None))
    assert own > 4 * _spent(lambda: OURS(MilvusServicer(database), made, None))

    milvus, name = Milvus.connect(milvus_lite.client_kwargs(), 5.0), f"t_{uuid.uuid4().hex[:12]}"
    milvus.create(name, dim=dim, metric="cosine", consistency_level="Session", properties={})
    rounds = []
    try:
        for _ in range(5):
            before = milvus_lite.processor_seconds()
            milvus.upsert(name, ids, ids, vectors)
            rounds.append(milvus_lite.processor_seconds() - before)
    finally:
        milvus.drop(name)
        milvus.close()
    # It also receives them and flushes, and may have something else to do in one of the rounds.
    assert own > 2 * statistics.median(rounds)


def _spent(work: Callable[[], object]) -> float:
    began = time.thread_time()
    work()
    return time.thread_time() - began

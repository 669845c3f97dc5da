"""What milvus_lite inserts number by number, inserted by column, in the servers of our own.

It makes a list of Python numbers of every vector that it is sent, looks at each of them, and makes the
columns that it writes of the lists again: 512 numbers a vector, most of the time that an upload takes. Here
the bytes of the message become the column. Where anything is not as plain as in our collections and stock
FiftyOne's, or is wrong, nothing was written yet and its own code answers.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from tui.core.services.lite_columns import NotPlain, replace

if TYPE_CHECKING:
    from numpy.typing import NDArray

_log = logging.getLogger(__name__)
_VARCHAR, _FLOAT_VECTOR = 21, 101
# The first field of a message, packed: https://protobuf.dev/programming-guides/encoding/#packed
_PACKED = 0x0A


def apply() -> None:
    """Take the place of some of milvus_lite's functions, in this process."""
    from milvus_lite.adapter.grpc.servicer import MilvusServicer
    from milvus_lite.storage.memtable import MemTable

    replace(MilvusServicer, "Insert", _or_own)
    replace(MemTable, "apply_insert", _remember_or_own)


def _or_own(own: Callable[..., Any]) -> Callable[..., Any]:
    def insert(servicer: Any, request: Any, context: Any) -> Any:
        try:
            collection = servicer._get_collection(request, context)
            names, columns = _columns(collection, request)
            partition = request.partition_name or "_default"
            if not collection._manifest.has_partition(partition):
                raise NotPlain
        except Exception:
            # Also when something is wrong with the request: its own code says what.
            return own(servicer, request, context)
        return _answer(servicer, collection, partition, names, columns)

    return insert


def _answer(servicer: Any, collection: Any, partition: str, names: list[str], columns: list[Any]) -> Any:
    from milvus_lite.adapter.grpc.errors import success_status_kwargs, to_status_kwargs
    from milvus_lite.exceptions import MilvusLiteError
    from pymilvus.grpc_gen import common_pb2, milvus_pb2

    ids = columns[names.index(collection._pk_name)]
    try:
        write(collection, partition, names, columns)
    except MilvusLiteError as error:
        return milvus_pb2.MutationResult(status=common_pb2.Status(**to_status_kwargs(error)))
    except Exception as error:
        _log.exception("insert")
        status = common_pb2.Status(code=common_pb2.ErrorCode.UnexpectedError, reason=str(error))
        return milvus_pb2.MutationResult(status=status)
    return milvus_pb2.MutationResult(
        status=common_pb2.Status(**success_status_kwargs()),
        IDs=servicer._build_ids_proto(ids, collection),
        insert_cnt=len(ids),
        succ_index=range(len(ids)),
    )


def _columns(collection: Any, request: Any) -> tuple[list[str], list[Any]]:
    """The fields of a request in the order of the schema: texts as lists, vectors as arrays (n, dim)."""
    if (
        collection._auto_id
        or collection._ingestion_chain
        or collection._bm25_analyzers
        or collection._partition_key_field is not None
        or collection.schema.enable_dynamic_field
    ):
        raise NotPlain
    given = {field.field_name: field for field in request.fields_data}
    fields = collection.schema.fields
    if len(given) != len(request.fields_data) or given.keys() != {field.name for field in fields}:
        raise NotPlain
    return [field.name for field in fields], [_column(given[f.name], f, request.num_rows) for f in fields]


def _column(data: Any, field: Any, count: int) -> Any:
    from milvus_lite.schema.types import DataType

    odd = field.nullable or field.default_value is not None or field.is_function_output
    if odd or data.is_dynamic or len(data.valid_data) or not count:
        raise NotPlain
    if field.dtype == DataType.VARCHAR and data.type == _VARCHAR:
        texts = list(data.scalars.string_data.data)
        if len(texts) != count or max(map(len, texts)) > (field.max_length or 0):
            raise NotPlain
        return texts
    if field.dtype == DataType.FLOAT_VECTOR and data.type == _FLOAT_VECTOR and data.vectors.dim == field.dim:
        return floats(data.vectors.float_vector).reshape(count, field.dim)
    raise NotPlain


def floats(array: Any) -> NDArray[np.float32]:
    """The numbers of a ``FloatArray`` message; asked for one by one they would become Python's."""
    written = array.SerializeToString()
    if not written or written[0] != _PACKED:
        raise NotPlain
    # The length follows, seven bits a byte, the lowest first; the last byte of it is below 128.
    size = at = 0
    while True:
        at += 1
        size |= (written[at] & 0x7F) << 7 * (at - 1)
        if written[at] < 0x80:
            break
    if len(written) != at + 1 + size:
        raise NotPlain
    # Copied, as they begin at any byte of the message, and Arrow wants numbers where a processor reads them.
    return np.frombuffer(written, dtype="<f4", offset=at + 1).astype(np.float32)


def write(collection: Any, partition: str, names: list[str], columns: list[Any]) -> None:
    """Do what ``Collection.insert`` does once the rows are known to be right."""
    from milvus_lite.engine.operation import InsertOp

    count = len(columns[0])
    first = collection._next_seq
    collection._next_seq += count
    batch = record_batch(collection._wal_data_schema, first, partition, names, columns)
    collection._apply(InsertOp(partition=partition, batch=batch))
    if collection._should_flush():
        collection._trigger_flush()


def record_batch(schema: Any, first: int, partition: str, names: list[str], columns: list[Any]) -> Any:
    """Answer what ``Collection._build_wal_data_batch`` does.

    Args:
        first: the number of the first row's write.
        columns: lists of texts and arrays of shape (n, dim), one for each of ``names``.
    """
    import pyarrow

    count = len(columns[0])
    made = {
        "_seq": pyarrow.array(np.arange(first, first + count, dtype=np.uint64)),
        "_partition": pyarrow.array([partition] * count, pyarrow.string()),
    }
    for name, column in zip(names, columns, strict=True):
        if isinstance(column, np.ndarray):
            kind = schema.field(name).type
            made[name] = pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(column.reshape(-1)), type=kind)
        else:
            made[name] = pyarrow.array(column, pyarrow.string())
    return pyarrow.RecordBatch.from_arrays([made[field.name] for field in schema], schema=schema)


def _remember_or_own(own: Callable[..., Any]) -> Callable[..., Any]:
    def apply_insert(memtable: Any, batch: Any) -> None:
        with memtable._lock:
            if batch.num_rows and not memtable._delete_index and _remember(memtable, batch):
                return
            own(memtable, batch)

    return apply_insert


def _remember(memtable: Any, batch: Any) -> bool:
    """Do what ``MemTable.apply_insert`` does where nothing was deleted; False where a row is outdated."""
    memtable._validate_insert_schema(batch)
    known, at = memtable._pk_index, len(memtable._insert_batches)
    rows = list(zip(batch[memtable._pk_name].to_pylist(), batch["_seq"].to_pylist(), strict=True))
    if any(known[pk][2] >= number for pk, number in rows if pk in known):
        return False
    for row, (pk, number) in enumerate(rows):
        known[pk] = (at, row, number)
    memtable._insert_batches.append(batch)
    memtable._insert_bytes += batch.get_total_buffer_size()
    return True

"""The fast way in: one message per batch, its vectors copied once, as bytes.

pymilvus' public calls turn every float into a Python object on its way into the message; here the array's own
bytes become the field. That leans on a few of pymilvus' private names, all of them in this file; where one is
missing, the public row call takes over.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# Measured: larger batches gain nothing on a server, and Milvus Lite slows down beyond a thousand rows.
SERVER_BATCH = (10 << 20, 5_000)
LITE_BATCH = (4 << 20, 1_000)


def rows_per_batch(dim: int, *, is_lite: bool) -> int:
    """Answer how many vectors of ``dim`` float32 make one good request."""
    size, rows = LITE_BATCH if is_lite else SERVER_BATCH
    return max(1, min(rows, size // (4 * dim)))


def send(
    client: Any,
    name: str,
    ids: Sequence[str],
    sample_ids: Sequence[str],
    vectors: NDArray[np.float32],
    *,
    is_lite: bool,
    timeout: float,
) -> None:
    """Write one batch so that each id is in the collection once, with this vector.

    Raises:
        Exception: whatever pymilvus or gRPC raises; the caller translates.
    """
    try:
        call = _prepare(client, name, ids, sample_ids, vectors, is_lite)
    except (AttributeError, ImportError, TypeError, KeyError):
        send_rows(client, name, ids, sample_ids, vectors, timeout=timeout)
        return
    call(timeout)


def send_rows(
    client: Any,
    name: str,
    ids: Sequence[str],
    sample_ids: Sequence[str],
    vectors: NDArray[np.float32],
    *,
    timeout: float,
) -> None:
    """Write one batch through pymilvus' public row call: slower, and it needs no private name."""
    rows = [
        {"pk": pk, "vector": vector, "sample_id": sample_id}
        for pk, sample_id, vector in zip(ids, sample_ids, vectors, strict=True)
    ]
    client.upsert(name, rows, timeout=timeout)


def _prepare(
    client: Any,
    name: str,
    ids: Sequence[str],
    sample_ids: Sequence[str],
    vectors: NDArray[np.float32],
    is_lite: bool,
) -> Any:
    """Build the request and find the handler's call for it, before anything is sent."""
    from pymilvus.grpc_gen import milvus_pb2

    handler = client._get_connection()
    context = client._generate_call_context()
    # Milvus Lite replaces what has the same pk when it inserts, and its upsert reads every old row first.
    kind, call, argument = (
        (milvus_pb2.InsertRequest, handler.batch_insert, "insert_param")
        if is_lite
        else (milvus_pb2.UpsertRequest, handler.upsert, "upsert_param")
    )
    request = kind(
        collection_name=name,
        num_rows=len(ids),
        fields_data=[_strings("pk", ids), _floats("vector", vectors), _strings("sample_id", sample_ids)],
    )

    def run(timeout: float) -> None:
        # A schema that is not empty keeps the handler from asking the server for it on every batch.
        call(name, [], timeout=timeout, context=context, schema={"fields": []}, **{argument: request})

    return run


def _strings(name: str, values: Sequence[str]) -> Any:
    from pymilvus.grpc_gen import schema_pb2

    data = schema_pb2.StringArray(data=values)
    scalars = schema_pb2.ScalarField(string_data=data)
    return schema_pb2.FieldData(type=schema_pb2.VarChar, field_name=name, scalars=scalars)


def _floats(name: str, vectors: NDArray[np.float32]) -> Any:
    from pymilvus.grpc_gen import schema_pb2

    body = (vectors if sys.byteorder == "little" else vectors.astype("<f4")).tobytes()
    # Field 1, packed: a protobuf message of floats is this header and the array's bytes.
    data = schema_pb2.FloatArray.FromString(b"\x0a" + _varint(len(body)) + body)
    field = schema_pb2.VectorField(dim=int(vectors.shape[1]), float_vector=data)
    return schema_pb2.FieldData(type=schema_pb2.FloatVector, field_name=name, vectors=field)


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)

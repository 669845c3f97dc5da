"""The fast way in: one message per batch, its vectors copied once, as bytes.

pymilvus' public calls turn every float into a Python object on its way into the message; here the array's own
bytes become the field. That leans on a few of pymilvus' private names, all of them in this file; where one is
missing, the public row call takes over.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# Measured: larger ones gain little on a server and cost memory; Milvus Lite is slower beyond a thousand rows.
SERVER_BATCH = (2 << 20, 5_000)
LITE_BATCH = (2 << 20, 1_000)


_LONGEST = 600.0


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
    alive: Callable[[], None],
) -> None:
    """Write one batch so that each id is in the collection once, with this vector.

    A server may be busy for minutes (Milvus Lite compacts before it answers), and sending again meanwhile
    would only add to that: as long as it is ``alive``, the first request is waited for.

    Args:
        timeout: seconds between two questions whether the server is alive.
        alive: raises when it is not.

    Raises:
        Exception: whatever pymilvus or gRPC raises; the caller translates.
    """
    try:
        call = _prepare(client, name, ids, sample_ids, vectors, is_lite)
    except (AttributeError, ImportError, TypeError, KeyError):
        send_rows(client, name, ids, sample_ids, vectors, timeout=max(30.0, timeout))
        return
    _wait(call(), timeout, alive)


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
    request = kind(collection_name=name, num_rows=len(ids))
    _add_strings(request, "pk", ids)
    _add_floats(request, "vector", vectors)
    _add_strings(request, "sample_id", sample_ids)

    # A schema that is not empty keeps the handler from asking the server for it on every batch.
    extra = {"context": context, "schema": {"fields": []}, argument: request}
    return partial(call, name, [], timeout=_LONGEST, _async=True, **extra)


def _wait(future: Any, timeout: float, alive: Callable[[], None]) -> None:
    """Wait for a request's answer, and no longer than the server lives."""
    from grpc import FutureTimeoutError, RpcError

    # pymilvus' own future waits without a limit whatever it is told; gRPC's inside it knows a timeout.
    inner = getattr(future, "_future", None)
    while inner is not None:
        try:
            inner.result(timeout=timeout)
            break
        except FutureTimeoutError:
            pass
        except RpcError:
            break
        try:
            alive()
        except BaseException:
            future.cancel()
            raise
    future.result()


def _add_strings(request: Any, name: str, values: Sequence[str]) -> None:
    from pymilvus.grpc_gen import schema_pb2

    field = request.fields_data.add(type=schema_pb2.VarChar, field_name=name)
    field.scalars.string_data.data.extend(values)


def _add_floats(request: Any, name: str, vectors: NDArray[np.float32]) -> None:
    """Fill the field where it is, so that the numbers are copied once and not for each enclosing message."""
    from pymilvus.grpc_gen import schema_pb2

    field = request.fields_data.add(type=schema_pb2.FloatVector, field_name=name)
    field.vectors.dim = int(vectors.shape[1])
    rows: Any = vectors if sys.byteorder == "little" else vectors.astype("<f4")
    body = memoryview(rows).cast("B")
    # Field 1, packed: a protobuf message of floats is this header and the array's bytes.
    field.vectors.float_vector.MergeFromString(b"".join((b"\x0a", _varint(len(body)), body)))


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)

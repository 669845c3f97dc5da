"""What milvus_lite does number by number, done by column, in the servers of our own.

Its table of what was written last hands out every vector as a list of Python numbers: to flush it, to search
it, to count it, even to say which index there is. So does a query that wants nothing but ids. With 50,000
vectors of 512 numbers in that table each such question takes seconds and a gigabyte, and writers wait.
Here whole columns are copied, with the same answers; a search without an index still goes row by row. Where
a name is not where it was, or something is not as plain as in our collections, its own code answers.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import wraps
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Who writes comes first: an index is built in what is left of the processors. Most Linux kernels weigh this
# within a session only, and a server is one of its own: beside other programs the index still gets its share.
_NICE = 10

_Place = tuple[int, int]


class NotPlain(Exception):
    """milvus_lite's own code has to answer."""


def apply() -> None:
    """Take the place of some of milvus_lite's functions, in this process."""
    from milvus_lite.engine.collection import Collection
    from milvus_lite.search import bitmap
    from milvus_lite.storage.memtable import MemTable

    replace(bitmap, "build_valid_mask", lambda own: _or_else(own, valid_mask))
    replace(MemTable, "to_search_snapshot", lambda own: _or_else(own, search_snapshot))
    replace(MemTable, "_build_data_table", lambda own: _or_else(own, data_table))
    replace(Collection, "query", lambda own: _or_else(own, query_ids))
    if sys.platform == "linux":
        # Elsewhere a thread has no priority of its own.
        replace(Collection, "_ensure_loaded_segments_indexed", _aside)


def replace(where: Any, name: str, make: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
    """Put what ``make`` makes of a function in its place, if it is there."""
    own = getattr(where, name, None)
    if own is not None:
        setattr(where, name, wraps(own)(make(own)))


def _or_else(own: Callable[..., Any], ours: Callable[..., Any]) -> Callable[..., Any]:
    def answer(*args: Any, **kwargs: Any) -> Any:
        try:
            return ours(*args, **kwargs)
        except (NotPlain, AttributeError, ImportError, LookupError, TypeError, ValueError):
            return own(*args, **kwargs)

    return answer


def valid_mask(
    ids: Sequence[Any],
    numbers: NDArray[np.uint64],
    deleted: Any,
    filter_mask: NDArray[Any] | None = None,
    memtable: Any = None,
) -> NDArray[np.bool_]:
    """Answer what ``build_valid_mask`` does where nothing was deleted or replaced: all that is wanted."""
    late = memtable is not None and memtable.delete_index_snapshot()
    if late or len(deleted) or len(numbers) != len(ids) or len(set(ids)) != len(ids):
        raise NotPlain
    if filter_mask is None:
        return np.ones(len(ids), dtype=bool)
    if len(filter_mask) != len(ids):
        raise NotPlain
    return filter_mask.astype(bool)


def search_snapshot(
    memtable: Any,
    vector_field: str | None,
    partition_names: Sequence[str] | None = None,
    include_table: bool = False,
) -> tuple[list[Any], NDArray[np.uint64], NDArray[np.float32], list[_Place], Any]:
    """Answer what ``MemTable.to_search_snapshot`` does.

    Returns:
        ids, the number of the write that each is from, vectors of shape (n, dim), places, and rows or None.
    """
    if partition_names is not None:
        raise NotPlain
    with memtable._lock:
        # Batches are only ever added, and never changed.
        batches = list(memtable._insert_batches)
        entries = list(memtable._pk_index.items())
    ids = [pk for pk, _ in entries]
    places = [(batch, row) for _, (batch, row, _) in entries]
    numbers = np.fromiter((number for _, (_, _, number) in entries), np.uint64, len(entries))
    vectors = np.zeros((0, 0), dtype=np.float32)
    if vector_field is not None and places:
        vectors = _matrix(_rows(batches, places, [vector_field]).column(0))
    rows = None
    if include_table:
        if places:
            names = [name for name in batches[0].schema.names if name != "_partition"]
            rows = _rows(batches, places, names)
        else:
            rows = memtable._data_schema.empty_table()
    return ids, numbers, vectors, places, rows


def data_table(memtable: Any, places: Sequence[_Place]) -> Any:
    """Answer what ``MemTable._build_data_table`` does: the rows at some places, as they go to disk."""
    import pyarrow

    schema = memtable._data_schema
    rows = _rows(memtable._insert_batches, places, schema.names).combine_chunks()
    return pyarrow.Table.from_arrays(rows.columns, schema=schema)


def query_ids(
    collection: Any,
    expr: str | None = None,
    output_fields: Sequence[str] | None = None,
    partition_names: Sequence[str] | None = None,
    limit: int | None = None,
    offset: int = 0,
    timezone: str | None = None,
    order_by_pk: bool = False,
) -> list[dict[str, Any]]:
    """Answer what ``Collection.query`` does, when ids are all that is wanted."""
    from milvus_lite.search.bitmap import build_valid_mask
    from milvus_lite.search.filter import evaluate_mask
    from milvus_lite.search.indexed_filter import evaluate_segment_filter

    name = collection._pk_name
    if output_fields is None or list(output_fields) != [name] or partition_names:
        raise NotPlain
    collection._require_loaded()
    wanted = collection._compile_filter(expr, timezone=timezone) if expr else None
    plan = collection._indexed_filter_plan(wanted)
    segments, deleted = collection._read_snapshot()
    memtable = collection._memtable
    ids: list[Any] = []
    numbers: list[NDArray[np.uint64]] = []
    masks: list[NDArray[np.bool_]] = []
    for segment in segments:
        if not segment.num_rows:
            continue
        ids += segment.pks
        numbers.append(segment.seqs)
        if wanted is not None:
            masks.append(evaluate_segment_filter(segment, wanted, plan))
    late, late_numbers, _, _, rows = memtable.to_search_snapshot(None, include_table=wanted is not None)
    if late:
        ids += late
        numbers.append(late_numbers)
        if wanted is not None:
            masks.append(evaluate_mask(wanted, rows))
    if not ids:
        return []
    mask = build_valid_mask(
        ids,
        np.concatenate(numbers),
        deleted,
        filter_mask=np.concatenate(masks) if wanted is not None else None,
        memtable=memtable,
    )
    found = [ids[at] for at in np.flatnonzero(mask).tolist()]
    if order_by_pk:
        found.sort()
    return [{name: one} for one in found[offset : None if limit is None else offset + limit]]


def _rows(batches: Sequence[Any], places: Sequence[_Place], names: Sequence[str]) -> Any:
    """Take rows, each the number of its batch and its place in there, in their order."""
    import pyarrow

    table = pyarrow.Table.from_batches(batches).select(names)
    starts = np.cumsum([0, *(batch.num_rows for batch in batches)])
    where = np.asarray(places, dtype=np.int64).reshape(-1, 2)
    rows = starts[where[:, 0]] + where[:, 1]
    if len(rows) == table.num_rows and bool((rows == np.arange(len(rows))).all()):
        return table
    return table.take(pyarrow.array(rows))


def _matrix(column: Any) -> NDArray[np.float32]:
    """Answer a column of vectors as (n, dim)."""
    if column.null_count:
        raise NotPlain
    whole = column.combine_chunks()
    flat: NDArray[np.float32] = whole.flatten().to_numpy()
    if flat.dtype != np.float32 or len(flat) != len(whole) * whole.type.list_size:
        raise NotPlain
    return flat.reshape(len(whole), whole.type.list_size)


def _aside(own: Callable[..., Any]) -> Callable[..., Any]:
    """Index in a thread of low priority, and wait for it: the one that waits also compacts, under a lock."""

    def index(collection: Any) -> Any:
        answers: list[Any] = []
        errors: list[BaseException] = []

        def work() -> None:
            with suppress(OSError):
                me = os.PRIO_PROCESS, threading.get_native_id()
                os.setpriority(*me, max(_NICE, os.getpriority(*me)))
            try:
                answers.append(own(collection))
            except BaseException as error:
                errors.append(error)

        thread = threading.Thread(target=work, name="index", daemon=True)
        thread.start()
        thread.join()
        if errors:
            raise errors[0]
        return answers[0]

    return index

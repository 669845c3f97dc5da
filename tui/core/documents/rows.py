"""Ids as raw bytes straight from the database, so that a million cost neither objects nor memory."""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from pymongo.errors import AutoReconnect, CursorNotFound, PyMongoError

from tui.core.documents.mongo import guarded
from tui.core.errors import KitescopeError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tui.core.documents.schema import Record
    from tui.core.documents.selection import Selection
    from tui.core.documents.views import Stage
    from tui.core.workspace import Workspace

_TRIES = 5
# One row is the BSON document {"i": ObjectId, "s": ObjectId}: length, two of (type, name, 12 bytes), end.
_ROW = 4 + 2 * (3 + 12) + 1
_ID, _SAMPLE = slice(7, 19), slice(22, 34)


def id_rows(
    ws: Workspace, selection: Selection, size: int
) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.uint8]]]:
    """Batches of (ids, sample ids) of a selection in dataset order, each (n, 12) bytes.

    A cursor that the database gave up on is opened again one row back, and that row must still be there.

    Raises:
        KitescopeError: it is not: the dataset changed.
        EngineUnreachable: the database stayed away.
    """
    done, tail, failures = 0, b"", 0
    while True:
        again = done > 0
        try:
            for batch in _open(ws, selection, max(done - 1, 0), size):
                rows = np.frombuffer(batch, np.uint8).reshape(-1, _ROW)
                if again and len(rows):
                    if rows[0].tobytes() != tail:
                        raise _moved(selection.record)
                    rows, again = rows[1:], False
                if len(rows):
                    done, tail, failures = done + len(rows), rows[-1].tobytes(), 0
                    yield rows[:, _ID], rows[:, _SAMPLE]
            if again:
                raise _moved(selection.record)
            return
        except (CursorNotFound, AutoReconnect):
            failures += 1
            if failures >= _TRIES:
                with guarded():
                    raise
        except PyMongoError:
            with guarded():
                raise


def _open(ws: Workspace, selection: Selection, skip: int, size: int) -> Iterator[bytes]:
    stages: list[Stage] = selection.rows()
    stages.append({"$project": {"_id": 0, "i": f"${selection.id_path}", "s": "$_id"}})
    if selection.patches is not None:
        # The rows are cut by position, so a label without an id must not be among them. Samples have one,
        # and asking about it would make Mongo answer in the order of ids, which is not the dataset's.
        stages.append({"$match": {"i": {"$type": "objectId"}}})
    if skip:
        stages.append({"$skip": skip})
    collection = ws.database()[selection.collection]
    with collection.aggregate_raw_batches(stages, batchSize=size, allowDiskUse=True) as cursor:
        yield from cursor


def _moved(record: Record) -> KitescopeError:
    return KitescopeError(
        f"Samples of dataset {record.name!r} were deleted while it was being read",
        "Start again: what is done is kept",
    )


def decode_vector(value: Any) -> NDArray[np.float32]:
    """A vector as FiftyOne stores it: compressed ``numpy.save`` bytes, or a list of numbers."""
    if isinstance(value, bytes):
        value = np.load(io.BytesIO(zlib.decompress(value)), allow_pickle=False)
    return np.asarray(value, np.float32).reshape(-1)

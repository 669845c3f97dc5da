"""Collections of Milvus Lite that are dropped while their index is built, in the servers of our own.

milvus_lite drops a collection when its index is complete, which takes minutes on a busy machine; by then the
client has given up. Here an index is built in steps, and the steps of one that nobody wants any more end.
Its files go when nothing writes to them any longer: an index that came late would be taken for that of the
next collection of the same name.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np

from tui.core.services.lite_columns import replace

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Some tenths of a second of work; as one step it would be a tenth faster, and the index no better.
_STEP = 1_000

_building = threading.local()


class Dropped(Exception):
    """The collection whose index is built was dropped."""


def apply() -> None:
    """Take the place of some of milvus_lite's functions, in this process."""
    from milvus_lite.db import MilvusLite
    from milvus_lite.engine.collection import Collection

    replace(MilvusLite, "drop_collection", without_waiting)
    replace(Collection, "_build_or_load_segment_index", known_to_its_steps)
    replace(Collection, "_ensure_loaded_segments_indexed", unless_dropped)
    with suppress(ImportError):
        # Without faiss there is nothing to build.
        from milvus_lite.index.faiss_hnsw import FaissHnswIndex

        replace(FaissHnswIndex, "build", in_steps)


def without_waiting(own: Callable[..., None]) -> Callable[..., None]:
    """``MilvusLite.drop_collection`` for a collection whose index may be under construction."""

    def drop_collection(database: Any, name: str, database_name: str = "default") -> None:
        collection = None
        # What is wrong with the names is said by milvus_lite.
        with suppress(Exception):
            where = database._require_database(database_name)
            key = where, database.resolve_collection_name(name, database_name=where)
            collection = database._collections.get(key)
        if collection is not None:
            with suppress(AttributeError):
                _give_up(collection)
        own(database, name, database_name)

    return drop_collection


def _give_up(collection: Any) -> None:
    """Have everything that is done in the background for a collection end, and wait for that."""
    collection._kitescope_dropped = True
    # What is flushed from now on is neither compacted nor indexed.
    collection._bg_closed = True
    collection._bg_executor.shutdown(wait=True, cancel_futures=True)
    with collection._maintenance_lock:
        # Who loads a collection builds its index under the lock.
        return


def _heed(collection: Any) -> None:
    if getattr(collection, "_kitescope_dropped", False):
        raise Dropped("The collection was dropped")


def known_to_its_steps(own: Callable[..., None]) -> Callable[..., None]:
    """``Collection._build_or_load_segment_index``, whose steps know for which collection they are."""

    def build(collection: Any, *args: Any, **kwargs: Any) -> None:
        _heed(collection)
        _building.collection = collection
        try:
            own(collection, *args, **kwargs)
        finally:
            _building.collection = None

    return build


def unless_dropped(own: Callable[..., int]) -> Callable[..., int]:
    """``Collection._ensure_loaded_segments_indexed``, where being dropped is no failure."""

    def index(collection: Any) -> int:
        try:
            return own(collection)
        except Dropped:
            return 0

    return index


def in_steps(own: Callable[..., Any]) -> Callable[..., Any]:
    """``FaissHnswIndex.build`` of vectors of shape (n, dim): the same index, vector by vector."""

    def build(vectors: NDArray[Any], metric: str, params: Mapping[str, Any] | None = None) -> Any:
        try:
            from milvus_lite.index.faiss_hnsw import _l2_normalize

            index = own(vectors[:0], metric, params)
            add = index._index.add
        except (AttributeError, ImportError):
            # Something is not where it was.
            return own(vectors, metric, params)
        rows = np.asarray(vectors, dtype=np.float32)
        if metric == "COSINE":
            rows = _l2_normalize(rows)
        rows = np.ascontiguousarray(rows, dtype=np.float32)
        for start in range(0, len(rows), _STEP):
            _heed(getattr(_building, "collection", None))
            add(rows[start : start + _STEP])
        index.num_vectors = len(rows)
        return index

    return build

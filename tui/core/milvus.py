"""One Milvus server, by ``MilvusClient`` only: its collections, their vectors, and searching them.

Collections have exactly stock FiftyOne's schema (``pk``, ``vector``, ``sample_id``), so each side reads the
other's. Every call is bounded by a timeout and fails with an error of ``tui.core.errors``. What differs
between Milvus Lite and a server is decided by ``is_lite``, here, in ``index_types`` and in ``milvus_upload``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from tui.core.client import link as milvus_link
from tui.core.client import upload as milvus_upload
from tui.core.client.index_types import (
    HIGHER_IS_CLOSER,
    MAX_K,
    METRICS,
    MILVUS_METRIC,
    IndexSpec,
    Metric,
    search_params,
)
from tui.core.client.server import CollectionInfo, Server
from tui.core.errors import InvalidInput

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = [
    "HIGHER_IS_CLOSER",
    "METRICS",
    "CollectionInfo",
    "IndexSpec",
    "Metric",
    "Milvus",
    "Neighbour",
    "id_filter",
]

_PAGE = 16_384
# Milvus Lite reads the whole collection for every page, so its pages are as large as memory should allow.
_LITE_PAGE = 131_072
_FETCH_BYTES = 16 << 20
# Milvus Lite makes each answer one by one, and on a busy machine more would not be there in time.
_ANSWERS, _LITE_ANSWERS = 200_000, 20_000


@dataclass(frozen=True, slots=True)
class Neighbour:
    """One result of a search; ``score`` as Milvus counts it (``HIGHER_IS_CLOSER`` says which way)."""

    id: str
    sample_id: str
    score: float


def id_filter(ids: Sequence[str]) -> str:
    """Answer the Milvus expression that selects these ids, whatever characters they hold."""
    return f"pk in [{','.join(json.dumps(one, ensure_ascii=False) for one in ids)}]"


class Milvus(Server):
    """A connection to one database of one Milvus server. Its methods may be called from several threads."""

    def upsert(
        self, name: str, ids: Sequence[str], sample_ids: Sequence[str], vectors: NDArray[np.float32]
    ) -> None:
        """Write vectors, of shape (n, dim), so that each id is there once, whatever was there before.

        Raises:
            InvalidInput: the shapes do not fit, or a number is NaN or infinite.
        """
        import numpy as np

        array = np.ascontiguousarray(vectors, dtype=np.float32)
        if array.ndim != 2 or not len(ids) == len(sample_ids) == len(array):
            raise InvalidInput(f"{len(ids)} ids do not fit vectors of shape {array.shape}")
        if not np.isfinite(array).all():
            raise InvalidInput("A vector holds NaN or infinite numbers", "Leave it out")
        if len(set(ids)) != len(ids):
            # A server removes what it had of an id, and then keeps every row that the request holds.
            last = {one: at for at, one in enumerate(ids)}
            ids, sample_ids = list(last), [sample_ids[at] for at in last.values()]
            array = array[list(last.values())]
        if not len(ids):
            return
        with milvus_link.translated(self.address, name):
            milvus_upload.send(
                self._client,
                name,
                ids,
                sample_ids,
                array,
                is_lite=self.is_lite,
                timeout=self._timeout,
                alive=self.ping,
            )

    def delete(self, name: str, ids: Sequence[str]) -> None:
        """Remove these ids, however often each is there; unknown ones do not matter."""
        with milvus_link.translated(self.address, name):
            for start in range(0, len(ids), _PAGE):
                self._client.delete(
                    name, filter=id_filter(ids[start : start + _PAGE]), timeout=self._patience
                )

    def id_page(self, name: str, after: str | None) -> list[str]:
        """Answer the next ids behind ``after``, ascending; empty at the end, and only there.

        A page may hold fewer ids than there is room for before the end: duplicates use it up.
        """
        page = _LITE_PAGE if self.is_lite else _PAGE
        # Milvus Lite sorts by pk only for iterators; on a server that flag would undo the strong consistency.
        extra: dict[str, object] = {"iterator": "True"} if self.is_lite else {}
        expression = "" if after is None else f"pk > {json.dumps(after, ensure_ascii=False)}"
        # The first page waits until everything written is visible; the others need not wait for it again.
        level = "Strong" if after is None else "Session"
        rows = self._query(name, expression, ["pk"], level, limit=page, **extra)
        return [row["pk"] for row in rows]

    def ids(self, name: str) -> Iterator[list[str]]:
        """Yield every id of a collection in ascending pages, seen with strong consistency."""
        page = self.id_page(name, None)
        while page:
            yield page
            page = self.id_page(name, max(page))

    def vectors(
        self, name: str, ids: Sequence[str], *, strong: bool = True
    ) -> tuple[list[str], NDArray[np.float32]]:
        """Answer the vectors of these ids in their order, of shape (n, dim); missing ids are left out.

        Args:
            strong: see what any client wrote up to now, for which a server takes some 200 ms.
        """
        kept, _, found = self.rows(name, ids, strong=strong)
        return kept, found

    def rows(
        self, name: str, ids: Sequence[str], *, strong: bool = True
    ) -> tuple[list[str], list[str], NDArray[np.float32]]:
        """Answer ids, sample ids and vectors, (n, dim), in the order asked for; missing ids are left out."""
        import numpy as np

        level = "Strong" if strong else "Session"

        found: dict[str, tuple[str, NDArray[np.float32]]] = {}
        dim = self._dim(name)
        step = max(1, min(4_096, _FETCH_BYTES // (4 * max(1, dim))))
        for start in range(0, len(ids), step):
            wanted = list(ids[start : start + step])
            answered = True
            # A server that holds some of them twice leaves others out: ask again for these.
            while wanted and answered:
                rows = self._query(
                    name, id_filter(wanted), ["pk", "sample_id", "vector"], level, strict_float32=True
                )
                for row in rows:
                    found[row["pk"]] = row["sample_id"], np.asarray(row["vector"], dtype=np.float32)
                answered = bool(rows)
                wanted = [one for one in wanted if one not in found]
        kept = [one for one in ids if one in found]
        vectors = [found[one][1] for one in kept]
        stacked = np.stack(vectors) if vectors else np.empty((0, dim), dtype=np.float32)
        return kept, [found[one][0] for one in kept], stacked

    def search(
        self,
        name: str,
        vectors: NDArray[np.float32],
        k: int,
        *,
        metric: Metric,
        filter: str = "",
        ef: int | None = None,
        best: int | None = None,
        sample_ids: bool = True,
    ) -> list[list[Neighbour]]:
        """Answer the ``k`` nearest of each query vector, best first.

        Args:
            vectors: queries, of shape (n, dim).
            k: 1 to 16,384.
            filter: a Milvus expression, such as ``id_filter`` makes.
            ef: how hard to look; None is enough for a recall of 0.99 with our index.
            best: how many of the ``k`` have to be the right ones, if not all.
            sample_ids: False where they are the ids themselves, which need not be sent twice then.

        Raises:
            InvalidInput: k is out of range, or the query's dimension is not the collection's.
        """
        import numpy as np

        if not 1 <= k <= MAX_K:
            raise InvalidInput(f"Milvus answers 1 to {MAX_K} results, not {k}")
        queries = np.atleast_2d(np.ascontiguousarray(vectors, dtype=np.float32))
        if queries.shape[1] != (dim := self._dim(name)):
            raise InvalidInput(f"The query has {queries.shape[1]} numbers, the vectors of {name} have {dim}")
        fields = ["sample_id"] if sample_ids else ["pk"]

        def ask(part: list[Any]) -> list[list[Neighbour]]:
            index_type, params = self._index_of(name)
            answers = self._client.search(
                name,
                part,
                filter=filter,
                limit=k,
                anns_field="vector",
                output_fields=fields,
                search_params={
                    "metric_type": MILVUS_METRIC[metric],
                    "params": search_params(index_type, k, ef, params, best),
                },
                timeout=self._patience,
            )
            return [_neighbours(hits, sample_ids) for hits in answers]

        step = max(1, (_LITE_ANSWERS if self.is_lite else _ANSWERS) // k)
        found: list[list[Neighbour]] = []
        for start in range(0, len(queries), step):
            found += self._loaded(name, partial(ask, list(queries[start : start + step])))
        return found


def _neighbours(hits: Any, sample_ids: bool) -> list[Neighbour]:
    if not sample_ids:
        return [Neighbour(id, id, score) for id, score in zip(hits.ids, hits.distances, strict=True)]
    return [Neighbour(hit.id, str(hit["entity"].get("sample_id", "")), hit.distance) for hit in hits]

"""What an index can be: metrics, index types, their parameters, and how hard a search should look."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

from tui.core.errors import InvalidInput

Metric = Literal["cosine", "dotproduct", "euclidean"]
METRICS: tuple[Metric, ...] = get_args(Metric)
HIGHER_IS_CLOSER: Mapping[Metric, bool] = {"cosine": True, "dotproduct": True, "euclidean": False}
CONSISTENCY_LEVELS = ("Session", "Strong", "Bounded", "Eventually")
MAX_K = 16_384
MAX_DIM = 32_768

MILVUS_METRIC: Mapping[str, str] = {"cosine": "COSINE", "dotproduct": "IP", "euclidean": "L2"}
OUR_METRIC: Mapping[str, Metric] = {"COSINE": "cosine", "IP": "dotproduct", "L2": "euclidean"}

# Milvus Lite accepts any name when it creates an index and fails when it next loads the collection.
LITE_TYPES = ("FLAT", "IVF_FLAT", "IVF_SQ8", "HNSW", "HNSW_SQ", "AUTOINDEX")
# Higher than stock's M=8 efConstruction=64: recall@10 of 1.00 instead of 0.91 for a build 1.3 times as long.
HNSW_DEFAULT: Mapping[str, int | float | str] = {"M": 16, "efConstruction": 100}
_NUMBERS = ("M", "efConstruction", "nlist", "m", "nbits")


@dataclass(frozen=True)
class IndexSpec:
    """An index to build. Without ``params``, HNSW gets defaults that find what is there."""

    type: str = "HNSW"
    params: Mapping[str, int | float | str] = field(default_factory=dict)

    def complete(self) -> IndexSpec:
        """Answer the spec with its defaults filled in and its type in Milvus' spelling."""
        kind = self.type.upper()
        params = dict(self.params)
        if kind.startswith("HNSW"):
            params = {**HNSW_DEFAULT, **params}
        elif kind.startswith("IVF") or kind == "SCANN":
            params = {"nlist": 1024, **params}
        return IndexSpec(kind, params)


def check_index(spec: IndexSpec, *, is_lite: bool) -> None:
    """Refuse what the engine would only refuse later.

    Raises:
        InvalidInput: the type is not known to Milvus Lite, or a number is none.
    """
    if is_lite and spec.type.upper() not in LITE_TYPES:
        raise InvalidInput(
            f"Milvus Lite has no index type {spec.type}", f"Use one of {', '.join(LITE_TYPES)}"
        )
    for name in _NUMBERS:
        value = spec.params.get(name)
        if value is not None and not (str(value).isdigit() and int(value) > 0):
            raise InvalidInput(f"Index parameter {name} must be a positive whole number, not {value}")


def search_params(
    index_type: str, k: int, ef: int | None, params: Mapping[str, object], best: int | None = None
) -> dict[str, int]:
    """Answer Milvus' search parameters for ``k`` results.

    Args:
        best: how many of them have to be the right ones, if not all.
        ef: how many candidates to look at; at least ``k`` are. None chooses a number that finds 99% of the
            ten nearest with our default index, and more for a sparser graph, such as stock FiftyOne's.
        params: the index' build parameters, as far as the server tells them.
    """
    kind = index_type.upper()
    if kind.startswith("HNSW"):
        return {"ef": min(32_768, max(k, ef if ef is not None else _default_ef(k, best or k, params)))}
    if kind.startswith(("IVF", "GPU_IVF")) or kind == "SCANN":
        nlist = _number(params.get("nlist"), 1024)
        return {"nprobe": max(1, min(nlist, ef if ef is not None else max(32, nlist // 16)))}
    if kind == "DISKANN":
        return {"search_list": max(k, ef if ef is not None else max(64, 2 * k))}
    return {}


def _default_ef(k: int, best: int, params: Mapping[str, object]) -> int:
    dense = _number(params.get("M"), 16) >= 12
    # Measured on 100,000 x 512: 64 finds 0.977 or 0.996 of the ten nearest, as a graph turns out; 128 0.9997.
    return max(128, 2 * best, k + k // 5) if dense else max(384, 4 * best, k + k // 5)


def _number(value: object, otherwise: int) -> int:
    return int(str(value)) if str(value).isdigit() else otherwise

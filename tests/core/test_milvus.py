"""One Milvus server through ``tui.core.milvus``, on both engines."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.engines.servers import MilvusLite, MilvusServer
from tui.core.client import upload as milvus_upload
from tui.core.client.index_types import HIGHER_IS_CLOSER, HNSW_DEFAULT, METRICS, Metric, search_params
from tui.core.errors import InvalidInput, KitescopeError, UnknownName
from tui.core.milvus import IndexSpec, Milvus, id_filter
from tui.core.workspace import Workspace

DIM = 16


def some_ids(count: int, start: int = 0) -> list[str]:
    return [f"{number:024x}" for number in range(start, start + count)]


def some_vectors(count: int, dim: int = DIM, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal((count, dim)).astype(np.float32)


@pytest.fixture
def milvus(milvus_engine: MilvusServer) -> Iterator[Milvus]:
    opened = Milvus.connect(milvus_engine.client_kwargs(), 5.0)
    yield opened
    opened.close()


@pytest.fixture
def name(milvus: Milvus) -> Iterator[str]:
    made = f"t_{uuid.uuid4().hex[:12]}"
    yield made
    milvus.drop(made)


def fill(
    milvus: Milvus, name: str, ids: list[str], vectors: NDArray[np.float32], metric: Metric = "cosine"
) -> None:
    milvus.create(name, dim=vectors.shape[1], metric=metric, consistency_level="Session", properties={})
    milvus.create_index(name, metric, IndexSpec())
    milvus.load(name)
    milvus.upsert(name, ids, ids, vectors)


def test_connecting_says_which_engine_answers(milvus_engine: MilvusServer, milvus: Milvus) -> None:
    assert milvus.is_lite == (type(milvus_engine).__name__ == "MilvusLite")
    assert "2.3.5" in milvus.server_version() or "lite-3" in milvus.server_version()


def test_a_new_collection_has_stocks_schema_and_our_properties(milvus: Milvus, name: str) -> None:
    assert not milvus.exists(name)
    milvus.create(
        name, dim=DIM, metric="cosine", consistency_level="Bounded", properties={"kitescope.x": "ünï"}
    )
    assert milvus.exists(name) and name in milvus.collections()
    info = milvus.describe(name)
    assert (info.dim, info.metric, info.index_type, info.compatible) == (DIM, None, "", True)
    assert info.consistency_level == "Bounded"
    assert info.properties["kitescope.x"] == "ünï"
    milvus.set_properties(name, {"kitescope.state": "ready"})
    assert milvus.describe(name).properties["kitescope.state"] == "ready"
    assert milvus.describe(name).properties["kitescope.x"] == "ünï"


def test_what_is_written_is_counted_listed_and_read_back(milvus: Milvus, name: str) -> None:
    ids, vectors = some_ids(700), some_vectors(700)
    fill(milvus, name, ids, vectors)
    assert milvus.count(name) == 700
    assert [one for page in milvus.ids(name) for one in page] == ids
    found, read = milvus.vectors(name, [ids[9], "not there", ids[3]])
    assert found == [ids[9], ids[3]]
    np.testing.assert_array_equal(read, vectors[[9, 3]])
    info = milvus.describe(name)
    assert (info.vectors, info.metric, info.index_type, info.loaded) == (700, "cosine", "HNSW", True)


def test_upsert_replaces_and_delete_removes(milvus: Milvus, name: str) -> None:
    ids, vectors = some_ids(50), some_vectors(50)
    fill(milvus, name, ids, vectors)
    newer = some_vectors(10, seed=1)
    milvus.upsert(name, ids[:10], ids[:10], newer)
    assert milvus.count(name) == 50
    np.testing.assert_array_equal(milvus.vectors(name, ids[:10])[1], newer)
    milvus.delete(name, [*ids[:5], "unknown"])
    assert milvus.count(name) == 45
    assert [one for page in milvus.ids(name) for one in page] == ids[5:]


@pytest.mark.parametrize("metric", METRICS)
def test_search_agrees_with_exact_search(milvus: Milvus, name: str, metric: Metric) -> None:
    ids, vectors = some_ids(400), some_vectors(400)
    fill(milvus, name, ids, vectors, metric)
    hits = milvus.search(name, vectors[:3], 20, metric=metric)
    assert len(hits) == 3
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    for query, found in enumerate(hits):
        if metric == "euclidean":
            scores = ((vectors - vectors[query]) ** 2).sum(axis=1)
        else:
            scores = unit @ unit[query] if metric == "cosine" else vectors @ vectors[query]
        order = np.argsort(-scores if HIGHER_IS_CLOSER[metric] else scores)[:20]
        assert [hit.id for hit in found] == [ids[row] for row in order]
        assert [hit.sample_id for hit in found] == [hit.id for hit in found]
        np.testing.assert_allclose([hit.score for hit in found], scores[order], rtol=1e-4, atol=1e-4)


def test_search_never_answers_fewer_than_it_could(milvus: Milvus, name: str) -> None:
    ids, vectors = some_ids(1_500), some_vectors(1_500)
    fill(milvus, name, ids, vectors)
    # Milvus Lite cuts the answer short, and a server refuses, when ef is smaller than k.
    assert len(milvus.search(name, vectors[:1], 1_500, metric="cosine", ef=10)[0]) == 1_500
    narrowed = milvus.search(name, vectors[:1], 10, metric="cosine", filter=id_filter(ids[:4]))[0]
    assert {hit.id for hit in narrowed} == set(ids[:4])


def test_ids_may_hold_any_character(milvus: Milvus, name: str) -> None:
    ids = sorted(['we"ird', "back\\slash", "apo's", "line\nbreak", "ünï", "tab\t", "空", " ", "0"])
    vectors = some_vectors(len(ids))
    fill(milvus, name, ids, vectors)
    found, read = milvus.vectors(name, ids[::-1])
    assert found == ids[::-1]
    np.testing.assert_array_equal(read, vectors[::-1])
    assert sorted(one for page in milvus.ids(name) for one in page) == ids
    milvus.delete(name, ids[:-1])
    assert milvus.count(name) == 1


def test_paging_survives_duplicates_on_a_page_boundary(
    milvus: Milvus, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server keeps both rows of an id inserted twice, and lets them use up the room of a page."""
    ids, vectors = some_ids(60), some_vectors(60)
    fill(milvus, name, ids, vectors)
    rows = [{"pk": one, "vector": vectors[0], "sample_id": one} for one in ids[:30]]
    for _ in range(3):
        milvus._client.insert(name, rows, timeout=10)
        milvus.flush(name)
    for page in (3, 16):
        monkeypatch.setattr("tui.core.milvus._PAGE", page)
        monkeypatch.setattr("tui.core.milvus._LITE_PAGE", page)
        assert sorted({one for page in milvus.ids(name) for one in page}) == ids, page
    assert milvus.count(name) == (60 if milvus.is_lite else 150)
    milvus.upsert(name, ids[:30], ids[:30], vectors[:30])
    assert milvus.count(name) == 60


def test_a_released_collection_is_loaded_when_it_is_needed(milvus: Milvus, name: str) -> None:
    ids, vectors = some_ids(20), some_vectors(20)
    fill(milvus, name, ids, vectors)
    milvus.release(name)
    assert not milvus.describe(name).loaded
    assert milvus.search(name, vectors[:1], 1, metric="cosine")[0][0].id == ids[0]
    milvus.release(name)
    assert milvus.count(name) == 20


def test_an_index_can_be_replaced(milvus: Milvus, name: str) -> None:
    ids, vectors = some_ids(40), some_vectors(40)
    fill(milvus, name, ids, vectors, "cosine")
    milvus.drop_index(name)
    assert milvus.describe(name).index_type == ""
    milvus.create_index(name, "euclidean", IndexSpec("IVF_FLAT", {"nlist": 4}))
    milvus.load(name)
    info = milvus.describe(name)
    assert (info.index_type, info.metric, info.vectors) == ("IVF_FLAT", "euclidean", 40)
    assert milvus.search(name, vectors[:1], 3, metric="euclidean")[0][0].id == ids[0]


def test_renaming_keeps_the_vectors(milvus: Milvus, name: str) -> None:
    ids, vectors = some_ids(5), some_vectors(5)
    fill(milvus, f"{name}_old", ids, vectors)
    milvus.rename(f"{name}_old", name)
    assert not milvus.exists(f"{name}_old")
    assert milvus.count(name) == 5


def test_what_cannot_work_is_refused_with_a_reason(milvus: Milvus, name: str) -> None:
    with pytest.raises(UnknownName, match="nope"):
        milvus.describe("nope")
    with pytest.raises(InvalidInput, match="cannot name"):
        milvus.create("1 bad name", dim=3, metric="cosine", consistency_level="Session", properties={})
    with pytest.raises(InvalidInput, match="40000"):
        milvus.create(name, dim=40_000, metric="cosine", consistency_level="Session", properties={})
    milvus.create(name, dim=DIM, metric="cosine", consistency_level="Session", properties={})
    with pytest.raises(KitescopeError, match="BOGUS"):
        milvus.create_index(name, "cosine", IndexSpec("BOGUS"))
    with pytest.raises(InvalidInput, match="efConstruction"):
        milvus.create_index(name, "cosine", IndexSpec("HNSW", {"efConstruction": "many"}))
    milvus.create_index(name, "cosine", IndexSpec())
    milvus.load(name)
    with pytest.raises(InvalidInput, match="20000"):
        milvus.search(name, some_vectors(1), 20_000, metric="cosine")
    with pytest.raises(InvalidInput, match="5 numbers"):
        milvus.search(name, some_vectors(1, 5), 3, metric="cosine")
    bad = some_vectors(3)
    bad[1, 2] = np.nan
    with pytest.raises(InvalidInput, match="NaN"):
        milvus.upsert(name, some_ids(3), some_ids(3), bad)
    with pytest.raises(InvalidInput, match="fit"):
        milvus.upsert(name, some_ids(2), some_ids(3), some_vectors(3))
    with pytest.raises(KitescopeError):
        milvus.upsert(name, some_ids(3), some_ids(3), some_vectors(3, DIM + 1))
    assert milvus.count(name) == 0


def test_without_pymilvus_private_names_the_public_call_writes_the_same(
    milvus: Milvus, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids, vectors = some_ids(30), some_vectors(30)
    used: list[int] = []
    rows = milvus_upload.send_rows

    def count_rows(*args: object, **kwargs: object) -> None:
        used.append(1)
        rows(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(milvus_upload, "send_rows", count_rows)
    fill(milvus, name, ids, vectors)
    assert not used, "the fast path should have been taken"
    monkeypatch.setattr(milvus_upload, "_prepare", _missing)
    newer = some_vectors(30, seed=5)
    milvus.upsert(name, ids, ids, newer)
    assert used
    np.testing.assert_array_equal(milvus.vectors(name, ids)[1], newer)
    assert milvus.count(name) == 30


def _missing(*_args: object) -> None:
    raise AttributeError("pymilvus has changed")


def test_batches_stay_below_the_message_limit() -> None:
    for dim in (1, 16, 512, 4_096, 32_768):
        for is_lite in (True, False):
            rows = milvus_upload.rows_per_batch(dim, is_lite=is_lite)
            assert 1 <= rows <= 5_000
            assert rows == 1 or rows * dim * 4 <= 32 << 20


def test_milvus_lite_is_told_the_parameters_of_an_index(
    milvus_lite: MilvusLite, workspace: Workspace
) -> None:
    lite, name = workspace.milvus(), f"t_{uuid.uuid4().hex[:12]}"

    def told(spec: IndexSpec) -> dict[str, object]:
        lite.create(name, dim=DIM, metric="cosine", consistency_level="Session", properties={})
        lite.create_index(name, "cosine", spec)
        manifest = next(milvus_lite.directory.rglob(f"{name}/manifest.json"))
        params: dict[str, object] = json.loads(manifest.read_text())["index_specs"]["vector"]["build_params"]
        lite.drop(name)
        return params

    assert told(IndexSpec("HNSW", {"M": 24})) == {**HNSW_DEFAULT, "M": 24}
    # It has a default of its own, which its small collections are better off with.
    assert told(IndexSpec("IVF_FLAT")) == {}
    assert told(IndexSpec("IVF_FLAT", {"nlist": 16})) == {"nlist": 16}


@pytest.mark.parametrize("k", [1, 10, 100, 1_000, 16_384])
def test_a_search_looks_at_no_fewer_candidates_than_it_returns(k: int) -> None:
    assert search_params("HNSW", k, None, {})["ef"] >= k
    assert search_params("HNSW", k, 1, {})["ef"] == k
    sparse, dense = ({"M": "8"}, {"M": "16"})
    assert search_params("HNSW", k, None, sparse)["ef"] >= search_params("HNSW", k, None, dense)["ef"]
    assert search_params("IVF_FLAT", k, None, {"nlist": "16"})["nprobe"] <= 16
    assert search_params("FLAT", k, None, {}) == {}

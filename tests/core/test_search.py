"""Searching by every kind of query, checked against exact arithmetic on the same vectors."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.conftest import settings_for
from tests.core.making import Made, all_ids, make_dataset, make_index, vectors
from tests.engines.servers import Mongod
from tests.engines.standalone import MilvusStandalone
from tui.core import runs
from tui.core import search as searching
from tui.core.client.index_types import Metric
from tui.core.datasets import Scope
from tui.core.errors import Interrupted, InvalidInput, KitescopeError, UnknownName
from tui.core.querying import exact
from tui.core.search import Query, SearchResult, search
from tui.core.workspace import Workspace

Name = Callable[[str], str]
Floats = NDArray[np.float32]


def _ids(result: SearchResult) -> list[str]:
    return [hit.id for hit in result.hits]


def _unit(rows: Floats) -> Floats:
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


@pytest.fixture
def indexed(workspace: Workspace, unique_name: Name) -> tuple[str, list[str], Floats]:
    """A dataset of 40 samples with a cosine index ``k``: its name, ids and vectors."""
    dataset = make_dataset(workspace, unique_name("search"), 40)
    rows = vectors(40)
    make_index(workspace, Scope(dataset.name), "k", rows)
    return dataset.name, dataset.values("id"), rows


@pytest.mark.parametrize("metric", ["cosine", "dotproduct", "euclidean"])
def test_scores_and_order_are_those_of_exact_search(
    metric: Metric, engine_workspace: Workspace, unique_name: Name
) -> None:
    ws = engine_workspace
    dataset = make_dataset(ws, unique_name("exact"), 50)
    rows = vectors(50)
    make_index(ws, Scope(dataset.name), "k", rows, metric=metric)
    ids = dataset.values("id")
    exact = {
        "cosine": _unit(rows) @ _unit(rows[9]),
        "dotproduct": rows @ rows[9],
        "euclidean": -((rows - rows[9]) ** 2).sum(axis=1),
    }[metric]
    sign = -1 if metric == "euclidean" else 1
    for least in (False, True):
        result = search(ws, Query(dataset.name, "k", ids=(ids[9],), k=12, least=least))
        order = np.argsort(exact if least else -exact)[:12]
        assert _ids(result) == [ids[i] for i in order]
        assert [hit.score for hit in result.hits] == pytest.approx(list(sign * exact[order]), abs=1e-4)
        assert result.higher_is_closer is (metric != "euclidean")
        assert [hit.rank for hit in result.hits] == list(range(1, 13))


def test_hits_carry_what_the_dataset_says(
    workspace: Workspace, indexed: tuple[str, list[str], Floats]
) -> None:
    name, ids, _ = indexed
    hit = search(workspace, Query(name, "k", ids=(ids[3],), k=1)).hits[0]
    assert (hit.id, hit.sample_id, hit.label, hit.tags) == (ids[3], ids[3], "odd", ("train",))
    assert hit.filepath.endswith("/3.png") and hit.box is None


def test_several_ids_are_averaged_and_negatives_push_away(
    workspace: Workspace, indexed: tuple[str, list[str], Floats]
) -> None:
    name, ids, rows = indexed
    unit = _unit(rows)
    mean = (unit[2] + unit[5] + unit[11]) / 3
    result = search(workspace, Query(name, "k", ids=(ids[2], ids[5], ids[11]), k=10))
    assert _ids(result) == [ids[i] for i in np.argsort(-unit @ mean)[:10]]
    pushed = 2 * mean - unit[7]
    result = search(workspace, Query(name, "k", ids=(ids[2], ids[5], ids[11]), not_ids=(ids[7],), k=10))
    assert _ids(result) == [ids[i] for i in np.argsort(-unit @ pushed)[:10]]
    away = search(workspace, Query(name, "k", not_ids=(ids[7],), k=40))
    assert _ids(away) == [ids[i] for i in np.argsort(unit @ unit[7])]


def test_pages_continue_each_other(workspace: Workspace, indexed: tuple[str, list[str], Floats]) -> None:
    name, ids, _ = indexed
    whole = search(workspace, Query(name, "k", ids=(ids[0],), k=40))
    pages = [search(workspace, Query(name, "k", ids=(ids[0],), k=15, offset=at)) for at in (0, 15, 30)]
    assert [hit for page in pages for hit in page.hits] == list(whole.hits)
    assert len(pages[2].hits) == 10
    assert search(workspace, Query(name, "k", ids=(ids[0],), offset=40)).hits == ()


def test_by_a_file_of_vectors(
    workspace: Workspace, indexed: tuple[str, list[str], Floats], tmp_path: Path
) -> None:
    name, ids, rows = indexed

    def by(array: Any) -> SearchResult:
        np.save(tmp_path / "q.npy", array)
        return search(workspace, Query(name, "k", vector=str(tmp_path / "q.npy"), k=1))

    assert _ids(by(rows[6])) == [ids[6]]
    assert _ids(by(rows[6:7].astype(np.float64))) == [ids[6]]
    for array, says in [
        (rows[0][:5], "vectors of 5 numbers, but index 'k' has 8"),
        (np.full(8, np.nan), "NaN or infinite numbers[.] Save one of"),
        (np.zeros(8), "no direction"),
        (np.stack([rows[0], -rows[0]]), "no direction"),
        (np.array(["a"] * 8), "not numbers"),
        (np.ones((2, 2, 2)), "no vector"),
        (np.ones((0, 8)), "no vector"),
    ]:
        with pytest.raises(InvalidInput, match=says):
            by(array)
    (tmp_path / "q.npy").write_text("junk")
    with pytest.raises(InvalidInput, match="cannot be read") as told:
        search(workspace, Query(name, "k", vector=str(tmp_path / "q.npy")))
    assert "pickle" not in str(told.value), "that is a matter of numpy's, not of a text file"
    (tmp_path / "empty.npy").touch()
    with pytest.raises(InvalidInput, match="cannot be read"):
        search(workspace, Query(name, "k", vector=str(tmp_path / "empty.npy")))
    with pytest.raises(InvalidInput, match="no file"):
        search(workspace, Query(name, "k", vector=str(tmp_path / "none.npy")))


def test_by_a_picture_and_by_text(workspace: Workspace, unique_name: Name, tmp_path: Path) -> None:
    dataset = make_dataset(workspace, unique_name("text"), 6)
    rows = vectors(6)
    make_index(workspace, Scope(dataset.name), "k", rows, source=Made(model="m"), supports_prompts=True)
    make_index(workspace, Scope(dataset.name), "mute", rows, source=Made(model="m"))
    make_index(workspace, Scope(dataset.name), "bare", rows)
    asked: list[tuple[str | None, str | None]] = []

    def embed(run: runs.RunInfo, query: Query) -> Floats:
        asked.append((query.text, query.image))
        return rows[4]

    ids = dataset.values("id")
    for query in (
        Query(dataset.name, "k", text="a kite", k=1),
        Query(dataset.name, "mute", image="/i.png", k=1),
    ):
        assert _ids(search(workspace, query, embed=embed)) == [ids[4]]
    assert asked == [("a kite", None), (None, "/i.png")]
    with pytest.raises(InvalidInput, match="takes no text"):
        search(workspace, Query(dataset.name, "mute", text="a kite"), embed=embed)
    with pytest.raises(InvalidInput, match="names no model"):
        search(workspace, Query(dataset.name, "bare", image="/i.png"), embed=embed)


def test_a_picture_finds_itself_with_the_built_in_model(
    workspace: Workspace, unique_name: Name, tmp_path: Path
) -> None:
    from tui.core import embedding, models

    random = np.random.default_rng(1)
    paths = [tmp_path / f"{i}.png" for i in range(5)]
    for path in paths:
        Image.fromarray(random.integers(0, 255, (40, 40, 3), np.uint8)).save(path)
    dataset = workspace.fiftyone().Dataset(unique_name("picture"), persistent=True)
    dataset.add_images([str(path) for path in paths], progress=False)
    model = models.load_model(models.BUILTIN)
    rows = np.stack([embedding.embed_image(path, model) for path in paths])
    make_index(workspace, Scope(dataset.name), "k", rows, source=Made(model=models.BUILTIN))
    hit = search(workspace, Query(dataset.name, "k", image=str(paths[3]), k=1)).hits[0]
    assert hit.filepath == str(paths[3]) and hit.score == pytest.approx(1, abs=1e-4)
    with pytest.raises(KitescopeError):
        search(workspace, Query(dataset.name, "k", image=str(tmp_path / "none.png")))


def test_an_id_that_is_not_in_the_index_is_named(
    workspace: Workspace, indexed: tuple[str, list[str], Floats]
) -> None:
    name, ids, _ = indexed
    workspace.milvus().delete(runs.require_run(workspace, name, "k").collection or "", [ids[1]])
    with pytest.raises(KitescopeError, match=ids[1]) as caught:
        search(workspace, Query(name, "k", ids=(ids[0], ids[1])))
    assert caught.value.exit_code == 1 and "sync" in caught.value.remedy
    with pytest.raises(KitescopeError, match="nonsense") as caught:
        search(workspace, Query(name, "k", ids=("nonsense",)))
    assert name in caught.value.remedy


def test_by_patch_and_by_the_sample_that_holds_patches(
    engine_workspace: Workspace, unique_name: Name
) -> None:
    ws = engine_workspace
    dataset = make_dataset(ws, unique_name("parts"), 12)
    scope = Scope(dataset.name, "boxes")
    ids, samples = all_ids(ws, scope)
    rows = vectors(len(ids))
    make_index(ws, scope, "k", rows)
    unit = _unit(rows)

    def by(id: str, **more: Any) -> list[str]:
        return _ids(search(ws, Query(dataset.name, "k", ids=(id,), k=5, **more)))

    assert by(ids[7]) == [ids[i] for i in np.argsort(-unit @ unit[7])[:5]]
    last = dataset.last().id
    mean = unit[[sample == last for sample in samples]].mean(axis=0)
    assert by(last) == [ids[i] for i in np.argsort(-unit @ mean)[:5]]
    hit = search(ws, Query(dataset.name, "k", ids=(ids[7],), k=1)).hits[0]
    assert (hit.id, hit.sample_id) == (ids[7], samples[7]) and hit.box
    only = (ids[3], ids[9], ids[20])
    order = [i for i in np.argsort(-unit @ unit[7]) if ids[i] in only]
    assert by(ids[7], only=only) == [ids[i] for i in order]
    order = [i for i in order if ids[i] != ids[3]]
    number = str(dataset[samples[9]].number)
    assert by(ids[7], only=only[1:], where=(("number>", number),)) == [ids[i] for i in order]
    with pytest.raises(KitescopeError) as caught:
        by(dataset.first().id)
    assert "labels in 'boxes'" in caught.value.remedy


def test_narrowed_by_bounds_and_to_what_is_named(
    workspace: Workspace, indexed: tuple[str, list[str], Floats]
) -> None:
    """Sample i of 40 has the number i and the confidence i / 40."""
    name, ids, rows = indexed
    order = np.argsort(-_unit(rows) @ _unit(rows[3])).tolist()
    cases: list[tuple[dict[str, Any], Callable[[int], bool]]] = [
        ({"where": (("ground_truth.confidence>", "0.5"),)}, lambda i: i >= 20),
        ({"where": (("number>", "5"), ("number<", " 30"))}, lambda i: 5 <= i <= 30),
        ({"where": (("ground_truth", "even"), ("number<", "9"))}, lambda i: i % 2 == 0 and i <= 9),
        ({"only": (*ids[4:8], "0" * 24)}, lambda i: 4 <= i < 8),
        ({"only": tuple(ids[4:8]), "tags": ("train",), "k": 1}, lambda i: i in (5, 7)),
        ({"only": ("0" * 24,)}, lambda i: False),
    ]
    for narrowed, inside in cases:
        result = search(workspace, Query(name, "k", ids=(ids[3],), **{"k": 40, **narrowed}))
        assert _ids(result) == [ids[i] for i in order if inside(i)][: result.k]
    with pytest.raises(InvalidInput, match="no value for 'number'"):
        search(workspace, Query(name, "k", ids=(ids[3],), where=(("number>", "many"),)))


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ({}, "nothing to search for"),
        ({"ids": ("a",), "text": "b"}, "cannot be mixed"),
        ({"ids": ("a",), "k": 0}, "at least one hit"),
        ({"ids": ("a",), "offset": -1}, "before the first"),
    ],
)
def test_queries_that_mean_nothing(
    query: dict[str, Any], says: str, workspace: Workspace, indexed: tuple[str, list[str], Floats]
) -> None:
    with pytest.raises(InvalidInput, match=says):
        search(workspace, Query(indexed[0], "k", **query))


def test_unknown_names_and_runs_that_are_no_index(
    workspace: Workspace, indexed: tuple[str, list[str], Floats]
) -> None:
    import fiftyone.brain as fob

    name, ids, _ = indexed
    with pytest.raises(UnknownName, match="dataset"):
        search(workspace, Query(name + "x", "k", ids=(ids[0],)))
    with pytest.raises(UnknownName, match="key"):
        search(workspace, Query(name, "kk", ids=(ids[0],)))
    dataset = workspace.fiftyone().load_dataset(name, reload=True)
    fob.compute_visualization(dataset, embeddings="emb", method="pca", brain_key="viz", verbose=False)
    with pytest.raises(InvalidInput, match="visualization run by pca"):
        search(workspace, Query(name, "viz", ids=(ids[0],)))


def test_vectors_of_deleted_samples_make_room_for_others(
    engine_workspace: Workspace, unique_name: Name
) -> None:
    ws = engine_workspace
    dataset = make_dataset(ws, unique_name("stale"), 60)
    rows = vectors(60)
    make_index(ws, Scope(dataset.name), "k", rows)
    ids = dataset.values("id")
    order = list(np.argsort(-_unit(rows) @ _unit(rows[0])))
    dataset.delete_samples([ids[i] for i in order[1:40]])
    left = [ids[i] for i in [order[0], *order[40:]]]
    assert _ids(search(ws, Query(dataset.name, "k", ids=(ids[0],), k=10))) == left[:10]
    assert _ids(search(ws, Query(dataset.name, "k", ids=(ids[0],), k=50))) == left


def test_a_collection_that_is_gone_is_said_so(engine_workspace: Workspace, unique_name: Name) -> None:
    ws = engine_workspace
    dataset = make_dataset(ws, unique_name("gone"), 3)
    collection = make_index(ws, Scope(dataset.name), "k", vectors(3))
    query = Query(dataset.name, "k", ids=(dataset.first().id,))
    ws.milvus().drop(collection)
    with pytest.raises(KitescopeError, match="does not exist any more") as caught:
        search(ws, query)
    assert "build" in caught.value.remedy and caught.value.exit_code == 1


def test_what_was_known_of_an_index_is_not_believed_after_it_was_built_again(
    engine_workspace: Workspace, unique_name: Name
) -> None:
    """A search goes by what was known and looks whether it still is so; here it is not so any more."""
    ws = engine_workspace
    dataset = make_dataset(ws, unique_name("again"), 20)
    ids, rows = dataset.values("id"), vectors(20)
    first = make_index(ws, Scope(dataset.name), "k", rows)
    query = Query(dataset.name, "k", ids=(ids[3],), k=5)
    for _ in range(3):
        assert _ids(search(ws, query)) == [ids[i] for i in np.argsort(-_unit(rows) @ _unit(rows[3]))[:5]]
    runs.delete(ws, dataset.name, "k", keep_collection=True)
    rows = vectors(20, seed=1)
    make_index(ws, Scope(dataset.name), "k", rows, collection=f"{first}_2")
    expected = [ids[i] for i in np.argsort(-_unit(rows) @ _unit(rows[3]))[:5]]
    assert _ids(search(ws, query)) == expected
    ws.milvus().drop(first)
    assert _ids(search(ws, query)) == expected
    for chosen in (ids[:4], ids[4:6]):
        dataset.save_view("some", dataset.select(chosen), overwrite=True)
        for _ in range(3):
            found = _ids(search(ws, Query(dataset.name, "k", ids=(ids[3],), view="some")))
            assert sorted(found) == chosen
    ws.milvus().delete(f"{first}_2", [ids[3]])
    # A search does not wait for what was just deleted; a count does.
    assert ws.milvus().count(f"{first}_2") == 19
    with pytest.raises(KitescopeError, match=ids[3]):
        search(ws, query)


def test_the_least_similar_by_distance_are_looked_for_in_pieces_and_can_be_stopped(
    engine_workspace: Workspace, unique_name: Name, monkeypatch: pytest.MonkeyPatch
) -> None:
    ws = engine_workspace
    dataset = make_dataset(ws, unique_name("far"), 90)
    ids, rows = dataset.values("id"), vectors(90)
    make_index(ws, Scope(dataset.name), "k", rows, metric="euclidean")
    monkeypatch.setattr(exact, "PIECE", 20)
    distances = ((rows - rows[9]) ** 2).sum(axis=1)
    asked = 0

    def counted() -> bool:
        nonlocal asked
        asked += 1
        return False

    query = Query(dataset.name, "k", ids=(ids[9],), k=30, least=True)
    told: list[tuple[int, int]] = []
    hits = search(ws, query, tell=lambda *far: told.append(far), should_stop=counted).hits
    assert [hit.id for hit in hits] == [ids[i] for i in np.argsort(-distances)[:30]]
    assert asked == 5
    assert told == [(20, 90), (40, 90), (60, 90), (80, 90), (90, 90)]
    fetched: list[int] = []
    fetch = exact._fetched

    def noted(target: Any, vector: Floats, ids: list[str], samples: list[str]) -> Any:
        fetched.append(len(ids))
        return fetch(target, vector, ids, samples)

    monkeypatch.setattr(exact, "_fetched", noted)
    with pytest.raises(Interrupted):
        search(ws, query, should_stop=lambda: len(fetched) == 2)
    assert fetched == [20, 20]


def test_documents_are_read_again_only_when_they_are_others(
    workspace: Workspace, unique_name: Name, monkeypatch: pytest.MonkeyPatch
) -> None:
    ws = workspace
    dataset = make_dataset(ws, unique_name("documents"), 20)
    ids, both = dataset.values("id"), (vectors(20), vectors(20, seed=1))
    first = make_index(ws, Scope(dataset.name), "k", both[0])
    make_index(ws, Scope(dataset.name), "other", both[1], collection=f"{first}_2")
    reads: list[str] = []
    read = searching._read

    def noted(ws: Workspace, query: Query) -> Any:
        reads.append(query.brain_key)
        return read(ws, query)

    monkeypatch.setattr(searching, "_read", noted)

    def found() -> list[str]:
        return _ids(search(ws, Query(dataset.name, "k", ids=(ids[3],), k=5)))

    expected = [[ids[i] for i in np.argsort(-_unit(rows) @ _unit(rows[3]))[:5]] for rows in both]
    assert [found() for _ in range(4)] == [expected[0]] * 4
    # The first time nothing was known, and the second nobody had looked at the documents before.
    assert len(reads) == 2
    # Another document that says the same.
    dataset.info = {"seen": True}
    dataset.save()
    assert [found() for _ in range(3)] == [expected[0]] * 3
    assert len(reads) == 3
    # The run's document alone says something else.
    run = dataset._doc.brain_methods["k"].id
    ws.database()["runs"].update_one({"_id": run}, {"$set": {"config.collection_name": f"{first}_2"}})
    assert [found() for _ in range(3)] == [expected[1]] * 3


def test_a_released_collection_is_loaded_and_an_empty_one_has_no_hits(
    engine_workspace: Workspace, unique_name: Name, tmp_path: Path
) -> None:
    ws = engine_workspace
    dataset = make_dataset(ws, unique_name("cold"), 3)
    collection = make_index(ws, Scope(dataset.name), "k", vectors(3))
    ws.milvus().release(collection)
    assert len(search(ws, Query(dataset.name, "k", ids=(dataset.first().id,))).hits) == 3
    ws.milvus().delete(collection, dataset.values("id"))
    assert ws.milvus().count(collection) == 0
    np.save(tmp_path / "q.npy", vectors(1))
    assert search(ws, Query(dataset.name, "k", vector=str(tmp_path / "q.npy"))).hits == ()


def test_ids_that_stock_inserted_twice_are_one_hit(
    mongod: Mongod, milvus_standalone: MilvusStandalone, unique_name: Name
) -> None:
    with Workspace(settings_for(mongod, milvus_standalone)) as ws:
        dataset = make_dataset(ws, unique_name("twice"), 10)
        collection = make_index(ws, Scope(dataset.name), "k", vectors(10))
        ids = dataset.values("id")
        rows = vectors(10)
        twice = [{"pk": ids[i], "sample_id": ids[i], "vector": rows[i]} for i in range(6)]
        ws.milvus()._client.insert(collection, twice)
        assert ws.milvus().count(collection) == 16
        found = _ids(search(ws, Query(dataset.name, "k", ids=(ids[0],), k=10)))
        assert sorted(found) == sorted(ids)

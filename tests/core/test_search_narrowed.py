"""Narrowed searches find what exact search finds, at every size of what they are narrowed to."""

from __future__ import annotations

import itertools
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

import bson
import numpy as np
import pytest
from bson import ObjectId
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.core.making import all_ids, make_index
from tui.core import search as searching
from tui.core.client.index_types import IndexSpec
from tui.core.datasets import Scope
from tui.core.documents.selection import select
from tui.core.querying import deep, exact, nearest, shares
from tui.core.querying.shares import Share
from tui.core.search import Query, search
from tui.core.workspace import Workspace

Name = Callable[[str], str]

N, DIM = 4_000, 16
# How many samples carry each tag, and how they are chosen: at random, or farthest from the first sample.
TAGS = {f"{how}{size}": (how, size) for how in ("any", "far") for size in (1, 7, 60, 400, 1_500, 3_900)}


@dataclass(frozen=True)
class Big:
    """A dataset of N clustered vectors; ``members`` says which samples carry a tag."""

    name: str
    ids: list[str]
    rows: NDArray[np.float32]
    members: dict[str, NDArray[np.bool_]]


_made: dict[str, Big] = {}


@pytest.fixture
def big(engine_workspace: Workspace, unique_name: Name) -> Big:
    engine = engine_workspace.milvus().address
    if engine not in _made:
        _made[engine] = _make(engine_workspace, unique_name("big"))
    return _made[engine]


def _make(ws: Workspace, name: str) -> Big:
    random = np.random.default_rng(3)
    centres = random.normal(size=(40, DIM))
    rows = centres[random.integers(0, 40, N)] + 0.3 * random.normal(size=(N, DIM))
    rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    by_distance = np.argsort(rows @ rows[0])
    members = {}
    for tag, (how, size) in TAGS.items():
        members[tag] = np.zeros(N, bool)
        members[tag][random.choice(N, size, replace=False) if how == "any" else by_distance[:size]] = True
    dataset = ws.fiftyone().Dataset(name, persistent=True)
    ws.database()[dataset._sample_collection_name].insert_many(
        {"filepath": f"/{i}.png", "tags": [t for t in TAGS if members[t][i]], "_media_type": "image"}
        for i in range(N)
    )
    ids = all_ids(ws, Scope(name))[0]
    chosen = random.permutation(N)[:900].tolist()
    views = {
        "half": (dataset.match_tags("any1500"), np.flatnonzero(members["any1500"])),
        "first": (dataset.limit(700), np.arange(700)),
        "chosen": (dataset.select([ids[i] for i in chosen], ordered=True), chosen),
        "others": (dataset.exclude([ids[i] for i in chosen]).sort_by("filepath"), [*{*range(N)} - {*chosen}]),
        "none": (dataset.select(["f" * 24]), []),
    }
    for view, (what, which) in views.items():
        dataset.save_view(view, what)
        members[view] = np.zeros(N, bool)
        members[view][which] = True
    # Without an approximate index between, what is found has to be what there is, to the last one.
    make_index(ws, Scope(name), "k", rows, index=IndexSpec("FLAT"))
    graph = make_index(ws, Scope(name), "graph", rows)
    # What was just written is compared one by one: the graph is built of what is on disk.
    ws.milvus().flush(graph)
    until = time.monotonic() + 120
    while ws.milvus().index_progress(graph) != (N, N):
        assert time.monotonic() < until
        time.sleep(0.1)
    return Big(name, ids, rows, members)


@settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    tag=st.sampled_from([None, *TAGS]),
    view=st.sampled_from([None, None, "half", "first", "chosen", "others", "none"]),
    k=st.sampled_from([1, 10, 25, 300, 2_000]),
    start=st.integers(0, N - 1) | st.just(0),
    least=st.booleans(),
)
def test_narrowed_is_exact_and_never_short(
    engine_workspace: Workspace,
    big: Big,
    tag: str | None,
    view: str | None,
    k: int,
    start: int,
    least: bool,
) -> None:
    inside = np.ones(N, bool)
    for name in (tag, view):
        if name is not None:
            inside &= big.members[name]
    tags = (tag,) if tag is not None else ()
    query = Query(big.name, "k", ids=(big.ids[start],), k=k, least=least, tags=tags, view=view)
    result = search(engine_workspace, query)
    scores = big.rows @ big.rows[start]
    expected = np.sort(scores[inside])[:k] if least else np.sort(scores[inside])[::-1][:k]
    # By scores, because which of two that are equally near comes first is nobody's to say.
    assert [hit.score for hit in result.hits] == pytest.approx(expected.tolist(), abs=1e-5)
    place = {id: at for at, id in enumerate(big.ids)}
    found = [place[hit.id] for hit in result.hits]
    assert len(set(found)) == len(found) and inside[found].all()
    assert scores[found].tolist() == pytest.approx(expected.tolist(), abs=1e-5)


def test_a_view_that_names_its_samples_does_not_send_their_names_each_time(
    engine_workspace: Workspace, big: Big
) -> None:
    for view, tags, size in (("chosen", (), 300), ("chosen", ("any1500",), 400)):
        scope = Scope(big.name, view=view, tags=tags)
        asked = select(engine_workspace, scope).rows([ObjectId(big.ids[0])])
        assert len(bson.encode({"pipeline": asked})) < size
    listed = all_ids(engine_workspace, Scope(big.name, view="chosen"))[0]
    assert {big.ids.index(id) for id in listed} == set(np.flatnonzero(big.members["chosen"]).tolist())


def test_all_ways_of_narrowing_were_taken(
    engine_workspace: Workspace, big: Big, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sieving for a large view, a look at its items for a small one, pieces for one far away."""
    taken: list[str] = []
    for name in ("few", "everywhere"):
        real = getattr(nearest, name)
        monkeypatch.setattr(nearest, name, lambda *a, n=name, r=real: (taken.append(n), r(*a))[1])
    ways = {}
    monkeypatch.setattr(shares, "_shares", OrderedDict())
    monkeypatch.setattr(exact, "PIECE", 1_000)
    monkeypatch.setattr(nearest, "_LITE_ANSWERS", 100)
    for tag in ("any1500", "any400", "any60", "far1500"):
        query = Query(big.name, "k", ids=(big.ids[0],), k=10, tags=(tag,))
        if tag == "any400":
            search(engine_workspace, query)  # only now is known how large a part of all it is
        taken.clear()
        assert len(search(engine_workspace, query).hits) == 10
        ways[tag] = list(taken)
    assert ways["any1500"] == []
    # Each answer costs Milvus Lite, so that sieving 180 of them for ten is worse there.
    assert ways["any400"] == (["few"] if engine_workspace.milvus().is_lite else [])
    assert ways["any60"] == ["few"]
    assert ways["far1500"][0] == "few"


def test_a_graph_finds_what_is_narrowed_as_well(
    engine_workspace: Workspace, big: Big, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By sieving, and on Milvus Lite by letting the graph look among the ids alone."""
    monkeypatch.setattr(nearest, "_LITE_ANSWERS", 100)
    inside = big.members["any400"]
    shared = 0
    for start in range(0, N, 100):
        query = Query(big.name, "graph", ids=(big.ids[start],), k=10, tags=("any400",))
        found = [hit.id for hit in search(engine_workspace, query).hits]
        assert len(set(found)) == 10
        best = np.argsort(-np.where(inside, big.rows @ big.rows[start], -np.inf))[:10]
        shared += len({big.ids[i] for i in best} & set(found))
    assert shared >= 0.98 * 10 * N / 100


def test_no_expression_names_more_than_one_piece(
    engine_workspace: Workspace, big: Big, monkeypatch: pytest.MonkeyPatch
) -> None:
    milvus = engine_workspace.milvus()
    longest = 0
    for name in ("search", "_query"):
        real = getattr(milvus, name)

        def watched(*args: object, real: Callable[..., object] = real, **kwargs: object) -> object:
            nonlocal longest
            texts = [v for v in (*args, *kwargs.values()) if isinstance(v, str)]
            longest = max(longest, *(text.count(",") + 1 for text in texts))
            return real(*args, **kwargs)

        monkeypatch.setattr(milvus, name, watched)
    monkeypatch.setattr(exact, "PIECE", 600)
    for tag in TAGS:
        search(engine_workspace, Query(big.name, "k", ids=(big.ids[0],), k=500, tags=(tag,)))
    assert 1 < longest <= 600


def test_a_scope_that_was_too_many_to_look_at_each_may_become_another(
    engine_workspace: Workspace, big: Big, monkeypatch: pytest.MonkeyPatch
) -> None:
    remembered: list[Share] = []
    monkeypatch.setattr(shares, "known", lambda _key: Share(0.5, many=True))
    monkeypatch.setattr(shares, "remember", lambda _key, share: remembered.append(share))
    search(engine_workspace, Query(big.name, "k", ids=(big.ids[0],), k=5, tags=("any3900",)))
    assert remembered and not any(share.many for share in remembered)


@pytest.mark.parametrize("index", ["k", "graph"])
def test_pages_beyond_what_milvus_answers_at_once_miss_and_repeat_nothing(
    engine_workspace: Workspace, big: Big, monkeypatch: pytest.MonkeyPatch, index: str
) -> None:
    """Milvus' limit is moved to 500; and a few ids an expression make a server look at pieces."""
    for module in (searching, nearest, deep):
        monkeypatch.setattr(module, "MAX_K", 500)
    monkeypatch.setattr(exact, "_FETCHED", 20)
    cases: list[tuple[bool, tuple[str, ...]]] = [(False, ()), (True, ()), (False, ("any1500",))]
    for least, tags in cases if index == "k" else cases[:1]:
        inside = big.members["any1500"] if tags else np.ones(N, bool)
        starts = [0, 400, *range(800, N, 1_600)]
        pages = [
            search(
                engine_workspace,
                Query(big.name, index, ids=(big.ids[7],), k=end - at, offset=at, least=least, tags=tags),
            )
            for at, end in itertools.pairwise([*starts, N])
        ]
        found = [hit for page in pages for hit in page.hits]
        assert [hit.rank for hit in found] == list(range(1, len(found) + 1))
        assert {hit.id for hit in found} == {big.ids[i] for i in np.flatnonzero(inside)}
        assert len(found) == inside.sum()
        if index == "k":
            shown = [hit.score for hit in found]
            assert shown == sorted(shown, reverse=not least)


def test_the_least_similar_of_very_many_say_that_some_may_be_missed(
    engine_workspace: Workspace, big: Big, monkeypatch: pytest.MonkeyPatch
) -> None:
    query = Query(big.name, "graph", ids=(big.ids[7],), k=5, least=True)
    assert not search(engine_workspace, query).approximate
    monkeypatch.setattr(searching, "_MOST_COMPARED", 1_000)
    result = search(engine_workspace, query)
    assert len(result.hits) == 5
    assert result.approximate is not engine_workspace.milvus().is_lite

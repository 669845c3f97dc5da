"""Narrowed searches find what exact search finds, at every size of what they are narrowed to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.core.making import all_ids, make_index
from tui.core.datasets import Scope
from tui.core.querying import nearest
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
    dataset.save_view("half", dataset.match_tags("any1500"))
    dataset.save_view("first", dataset.limit(700))
    make_index(ws, Scope(name), "k", rows)
    return Big(name, all_ids(ws, Scope(name))[0], rows, members)


@settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    tag=st.sampled_from([None, *TAGS]),
    view=st.sampled_from([None, None, "half", "first"]),
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
    if tag is not None:
        inside &= big.members[tag]
    if view == "half":
        inside &= big.members["any1500"]
    if view == "first":
        inside &= np.arange(N) < 700
    tags = (tag,) if tag is not None else ()
    query = Query(big.name, "k", ids=(big.ids[start],), k=k, least=least, tags=tags, view=view)
    result = search(engine_workspace, query)
    scores = big.rows @ big.rows[start]
    order = np.argsort(scores if least else -scores)
    expected = [big.ids[i] for i in order[inside[order]][:k]]
    found = [hit.id for hit in result.hits]
    assert len(found) == len(expected) == len(set(found))
    assert len(set(found) & set(expected)) >= 0.97 * len(expected)
    shown = [hit.score for hit in result.hits]
    assert shown == sorted(shown, reverse=not least)


def test_all_ways_of_narrowing_were_taken(
    engine_workspace: Workspace, big: Big, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sieving for a large view, a look at its items for a small one, pieces for one far away."""
    taken: list[str] = []
    for name in ("_few", "everywhere"):
        real = getattr(nearest, name)
        monkeypatch.setattr(nearest, name, lambda *a, n=name, r=real: (taken.append(n), r(*a))[1])
    ways = {}
    monkeypatch.setattr(nearest, "_PIECE", 1_000)
    for tag in ("any1500", "any60", "far1500"):
        taken.clear()
        query = Query(big.name, "k", ids=(big.ids[0],), k=10, tags=(tag,))
        assert len(search(engine_workspace, query).hits) == 10
        ways[tag] = list(taken)
    assert ways["any1500"] == []
    assert ways["any60"] == ["_few"]
    assert ways["far1500"][0] == "_few"


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
    monkeypatch.setattr(nearest, "_PIECE", 600)
    for tag in TAGS:
        search(engine_workspace, Query(big.name, "k", ids=(big.ids[0],), k=500, tags=(tag,)))
    assert 1 < longest <= 600

"""Near-duplicates within a part of an index, and the groups that pairs make."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.core.making import all_ids, make_dataset, make_index, vectors
from tui.core import near_duplicates as core
from tui.core.errors import Interrupted
from tui.core.near_duplicates import NearDuplicates, near_duplicates
from tui.core.querying.joined import Joined
from tui.core.scope import Scope
from tui.core.workspace import Workspace

Name = Callable[[str], str]


@settings(deadline=None, derandomize=True)
@given(st.lists(st.lists(st.tuples(st.integers(0, 29), st.integers(0, 29)), max_size=12), max_size=6))
def test_pairs_in_batches_make_the_groups_that_they_connect(batches: list[list[tuple[int, int]]]) -> None:
    joined, expected = Joined(30), [{i} for i in range(30)]
    for batch in batches:
        pairs = np.array(batch, np.int64).reshape(-1, 2)
        joined.join(pairs[:, 0], pairs[:, 1])
        for one, other in batch:
            both = expected[one] | expected[other]
            for member in both:
                expected[member] = both
    members, labels = joined.groups()
    assert members == [i for i in range(30) if len(expected[i]) > 1]
    for member, label in zip(members, labels, strict=True):
        assert expected[member] == {m for m, of in zip(members, labels, strict=True) if of == label}


def test_only_what_is_in_the_view_or_has_the_tag_is_grouped(
    engine_workspace: Workspace, unique_name: Name
) -> None:
    ws = engine_workspace
    dataset = make_dataset(ws, unique_name("within"), 60)
    ids, rows = dataset.values("id"), vectors(60, dim=32, seed=3)
    # Ten of the thirty that are alike are in the view: outside it are more than are asked for at first.
    rows[0:30] = rows[0]
    rows[41] = rows[43]
    make_index(ws, Scope(dataset.name), "k", rows)
    dataset.save_view("some", dataset.select([ids[i] for i in (*range(20, 30), 41, 50)]))

    def groups(**within: object) -> list[list[int]]:
        found = near_duplicates(ws, dataset.name, "k", 0.999, **within)  # type: ignore[arg-type]
        return [[ids.index(item.id) for item in group] for group in found.groups]

    assert groups() == [list(range(30)), [41, 43]]
    assert groups(view="some") == [list(range(20, 30))]
    assert groups(tags=["train"]) == [list(range(1, 30, 2)), [41, 43]]
    assert groups(where=[("number", "41")]) == []
    assert groups(view="some", tags=["val"]) == [list(range(20, 30, 2))]


def test_groups_are_told_as_they_are_found_and_the_search_can_be_stopped(
    engine_workspace: Workspace, unique_name: Name, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(core, "_PAGE", 10)
    monkeypatch.setattr(core, "_EVERY_S", 0.0)
    monkeypatch.setattr(core, "_CALM", 0)
    ws = engine_workspace
    dataset = make_dataset(ws, unique_name("streamed"), 60)
    rows = vectors(60, dim=32, seed=3)
    for first in range(0, 60, 10):
        rows[first + 1] = rows[first]
    rows[59] = rows[0]
    make_index(ws, Scope(dataset.name), "k", rows)
    told: list[NearDuplicates] = []
    found = near_duplicates(ws, dataset.name, "k", 0.999, tell=told.append)
    assert (len(found.groups), len(found.spare), found.compared, found.total) == (6, 7, 60, 60)
    assert [one.compared for one in told] == [0, 10, 20, 30, 40, 50]
    wholes = [{item.id for item in group} for group in found.groups]
    for one in told:
        assert one.total == 60
        assert len(one.groups) == one.compared // 10
        for group in one.groups:
            assert any({item.id for item in group} <= whole for whole in wholes)

    told.clear()
    with pytest.raises(Interrupted):
        near_duplicates(ws, dataset.name, "k", 0.999, tell=told.append, should_stop=lambda: len(told) > 1)
    assert len(told) == 2


class Asked:
    """How many answers each search of Milvus asked for."""

    def __init__(self, ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
        self.answers: list[int] = []
        client = ws.milvus()._client
        own = client.search

        def search(name: str, part: list[object], **how: Any) -> Any:
            self.answers.append(len(part) * how["limit"])
            return own(name, part, **how)

        monkeypatch.setattr(client, "search", search)


def test_a_threshold_that_everything_reaches_is_answered_as_soon_as_all_is_one_group(
    engine_workspace: Workspace, unique_name: Name, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = make_dataset(engine_workspace, unique_name("all"), 200)
    make_index(engine_workspace, Scope(dataset.name), "k", vectors(200, dim=32, seed=5))
    asked = Asked(engine_workspace, monkeypatch)
    found = near_duplicates(engine_workspace, dataset.name, "k", -1.0)
    assert [len(group) for group in found.groups] == [200] and found.compared == found.total == 200
    # Neighbours enough to connect them, and not every pair.
    assert sum(asked.answers) <= 200 * 100


def test_milvus_lite_is_asked_for_no_more_at_once_than_it_answers_in_time(
    workspace: Workspace, unique_name: Name, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = make_dataset(workspace, unique_name("many"), 60)
    name = make_index(workspace, Scope(dataset.name), "k", vectors(60, dim=32, seed=6))
    milvus = workspace.milvus()
    _, rows = milvus.vectors(name, dataset.values("id"))
    asked = Asked(workspace, monkeypatch)
    answers = milvus.search(name, rows, 1_024, metric="cosine", sample_ids=False)
    assert [len(answer) for answer in answers] == [60] * 60
    assert max(asked.answers) <= 20_000


def test_stopping_is_heard_between_two_questions_about_one_page(
    workspace: Workspace, unique_name: Name, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Two kinds of vectors, so that they never are one group, and each like more others than are asked for.
    rows = np.zeros((160, 32), np.float32)
    rows[:80, 0], rows[80:, 1] = 1, 1
    dataset = make_dataset(workspace, unique_name("stopped"), 160)
    make_index(workspace, Scope(dataset.name), "k", rows)
    asked = Asked(workspace, monkeypatch)
    with pytest.raises(Interrupted):
        near_duplicates(workspace, dataset.name, "k", 0.9, should_stop=lambda: bool(asked.answers))
    assert len(asked.answers) == 1


def test_how_far_it_is_is_told_within_a_page_too(
    workspace: Workspace, unique_name: Name, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(core, "_EVERY_S", 0.0)
    monkeypatch.setattr(core, "_CALM", 0)
    monkeypatch.setattr(core, "_ANSWERS", 80)
    # Twenty of a kind each, which is more than are asked for at first, and as many that are like no other.
    rows = np.zeros((80, 64), np.float32)
    rows[:20, 0], rows[20:40, 1] = 1, 1
    rows[np.arange(40, 80), np.arange(2, 42)] = 1
    dataset = make_dataset(workspace, unique_name("far"), 80)
    make_index(workspace, Scope(dataset.name), "k", rows)
    told: list[NearDuplicates] = []
    found = near_duplicates(workspace, dataset.name, "k", 0.9, tell=told.append)
    assert [len(group) for group in found.groups] == [20, 20]
    far = [one.compared for one in told]
    assert far == sorted(far) and all(one.total == 80 for one in told)
    # Ten questions at a time at first; those of a kind, which are forty, are asked about again, one by one.
    assert set(far) == {0, *range(10, 41, 10), *range(40, 80)}


def test_patches_that_are_alike_are_grouped(workspace: Workspace, unique_name: Name) -> None:
    dataset = make_dataset(workspace, unique_name("patches"), 6)
    scope = Scope(dataset.name, "boxes")
    ids, samples = all_ids(workspace, scope)
    rows = vectors(len(ids), dim=32, seed=4)
    rows[4] = rows[1]
    make_index(workspace, scope, "k", rows)
    (group,) = near_duplicates(workspace, dataset.name, "k", 0.999).groups
    assert [(item.id, item.sample_id) for item in group] == [(ids[i], samples[i]) for i in sorted((1, 4))]
    assert all(item.box for item in group)

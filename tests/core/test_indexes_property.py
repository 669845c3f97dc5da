"""Whatever happened to a dataset and its collection: a sync makes them agree, a second changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.core.indexing import assert_exact, build, collection_of, make_samples, random_vectors, stock_add
from tui.core import indexes
from tui.core.documents.scopes import Scope
from tui.core.indexes import BuildSpec, Source
from tui.core.workspace import Workspace


@dataclass(frozen=True)
class Damage:
    """Things done behind an index' back; numbers choose by remainder."""

    added: int
    deleted: tuple[int, ...]
    duplicated: tuple[int, ...]
    strangers: tuple[int, ...]
    lost: tuple[int, ...]


_few = st.lists(st.integers(0, 10**6), max_size=12).map(tuple)
damages = st.builds(Damage, st.integers(0, 15), _few, _few, _few, _few)


def _inflict(ws: Workspace, name: str, collection: str, damage: Damage) -> None:
    fo = ws.fiftyone()
    dataset = fo.load_dataset(name)
    milvus = ws.milvus()
    here = dataset.values("id")
    picked = [here[at % len(here)] for at in damage.duplicated]
    stock_add(ws, collection, picked, random_vectors(len(picked), seed=1))
    odd = [f"stranger-{at % 50}" if at % 2 else f"{at % 50:024x}" for at in damage.strangers]
    stock_add(ws, collection, odd, random_vectors(len(odd), seed=2))
    milvus.delete(collection, [here[at % len(here)] for at in damage.lost])
    gone = {here[at % len(here)] for at in damage.deleted}
    if gone:
        dataset.delete_samples(list(gone))
    rows = random_vectors(damage.added, seed=len(here))
    samples = [
        fo.Sample(filepath=f"/nowhere/new/{len(here)}/{at}.png", emb=row) for at, row in enumerate(rows)
    ]
    dataset.add_samples(samples, progress=False)


def test_after_a_sync_the_ids_agree_and_a_second_sync_changes_nothing(
    engine_workspace: Workspace, unique_name: Callable[[str], str]
) -> None:
    ws, name = engine_workspace, unique_name("property")
    dataset = make_samples(ws, name, 40)
    dataset.set_values("emb", list(random_vectors(40)))
    build(ws, BuildSpec(Scope(name), "k", Source(embeddings_field="emb")))
    collection = collection_of(ws, name)

    @settings(
        max_examples=20 if ws.milvus().is_lite else 6,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(damages)
    def holds(damage: Damage) -> None:
        _inflict(ws, name, collection, damage)
        seen = indexes.sync(ws, name, "k", dry_run=True)
        done = indexes.sync(ws, name, "k")
        assert (done.added, done.removed, done.unchanged) == (seen.added, seen.removed, seen.unchanged)
        wanted = set(ws.fiftyone().load_dataset(name).values("id"))
        assert done.added + done.unchanged == len(wanted)
        assert_exact(ws, collection, wanted)
        again = indexes.sync(ws, name, "k")
        assert (again.added, again.removed, again.repaired, again.skipped) == (0, 0, 0, ())
        assert again.unchanged == len(wanted)
        check = indexes.check(ws, name, "k")
        assert (check.health, check.vectors, check.distinct) == ("ok", len(wanted), len(wanted))

    holds()
    assert np.isfinite(ws.milvus().vectors(collection, dataset.values("id"))[1]).all()

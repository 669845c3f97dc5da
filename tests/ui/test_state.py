"""The state: a value and a pure function, tested without an app."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from tests.ui.values import dataset, job, run
from tui.core.datasets import DatasetInfo, Scope
from tui.state import (
    AppState,
    ConnectionChosen,
    DatasetsLoaded,
    Engine,
    EngineChanged,
    IndexChosen,
    JobsSeen,
    RunChecked,
    RunsLoaded,
    ScopeChosen,
    apply,
)


def test_engines_change_alone():
    state = apply(AppState(), EngineChanged("milvus", Engine("ready", "2.3.5")))
    assert (state.milvus.status, state.database.status) == ("ready", "connecting")


def test_a_chosen_dataset_that_is_gone_is_forgotten():
    state = apply(AppState(), ScopeChosen(Scope("birds")))
    state = apply(state, IndexChosen("birds", "key"))
    kept = apply(state, DatasetsLoaded((dataset("birds"), dataset("fish"))))
    gone = apply(kept, DatasetsLoaded((dataset("fish"),)))
    assert (kept.dataset, kept.index) == ("birds", ("birds", "key"))
    assert (gone.dataset, gone.index) == (None, None)


def test_another_connection_forgets_what_the_old_engines_said_and_keeps_the_jobs():
    state = apply(AppState(), JobsSeen((job("a"),)))
    state = apply(state, DatasetsLoaded((dataset("birds"),)))
    state = apply(state, ConnectionChosen("prod", True))
    assert state == AppState(connection="prod", readonly=True, jobs=(job("a"),))


def test_reading_runs_again_keeps_known_health_until_it_is_checked():
    checked = replace(run("birds", "key"), health="stale", vectors=3, stale=1)
    state = apply(apply(AppState(), RunsLoaded((run("birds", "key"),))), RunChecked(checked))
    again = apply(state, RunsLoaded((run("birds", "key"), run("birds", "new"))))
    assert [r.health for r in again.runs] == ["stale", None]


def test_health_of_another_collection_is_not_kept():
    checked = replace(run("birds", "key"), health="ok")
    state = apply(apply(AppState(), RunsLoaded((run("birds", "key"),))), RunChecked(checked))
    again = apply(state, RunsLoaded((replace(run("birds", "key"), collection="other"),)))
    assert [r.health for r in again.runs] == [None]


def test_what_was_asked_of_a_run_before_it_changed_says_nothing_about_it_now():
    now = replace(run("birds", "key"), finished=True)
    before = replace(now, finished=False)
    late = RunChecked(replace(before, health="incomplete", vectors=5))
    state = apply(apply(AppState(), RunsLoaded((before,))), RunsLoaded((now,)))
    assert apply(state, late).runs == (now,)
    early = apply(apply(apply(AppState(), RunsLoaded((before,))), late), RunsLoaded((now,)))
    assert early.runs == (now,)


def test_a_run_deleted_while_it_was_checked_stays_gone():
    state = apply(AppState(), RunsLoaded(()))
    assert apply(state, RunChecked(replace(run("birds", "key"), health="ok"))).runs == ()


def test_the_same_jobs_are_the_same_state_so_that_watchers_stay_quiet():
    state = apply(AppState(), JobsSeen((job("a"),)))
    assert apply(state, JobsSeen((job("a"),))) is state


_names = st.sampled_from(["birds", "fish", "cars"])
_events = st.one_of(
    st.builds(lambda names: DatasetsLoaded(tuple(dataset(n) for n in names)), st.sets(_names)),
    st.builds(lambda n: ScopeChosen(Scope(n)), _names),
    st.builds(lambda n: IndexChosen(n, "key"), _names),
    st.builds(lambda n: RunsLoaded((run(n, "key"),)), _names),
    st.builds(lambda n: RunChecked(replace(run(n, "key"), health="ok")), _names),
)


@given(st.lists(_events, max_size=30))
def test_after_a_listing_nothing_chosen_is_outside_it(events):
    state = AppState()
    for event in events:
        before, state = state, apply(state, event)
        assert isinstance(state, AppState) and isinstance(before, AppState)
        if isinstance(event, DatasetsLoaded):
            names = {info.name for info in event.datasets}
            assert state.dataset is None or state.dataset in names
            assert state.index is None or state.index[0] in names


_documents = st.builds(
    lambda finished, collection: replace(run("birds", "key"), finished=finished, collection=collection),
    st.booleans(),
    st.sampled_from(["one", "two"]),
)
_listings = st.builds(RunsLoaded, st.builds(lambda document: (document,), _documents))
_checks = st.builds(lambda document: RunChecked(replace(document, health="ok", vectors=5)), _documents)


@given(st.lists(st.one_of(_listings, _checks), max_size=30))
def test_runs_are_those_of_the_last_listing_whatever_is_answered_meanwhile(events):
    state, listed = AppState(), ()
    for event in events:
        state = apply(state, event)
        if isinstance(event, RunsLoaded):
            listed = event.runs
        assert tuple(run.unchecked for run in state.runs or ()) == listed


def test_dataset_info_is_what_core_lists():
    assert isinstance(dataset("birds"), DatasetInfo)

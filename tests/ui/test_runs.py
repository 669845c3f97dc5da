"""The Runs screen: health filled in behind, and every action with what Milvus and stock FiftyOne then say."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from textual.widgets import Input

from tests.conftest import settings_for
from tests.core.making import make_dataset, make_index, vectors
from tests.engines.servers import MilvusLite, Mongod
from tests.ui.conftest import screen_text, told, until
from tui.app import Kitescope
from tui.core import runs as core_runs
from tui.core.documents.selection import Scope
from tui.core.workspace import Workspace
from tui.preferences import Last
from tui.screens.run_dialogs import DeleteRuns
from tui.screens.runs import RunsScreen
from tui.widgets.dialogs import Ask, Confirm, Page
from tui.widgets.fitted import FitColumn, FittedTable, fit
from tui.widgets.pick import Pick

MakeApp = Callable[..., Kitescope]


@pytest.fixture
def dataset(workspace: Workspace, unique_name) -> Any:
    """Ten samples, an index ``whole`` of all and an index ``part`` that lacks one vector."""
    made = make_dataset(workspace, unique_name("runs").replace("-", "_"))
    make_index(workspace, Scope(made.name), "whole", vectors(10))
    part = make_index(workspace, Scope(made.name), "part", vectors(10))
    workspace.milvus().delete(part, [made.first().id])
    yield made
    for name in workspace.milvus().collections():
        if made.name in name:
            workspace.milvus().drop(name)
    if made.name in workspace.fiftyone().list_datasets():
        workspace.fiftyone().delete_dataset(made.name)


def _opened(make_app: MakeApp, dataset: Any) -> Kitescope:
    return make_app(last=Last(screen="runs", dataset=dataset.name))


async def _listed(pilot, app: Kitescope, count: int = 2) -> FittedTable:
    """Wait until the runs of the dataset are listed with their health."""
    await until(pilot, lambda: app.state.scope is not None and app.state.runs is not None)
    table = app.screen.query_one("#runs", FittedTable)
    await until(pilot, lambda: len(table.shown) == count)
    await until(pilot, lambda: not [run for run in app.screen.listed() if run.is_index and not run.health])
    await until(pilot, lambda: app.screen.focused is table)
    return table


def _key(dataset: Any, brain_key: str) -> str:
    return f"{dataset.name}\n{brain_key}"


async def _type(pilot, app: Kitescope, text: str) -> None:
    app.screen.query_one(Input).value = text
    await pilot.press("enter")


async def test_health_is_filled_in_behind_the_list(make_app: MakeApp, dataset: Any):
    app = _opened(make_app, dataset)
    async with app.run_test(size=(80, 24)) as pilot:
        await _listed(pilot, app)
        await until(pilot, lambda: all(sign in screen_text(app) for sign in ("✓ ok", "◐ incomplete")))
        rows = {line.split()[0]: line for line in screen_text(app).splitlines() if line.split()}
        assert "✓ ok" in rows["whole"] and " 10 " in rows["whole"]
        assert "◐ incomplete" in rows["part"] and "9 of 10" in rows["part"]


async def test_no_column_is_cut_off_at_80_and_more_appear_at_200(make_app: MakeApp, dataset: Any):
    columns = {}
    for width in (80, 200):
        app = _opened(make_app, dataset)
        async with app.run_test(size=(width, 24)) as pilot:
            table = await _listed(pilot, app)
            assert table.virtual_size.width <= table.size.width
            columns[width] = {str(key.value) for key in table.columns}
    assert {"key", "health", "vectors"} <= columns[80] < columns[200]


async def test_what_was_asked_is_not_asked_again(make_app: MakeApp, dataset: Any, monkeypatch):
    from tui.core import runs

    asked: list[str] = []
    real = runs.with_health

    def with_health(ws: Workspace, run: runs.RunInfo) -> runs.RunInfo:
        # Until the dataset is chosen the runs of all are listed, and those of other tests are asked too.
        if run.dataset == dataset.name:
            asked.append(run.brain_key)
        return real(ws, run)

    monkeypatch.setattr(runs, "with_health", with_health)
    app = _opened(make_app, dataset)
    async with app.run_test(size=(80, 24)) as pilot:
        await _listed(pilot, app)
        await pilot.press("4")
        await until(pilot, lambda: app.current_mode == "jobs")
        await pilot.press("5")
        await until(pilot, lambda: app.current_mode == "runs")
        await pilot.pause(0.5)
        assert sorted(asked) == ["part", "whole"]
        await pilot.press("r")
        await until(pilot, lambda: sorted(asked) == ["part", "part", "whole", "whole"])


async def test_enter_searches_and_says_why_not(make_app: MakeApp, dataset: Any, workspace: Workspace):
    import fiftyone.brain as fob

    fob.compute_visualization(dataset, embeddings="emb", brain_key="seen", method="pca", progress=False)
    app = _opened(make_app, dataset)
    async with app.run_test(size=(120, 30)) as pilot:
        table = await _listed(pilot, app, 3)
        table.go_to(_key(dataset, "seen"))
        await pilot.press("enter")
        await until(pilot, lambda: "only indexes in Milvus" in told(app))
        assert app.current_mode == "runs"
        table.go_to(_key(dataset, "whole"))
        await pilot.press("enter")
        await until(pilot, lambda: app.current_mode == "search")
        assert app.state.index == (dataset.name, "whole")


async def test_rename_refuses_what_is_taken_and_stock_fiftyone_sees_the_new_key(
    make_app: MakeApp, dataset: Any
):
    app = _opened(make_app, dataset)
    async with app.run_test(size=(80, 24)) as pilot:
        table = await _listed(pilot, app)
        table.go_to(_key(dataset, "part"))
        await pilot.press("R")
        await until(pilot, lambda: isinstance(app.screen, Ask))
        for wrong, said in (("whole", "has a run whole already"), ("2nd", "do not begin with a digit")):
            await _type(pilot, app, wrong)
            await until(pilot, lambda said=said: said in screen_text(app))
            assert isinstance(app.screen, Ask)
        await _type(pilot, app, "rest")
        await until(pilot, lambda: _key(dataset, "rest") in table.shown)
        dataset.reload()
        assert sorted(dataset.list_brain_runs()) == ["rest", "whole"]


async def test_delete_needs_the_name_and_takes_the_collection(
    make_app: MakeApp, dataset: Any, workspace: Workspace
):
    app = _opened(make_app, dataset)
    async with app.run_test(size=(80, 24)) as pilot:
        table = await _listed(pilot, app)
        table.go_to(_key(dataset, "part"))
        await pilot.press("d")
        await until(pilot, lambda: isinstance(app.screen, DeleteRuns))
        assert "9 vectors" in screen_text(app)
        await _type(pilot, app, "whole")
        await pilot.pause(0.3)
        assert isinstance(app.screen, DeleteRuns)
        await _type(pilot, app, "part")
        await until(pilot, lambda: table.shown == (_key(dataset, "whole"),))
        dataset.reload()
        assert dataset.list_brain_runs() == ["whole"]
        assert not workspace.milvus().exists(f"k_{dataset.name}_part")
        assert workspace.milvus().exists(f"k_{dataset.name}_whole")


async def test_a_kept_collection_becomes_an_orphan_that_can_be_dropped(
    make_app: MakeApp, dataset: Any, workspace: Workspace
):
    name = f"k_{dataset.name}_part"
    app = _opened(make_app, dataset)
    async with app.run_test(size=(80, 24)) as pilot:
        table = await _listed(pilot, app)
        table.go_to(_key(dataset, "part"))
        await pilot.press("d")
        await until(pilot, lambda: isinstance(app.screen, DeleteRuns))
        await pilot.press("shift+tab", "space", "tab")
        await _type(pilot, app, "part")
        await until(pilot, lambda: table.shown == (_key(dataset, "whole"),))
        assert workspace.milvus().exists(name)

        await pilot.press("tab")
        collections = app.screen.query_one("#collections", FittedTable)
        await until(pilot, lambda: name in collections.shown)
        assert f"orphan of {dataset.name}/part" in collections._all[name].text
        collections.go_to(f"k_{dataset.name}_whole")
        await pilot.press("d")
        await until(pilot, lambda: f"{dataset.name}/whole uses" in told(app))
        collections.go_to(name)
        await pilot.press("d")
        await until(pilot, lambda: isinstance(app.screen, Confirm))
        await _type(pilot, app, name)
        await until(pilot, lambda: name not in collections.shown)
        assert not workspace.milvus().exists(name)
        assert workspace.milvus().exists(f"k_{dataset.name}_whole")


async def test_an_orphan_is_adopted_and_the_ledger_says_so(
    make_app: MakeApp, dataset: Any, workspace: Workspace
):
    name = f"k_{dataset.name}_part"
    core_runs.delete(workspace, dataset.name, "part", keep_collection=True)
    app = _opened(make_app, dataset)
    async with app.run_test(size=(120, 30)) as pilot:
        await _listed(pilot, app, 1)
        await pilot.press("v")
        await until(pilot, lambda: "tab goes to the collections" in told(app))
        await pilot.press("tab")
        collections = app.screen.query_one("#collections", FittedTable)
        await until(pilot, lambda: name in collections.shown)
        collections.go_to(name)
        await pilot.press("v")
        await until(pilot, lambda: isinstance(app.screen, Ask))
        await _type(pilot, app, "whole")
        await until(pilot, lambda: "has a run whole already" in screen_text(app))
        await _type(pilot, app, "again")
        await until(pilot, lambda: isinstance(app.screen, Pick))
        await pilot.press("enter")
        await until(pilot, lambda: "It is run again of" in told(app))
        assert "1 missing" in told(app)
        dataset.reload()
        assert sorted(dataset.list_brain_runs()) == ["again", "whole"]
        await pilot.press("H")
        await until(pilot, lambda: f"adopted collection {dataset.name}/again" in screen_text(app))
        assert f"deleted run {dataset.name}/part" in screen_text(app)


async def test_several_are_deleted_with_one_question_and_a_report(
    make_app: MakeApp, dataset: Any, workspace: Workspace
):
    app = _opened(make_app, dataset)
    async with app.run_test(size=(100, 30)) as pilot:
        await _listed(pilot, app)
        await pilot.press("a", "d")
        await until(pilot, lambda: isinstance(app.screen, DeleteRuns))
        assert "/ part" in screen_text(app) and "/ whole" in screen_text(app)
        # Somebody else is faster with one of the two.
        from tui.core import runs

        runs.delete(workspace, dataset.name, "part")
        await _type(pilot, app, "delete 2")
        await until(pilot, lambda: isinstance(app.screen, Page))
        report = app.screen.body
        assert f"✓ {dataset.name} / whole" in report and "10 vectors" in report
        assert f"✗ {dataset.name} / part" in report
        dataset.reload()
        assert dataset.list_brain_runs() == []


async def test_check_tells_exactly_what_is_wrong(make_app: MakeApp, dataset: Any):
    app = _opened(make_app, dataset)
    async with app.run_test(size=(80, 24)) as pilot:
        table = await _listed(pilot, app)
        table.go_to(_key(dataset, "part"))
        await pilot.press("c")
        await until(pilot, lambda: "9 vectors: 1 missing" in told(app))


async def test_info_and_python_are_pages(make_app: MakeApp, dataset: Any):
    app = _opened(make_app, dataset)
    async with app.run_test(size=(80, 24)) as pilot:
        table = await _listed(pilot, app)
        table.go_to(_key(dataset, "whole"))
        await pilot.press("i")
        await until(pilot, lambda: isinstance(app.screen, Page) and "Reading" not in app.screen.body)
        assert '"brain_key": "whole"' in app.screen.body and f"k_{dataset.name}_whole" in app.screen.body
        for said in ("name vector  type FLOAT_VECTOR  dim 8", "state              loaded", "memory_bytes  "):
            assert said in app.screen.body
        await pilot.press("escape", "p")
        await until(pilot, lambda: isinstance(app.screen, Page) and "load_brain_results" in app.screen.body)
        assert app.clipboard == app.screen.body


async def test_release_and_load(make_app: MakeApp, dataset: Any, workspace: Workspace):
    name = f"k_{dataset.name}_whole"
    app = _opened(make_app, dataset)
    async with app.run_test(size=(80, 24)) as pilot:
        table = await _listed(pilot, app)
        table.go_to(_key(dataset, "whole"))
        for loaded in (False, True):
            await until(pilot, lambda: not app.screen.busy)
            await pilot.press("L")
            await until(pilot, lambda want=loaded: workspace.milvus().describe(name).loaded is want)


async def test_read_only_refuses_every_change(mongod: Mongod, milvus_lite: MilvusLite, dataset: Any):
    settings = settings_for(mongod, milvus_lite, readonly=True)
    app = Kitescope(settings, last=Last(screen="runs", dataset=dataset.name))
    async with app.run_test(size=(80, 24)) as pilot:
        await _listed(pilot, app)
        for key in ("d", "x", "R", "u"):
            app.clear_notifications()
            await pilot.press(key)
            await until(pilot, lambda: "read-only, so nothing" in told(app))
            assert isinstance(app.screen, RunsScreen)


async def test_a_protected_profile_wants_its_name_as_well(
    mongod: Mongod, milvus_lite: MilvusLite, dataset: Any, workspace: Workspace
):
    settings = replace(settings_for(mongod, milvus_lite), profile="prod", protected=True)
    app = Kitescope(settings, last=Last(screen="runs", dataset=dataset.name))
    async with app.run_test(size=(80, 24)) as pilot:
        table = await _listed(pilot, app)
        table.go_to(_key(dataset, "whole"))
        for word in ("", "prod"):
            await pilot.press("d")
            await until(pilot, lambda: isinstance(app.screen, DeleteRuns))
            await _type(pilot, app, "whole")
            await until(pilot, lambda: "prod is protected" in screen_text(app))
            assert milvus_lite.uri in screen_text(app)
            if not word:
                await pilot.press("escape")
                await until(pilot, lambda: isinstance(app.screen, RunsScreen))
        await _type(pilot, app, "prod")
        await until(pilot, lambda: "The record is deleted" in told(app))
    dataset.reload()
    assert dataset.list_brain_runs() == ["part"]


async def test_a_sync_that_removes_vectors_of_a_protected_profile_wants_its_name(
    mongod: Mongod, milvus_lite: MilvusLite, dataset: Any, workspace: Workspace
):
    dataset.delete_samples([dataset.last().id])
    settings = replace(settings_for(mongod, milvus_lite), profile="prod", protected=True)
    app = Kitescope(settings, last=Last(screen="runs", dataset=dataset.name))
    async with app.run_test(size=(100, 30)) as pilot:
        table = await _listed(pilot, app)
        table.go_to(_key(dataset, "whole"))
        await pilot.press("u")
        await until(pilot, lambda: "Adds vectors of new images" in screen_text(app))
        await pilot.press("y")
        await until(pilot, lambda: "prod is protected" in screen_text(app))
        assert "remove 1 stale" in screen_text(app)
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, RunsScreen))
        assert not app.state.jobs
        # Numbers hide a vector that is stale where another one is missing: then the job refuses.
        table.go_to(_key(dataset, "part"))
        await pilot.press("u")
        await until(pilot, lambda: "Adds vectors of new images" in screen_text(app))
        await pilot.press("y")
        await until(pilot, lambda: app.state.jobs and app.state.jobs[0].state == "failed", 90)
        assert "prod is protected" in (app.state.jobs[0].error or "")
        await pilot.press("4")
        await until(pilot, lambda: app.current_mode == "jobs" and app.screen.current is not None)
        await pilot.press("u")
        await until(pilot, lambda: isinstance(app.screen, Confirm))
        await _type(pilot, app, "prod")
        await until(pilot, lambda: app.state.jobs and app.state.jobs[0].state == "done", 90)
        assert app.state.jobs[0].result["removed"] == 1


async def test_the_name_of_a_protected_profile_counts_for_the_runs_it_was_asked_for(
    mongod: Mongod, milvus_lite: MilvusLite, dataset: Any, workspace: Workspace
):
    dataset.delete_samples([dataset.last().id])
    settings = replace(settings_for(mongod, milvus_lite), profile="prod", protected=True)
    app = Kitescope(settings, last=Last(screen="runs", dataset=dataset.name))
    async with app.run_test(size=(100, 30)) as pilot:
        await _listed(pilot, app)
        await pilot.press("a", "u")
        await until(pilot, lambda: "Sync 2 runs?" in screen_text(app))
        await pilot.press("y")
        await until(pilot, lambda: "prod is protected" in screen_text(app))
        assert "remove 1 stale" in screen_text(app)
        await _type(pilot, app, "prod")
        await until(pilot, lambda: [job.ended for job in app.state.jobs or ()] == [True, True], 120)
        states = {job.brain_key: job.state for job in app.state.jobs}
        assert states == {"whole": "done", "part": "failed"}, "nobody was told that part loses one"


async def test_a_milvus_that_is_gone_is_said_in_the_list_and_by_no_notice_for_each_run(
    mongod: Mongod, milvus_lite_factory: Callable[..., MilvusLite], dataset: Any
):
    server = milvus_lite_factory()
    settings = settings_for(mongod, server, timeout=1.0)
    app = Kitescope(settings, last=Last(screen="runs", dataset=dataset.name))
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: app.state.milvus.status == "ready")
        await _listed(pilot, app)
        server.kill9()
        await pilot.press("r")
        await until(pilot, lambda: screen_text(app).count("✗ unreachable") == 2)
        assert told(app) == ""


def test_columns_that_say_nothing_and_those_of_least_worth_go_first():
    columns = [
        FitColumn("name", "Name", least=5),
        FitColumn("b", "B", drop=1),
        FitColumn("c", "C", drop=2),
        FitColumn("d", "D", drop=3),
    ]
    wide = {"name": 10, "b": 10, "c": 10, "d": 10}
    assert fit(columns, wide, 48) == {"name": 10, "b": 10, "c": 10, "d": 10}
    assert fit(columns, wide, 44) == {"name": 6, "b": 10, "c": 10, "d": 10}
    assert list(fit(columns, wide, 40)) == ["name", "b", "c"]
    assert list(fit(columns, wide, 40, keep="d")) == ["name", "b", "d"]
    assert list(fit(columns, wide, 40, blank=frozenset("b"))) == ["name", "c", "d"]


def test_names_shrink_further_before_a_column_leaves_the_screen():
    columns = [
        FitColumn("key", "Key", least=24),
        FitColumn("of", "Of", least=18),
        FitColumn("health", "Health"),
    ]
    wide = {"key": 30, "of": 30, "health": 15}
    for room in (90, 60, 45, 39):
        widths = fit(columns, wide, room)
        assert sum(widths.values()) + 2 * len(widths) <= room, room
        assert widths["health"] == 15

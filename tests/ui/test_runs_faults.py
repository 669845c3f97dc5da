"""On the Runs screen: a dataset is deleted while its runs are shown, or Milvus goes away."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.conftest import settings_for
from tests.core.making import make_dataset, make_index, vectors
from tests.engines.servers import MilvusLite, Mongod
from tests.ui.conftest import told, until
from tui.app import Kitescope
from tui.core.indexes import BuildSpec
from tui.core.scope import Scope
from tui.core.workspace import Workspace
from tui.jobs import supervisor
from tui.messages import BuildRequested
from tui.preferences import Last
from tui.widgets.dialogs import Confirm
from tui.widgets.fitted import FittedTable


@pytest.fixture
def dataset(workspace: Workspace, unique_name: Callable[[str], str]) -> Any:
    made = make_dataset(workspace, unique_name("fault").replace("-", "_"), 3)
    for key in ("one", "two"):
        make_index(workspace, Scope(made.name), key, vectors(3))
    return made


async def test_a_dataset_deleted_while_its_runs_are_shown_is_said_and_leaves(
    make_app: Callable[..., Kitescope], workspace: Workspace, dataset: Any
):
    app = make_app(last=Last(screen="runs", dataset=dataset.name))
    async with app.run_test(size=(100, 30)) as pilot:
        table = app.screen.query_one("#runs", FittedTable)
        await until(pilot, lambda: len(table.shown) == 2 and app.screen.focused is table, 60)
        workspace.fiftyone().delete_dataset(dataset.name)
        await pilot.press("c")
        await until(pilot, lambda: f"There is no dataset '{dataset.name}'" in told(app), 60)
        await pilot.press("r")
        await until(pilot, lambda: not [r for r in app.state.runs or () if r.dataset == dataset.name], 60)
        await until(pilot, lambda: app.state.dataset is None, 60)
        assert app.is_running


async def test_no_job_is_left_behind_by_a_milvus_that_is_away(
    mongod: Mongod, milvus_lite_factory: Callable[[], MilvusLite], dataset: Any
):
    milvus = milvus_lite_factory()
    app = Kitescope(settings_for(mongod, milvus), last=Last(screen="runs", dataset=dataset.name))
    async with app.run_test(size=(100, 30)) as pilot:
        table = app.screen.query_one("#runs", FittedTable)
        await until(pilot, lambda: len(table.shown) == 2 and app.screen.focused is table, 60)
        await until(pilot, lambda: app.state.milvus.status == "ready", 60)
        milvus.kill9()
        app.clear_notifications()
        await pilot.press("a", "u")
        await until(pilot, lambda: isinstance(app.screen, Confirm), 60)
        await pilot.press("y")
        await until(pilot, lambda: "Starting the job" in told(app), 60)
        assert "cannot be reached (connection refused)" in told(app) and "See that it is running" in told(app)
        app.post_message(BuildRequested(BuildSpec(Scope(dataset.name), "new")))
        await until(pilot, lambda: told(app).count("Starting the job") > 1, 60)
        await until(pilot, lambda: not [one for one in app.workers if "job" in one.name], 60)
        assert told(app).count("Starting the job") == 2
        assert supervisor.list_jobs() == []

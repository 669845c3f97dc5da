"""On the Runs screen: a dataset is deleted while its runs are shown."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.core.making import make_dataset, make_index, vectors
from tests.ui.conftest import told, until
from tui.app import Kitescope
from tui.core.scope import Scope
from tui.core.workspace import Workspace
from tui.preferences import Last
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

"""Plans and forms of the Build screen while what they depend on changes, and what is typed meanwhile."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from tests.snapshots import world
from tests.ui.conftest import until
from tests.ui.gates import gate
from tui.app import Kitescope
from tui.core import datasets
from tui.core.filling import planning
from tui.core.indexes import BuildPlan
from tui.messages import Happened
from tui.preferences import Last
from tui.screens.build import BuildScreen
from tui.state import DatasetsLoaded


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> Kitescope:
    """An app on engines that answer at once, on the Build screen with a dataset chosen, not run yet."""
    monkeypatch.chdir(tmp_path)
    world.settle(monkeypatch)
    return Kitescope(
        world.SETTINGS,
        last=Last(screen="build", dataset="birds"),
        open_workspace=world.Engines,  # type: ignore[arg-type]
    )


def _planned(screen: BuildScreen) -> int | None:
    outlook = screen._planned.outlook if screen._planned else None
    return outlook.plan.vectors if outlook and screen._fresh() else None


@pytest.mark.parametrize("then", ["while it is planned", "when it is planned"])
async def test_a_plan_of_what_a_dataset_was_before_is_made_again(
    app: Kitescope, monkeypatch: pytest.MonkeyPatch, then: str
):
    has = {"samples": 1_797}
    plan = lambda *_of: BuildPlan("ks_birds", has["samples"], 324, 2_600_000, 0)  # noqa: E731
    with gate(monkeypatch, planning, "plan", plan) as planner:
        async with app.run_test(size=(120, 40)) as pilot:
            screen: Any = app.screen
            await until(pilot, planner.held.is_set)
            if then == "when it is planned":
                planner.let()
                await until(pilot, lambda: _planned(screen) == 1_797)
            has["samples"] = 2_000
            app.post_message(Happened(DatasetsLoaded((dataclasses.replace(world.BIRDS, samples=2_000),))))
            await until(pilot, lambda: app.state.datasets and app.state.datasets[0].samples == 2_000)
            planner.let()
            await until(pilot, lambda: _planned(screen) == 2_000)


async def test_what_is_typed_while_the_dataset_is_looked_into_stays(
    app: Kitescope, monkeypatch: pytest.MonkeyPatch
):
    with gate(monkeypatch, datasets, "dataset_detail") as looking:
        async with app.run_test(size=(120, 40)) as pilot:
            screen: Any = app.screen
            await until(pilot, looking.held.is_set)
            form = screen._form
            form.go_to("limit")
            await until(pilot, lambda: form.current is form["limit"])
            await pilot.press(*"12")
            await until(pilot, lambda: form["limit"].value == "12")
            looking.let()
            await until(pilot, lambda: screen._detail is not None)
            await pilot.pause()
            assert form["limit"].value == "12" and screen._spec().scope.limit == 12

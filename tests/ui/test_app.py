"""The app around the screens: first frame, status, going places and back, help, palette, faults."""

from __future__ import annotations

import socket
from collections.abc import Callable

import pytest
from textual.command import CommandList, CommandPalette
from textual.widgets import Input

from tests.conftest import settings_for
from tests.engines.servers import Mongod
from tests.ui.conftest import screen_text, until
from tui.app import Kitescope
from tui.core.scope import Scope
from tui.messages import Happened
from tui.preferences import Last, Preferences, load_last
from tui.screens.help import HelpScreen
from tui.state import IndexChosen, ScopeChosen
from tui.widgets.tabs import SCREENS

MakeApp = Callable[..., Kitescope]
SIZES = pytest.mark.parametrize("size", [(80, 24), (200, 50)], ids=["80x24", "200x50"])


async def _ready(pilot, app: Kitescope) -> None:
    await until(pilot, lambda: app.state.milvus.status == app.state.database.status == "ready")
    await until(pilot, lambda: app.state.datasets is not None and app.state.runs is not None)


@SIZES
async def test_every_screen_opens_by_its_number_and_shows_tabs_status_and_keys(make_app: MakeApp, size):
    app = make_app()
    async with app.run_test(size=size) as pilot:
        await _ready(pilot, app)
        for number, (mode, title) in enumerate(SCREENS, 1):
            await app.switch_mode("jobs" if mode != "jobs" else "runs")
            app.set_focus(None)
            await pilot.press(str(number))
            await until(pilot, lambda mode=mode: app.current_mode == mode)
            await until(pilot, lambda: "Help" in screen_text(app).splitlines()[-1])
            # A screen that was just made takes up the state a moment after it is there.
            await until(pilot, lambda: "● Milvus" in screen_text(app).splitlines()[-2])
            lines = screen_text(app).splitlines()
            assert f"{number} {title}" in lines[0] and "● FiftyOne" in lines[-2]


async def test_escape_goes_back_through_the_screens_and_never_quits(make_app: MakeApp):
    app = make_app(last=Last(screen="datasets"))
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: app.current_mode == "datasets")
        await pilot.press("4")
        await until(pilot, lambda: app.current_mode == "jobs")
        await pilot.press("5")
        await until(pilot, lambda: app.current_mode == "runs")
        for expected in ("jobs", "datasets", "datasets", "datasets"):
            await pilot.press("escape")
            await until(pilot, lambda expected=expected: app.current_mode == expected)
        assert app.is_running


async def test_help_lists_the_keys_of_the_screen_and_filters(make_app: MakeApp):
    app = make_app(last=Last(screen="runs"), look=Preferences(keys={"run-delete": "X"}))
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: app.current_mode == "runs")
        await pilot.press("f1")
        await until(pilot, lambda: isinstance(app.screen, HelpScreen))
        assert "run-delete" in screen_text(app)
        app.screen.query_one(Input).value = "delete"
        await until(pilot, lambda: "run-sync" not in screen_text(app))
        line = next(line for line in screen_text(app).splitlines() if "run-delete" in line)
        assert " X " in line
        await pilot.press("escape")
        await until(pilot, lambda: app.current_mode == "runs" and not isinstance(app.screen, HelpScreen))


async def test_the_palette_goes_to_a_screen_by_name(make_app: MakeApp):
    app = make_app(last=Last(screen="datasets"))
    async with app.run_test(size=(100, 30)) as pilot:
        await until(pilot, lambda: app.current_mode == "datasets")
        await pilot.press("ctrl+p")
        # What is typed before the palette is there would be keys of the screen below.
        await until(pilot, lambda: isinstance(app.screen, CommandPalette) and app.focused)
        await pilot.press(*"Jobs (4")

        def found() -> bool:
            (listed,) = app.screen.query(CommandList)
            at = listed.highlighted
            return at is not None and "Jobs (4)" in str(listed.get_option_at_index(at).prompt)

        await until(pilot, found)
        await pilot.press("enter")
        await until(pilot, lambda: app.current_mode == "jobs")


async def test_an_engine_that_does_not_answer_leaves_the_ui_usable_and_says_what_to_do(mongod: Mongod):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        uri = f"http://127.0.0.1:{silent.getsockname()[1]}"
        from tui.core.settings import resolve

        app = Kitescope(resolve(flags={"uri": uri, "database_uri": mongod.uri}, env={}, timeout=1))
        async with app.run_test(size=(100, 30)) as pilot:
            await pilot.press("4")
            await until(pilot, lambda: app.current_mode == "jobs", timeout=3)
            await until(pilot, lambda: app.state.milvus.status == "failed", timeout=10)
            await until(pilot, lambda: app.state.database.status == "ready")
            assert app.state.milvus.remedy
            assert "✗ Milvus" in screen_text(app)


async def test_a_job_known_before_its_screen_opens_is_on_it(
    make_app: MakeApp, workspace, mongod, milvus_lite
):
    from tui.core.datasets import Scope
    from tui.core.indexes import BuildSpec, Source
    from tui.jobs import supervisor
    from tui.jobs.spec import job_spec

    settings = settings_for(mongod, milvus_lite)
    spec = BuildSpec(Scope("there-is-no-such-dataset"), "key", Source(model="kitescope-descriptor"))
    job = supervisor.start(job_spec("build", spec.scope.dataset, "key", settings, spec), settings)
    assert supervisor.wait(job.id, timeout=60).state == "failed"
    app = make_app(last=Last(screen="datasets"))
    async with app.run_test(size=(120, 30)) as pilot:
        await until(pilot, lambda: app.state.jobs)
        await pilot.press("4")
        await until(pilot, lambda: "there-is-no-such-dataset" in screen_text(app))


async def test_the_place_comes_back_at_the_next_start(make_app: MakeApp):
    app = make_app(last=Last(screen="datasets"))
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: app.current_mode == "datasets")
        await pilot.press("5")
        await until(pilot, lambda: app.current_mode == "runs")
        await pilot.press("q")
        await until(pilot, lambda: not app.is_running or app._exit)
    assert load_last().screen == "runs"


async def test_an_index_of_another_dataset_than_the_chosen_one_comes_back(make_app: MakeApp):
    app = make_app(last=Last(screen="datasets"))
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: app.current_mode == "datasets")
        app.post_message(Happened(ScopeChosen(Scope("one"))))
        app.post_message(Happened(IndexChosen("another", "key")))
        await until(pilot, lambda: app.state.index and app.state.dataset == "one")
        await pilot.press("q")
        await until(pilot, lambda: not app.is_running or app._exit)
    last = load_last()
    assert make_app(last=last).state.index == ("another", "key")
    assert make_app(last=last)._wanted == "one"
    # As those remembered that did not know of two.
    assert make_app(last=Last(dataset="one", brain_key="key")).state.index == ("one", "key")

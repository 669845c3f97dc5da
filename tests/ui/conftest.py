"""What UI tests share: waiting for a condition, the app on the session's engines, the screen as text."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import pytest
from textual.app import App

from tests.conftest import settings_for
from tests.engines.servers import MilvusLite, Mongod

if TYPE_CHECKING:
    from textual.pilot import Pilot

    from tui.app import Kitescope


async def until(pilot: Pilot[Any], condition: Callable[[], object], timeout: float = 60) -> None:
    """Let the app run until ``condition`` holds; fail after ``timeout`` seconds with what is on it."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() >= deadline:
            # This process may have stood still since it looked.
            assert condition(), f"not within {timeout} s; the screen says\n{screen_text(pilot.app)}"
            break
        await pilot.pause(0.05)
    await pilot.pause()
    await _settled(pilot)


async def _settled(pilot: Pilot[Any]) -> None:
    """Wait until what followed from it is done and drawn, as far as nothing turns on the screen all the time.

    ``pilot.pause`` takes a process that gets no processor for one that has nothing to do.
    """
    until, quiet = time.monotonic() + 2, 0
    while quiet < 3 and time.monotonic() < until:
        quiet = quiet + 1 if _is_quiet(pilot.app) else 0
        await asyncio.sleep(0.005)


def _is_quiet(app: App[Any]) -> bool:
    if not app.is_running or not app.screen_stack:
        return True
    screen = app.screen
    if not screen.is_mounted or screen._layout_required or screen._dirty_widgets or screen._callbacks:
        return False
    nodes = (screen, *screen.walk_children())
    if not all(node.is_mounted for node in nodes):
        return False
    return not any(node.message_queue_size or node._next_callbacks for node in (app, *nodes))


@asynccontextmanager
async def turns() -> AsyncIterator[Callable[[], int]]:
    """Counts the turns of the event loop."""
    turn = 0

    async def count() -> None:
        nonlocal turn
        while True:
            turn += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count())
    yield lambda: turn
    counting.cancel()


def screen_text(app: App[Any]) -> str:
    """What is on the screen, as text, a line each."""
    width, height = app.size
    strips = app.screen._compositor.render_strips(app.size)
    lines = ("".join(segment.text for segment in strip) for strip in strips[:height])
    return "\n".join(line[:width].rstrip() for line in lines)


_told: WeakKeyDictionary[App[Any], list[str]] = WeakKeyDictionary()


def told(app: Kitescope) -> str:
    """Every notice since the last ``clear_notifications``, also those gone by now; line breaks are blanks."""
    return " ".join(_told.get(app, ()))


@pytest.fixture(autouse=True)
def every_notice(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep what was told: a notice leaves the screen after some seconds, however slow the machine is."""
    notify, clear = App.notify, App.clear_notifications

    def noted(self: App[Any], message: str, *, title: str = "", **more: Any) -> None:
        _told.setdefault(self, []).append(f"{title} {message}")
        notify(self, message, title=title, **more)

    def cleared(self: App[Any]) -> None:
        _told.pop(self, None)
        clear(self)

    monkeypatch.setattr(App, "notify", noted)
    monkeypatch.setattr(App, "clear_notifications", cleared)


@pytest.fixture
def make_app(mongod: Mongod, milvus_lite: MilvusLite) -> Callable[..., Kitescope]:
    """``make_app(**arguments)``: the app on the session's mongod and Milvus Lite, not run yet."""
    from tui.app import Kitescope

    def make(**arguments: Any) -> Kitescope:
        return Kitescope(settings_for(mongod, milvus_lite), **arguments)

    return make


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Kitescope]:
    """``make(screen)``: an app on engines that answer at once, not run yet."""
    from tests.snapshots import world
    from tui.app import Kitescope
    from tui.preferences import Last

    monkeypatch.chdir(tmp_path)
    world.pictures()
    world.settle(monkeypatch)

    def app(screen: str, **more: Any) -> Kitescope:
        return Kitescope(
            world.SETTINGS,
            last=Last(screen=screen),
            open_workspace=world.Engines,  # type: ignore[arg-type]
            **more,
        )

    return app


async def ready(pilot: Pilot[Any], app: Kitescope) -> None:
    """Wait until both engines answered and everything was read."""
    await until(pilot, lambda: app.state.milvus.status == app.state.database.status == "ready")
    await until(pilot, lambda: None not in (app.state.datasets, app.state.runs, app.state.jobs))

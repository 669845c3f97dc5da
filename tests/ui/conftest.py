"""What UI tests share: waiting for a condition, the app on the session's engines, the screen as text."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import settings_for
from tests.engines.servers import MilvusLite, Mongod

if TYPE_CHECKING:
    from textual.app import App
    from textual.pilot import Pilot

    from tui.app import Kitescope


async def until(pilot: Pilot[Any], condition: Callable[[], object], timeout: float = 60) -> None:
    """Let the app run until ``condition`` holds; fail after ``timeout`` seconds with what is on it."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, (
            f"not within {timeout} s; the screen says\n{screen_text(pilot.app)}"
        )
        await pilot.pause(0.05)
    await pilot.pause()


def screen_text(app: App[Any]) -> str:
    """What is on the screen, as text, a line each."""
    width, height = app.size
    strips = app.screen._compositor.render_strips(app.size)
    lines = ("".join(segment.text for segment in strip) for strip in strips[:height])
    return "\n".join(line[:width].rstrip() for line in lines)


def told(app: Kitescope) -> str:
    """Every notice that is on the screen, wherever its lines break."""
    return " ".join(f"{notice.title} {notice.message}" for notice in app._notifications)


@pytest.fixture
def make_app(mongod: Mongod, milvus_lite: MilvusLite) -> Callable[..., Kitescope]:
    """``make_app(**arguments)``: the app on the session's mongod and Milvus Lite, not run yet."""
    from tui.app import Kitescope

    def make(**arguments: Any) -> Kitescope:
        return Kitescope(settings_for(mongod, milvus_lite), **arguments)

    return make

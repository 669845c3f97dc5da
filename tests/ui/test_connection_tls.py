"""By typing to a real server with TLS and a password: a wrong one first, then the right one."""

from __future__ import annotations

from collections.abc import Callable

from tests.engines.standalone import MilvusStandalone
from tests.ui.conftest import screen_text, until
from tests.ui.test_connection import HERE, MakeApp, opened, type_into
from tui.widgets.form import Form
from tui.widgets.steps import Steps


async def test_connect_by_typing(
    make_app: MakeApp, milvus_standalone_factory: Callable[..., MilvusStandalone]
) -> None:
    server = milvus_standalone_factory(auth=True, tls="two-way")
    values = {name: value for name, value in server.client_kwargs().items() if isinstance(value, str)}
    app = make_app(last=HERE)
    async with app.run_test(size=(120, 40)) as pilot:
        screen = await opened(pilot)
        for name, value in values.items():
            await type_into(pilot, screen, name, "wrong" if name == "password" else value)
        steps = screen.query_one(Steps)
        await pilot.press("f4")
        await until(pilot, lambda: steps.display and not steps.running)
        text = screen_text(app)
        assert "✓ TLS" in text and "certificate until" in text and "✗ login" in text
        assert "wrong" not in text

        await type_into(pilot, screen, "password", values["password"])
        await pilot.press("f4")
        await until(pilot, lambda: screen._test == 2 and not steps.running)
        assert "The connection works" in screen_text(app)

        await pilot.press("f5")
        await until(pilot, lambda: app.settings.milvus["uri"].value == server.uri)
        await until(pilot, lambda: app.state.milvus.status == "ready")
        assert "2.3.5" in app.state.milvus.detail
        # What reaches a job's worker is what was typed, the password included.
        kwargs = app.settings.milvus_kwargs()
        assert kwargs == values
        assert screen.query_one(Form).wrong() == {}

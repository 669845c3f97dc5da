"""The Connection screen: choose, edit, test, use, keep."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from textual.pilot import Pilot

from tests.conftest import settings_for
from tests.core.keyrings import Open, use
from tests.engines.servers import MilvusLite, Mongod
from tests.ui.conftest import screen_text, until
from tui.app import Kitescope
from tui.core import profiles
from tui.core.settings import resolve
from tui.preferences import Last
from tui.screens.connection import ConnectionScreen
from tui.widgets.dialogs import Ask, Confirm
from tui.widgets.fitted import FittedTable
from tui.widgets.form import Form
from tui.widgets.form_dialog import FormDialog
from tui.widgets.steps import Steps

MakeApp = Callable[..., Kitescope]
HERE = Last(screen="connection")


async def opened(pilot: Pilot[None]) -> ConnectionScreen:
    app = pilot.app
    await until(pilot, lambda: isinstance(app.screen, ConnectionScreen) and app.screen._shown)
    assert isinstance(app.screen, ConnectionScreen)
    return app.screen


async def go_to(pilot: Pilot[None], screen: ConnectionScreen, key: str) -> None:
    screen.query_one(FittedTable).go_to(key)
    await until(pilot, lambda: screen._shown == key)


async def type_into(pilot: Pilot[None], screen: ConnectionScreen, field: str, text: str) -> None:
    form = screen.query_one(Form)
    form.go_to(field)
    await until(pilot, lambda: form.current is form[field])
    await pilot.press("ctrl+u", "ctrl+k", *text)
    await until(pilot, lambda: form[field].value == text)


async def dialog(pilot: Pilot[None], kind: type = FormDialog) -> Form:
    await until(pilot, lambda: isinstance(pilot.app.screen, kind) and pilot.app.focused)
    return pilot.app.screen.query_one(Form) if kind is FormDialog else Form()


@contextmanager
def silent_port() -> Iterator[int]:
    """A port that accepts and never answers."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(8)
        yield server.getsockname()[1]


@pytest.mark.parametrize("size", [(80, 24), (200, 50)], ids=["80x24", "200x50"])
async def test_values_come_with_their_source_and_no_secret(
    mongod: Mongod, milvus_lite: MilvusLite, monkeypatch: pytest.MonkeyPatch, size: tuple[int, int]
) -> None:
    prefix = "FIFTYONE_BRAIN_SIMILARITY_MILVUS_"
    monkeypatch.setenv(f"{prefix}URI", milvus_lite.uri.replace("//", "//root:hidden@"))
    monkeypatch.setenv(f"{prefix}PASSWORD", "s3cret")
    monkeypatch.setenv("FIFTYONE_DATABASE_URI", mongod.uri)
    app = Kitescope(resolve(), last=HERE)
    async with app.run_test(size=size) as pilot:
        screen = await opened(pilot)
        assert screen._shown == "environment", "what is in use is under the cursor"
        labels = ("URI", "Token", "TLS", "CA pem", "Client key", "Server name", "root:***@", "env")
        await until(pilot, lambda: all(label in screen_text(app) for label in labels))
        text = screen_text(app)
        assert "s3cret" not in text and "hidden" not in text
        await pilot.press("e")
        await until(pilot, lambda: f"From env {prefix}URI" in " ".join(screen_text(app).split()))
        await pilot.press("escape")
        await until(pilot, lambda: app.focused is screen.query_one(FittedTable))


async def test_a_wrong_address_is_told_and_the_right_one_connects(
    make_app: MakeApp, milvus_lite: MilvusLite
) -> None:
    app = make_app(last=HERE)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(pilot)
        await go_to(pilot, screen, "embedded")
        await type_into(pilot, screen, "uri", "localhost")
        await until(pilot, lambda: "Begin with http://" in screen_text(app))
        before = app.settings
        await pilot.press("f5")
        await pilot.pause()
        assert app.settings is before, "nothing is used that is wrong"

        database = str(before.database_uri.value)
        await type_into(pilot, screen, "uri", milvus_lite.uri)
        await type_into(pilot, screen, "database_uri", database)
        await until(pilot, lambda: "typed" in screen_text(app))
        await pilot.press("f5")
        await until(pilot, lambda: app.settings is not before)
        assert app.settings.milvus["uri"].value == milvus_lite.uri
        await until(pilot, lambda: app.state.milvus.status == app.state.database.status == "ready")


async def test_the_test_walks_the_steps(make_app: MakeApp) -> None:
    app = make_app(last=HERE)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(pilot)
        await pilot.press("t")
        steps = screen.query_one(Steps)
        await until(pilot, lambda: steps.display and not steps.running)
        text = screen_text(app)
        assert "The connection works" in text and "✗" not in text
        assert all(name in text for name in ("TCP", "login", "version", "FiftyOne", "ms"))
        await pilot.press("escape")
        await until(pilot, lambda: not steps.display)
        assert app.current_mode == "connection"


async def test_in_its_field_the_database_is_tested_alone(make_app: MakeApp) -> None:
    app = make_app(last=HERE)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(pilot)
        form = screen.query_one(Form)
        form.go_to("database_uri")
        await until(pilot, lambda: form.current is form["database_uri"])
        await pilot.press("f4")
        steps = screen.query_one(Steps)
        await until(pilot, lambda: steps.display and not steps.running)
        text = screen_text(app)
        assert "FiftyOne's database works" in text and "✗" not in text
        assert [step.name for step in steps._taken][:2] == ["service", "address"]
        assert "a shared one" in steps._taken[0].detail and "datasets in" in steps._taken[-1].detail


async def test_the_test_says_what_fails_and_what_to_do(make_app: MakeApp) -> None:
    app = make_app(last=HERE)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        closed = f"http://127.0.0.1:{taken.getsockname()[1]}"
        async with app.run_test(size=(80, 24)) as pilot:
            screen = await opened(pilot)
            await type_into(pilot, screen, "uri", closed)
            await pilot.press("f4")
            steps = screen.query_one(Steps)
            await until(pilot, lambda: steps.display and not steps.running)
            text = screen_text(app)
            assert "does not work" in text and "✗ TCP" in text and "refused" in text
            assert "→ See that Milvus is running" in text
            assert "✓ FiftyOne" in text, "the other engine is tried all the same"


async def test_escape_cancels_a_test_that_hangs_and_late_answers_are_dropped(make_app: MakeApp) -> None:
    app = make_app(last=HERE)
    with silent_port() as port:
        async with app.run_test(size=(80, 24)) as pilot:
            screen = await opened(pilot)
            await type_into(pilot, screen, "uri", f"http://127.0.0.1:{port}")
            await pilot.press("f4")
            steps = screen.query_one(Steps)
            await until(pilot, lambda: "✓ TCP" in screen_text(app))
            assert steps.running
            await pilot.press("escape")
            await until(pilot, lambda: not steps.running and "cancelled" in screen_text(app))
            screen.post_message(_late(screen))
            await pilot.pause()
            assert "too late" not in screen_text(app)


def _late(screen: ConnectionScreen):
    from tui.screens.connection_messages import Stepped
    from tui.widgets.steps import Taken

    return Stepped(screen._test - 1, Taken("late", True, 1.0, "too late"))


async def test_a_profile_keeps_the_password_only_on_request(make_app: MakeApp) -> None:
    app = make_app(last=HERE)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(pilot)
        await type_into(pilot, screen, "user", "root")
        await type_into(pilot, screen, "password", "s3cret")
        assert "s3cret" not in screen_text(app)
        await pilot.press("f2")
        form = await dialog(pilot)
        await pilot.press("f5")
        assert form.wrong() == {"name": "Give it a name"}
        await pilot.press(*"prod", "f5")
        await until(pilot, lambda: screen._shown == "profile prod")
        assert "s3cret" not in profiles.path().read_text()
        assert profiles.load("prod").milvus["user"] == "root"

        await type_into(pilot, screen, "password", "s3cret")
        await pilot.press("f2")
        form = await dialog(pilot)
        assert form.values()["secrets"] == "ask", "there is no keyring here"
        form.choice("secrets").put("file")
        form.choice("readonly").put("yes")
        await pilot.press("f5")
        await until(pilot, lambda: "s3cret" in profiles.path().read_text())
        assert profiles.load("prod").readonly
        assert profiles.path().stat().st_mode & 0o077 == 0


async def test_the_keyring_is_the_first_choice(
    make_app: MakeApp, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    use(Open, monkeypatch, tmp_path / "keyring.json")
    app = make_app(last=HERE)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(pilot)
        await type_into(pilot, screen, "password", "s3cret")
        await pilot.press("f2")
        await dialog(pilot)
        await pilot.press(*"prod", "f5")
        await until(pilot, lambda: screen._shown == "profile prod")
        assert "s3cret" not in profiles.path().read_text() and profiles.load("prod").kept == "keyring"
        await until(pilot, lambda: "keyring" in screen_text(app))
        assert app.is_running and screen.query_one(Form)["password"].value == "s3cret"


async def test_a_profile_that_came_back_asks_for_its_password_and_nothing_else(
    mongod: Mongod, milvus_lite: MilvusLite
) -> None:
    lab = profiles.Profile("lab", {"uri": milvus_lite.uri, "user": "root", "password": "s3cret"}, mongod.uri)
    profiles.save(lab, "ask")
    profiles.set_default("lab")
    app = Kitescope(resolve(), last=HERE)
    async with app.run_test(size=(80, 24)) as pilot:
        await dialog(pilot, Ask)
        await until(pilot, lambda: "Password of root for http" in screen_text(app))
        await pilot.press(*"s3cret", "enter")
        await until(pilot, lambda: app.state.milvus.status == app.state.database.status == "ready")
        assert app.settings.milvus_kwargs() == dict(lab.milvus)
        await until(pilot, lambda: "● lab" in screen_text(app))
        assert "s3cret" not in screen_text(app)


async def test_a_profile_is_used_remembered_and_removed(
    make_app: MakeApp, mongod: Mongod, milvus_lite: MilvusLite
) -> None:
    values = {"uri": milvus_lite.uri, "user": "root"}
    profiles.save(profiles.Profile("lab", values, mongod.uri, readonly=True))
    app = make_app(last=HERE)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(pilot)
        await go_to(pilot, screen, "profile lab")
        await pilot.press("enter")
        await dialog(pilot, Ask)
        await pilot.press(*"pw", "enter")
        await until(pilot, lambda: app.settings.profile == "lab")
        assert app.settings.milvus["password"].value == "pw" and app.state.readonly
        await until(pilot, lambda: profiles.default_name() == "lab")
        await until(pilot, lambda: app.state.milvus.status == app.state.database.status == "ready")
        await until(pilot, lambda: "● lab" in screen_text(app))
        assert "pw" not in profiles.path().read_text()

        await pilot.press("d")
        await dialog(pilot, Confirm)
        await pilot.press("escape")
        assert profiles.load("lab")
        await until(pilot, lambda: app.screen is screen)
        await pilot.press("d")
        await dialog(pilot, Confirm)
        await pilot.press("y")
        await until(pilot, lambda: profiles.list_profiles() == [])


async def test_what_cannot_be_done_is_told(make_app: MakeApp) -> None:
    app = make_app(last=HERE)
    told: list[str] = []
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(pilot)
        await go_to(pilot, screen, "embedded")
        screen.tell = told.append  # type: ignore[method-assign]
        await pilot.press("d")
        await until(pilot, lambda: told == ["Only a saved profile can be removed."])


async def test_export_lines_and_brain_config(mongod: Mongod, milvus_lite: MilvusLite, home: Path) -> None:
    settings = settings_for(mongod, milvus_lite)
    app = Kitescope(settings, last=HERE)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(pilot)
        await type_into(pilot, screen, "password", "s3cret")
        await pilot.press("escape")
        await until(pilot, lambda: app.focused is screen.query_one(FittedTable))
        await pilot.press("y")
        await until(pilot, lambda: "export " in app.clipboard)
        assert f"FIFTYONE_BRAIN_SIMILARITY_MILVUS_URI={milvus_lite.uri}" in app.clipboard
        assert "s3cret" not in app.clipboard

        await pilot.press("b")
        form = await dialog(pilot)
        assert "default backend sklearn (default)" in str(
            screen.query_one("#connection-pane").border_subtitle
        )
        assert form.values()["secrets"] == "no"
        form.choice("backend").put("yes")
        await pilot.press("f5")
        file = home / ".fiftyone" / "brain_config.json"
        await until(pilot, file.exists)
        written = json.loads(file.read_text())
        assert written["similarity_backends"]["milvus"] == {"uri": milvus_lite.uri}
        assert written["default_similarity_backend"] == "milvus"
        subtitle = screen.query_one("#connection-pane")
        await until(pilot, lambda: "default backend milvus" in str(subtitle.border_subtitle))

"""Forms: what the user does is told, what a screen puts is not, and what is wrong is shown."""

from __future__ import annotations

from typing import ClassVar

from textual.app import App, ComposeResult
from textual.widgets import Input, Static

from tests.ui.conftest import screen_text, until
from tui import paths
from tui.widgets.choice import Choice
from tui.widgets.form import ChoiceField, Form, Heading, TextField
from tui.widgets.pick import Pick

MANY = [(str(number), f"option {number}") for number in range(40)]


def _digits(text: str) -> str:
    return "" if text.isdecimal() else "Digits only"


class FormApp(App[None]):
    CSS_PATH: ClassVar[list[str]] = [str(paths.styles_dir() / "app.tcss")]

    def __init__(self) -> None:
        super().__init__()
        self.told: list[tuple[str, str]] = []

    def compose(self) -> ComposeResult:
        yield Form(
            Heading("[bold]Things[/]"),
            TextField("count", "Count", "7", wrong=_digits, hint="How many"),
            ChoiceField("metric", "Metric", [("c", "cosine"), ("l", "euclidean")], "c"),
            ChoiceField("many", "Many", MANY, "3"),
            TextField("last", "Last"),
        )

    def on_mount(self) -> None:
        self.query_one(Form).focus()

    def on_form_changed(self, event: Form.Changed) -> None:
        self.told.append((event.key, event.value))

    @property
    def form(self) -> Form:
        return self.query_one(Form)


async def test_typing_is_told_and_checked_and_putting_is_not() -> None:
    app = FormApp()
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: isinstance(app.focused, Input))
        assert "How many" in screen_text(app) and "[bold]Things[/]" in screen_text(app)
        await pilot.press("end", "x")
        await until(pilot, lambda: app.told == [("count", "7x")])
        assert app.form.wrong() == {"count": "Digits only"} and "Digits only" in screen_text(app)

        app.form["count"].put("8")
        app.form["metric"].put("l")
        await until(pilot, lambda: app.query(Input).first().value == "8")
        assert app.told == [("count", "7x")]
        assert app.form.values() == {"count": "8", "metric": "l", "many": "3", "last": ""}
        assert "Digits only" not in screen_text(app)


async def test_what_is_wrong_gets_the_keyboard_unless_it_is_hidden() -> None:
    app = FormApp()
    async with app.run_test(size=(80, 24)) as pilot:
        app.form["count"].put("many")
        app.form["last"].complain("is taken")
        app.form.go_to("metric")
        await until(pilot, lambda: app.form.current is app.form["metric"])
        assert "Digits only" not in screen_text(app), "nobody was there yet"
        assert not app.form.check()
        await until(pilot, lambda: app.form.current is app.form["count"])
        app.form["count"].display = False
        assert app.form.wrong() == {"last": "is taken"}
        app.form["last"].complain("")
        assert app.form.check()


async def test_keys_move_choose_and_open_what_has_no_room() -> None:
    app = FormApp()
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: isinstance(app.focused, Input))
        await pilot.press("down")
        await until(pilot, lambda: isinstance(app.focused, Choice))
        await pilot.press("right", "right", "l")
        around_the_end = [("metric", "l"), ("metric", "c"), ("metric", "l")]
        await until(pilot, lambda: app.told == around_the_end)
        await pilot.press("enter")
        await until(pilot, lambda: app.form.current is app.form["many"])
        assert "4/40" in screen_text(app)
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, Pick) and app.focused)
        await pilot.press(*"27", "enter")
        await until(pilot, lambda: app.form.values()["many"] == "27")
        assert app.told[-1] == ("many", "27")
        await until(pilot, lambda: app.form.current is app.form["many"])
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, Pick) and app.focused)
        await pilot.press("escape")
        await until(pilot, lambda: not isinstance(app.screen, Pick))
        assert app.form.values()["many"] == "27", "escape changes nothing"
        await pilot.press("up", "up", "up")
        await until(pilot, lambda: app.form.current is app.form["last"])


async def test_a_note_is_shown_as_it_is() -> None:
    app = FormApp()
    async with app.run_test(size=(80, 24)) as pilot:
        app.form["count"].note("[red]\x1b[2Jx")
        note = app.form["count"].query(Static).last()
        await until(pilot, lambda: "[red]␛[2Jx" in str(note.render()))

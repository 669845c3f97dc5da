"""What a form is made of: a label, a control and a note on one line. ``form`` shows their use."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from textual import on, work
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.message import Message
from textual.reactive import reactive
from textual.suggester import Suggester
from textual.widget import Widget
from textual.widgets import Input, Static

from tui.widgets.choice import Choice
from tui.widgets.line import Line
from tui.widgets.text import plain

Wrong = Callable[[str], str]
"""Answers what is wrong with a value, one sentence without a full stop; empty when it is fine."""


def fine(_value: str) -> str:
    """Nothing is ever wrong."""
    return ""


class Heading(Static):
    """A line that says what the fields below it are about."""

    def __init__(self, text: str) -> None:
        super().__init__(plain(text), classes="heading form-heading", markup=False)


class Field(Horizontal):
    """A label, a control and a note on one line; subclasses make the control."""

    value: reactive[str] = reactive("", init=False)

    class Edited(Message):
        """The user changed the value."""

        def __init__(self, field: Field) -> None:
            self.field = field
            super().__init__()

    class Restated(Message):
        """What is said about the field that has the keyboard may have changed."""

    class Left(Message):
        """The user finished the field with enter."""

    def __init__(self, key: str, label: str, value: str, *, wrong: Wrong, hint: str, note: str) -> None:
        super().__init__(id=f"field-{key}", classes="form-field")
        self.key = key
        self.label = label
        self.hint = hint
        self._wrong = wrong
        self._complaint = ""
        self._note = note
        self.touched = False
        self.set_reactive(Field.value, value)

    def compose(self) -> ComposeResult:
        """Label, control, note."""
        yield Static(plain(self.label), classes="form-label", markup=False)
        yield self.control()
        yield Static("", classes="form-note", markup=False)

    def control(self) -> Widget:
        """The widget that takes the keys."""
        raise LookupError(f"{type(self).__name__} has no control")

    def on_mount(self) -> None:
        """Show the note."""
        self.show_state()

    def on_descendant_focus(self) -> None:
        """Show which field has the keyboard."""
        self.add_class("-current")

    def on_descendant_blur(self) -> None:
        """The keyboard went on."""
        self.remove_class("-current")

    def put(self, value: str) -> None:
        """Set the value without telling anyone, and forget that the user touched it."""
        self.touched = False
        self.value = value
        self.show_state()

    def note(self, text: str, hint: str | None = None) -> None:
        """Show a word beside the control; ``hint`` replaces the sentence below the form."""
        self._note = text
        self.hint = self.hint if hint is None else hint
        self.show_state()

    def complain(self, text: str) -> None:
        """Say what is wrong where only the screen can know; empty takes it back."""
        self._complaint = text
        self.show_state()

    @property
    def wrong(self) -> str:
        """What is wrong with the value; empty when it is fine."""
        return self._wrong(self.value) or self._complaint

    def _take(self, value: str) -> None:
        self.touched = True
        self._complaint = ""
        self.value = value
        self.show_state()
        self.post_message(self.Edited(self))

    def show_state(self) -> None:
        """Show the note, or what is wrong once the user was here."""
        if not self.is_mounted:
            return
        wrong = self.wrong if self.touched or self._complaint else ""
        self.set_class(bool(wrong), "-wrong")
        self.query_one(".form-note", Static).update(plain(wrong or self._note))
        if self.has_focus_within:
            self.post_message(self.Restated())


class TextField(Field):
    """One line of text."""

    def __init__(
        self,
        key: str,
        label: str,
        value: str = "",
        *,
        wrong: Wrong = fine,
        hint: str = "",
        note: str = "",
        placeholder: str = "",
        password: bool = False,
        suggester: Suggester | None = None,
    ) -> None:
        super().__init__(key, label, value, wrong=wrong, hint=hint, note=note)
        self._placeholder = placeholder
        self._password = password
        self._suggester = suggester

    def control(self) -> Input:
        """An input line."""
        return Line(
            self.value,
            placeholder=self._placeholder,
            password=self._password,
            suggester=self._suggester,
            compact=True,
            classes="form-control",
        )

    def watch_value(self, value: str) -> None:
        """Follow put()."""
        for control in self.query(Input):
            if control.value != value:
                with control.prevent(Input.Changed):
                    control.value = value
                self._show_beginning()

    def on_descendant_blur(self) -> None:
        """A long value shows its beginning, unless one is typing."""
        self._show_beginning()

    def _show_beginning(self) -> None:
        for control in self.query(Input):
            control.cursor_position = 0

    def placeholder(self, text: str) -> None:
        """Say what an empty line means."""
        self.query_one(Input).placeholder = text

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        event.stop()
        if event.input.value != self.value:
            self._take(event.input.value)

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self.post_message(self.Left())


class ChoiceField(Field):
    """One of a few values: ``options`` are (value, what people read)."""

    def __init__(
        self,
        key: str,
        label: str,
        options: Sequence[tuple[str, str]],
        value: str = "",
        *,
        wrong: Wrong = fine,
        hint: str = "",
        note: str = "",
    ) -> None:
        super().__init__(key, label, value, wrong=wrong, hint=hint, note=note)
        self._options = tuple(options)

    def control(self) -> Choice:
        """The options in a line."""
        return Choice(self._options, self.value)

    def watch_value(self, value: str) -> None:
        """Follow put()."""
        for control in self.query(Choice):
            control.value = value

    def options(self, options: Sequence[tuple[str, str]], value: str | None = None) -> None:
        """Offer other options; ``value`` (or the old one, or the first) is chosen, without an event."""
        self._options = tuple(options)
        self.query_one(Choice).options = self._options
        known = [key for key, _ in options]
        wanted = self.value if value is None else value
        self.put(wanted if wanted in known else known[0] if known else "")

    @on(Choice.Chosen)
    def _chosen(self, event: Choice.Chosen) -> None:
        event.stop()
        if event.value != self.value:
            self._take(event.value)

    @on(Choice.Left)
    def _left(self, event: Choice.Left) -> None:
        event.stop()
        self.post_message(self.Left())

    @on(Choice.Opened)
    @work
    async def _open(self) -> None:
        from tui.widgets.pick import Pick

        chosen = await self.app.push_screen_wait(Pick(self.label, self._options, self.value))
        if chosen is not None and chosen != self.value:
            self.query_one(Choice).value = chosen
            self._take(chosen)

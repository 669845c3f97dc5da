"""Labelled fields, one line each, checked while one types.

A screen composes a form and reads it; the form tells of each change the user makes::

    yield Form(
        Heading("Index"),
        TextField("key", "Brain key", wrong=check_key, hint="Letters, digits and underscores"),
        ChoiceField("metric", "Metric", [("cosine", "cosine"), ("euclidean", "L2")], value="cosine"),
        TextField("password", "Password", password=True),
        id="build",
    )

    @on(Form.Changed)
    def _take(self, event):             # event.key, event.value: only what the user did, never put()
        ...

    form = self.query_one(Form)
    form["key"].put("digits")           # set without an event
    form["key"].note("free")            # a word on the right; the whole sentence may go to hint=
    form["key"].complain("is taken")    # what only the screen knows to be wrong; "" when it no longer is
    form["model"].display = False       # hidden fields are not checked
    form.values()                       # {"key": "digits", "metric": "cosine", ...}
    if form.check(): ...                # True when all is well; else the first wrong field gets the focus

Up, down, enter and tab move between fields; enter in the last one posts ``Form.Finished``. Left and right
change a choice; a choice whose options do not fit on its line opens as a list on enter.
"""

from __future__ import annotations

from textual import events, on
from textual.app import ComposeResult
from textual.containers import Vertical, VerticalScroll
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Static

from tui import keys
from tui.widgets.fields import ChoiceField, Field, Heading, TextField
from tui.widgets.text import plain

__all__ = ["ChoiceField", "Field", "Form", "Heading", "TextField"]


_AT_ONCE = 2  # fields


class _Fields(VerticalScroll, inherit_bindings=False):
    """Scrolls to the focused field, and takes no keys of its own: up and down are the form's."""

    async def mount_composed_widgets(self, widgets: list[Widget]) -> None:
        """Mount some fields at a time: all at once would be a hundred widgets before a key is heard."""
        for start in range(0, len(widgets), _AT_ONCE):
            await self.mount_all(widgets[start : start + _AT_ONCE])


class Form(Vertical):
    """Fields below each other, scrolling, and one line that explains the focused one."""

    BINDINGS = [*keys.FORM]

    class Changed(Message):
        """The user changed the field of that key; ``value`` is what it holds now."""

        def __init__(self, form: Form, key: str, value: str) -> None:
            self.form = form
            self.key = key
            self.value = value
            super().__init__()

    class Finished(Message):
        """The user pressed enter in the last field."""

    def __init__(self, *fields: Widget, id: str | None = None) -> None:
        super().__init__(id=id, classes="form")
        self._children_first = fields

    def compose(self) -> ComposeResult:
        """The fields, then the explanation."""
        with _Fields(can_focus=False, classes="form-fields"):
            yield from self._children_first
        yield Static("", classes="form-help", markup=False)

    def __getitem__(self, key: str) -> Field:
        return self.query_one(f"#field-{key}", Field)

    def text(self, key: str) -> TextField:
        """A field of text, as what it is."""
        return self.query_one(f"#field-{key}", TextField)

    def choice(self, key: str) -> ChoiceField:
        """A choice, as what it is."""
        return self.query_one(f"#field-{key}", ChoiceField)

    @property
    def fields(self) -> dict[str, Field]:
        """Every field, in order."""
        return {field.key: field for field in self.query(Field)}

    def values(self) -> dict[str, str]:
        """What every field holds, hidden ones too."""
        return {key: field.value for key, field in self.fields.items()}

    def wrong(self) -> dict[str, str]:
        """What is wrong, by field; hidden fields are never wrong."""
        return {key: field.wrong for key, field in self.fields.items() if field.display and field.wrong}

    def check(self) -> bool:
        """Whether all is well; otherwise say what is not, and go to the first field that is wrong."""
        for field in self.fields.values():
            field.touched = True
            field.show_state()
        for key in self.wrong():
            self.go_to(key)
            return False
        return True

    def go_to(self, key: str) -> None:
        """Give a field the keyboard."""
        self[key].query_one(".form-control").focus()

    def focus(self, scroll_visible: bool = True) -> Form:
        """Give the first visible field the keyboard."""
        first = next((field for field in self.fields.values() if field.display), None)
        if first is not None:
            first.query_one(".form-control").focus(scroll_visible)
        return self

    # Where the keyboard is

    @property
    def current(self) -> Field | None:
        """The field that has the keyboard."""
        return next((field for field in self.query(Field) if field.has_focus_within), None)

    def action_next_field(self) -> None:
        """Down one field, staying inside the form."""
        self._move(1)

    def action_previous_field(self) -> None:
        """Up one field."""
        self._move(-1)

    @property
    def _shown(self) -> list[Field]:
        return [field for field in self.query(Field) if field.display]

    def _move(self, by: int) -> None:
        shown = self._shown
        if shown:
            place = shown.index(self.current) if self.current in shown else -by
            self.go_to(shown[(place + by) % len(shown)].key)

    @on(Field.Left)
    def _next(self, event: Field.Left) -> None:
        event.stop()
        if self._shown and self.current is self._shown[-1]:
            self.post_message(self.Finished())
        else:
            self._move(1)

    @on(Field.Restated)
    def _restated(self, event: Field.Restated) -> None:
        event.stop()
        self.explain()

    @on(Field.Edited)
    def _edited(self, event: Field.Edited) -> None:
        event.stop()
        self.explain()
        self.post_message(self.Changed(self, event.field.key, event.field.value))

    def on_descendant_focus(self, event: events.DescendantFocus) -> None:
        """Explain the field one is in."""
        self.explain()

    def on_descendant_blur(self, event: events.DescendantBlur) -> None:
        """Nobody is in a field, or soon in another one."""
        self.explain()

    def say(self, text: str) -> None:
        """Show an error of the whole form, until a field is entered."""
        line = self.query_one(".form-help", Static)
        line.set_class(True, "error")
        line.update(plain(text))

    def explain(self) -> None:
        """Show what is wrong with the focused field, or else its hint."""
        field = self.current
        wrong = field.wrong if field and (field.touched or field.has_class("-wrong")) else ""
        line = self.query_one(".form-help", Static)
        line.set_class(bool(wrong), "error")
        line.update(plain(wrong or (field.hint if field else "")))

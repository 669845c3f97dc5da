"""A part of a dataset: a saved view, tags, a value of a field, a number of samples, or their patches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from textual import on
from textual.message import Message
from textual.suggester import SuggestFromList
from textual.timer import Timer

from tui.core.errors import KitescopeError
from tui.core.scope import Scope
from tui.screens.base import core_call
from tui.widgets.fields import Field
from tui.widgets.form import ChoiceField, Form, TextField
from tui.widgets.form_dialog import FormDialog

if TYPE_CHECKING:
    from tui.core.datasets import DatasetDetail
    from tui.core.workspace import Workspace

_TYPES = frozenset({"string", "boolean", "int", "float", "objectid"})
_WAIT_S = 0.25


class Counted(Message):
    """How many items the part has that the form describes; or why that cannot be known."""

    def __init__(self, scope: Scope, count: int | None, why: str = "") -> None:
        self.scope = scope
        self.count = count
        self.why = why
        super().__init__()


class ChooseView(FormDialog):
    """Answers what the form holds; ``scope_of`` makes a scope of it."""

    def __init__(self, workspace: Workspace, detail: DatasetDetail, now: Scope | None) -> None:
        super().__init__(f"A part of {detail.info.name}", yes="Choose", about=" ")
        self._workspace = workspace
        self._detail = detail
        self._now = now or Scope(detail.info.name)
        self._soon: Timer | None = None

    def form(self) -> Form:
        """One field per way to narrow."""
        detail, now = self._detail, self._now
        where, value = now.where[0] if now.where else ("", "")
        fields: list[Field] = []
        if detail.saved_views:
            views = [("", "any"), *((name, name) for name in detail.sample_views)]
            fields.append(ChoiceField("view", "Saved view", views, now.view or "", hint=detail.left_out))
        if detail.tags:
            fields.append(_tags(detail.tags, now.tags))
        fields += _where(detail, where, value)
        fields.append(
            TextField(
                "limit",
                "At most",
                str(now.limit or ""),
                wrong=_wrong_limit,
                placeholder="all",
                hint="The first so many samples",
            )
        )
        if detail.patches_fields:
            patches = [("", "whole samples"), *((name, name) for name in detail.patches_fields)]
            hint = "Index the labels of this field, each cut out of its sample"
            fields.append(ChoiceField("patches", "Patches of", patches, now.patches_field or "", hint=hint))
        return Form(*fields)

    def on_mount(self) -> None:
        """Show what belongs together, and count."""
        self._show_value_field()
        self._count_soon()

    @on(Form.Changed)
    def _changed(self, event: Form.Changed) -> None:
        if event.key == "where":
            self._show_value_field()
        self._count_soon()

    def _show_value_field(self) -> None:
        """Labels are picked from a list, other values are typed."""
        form = self.query_one(Form)
        path = form.values().get("where", "")
        counts = self._detail.label_fields.get(path)
        form["label"].display = bool(counts)
        form["value"].display = bool(path) and not counts
        # What is hidden must not take part.
        form["value" if counts else "label"].put("")
        if counts:
            wanted = self._now.where[0][1] if self._now.where and self._now.where[0][0] == path else None
            labels = [(label, f"{label} ({count:,})") for label, count in counts.items()]
            form.choice("label").options(labels, wanted if wanted in counts else None)

    def _count_soon(self) -> None:
        if self._soon is not None:
            self._soon.stop()
        self._soon = self.set_timer(_WAIT_S, self._count)

    def _count(self) -> None:
        form = self.query_one(Form)
        if form.wrong():
            self.say("")
        else:
            self.say("Counting…")
            self._load_count(scope_of(self._detail.info.name, form.values()))

    @core_call("counting")
    def _load_count(self, scope: Scope) -> Message | None:
        from tui.core.datasets import count

        try:
            return Counted(scope, count(self._workspace, scope))
        except KitescopeError as error:
            return Counted(scope, None, str(error))

    @on(Counted)
    def _show_count(self, message: Counted) -> None:
        if message.scope != scope_of(self._detail.info.name, self.query_one(Form).values()):
            return
        if message.count is None:
            self.say(message.why)
            return
        what = f"patches of {message.scope.patches_field}" if message.scope.patches_field else "samples"
        whole = "" if message.scope.patches_field else f" of {self._detail.info.samples:,}"
        self.say(f"{message.count:,}{whole} {what}" + ("" if message.count else ": nothing fits"))


def scope_of(dataset: str, answers: dict[str, str]) -> Scope:
    """The part that the form describes."""
    path = answers.get("where", "")
    value = answers.get("label", "") or answers.get("value", "")
    return Scope(
        dataset,
        patches_field=answers.get("patches") or None,
        view=answers.get("view") or None,
        tags=_split(answers.get("tags", "")),
        where=((path, value),) if path else (),
        limit=int(answers["limit"]) if answers.get("limit", "").strip() else None,
    )


def _tags(known: Iterable[str], now: Sequence[str]) -> TextField:
    names = sorted(known)
    return TextField(
        "tags",
        "Tags",
        ", ".join(now),
        wrong=_unknown_tags(names),
        placeholder="any",
        hint=f"Samples with any of these, with commas: {', '.join(names)}",
        suggester=SuggestFromList(names),
    )


def _where(detail: DatasetDetail, where: str, value: str) -> list[Field]:
    inside = tuple(f"{label}." for label in detail.label_fields)
    others = [field.path for field in detail.fields if field.type in _TYPES]
    paths = [*detail.label_fields, *(path for path in others if not path.startswith(inside))]
    options = [("", "any"), *((path, path) for path in dict.fromkeys(paths))]
    return [
        ChoiceField("where", "Field", options, where, hint="Only samples in which this field has one value"),
        ChoiceField("label", "Label", [], value, hint="Enter shows them all"),
        TextField("value", "Value", value, wrong=lambda text: "" if text else "Which value?"),
    ]


def _split(text: str) -> tuple[str, ...]:
    return tuple(tag for part in text.split(",") if (tag := part.strip()))


def _unknown_tags(known: Sequence[str]) -> Callable[[str], str]:
    def wrong(text: str) -> str:
        missing = [tag for tag in _split(text) if tag not in known]
        return f"No sample is tagged {missing[0]}; tags: {', '.join(known)}" if missing else ""

    return wrong


def _wrong_limit(text: str) -> str:
    text = text.strip()
    return "" if not text or (text.isdecimal() and int(text) > 0) else "Give a number above 0, or nothing"

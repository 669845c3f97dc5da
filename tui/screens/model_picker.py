"""Choose a model: a list that narrows while one types, and says what is on disk and what understands text."""

from __future__ import annotations

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.message import Message
from textual.widgets import Input, Static

from tui.core.models import ModelInfo
from tui.messages import Failed
from tui.screens.base import core_call
from tui.widgets.dialog import Dialog
from tui.widgets.fitted import FitColumn, FittedTable
from tui.widgets.line import Line
from tui.widgets.table import RowTable, TableRow
from tui.widgets.text import cell, number, plain

_COLUMNS = (
    FitColumn("name", "Model", least=30),
    FitColumn("disk", "Disk"),
    FitColumn("text", "Text"),
    FitColumn("dim", "Dim", right=True),
    FitColumn("size", "MB", right=True, drop=1),
    FitColumn("source", "From", drop=2),
)

_OWN = "module:callable, torchvision:NAME@FILE, huggingface:FOLDER, openclip:FOLDER"


class ModelsListed(Message):
    """Every model that is known by name, and a row for each."""

    def __init__(self, models: list[ModelInfo]) -> None:
        self.models = models
        self.rows = [model_row(place, model) for place, model in enumerate(models)]
        super().__init__()


def model_row(place: int, model: ModelInfo) -> TableRow:
    """One line; the words ``disk`` and ``text`` find what has them."""
    words = [
        model.name,
        model.source,
        "disk" if model.downloaded else "",
        "text" if model.supports_prompts else "",
    ]
    return TableRow(
        model.name,
        (
            cell(model.name, "bold" if model.downloaded else ""),
            Text("✓ disk" if model.downloaded else "", "green"),
            Text("✓ text" if model.supports_prompts else "", "cyan"),
            number(model.dim),
            number(round(model.size_mb) if model.size_mb else None),
            cell(model.source, "dim"),
        ),
        (
            place,
            not model.downloaded,
            not model.supports_prompts,
            model.dim,
            model.size_mb,
            (model.source, place),
        ),
        " ".join(words),
    )


class ModelPicker(Dialog[str | None]):
    """The name of a model, or None when the user changed their mind."""

    BINDINGS = [
        Binding("escape", "dismiss(None)", "Back", id="models-back"),
        Binding("down,ctrl+j", "step(1)", show=False, id="models-down"),
        Binding("up,ctrl+k", "step(-1)", show=False, id="models-up"),
        Binding("pagedown", "step(10)", show=False, id="models-page-down"),
        Binding("pageup", "step(-10)", show=False, id="models-page-up"),
    ]

    def __init__(self, current: str = "") -> None:
        super().__init__()
        self._current = current
        self._models: dict[str, ModelInfo] = {}

    def compose(self) -> ComposeResult:
        """Filter, list, a line of help."""
        with Vertical(classes="dialog page", id="models-dialog"):
            yield Static("Model  (enter chooses · esc back)", classes="dialog-title", markup=False)
            yield Line(placeholder="filter: part of a name, disk, text", compact=True)
            yield FittedTable(_COLUMNS, id="models", sort="name")
            yield Static("Reading what there is…", id="models-help", classes="muted", markup=False)

    def on_mount(self) -> None:
        """Typing filters at once; the keyboard stays in the filter."""
        self.query_one("#models", FittedTable).can_focus = False
        self.query_one(Input).focus()
        self._load_models()

    @core_call("listing models")
    def _load_models(self) -> Message | None:
        from tui.core.models import list_models

        return ModelsListed(list_models())

    @on(Failed)
    def _pass_on(self, message: Failed) -> None:
        self.query_one("#models-help", Static).update(plain(str(message.error)))

    @on(ModelsListed)
    def _show(self, message: ModelsListed) -> None:
        self._models = {model.name: model for model in message.models}
        table = self.query_one("#models", FittedTable)
        table.show(message.rows)
        if self._current in self._models:
            table.go_to(self._current)
        self._help()

    @on(Input.Changed)
    def _narrow(self, event: Input.Changed) -> None:
        self.query_one("#models", FittedTable).filter(event.value)
        self._help()

    def _help(self) -> None:
        table = self.query_one("#models", FittedTable)
        typed = self.query_one(Input).value.strip()
        if not table.shown and ":" in typed:
            said = f"enter takes {typed} as it is: {_OWN}"
        elif not table.shown and self._models:
            said = f"No model has that in its name. Your own: {_OWN}"
        else:
            on_disk = sum(model.downloaded for model in self._models.values())
            counts = f"{len(table.shown)} of {table.total} models, {on_disk} on disk"
            said = f"{counts}; text: takes words to search by"
        self.query_one("#models-help", Static).update(plain(said))

    def action_step(self, by: int) -> None:
        """Move in the list."""
        table = self.query_one("#models", FittedTable)
        if table.shown:
            row = min(max(table.cursor_row + by, 0), len(table.shown) - 1)
            table.move_cursor(row=row, animate=False)

    @on(Input.Submitted)
    def _submit(self) -> None:
        table, typed = self.query_one("#models", FittedTable), self.query_one(Input).value.strip()
        if table.current_key is not None:
            self.dismiss(table.current_key)
        elif ":" in typed:
            self.dismiss(typed)
        else:
            self.notify("No model fits the filter.", severity="warning", markup=False)

    @on(RowTable.RowSelected)
    def _clicked(self) -> None:
        self._submit()

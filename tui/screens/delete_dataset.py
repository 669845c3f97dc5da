"""The question before a dataset is deleted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tui.core.words import counted
from tui.widgets.fields import Field
from tui.widgets.form import ChoiceField, Form, TextField
from tui.widgets.form_dialog import FormDialog

if TYPE_CHECKING:
    from tui.core.datasets import DatasetInfo


def delete_dialog(info: DatasetInfo, collections: Sequence[str], jobs: int) -> FormDialog:
    """Names the dataset, the counts and what stays; the name has to be typed."""
    runs = f" and {counted(info.runs, 'brain run')}" if info.runs else ""
    about = f"{counted(info.samples, 'sample')}{runs} will be gone from FiftyOne's database. "
    about += "The image files stay."
    if jobs:
        about += "\nA job is at work on it and will fail."
    fields: list[Field] = []
    if collections:
        count = counted(len(collections), "collection")
        options = [("keep", f"keep {count}"), ("drop", f"drop {count}")]
        hint = f"In Milvus: {', '.join(collections)}. Dropped vectors have to be built again"
        fields.append(ChoiceField("collections", "Vectors", options, "keep", hint=hint))

    def wrong(text: str) -> str:
        return "" if text == info.name else f"Type {info.name} to delete it"

    fields.append(TextField("typed", "Type its name", wrong=wrong, placeholder=info.name, hint="Then f5"))
    return FormDialog(
        f"Delete the dataset {info.name}?", Form(*fields), yes="Delete", about=about, danger=True
    )

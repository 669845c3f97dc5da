"""Which folder to import, under which name, as what."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Collection
from pathlib import Path

from textual import on
from textual.message import Message
from textual.suggester import Suggester
from textual.timer import Timer

from tui.core.datasets import IMPORT_TYPES
from tui.core.files import expanded, is_dir
from tui.screens.base import core_call
from tui.widgets.form import ChoiceField, Form, TextField
from tui.widgets.form_dialog import FormDialog

_WAIT_S = 0.3
_KINDS = {
    "image-directory": "images, also in subfolders",
    "image-classification-directory-tree": "one subfolder per label",
    "coco": "COCO detections: data/ and labels.json",
    "yolov5": "YOLOv5 detections: dataset.yaml",
    "voc": "VOC detections: data/ and labels/*.xml",
    "fiftyone": "a dataset that FiftyOne exported",
}


class PathSuggester(Suggester):
    """Completes the name of a folder; the right arrow takes it."""

    def __init__(self) -> None:
        super().__init__(use_cache=False, case_sensitive=True)

    async def get_suggestion(self, value: str) -> str | None:
        """The first folder whose path begins so; a folder of a million files must not hold up typing."""
        return await asyncio.to_thread(self._find, value)

    @staticmethod
    def _find(value: str) -> str | None:
        head, slash, start = value.rpartition("/")
        if not slash:
            return None
        try:
            folder = expanded(head or "/")
            names = sorted(
                entry.name
                for entry in folder.iterdir()
                if entry.name.startswith(start)
                and (start or not entry.name.startswith("."))
                and entry.is_dir()
            )
        except OSError:
            return None
        return f"{head}/{names[0]}/" if names else None


class Guessed(Message):
    """What kind of dataset a folder seems to hold; None: nothing that can be imported."""

    def __init__(self, folder: str, kind: str | None) -> None:
        self.folder = folder
        self.kind = kind
        super().__init__()


class ImportDataset(FormDialog):
    """Answers ``directory``, ``name`` and ``type``; the last two are proposed until the user changes them."""

    def __init__(self, taken: Collection[str]) -> None:
        super().__init__("Import a folder of images", yes="Import", about=" ")
        self._taken = frozenset(taken)
        self._soon: Timer | None = None

    def form(self) -> Form:
        """Folder, name, type."""
        return Form(
            TextField(
                "directory",
                "Folder",
                f"{Path.cwd()}/",
                wrong=_wrong_folder,
                hint="The right arrow takes the proposed end of the path",
                suggester=PathSuggester(),
            ),
            TextField("name", "Name", wrong=self._wrong_name, hint="Of the dataset in FiftyOne"),
            ChoiceField(
                "type",
                "What it holds",
                [(kind, _KINDS.get(kind, kind)) for kind in IMPORT_TYPES],
                "image-directory",
                hint="Enter shows every kind",
            ),
        )

    def _wrong_name(self, name: str) -> str:
        if not name.strip():
            return "Give it a name"
        return "A dataset of that name exists already" if name.strip() in self._taken else ""

    @on(Form.Changed)
    def _changed(self, event: Form.Changed) -> None:
        if event.key != "directory":
            return
        form = event.form
        if not form["name"].touched:
            form["name"].put(self._free(expanded(event.value).name))
        if self._soon is not None:
            self._soon.stop()
        self._soon = self.set_timer(_WAIT_S, lambda: self._load_guess(event.value))

    def _free(self, name: str) -> str:
        """The name, or the next one of its kind that is not taken."""
        name = re.sub(r"\s+", " ", name).strip()
        number = 2
        free = name
        while free in self._taken:
            free, number = f"{name}-{number}", number + 1
        return free

    @core_call("looking into the folder")
    def _load_guess(self, folder: str) -> Message | None:
        from tui.core.documents.import_guess import guess_type

        return Guessed(folder, guess_type(folder) if is_dir(folder) else None)

    @on(Guessed)
    def _propose(self, message: Guessed) -> None:
        form = self.query_one(Form)
        if message.folder != form["directory"].value:
            return
        if message.kind is None:
            wrong = _wrong_folder(message.folder)
            self.say("" if wrong else "No images are seen in this folder.")
            return
        self.say(f"It looks like {_KINDS[message.kind]}.")
        if not form["type"].touched:
            form["type"].put(message.kind)


def _wrong_folder(text: str) -> str:
    if not text.strip():
        return "Which folder?"
    return "" if is_dir(text) else "There is no such folder"

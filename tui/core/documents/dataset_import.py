"""Folders of images become FiftyOne datasets, through FiftyOne's own importers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tui.core.documents.schema import DatasetInfo, dataset_info, read
from tui.core.errors import InvalidInput
from tui.core.files import expanded, is_dir

if TYPE_CHECKING:
    from tui.core.workspace import Workspace

# Our words for FiftyOne's importers.
IMPORT_TYPES: Mapping[str, str] = {
    "image-directory": "ImageDirectory",
    "image-classification-directory-tree": "ImageClassificationDirectoryTree",
    "coco": "COCODetectionDataset",
    "yolov5": "YOLOv5Dataset",
    "voc": "VOCDetectionDataset",
    "fiftyone": "FiftyOneDataset",
}


def import_dataset(
    ws: Workspace, directory: str | Path, name: str, type: str = "image-directory"
) -> DatasetInfo:
    """Make a persistent dataset out of a folder with FiftyOne's importer of that type.

    Raises:
        InvalidInput: the folder is missing or has nothing of that type, or the name is taken; no
            dataset is left behind.
        ReadOnly: the profile forbids it.
    """
    ws.require_writable(f"import dataset {name!r}")
    folder = expanded(directory).resolve()
    if type not in IMPORT_TYPES:
        raise InvalidInput(f"There is no import type {type!r}", "Types: " + ", ".join(IMPORT_TYPES))
    if not is_dir(folder):
        raise InvalidInput(f"There is no folder {folder}", "Give the folder that holds the images")
    if not any(folder.iterdir()):
        raise InvalidInput(f"Folder {folder} is empty", "Give the folder that holds the images")
    fiftyone = ws.fiftyone()
    if fiftyone.dataset_exists(name):
        raise InvalidInput(f"Dataset {name!r} exists already", "Choose another name, or delete it first")
    try:
        dataset = fiftyone.Dataset(name)
    except ValueError as error:
        raise InvalidInput(f"{name!r} cannot be a dataset's name: {error}", "Choose another name") from error
    try:
        _fill(fiftyone, dataset, folder, type)
        # Only a finished dataset is persistent: FiftyOne clears away what a killed import left.
        dataset.persistent = True
        return dataset_info(ws, read(ws, name))
    except BaseException:
        dataset.delete()
        raise


def _fill(fiftyone: Any, dataset: Any, folder: Path, type: str) -> None:
    try:
        dataset.add_dir(str(folder), dataset_type=getattr(fiftyone.types, IMPORT_TYPES[type]), progress=False)
    except Exception as error:
        reason = " ".join(str(error).split())[:300] or error.__class__.__name__
        raise InvalidInput(
            f"Folder {folder} cannot be imported as {type}: {reason}",
            f"Check its layout, or choose another type ({', '.join(IMPORT_TYPES)})",
        ) from error
    if dataset.count() == 0:
        raise InvalidInput(
            f"Nothing of type {type} was found in {folder}",
            f"Check its layout, or choose another type ({', '.join(IMPORT_TYPES)})",
        )

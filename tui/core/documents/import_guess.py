"""What kind of dataset a folder probably holds, from a quick look."""

from __future__ import annotations

import itertools
from pathlib import Path

from tui.core.files import expanded

_IMAGES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff"})
_LOOK = 500  # entries; a folder of a million images is not listed for a guess


def guess_type(directory: str | Path) -> str | None:
    """One of ``IMPORT_TYPES``, or None when nothing that can be imported is seen."""
    folder = expanded(directory)
    try:
        entries = list(itertools.islice(folder.iterdir(), _LOOK))
    except OSError:
        return None
    names = {entry.name for entry in entries}
    if {"samples.json", "metadata.json"} <= names:
        return "fiftyone"
    if "labels.json" in names and "data" in names:
        return "coco"
    if names & {"dataset.yaml", "data.yaml"}:
        return "yolov5"
    if {"data", "labels"} <= names and _has(folder / "labels", {".xml"}):
        return "voc"
    folders = [entry for entry in entries if entry.is_dir() and not entry.name.startswith(".")]
    if any(entry.suffix.lower() in _IMAGES for entry in entries):
        return "image-directory"
    if len(folders) > 1 and all(_has(one, _IMAGES) for one in folders[:20]):
        return "image-classification-directory-tree"
    return "image-directory" if any(_has(one, _IMAGES) for one in folders) else None


def _has(folder: Path, suffixes: set[str] | frozenset[str]) -> bool:
    try:
        return any(entry.suffix.lower() in suffixes for entry in itertools.islice(folder.iterdir(), _LOOK))
    except OSError:
        return False

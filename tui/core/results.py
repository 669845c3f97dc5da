"""What is done with results: tag them, keep them as a saved view, export them."""

from __future__ import annotations

import csv
import io
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from tui.core import datasets
from tui.core.errors import InvalidInput, KitescopeError
from tui.core.files import expanded

if TYPE_CHECKING:
    from tui.core.documents.scopes import SampleInfo
    from tui.core.search import Hit
    from tui.core.workspace import Workspace

OWN_FORMATS = ("csv", "json", "links")
"""Formats of ours: a table, the same as JSON, and a folder of symbolic links named by rank."""
_FILES = ("csv", "json")
# Of a file's name, in bytes, on the file systems that Linux and macOS use.
_LONGEST_NAME = 255
_LONGEST_SUFFIX = 16
_COLUMNS = ("rank", "id", "sample_id", "score", "filepath", "label", "tags", "box")


def tag(
    ws: Workspace,
    dataset: str,
    ids: Sequence[str],
    tags: Sequence[str],
    *,
    patches_field: str | None = None,
    remove: bool = False,
) -> int:
    """Add tags to samples, or with ``patches_field`` to its labels; or remove them; answers how many.

    Raises:
        ReadOnly: the profile forbids it.
        InvalidInput: no tag, or an empty one.
        UnknownName: there is no such dataset.
    """
    ws.require_writable(f"tag in dataset {dataset!r}")
    if not tags or not all(one.strip() for one in tags):
        raise InvalidInput("There is no tag", "Name one, such as 'duplicate'")
    loaded = datasets.load(ws, dataset)
    view = (
        loaded.select_labels(ids=list(ids), fields=patches_field)
        if patches_field
        else loaded.select(list(ids))
    )
    if patches_field:
        change = view.untag_labels if remove else view.tag_labels
        change(list(tags), label_fields=patches_field)
        return int(view.count(loaded._get_label_field_path(patches_field)[1]))
    (view.untag_samples if remove else view.tag_samples)(list(tags))
    return len(view)


def save_view(
    ws: Workspace,
    dataset: str,
    name: str,
    ids: Sequence[str],
    *,
    patches_field: str | None = None,
    overwrite: bool = False,
) -> int:
    """Keep items as a FiftyOne saved view, in their order; answers how many it shows.

    Raises:
        ReadOnly: the profile forbids it.
        InvalidInput: there is nothing to save, no name, or a view of that name.
        UnknownName: there is no such dataset.
    """
    ws.require_writable(f"save a view of dataset {dataset!r}")
    if not ids:
        raise InvalidInput("There is nothing to save", "Mark pictures, or search first")
    if not name.strip():
        raise InvalidInput("A view needs a name")
    view = view_of(ws, dataset, ids, patches_field)
    try:
        view._root_dataset.save_view(name, view, overwrite=overwrite)
    except ValueError as error:
        raise InvalidInput(f"The view cannot be saved: {error}", "Choose another name") from error
    return len(view)


def export(
    ws: Workspace,
    dataset: str,
    items: Sequence[Hit | SampleInfo],
    format: str,
    path: str,
    *,
    patches_field: str | None = None,
    label_field: str | None = None,
) -> int:
    """Write items to a file or folder that does not exist yet; answers how many.

    Args:
        format: one of ``OWN_FORMATS``, or the name of one of FiftyOne's dataset types, such as
            ``ImageDirectory`` or ``FiftyOneDataset``.
        label_field: what a type of FiftyOne writes as labels.

    Raises:
        InvalidInput: there is nothing to export, or ``export_target`` refuses, or nothing can be put there.
        UnknownName: there is no such dataset or format.
        KitescopeError: FiftyOne cannot write these items in this format; it says why.
    """
    if not items:
        raise InvalidInput("There is nothing to export", "Mark pictures, or search first")
    target = export_target(format, path)
    rows = [_row(item) for item in items]
    if format == "csv":
        text = io.StringIO()
        table = csv.DictWriter(text, _COLUMNS, lineterminator="\n")
        table.writeheader()
        table.writerows(_flat(row) for row in rows)
        _write(target, text.getvalue())
    elif format == "json":
        _write(target, msgspec.json.format(msgspec.json.encode(rows)).decode() + "\n")
    elif format == "links":
        _link(target, rows)
    else:
        kind = _fiftyone_type(ws, format)
        view = view_of(ws, dataset, [item.id for item in items], patches_field)
        try:
            view.export(export_dir=str(target), dataset_type=kind, label_field=label_field, progress=False)
        except Exception as error:
            # Each exporter has errors of its own, and most of them are about what the items lack.
            _empty(target)
            raise KitescopeError(
                f"FiftyOne could not export as {format}: {error}",
                "Leave out what it cannot use, or try csv, json or links",
            ) from error
    return len(rows)


def export_target(format: str, path: str) -> Path:
    """Where ``export`` would write, when that is a place for it.

    Raises:
        InvalidInput: something is there, or the folder for a file is missing: likely a slip of the finger. A
            folder is made with those above it, as FiftyOne does.
    """
    target = expanded(path).absolute()
    try:
        return _checked(format, target)
    except OSError as error:
        raise _unwritable(target, error) from error


def _checked(format: str, target: Path) -> Path:
    if target.exists() and not (target.is_dir() and not any(target.iterdir())):
        raise InvalidInput(f"{target} is there already", "Name a file or folder that is not")
    if format in _FILES and target.is_dir():
        raise InvalidInput(f"{target} is a folder", "Name a file")
    if format in _FILES and not target.parent.is_dir():
        raise InvalidInput(f"There is no folder {target.parent}", "Make it first, or correct the path")
    return target


def formats(ws: Workspace) -> list[str]:
    """Every format by name: ours first, then FiftyOne's that can be exported to."""
    types = vars(ws.fiftyone().types)
    return [*OWN_FORMATS, *sorted(name for name, kind in types.items() if _exports(kind))]


def _exports(kind: Any) -> bool:
    if not isinstance(kind, type) or kind.__name__.startswith(("_", "Unlabeled", "Labeled")):
        return False
    try:
        return kind().get_dataset_exporter_cls() is not None
    except Exception:
        # Abstract ones, and those that only import, say so by raising.
        return False


def _fiftyone_type(ws: Workspace, name: str) -> Any:
    from tui.core.documents.schema import unknown

    known = formats(ws)
    if name not in known:
        raise unknown("format", name, known)
    return getattr(ws.fiftyone().types, name)


def view_of(ws: Workspace, dataset: str, ids: Sequence[str], patches_field: str | None) -> Any:
    """Items as a FiftyOne view, in their order: of samples, or with ``patches_field`` of its patches.

    Raises:
        UnknownName: there is no such dataset.
    """
    loaded = datasets.load(ws, dataset)
    whole = loaded.to_patches(patches_field) if patches_field else loaded
    return whole.select(list(ids), ordered=True)


def _row(item: Hit | SampleInfo) -> dict[str, Any]:
    return {name: getattr(item, name, None) for name in _COLUMNS}


def _flat(row: dict[str, Any]) -> dict[str, Any]:
    box = row["box"]
    return row | {
        "tags": ";".join(row["tags"] or ()),
        "box": " ".join(f"{one:g}" for one in box) if box else None,
    }


def _write(target: Path, text: str) -> None:
    try:
        try:
            with target.open("x", encoding="utf-8", newline="") as file:
                file.write(text)
        except FileExistsError:
            raise
        except OSError:
            # Half a table is worse than none.
            target.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise _unwritable(target, error) from error


def _link(target: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Make links such as ``0003_0.9124_cat.jpg``, so that the folder's order is that of the results."""
    try:
        target.mkdir(parents=True, exist_ok=True)
        width = max(4, len(str(len(rows))))
        for number, row in enumerate(rows, 1):
            score = f"{row['score']:.4f}_" if row["score"] is not None else ""
            before = f"{row['rank'] or number:0{width}}_{score}"
            (target / _fitting(before, Path(row["filepath"]))).symlink_to(row["filepath"])
    except OSError as error:
        _empty(target)
        raise _unwritable(target, error) from error


def _fitting(before: str, file: Path) -> str:
    """A name for a link that begins with ``before``; of a long name the end goes, but for the suffix."""
    name, suffix = os.fsencode(file.name), os.fsencode(file.suffix)
    room = _LONGEST_NAME - len(os.fsencode(before))
    if len(name) <= room:
        return before + file.name
    if len(suffix) > _LONGEST_SUFFIX:
        suffix = b""
    kept = name.removesuffix(suffix)[: room - len(suffix)].decode(errors="ignore")
    return before + kept + os.fsdecode(suffix)


def _empty(folder: Path) -> None:
    """Half an export is worse than none, and would be in the way of the next; links are not followed."""
    if not folder.is_dir():
        return
    for entry in folder.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry, ignore_errors=True)
        else:
            entry.unlink(missing_ok=True)


def _unwritable(target: Path, error: OSError) -> InvalidInput:
    return InvalidInput(
        f"{target} cannot be written: {error.strerror}", "Check the folder's permissions and free space"
    )

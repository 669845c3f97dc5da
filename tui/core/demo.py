"""The demo's dataset: the 1,797 handwritten digits that scikit-learn ships, as labelled PNG files."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock
from PIL import Image

from tui import paths
from tui.core.errors import InvalidInput, KitescopeError, UnknownName

if TYPE_CHECKING:
    from tui.core.datasets import DatasetInfo
    from tui.core.workspace import Workspace

DATASET = "kitescope-demo"
BRAIN_KEY = "digits"
LABEL_FIELD = "ground_truth"
COUNT = 1797

_SIDE = 64  # pixels; 8 of them for each of the original's
_MARK = "kitescope_demo"


def make_demo(ws: Workspace, fresh: bool = False) -> DatasetInfo:
    """Make the demo's dataset, or complete what is there of it; calling it again changes nothing.

    Args:
        ws: FiftyOne's database is used; Milvus only when ``fresh`` drops the old index.
        fresh: delete the dataset with its collections first.

    Raises:
        ReadOnly: the profile forbids it.
        InvalidInput: a dataset of that name is not the demo.
        KitescopeError: the pictures cannot be written.
        EngineUnreachable: the database does not answer.
    """
    from tui.core import datasets

    ws.require_writable("make the demo's dataset")
    folder = paths.data_dir() / "demo"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with FileLock(folder / ".lock"):  # two demos started at once make one dataset
            labels = _write_pictures(folder, fresh)
            _fill(ws, _existing(ws, fresh), [(folder / _file(n), label) for n, label in enumerate(labels)])
    except OSError as error:
        raise KitescopeError(
            f"The demo's pictures cannot be written to {folder}: {error.strerror}",
            "Check the folder's permissions and free space",
        ) from error
    return next(info for info in datasets.list_datasets(ws) if info.name == DATASET)


def write_digits(folder: Path) -> list[str]:
    """Write the digits as PNG files where they are missing.

    Returns:
        their labels, in the order of the files' names.
    """
    folder.mkdir(parents=True, exist_ok=True)
    return _write_pictures(folder, again=False)


def _write_pictures(folder: Path, again: bool) -> list[str]:
    from sklearn.datasets import load_digits

    digits = load_digits()
    for number, pixels in enumerate(digits.images):
        path = folder / _file(number)
        if not again and path.exists() and path.stat().st_size > 0:
            continue
        grey = Image.fromarray((pixels * (255 / 16)).astype("uint8"))
        _save(grey.resize((_SIDE, _SIDE), Image.Resampling.LANCZOS), path)
    return [str(label) for label in digits.target]


def _save(picture: Image.Image, path: Path) -> None:
    """Never half a file: an interrupted demo is completed by the next one."""
    handle, temporary = tempfile.mkstemp(prefix=".", suffix=".part", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            picture.save(file, "PNG")
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _file(number: int) -> str:
    return f"digit-{number:04d}.png"


def _existing(ws: Workspace, fresh: bool) -> Any:
    """The demo's dataset as it is, or a new empty one.

    Raises:
        InvalidInput: a dataset of that name is somebody's own.
    """
    from tui.core import datasets

    fiftyone = ws.fiftyone()
    try:
        dataset = datasets.load(ws, DATASET)
    except UnknownName:
        return _create(fiftyone)
    foreign = [path for path in dataset.values("filepath") if not Path(path).match("digit-*.png")]
    if foreign or (len(dataset) and not dataset.info.get(_MARK)):
        raise InvalidInput(
            f"The dataset {DATASET!r} is not the demo's: it holds other pictures",
            "Rename it in FiftyOne (dataset.name = ...), then try again",
        )
    if fresh:
        datasets.delete_dataset(ws, DATASET, with_collections=True)
        return _create(fiftyone)
    return dataset


def _create(fiftyone: Any) -> Any:
    dataset = fiftyone.Dataset(DATASET, persistent=True)
    dataset.info[_MARK] = True
    dataset.description = "1,797 handwritten digits (scikit-learn's load_digits), made by kitescope demo"
    dataset.save()
    return dataset


def _fill(ws: Workspace, dataset: Any, wanted: Sequence[tuple[Path, str]]) -> None:
    """Add what is missing, and bring pictures back that were moved away."""
    fiftyone = ws.fiftyone()
    if not dataset.persistent:
        dataset.persistent = True
    if not dataset.has_field(LABEL_FIELD):
        dataset.add_sample_field(
            LABEL_FIELD,
            fiftyone.EmbeddedDocumentField,
            embedded_doc_type=fiftyone.Classification,
        )
    places = {path.name: str(path) for path, _ in wanted}
    present = dict(zip(*dataset.values(["id", "filepath"]), strict=True))
    gone = {
        sample: places[Path(path).name]
        for sample, path in present.items()
        if not Path(path).exists() and Path(path).name in places
    }
    if gone:
        dataset.set_values("filepath", gone, key_field="id")
    names = {Path(path).name for path in present.values()}
    samples = [
        fiftyone.Sample(filepath=str(path), **{LABEL_FIELD: fiftyone.Classification(label=label)})
        for path, label in wanted
        if path.name not in names
    ]
    if samples:
        dataset.add_samples(samples, progress=False)

"""Vectors in a ``.npy`` file, and the ids of its rows: read piece by piece, however large they are."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tui.core.errors import InvalidInput
from tui.core.filling.ids import IdSet
from tui.core.words import counted

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SPAN = 8 << 20
_LINES = 10_000


class VectorFile:
    """A file of one vector a row. Its rows are read, not mapped: mapped pages would count as our memory.

    Attributes:
        count: rows. dim: numbers in each.

    Raises:
        InvalidInput: it is no two-dimensional array of numbers.
    """

    def __init__(self, path: Path) -> None:
        array = _open(path)
        if array.ndim != 2 or array.dtype.kind not in "fiu" or not array.shape[1]:
            raise InvalidInput(
                f"{path} holds an array of shape {array.shape} and type {array.dtype}",
                "It takes one row of numbers for each vector",
            )
        self.count, self.dim = int(array.shape[0]), int(array.shape[1])
        # Only rows that lie in one piece can be read on their own.
        self._mapped = None if array.flags.c_contiguous else array
        self._dtype = array.dtype
        self._offset = int(getattr(array, "offset", 0))
        self._file = path.open("rb")

    def read(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Answer some rows as float32, (n, dim), in the order asked for."""
        if self._mapped is not None:
            return np.asarray(self._mapped[rows], dtype=np.float32)
        out = np.empty((len(rows), self.dim), dtype=np.float32)
        order = np.argsort(rows, kind="stable")
        for places in self._runs(rows, order):
            first = int(rows[places[0]])
            # Too large for float32 becomes infinite, and is skipped with that reason.
            with np.errstate(over="ignore"):
                out[places] = self._span(first, int(rows[places[-1]]) - first + 1)[rows[places] - first]
        return out

    def _runs(self, rows: NDArray[np.int64], order: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
        """Group rows that follow each other closely, so that each group is read at once."""
        span = max(1, _SPAN // (self.dim * self._dtype.itemsize))
        start = 0
        for at in range(1, len(order) + 1):
            if (
                at == len(order)
                or rows[order[at]] - rows[order[at - 1]] > 4
                or rows[order[at]] - rows[order[start]] >= span
            ):
                yield order[start:at]
                start = at

    def _span(self, first: int, count: int) -> NDArray[Any]:
        width = self.dim * self._dtype.itemsize
        self._file.seek(self._offset + first * width)
        data = self._file.read(count * width)
        if len(data) != count * width:
            raise InvalidInput(f"{self._file.name} ends before its last row", "Write it again")
        return np.frombuffer(data, dtype=self._dtype).reshape(count, self.dim)

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        self._mapped = None


class RowIds:
    """The ids of a file's rows, from ``.npy`` or text with one a line; 20 bytes an id in memory.

    Raises:
        InvalidInput: the file holds no ids, or one of them twice.
    """

    def __init__(self, path: Path) -> None:
        self._known = IdSet.collect(_id_pages(path))
        if len(self._known) != self._known.rows:
            raise InvalidInput(
                f"{path} names {counted(self._known.rows - len(self._known), 'id')} more than once",
                "Each row needs an id of its own",
            )
        self._row = np.empty(len(self._known), dtype=np.int64)
        start = 0
        for page in _id_pages(path):
            self._row[self._known.positions(page)] = np.arange(start, start + len(page))
            start += len(page)

    def __len__(self) -> int:
        return len(self._known)

    def rows_of(self, ids: Sequence[str]) -> NDArray[np.int64]:
        """Answer the row of each id, -1 where there is none."""
        if not len(self._row):
            return np.full(len(ids), -1, dtype=np.int64)
        places = self._known.positions(ids)
        return np.where(places >= 0, self._row[places], -1)


def _id_pages(path: Path) -> Iterator[list[str]]:
    yield from _npy_ids(path) if path.suffix == ".npy" else _text_ids(path)


def _npy_ids(path: Path) -> Iterator[list[str]]:
    array = _open(path)
    if array.ndim != 1 or array.dtype.kind not in "US":
        raise InvalidInput(
            f"{path} holds an array of shape {array.shape} and type {array.dtype}",
            "It takes a list of strings",
        )
    for start in range(0, len(array), _LINES):
        page = np.asarray(array[start : start + _LINES])
        yield (np.char.decode(page, "utf-8") if page.dtype.kind == "S" else page).tolist()


def _text_ids(path: Path) -> Iterator[list[str]]:
    try:
        with path.open(encoding="utf-8") as file:
            lines = (line.strip() for line in file)
            ids = (line for line in lines if line)
            while page := list(itertools.islice(ids, _LINES)):
                yield page
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"The ids in {path} cannot be read: {error}") from error


def _open(path: Path) -> NDArray[Any]:
    try:
        # Not numpy.load, which takes any file that is none for a pickle.
        return np.lib.format.open_memmap(path, mode="r")
    except (OSError, ValueError, EOFError) as error:
        raise InvalidInput(f"{path} cannot be read as .npy: {error}", "Save it with numpy.save") from error

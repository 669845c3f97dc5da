"""Paths that people type, and files with their settings: never half written, readable by nobody else."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from tui.core.errors import InvalidInput


def expanded(path: str | Path) -> Path:
    """A path with the home folder for ``~``; where there is no such user it stays, which pathlib refuses."""
    return Path(os.path.expanduser(path))  # noqa: PTH111


def is_file(path: str | Path) -> bool:
    """Whether a file is there, as far as one can tell: pathlib raises where a folder is not to be read."""
    return os.path.isfile(expanded(path))  # noqa: PTH113


def is_dir(path: str | Path) -> bool:
    """The same of a folder."""
    return os.path.isdir(expanded(path))  # noqa: PTH112


def private_dir(path: Path) -> Path:
    """Make ``path`` with mode 0700 where it is missing, and answer it.

    Raises:
        InvalidInput: it cannot be made.
    """
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidInput(
            f"The folder {path} cannot be made: {error.strerror}", "Check permissions, and what is there"
        ) from error
    return path


def write_private(path: Path, text: str) -> None:
    """Replace ``path`` atomically by ``text`` (UTF-8), mode 0600; a link is followed, not replaced.

    Raises:
        InvalidInput: the folder or the disk does not take it.
    """
    target = path.resolve()
    try:
        private_dir(target.parent)
        handle, temporary = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).replace(target)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise InvalidInput(
            f"{path} cannot be written: {error.strerror}", "Check the folder's permissions and free space"
        ) from error


def read_text(path: Path) -> str | None:
    """The text of a settings file, or None when there is none.

    Raises:
        InvalidInput: it is there and cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None
    except OSError as error:
        raise InvalidInput(
            f"{path} cannot be read: {error.strerror}", "Correct its permissions, or move it away"
        ) from error
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{path} is not a text file in UTF-8", "Correct it, or move it away") from error

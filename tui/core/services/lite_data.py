"""What may keep a Milvus Lite server from using a data folder, looked at before it is started."""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import suppress
from pathlib import Path

import psutil

from tui.core.errors import EngineUnreachable, InvalidInput
from tui.core.services import processes

_LOCK = "LOCK"
# A program that was killed has it until its memory is given back.
_LETS_GO_S = 2.0
_ALWAYS_THERE = "collections"


def check(data: Path) -> None:
    """Look at a data folder that is to be served; one that is not there yet is fine.

    Raises:
        InvalidInput: it is a file, a folder of something else, or its place does not exist.
        EngineUnreachable: another program has it open.
    """
    try:
        if data.is_dir():
            if any(data.iterdir()) and not (data / _ALWAYS_THERE).is_dir():
                raise InvalidInput(
                    f"{data} holds something else than a Milvus Lite database",
                    "Name a path that does not exist yet",
                )
        elif data.exists():
            raise InvalidInput(
                f"{data} is a file: Milvus Lite kept its data so before version 3, which cannot read them",
                "Name a path that does not exist yet and build the index again; "
                "pip install 'milvus-lite<3' in another environment reads the old file",
            )
        elif not data.parent.is_dir():
            raise InvalidInput(
                f"The folder {data.parent} of the Milvus URI does not exist", "Make it, or correct the path"
            )
    except OSError as error:
        raise InvalidInput(f"{data} cannot be read: {error.strerror}", "Correct its permissions") from error
    until = time.monotonic() + _LETS_GO_S
    while _is_locked(data / _LOCK):
        if time.monotonic() >= until:
            raise EngineUnreachable(
                f"{data} is open in {_who(data / _LOCK)}",
                "Close it there; then both can use it at the address that "
                "'kitescope connections export' prints",
            )
        time.sleep(0.02)


def _is_locked(lock: Path) -> bool:
    try:
        handle = os.open(lock, os.O_RDWR)
    except OSError:
        return False  # not there yet; or not ours to open, which the server will say
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(handle)
    return False


def _who(lock: Path) -> str:
    """The programs of this user that have the lock's file open, for people."""
    about = lock.stat()
    found = []
    for process in processes.mine():
        with suppress(OSError, psutil.Error):
            if any(_is_same(about, entry) for entry in Path(f"/proc/{process.pid}/fd").iterdir()):
                found.append(f"pid {process.pid}, {process.name()}")
    return f"another program ({'; '.join(found)})" if found else "another program"


def _is_same(about: os.stat_result, entry: Path) -> bool:
    with suppress(OSError):  # it was closed meanwhile
        return os.path.samestat(about, entry.stat())
    return False

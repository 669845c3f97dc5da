"""Who destroyed or took over what, and when: a line for each such deed, in a file of this user's.

The file only grows, each line is written at once by one call, and nothing here stops the action it tells of.
"""

from __future__ import annotations

import getpass
import logging
import os
import socket
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from tui import paths
from tui.core.errors import KitescopeError
from tui.core.files import private_dir

if TYPE_CHECKING:
    from tui.core.workspace import Workspace

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Entry:
    """One deed.

    Attributes:
        when: UTC, ISO 8601. who: user@host.
        what: such as ``deleted run``.
        name: of the run (dataset/key), dataset or collection.
        collection: the collection whose vectors went, or that was adopted; None where there was none.
        vectors: how many went, or were adopted; None when nobody could say.
        milvus: the server, without credentials; ``embedded`` for Kitescope's own.
    """

    when: str
    who: str
    what: str
    name: str
    collection: str | None
    vectors: int | None
    milvus: str


def path() -> Path:
    """Where the ledger is: JSON, one entry a line."""
    return paths.state_dir() / "ledger.jsonl"


def record(
    ws: Workspace, what: str, name: str, *, collection: str | None = None, vectors: int | None = None
) -> None:
    """Note what has just been done. A ledger that cannot be written is logged: the deed is done."""
    server = ws.settings.milvus["uri"].shown("uri") or "embedded"
    entry = Entry(_now(), _who(), what, name, collection, vectors, server)
    try:
        private_dir(path().parent)
        handle = os.open(path(), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(handle, msgspec.json.encode(entry) + b"\n")
        finally:
            os.close(handle)
    except (OSError, KitescopeError):
        _log.exception("not in the ledger: %s", entry)


def entries(limit: int | None = None) -> list[Entry]:
    """What was done, newest first; a line that a full disk cut short is left out."""
    try:
        lines = path().read_bytes().splitlines()
    except FileNotFoundError:
        return []
    found: list[Entry] = []
    for line in reversed(lines):
        if limit is not None and len(found) >= limit:
            break
        try:
            found.append(msgspec.json.decode(line, type=Entry))
        except msgspec.DecodeError:
            continue
    return found


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _who() -> str:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        # A container may run as a user that nobody named.
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"

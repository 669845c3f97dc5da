"""One writer at a time: a lease in the FiftyOne database, so that two machines see each other.

A lease is renewed by a thread while its holder works, ends with it, and is taken over when its time has run
out or, on the holder's own machine, when its process is gone. Where the database may not be written, a file
lock keeps at least the programs of this machine apart.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tui.core.errors import AuthenticationFailed, KitescopeError
from tui.core.services.ticks import start_ticks

if TYPE_CHECKING:
    from tui.core.workspace import Workspace

DATABASE = "kitescope"
COLLECTION = "leases"
TTL = 45.0
_RENEW = 10.0


class Lease:
    """What a writer holds. ``require`` raises as soon as somebody else could have taken it."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        self.token = uuid.uuid4().hex
        self._ends = time.monotonic() + TTL

    def require(self) -> None:
        """Raise unless this lease is still ours.

        Raises:
            KitescopeError: it was taken over, or could not be renewed for so long that it may be.
        """
        if time.monotonic() > self._ends:
            raise KitescopeError(
                f"The lease on {self.names[0]} was lost: this process stood still for too long",
                "Start again; what was stored is kept",
            )

    def lasts(self, seconds: float, asked: float) -> None:
        """Note that the lease is ours for that long; no seconds say that somebody else has it.

        Args:
            seconds: its time.
            asked: when the database was asked for it: the answer may have taken longer than that time.
        """
        self._ends = asked + seconds


@contextlib.contextmanager
def hold(ws: Workspace, names: Sequence[str], purpose: str) -> Iterator[Lease]:
    """Hold the leases of some names while the body runs.

    Args:
        names: what is written to, such as a collection's name.
        purpose: what for, told to whoever has to wait.

    Raises:
        KitescopeError: somebody else holds one of them; the message says who.
        EngineUnreachable: the database does not answer.
    """
    lease = Lease(sorted(names))
    try:
        leases = _leases(ws)
        _acquire_all(leases, lease, purpose)
    except AuthenticationFailed:
        with _file_locks(lease, purpose):
            yield lease
        return
    done = threading.Event()
    thread = threading.Thread(target=_keep, args=(leases, lease, done), name="lease", daemon=True)
    thread.start()
    try:
        yield lease
    finally:
        done.set()
        with contextlib.suppress(Exception):
            leases.delete_many({"token": lease.token})


def _leases(ws: Workspace) -> Any:
    from pymongo.write_concern import WriteConcern

    database = ws.database().client[DATABASE]
    # Two writers must never both believe in a write that a crash of mongod then forgets.
    return database.get_collection(COLLECTION, write_concern=WriteConcern(w="majority", j=True))


def _acquire_all(leases: Any, lease: Lease, purpose: str) -> None:
    from tui.core.documents.mongo import guarded

    asked = time.monotonic()
    try:
        for name in lease.names:
            with guarded():
                _acquire(leases, name, lease, purpose)
    except KitescopeError:
        with contextlib.suppress(Exception):
            leases.delete_many({"token": lease.token})
        raise
    lease.lasts(TTL, asked)


def _acquire(leases: Any, name: str, lease: Lease, purpose: str) -> None:
    """Take one lease: a new one, one that has run out, or that of a process which is gone."""
    from pymongo.errors import DuplicateKeyError

    free: dict[str, Any] = {"$lt": ["$expires", "$$NOW"]}
    for _ in range(3):
        try:
            update = [{"$set": {**_holder(lease, purpose), "expires": _expiry()}}]
            if leases.find_one_and_update({"_id": name, "$expr": free}, update) is None:
                # No document has our token yet: this inserts one, or finds that the name is taken.
                leases.update_one({"_id": name, "token": lease.token}, update, upsert=True)
            return
        except DuplicateKeyError:
            holder = leases.find_one({"_id": name})
        if holder is None:
            continue
        if not _is_gone(holder):
            raise _held(name, holder)
        leases.delete_one({"_id": name, "token": holder["token"]})
    raise KitescopeError(f"The lease on {name} changes hands all the time", "Try again in a moment")


def _expiry() -> dict[str, Any]:
    """The database's clock decides, so that the machines' clocks need not agree."""
    return {"$add": ["$$NOW", int(TTL * 1000)]}


def _holder(lease: Lease, purpose: str) -> dict[str, Any]:
    return {
        "token": {"$literal": lease.token},
        "host": {"$literal": socket.gethostname()},
        "machine": {"$literal": _machine()},
        "pid": os.getpid(),
        "ticks": start_ticks(os.getpid()),
        "purpose": {"$literal": purpose},
        "since": "$$NOW",
    }


def _machine() -> str:
    """Where a process number means a process: containers may share a host's name and not its processes."""
    with contextlib.suppress(OSError):
        return f"{socket.gethostname()}/{Path('/proc/self/ns/pid').stat().st_ino}"
    return socket.gethostname()


def _is_gone(holder: dict[str, Any]) -> bool:
    """Tell whether the holder was a process of this machine that no longer runs."""
    if holder.get("machine") != _machine() or "ticks" not in holder:
        return False
    return start_ticks(int(holder["pid"])) != int(holder["ticks"])


def _held(name: str, holder: dict[str, Any]) -> KitescopeError:
    since = holder.get("since")
    at = f" since {since.replace(tzinfo=UTC).astimezone():%H:%M:%S}" if isinstance(since, datetime) else ""
    who = f"process {holder.get('pid')} on {holder.get('host')}"
    return KitescopeError(
        f"Another Kitescope is writing to {name}: {holder.get('purpose')}, {who}{at}",
        "Wait for it or cancel it (kitescope jobs list), then start again",
    )


def _keep(leases: Any, lease: Lease, done: threading.Event) -> None:
    """Renew until done; a database that is away for a while costs nothing, a lost lease is noted."""
    while not done.wait(_RENEW):
        asked = time.monotonic()
        try:
            answer = leases.update_many({"token": lease.token}, [{"$set": {"expires": _expiry()}}])
        except Exception:  # noqa: S112  the next round tries again, and require() counts the time
            continue
        if answer.matched_count < len(lease.names):
            lease.lasts(0, asked)
            return
        lease.lasts(TTL, asked)


@contextlib.contextmanager
def _file_locks(lease: Lease, purpose: str) -> Iterator[None]:
    from filelock import FileLock, Timeout

    from tui.paths import state_dir

    folder = state_dir() / "leases"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        for name in lease.names:
            path = folder / f"{hashlib.sha256(name.encode()).hexdigest()[:32]}.lock"
            try:
                stack.enter_context(FileLock(path, timeout=0))
            except Timeout:
                raise KitescopeError(
                    f"Another Kitescope on this machine is writing to {name}: {_read(path)}",
                    "Wait for it or cancel it (kitescope jobs list), then start again",
                ) from None
            path.with_suffix(".txt").write_text(f"{purpose}, process {os.getpid()}")
        # A file lock ends with its process and with nothing else.
        lease.lasts(float("inf"), time.monotonic())
        yield


def _read(path: Path) -> str:
    with contextlib.suppress(OSError):
        return path.with_suffix(".txt").read_text()
    return "nobody knows who"

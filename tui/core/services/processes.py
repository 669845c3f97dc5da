"""Looking at processes of this user and ending them, by pid and never by name."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import closing, suppress
from pathlib import Path

import psutil

# True for one process only: a child that inherits it never registers with FiftyOne's database service, and
# loses its database when the parent exits.
_PRIVATE = ("FIFTYONE_PRIVATE_DATABASE_PORT",)


def child_environment(environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment for a child process, without what is true for this process only."""
    source = os.environ if environment is None else environment
    return {name: value for name, value in source.items() if name not in _PRIVATE}


def python_environment() -> dict[str, str]:
    """The same for a Python child that runs this package's code, wherever it lies: give it ``-P`` as well.

    Without ``-P`` the current folder comes before the standard library, and any ``random.py`` there ends it.
    """
    inherited = child_environment()
    places = [str(Path(__file__).parents[3]), *filter(None, [inherited.get("PYTHONPATH")])]
    return inherited | {"PYTHONPATH": os.pathsep.join(places)}


def mine() -> Iterator[psutil.Process]:
    """Every living process of this user whose command line can be read."""
    uid = os.geteuid()
    for process in psutil.process_iter(["uids", "cmdline", "status"]):
        info = process.info
        if (
            info["cmdline"]
            and info["uids"]
            and info["uids"].effective == uid
            and info["status"] != psutil.STATUS_ZOMBIE
        ):
            yield process


def option(command: list[str], name: str) -> str | None:
    """The word after ``name`` in a command line."""
    try:
        return command[command.index(name) + 1]
    except (ValueError, IndexError):
        return None


def alive(process: psutil.Process) -> bool:
    """Whether it still runs; a zombie does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def suspended(process: psutil.Process) -> bool:
    """Whether somebody stopped it with a signal (or a debugger)."""
    try:
        return process.status() in (psutil.STATUS_STOPPED, psutil.STATUS_TRACING_STOP)
    except psutil.Error:
        return False


def listening_port(process: psutil.Process) -> int | None:
    """The first TCP port it listens on."""
    try:
        for connection in process.net_connections(kind="tcp"):
            if connection.status == psutil.CONN_LISTEN:
                return int(connection.laddr.port)
    except psutil.Error:
        return None
    return None


def clients_of(port: int) -> set[int]:
    """The pids of this user's processes that are connected to a loopback port now."""
    uid, pids = os.geteuid(), set()
    for process in psutil.process_iter(["uids"]):
        if not process.info["uids"] or process.info["uids"].effective != uid:
            continue
        try:
            connections = process.net_connections(kind="tcp")
        except psutil.Error:
            continue
        if any(c.raddr and c.raddr.port == port and c.status == psutil.CONN_ESTABLISHED for c in connections):
            pids.add(process.pid)
    return pids


def end(process: psutil.Process, patience: float) -> None:
    """SIGTERM, ``patience`` seconds, SIGKILL. It is gone afterwards, or was not ours to end."""
    with suppress(psutil.NoSuchProcess):
        if suspended(process):
            process.resume()
        process.terminate()
        try:
            process.wait(patience)
        except psutil.TimeoutExpired:
            process.kill()
            process.wait(10)


def can_bind(port: int) -> bool:
    """Whether nobody listens on this loopback port."""
    with closing(socket.socket()) as probe:
        # So that connections of a server that was just killed do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_port() -> int:
    """A loopback port nobody listens on now."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])

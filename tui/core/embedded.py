"""The engines that need no server: Kitescope's own Milvus Lite server, and FiftyOne's database service.

The Milvus Lite server is a process of its own session: whoever comes first starts it, everyone finds it, and
it lives until ``stop``. It listens on loopback only. It takes any password, so other users of the machine can
reach it; ``doctor`` says so.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec
import psutil
from filelock import FileLock, Timeout

from tui import paths
from tui.core.errors import EngineUnreachable, KitescopeError
from tui.core.files import private_dir, write_private
from tui.core.services import fiftyone_service, processes

START_SECONDS = 60.0
_STOP_SECONDS = 10.0
_ENTRY = "from milvus_lite.cmdline import main; main()"
# True for one process only: a child that inherits it never registers with FiftyOne's database service, and
# loses its database when the parent exits.
_PRIVATE = ("FIFTYONE_PRIVATE_DATABASE_PORT",)

_threads = threading.Lock()
_children: list[subprocess.Popen[bytes]] = []  # kept so that a dead server is reaped, not a zombie


@dataclass(frozen=True)
class EngineStatus:
    """One embedded engine as it is now.

    Args:
        engine: ``milvus`` or ``fiftyone-database``.
        running: whether its process is there and answers.
        address: where it listens, or nothing.
        pids: its processes.
        data: its data folder.
        log: its log file.
        detail: one sentence for people.
    """

    engine: str
    running: bool
    address: str
    pids: tuple[int, ...]
    data: Path
    log: Path
    detail: str


class _Address(msgspec.Struct):
    pid: Annotated[int, msgspec.Meta(ge=1)]
    port: Annotated[int, msgspec.Meta(ge=1024, le=65535)]


@dataclass(frozen=True)
class Stopped:
    """What ``stop`` did with one engine; ``stopped`` is False when it was not running or is still needed."""

    engine: str
    stopped: bool
    detail: str


def child_environment(environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment for a child process, without what is true for this process only."""
    source = os.environ if environment is None else environment
    return {name: value for name, value in source.items() if name not in _PRIVATE}


def milvus_data() -> Path:
    """Where the embedded Milvus keeps its vectors."""
    return paths.data_dir() / "milvus"


def milvus_log() -> Path:
    """The log of the embedded Milvus."""
    return _engines() / "milvus.log"


def ensure_milvus(timeout: float = 5.0) -> str:
    """The URI of the embedded Milvus, started when it is not running; many processes may ask at once.

    Args:
        timeout: seconds that a running server has to answer; a start may take longer.

    Raises:
        EngineUnreachable: it does not start, or is there and does not answer.
    """
    with _threads:
        if (uri := _running_uri(timeout)) is not None:
            return uri
        private_dir(_engines())
        try:
            with FileLock(_engines() / "milvus.lock", timeout=START_SECONDS + 10, mode=0o600):
                return _running_uri(timeout) or _start(timeout)
        except Timeout as error:
            raise EngineUnreachable(
                "Another process has been starting the embedded Milvus for a minute",
                f"Look into {milvus_log()}, then try again",
            ) from error


def milvus_process() -> psutil.Process | None:
    """The process of the embedded Milvus, if it runs: the one that works on our data folder."""
    for child in list(_children):
        if child.poll() is not None:
            _children.remove(child)
    written = _read_address()
    if written is not None:
        try:
            process = psutil.Process(written.pid)
            if processes.alive(process) and _serves_our_data(process.cmdline()):
                return process
        except psutil.Error:
            pass
    return next((p for p in processes.mine() if _serves_our_data(p.info["cmdline"])), None)


def status(database_dir: str | None = None) -> list[EngineStatus]:
    """Both embedded engines; starts nothing and waits at most a second.

    Args:
        database_dir: FiftyOne's data folder (``Settings.database_dir``); the default one unless given.
    """
    process = milvus_process()
    uri = _uri_of(process) if process is not None else ""
    answering = bool(uri) and _answers(uri, 1.0)
    detail = "answers" if answering else "is there and does not answer" if process else "is not running"
    milvus = EngineStatus(
        "milvus", answering, uri, (process.pid,) if process else (), milvus_data(), milvus_log(), detail
    )
    folder = Path(database_dir or fiftyone_service.default_dir())
    found = fiftyone_service.find(folder)
    return [
        milvus,
        EngineStatus(
            "fiftyone-database",
            found.port is not None,
            f"mongodb://127.0.0.1:{found.port}" if found.port else "",
            found.pids,
            folder,
            folder / "log" / "mongo.log",
            found.detail(),
        ),
    ]


def stop(database_dir: str | None = None) -> list[Stopped]:
    """Stop the Milvus Lite server; FiftyOne's service stops by itself, so say who still needs it.

    Raises:
        EngineUnreachable: another process holds the lock for longer than a start takes.
    """
    with _threads, FileLock(private_dir(_engines()) / "milvus.lock", timeout=START_SECONDS, mode=0o600):
        if (process := milvus_process()) is None:
            done = [Stopped("milvus", False, "was not running")]
        else:
            processes.end(process, _STOP_SECONDS)
            done = [
                Stopped("milvus", True, f"stopped (pid {process.pid}); its data stays in {milvus_data()}")
            ]
        _address_file().unlink(missing_ok=True)
    stopped, detail = fiftyone_service.release(Path(database_dir or fiftyone_service.default_dir()))
    return [*done, Stopped("fiftyone-database", stopped, detail)]


def _engines() -> Path:
    return paths.state_dir() / "engines"


def _address_file() -> Path:
    return _engines() / "milvus.json"


def _read_address() -> _Address | None:
    try:
        return msgspec.json.decode(_address_file().read_bytes(), type=_Address)
    except (OSError, msgspec.DecodeError):
        # A missing or damaged file costs nothing: the list of processes knows.
        return None


def _serves_our_data(command: list[str]) -> bool:
    return _ENTRY in command and processes.option(command, "--data-dir") == str(milvus_data())


def _uri_of(process: psutil.Process) -> str:
    try:
        return f"http://127.0.0.1:{processes.option(process.cmdline(), '--port')}"
    except psutil.Error:
        return ""


def _running_uri(timeout: float) -> str | None:
    """The URI of the running server once it answers; None when there is none."""
    if (process := milvus_process()) is None:
        return None
    uri = _uri_of(process)
    if uri and _answers(uri, timeout):
        return uri
    if not processes.alive(process):
        return None
    if time.time() - process.create_time() < START_SECONDS:
        return _wait_for(process, uri, timeout)
    raise _silent(process)


def _silent(process: psutil.Process) -> EngineUnreachable:
    if processes.suspended(process):
        return EngineUnreachable(
            f"The embedded Milvus (pid {process.pid}) is suspended", f"Wake it with: kill -CONT {process.pid}"
        )
    return EngineUnreachable(
        f"The embedded Milvus (pid {process.pid}) does not answer",
        f"Stop it with: kitescope stop; its log is {milvus_log()}",
    )


def _answers(uri: str, timeout: float) -> bool:
    """Whether a real call is answered in time; without pymilvus, which takes a second to import."""
    import grpc

    options = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0)]
    with grpc.insecure_channel(uri.removeprefix("http://"), options=options) as channel:
        call = channel.unary_unary("/milvus.proto.milvus.MilvusService/GetVersion")
        try:
            call(b"", timeout=timeout)
        except grpc.RpcError as error:
            return error.code() not in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
    return True


def _wait_for(process: psutil.Process, uri: str, timeout: float) -> str | None:
    """Wait for a server that was just started; None when it ended instead."""
    deadline = process.create_time() + START_SECONDS
    while processes.alive(process):
        if processes.suspended(process) or time.time() > deadline:
            raise _silent(process)
        if _answers(uri, min(timeout, 1.0)):
            return uri
        time.sleep(0.05)
    return None


def _start(timeout: float) -> str:
    data, log = private_dir(milvus_data()), milvus_log()
    data.chmod(0o700)
    before = _read_address()
    # The old port first: clients of a server that was killed then find the new one by themselves.
    port = before.port if before and _becomes_free(before.port) else processes.free_port()
    for _ in range(3):
        process = _launch(data, log, port)
        uri = f"http://127.0.0.1:{port}"
        write_private(_address_file(), msgspec.json.encode(_Address(process.pid, port)).decode())
        if _wait_for(process, uri, timeout) is not None:
            return uri
        port = processes.free_port()
    raise EngineUnreachable(
        f"The embedded Milvus ends as soon as it starts: {_last_line(log)}", f"Its log is {log}"
    )


def _becomes_free(port: int) -> bool:
    """Whether the port can be had within a second: a killed server lets go of it a moment after its death."""
    deadline = time.monotonic() + 1.0
    while not processes.can_bind(port):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def _launch(data: Path, log: Path, port: int) -> psutil.Process:
    command = [sys.executable, "-c", _ENTRY, "server", "--data-dir", str(data), "--host", "127.0.0.1"]
    try:
        handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            child = subprocess.Popen(
                [*command, "--port", str(port)],
                stdin=subprocess.DEVNULL,
                stdout=handle,
                stderr=handle,
                cwd="/",
                env=child_environment(),
                start_new_session=True,
            )
        finally:
            os.close(handle)
        _children.append(child)
        return psutil.Process(child.pid)
    except OSError as error:
        raise KitescopeError(
            f"The embedded Milvus cannot be started: {error.strerror}", f"Check {log}"
        ) from error


def _last_line(log: Path) -> str:
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1].strip()[:200] if lines else "it says nothing"

"""Milvus Lite servers of Kitescope's own: one for each data folder, shared by all programs of this user.

A server is a process of its own session: whoever comes first starts it, everyone finds it, and it lives until
it is stopped.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Annotated

import msgspec
import psutil
from filelock import FileLock, Timeout

from tui import paths
from tui.core.errors import EngineUnreachable, KitescopeError
from tui.core.files import private_dir, write_private
from tui.core.services import lite_data, processes
from tui.core.services.milvus_address import candidates, private_socket, socket_of, uri_of

START_SECONDS = 60.0
_STOP_SECONDS = 10.0
_PORTS_TRIED = 3
_MODULE = "tui.core.services.lite_main"
_NAMED = "milvus-"

_children: list[subprocess.Popen[bytes]] = []  # kept so that a dead server is reaped, not a zombie


class _Written(msgspec.Struct):
    pid: Annotated[int, msgspec.Meta(ge=0)]  # 0: it was stopped
    data: str


@dataclass(frozen=True)
class LiteServer:
    """The server of one data folder, whether it runs or not.

    Args:
        data: its data folder.
        name: of its files in the folder of the engines.
        what: how people are told about it, as in "Milvus Lite of /x.db".
        embedded: its data folder belongs to this program, and not to the user.
    """

    data: Path
    name: str
    what: str
    embedded: bool = False

    @property
    def _subject(self) -> str:
        """What it is called at the beginning of a sentence."""
        return self.what[:1].upper() + self.what[1:]

    @property
    def log(self) -> Path:
        """What the server says."""
        return engines_dir() / f"{self.name}.log"

    def ensure(self, timeout: float) -> str:
        """The URI of the server, started when it is not running; many processes may ask at once.

        Args:
            timeout: seconds that a running server has to answer; a start may take longer.

        Raises:
            EngineUnreachable: it does not start, or is there and does not answer, or another program has
                its data folder open.
            InvalidInput: its data folder is none.
        """
        if (uri := self._running_uri(timeout)) is not None:
            return uri
        try:
            with self._lock(START_SECONDS + 10):
                return self._running_uri(timeout) or self._start(timeout)
        except Timeout as error:
            raise EngineUnreachable(
                f"Another process has been starting {self.what} for a minute",
                f"Look into {self.log}, then try again",
            ) from error

    def process(self) -> psutil.Process | None:
        """The server's process, if it runs: the one that works on this data folder."""
        for child in list(_children):
            if child.poll() is not None and child in _children:
                _children.remove(child)
        written = self._written()
        if written is not None and written.pid > 0:
            with suppress(psutil.Error):
                process = psutil.Process(written.pid)
                if processes.alive(process) and self._serves(process.cmdline()):
                    return process
        found = next((p for p in processes.mine() if self._serves(p.info["cmdline"])), None)
        if found is not None:
            with suppress(KitescopeError):
                self._write(found.pid)  # it was lost; 'stop' goes by it
        return found

    def may_listen_at(self, place: Path) -> bool:
        """Whether this socket is the server's, or would be if it ran."""
        return place in candidates(engines_dir(), self.name)

    def answering(self, seconds: float) -> tuple[psutil.Process | None, str, bool]:
        """Its process, its URI, and whether it answers within some seconds; starts nothing."""
        process = self.process()
        uri = _uri_of(process) if process is not None else ""
        return process, uri, bool(uri) and _answers(uri, seconds)

    def stop(self) -> psutil.Process | None:
        """End the server; answers the process it was.

        Raises:
            EngineUnreachable: another process holds the lock for longer than a start takes.
        """
        try:
            with self._lock(START_SECONDS):
                if (process := self.process()) is not None:
                    listens = socket_of(_uri_of(process))
                    processes.end(process, _STOP_SECONDS)
                    if listens is not None:
                        listens.unlink(missing_ok=True)
                    self._write(0)
                return process
        except Timeout as error:
            raise EngineUnreachable(
                f"Another process has been starting {self.what} for a minute", "Try again"
            ) from error

    def _lock(self, seconds: float) -> FileLock:
        return FileLock(private_dir(engines_dir()) / f"{self.name}.lock", timeout=seconds, mode=0o600)

    def _pid_file(self) -> Path:
        return engines_dir() / f"{self.name}.json"

    def _written(self) -> _Written | None:
        return _read(self._pid_file())

    def _write(self, pid: int) -> None:
        write_private(self._pid_file(), msgspec.json.encode(_Written(pid, str(self.data))).decode())

    def _serves(self, command: list[str]) -> bool:
        return _MODULE in command and processes.option(command, "--data-dir") == str(self.data)

    def _running_uri(self, timeout: float) -> str | None:
        """The URI of the running server once it answers; None when there is none."""
        if (process := self.process()) is None:
            return None
        if not self.data.exists():
            raise EngineUnreachable(
                f"{self._subject} (pid {process.pid}) runs, and its data folder {self.data} was deleted",
                "Stop it with: kitescope stop; then try again",
            )
        uri = _uri_of(process)
        if uri and _answers(uri, timeout):
            return uri
        if not processes.alive(process):
            return None
        if time.time() - process.create_time() < START_SECONDS:
            return self._wait_for(process, uri, timeout)
        raise self._silent(process)

    def _silent(self, process: psutil.Process) -> EngineUnreachable:
        if processes.suspended(process):
            return EngineUnreachable(
                f"{self._subject} (pid {process.pid}) is suspended", f"Wake it with: kill -CONT {process.pid}"
            )
        listens = socket_of(_uri_of(process))
        if listens is not None and not listens.exists():
            return EngineUnreachable(
                f"{self._subject} (pid {process.pid}) cannot be reached: its socket {listens} is gone",
                "Stop it with: kitescope stop; then try again",
            )
        return EngineUnreachable(
            f"{self._subject} (pid {process.pid}) does not answer",
            f"Stop it with: kitescope stop; its log is {self.log}",
        )

    def _wait_for(self, process: psutil.Process, uri: str, timeout: float) -> str | None:
        """Wait for a server that was just started; None when it ended instead."""
        deadline = process.create_time() + START_SECONDS
        while processes.alive(process):
            if processes.suspended(process) or time.time() > deadline:
                raise self._silent(process)
            if _answers(uri, min(timeout, 1.0)):
                return uri
            time.sleep(0.05)
        return None

    def _start(self, timeout: float) -> str:
        if self.embedded:
            private_dir(self.data).chmod(0o700)
        lite_data.check(self.data)
        private_dir(self.data)
        place = private_socket(engines_dir(), self.name)
        for _ in range(1 if place else _PORTS_TRIED):
            # Loopback only where no private socket can be; doctor says then that others can reach it.
            address = f"unix:{place}" if place else f"127.0.0.1:{processes.free_port()}"
            process = self._launch(address)
            self._write(process.pid)
            if self._wait_for(process, uri_of(address), timeout) is not None:
                return uri_of(address)
        raise EngineUnreachable(
            f"{self._subject} ends as soon as it starts: {_last_line(self.log)}", f"Its log is {self.log}"
        )

    def _launch(self, address: str) -> psutil.Process:
        # -P: a folder of the user's that happens to hold a "tui" must not be imported.
        command = [sys.executable, "-P", "-m", _MODULE, "--data-dir", str(self.data), "--address", address]
        try:
            handle = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            try:
                child = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=handle,
                    stderr=handle,
                    cwd="/",  # so that it keeps no disk of the user's from being unmounted
                    env=processes.child_environment(),
                    start_new_session=True,
                )
            finally:
                os.close(handle)
            _children.append(child)
            return psutil.Process(child.pid)
        except OSError as error:
            raise KitescopeError(
                f"{self._subject} cannot be started: {error.strerror}", f"Check {self.log}"
            ) from error


def server_of(data: Path) -> LiteServer:
    """The server of a ``.db`` path that a user named."""
    data = data.resolve()
    digest = sha256(os.fsencode(data)).hexdigest()[:16]
    return LiteServer(data, f"{_NAMED}{digest}", f"Milvus Lite of {data}")


def known_servers() -> list[LiteServer]:
    """The servers of the ``.db`` paths that were used here, as long as they run or have data."""
    written = [_read(file) for file in sorted(engines_dir().glob(f"{_NAMED}*.json"))]
    return [server_of(Path(one.data)) for one in written if one and (one.pid or Path(one.data).exists())]


def engines_dir() -> Path:
    """Where the engines' locks, addresses and logs are."""
    return paths.state_dir() / "engines"


def _read(file: Path) -> _Written | None:
    try:
        return msgspec.json.decode(file.read_bytes(), type=_Written)
    except (OSError, msgspec.DecodeError):
        # A missing or damaged file costs nothing: the list of processes knows.
        return None


def _uri_of(process: psutil.Process) -> str:
    try:
        return uri_of(processes.option(process.cmdline(), "--address") or "")
    except psutil.Error:
        return ""


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


def _last_line(log: Path) -> str:
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1].strip()[:200] if lines else "it says nothing"

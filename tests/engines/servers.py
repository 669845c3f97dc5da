"""Real engines for tests, benchmarks, fault tests and the screenshot script.

Each class is one server process on a free loopback port, with its data in a folder of its own:
``start`` waits until the server really answers, ``close`` ends it by its pid. In between, ``kill9``, ``stop``
(SIGSTOP), ``cont`` and ``restart`` (same port, same data) make the faults that users meet.
"""

from __future__ import annotations

import contextlib
import logging
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import psutil

if TYPE_CHECKING:
    from tests.engines.tls import Certificates

_taken: set[int] = set()


def free_port() -> int:
    """A port nobody listens on, below the range from which the system hands out ports to clients."""
    while True:
        port = random.randint(12_000, 31_000)
        if port in _taken:
            continue
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        _taken.add(port)
        return port


def wait_until(ready: Callable[[], bool], seconds: float, what: str, every: float = 0.1) -> None:
    """Poll ``ready`` until it is true; exceptions of the attempt count as not yet.

    Raises:
        TimeoutError: it did not become true; the last exception is its cause.
    """
    deadline = time.monotonic() + seconds
    last: Exception | None = None
    while time.monotonic() < deadline:
        try:
            if ready():
                return
        except Exception as error:
            last = error
        time.sleep(every)
    raise TimeoutError(f"{what} not within {seconds:.0f} s") from last


def freeze(pid: int) -> None:
    """SIGSTOP. A signal that was sent has stopped no thread yet, and each of a server's may still answer."""
    os.kill(pid, signal.SIGSTOP)
    wait_until(lambda: set(thread_states(pid)) == {"T"}, 30, f"process {pid} stands still", every=0.001)


def thread_states(pid: int) -> list[str]:
    """What each thread of a process does, a letter each: S sleeps, R runs, T stands still."""
    stats = [(task / "stat").read_text() for task in Path(f"/proc/{pid}/task").iterdir()]
    return [stat.rpartition(")")[2].split()[0] for stat in stats]


@contextlib.contextmanager
def quiet_logs() -> Iterator[None]:
    """Keep pymilvus from printing tracebacks about a server that is not up yet."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)


class Server(ABC):
    """One server process. Subclasses say how to start it and when it is ready."""

    start_seconds = 60.0

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.directory.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None

    # -- what a subclass says -------------------------------------------------------------------
    @property
    @abstractmethod
    def uri(self) -> str:
        """What a client connects to."""

    @abstractmethod
    def command(self) -> Sequence[str]:
        """What is run."""

    def environment(self) -> Mapping[str, str] | None:
        return None

    @abstractmethod
    def answers(self) -> bool:
        """Whether a real request is answered now; may raise."""

    # -- what everyone does ---------------------------------------------------------------------
    @property
    def pid(self) -> int:
        assert self.process is not None, "not started"
        return self.process.pid

    @property
    def log(self) -> Path:
        return self.directory / "server.log"

    def launch(self) -> None:
        """Start the process without waiting for it."""
        assert self.process is None or self.process.poll() is not None, "still running"
        command = list(self.command())
        if (setpriv := shutil.which("setpriv")) is not None:
            # So that a killed pytest leaves no server behind.
            command = [setpriv, "--pdeathsig", "KILL", *command]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.directory,
                env=self.environment(),
                start_new_session=True,
            )

    def start(self) -> Self:
        self.launch()
        try:
            with quiet_logs():
                wait_until(self._alive_and_ready, self.start_seconds, f"{type(self).__name__} answers")
        except TimeoutError as error:
            tail = self.log.read_text(errors="replace")[-2000:]
            self.close()
            raise RuntimeError(f"{type(self).__name__} did not start; the end of its log:\n{tail}") from error
        return self

    def _alive_and_ready(self) -> bool:
        assert self.process is not None
        return self.process.poll() is None and self.answers()

    def kill9(self) -> None:
        """End it without any chance to tidy up."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(30)

    def stop(self) -> None:
        """Freeze it: it keeps its port and answers nothing."""
        freeze(self.pid)

    def cont(self) -> None:
        """Thaw it."""
        self.process.send_signal(signal.SIGCONT) if self.process else None

    def restart(self) -> Self:
        """The same server again: same port, same data."""
        self.close()
        return self.start()

    def close(self) -> None:
        """End it politely, then firmly. Never raises because it is already gone."""
        if self.process is None or self.process.poll() is not None:
            return
        self.process.send_signal(signal.SIGCONT)
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.kill9()

    def __enter__(self) -> Self:
        return self if self.process is not None and self.process.poll() is None else self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Mongod(Server):
    """FiftyOne's own mongod binary, on data of our own.

    Args:
        directory: for data and log.
        user: with a password: authorization is on and this user is root.
        password: see ``user``.
        certificates: given: the port speaks TLS only.
    """

    def __init__(
        self,
        directory: Path,
        *,
        user: str | None = None,
        password: str | None = None,
        certificates: Certificates | None = None,
    ) -> None:
        super().__init__(directory)
        self.user, self.password, self.certificates = user, password, certificates
        self._user_made = False

    @property
    def uri(self) -> str:
        login = f"{self.user}:{self.password}@" if self.user else ""
        tls = f"?tls=true&tlsCAFile={self.certificates.ca}" if self.certificates else ""
        return f"mongodb://{login}127.0.0.1:{self.port}/{tls}"

    @property
    def uri_without_credentials(self) -> str:
        return f"mongodb://127.0.0.1:{self.port}/"

    @staticmethod
    def binary() -> Path:
        """Where FiftyOne's package keeps mongod, found without importing fiftyone."""
        from importlib.util import find_spec

        spec = find_spec("fiftyone")
        assert spec is not None and spec.origin is not None
        return Path(spec.origin).parent / "db" / "bin" / "mongod"

    def command(self) -> Sequence[str]:
        data = self.directory / "data"
        data.mkdir(exist_ok=True)
        quiet = ["--setParameter", "diagnosticDataCollectionEnabled=false", "--wiredTigerCacheSizeGB", "0.25"]
        auth = ["--auth"] if self.user else []
        where = ["--dbpath", str(data), "--port", str(self.port), "--bind_ip", "127.0.0.1", "--nounixsocket"]
        return [str(self.binary()), *where, *quiet, *auth, *self._tls()]

    def _tls(self) -> list[str]:
        if self.certificates is None:
            return []
        both = self.directory / "server.pem"
        both.write_bytes(
            self.certificates.server_key.read_bytes() + self.certificates.server_pem.read_bytes()
        )
        both.chmod(0o600)
        return ["--tlsMode", "requireTLS", "--tlsCertificateKeyFile", str(both)]

    def answers(self) -> bool:
        import pymongo

        uri = self.uri if self._user_made or not self.user else self.uri_without_credentials
        with pymongo.MongoClient(uri, serverSelectionTimeoutMS=500, directConnection=True) as client:
            client.admin.command("ping")
            if self.user and not self._user_made:
                # The localhost exception lets the first user in to make itself.
                # Journalled, because a kill -9 right after the start must not lose it.
                client.admin.command(
                    "createUser", self.user, pwd=self.password, roles=["root"], writeConcern={"j": True}
                )
                self._user_made = True
        return True


class MilvusServer(Server):
    """What Milvus Lite and the standalone server have in common for a client."""

    is_lite: bool

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def client_kwargs(self) -> dict[str, Any]:
        """Arguments with which ``MilvusClient`` and our settings reach this server with all rights."""
        return {"uri": self.uri}

    def client(self, timeout: float = 5.0, **over: Any) -> Any:
        """A new ``pymilvus.MilvusClient`` with all rights."""
        from pymilvus import MilvusClient

        options = {"grpc.use_local_subchannel_pool": 1}
        return MilvusClient(**{**self.client_kwargs(), **over}, timeout=timeout, grpc_options=options)


class MilvusLite(MilvusServer):
    """Milvus Lite's server as Kitescope runs it, on a loopback port.

    The package's own ``milvus-lite server`` hangs up on clients that are silent for half a minute.
    """

    is_lite = True

    def command(self) -> Sequence[str]:
        where = ["--data-dir", str(self.directory / "data"), "--address", f"127.0.0.1:{self.port}"]
        return [sys.executable, "-P", "-m", "tui.core.services.lite_main", *where]

    def processor_seconds(self) -> float:
        """What it has worked so far, in all its threads."""
        times = psutil.Process(self.pid).cpu_times()
        return float(times.user + times.system)

    def answers(self) -> bool:
        # A refused connection makes pymilvus log three tracebacks: ask the socket first.
        with socket.create_connection(("127.0.0.1", self.port), timeout=1):
            pass
        client = self.client(timeout=3)
        try:
            client.list_collections(timeout=3)
        finally:
            client.close()
        return True

"""The engines that need no server: Kitescope's own Milvus Lite server, and FiftyOne's database service.

Both are shared by everything this user runs, and neither knows passwords: the first listens where only this
user can reach it (``services.milvus_address``), the second on loopback.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tui import paths
from tui.core.services import fiftyone_service
from tui.core.services.lite_server import LiteServer

if TYPE_CHECKING:
    from tui.core.settings import Settings


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


@dataclass(frozen=True)
class Stopped:
    """What ``stop`` did with one engine; ``stopped`` is False when it was not running or is still needed."""

    engine: str
    stopped: bool
    detail: str


def milvus_data() -> Path:
    """Where the embedded Milvus keeps its vectors."""
    return paths.data_dir() / "milvus"


def milvus_server() -> LiteServer:
    """The embedded Milvus, whether it runs or not."""
    return LiteServer(milvus_data(), "milvus", "The embedded Milvus")


def ensure_milvus(timeout: float = 5.0) -> str:
    """The URI of the embedded Milvus, started when it is not running; many processes may ask at once.

    Args:
        timeout: seconds that a running server has to answer; a start may take longer.

    Raises:
        EngineUnreachable: it does not start, or is there and does not answer.
    """
    return milvus_server().ensure(timeout)


def milvus_kwargs(settings: Settings) -> dict[str, str | bool]:
    """What a client connects with: the settings, or a server of ours, started, where they mean one.

    Raises:
        EngineUnreachable: the embedded Milvus does not start, or is there and does not answer.
    """
    values = settings.milvus_kwargs()
    if (server := own_server(settings)) is None:
        return values
    # Logins and certificates mean nothing to it.
    kept = {name: value for name, value in values.items() if name == "db_name"}
    return {"uri": server.ensure(settings.timeout), **kept}


def own_server(settings: Settings) -> LiteServer | None:
    """The Milvus Lite server of ours that these settings mean; None: a server of the user's."""
    uri = settings.milvus["uri"].value
    embedded = milvus_server()
    return embedded if uri is None or embedded.listens_at(str(uri)) else None


def status(database_dir: str | None = None) -> list[EngineStatus]:
    """Both embedded engines; starts nothing and waits at most a second.

    Args:
        database_dir: FiftyOne's data folder (``Settings.database_dir``); the default one unless given.
    """
    server = milvus_server()
    process, uri, answering = server.answering(1.0)
    detail = "answers" if answering else "is there and does not answer" if process else "is not running"
    milvus = EngineStatus(
        "milvus", answering, uri, (process.pid,) if process else (), server.data, server.log, detail
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
    server = milvus_server()
    if (process := server.stop()) is None:
        done = Stopped("milvus", False, "was not running")
    else:
        done = Stopped("milvus", True, f"stopped (pid {process.pid}); its data stays in {server.data}")
    stopped, detail = fiftyone_service.release(Path(database_dir or fiftyone_service.default_dir()))
    return [done, Stopped("fiftyone-database", stopped, detail)]

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
from tui.core.services.lite_server import LiteServer, known_servers, server_of
from tui.core.services.milvus_address import local_path, socket_of

if TYPE_CHECKING:
    from tui.core.settings import Settings


@dataclass(frozen=True)
class EngineStatus:
    """One embedded engine as it is now.

    Args:
        engine: ``milvus``, ``fiftyone-database``, or ``milvus PATH`` for a ``.db`` path of the user's.
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
    return LiteServer(milvus_data(), "milvus", "the embedded Milvus", embedded=True)


def milvus_kwargs(settings: Settings) -> dict[str, str | bool]:
    """What a client connects with: the settings, or a server of ours, started, where they mean one.

    Raises:
        EngineUnreachable: our server does not start, or is there and does not answer.
        InvalidInput: the URI is a path where no Milvus Lite database can be.
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
    if uri is None:
        return milvus_server()
    if (data := local_path(str(uri))) is not None:
        return server_of(data)
    if (place := socket_of(str(uri))) is not None:
        # An address that 'connections export' printed: whoever uses it means the server behind it.
        ours = (milvus_server(), *known_servers())
        return next((server for server in ours if server.may_listen_at(place)), None)
    return None


def status(database_dir: str | None = None) -> list[EngineStatus]:
    """Both embedded engines, and the Milvus Lite servers of ``.db`` paths that run; starts nothing.

    Waits at most a second for each.

    Args:
        database_dir: FiftyOne's data folder (``Settings.database_dir``); the default one unless given.
    """
    folder = Path(database_dir or fiftyone_service.default_dir())
    found = fiftyone_service.find(folder)
    database = EngineStatus(
        "fiftyone-database",
        found.port is not None,
        f"mongodb://127.0.0.1:{found.port}" if found.port else "",
        found.pids,
        folder,
        folder / "log" / "mongo.log",
        found.detail(),
    )
    named = [_milvus_status(server) for server in known_servers()]
    return [_milvus_status(milvus_server()), database, *(one for one in named if one.pids)]


def _milvus_status(server: LiteServer) -> EngineStatus:
    process, uri, answering = server.answering(1.0)
    detail = "answers" if answering else "is there and does not answer" if process else "is not running"
    pids = (process.pid,) if process else ()
    return EngineStatus(_engine(server), answering, uri, pids, server.data, server.log, detail)


def _engine(server: LiteServer) -> str:
    return "milvus" if server.embedded else f"milvus {server.data}"


def stop(database_dir: str | None = None) -> list[Stopped]:
    """Stop the Milvus Lite servers; FiftyOne's service stops by itself, so say who still needs it.

    Raises:
        EngineUnreachable: another process holds a lock for longer than a start takes.
    """
    done = _stop_milvus(milvus_server())
    stopped, detail = fiftyone_service.release(Path(database_dir or fiftyone_service.default_dir()))
    named = [_stop_milvus(server) for server in known_servers()]
    database = Stopped("fiftyone-database", stopped, detail)
    return [done, database, *(one for one in named if one.stopped)]


def _stop_milvus(server: LiteServer) -> Stopped:
    if (process := server.stop()) is None:
        return Stopped(_engine(server), False, "was not running")
    detail = f"stopped (pid {process.pid}); its data stays in {server.data}"
    return Stopped(_engine(server), True, detail)

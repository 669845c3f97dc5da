"""FiftyOne in this process: imported quietly, connected to one database, connected again after a fault.

FiftyOne keeps its connection in module globals: there is one per process whatever the number of workspaces.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, cast

import psutil
from filelock import FileLock, Timeout

from tui import paths
from tui.core.connecting.masking import mask_uri
from tui.core.errors import EngineUnreachable
from tui.core.files import private_dir
from tui.core.services import database, fiftyone_service

if TYPE_CHECKING:
    from tui.core.settings import Settings

_QUIET = {
    "FIFTYONE_DATABASE_VALIDATION": "false",
    "FIFTYONE_SHOW_PROGRESS_BARS": "false",
    "FIFTYONE_LOGGING_LEVEL": "CRITICAL",
    "FIFTYONE_DO_NOT_TRACK": "true",
}
_CHECK_EVERY = 1.0

_lock = threading.RLock()
_target: tuple[str, str] | None = None  # (database URI or "service DIR", database name)
_checked = 0.0


def connect(settings: Settings) -> ModuleType:
    """FiftyOne, connected to the database of these settings. Safe to call from any thread, and often.

    Raises:
        EngineUnreachable: the database does not answer, within ``settings.timeout``.
        AuthenticationFailed: it refuses the credentials.
        InvalidInput: its URI cannot mean a server.
    """
    global _target, _checked
    wanted = _name_of(settings)
    with _lock:
        if settings.database_uri.value is not None and wanted != _target:
            # Before the import, which takes seconds: a wrong address is told at once.
            database.probe(str(settings.database_uri.value), settings.database_name, settings.timeout)
        fo = _imported()
        if wanted == _target and _alive(settings):
            return fo
        if wanted == _target and settings.database_uri.value is not None:
            # Its client reconnects by itself, so nothing is to be made anew; say why it does not answer.
            database.probe(str(settings.database_uri.value), settings.database_name, settings.timeout)
        else:
            _target = None
            _reconnect(fo, settings)
            _target = wanted
        _checked = time.monotonic()
        return fo


def client_of_service(settings: Settings) -> Any:
    """The pymongo client of FiftyOne's own service, which this process is registered with."""
    connect(settings)
    return _odm()._client


def _name_of(settings: Settings) -> tuple[str, str]:
    uri = settings.database_uri.value
    return (str(uri) if uri is not None else f"service {settings.database_dir}", settings.database_name)


def _odm() -> Any:
    import fiftyone.core.odm.database as odm

    return odm


def _imported() -> ModuleType:
    """FiftyOne, imported without a word on stdout or stderr."""
    if (known := sys.modules.get("fiftyone")) is not None and hasattr(known, "load_dataset"):
        _hush(known)
        return known
    # A port inherited from a parent's FiftyOne would keep this process from registering with the service.
    os.environ.pop("FIFTYONE_PRIVATE_DATABASE_PORT", None)
    with _environment(_QUIET), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import fiftyone as fo
    warnings.filterwarnings("ignore", module=r"(fiftyone|eta|mongoengine)\b")
    return cast(ModuleType, fo)


def _hush(fo: Any) -> None:
    fo.config.show_progress_bars = False
    fo.config.database_validation = False


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _alive(settings: Settings) -> bool:
    """Whether FiftyOne's connection answers, asked again after a second."""
    global _checked
    import pymongo
    from pymongo.errors import PyMongoError

    client = _odm()._client
    if client is None or (settings.embedded_database and not _listens()):
        return False
    if time.monotonic() - _checked < _CHECK_EVERY:
        return True
    try:
        with pymongo.timeout(settings.timeout):
            client.admin.command("ping")
    except PyMongoError:
        return False
    _checked = time.monotonic()
    return True


def _listens() -> bool:
    """Whether the service's mongod has its port: for a dead one the driver would try until the timeout."""
    port = int(os.environ.get("FIFTYONE_PRIVATE_DATABASE_PORT", "0"))
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except ConnectionRefusedError:
        return False
    except OSError:
        return True
    return True


def _reconnect(fo: Any, settings: Settings) -> None:
    """Point FiftyOne at the database of these settings, forgetting the one it had."""
    from pymongo.errors import PyMongoError

    odm = _odm()
    _disconnect(odm)
    odm._connection_kwargs.clear()
    _forget(fo)
    fo.config.database_name = settings.database_name
    uri = settings.database_uri.value
    try:
        if uri is None:
            _join_service(fo, odm, settings)
        else:
            os.environ.pop("FIFTYONE_PRIVATE_DATABASE_PORT", None)
            fo.config.database_uri = database.with_timeouts(str(uri), settings.timeout)
            odm._connect()
    except EngineUnreachable:
        _disconnect(odm)
        raise
    except (ConnectionError, RuntimeError, OSError, PyMongoError) as error:
        _disconnect(odm)
        raise EngineUnreachable(
            f"FiftyOne cannot use its database: {mask_uri(str(error))}",
            "Try again; kitescope doctor tells more",
        ) from error


def _forget(fo: Any) -> None:
    """Drop what FiftyOne keeps of the database it had, outside of the module that connects."""
    from fiftyone.factory import repo_factory

    # A dataset object of the same name would still belong to the other database.
    fo.Dataset._instances.clear()
    # Deleting a dataset asks these for its operators' data; they keep the client they began with.
    repo_factory._db = None
    repo_factory.RepositoryFactory.repos.clear()


def _disconnect(odm: Any) -> None:
    import pymongo

    # Closing says goodbye to the server, and would wait for a dead one.
    with pymongo.timeout(0.5):
        odm._disconnect()


def _join_service(fo: Any, odm: Any, settings: Settings) -> None:
    """Attach to FiftyOne's service or start it, one process at a time, and make sure whose data it serves."""
    from pymongo.errors import PyMongoError

    folder = Path(settings.database_dir)
    fo.config.database_uri, fo.config.database_dir = None, settings.database_dir
    with _one_at_a_time(folder):
        before = fiftyone_service.find(folder).pids
        try:
            _join_once(odm, folder, settings.timeout)
        except (EngineUnreachable, ConnectionError, RuntimeError, OSError, PyMongoError):
            if not _ended(before):
                raise
            # Its last client had gone, and it ended just as it was joined.
            _disconnect(odm)
            _join_once(odm, folder, settings.timeout)


def _join_once(odm: Any, folder: Path, timeout: float) -> None:
    import fiftyone.core.service as services

    limits = max(1, int(timeout * 1000))
    odm._db_service = None  # a service that died must not be taken for one that runs
    odm._db_service = fiftyone_service.open_service(services, folder, timeout)
    odm._connection_kwargs.clear()
    odm._connection_kwargs.update(
        serverSelectionTimeoutMS=limits, connectTimeoutMS=limits, heartbeatFrequencyMS=5000
    )
    odm._connect()
    _verify(odm._client, folder)


def _ended(before: tuple[int, ...]) -> bool:
    """Whether a service that was there is ending or gone; asked for a second, which ending begins within."""
    deadline = time.monotonic() + 1.0
    while before and time.monotonic() < deadline:
        if not all(map(psutil.pid_exists, before)) or not _listens():
            return True
        time.sleep(0.05)
    return False


def _verify(client: Any, folder: Path) -> None:
    serves = ""
    with suppress(KeyError):
        serves = client.admin.command("getCmdLineOpts")["parsed"]["storage"]["dbPath"]
    if serves and os.path.realpath(serves) != os.path.realpath(folder):
        raise EngineUnreachable(
            f"FiftyOne's service that runs keeps its data in {serves}, and not in {folder}",
            "End the programs that use it, or name a MongoDB with --database-uri",
        )


@contextmanager
def _one_at_a_time(folder: Path) -> Iterator[None]:
    """Simultaneous first starts of FiftyOne's service make each other fail after a minute."""
    name = sha256(os.fsencode(os.path.realpath(folder))).hexdigest()[:16]
    place = private_dir(paths.state_dir() / "engines") / f"fiftyone-{name}.lock"
    try:
        with FileLock(place, timeout=fiftyone_service.START_SECONDS + 10, mode=0o600):
            yield
    except Timeout as error:
        raise EngineUnreachable(
            "Another process has been starting FiftyOne's database for three minutes",
            f"Look into {folder / 'log' / 'mongo.log'}, then try again",
        ) from error

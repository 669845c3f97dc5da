"""Try FiftyOne's database step by step, without importing FiftyOne or touching the connection in use."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tui.core.connecting import network
from tui.core.connecting.connection_test import Step
from tui.core.connecting.masking import mask_uri
from tui.core.errors import EngineUnreachable, KitescopeError
from tui.core.services import database, fiftyone_service
from tui.core.words import counted

if TYPE_CHECKING:
    from tui.core.services.fiftyone_service import Found
    from tui.core.settings import Settings

_OLDEST = 6  # FiftyOne refuses a MongoDB below 6.0
_LEAST = 0.2


@dataclass(frozen=True, slots=True)
class DatabaseTest:
    """All steps up to the first that failed.

    Args:
        embedded: it is the MongoDB of FiftyOne's own service; False: a shared one.
        datasets: how many there are; None: they could not be counted, or the service is not running.
    """

    ok: bool
    embedded: bool
    server_version: str | None
    database: str
    datasets: int | None
    elapsed_ms: float
    steps: tuple[Step, ...]
    error: KitescopeError | None = None

    @property
    def last(self) -> Step:
        """The step that failed, or the one that says what was found."""
        return self.steps[-1]


@dataclass
class _Trial:
    settings: Settings
    service: Found
    uri: str
    version: str | None = None
    datasets: int | None = None
    began: float = field(default_factory=time.perf_counter)

    @property
    def left(self) -> float:
        return max(_LEAST, self.settings.timeout - (time.perf_counter() - self.began))

    @property
    def embedded(self) -> bool:
        """Whose MongoDB it is, also when its present port was given as a URI."""
        if self.settings.embedded_database:
            return True
        host, port = database.single_host(self.uri) or ("", None)
        return self.service.port is not None and port == self.service.port and network.is_local(host)


def run_test(settings: Settings, on_step: Callable[[Step], None] = lambda _step: None) -> DatabaseTest:
    """Walk the steps; ``on_step`` hears of each as it ends. Together they have ``settings.timeout`` seconds.

    Nothing is raised for a database that does not answer: the answer says so. FiftyOne's own service is not
    started for it.
    """
    service = fiftyone_service.find(Path(settings.database_dir))
    own = f"mongodb://127.0.0.1:{service.port}" if service.port else ""
    trial = _Trial(settings, service, str(settings.database_uri.value or own))
    steps: list[Step] = []
    failure: KitescopeError | None = None
    for name, body in _steps(trial):
        began = time.perf_counter()
        try:
            step = Step(name, True, 0.0, body())
        except KitescopeError as error:
            failure = error
            step = Step(name, False, 0.0, error.what, error.remedy)
        steps.append(Step(name, step.ok, _since(began), step.detail, step.remedy))
        on_step(steps[-1])
        if failure is not None:
            break
    return DatabaseTest(
        failure is None,
        trial.embedded,
        trial.version,
        settings.database_name,
        trial.datasets,
        _since(trial.began),
        tuple(steps),
        failure,
    )


def _steps(trial: _Trial) -> Iterator[tuple[str, Callable[[], str]]]:
    yield "service", lambda: _whose(trial)
    if not trial.uri:
        return
    if (node := database.single_host(trial.uri)) is not None:
        yield "resolve", lambda: ", ".join(network.resolve(*node, trial.left))
        yield "TCP", lambda: _tcp(trial, *node)
    yield "login", lambda: _login(trial)
    yield "version", lambda: _check_version(trial)
    yield "datasets", lambda: _count(trial)


def _whose(trial: _Trial) -> str:
    folder, service = trial.settings.database_dir, trial.service
    if not trial.settings.embedded_database:
        source = trial.settings.database_uri.source
        kind = "FiftyOne's embedded one, here" if trial.embedded else "a shared one"
        return f"{kind}: {mask_uri(trial.uri)} (from {source})"
    if service.mongod is not None and not service.fiftyones:
        raise EngineUnreachable(
            f"FiftyOne's data folder {folder} is used by a mongod of yours (pid {service.mongod.pid})",
            "Stop it, or give its address as the database URI",
        )
    if trial.uri:
        users = len(service.users())
        return f"FiftyOne's embedded one, data in {folder}, used by {counted(users, 'program')}"
    return f"FiftyOne's embedded one, data in {folder}: {service.detail()}, and starts when it is needed"


def _tcp(trial: _Trial, host: str, port: int) -> str:
    with network.connect(host, port, trial.left, "MongoDB"):
        return f"{host}:{port} is open"


def _login(trial: _Trial) -> str:
    trial.version = database.probe(trial.uri, trial.settings.database_name, trial.left)
    user = database.user_of(trial.uri)
    return f"as {user}" if user else "without credentials"


def _check_version(trial: _Trial) -> str:
    assert trial.version is not None
    if int(trial.version.partition(".")[0]) < _OLDEST:
        raise KitescopeError(
            f"MongoDB {trial.version} is too old for FiftyOne", f"Use MongoDB {_OLDEST}.0 or newer"
        )
    return f"MongoDB {trial.version}"


def _count(trial: _Trial) -> str:
    from tui.core.documents.schema import LISTED

    with database.client(trial.uri, trial.left) as client:
        trial.datasets = client[trial.settings.database_name]["datasets"].count_documents(LISTED)
    return f"{counted(trial.datasets, 'dataset')} in {trial.settings.database_name}"


def _since(began: float) -> float:
    return round((time.perf_counter() - began) * 1000, 1)

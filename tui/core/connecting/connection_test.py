"""Try a connection to Milvus step by step, so that the step that fails says what is wrong."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from tui.core.connecting import network, tls
from tui.core.connecting.masking import mask_uri
from tui.core.embedded import milvus_kwargs, own_server
from tui.core.errors import EngineUnreachable, KitescopeError, UnknownName
from tui.core.words import counted

if TYPE_CHECKING:
    from tui.core.milvus import Milvus
    from tui.core.settings import Settings

_LEAST = 0.2


@dataclass(frozen=True, slots=True)
class Step:
    """One step: whether it went well, how long it took, what was found, and what to do when it failed."""

    name: str
    ok: bool
    elapsed_ms: float
    detail: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class ConnectionTest:
    """All steps up to the first that failed. ``error`` is that step's error, for faces that end with one."""

    ok: bool
    server_version: str | None
    database: str | None
    collections: tuple[str, ...] | None
    elapsed_ms: float
    steps: tuple[Step, ...]
    error: KitescopeError | None = None


@dataclass
class _Trial:
    settings: Settings
    kwargs: dict[str, str | bool] = field(default_factory=dict)
    host: str = ""
    port: int = 0
    secure: bool = False
    milvus: Milvus | None = None
    version: str | None = None
    collections: tuple[str, ...] | None = None
    error: KitescopeError | None = None
    wrong_database: UnknownName | None = None
    steps: list[Step] = field(default_factory=list)
    began: float = field(default_factory=time.perf_counter)

    @property
    def left(self) -> float:
        """Seconds that this step may take: all of them together have the timeout."""
        return max(_LEAST, self.settings.timeout - (time.perf_counter() - self.began))


def run_test(settings: Settings, on_step: Callable[[Step], None] = lambda _step: None) -> ConnectionTest:
    """Walk the steps; ``on_step`` hears of each as it ends. Together they have ``settings.timeout`` seconds.

    Nothing is raised for a connection that does not work: the answer says so.
    """
    began = time.perf_counter()
    trial = _Trial(settings)
    try:
        for name, body in _steps(trial):
            step = _take(trial, name, body)
            trial.steps.append(step)
            on_step(step)
            if not step.ok:
                break
    finally:
        if trial.milvus is not None:
            trial.milvus.close()
    database = settings.milvus["db_name"].value or "default"
    return ConnectionTest(
        ok=trial.error is None,
        server_version=trial.version,
        database=str(database) if trial.collections is not None else None,
        collections=trial.collections,
        elapsed_ms=_since(began),
        steps=tuple(trial.steps),
        error=trial.error,
    )


def _steps(trial: _Trial) -> Iterator[tuple[str, Callable[[], str]]]:
    """The steps this connection has; later ones depend on what earlier ones found."""
    if own_server(trial.settings) is not None:
        yield "start", lambda: _start(trial)
    else:
        trial.kwargs = trial.settings.milvus_kwargs()
    parts = _parts(str(trial.kwargs["uri"]))
    if parts is not None:
        trial.host, trial.port, trial.secure = parts
        trial.secure = trial.secure or trial.settings.milvus["secure"].value is True
        yield "resolve", lambda: _resolve(trial)
        yield "TCP", lambda: _tcp(trial)
        if trial.secure:
            yield "TLS", lambda: _tls(trial)
    yield "login", lambda: _login(trial)
    yield "version", lambda: _version(trial)
    yield "database", lambda: _database(trial)
    yield "collections", lambda: counted(len(trial.collections or ()), "collection")


def _take(trial: _Trial, name: str, body: Callable[[], str]) -> Step:
    began = time.perf_counter()
    try:
        detail = body()
    except KitescopeError as error:
        trial.error = error
        return Step(name, False, _since(began), error.what, error.remedy)
    return Step(name, True, _since(began), detail)


def _start(trial: _Trial) -> str:
    trial.kwargs = milvus_kwargs(trial.settings)
    return f"Milvus Lite is at {trial.kwargs['uri']}"


def _parts(uri: str) -> tuple[str, int, bool] | None:
    """Host, port and whether it is TLS by its scheme; None for a file or socket, or a URI nobody can read."""
    try:
        parts = urlsplit(uri)
        if parts.scheme not in ("http", "https", "tcp") or not parts.hostname:
            return None
        secure = parts.scheme == "https"
        return parts.hostname, parts.port or (443 if secure else 19530), secure
    except ValueError:
        return None


def _resolve(trial: _Trial) -> str:
    return ", ".join(network.resolve(trial.host, trial.port, trial.left))


def _tcp(trial: _Trial) -> str:
    with network.connect(trial.host, trial.port, trial.left):
        return f"{trial.host}:{trial.port} is open"


def _tls(trial: _Trial) -> str:
    values = {name: value.value for name, value in trial.settings.milvus.items()}
    return tls.shake_hands(trial.host, trial.port, values, trial.left)


def _login(trial: _Trial) -> str:
    from tui.core.milvus import Milvus

    trial.settings.require_secret()
    try:
        trial.milvus = Milvus.connect(trial.kwargs, trial.left)
    except UnknownName as error:
        # The credentials are fine and the database is not: that is a later step's bad news.
        trial.wrong_database = error
        without = {name: value for name, value in trial.kwargs.items() if name != "db_name"}
        trial.milvus = Milvus.connect(without, trial.left)
    except EngineUnreachable as error:
        plain = type(error) is EngineUnreachable and trial.host and not trial.secure
        # One that was silent (TimedOut) has had its time; one that speaks TLS hangs up at once.
        if plain and tls.speaks_tls(trial.host, trial.port, max(1.0, trial.left)):
            raise EngineUnreachable(
                f"{trial.host}:{trial.port} speaks TLS and the URI does not",
                "Use https:// or --milvus-secure, and set the server pem",
            ) from error
        raise
    if own_server(trial.settings) is not None:
        return "without credentials: Milvus Lite knows none"
    user, token = trial.kwargs.get("user"), trial.kwargs.get("token")
    where = mask_uri(str(trial.kwargs["uri"]))
    return f"as {user}" if user else "with a token" if token else f"without credentials, {where}"


def _version(trial: _Trial) -> str:
    assert trial.milvus is not None
    trial.version = trial.milvus.server_version()
    number = trial.version.removeprefix("milvus_lite-").removeprefix("v")
    return f"Milvus Lite {number}" if trial.milvus.is_lite else f"Milvus {number}"


def _database(trial: _Trial) -> str:
    assert trial.milvus is not None
    if trial.wrong_database is not None:
        raise trial.wrong_database
    trial.collections = tuple(trial.milvus.collections())
    return str(trial.settings.milvus["db_name"].value or "default")


def _since(began: float) -> float:
    return round((time.perf_counter() - began) * 1000, 1)

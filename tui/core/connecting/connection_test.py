"""Try a connection to Milvus step by step, so that the step that fails says what is wrong."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

from tui.core.connecting.masking import mask_uri
from tui.core.embedded import milvus_kwargs, own_server
from tui.core.errors import EngineUnreachable, InvalidInput, KitescopeError, UnknownName

if TYPE_CHECKING:
    from tui.core.milvus import Milvus
    from tui.core.settings import Settings

StepName = Literal["start", "resolve", "TCP", "TLS", "login", "version", "database", "collections"]


@dataclass(frozen=True, slots=True)
class Step:
    """One step: whether it went well, how long it took, what was found, and what to do when it failed."""

    name: StepName
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
    address: str = ""
    milvus: Milvus | None = None
    version: str | None = None
    collections: tuple[str, ...] | None = None
    error: KitescopeError | None = None
    wrong_database: UnknownName | None = None
    steps: list[Step] = field(default_factory=list)


def run_test(settings: Settings, on_step: Callable[[Step], None] = lambda _step: None) -> ConnectionTest:
    """Walk the steps; ``on_step`` hears of each as it ends. Each takes at most ``settings.timeout`` seconds.

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


def _steps(trial: _Trial) -> Iterator[tuple[StepName, Callable[[], str]]]:
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
    yield "collections", lambda: f"{len(trial.collections or ())} collections"


def _take(trial: _Trial, name: StepName, body: Callable[[], str]) -> Step:
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
    # getaddrinfo knows no timeout, so it is given one by being left behind in its thread.
    pool = ThreadPoolExecutor(1)
    try:
        asked = pool.submit(socket.getaddrinfo, trial.host, trial.port, type=socket.SOCK_STREAM)
        found = asked.result(trial.settings.timeout)
    except FutureTimeout as error:
        raise EngineUnreachable(
            f"The name {trial.host} was not resolved in time", "Check the name server, or use an address"
        ) from error
    except OSError as error:
        raise EngineUnreachable(
            f"The name {trial.host} has no address ({error.strerror or error})", "Correct the host in the URI"
        ) from error
    finally:
        pool.shutdown(wait=False)
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    trial.address = addresses[0]
    return ", ".join(addresses)


def _tcp(trial: _Trial) -> str:
    with _connected(trial):
        return f"{trial.host}:{trial.port} is open"


def _connected(trial: _Trial, timeout: float | None = None) -> socket.socket:
    where = f"{trial.host}:{trial.port}"
    try:
        return socket.create_connection((trial.host, trial.port), timeout or trial.settings.timeout)
    except TimeoutError as error:
        raise EngineUnreachable(
            f"{where} does not answer", "Check the address, and whether a firewall is in between"
        ) from error
    except OSError as error:
        raise EngineUnreachable(
            f"{where}: {(error.strerror or str(error)).lower()}",
            "See that Milvus is running there, and that the port is right",
        ) from error


def _tls(trial: _Trial) -> str:
    context = _context(trial)
    name = str(trial.settings.milvus["server_name"].value or trial.host)
    with _connected(trial) as plain:
        try:
            with context.wrap_socket(plain, server_hostname=name) as tls:
                certificate = tls.getpeercert() or {}
                return f"{tls.version()}, certificate until {certificate.get('notAfter', 'unknown')}"
        except ssl.SSLCertVerificationError as error:
            raise InvalidInput(
                f"The server's certificate is not accepted: {error.verify_message}",
                "Set the server pem (one-way) or the CA pem (two-way), and the server name in it",
            ) from error
        except TimeoutError as error:
            raise EngineUnreachable(
                f"{trial.host}:{trial.port} does not answer the TLS handshake", "See whether it speaks TLS"
            ) from error
        except (ssl.SSLError, OSError) as error:
            raise EngineUnreachable(
                f"The TLS handshake failed ({getattr(error, 'reason', None) or error})",
                "See whether the server speaks TLS; if it does not, use http:// and no --milvus-secure",
            ) from error


def _context(trial: _Trial) -> ssl.SSLContext:
    """As Milvus' client will do it: the CA of two-way TLS, else the server's pem, else the system's roots."""
    values = {name: value.value for name, value in trial.settings.milvus.items()}
    two_way = values["client_pem_path"] and values["client_key_path"] and values["ca_pem_path"]
    roots = values["ca_pem_path"] if two_way else values["server_pem_path"]
    for name in ("client_pem_path", "client_key_path", "ca_pem_path", "server_pem_path"):
        if values[name] and not Path(str(values[name])).is_file():
            raise InvalidInput(f"The file of {name} does not exist: {values[name]}", "Correct the path")
    try:
        context = ssl.create_default_context(cafile=str(roots) if roots else None)
        # gRPC's servers hang up on clients that do not offer HTTP/2.
        context.set_alpn_protocols(["h2"])
        # A server's own certificate is trusted as it is, also when it is no authority.
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        if two_way:
            context.load_cert_chain(str(values["client_pem_path"]), str(values["client_key_path"]))
    except (ssl.SSLError, OSError) as error:
        raise InvalidInput(f"A PEM file cannot be used ({error})", "Check the certificate files") from error
    return context


def _login(trial: _Trial) -> str:
    from tui.core.milvus import Milvus

    trial.settings.require_secret()
    try:
        trial.milvus = Milvus.connect(trial.kwargs, trial.settings.timeout)
    except UnknownName as error:
        # The credentials are fine and the database is not: that is a later step's bad news.
        trial.wrong_database = error
        without = {name: value for name, value in trial.kwargs.items() if name != "db_name"}
        trial.milvus = Milvus.connect(without, trial.settings.timeout)
    except EngineUnreachable as error:
        if type(error) is EngineUnreachable and trial.host and not trial.secure and _speaks_tls(trial):
            raise EngineUnreachable(
                f"{trial.host}:{trial.port} speaks TLS and the URI does not",
                "Use https:// or --milvus-secure, and set the server pem",
            ) from error
        raise
    user, token = trial.kwargs.get("user"), trial.kwargs.get("token")
    where = mask_uri(str(trial.kwargs["uri"]))
    return f"as {user}" if user else "with a token" if token else f"without credentials, {where}"


def _speaks_tls(trial: _Trial) -> bool:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    # Only whether TLS is spoken is asked; nothing is sent over this connection.
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    try:
        with _connected(trial, 0.5) as plain, context.wrap_socket(plain):
            return True
    except ssl.SSLError as error:
        # A server that wants the client's certificate says so with an alert, which is TLS too.
        return "ALERT" in str(error.reason or "").upper()
    except (KitescopeError, OSError):
        return False


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

"""The link to a Milvus server: a quiet import, one connection, and what its failures mean.

pymilvus reports a closed port, a wrong password and a TLS mismatch with the same words and different causes;
this module tells them apart once, for every call that ``tui.core.milvus`` makes.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

from tui.core.connecting.masking import mask_uri
from tui.core.connecting.network import is_local
from tui.core.errors import (
    AuthenticationFailed,
    EngineUnreachable,
    InvalidInput,
    KitescopeError,
    TimedOut,
    UnknownName,
)

PEM_FILES = ("client_key_path", "client_pem_path", "ca_pem_path", "server_pem_path")

_DOWN = (
    "notreadyserve",
    "abnormal",
    "not healthy",
    "service not ready",
    "service unavailable",
    "service is not ready",
    "channel unsubscribed",
    "channel not found",
    "no available",
    "node offline",
    "node not found",
    "node not match",
    "session not found",
    "client connection is closing",
    "code = unavailable",
    "code = canceled",
    "failed to connect",
    "fail connecting",
    "connection refused",
    "transport is closing",
    "context deadline exceeded",
    "retry timeout",
    "closed channel",
    "should create connection first",
)
_FULL = ("errno 28", "no space left", "disk quota", "disk limit")
_STATUS = "StatusCode."


@cache
def pymilvus() -> ModuleType:
    """Import pymilvus without its side effects: a foreign ``.env``, its environment, its log lines.

    It loads the ``.env`` above the virtual environment and parses ``MILVUS_*`` while it is imported, so a
    project's unrelated file could change our settings or make the import raise.
    """
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    hidden = {key: os.environ.pop(key) for key in list(os.environ) if key.startswith("MILVUS_")}
    dotenv = os.environ.get("PYTHON_DOTENV_DISABLED")
    os.environ["PYTHON_DOTENV_DISABLED"] = "1"
    try:
        with _no_dotenv():
            import pymilvus as imported
    finally:
        os.environ.update(hidden)
        if dotenv is None:
            del os.environ["PYTHON_DOTENV_DISABLED"]
        else:
            os.environ["PYTHON_DOTENV_DISABLED"] = dotenv
    module: ModuleType = imported
    for name in ("pymilvus", "pymilvus.milvus_client", "pymilvus.bulk_writer", "grpc", "milvus_lite"):
        logger = logging.getLogger(name)
        logger.handlers = [logging.NullHandler()]
        logger.propagate = False
        logger.setLevel(logging.CRITICAL + 1)
    return module


@contextlib.contextmanager
def _no_dotenv() -> Iterator[None]:
    """Make ``load_dotenv`` do nothing: older python-dotenv releases know no switch for it."""
    try:
        import dotenv
    except ImportError:
        yield
        return
    original = dotenv.load_dotenv
    dotenv.load_dotenv = lambda *_args, **_kwargs: False
    try:
        yield
    finally:
        dotenv.load_dotenv = original


def address_of(uri: str) -> str:
    """Answer ``host:port`` or a file's path: what may be shown of a URI, never its credentials."""
    if uri.startswith("unix:"):
        return uri
    with contextlib.suppress(ValueError):
        parts = urlsplit(uri)
        if parts.hostname:
            return f"{parts.hostname}:{parts.port or (443 if parts.scheme == 'https' else 19530)}"
    return uri.rsplit("@", 1)[-1]


def open_client(kwargs: Mapping[str, str | bool], timeout: float) -> Any:
    """Open one ``MilvusClient`` of its own and prove that its database answers.

    Args:
        kwargs: ``uri`` and the other connection parameters that are set.
        timeout: seconds for all of it.

    Raises:
        InvalidInput: the URI, a PEM file or a combination of settings cannot work.
        AuthenticationFailed, EngineUnreachable, UnknownName: as ``translated`` tells.
    """
    given = {key: value for key, value in kwargs.items() if value not in ("", None)}
    uri = str(given.pop("uri", "http://localhost:19530"))
    _check(uri, given)
    deadline = time.monotonic() + timeout
    with translated(address_of(uri)):
        connect = pymilvus().MilvusClient
        client = connect(
            uri,
            # The import counts, so that a command ends in time; but a slow disk must not use it all up.
            timeout=max(timeout / 2, deadline - time.monotonic()),
            # Connections are pooled by address and token alone: TLS settings and lifetime must be our own.
            dedicated=True,
            grpc_options=_channel(uri),
            **given,
        )
        try:
            client.list_collections(timeout=max(0.5, deadline - time.monotonic()))
        except BaseException:
            client.close()
            raise
    return client


def _channel(uri: str) -> dict[str, int]:
    """How gRPC is to talk to it."""
    return {
        # Without a pool of its own, a new channel inherits the back-off of one that saw the server die.
        "grpc.use_local_subchannel_pool": 1,
        # A proxy for the web leads to no Milvus on this machine.
        "grpc.enable_http_proxy": int(not is_local(urlsplit(uri).hostname or "")),
    }


def _check(uri: str, given: Mapping[str, str | bool]) -> None:
    """Refuse what pymilvus would take and then misread."""
    for name in PEM_FILES:
        path = given.get(name)
        if path and not Path(str(path)).is_file():
            raise InvalidInput(f"The file of {name} does not exist: {path}", "Correct the path")
    if "user" in given and "password" not in given:
        raise InvalidInput("A Milvus user is set without a password", "Set the password too")
    try:
        parts = urlsplit(uri)
        usable = parts.scheme in ("http", "https", "tcp", "unix") and (parts.port or 1) > 0
        usable = usable and bool(parts.hostname or parts.scheme == "unix")
    except ValueError:
        usable = False
    if not usable:
        raise InvalidInput(
            f"The Milvus URI cannot be understood: {mask_uri(uri) if '://' in uri else address_of(uri)}",
            "Write it like http://localhost:19530",
        )


@contextlib.contextmanager
def translated(address: str, name: str = "") -> Iterator[None]:
    """Turn whatever pymilvus or gRPC raises inside into the errors of ``tui.core.errors``.

    Args:
        address: the server, for the message.
        name: the collection the call is about, for the message.
    """
    try:
        yield
    except KitescopeError:
        raise
    except Exception as error:
        raise explain(error, address, name) from error


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Walk an exception and its causes once each: pymilvus' own chains are cyclic."""
    seen: set[int] = set()
    ahead: list[BaseException | None] = [error]
    while ahead:
        one = ahead.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        ahead += [one.__context__, one.__cause__]


def _grpc_status(error: BaseException) -> tuple[str, str]:
    """Answer the gRPC status name behind an exception and its details, or two empty strings."""
    for one in _causes(error):
        code = getattr(one, "code", None)
        with contextlib.suppress(Exception):
            status = code() if callable(code) else code
            if str(status).startswith(_STATUS):
                details = getattr(one, "details", None)
                return str(status).removeprefix(_STATUS), str(details() if callable(details) else one)
    return "", ""


def explain(error: Exception, address: str, name: str = "") -> KitescopeError:
    """Answer the error of ours that says what ``error`` means and what to do."""
    if isinstance(error, OSError) and not isinstance(error, ConnectionError | TimeoutError):
        return InvalidInput(f"A file for the Milvus connection cannot be read: {error}", "Correct the path")
    status, details = _grpc_status(error)
    if status:
        return _from_status(status, details, address)
    return _from_milvus(error, address, name)


def _from_status(status: str, details: str, address: str) -> KitescopeError:
    short = " ".join(details.split())[:200]
    if status == "UNAUTHENTICATED":
        return AuthenticationFailed(
            f"Milvus at {address} refused the user name, password or token", "Correct the credentials"
        )
    if status == "PERMISSION_DENIED":
        return AuthenticationFailed(
            f"Milvus at {address} does not allow this: {short}", "Ask its administrator for the privilege"
        )
    if status == "DEADLINE_EXCEEDED":
        return TimedOut(
            f"Milvus at {address} did not answer in time", "See that it is running and not overloaded"
        )
    if status == "UNIMPLEMENTED":
        return KitescopeError(
            f"This Milvus server cannot do that: {short}", "See that the URI is its gRPC port"
        )
    if status == "RESOURCE_EXHAUSTED":
        return KitescopeError(f"Milvus at {address} refused the size: {short}", "Use a smaller --batch-size")
    if status in ("UNAVAILABLE", "CANCELLED", "ABORTED", "UNKNOWN", "INTERNAL"):
        return EngineUnreachable(
            f"Milvus at {address} cannot be reached ({_reason(short)})",
            "See that it is running, that the URI is right, and whether it wants TLS",
        )
    return KitescopeError(f"Milvus at {address} failed: {status} {short}", "See the server's log")


def _reason(details: str) -> str:
    lowered = details.lower()
    if "dns" in lowered or "name resolution" in lowered:
        return "its name has no address"
    if "refused" in lowered:
        return "connection refused"
    if "ssl" in lowered or "tls" in lowered or "handshake" in lowered or "certificate" in lowered:
        return "the TLS handshake failed"
    return details[:120] or "no answer"


def _from_milvus(error: Exception, address: str, name: str) -> KitescopeError:
    whole = " ".join(str(getattr(error, "message", "") or error).split())
    lowered = whole.lower()
    message = _brief(whole)
    code = getattr(error, "code", None)
    if code == 100 or "can't find collection" in lowered or "collection not found" in lowered:
        return UnknownName(f"Milvus has no collection {name or message}", "See kitescope collections list")
    if "database" in lowered and ("not found" in lowered or "does not exist" in lowered):
        return UnknownName(f"Milvus at {address} has no such database: {message}", "Correct --milvus-db-name")
    if any(word in lowered for word in ("auth check failure", "permission deny", "permissiondenied")):
        return AuthenticationFailed(f"Milvus at {address} refused: {message}", "Correct the credentials")
    if any(word in lowered for word in _FULL):
        return KitescopeError(
            f"The disk of Milvus at {address} is full", "Free space there; what was stored is kept"
        )
    if type(error).__name__ == "ConnectionConfigException":
        return InvalidInput(
            f"The Milvus URI cannot be understood: {address}", "Write it like http://host:19530"
        )
    if getattr(error, "retriable", False) or any(word in lowered for word in _DOWN):
        return EngineUnreachable(
            f"Milvus at {address} is not ready ({message})", "Try again; see its log when it goes on"
        )
    what = message or type(error).__name__
    return KitescopeError(f"Milvus refused: {what}", "See the server's log for more")


def _brief(message: str) -> str:
    """Answer the end of a long message: a server puts stack traces and earlier attempts before its reason."""
    return message if len(message) <= 240 else f"… {message[-200:]}"


def patient_enough(timeout: float) -> float:
    """Seconds a call that moves data may take: a loaded server needs longer than a handshake."""
    return max(30.0, timeout * 4)


def wait_until(ready: Callable[[], bool], timeout: float, what: str, pause: float = 0.2) -> None:
    """Ask ``ready`` until it says yes.

    Raises:
        EngineUnreachable: it did not within ``timeout`` seconds.
    """
    deadline = time.monotonic() + timeout
    while not ready():
        if time.monotonic() > deadline:
            raise EngineUnreachable(f"Milvus did not finish: {what}", "See that the server is not overloaded")
        time.sleep(pause)

"""Reaching a MongoDB by its URI: within the timeout, and with a reason when it fails."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tui.core.connecting.masking import mask_uri
from tui.core.errors import AuthenticationFailed, EngineUnreachable, InvalidInput, KitescopeError

_DENIED = {13: "has no right to read", 18: "was refused", 8000: "was refused"}


def with_timeouts(uri: str, timeout: float) -> str:
    """The URI with limits that FiftyOne's own connection then keeps; limits that are there stay.

    A frozen server is noticed by the heartbeat, so that a long aggregation is not cut short.
    """
    milliseconds = max(1, int(timeout * 1000))
    limits = {
        "serverSelectionTimeoutMS": milliseconds,
        "connectTimeoutMS": milliseconds,
        "heartbeatFrequencyMS": 5000,
    }
    scheme, _, rest = uri.partition("://")
    where, _, query = rest.partition("?")
    present = {word.partition("=")[0].lower() for word in re.split("[&;]", query)}
    added = [f"{name}={value}" for name, value in limits.items() if name.lower() not in present]
    hosts = where.rpartition("@")[2]
    slash = "" if "/" in hosts else "/"
    options = "&".join(part for part in (query, *added) if part)
    return f"{scheme}://{where}{slash}?{options}" if options else f"{scheme}://{where}{slash}"


@contextmanager
def client(uri: str, timeout: float) -> Iterator[Any]:
    """A ``pymongo.MongoClient`` for one question, all of it within ``timeout`` seconds.

    Raises:
        InvalidInput: the URI cannot mean a server.
        AuthenticationFailed: the server refuses the credentials, or there are none and it wants some.
        EngineUnreachable: nobody answers there.
    """
    import pymongo
    from pymongo import errors

    where = mask_uri(uri)
    try:
        with (
            pymongo.timeout(max(0.1, timeout)),
            pymongo.MongoClient(with_timeouts(uri, timeout), appname="kitescope") as opened,
        ):
            yield opened
    except errors.PyMongoError as error:
        raise explain(error, where) from error
    except ValueError as error:
        raise InvalidInput(f"The database URI {where} cannot be read: {error}", _FORM) from error


def single_host(uri: str) -> tuple[str, int] | None:
    """Host and port of a URI that names one server; None for several, a DNS record, or a mistake."""
    from pymongo import errors
    from pymongo.uri_parser import parse_uri

    if not uri.startswith("mongodb://"):
        return None
    try:
        nodes = parse_uri(uri)["nodelist"]
    except (errors.PyMongoError, ValueError):
        return None
    return (nodes[0][0], nodes[0][1]) if len(nodes) == 1 and nodes[0][1] is not None else None


def user_of(uri: str) -> str:
    """The user that the URI names; empty when it names none."""
    login, at, _ = uri.partition("://")[2].rpartition("@")
    return login.partition(":")[0] if at else ""


def probe(uri: str, database: str, timeout: float) -> str:
    """Ask the server for its version and read from ``database``, all of it within ``timeout`` seconds.

    Returns:
        the server's version.

    Raises:
        InvalidInput: the URI cannot mean a server.
        AuthenticationFailed: the server refuses the credentials, or there are none and it wants some.
        EngineUnreachable: nobody answers there.
    """
    deadline = time.monotonic() + timeout
    _refuse_early(uri, timeout)
    with client(uri, deadline - time.monotonic()) as opened:
        version = str(opened.server_info()["version"])
        opened[database]["config"].find_one({}, {"_id": 1})
        return version


_FORM = "Write it like mongodb://user:password@host:27017, with special characters of the password escaped"


def _refuse_early(uri: str, timeout: float) -> None:
    """A closed port is an answer: say so at once, and not when the driver has tried for the whole timeout."""
    if (node := single_host(uri)) is None:
        return  # the driver resolves mongodb+srv, and explains what it does not know
    try:
        socket.create_connection(node, timeout=timeout).close()
    except ConnectionRefusedError:
        raise _closed(mask_uri(uri)) from None
    except socket.gaierror:
        raise _unknown_host(mask_uri(uri)) from None
    except TimeoutError:
        raise _silent(mask_uri(uri)) from None
    except OSError:
        return  # the driver tells more


def _closed(where: str) -> EngineUnreachable:
    return EngineUnreachable(
        f"Nobody listens at {where}", "Start MongoDB there, or correct host and port of the database URI"
    )


def _silent(where: str) -> EngineUnreachable:
    return EngineUnreachable(
        f"{where} does not answer within the timeout", "Check that MongoDB runs there, or raise --timeout"
    )


def _unknown_host(where: str) -> EngineUnreachable:
    return EngineUnreachable(f"The host of {where} is not known", "Correct the host in the database URI")


def explain(error: Exception, where: str) -> KitescopeError:
    """What a pymongo error means for the user.

    Args:
        error: from pymongo.
        where: the masked URI.
    """
    from pymongo import errors

    text = str(error)
    if isinstance(error, errors.OperationFailure) and error.code in _DENIED:
        return _denied(error, where)
    if isinstance(error, errors.ConfigurationError):
        if "password is required" in text.lower():
            return AuthenticationFailed(
                f"{where} names a user without a password", "Add the password to the URI"
            )
        if "DNS" in text or "resolution" in text:
            return _unknown_host(where)
        return InvalidInput(f"The database URI {where} cannot be read: {_first(text)}", _FORM)
    if "Connection refused" in text:
        return _closed(where)
    if "Name or service not known" in text or "nodename nor servname" in text:
        return _unknown_host(where)
    if re.search(r"(?i)ssl|tls|certificate", text):
        return EngineUnreachable(
            f"{where} does not agree on TLS: {_first(text)}",
            "Check tls=true and tlsCAFile in the database URI",
        )
    if re.search(r"(?i)connection (closed|reset)", text):
        return EngineUnreachable(
            f"{where} closes the connection", "If this MongoDB wants TLS, add ?tls=true to the database URI"
        )
    if getattr(error, "timeout", False) or isinstance(error, errors.ServerSelectionTimeoutError):
        return _silent(where)
    return EngineUnreachable(f"{where} cannot be used: {_first(text)}", "Check the database URI")


def _denied(error: Any, where: str) -> AuthenticationFailed:
    if "requires authentication" in str(error):
        return AuthenticationFailed(
            f"{where} wants a login",
            "Put user and password into the database URI: mongodb://user:password@host",
        )
    return AuthenticationFailed(
        f"The login for {where} {_DENIED[error.code]}",
        "Check user, password and authSource in the URI, and the user's rights on FiftyOne's database",
    )


def _first(text: str) -> str:
    """The first sentence: pymongo appends its whole view of the topology."""
    return re.split(r", full error:|, Timeout:|\n", text)[0][:200]

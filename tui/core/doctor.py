"""Whether the main job can run on this machine, and what to do about the rest.

Both engines are really contacted: with nothing configured, the embedded ones are started for it.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable, Iterator
from ipaddress import ip_address
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from tui.core.connecting.masking import has_password, mask_uri
from tui.core.embedded import own_server
from tui.core.errors import KitescopeError
from tui.core.services import database, machine
from tui.core.services.machine import Check
from tui.core.words import counted
from tui.core.workspace import Workspace

if TYPE_CHECKING:
    from tui.core.settings import Settings

__all__ = ["Check", "checks", "checks_without_settings"]

_Plan = list[tuple[str, bool, Callable[[], Check]]]


def checks(settings: Settings) -> Iterator[Check]:
    """Look at one thing after the other; each answer comes as soon as it is known. Never raises."""
    env = os.environ
    with Workspace(settings) as workspace:
        plan: _Plan = [
            *_first(lambda: machine.settings_files_are_valid(env)),
            ("space", False, lambda: machine.space(settings.database_dir)),
            ("mongod", settings.embedded_database, lambda: machine.mongod(settings.embedded_database)),
            ("fiftyone-database", True, lambda: _fiftyone_database(workspace)),
            ("milvus", True, lambda: _milvus(workspace)),
            ("milvus-login", False, lambda: _milvus_login(settings)),
            ("shared-machine", False, lambda: _shared_machine(settings)),
            *_last(),
        ]
        for name, required, look in plan:
            yield _safely(name, required, look)


def checks_without_settings(error: KitescopeError) -> Iterator[Check]:
    """What can be said while the settings cannot be read, for the reason in ``error``; asks no engine."""

    def unreadable() -> Check:
        raise error

    for name, required, look in (*_first(unreadable), *_last()):
        yield _safely(name, required, look)


def _first(settings: Callable[[], Check]) -> _Plan:
    return [
        ("python", True, machine.python),
        ("versions", False, machine.versions),
        ("settings", True, settings),
        ("folders", True, machine.folders),
        ("files", False, lambda: machine.files(os.environ)),
    ]


def _last() -> _Plan:
    def terminal() -> Check:
        return machine.terminal(os.environ, sys.__stdout__ is not None and sys.__stdout__.isatty())

    return [("gpu", False, machine.gpu), ("terminal", False, terminal)]


def _safely(name: str, required: bool, look: Callable[[], Check]) -> Check:
    try:
        return look()
    except KitescopeError as error:
        return Check(name, False, error.what, error.remedy, required)
    except Exception as error:
        # A check that breaks must not keep the others from being made; its type is named without its text,
        # which may hold a secret.
        return Check(
            name, False, f"could not be looked at ({type(error).__name__})", "Run with --debug", required
        )


def _fiftyone_database(workspace: Workspace) -> Check:
    settings = workspace.settings
    uri = settings.database_uri.value
    if uri is not None:
        version = database.probe(str(uri), settings.database_name, settings.timeout)
        where = f"{mask_uri(str(uri))} (from {settings.database_uri.source})"
    else:
        workspace.fiftyone()
        version = str(workspace.database().client.server_info()["version"])
        where = f"FiftyOne's own service on {settings.database_dir}"
    datasets = workspace.database()["datasets"].estimated_document_count()
    return Check(
        "fiftyone-database",
        True,
        f"MongoDB {version}, {counted(datasets, 'dataset')}, {where}",
        required=True,
    )


def _milvus(workspace: Workspace) -> Check:
    settings = workspace.settings
    milvus = workspace.milvus()
    count = len(milvus.collections())
    uri = settings.milvus["uri"]
    source = f" (from {uri.source})" if uri.value is not None else ""
    if (server := own_server(settings)) is not None:
        where = f"served at {server.answering(settings.timeout)[1]}, data in {server.data}{source}"
    else:
        where = f"{mask_uri(str(uri.value))}{source}"
    return Check(
        "milvus", True, f"{milvus.server_version()}, {counted(count, 'collection')}, {where}", required=True
    )


def _milvus_login(settings: Settings) -> Check:
    """Whether somebody else could do the same, and whether the password travels in the clear."""
    if (server := own_server(settings)) is not None:
        if server.data.exists() and server.data.stat().st_mode & 0o077:
            # A .db path that stock FiftyOne or pymilvus made.
            detail, remedy = (
                f"other users may read {server.data}",
                f"chmod 700 {shlex.quote(str(server.data))}",
            )
            return Check("milvus-login", False, detail, remedy)
        return Check("milvus-login", True, "Milvus Lite has no logins; see shared-machine")
    kwargs = settings.milvus_kwargs()
    uri = str(kwargs["uri"])
    # One that is not known here is asked for, and not absent.
    secret = bool(
        settings.missing_secret or kwargs.get("token") or kwargs.get("password") or has_password(uri)
    )
    encrypted = uri.startswith(("https://", "unix:")) or kwargs.get("secure") is True
    if not secret:
        remedy = "Set common.security.authorizationEnabled in Milvus, then user and password here"
        return Check(
            "milvus-login",
            False,
            "no password is set: whoever reaches the server may drop everything",
            remedy,
        )
    if not encrypted and not _on_loopback(uri):
        remedy = "Switch TLS on in Milvus and use https:// or --milvus-secure"
        return Check("milvus-login", False, "the password travels unencrypted", remedy)
    return Check(
        "milvus-login", True, "with a password" + (", encrypted" if encrypted else ", on this machine")
    )


def _on_loopback(uri: str) -> bool:
    host = urlsplit(uri).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _shared_machine(settings: Settings) -> Check:
    """Which engines in use ask for no password, and how far they can be reached."""
    private: list[str] = []
    exposed: list[str] = []
    if (server := own_server(settings)) is not None:
        listening = server.answering(settings.timeout)[1]
        # A server that does not run was named by the check before, and is private when it starts.
        (exposed if listening.startswith("http") else private).append(server.what)
    if settings.embedded_database:
        exposed.append("FiftyOne's own mongod")
    return machine.shared_machine(private, exposed)

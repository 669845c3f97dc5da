"""``doctor``, ``info`` and ``stop``: this machine, and what Kitescope runs on it."""

from __future__ import annotations

import platform
import sys
from importlib import metadata
from typing import TYPE_CHECKING

import click

from tui import __version__, paths
from tui.cli.session import Session, command, json_option
from tui.core.errors import InvalidInput, KitescopeError, UnknownName

if TYPE_CHECKING:
    from tui.core.embedded import EngineStatus

_PACKAGES = ("fiftyone", "fiftyone-brain", "pymilvus", "milvus-lite", "torch", "torchvision", "textual")


@click.command(short_help="Check this machine, with a remedy for what is wrong.")
@json_option
@command
def doctor(session: Session, as_json: bool) -> int:
    """Check what the main job needs on this machine, with a remedy for what is wrong."""
    from tui.core.doctor import checks, checks_without_settings

    try:
        looks = checks(session.settings())
    except UnknownName:
        raise
    except InvalidInput as error:
        looks = checks_without_settings(error)
    found = []
    for check in looks:
        found.append(check)
        if not as_json:
            mark = "✓" if check.ok else ("✗" if check.required else "!")
            remedy = f" → {check.remedy}" if check.remedy and not check.ok else ""
            session.out.text(f"{mark} {check.name}: {check.detail}{remedy}")
    ok = all(check.ok for check in found if check.required)
    if as_json:
        listed = [
            {
                "name": check.name,
                "ok": check.ok,
                "detail": check.detail,
                "remedy": check.remedy,
                "required": check.required,
            }
            for check in found
        ]
        session.out.json({"ok": ok, "checks": listed})
    elif not ok:
        session.out.say("Something that the main job needs is missing: see the lines with ✗.")
    return 0 if ok else 1


@click.command(short_help="Versions, and where files are.")
@json_option
@command
def info(session: Session, as_json: bool) -> None:
    """Show versions, and where config, data, cache, state and logs are."""
    from tui.core import profiles

    places = {
        "config": paths.config_dir(),
        "profiles": profiles.path(),
        "data": paths.data_dir(),
        "cache": paths.cache_dir(),
        "state": paths.state_dir(),
        "jobs": paths.state_dir() / "jobs.db",
        "logs": paths.log_file(),
    }
    versions = {"kitescope": __version__, "python": platform.python_version()}
    versions |= {name: _version(name) for name in _PACKAGES}
    engines = _engines(session)
    if as_json:
        session.out.json(
            {"versions": versions, "paths": places, "executable": sys.executable, "engines": engines}
        )
        return
    session.out.facts(versions.items())
    session.out.text("")
    session.out.facts(places.items())
    session.out.text("")
    session.out.facts(
        (engine.engine, f"{engine.detail} {engine.address}".strip() + f", data in {engine.data}")
        for engine in engines
    )


@click.command(short_help="Stop the embedded engines.")
@json_option
@command
def stop(session: Session, as_json: bool) -> None:
    """Stop the FiftyOne App that was opened from here, and the embedded engines, and say which.

    Jobs that use the engines fail, so look at 'jobs list' first.
    """
    from tui.core import embedded
    from tui.jobs import fiftyone_app

    # First, because it is one of the programs that FiftyOne's database waits for.
    app = fiftyone_app.stop()
    stopped = embedded.stop(session.settings(ask=False).database_dir)
    if app is not None:
        stopped.append(embedded.Stopped("fiftyone-app", True, f"stopped (pid {app.pid}), was at {app.url}"))
    if as_json:
        session.out.json({"stopped": stopped})
        return
    for engine in stopped:
        session.out.text(f"{engine.engine}: {engine.detail}")


def _engines(session: Session) -> list[EngineStatus]:
    from tui.core import embedded

    try:
        return embedded.status(session.settings(ask=False).database_dir)
    except KitescopeError as error:
        # Where files are must be told above all when a settings file is broken.
        session.out.say(f"warning: {error}")
        return []


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


@click.command(short_help="What was deleted or dropped, by whom and when.")
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True, metavar="N")
@json_option
@command
def ledger(session: Session, limit: int, as_json: bool) -> None:
    """List what this user deleted, dropped or adopted on this machine, newest first."""
    from tui.core.ledger import entries

    found = entries(limit)
    if as_json:
        session.out.json(found)
        return
    session.out.table(
        ("when", "who", "what", "name", "collection", "vectors", "milvus"),
        [(one.when, one.who, one.what, one.name, one.collection, one.vectors, one.milvus) for one in found],
        empty="Nothing was deleted, dropped or adopted.",
    )

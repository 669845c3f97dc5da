"""``connections``: profiles, where each value comes from, and whether it works."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tui.cli.session import Session, command, json_option, yes_option

if TYPE_CHECKING:
    from tui.core.connecting.connection_test import Step
    from tui.core.profiles import Keep

_KEPT: Mapping[Keep, str] = {
    "keyring": "Its password or token is in the system's keyring.",
    "file": "Its password or token is in that file, which only you can read.",
    "ask": "Its password or token was not written, and is asked for each time; see --secrets.",
}
_LEFT_OUT = (
    "A password inside a URI is left out: type it there again, or choose --secrets keyring or --secrets file."
)


@click.group()
def connections() -> None:
    """Saved connections: list, show, test, save, remove, export."""


@connections.command("list")
@json_option
@command
def list_(session: Session, as_json: bool) -> None:
    """List the saved profiles."""
    from tui.core import profiles
    from tui.core.connecting.masking import mask_uri

    default = profiles.default_name()
    rows = [
        {
            "name": profile.name,
            "uri": mask_uri(str(profile.milvus["uri"])) if profile.milvus.get("uri") else None,
            "database_uri": mask_uri(profile.database_uri) if profile.database_uri else None,
            "readonly": profile.readonly,
            "protected": profile.protected,
            "secrets": profile.kept in ("file", "keyring"),
            "kept_in": profile.kept,
            "default": profile.name == default,
        }
        for profile in profiles.list_profiles()
    ]
    if as_json:
        session.out.json(rows)
        return
    names = ("name", "uri", "database_uri", "readonly", "protected", "kept_in", "default")
    session.out.table(
        names,
        [[row[name] for name in names] for row in rows],
        empty="No profile is saved. 'kitescope --milvus-uri URI connections save NAME' saves one.",
    )


@connections.command()
@click.argument("name", required=False)
@json_option
@command
def show(session: Session, name: str | None, as_json: bool) -> None:
    """Show every connection value and where it comes from (of profile NAME, or as used now)."""
    session.profile = name or session.profile
    masked = session.settings(ask=False).masked()
    if as_json:
        session.out.json(masked)
        return
    session.out.table(
        ("setting", "value", "source"),
        [(key, entry["value"], entry["source"]) for key, entry in masked.items()],
        empty="Nothing is set.",
    )


@connections.command()
@click.argument("name", required=False)
@click.option("--database", is_flag=True, help="Try FiftyOne's database instead of Milvus.")
@json_option
@command
def test(session: Session, name: str | None, database: bool, as_json: bool) -> None:
    """Try the connection to Milvus step by step (profile NAME, or as used now)."""
    from tui.core.connecting.connection_test import run_test

    session.profile = name or session.profile

    def tell(step: Step) -> None:
        if not as_json:
            mark = "✓" if step.ok else "✗"
            session.out.text(f"{mark} {step.name:<12}{step.elapsed_ms:8.1f} ms  {step.detail}")

    if database:
        _test_database(session, tell, as_json)
        return
    result = run_test(session.settings(), tell)
    if as_json:
        session.out.json(
            {
                "ok": result.ok,
                "server_version": result.server_version,
                "database": result.database,
                "collections": result.collections,
                "elapsed_ms": result.elapsed_ms,
                "steps": result.steps,
            }
        )
    if result.error is not None:
        raise result.error


def _test_database(session: Session, tell: Callable[[Step], None], as_json: bool) -> None:
    from tui.core.services.database_test import run_test

    result = run_test(session.settings(ask=False), tell)
    if as_json:
        names = ("ok", "embedded", "server_version", "database", "datasets", "elapsed_ms", "steps")
        session.out.json({name: getattr(result, name) for name in names})
    if result.error is not None:
        raise result.error


@connections.command()
@click.argument("name")
@click.option(
    "--secrets",
    "keep",
    type=click.Choice(["keyring", "file", "ask"]),
    help="Where password and token go: the system's keyring (where there is one, unless told), a file of "
    "mode 0600, or nowhere: then they are asked for, and a password inside a URI is left out.",
)
@click.option("--with-secrets", is_flag=True, help="The same as --secrets file.")
@click.option("--protected", is_flag=True, help="Destructive actions need --confirm-protected NAME.")
@click.option("--default", "as_default", is_flag=True, help="Use it when nothing else names a server.")
@json_option
@command
def save(
    session: Session,
    name: str,
    keep: Keep | None,
    with_secrets: bool,
    protected: bool,
    as_default: bool,
    as_json: bool,
) -> None:
    """Save the connection as used now (flags, environment, brain_config.json) as profile NAME.

    With the global --readonly the profile refuses changes.
    """
    from tui.core import profiles
    from tui.core.connecting import vault
    from tui.core.connecting.masking import SECRETS
    from tui.core.connections import profile_of

    if with_secrets and keep not in (None, "file"):
        raise click.UsageError(f"--with-secrets means --secrets file, and --secrets {keep} was given")
    settings = session.settings(ask=False)
    profile = profile_of(settings, name, readonly=session.readonly, protected=protected)
    if keep is None:
        found = profile.has_secrets() and not with_secrets and vault.available()
        keep = "file" if with_secrets else "keyring" if found else "ask"
    left = profiles.save(profile, keep)
    if as_default:
        profiles.set_default(name)
    kept = profiles.load(name).kept
    if as_json:
        saved = {"name": name, "path": profiles.path(), "secrets": kept in ("file", "keyring")}
        session.out.json(saved | {"kept_in": kept})
    else:
        session.out.text(f"saved {name} in {profiles.path()}")
    if kept is not None:
        session.out.say(_KEPT[kept])
    if keep == "ask" and profile.secrets().keys() - SECRETS:
        session.out.say(_LEFT_OUT)
    if left:
        session.out.say(left)


@connections.command()
@click.argument("name")
@yes_option
@json_option
@command
def remove(session: Session, name: str, yes: bool, as_json: bool) -> None:
    """Forget a saved profile; the servers are not touched."""
    from tui.core import profiles

    profiles.load(name)
    session.agree(f"Remove profile {name!r}?", yes=yes)
    left = profiles.remove(name)
    if left:
        session.out.say(left)
    if as_json:
        session.out.json({"removed": name})
    else:
        session.out.text(f"removed {name}")


@connections.command()
@click.argument("name", required=False)
@click.option(
    "--format", "form", type=click.Choice(["env", "brain-config"]), default="env", show_default=True
)
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write a file of mode 0600 instead of stdout; a brain_config.json keeps its other settings.",
)
@click.option("--with-secrets", is_flag=True, help="Also the password and token; only with --output.")
@click.option(
    "--default-backend",
    is_flag=True,
    help="Also make milvus what compute_similarity() uses without backend=.",
)
@command
def export(
    session: Session,
    name: str | None,
    form: str,
    output: Path | None,
    with_secrets: bool,
    default_backend: bool,
) -> None:
    """Write the connection as stock FiftyOne reads it: export lines, or brain_config.json."""
    from tui.core.connecting.exporting import brain_config, env_lines, write_brain_config
    from tui.core.files import write_private

    if with_secrets and output is None:
        raise click.UsageError("--with-secrets needs --output: secrets are never printed")
    session.profile = name or session.profile
    settings = session.settings(ask=with_secrets)  # what may not be written need not be known
    backend = "milvus" if default_backend else None
    if output is None:
        write = brain_config(settings, None, default_backend=backend) if form == "brain-config" else None
        session.out.text(write or env_lines(settings, default_backend=backend))
        return
    kept = None
    if form == "env":
        write_private(output, env_lines(settings, with_secrets=with_secrets, default_backend=backend))
    else:
        _, kept = write_brain_config(
            settings, path=output, with_secrets=with_secrets, default_backend=backend
        )
    session.out.say(f"Wrote {output}." + (f" What it was is in {kept.name}." if kept else ""))

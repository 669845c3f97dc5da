"""``connections``: profiles, where each value comes from, and whether it works."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from tui.cli.session import Session, command, json_option, yes_option

if TYPE_CHECKING:
    from tui.core.connecting.connection_test import Step


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
            "secrets": profile.has_secrets(),
            "default": profile.name == default,
        }
        for profile in profiles.list_profiles()
    ]
    if as_json:
        session.out.json(rows)
        return
    names = ("name", "uri", "database_uri", "readonly", "protected", "secrets", "default")
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
    masked = session.settings().masked()
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
@json_option
@command
def test(session: Session, name: str | None, as_json: bool) -> None:
    """Try the connection to Milvus step by step (profile NAME, or as used now)."""
    from tui.core.connecting.connection_test import run_test

    session.profile = name or session.profile

    def tell(step: Step) -> None:
        if not as_json:
            mark = "✓" if step.ok else "✗"
            session.out.text(f"{mark} {step.name:<12}{step.elapsed_ms:8.1f} ms  {step.detail}")

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


@connections.command()
@click.argument("name")
@click.option(
    "--with-secrets", is_flag=True, help="Also write the password and token (the file has mode 0600)."
)
@click.option("--protected", is_flag=True, help="Destructive actions ask for the name to be typed.")
@click.option("--default", "as_default", is_flag=True, help="Use it when nothing else names a server.")
@json_option
@command
def save(
    session: Session, name: str, with_secrets: bool, protected: bool, as_default: bool, as_json: bool
) -> None:
    """Save the connection as used now (flags, environment, brain_config.json) as profile NAME.

    With the global --readonly the profile refuses changes.
    """
    from tui.core import profiles

    settings = session.settings()
    database = settings.database_uri.value
    profile = profiles.Profile(
        name, settings.milvus_kwargs(), str(database) if database else None, session.readonly, protected
    )
    profiles.save(profile, with_secrets=with_secrets)
    if as_default:
        profiles.set_default(name)
    left_out = profile.has_secrets() and not with_secrets
    if as_json:
        session.out.json(
            {"name": name, "path": profiles.path(), "secrets": profile.has_secrets() and with_secrets}
        )
    else:
        session.out.text(f"saved {name} in {profiles.path()}")
    if left_out:
        session.out.say("The password and token were not written; --with-secrets writes them.")


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
    profiles.remove(name)
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
@command
def export(session: Session, name: str | None, form: str, output: Path | None, with_secrets: bool) -> None:
    """Write the connection as stock FiftyOne reads it: export lines, or brain_config.json."""
    from tui.core.connecting.exporting import brain_config, env_lines
    from tui.core.files import read_text, write_private

    if with_secrets and output is None:
        raise click.UsageError("--with-secrets needs --output: secrets are never printed")
    session.profile = name or session.profile
    settings = session.settings()
    if form == "env":
        text = env_lines(settings, with_secrets=with_secrets)
    else:
        before = read_text(output) if output else None
        text = brain_config(settings, before, with_secrets=with_secrets)
    if output is None:
        session.out.text(text)
    else:
        write_private(output, text)
        session.out.say(f"Wrote {output}.")

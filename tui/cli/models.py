"""``models``: what can turn an image into a vector."""

from __future__ import annotations

import click

from tui.cli.session import Session, command, json_option


@click.group()
def models() -> None:
    """What can embed images."""


@models.command("list")
@json_option
@command
def list_(session: Session, as_json: bool) -> None:
    """List the models: built-in, FiftyOne zoo, torchvision; and whether they are on disk."""
    from tui.core.models import list_models

    found = list_models()
    if as_json:
        session.out.json(found)
        return
    session.out.table(
        ("name", "source", "dim", "prompts", "on disk", "size MB"),
        [(m.name, m.source, m.dim, m.supports_prompts, m.downloaded, m.size_mb) for m in found],
        empty="No model is known.",
    )

"""``keys``: every key of the UI, as the README has them."""

from __future__ import annotations

import click

from tui.cli.session import Session, command


@click.command()
@command
def keys(session: Session) -> None:
    """Print every key of the UI with its id, as a Markdown table."""
    from tui.keys import markdown

    session.out.text(markdown())

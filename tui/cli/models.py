"""``models``: what can turn an image into a vector."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from tui.cli.session import Session, command, json_option
from tui.core.words import counted

if TYPE_CHECKING:
    from tui.cli.output import Output
    from tui.core.progress import Event, OnEvent

_QUIET_EVERY_S = 5.0


@click.group()
def models() -> None:
    """What can embed images: list, download."""


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


@models.command()
@click.argument("name")
@json_option
@command
def download(session: Session, name: str, as_json: bool) -> None:
    """Fetch a model's files before a build needs them, and see that it loads.

    What arrived before a break or Ctrl-C is kept: the next call continues there.
    """
    from dataclasses import replace

    from tui.core.models import absolute, load_model, model_info

    name = absolute(name)
    with _told(session.out) as tell:
        model = load_model(name, device="cpu", on_event=tell)
    info = replace(model_info(name), dim=model.dim, supports_prompts=model.supports_prompts)
    model.close()
    if as_json:
        session.out.json(info)
    else:
        text = ", takes text" if info.supports_prompts else ""
        session.out.text(f"{name} is ready: vectors of {counted(model.dim, 'number')}{text}")


@contextlib.contextmanager
def _told(out: Output) -> Iterator[OnEvent]:
    """A bar for people; for a log a line now and then."""
    from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn

    from tui.core.progress import Progress as Step

    if not out.narration.isatty():
        yield _Lines(out)
        return
    columns = (BarColumn(bar_width=30), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=out.console(out.narration)) as bars:
        task = bars.add_task("", total=None)

        def tell(event: Event) -> None:
            if isinstance(event, Step):
                bars.update(task, completed=event.done, total=event.total)

        yield tell


class _Lines:
    """Says how far a download is, every few seconds and at its end."""

    def __init__(self, out: Output) -> None:
        self._out = out
        self._next = 0.0

    def __call__(self, event: Event) -> None:
        from tui.core.progress import Progress as Step

        ended = isinstance(event, Step) and event.done == event.total
        if not isinstance(event, Step) or (time.monotonic() < self._next and not ended):
            return
        self._next = time.monotonic() + _QUIET_EVERY_S
        of = f" of {event.total / 1e6:,.1f}" if event.total else ""
        self._out.say(f"downloaded {event.done / 1e6:,.1f}{of} MB")

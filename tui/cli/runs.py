"""``runs``: the brain runs of FiftyOne's datasets."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import click

from tui.cli.run_removal import cleanup, delete, discard
from tui.cli.session import Session, command, json_option

if TYPE_CHECKING:
    from tui.core.runs import RunInfo
    from tui.core.workspace import Workspace

_COLUMNS = (
    "dataset",
    "brain_key",
    "type",
    "method",
    "patches_field",
    "model",
    "supports_prompts",
    "metric",
    "collection",
    "vectors",
    "expected",
    "missing",
    "stale",
    "health",
)


@click.group()
def runs() -> None:
    """Brain runs: list, look into, check, resume, rename, delete."""


for _removes in (delete, discard, cleanup):
    runs.add_command(_removes)


@runs.command("list")
@click.argument("dataset", required=False)
@click.option("--type", "kind", metavar="T", help="Only runs of this type, such as similarity.")
@click.option("--patches-field", metavar="F", help="Only runs on the patches of this field.")
@click.option("--supports-prompts", is_flag=True, help="Only runs that can be searched by text.")
@click.option("--match", "words", metavar="TEXT", default="", help="Only runs of which every word is told.")
@click.option("--sort", type=click.Choice(_COLUMNS), metavar="COLUMN", help="Sort by any column.")
@click.option("--reverse", is_flag=True, help="Sort the other way round.")
@click.option("--no-health", is_flag=True, help="Do not ask Milvus: hundreds are listed at once.")
@json_option
@command
def list_(
    session: Session,
    dataset: str | None,
    kind: str | None,
    patches_field: str | None,
    supports_prompts: bool,
    words: str,
    sort: str | None,
    reverse: bool,
    no_health: bool,
    as_json: bool,
) -> None:
    """List brain runs with their health, of one dataset or all."""
    from tui.core.runs import list_runs

    ws = session.workspace()
    found = list_runs(
        ws, dataset, type=kind, patches_field=patches_field, supports_prompts=supports_prompts or None
    )
    if not no_health:
        found = _with_health(session, found)
    found = [run for run in found if _fits(run, words)]
    if sort:
        found.sort(key=lambda run: _order(getattr(run, sort)), reverse=reverse)
    elif reverse:
        found.reverse()
    if as_json:
        session.out.json([_row(run) for run in found])
        return
    shown = ("dataset", "brain_key", "type", "method", "model", "metric", "collection", "vectors", "health")
    session.out.table(
        shown,
        [[getattr(run, name) for name in shown] for run in found],
        empty="There is no such run. 'kitescope build DATASET KEY' makes one.",
    )


@runs.command()
@click.argument("dataset")
@click.argument("key")
@json_option
@command
def info(session: Session, dataset: str, key: str, as_json: bool) -> None:
    """Show everything that FiftyOne and Milvus know about a run."""
    from tui.core.runs import run_info
    from tui.jobs.history import history

    facts = run_info(session.workspace(), dataset, key)
    facts["jobs"] = history(dataset, key, facts["former"])
    if as_json:
        session.out.json(facts)
    else:
        session.out.facts(_flat(facts))


@runs.command()
@click.argument("dataset")
@click.argument("key")
@click.argument("new")
@json_option
@command
def rename(session: Session, dataset: str, key: str, new: str, as_json: bool) -> None:
    """Give a run another key; its collection stays as it is."""
    from tui.core import runs as core

    run = core.rename(session.workspace(), dataset, key, new)
    if as_json:
        session.out.json({"dataset": run.dataset, "brain_key": run.brain_key, "was": key})
    else:
        session.out.text(f"{key} is now {run.brain_key}")


@runs.command()
@click.argument("dataset")
@click.argument("key")
@click.option("--detach", is_flag=True, help="Print the job's id and return at once.")
@json_option
@command
def resume(session: Session, dataset: str, key: str, detach: bool, as_json: bool) -> None:
    """Complete a run that a crashed build left, under the same key."""
    from tui.cli.build import run_sync
    from tui.core import runs as core
    from tui.core.errors import InvalidInput

    ws = session.workspace()
    ws.require_writable(f"resume run {key!r}")
    if core.require_run(ws, dataset, key).finished:
        raise InvalidInput(f"Run {key!r} is finished", "Bring it up to date with 'kitescope sync'")
    run_sync(session, dataset, key, detach=detach, as_json=as_json)


@runs.command()
@click.argument("dataset")
@click.argument("key")
@click.option(
    "--recall",
    type=click.IntRange(min=0),
    default=0,
    metavar="N",
    help="Also measure recall@10 of N queries.",
)
@json_option
@command
def check(session: Session, dataset: str, key: str, recall: int, as_json: bool) -> None:
    """Compare the index with the dataset, id by id."""
    from tui.core import indexes

    result = indexes.check(session.workspace(), dataset, key, recall)
    facts = {field.name: getattr(result, field.name) for field in dataclasses.fields(result)}
    if not recall:
        facts.pop("recall_at_10", None)
    if as_json:
        session.out.json(facts)
    else:
        session.out.facts(facts.items())


@runs.command()
@click.argument("dataset")
@click.argument("key")
@command
def snippet(session: Session, dataset: str, key: str) -> None:
    """Print Python that opens this index in a notebook with stock FiftyOne."""
    from tui.core import runs as core

    session.out.text(core.snippet(session.workspace(), dataset, key))


def _with_health(session: Session, found: list[RunInfo]) -> list[RunInfo]:
    """The runs with their health; one that cannot be judged, such as a grouped one, hides no other."""
    from tui.core.errors import EngineUnreachable, KitescopeError
    from tui.core.runs import with_health

    told: list[RunInfo] = []
    # A server that does not answer is waited for once, not once per run.
    reachable = any(run.is_index for run in found) and _answers(session.workspace())
    for run in found:
        try:
            run = with_health(session.workspace(), run, reachable=reachable)
        except EngineUnreachable:
            raise
        except KitescopeError as error:
            session.out.say(f"{run.dataset}/{run.brain_key}: {error}")
        told.append(run)
    return told


def _answers(ws: Workspace) -> bool:
    from tui.core.errors import EngineUnreachable

    try:
        ws.milvus().ping()
    except EngineUnreachable:
        return False
    return True


def _order(value: Any) -> tuple[bool, Any]:
    """What to sort a value by: what is not known has no place in the order, and stands first or last."""
    return (value is not None, value.casefold() if isinstance(value, str) else value)


def _fits(run: RunInfo, words: str) -> bool:
    told = " ".join(str(value) for value in _row(run).values()).casefold()
    return all(word in told for word in words.casefold().split())


def _row(run: RunInfo) -> dict[str, Any]:
    return {name: getattr(run, name) for name in _COLUMNS}


def _said(value: object) -> str:
    """One of several: what is none is left out."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {_said(one)}" for name, one in value.items() if one not in (None, "", 0))
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _flat(facts: dict[str, Any], prefix: str = "") -> list[tuple[str, object]]:
    rows: list[tuple[str, object]] = []
    for name, value in facts.items():
        if isinstance(value, dict):
            rows += _flat(value, f"{prefix}{name}.")
        else:
            listed = isinstance(value, list | tuple)
            rows.append((f"{prefix}{name}", "\n".join(map(_said, value)) or None if listed else value))
    return rows

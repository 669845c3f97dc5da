"""``runs``: the brain runs of FiftyOne's datasets."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import click

from tui.cli.session import Session, command, json_option, yes_option

if TYPE_CHECKING:
    from tui.core.runs import RunInfo

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
    """Brain runs: list, look into, check, rename, delete."""


@runs.command("list")
@click.argument("dataset", required=False)
@click.option("--type", "kind", metavar="T", help="Only runs of this type, such as similarity.")
@click.option("--patches-field", metavar="F", help="Only runs on the patches of this field.")
@click.option("--supports-prompts", is_flag=True, help="Only runs that can be searched by text.")
@json_option
@command
def list_(
    session: Session,
    dataset: str | None,
    kind: str | None,
    patches_field: str | None,
    supports_prompts: bool,
    as_json: bool,
) -> None:
    """List brain runs with their health, of one dataset or all."""
    from tui.core.runs import list_runs, with_health

    ws = session.workspace()
    found = list_runs(
        ws, dataset, type=kind, patches_field=patches_field, supports_prompts=supports_prompts or None
    )
    found = [with_health(ws, run) for run in found]
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

    facts = run_info(session.workspace(), dataset, key) | {"jobs": history(dataset, key)}
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
@click.option("--keep-collection", is_flag=True, help="Leave the vectors in Milvus.")
@yes_option
@json_option
@command
def delete(session: Session, dataset: str, key: str, keep_collection: bool, yes: bool, as_json: bool) -> None:
    """Delete a run, with its collection in Milvus."""
    from tui.core import runs as core

    ws = session.workspace()
    ws.require_writable(f"delete run {key!r}")
    run = core.require_run(ws, dataset, key)
    also = f" and drop collection {run.collection!r}" if run.collection and not keep_collection else ""
    session.agree(f"Delete run {key!r} of dataset {dataset!r}{also}?", yes=yes)
    _tell(session, core.delete(ws, dataset, key, keep_collection), "deleted", as_json)


@runs.command()
@click.argument("dataset")
@click.argument("key")
@yes_option
@json_option
@command
def cleanup(session: Session, dataset: str, key: str, yes: bool, as_json: bool) -> None:
    """Drop a run's collection in Milvus; the run itself stays."""
    from tui.core import runs as core

    ws = session.workspace()
    ws.require_writable(f"clean up run {key!r}")
    run = core.require_run(ws, dataset, key)
    session.agree(f"Drop collection {run.collection!r} of run {key!r}?", yes=yes)
    _tell(session, core.cleanup(ws, dataset, key), "cleaned up", as_json)


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


def _row(run: RunInfo) -> dict[str, Any]:
    return {name: getattr(run, name) for name in _COLUMNS}


def _tell(session: Session, removed: Any, verb: str, as_json: bool) -> None:
    if as_json:
        session.out.json(
            {
                "dataset": removed.dataset,
                "brain_key": removed.brain_key,
                "collection": removed.collection,
                "dropped": removed.dropped,
                "vectors": removed.vectors,
                "reason": removed.reason,
            }
        )
        return
    session.out.text(f"{verb} {removed.brain_key} of {removed.dataset}")
    if removed.dropped:
        count = "" if removed.vectors is None else f" with {removed.vectors:,} vectors"
        session.out.text(f"dropped collection {removed.collection}{count}")
    elif removed.reason:
        session.out.say(f"No collection was dropped: {removed.reason}.")


def _flat(facts: dict[str, Any], prefix: str = "") -> list[tuple[str, object]]:
    rows: list[tuple[str, object]] = []
    for name, value in facts.items():
        if isinstance(value, dict):
            rows += _flat(value, f"{prefix}{name}.")
        else:
            listed = isinstance(value, list | tuple)
            rows.append((f"{prefix}{name}", ", ".join(map(str, value)) or None if listed else value))
    return rows

"""``runs delete``, ``discard`` and ``cleanup``: what cannot be undone, on one run or several."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

from tui.cli.session import Session, command, json_option, yes_option
from tui.cli.several import one_after_the_other
from tui.core.words import counted

if TYPE_CHECKING:
    from tui.core.runs import Removed, RunInfo
    from tui.core.workspace import Workspace


@click.command()
@click.argument("dataset")
@click.argument("keys", metavar="KEY...", nargs=-1, required=True)
@click.option("--keep-collection", is_flag=True, help="Leave the vectors in Milvus.")
@yes_option
@json_option
@command
def delete(
    session: Session, dataset: str, keys: tuple[str, ...], keep_collection: bool, yes: bool, as_json: bool
) -> None:
    """Delete runs, with their collections in Milvus."""
    from tui.core import runs as core

    ws = session.workspace()
    ws.require_destroyable(f"delete {_these(keys)}")
    found = [core.require_run(ws, dataset, key) for key in dict.fromkeys(keys)]
    if not yes:
        lines = [_going(ws, run, found, keep_collection) for run in found]
        session.agree(f"Delete {_these(keys)} of dataset {dataset!r} ({'; '.join(lines)})?", yes=yes)
    _each(session, keys, lambda key: core.delete(ws, dataset, key, keep_collection), "deleted", as_json)


@click.command()
@click.argument("dataset")
@click.argument("keys", metavar="KEY...", nargs=-1, required=True)
@yes_option
@json_option
@command
def cleanup(session: Session, dataset: str, keys: tuple[str, ...], yes: bool, as_json: bool) -> None:
    """Drop the collections of runs in Milvus; the runs themselves stay."""
    from tui.core import runs as core

    ws = session.workspace()
    ws.require_destroyable(f"clean up {_these(keys)}")
    found = [core.require_run(ws, dataset, key) for key in dict.fromkeys(keys)]
    if not yes:
        lines = [f"{run.brain_key}: {_vectors(ws, run)} in {run.collection}" for run in found]
        session.agree(f"Drop the vectors of {_these(keys)} ({'; '.join(lines)})?", yes=yes)
    _each(session, keys, lambda key: core.cleanup(ws, dataset, key), "cleaned up", as_json)


@click.command()
@click.argument("dataset")
@click.argument("key")
@yes_option
@json_option
@command
def discard(session: Session, dataset: str, key: str, yes: bool, as_json: bool) -> None:
    """Delete a run that a crashed build left, with what there is of its collection."""
    from tui.core import runs as core

    ws = session.workspace()
    ws.require_destroyable(f"discard run {key!r}")
    core.require_run(ws, dataset, key)
    session.agree(f"Discard the unfinished run {key!r} of dataset {dataset!r}?", yes=yes)
    _tell(session, core.discard(ws, dataset, key), "discarded", as_json)


def _these(keys: Sequence[str]) -> str:
    return f"run {keys[0]!r}" if len(keys) == 1 else f"{len(keys)} runs"


def _vectors(ws: Workspace, run: RunInfo) -> str:
    from tui.core.runs import with_health

    vectors = with_health(ws, run).vectors
    return counted(vectors, "vector") if vectors is not None else "vectors that nobody counted"


def _going(ws: Workspace, run: RunInfo, going: Sequence[RunInfo], keep: bool) -> str:
    """What deleting a run takes away, when all of ``going`` go."""
    from tui.core.runs import runs_on

    if keep or run.collection is None:
        return f"{run.brain_key}: the record alone"
    leaving = {(one.dataset, one.brain_key) for one in going}
    users = [(one.dataset, one.brain_key) for one in runs_on(ws, run.collection)]
    others = ["/".join(user) for user in users if user not in leaving]
    if others:
        return f"{run.brain_key}: the record; {run.collection} stays, as {', '.join(others)} uses it"
    return f"{run.brain_key}: the record, and {_vectors(ws, run)} in {run.collection}"


def _each(
    session: Session, keys: Sequence[str], act: Callable[[str], Removed], verb: str, as_json: bool
) -> None:
    one_after_the_other(
        session,
        keys,
        act,
        called="brain_key",
        failed=f"runs could not be {verb}",
        facts=_removed,
        tell=lambda removed: _tell(session, removed, verb, as_json=False),
        as_json=as_json,
    )


def _removed(removed: Removed) -> dict[str, Any]:
    names = ("dataset", "brain_key", "collection", "dropped", "vectors", "reason")
    return {name: getattr(removed, name) for name in names}


def _tell(session: Session, removed: Removed, verb: str, as_json: bool) -> None:
    if as_json:
        session.out.json(_removed(removed))
        return
    session.out.text(f"{verb} {removed.brain_key} of {removed.dataset}")
    if removed.dropped:
        count = "" if removed.vectors is None else f" with {counted(removed.vectors, 'vector')}"
        session.out.text(f"dropped collection {removed.collection}{count}")
    elif removed.reason:
        session.out.say(f"No collection was dropped: {removed.reason}.")

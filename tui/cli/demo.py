"""``demo``: from nothing to pictures of similar images."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tui.cli.session import Session, command, json_option

if TYPE_CHECKING:
    from tui.core.runs import RunInfo
    from tui.core.workspace import Workspace

DATASET = "kitescope-demo"
KEY = "digits"


@click.command(short_help="1,797 digits, their index, and the UI on them.")
@click.option("--no-ui", is_flag=True, help="Stop after the build.")
@click.option("--fresh", is_flag=True, help="Make the dataset and its index again.")
@json_option
@command
def demo(session: Session, no_ui: bool, fresh: bool, as_json: bool) -> int:
    """Make a dataset of 1,797 handwritten digits, build its index and open the UI on it."""
    from tui.core.demo import make_demo

    ws = session.workspace()
    ws.require_writable("make the demo")
    session.out.say(f"Making dataset {DATASET} out of the digits that scikit-learn ships.")
    make_demo(ws, fresh=fresh)
    _index(session, ws, fresh=fresh, as_json=as_json)
    if no_ui or as_json or not session.out.data_is_terminal:
        return 0
    settings = session.settings()
    session.close()
    session.out.release()
    from tui import app

    return app.run(settings, search=(DATASET, KEY))


def _index(session: Session, ws: Workspace, *, fresh: bool, as_json: bool) -> None:
    from tui.cli.build import run_build, run_sync
    from tui.core import indexes
    from tui.core.indexes import BuildSpec, Source
    from tui.core.models import BUILTIN
    from tui.core.runs import get_run, with_health
    from tui.core.scope import Scope

    run = get_run(ws, DATASET, KEY)
    run = with_health(ws, run) if run is not None else None
    if run is not None and not fresh and run.health in ("incomplete", "stale") and run.finished:
        run_sync(session, DATASET, KEY, as_json=False, quiet=as_json)
        run = with_health(ws, run)
    if run is not None and not fresh and run.health == "ok":
        _reuse(session, ws, run, as_json=as_json)
        return
    spec = BuildSpec(
        scope=Scope(DATASET), brain_key=KEY, source=Source(model=BUILTIN), overwrite=run is not None
    )
    plan = indexes.plan(ws, spec)
    for warning in plan.warnings:
        session.out.say(f"warning: {warning}")
    run_build(session, spec, as_json=as_json)


def _reuse(session: Session, ws: Workspace, run: RunInfo, *, as_json: bool) -> None:
    from tui.cli.build import summary

    assert run.collection is not None
    described = ws.milvus().describe(run.collection)
    result = {
        "brain_key": run.brain_key,
        "collection": run.collection,
        "vectors": run.vectors,
        "dim": described.dim,
        "seconds": 0.0,
    }
    session.out.say("The index is there already and complete.")
    if as_json:
        session.out.json_line({"event": "done", "job": None, **result, "skipped": []})
    else:
        session.out.text(summary(result))

"""Runs that were registered and never finished: stock FiftyOne writes the record first and embeds afterwards.

Such a run blocks its key. Resuming fills its collection, as a sync does, and then saves what makes it a run.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tui.core.documents import run_documents
from tui.core.documents.run_list import RunInfo, require_run, runs_on
from tui.core.errors import InvalidInput, KitescopeError
from tui.core.filling.coverage import compare
from tui.core.filling.fill import Filler, Outcome, await_index
from tui.core.filling.patience import Patience
from tui.core.filling.targets import choose
from tui.core.progress import ignore, never
from tui.core.words import counted

if TYPE_CHECKING:
    from tui.core.indexes import BuildSpec
    from tui.core.workspace import Workspace


def not_its_own(ws: Workspace, run: RunInfo) -> str:
    """Say why what lies under the name in an unfinished run is not that run's; nothing when it may be.

    The name was chosen before there was a collection, so another build may have chosen the same.
    """
    name, milvus = run.collection or "", ws.milvus()
    others = [
        one for one in runs_on(ws, name) if (one.dataset, one.brain_key) != (run.dataset, run.brain_key)
    ]
    if others:
        return f"run {', '.join(f'{one.brain_key!r} on {one.dataset!r}' for one in others)} uses it too"
    if not milvus.exists(name):
        return ""
    info = milvus.describe(name, counted=False)
    if not info.compatible:
        return "it is no similarity index"
    if not info.index_type:
        return "it has no index, so nobody can tell whose it is"
    coverage = compare(ws, Patience(ws, ignore, never, 0.0), name, run.scope)
    if coverage.rows and coverage.missing == coverage.expected:
        return f"of its {counted(coverage.rows, 'vector')} none is of dataset {run.dataset!r}"
    return ""


def settle(ws: Workspace, patience: Patience, run: RunInfo, spec: BuildSpec) -> RunInfo:
    """Let an unfinished run name a collection of its own: the one it names already, or else a new one.

    Raises:
        InvalidInput: it would need vectors that cannot be made here.
    """
    if run.collection is not None and not patience.call(lambda _milvus: not_its_own(ws, run)):
        return run
    require_source(ws, run)
    fresh = replace(spec, collection=None)
    target = patience.call(lambda milvus: choose(ws, milvus, fresh, None))
    run_documents.place(ws, run_documents.require(ws, run.dataset, run.brain_key), target.name)
    return require_run(ws, run.dataset, run.brain_key)


def finish(ws: Workspace, patience: Patience, run: RunInfo, filler: Filler, outcome: Outcome) -> None:
    """Save the results of a run whose collection is complete by now.

    Raises:
        KitescopeError: there is not one vector, or somebody else changed the run meanwhile.
    """
    from tui.core.runs import RESULTS

    info = filler.info
    if info is None or not outcome.rows:
        reasons = filler.casualties.report()
        raise KitescopeError(
            f"Of {counted(outcome.first.expected, 'item')} none could become a vector"
            + (f": {reasons[0].reason}" if reasons else ""),
            "See that the files are there, or discard the run and build it from another source",
        )
    document = run_documents.require(ws, run.dataset, run.brain_key)
    run_documents.finish(ws, document, RESULTS, {"dim": info.dim})
    await_index(patience, info.name, outcome.rows, filler.tell)


def require_source(ws: Workspace, run: RunInfo) -> None:
    """Refuse an unfinished run whose missing vectors cannot be made from what its record says.

    Raises:
        InvalidInput: it does not say what makes them, or in a way that only stock FiftyOne knows.
    """
    config = run_documents.require(ws, run.dataset, run.brain_key).config
    why = ""
    if run.model is run.embeddings_field is None:
        why = "does not say what makes its vectors"
    elif config.get("roi_field"):
        why = f"averages the regions in {config['roi_field']}, which only FiftyOne does"
    elif config.get("model_kwargs") and run.model == config.get("model"):
        why = f"gives its model arguments ({', '.join(config['model_kwargs'])}), which only FiftyOne does"
    if why:
        raise InvalidInput(
            f"Run {run.brain_key!r} was never finished, and {why}",
            "Discard it (kitescope runs discard), or build it again with --overwrite",
        )

"""``build`` and ``sync``: jobs that are watched from here and do not need us."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from tui.cli.session import Session, command, json_option
from tui.core.words import counted

if TYPE_CHECKING:
    from tui.core.client.index_types import Metric
    from tui.core.indexes import BuildPlan, BuildSpec, Source
    from tui.core.settings import Settings

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path, resolve_path=True)


@click.command(short_help="Build an index: embed, upload, index.")
@click.argument("dataset")
@click.argument("key")
@click.option(
    "--model",
    metavar="NAME",
    help="Embed with this model; see 'models list'. Default: the built-in one. Beside --embeddings-field or "
    "--embeddings: what made those vectors, so that text and pictures can be searched.",
)
@click.option("--embeddings-field", metavar="FIELD", help="Take the vectors from this field.")
@click.option(
    "--embeddings", type=_FILE, metavar="FILE.npy", help="Take the vectors from this file, in dataset order."
)
@click.option(
    "--ids",
    type=_FILE,
    metavar="FILE",
    help="Ids of the rows of --embeddings: .npy, or text with one a line.",
)
@click.option("--patches-field", metavar="F", help="Index the patches of this label field.")
@click.option(
    "--alpha",
    type=float,
    metavar="A",
    help="Widen each patch by this share first: 0.1 is a tenth.",
)
@click.option("--force-square", is_flag=True, help="Make each patch a square first.")
@click.option("--view", metavar="SAVED", help="Only samples of this saved view.")
@click.option(
    "--tag", "tags", multiple=True, metavar="T", help="Only samples with this tag (any of several)."
)
@click.option("--slice", "slices", multiple=True, metavar="S", help="This slice of a grouped dataset.")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Only the first N.")
@click.option("--collection", metavar="NAME", help="Name of the collection; one is chosen without it.")
@click.option("--metric", type=click.Choice(["cosine", "dotproduct", "euclidean"]), help="Default: cosine.")
@click.option(
    "--consistency-level",
    type=click.Choice(["Session", "Strong", "Bounded", "Eventually"], case_sensitive=False),
    help="Default: Session.",
)
@click.option(
    "--index-type",
    default="HNSW",
    show_default=True,
    metavar="TYPE",
    help="HNSW, AUTOINDEX, FLAT, IVF_FLAT, ...",
)
@click.option("--index-param", "index_params", multiple=True, metavar="KEY=VALUE", help="Such as M=16.")
@click.option(
    "--batch-size",
    type=click.IntRange(min=1),
    metavar="N",
    help="Images per batch; without it a good size is found. Halved when memory runs out.",
)
@click.option("--workers", type=click.IntRange(min=0), metavar="N", help="Decoders beside the model.")
@click.option(
    "--device",
    default="auto",
    show_default=True,
    metavar="cpu|cuda[:i],...|auto",
    help="One, or several that share the work; auto is every GPU.",
)
@click.option(
    "--precision", type=click.Choice(["fp32", "bf16", "fp16", "auto"]), default="auto", show_default=True
)
@click.option(
    "--decode",
    type=click.Choice(["auto", "full", "reduced"]),
    default="auto",
    show_default=True,
    help="JPEGs in full, or at a reduced scale where the model shrinks them anyway: faster, and vectors "
    "differ by less than 0.001 in cosine distance. auto: reduced for torchvision: names and the built-in.",
)
@click.option("--detach", is_flag=True, help="Print the job's id and return at once.")
@click.option("--overwrite", is_flag=True, help="Replace the run that has this key.")
@json_option
@command
def build(session: Session, detach: bool, as_json: bool, **options: Any) -> None:
    """Build the index KEY of DATASET: embed, upload, index.

    It runs as a job of its own: a lost terminal does not end it, Ctrl-C does and keeps what is finished.
    """
    from tui.core import indexes

    settings = session.settings()
    spec = _spec(settings, **options)
    ws = session.workspace()
    ws.require_writable("build an index")
    if spec.overwrite:
        ws.require_destroyable(f"overwrite run {spec.brain_key!r}")
    plan = indexes.plan(ws, spec)
    _tell_plan(session, plan)
    run_build(session, spec, detach=detach, as_json=as_json)


@click.command(short_help="Add what is missing, remove what is stale.")
@click.argument("dataset")
@click.argument("key")
@click.option("--dry-run", is_flag=True, help="Only say what would change.")
@click.option("--detach", is_flag=True, help="Print the job's id and return at once.")
@json_option
@command
def sync(session: Session, dataset: str, key: str, dry_run: bool, detach: bool, as_json: bool) -> None:
    """Add what is missing from the index KEY and remove what is stale."""
    from tui.core import indexes
    from tui.core.runs import require_run

    ws = session.workspace()
    if dry_run:
        if detach:
            raise click.UsageError("--dry-run is not a job: leave out --detach")
        _tell_sync(session, _facts(indexes.sync(ws, dataset, key, dry_run=True)), as_json)
        return
    ws.require_writable(f"sync {key!r}")
    require_run(ws, dataset, key)
    run_sync(session, dataset, key, detach=detach, as_json=as_json)


def run_build(session: Session, spec: BuildSpec, *, detach: bool = False, as_json: bool) -> None:
    """Start a build whose plan was found good, and watch it unless ``detach``."""
    from tui.cli.watching import ended_error, final_event, tell_skipped, watch
    from tui.jobs import supervisor
    from tui.jobs.spec import job_spec

    out, settings = session.out, session.settings()
    job = supervisor.start(job_spec("build", spec.scope.dataset, spec.brain_key, settings, spec), settings)
    if detach:
        _tell_detached(session, job.id, as_json)
        return
    if as_json:
        out.json_line({"event": "started", "job": job.id})
    job = watch(out, job.id, as_json=as_json)
    if as_json:
        out.json_line(final_event(job))
    error = ended_error(job)
    if error is not None:
        raise error
    if not as_json:
        tell_skipped(out, job)
        out.text(summary(job.result or {}))


def run_sync(
    session: Session, dataset: str, key: str, *, detach: bool = False, as_json: bool, quiet: bool = False
) -> None:
    """Start a sync, and watch it unless ``detach``; ``quiet`` leaves stdout to the caller."""
    from tui.cli.watching import ended_error, skipped_facts, tell_skipped, watch
    from tui.jobs import supervisor
    from tui.jobs.spec import job_spec

    settings = session.settings()
    # A job that cannot begin would stay in the list as a failed one.
    session.workspace().milvus().ping()
    job = supervisor.start(job_spec("sync", dataset, key, settings), settings)
    if detach:
        _tell_detached(session, job.id, as_json)
        return
    job = watch(session.out, job.id, as_json=False)
    error = ended_error(job)
    if error is not None:
        raise error
    if not as_json:
        tell_skipped(session.out, job)
    if not quiet:
        _tell_sync(session, {**(job.result or {}), **skipped_facts(job)}, as_json)


def summary(result: dict[str, Any] | Any) -> str:
    """A build's result in one line."""
    return (
        f"{result['brain_key']}: {counted(result['vectors'], 'vector')} of dimension {result['dim']}"
        f" in collection {result['collection']}, {result['seconds']:.1f} s"
    )


def _spec(settings: Settings, **given: Any) -> BuildSpec:
    from tui.core.indexes import BuildSpec, Crop
    from tui.core.milvus import IndexSpec
    from tui.core.scope import Scope
    from tui.core.vision import devices

    # Also for the built-in model, which runs on the CPU: a word that is no device is a mistake.
    devices.named(given["device"])
    return BuildSpec(
        scope=Scope(
            given["dataset"],
            patches_field=given["patches_field"],
            view=given["view"],
            tags=given["tags"],
            limit=given["limit"],
            slices=given["slices"],
        ),
        brain_key=given["key"],
        source=_source(given),
        collection=given["collection"] or settings.default("collection_name"),
        # A wrong one from a config file is refused by the plan.
        metric=cast("Metric", given["metric"] or settings.default("metric") or "cosine"),
        consistency_level=given["consistency_level"] or settings.default("consistency_level") or "Session",
        index=IndexSpec(given["index_type"].upper(), _index_params(given["index_params"])),
        batch_size=given["batch_size"],
        workers=given["workers"],
        device=given["device"],
        precision=given["precision"],
        decode=given["decode"],
        overwrite=given["overwrite"],
        crop=Crop(given["alpha"], given["force_square"]),
    )


def _source(given: dict[str, Any]) -> Source:
    from tui.core.indexes import Source
    from tui.core.models import BUILTIN, absolute

    if given["embeddings_field"] is not None and given["embeddings"] is not None:
        raise click.UsageError(
            "--embeddings-field and --embeddings exclude each other: vectors come from one source"
        )
    if given["ids"] is not None and given["embeddings"] is None:
        raise click.UsageError("--ids names the rows of --embeddings, which is missing")
    source = Source(
        model=absolute(given["model"]) if given["model"] else None,
        embeddings_field=given["embeddings_field"],
        embeddings=str(given["embeddings"]) if given["embeddings"] else None,
        ids=str(given["ids"]) if given["ids"] else None,
    )
    if not source.embeds:
        _refuse_embedding_options(given)
        return source
    return source if source.model else replace(source, model=BUILTIN)


def _refuse_embedding_options(given: dict[str, Any]) -> None:
    useless = ["--workers"] if given["workers"] is not None else []
    useless += [f"--{name}" for name in ("device", "precision", "decode") if given[name] != "auto"]
    useless += ["--alpha"] if given["alpha"] is not None else []
    useless += ["--force-square"] if given["force_square"] else []
    if useless:
        raise click.UsageError(f"{', '.join(useless)}: about embedding, and the vectors are there already")


def _index_params(pairs: tuple[str, ...]) -> dict[str, int | float | str]:
    params: dict[str, int | float | str] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not (name and equals and value):
            raise click.UsageError(f"--index-param {pair!r} is not KEY=VALUE")
        params[name] = _number(value)
    return params


def _number(text: str) -> int | float | str:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _tell_plan(session: Session, plan: BuildPlan) -> None:
    dim = f" of dimension {plan.dim}" if plan.dim else ""
    there = f", {plan.resumes:,} of them there already" if plan.resumes else ""
    session.out.say(f"{counted(plan.vectors, 'vector')}{dim} into collection {plan.collection}{there}.")
    if plan.runs_on:
        session.out.say(f"The model runs on: {plan.runs_on}.")
    for warning in plan.warnings:
        session.out.say(f"warning: {warning}")


def _tell_detached(session: Session, job_id: str, as_json: bool) -> None:
    if as_json:
        session.out.json_line({"job": job_id})
    else:
        session.out.text(job_id)
        session.out.say(f"Job {job_id} runs; 'kitescope jobs wait {job_id}' follows it.")


def _facts(result: Any) -> dict[str, Any]:
    return {name: getattr(result, name) for name in ("added", "removed", "unchanged", "repaired", "skipped")}


def _tell_sync(session: Session, facts: dict[str, Any], as_json: bool) -> None:
    if as_json:
        session.out.json(facts)
    else:
        session.out.text(
            f"{facts['added']:,} added, {facts['removed']:,} removed, {facts['unchanged']:,} unchanged"
        )

"""``jobs``: all of them, also those of a lost session."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from tui.cli.session import Session, command, json_option

if TYPE_CHECKING:
    from tui.jobs.info import JobInfo

_CHUNK = 1 << 16


@click.group()
def jobs() -> None:
    """Long work: list, show, log, tag, cancel, resume, wait."""


@jobs.command("list")
@json_option
@command
def list_(session: Session, as_json: bool) -> None:
    """List the jobs, newest first."""
    from tui.cli.watching import describe
    from tui.jobs import supervisor

    found = supervisor.list_jobs()
    if as_json:
        session.out.json([_row(job) for job in found])
        return
    session.out.table(
        ("id", "kind", "dataset", "brain key", "state", "phase", "progress", "started"),
        [
            (
                job.id,
                job.kind,
                job.dataset,
                job.brain_key,
                job.state,
                job.phase,
                describe(job.current) if job.current else None,
                _time(job.started),
            )
            for job in found
        ],
        empty="There is no job. 'kitescope build DATASET KEY' starts one.",
    )


@jobs.command()
@click.argument("id")
@json_option
@command
def show(session: Session, id: str, as_json: bool) -> None:
    """Show everything about a job."""
    from tui.cli.watching import describe, skipped_facts, tell_skipped
    from tui.jobs.store import JobStore

    job = JobStore().get(id)
    if as_json:
        session.out.json({**_row(job), **_more(job), **skipped_facts(job)})
        return
    facts: list[tuple[str, object]] = [
        ("id", job.id),
        ("work", f"{job.kind} {job.dataset} {job.brain_key}"),
        ("state", job.state if job.ended or job.responding else f"{job.state}, not responding"),
        *((phase, describe(progress)) for phase, progress in job.phases.items()),
        ("notice", job.notice or None),
        ("error", f"{job.error}. {job.remedy or ''}".strip() if job.error else None),
        ("result", ", ".join(f"{k} {v}" for k, v in job.result.items()) if job.result else None),
        ("created", _time(job.created)),
        ("started", _time(job.started)),
        ("finished", _time(job.finished)),
        ("attempt", job.attempt),
        ("log", job.log),
    ]
    session.out.facts([(name, value) for name, value in facts if value is not None])
    tell_skipped(session.out, job)


@jobs.command()
@click.argument("id")
@click.option("--follow", "-f", is_flag=True, help="Go on until the job ends.")
@command
def log(session: Session, id: str, follow: bool) -> None:
    """Print a job's log."""
    from tui.jobs.store import JobStore

    store = JobStore()
    job = store.get(id)
    try:
        file = job.log.open(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        session.out.say(f"Job {job.id} has no log.")
        return
    with file:
        while True:
            # Asked before reading, so that what the worker writes last is still read.
            last = not follow or store.get(job.id).ended
            while chunk := file.read(_CHUNK):
                session.out.raw(chunk)
            if last or session.out.closed:
                return
            time.sleep(0.2)


@jobs.command()
@click.argument("id")
@click.option("--force", is_flag=True, help="Kill it at once; the batch under way is lost.")
@json_option
@command
def cancel(session: Session, id: str, force: bool, as_json: bool) -> None:
    """Stop a job after its batch; what is finished is kept."""
    from tui.jobs import supervisor

    job = supervisor.cancel(id, force=force)
    if as_json:
        session.out.json(_row(job))
    else:
        session.out.text(f"{job.id} {job.state}")
    if not job.ended:
        session.out.say("It stops when its batch is finished; --force does not wait for that.")


@jobs.command()
@click.argument("id")
@json_option
@command
def resume(session: Session, id: str, as_json: bool) -> None:
    """Continue a job that failed, was cancelled or interrupted; returns at once."""
    from tui.jobs import supervisor

    job = supervisor.resume(id, session.settings())
    if as_json:
        session.out.json(_row(job))
    else:
        session.out.text(f"{job.id} {job.state}")


@jobs.command()
@click.argument("id")
@click.option("--tag", "tags", multiple=True, required=True, metavar="T", help="May be given several times.")
@click.option("--remove", is_flag=True, help="Take the tags off again.")
@json_option
@command
def tag(session: Session, id: str, tags: tuple[str, ...], remove: bool, as_json: bool) -> None:
    """Tag what a job left out in its dataset: samples, or the labels of a patches field."""
    from tui.jobs.left_out import tag_left_out

    done = tag_left_out(session.workspace(), id, tags, remove=remove)
    if done.unknown > 0:
        session.out.say(f"Left out were {done.unknown:,} more: 'kitescope jobs log {done.job}' names them.")
    if as_json:
        session.out.json(done)
    else:
        verb = "untagged" if remove else "tagged"
        session.out.text(f"{done.tagged:,} {verb} in {done.dataset}: {', '.join(tags)}")


@jobs.command()
@click.argument("id")
@click.option(
    "--max-seconds", type=click.FloatRange(min=0), metavar="N", help="Give up waiting after N seconds."
)
@json_option
@command
def wait(session: Session, id: str, max_seconds: float | None, as_json: bool) -> None:
    """Wait until a job ends; exits with 0 when it is done. Ctrl-C stops waiting, not the job."""
    from tui.cli.watching import ended_error, follow
    from tui.core.errors import KitescopeError
    from tui.jobs import supervisor

    if max_seconds is None:
        job = follow(session.out, id, as_json=False)
    else:
        job = supervisor.wait(id, timeout=max_seconds)
    if as_json:
        session.out.json({**_row(job), **_more(job)})
    if not job.ended:
        raise KitescopeError(f"Job {job.id} is still {job.state}", "Wait longer")
    error = ended_error(job)
    if error is not None:
        raise error
    if not as_json:
        session.out.text(f"{job.id} {job.state}")


def _row(job: JobInfo) -> dict[str, Any]:
    current = job.current
    return {
        "id": job.id,
        "kind": job.kind,
        "dataset": job.dataset,
        "brain_key": job.brain_key,
        "state": job.state,
        "phase": job.phase,
        "done": current.done if current else None,
        "total": current.total if current else None,
        "rate": current.rate if current else None,
        "eta_s": current.eta_s if current else None,
    }


def _more(job: JobInfo) -> dict[str, Any]:
    return {
        "phases": job.phases,
        "notice": job.notice,
        "error": job.error,
        "remedy": job.remedy,
        "result": job.result,
        "skipped_count": job.skipped_count,
        "created": job.created,
        "started": job.started,
        "finished": job.finished,
        "attempt": job.attempt,
        "pid": job.pid,
        "responding": job.responding,
        "log": job.log,
    }


def _time(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")

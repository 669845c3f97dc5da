"""``python -m tui.jobs.worker ID ATTEMPT``: one job in a process of its own.

Its stdin brings the settings with their secrets, its stdout and stderr are the job's log. SIGTERM means:
finish this batch and stop. SIGHUP means nothing here.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, cast

import msgspec

from tui.core.errors import Interrupted, KitescopeError
from tui.core.settings import Settings
from tui.jobs.redact import RedactingStream, secrets_of
from tui.jobs.reporter import Reporter
from tui.jobs.store import JobStore

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tui.core.progress import OnEvent, ShouldStop, Skipped
    from tui.core.workspace import Workspace
    from tui.jobs.info import JobState
    from tui.jobs.spec import JobKind, JobSpec

    Runner = Callable[[Workspace, JobSpec, OnEvent, ShouldStop], object]

_log = logging.getLogger("kitescope.job")
_FINISH_TRIES = 5


def main(arguments: list[str]) -> int:
    """Run the job; answers the process's exit status."""
    job_id, attempt = arguments[0], int(arguments[1])
    stopping = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    settings = Settings.from_json(sys.stdin.read())
    _detach_stdin()
    _log_to_stderr(settings)
    store = JobStore()
    with store.held():
        return _run(store, job_id, attempt, settings, stopping)


def _run(store: JobStore, job_id: str, attempt: int, settings: Settings, stopping: threading.Event) -> int:
    spec = store.begin(job_id, attempt)
    if spec is None:
        _log.info("cancelled before it began")
        store.finish(job_id, attempt, "cancelled")
        return 0
    _log.info("%s %s %s, attempt %d, pid %d", spec.kind, spec.dataset, spec.brain_key, attempt, os.getpid())
    state, result, error = _work(store, job_id, attempt, spec, settings, stopping)
    _finish(store, job_id, attempt, state, result, error)
    _log.info("%s%s", state, f": {error}" if error else "")
    return error.exit_code if error else 0


def _work(
    store: JobStore, job_id: str, attempt: int, spec: JobSpec, settings: Settings, stopping: threading.Event
) -> tuple[JobState, Mapping[str, Any] | None, KitescopeError | None]:
    with Reporter(store, job_id, attempt) as report:
        try:
            from tui.core.workspace import Workspace

            with Workspace(settings) as ws:
                outcome = RUNNERS[spec.kind](
                    ws, spec, report, lambda: stopping.is_set() or report.superseded.is_set()
                )
            for skipped in cast("tuple[Skipped, ...]", getattr(outcome, "skipped", ())):
                report(skipped)
            facts = msgspec.to_builtins(outcome)
            facts.pop("skipped", None)
            return "done", facts, None
        except Interrupted:
            return "cancelled", None, None
        except KitescopeError as error:
            _log.debug("failed", exc_info=True)
            return "failed", None, error
        except Exception as error:
            _log.exception("unexpected error")
            # The message of a foreign exception may hold anything, so it stays in the masked log.
            return (
                "failed",
                None,
                KitescopeError(
                    f"An unexpected {type(error).__name__} ended the job",
                    f"See 'kitescope jobs log {job_id}'",
                ),
            )


def _build(ws: Workspace, spec: JobSpec, on_event: OnEvent, should_stop: ShouldStop) -> object:
    from tui.core import indexes

    if spec.build is None:
        raise KitescopeError("The job does not say what to build", "Start the build again")
    return indexes.build(ws, spec.build, on_event, should_stop)


def _sync(ws: Workspace, spec: JobSpec, on_event: OnEvent, should_stop: ShouldStop) -> object:
    from tui.core import indexes

    return indexes.sync(ws, spec.dataset, spec.brain_key, on_event=on_event, should_stop=should_stop)


RUNNERS: dict[JobKind, Runner] = {"build": _build, "sync": _sync}


def _finish(
    store: JobStore,
    job_id: str,
    attempt: int,
    state: JobState,
    result: Mapping[str, Any] | None,
    error: KitescopeError | None,
) -> None:
    for left in reversed(range(_FINISH_TRIES)):
        try:
            return store.finish(job_id, attempt, state, result=result, error=error)
        except Exception:
            # Hours of work should not be called interrupted because the disk was full for a moment.
            _log.warning("cannot write the end of the job", exc_info=True)
            if left:
                time.sleep(2.0)
    return None


def _detach_stdin() -> None:
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)


def _log_to_stderr(settings: Settings) -> None:
    secrets = secrets_of(settings)
    sys.stdout = RedactingStream(sys.stdout, secrets)
    sys.stderr = RedactingStream(sys.stderr, secrets)
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    logging.captureWarnings(True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""The app without its screens: beside the engines, the jobs that are seen, and those that it asks for."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from textual import on
from textual.message import Message
from textual.worker import Worker, get_current_worker

from tui.core.errors import KitescopeError
from tui.engines import EnginesApp
from tui.messages import (
    BuildRequested,
    Happened,
    JobCancelRequested,
    JobResumeRequested,
    RefreshRequested,
    SyncRequested,
)
from tui.screens.base import core_call
from tui.state import JobsSeen

if TYPE_CHECKING:
    from textual.notifications import SeverityLevel

    from tui.core.indexes import BuildSpec
    from tui.core.settings import Settings
    from tui.jobs.info import JobInfo, JobState
    from tui.jobs.spec import JobKind

_SEVERITY: Mapping[JobState, SeverityLevel] = {"done": "information", "cancelled": "warning"}


class SessionApp(EnginesApp):
    """Keeps the state in step with jobs, too, and grants the screens' wishes for them; as ``EnginesApp``."""

    def __init__(self, settings: Settings, **more: Any) -> None:
        super().__init__(settings, **more)
        self._tick = 0
        self._jobs_read: Worker[None] | None = None
        self._jobs_unread: KitescopeError | None = None
        self._jobs_in_turn = threading.Lock()

    def begin(self) -> None:
        """Connect, and watch the jobs."""
        super().begin()
        self._poll_jobs()
        self.set_interval(0.25, self._poll_jobs)

    # Facts

    @on(Happened)
    def _jobs_seen(self, message: Happened) -> None:
        # It comes before the state is changed; what ended before jobs were first read is history.
        if isinstance(message.event, JobsSeen) and self.state.jobs is not None:
            self._tell_ends(self.state.jobs, message.event.jobs)

    def _tell_ends(self, before: Sequence[JobInfo], now: Sequence[JobInfo]) -> None:
        from tui.jobs.info import newly_ended

        ended = newly_ended(before, now)
        for job in ended:
            self._say(
                f"{job.dataset} / {job.brain_key}",
                job.error or "",
                job.remedy or "",
                title=f"{job.kind.capitalize()} {job.state}",
                severity=_SEVERITY.get(job.state, "error"),
            )
        if ended:
            self._load_datasets()
            self._load_runs()

    # Reading

    @on(RefreshRequested)
    def _refresh_jobs(self) -> None:
        self._jobs_read = self._read_jobs()

    def _poll_jobs(self) -> None:
        # Once a second is enough to notice a job that another terminal started.
        self._tick = (self._tick + 1) % 4
        waits = self._jobs_read is not None and not self._jobs_read.is_finished
        if not waits and (self._tick == 1 or any(not job.ended for job in self.state.jobs or ())):
            self._jobs_read = self._read_jobs()

    @core_call("reading jobs")
    def _read_jobs(self) -> Message | None:
        try:
            self._tell_jobs()
        except KitescopeError as error:
            if get_current_worker().is_cancelled:
                return None  # another one reads, and tells
            # What was last known stays on the screen, and that it does is said once.
            told, self._jobs_unread = self._jobs_unread, error
            if told is not None:
                return None
            raise
        self._jobs_unread = None
        return None

    def _tell_jobs(self) -> None:
        """Read the jobs and tell; several threads take turns, so that what was read last is told last."""
        from tui.jobs import supervisor

        with self._jobs_in_turn:
            jobs = tuple(supervisor.list_jobs())
            if jobs != self.state.jobs:
                self.post_message(Happened(JobsSeen(jobs)))

    # Wishes

    @on(BuildRequested)
    def _build(self, message: BuildRequested) -> None:
        spec = message.spec
        self._start_jobs("build", (spec.scope.dataset, spec.brain_key, message.confirmed), build=spec)

    @on(SyncRequested)
    def _sync(self, message: SyncRequested) -> None:
        self._start_jobs("sync", *message.indexes)

    @core_call("starting the job", exclusive=False)
    def _start_jobs(
        self, kind: JobKind, *indexes: tuple[str, str, str], build: BuildSpec | None = None
    ) -> Message | None:
        from tui.jobs import supervisor
        from tui.jobs.spec import job_spec

        self.workspace.require_writable(f"start a {kind}")
        # A job that cannot begin would stay in the list as a failed one.
        self.workspace.milvus().ping()
        for dataset, brain_key, confirmed in indexes:
            settings = replace(self.workspace.settings, confirmed=confirmed)
            supervisor.start(job_spec(kind, dataset, brain_key, settings, build), settings)
        self.call_from_thread(self.job_started)
        self._tell_jobs()
        return None

    def job_started(self) -> None:
        """A job that was asked for runs."""

    @on(JobCancelRequested)
    def _wish_cancel(self, message: JobCancelRequested) -> None:
        self._cancel_job(message.job)

    @core_call("cancelling the job", exclusive=False)
    def _cancel_job(self, job: str) -> Message | None:
        from tui.jobs import supervisor

        supervisor.cancel(job)
        self._tell_jobs()
        return None

    @on(JobResumeRequested)
    def _wish_resume(self, message: JobResumeRequested) -> None:
        self._resume_job(message.job, message.confirmed)

    @core_call("resuming the job", exclusive=False)
    def _resume_job(self, job: str, confirmed: str) -> Message | None:
        from tui.jobs import supervisor

        self.workspace.require_writable("resume a job")
        supervisor.resume(job, replace(self.workspace.settings, confirmed=confirmed))
        self._tell_jobs()
        return None

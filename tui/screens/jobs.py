"""Jobs: every one, also those of earlier sessions, with a bar per phase for the one under the cursor."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual import events, on, work
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.message import Message
from textual.widgets import Static
from textual.worker import Worker

from tui import keys
from tui.core.progress import Skipped
from tui.core.words import counted
from tui.jobs.info import JobInfo
from tui.jobs.load import JobLoad, LoadMeter
from tui.jobs.store import JobStore
from tui.messages import JobCancelRequested, JobResumeRequested, RefreshRequested, SearchRequested
from tui.screens.base import BaseScreen, core_call
from tui.screens.left_out import LeftOutPage
from tui.state import AppState
from tui.widgets.dialogs import Page
from tui.widgets.fitted import FittedTable
from tui.widgets.job_view import COLUMNS, job_notes, job_row, job_title, job_work
from tui.widgets.phases import PhaseBars
from tui.widgets.table import RowTable
from tui.widgets.text import plain

if TYPE_CHECKING:
    from tui.jobs.left_out import LeftOutTagged

_EMPTY = """No jobs yet.

Build an index (3): its progress appears here,
and it goes on when you close the terminal."""
_LOG_SHOWN = 256 << 10
_FRESH_S = 3.0


class LoadSampled(Message):
    """What a running job costs this machine, just now."""

    def __init__(self, job: str, load: JobLoad | None) -> None:
        self.job = job
        self.load = load
        super().__init__()


class LogRead(Message):
    """The end of a job's log."""

    def __init__(self, job: str, text: str) -> None:
        self.job = job
        self.text = text
        super().__init__()


class SkippedRead(Message):
    """What a job left out."""

    def __init__(self, job: JobInfo, skipped: tuple[Skipped, ...]) -> None:
        self.job = job
        self.skipped = skipped
        super().__init__()


class Tagged(Message):
    """What a job left out carries tags now."""

    def __init__(self, done: LeftOutTagged) -> None:
        self.done = done
        super().__init__()


class LogPage(Page):
    """A log that grows while one reads it."""

    def __init__(self, job: JobInfo) -> None:
        super().__init__(
            f"Log of job {job.id}: {job.dataset} / {job.brain_key}", "Reading the log…", end=True
        )
        self.job_id = job.id
        self.path = job.log


class JobsScreen(BaseScreen):
    """A list of jobs; the selected one with its bars, its load, its error and what it left out."""

    MODE = "jobs"
    MAIN = "#jobs"
    BINDINGS = [*keys.JOBS]
    TITLE: ClassVar[str] = "Jobs"

    def __init__(self) -> None:
        super().__init__()
        self._meter: LoadMeter | None = None
        self._load: tuple[str, JobLoad] | None = None
        self._resumed = 0.0
        self._log_read: Worker[None] | None = None

    def body(self) -> ComposeResult:
        """The list, and beside or below it the job under the cursor."""
        yield Static("Reading jobs…", classes="empty", id="no-jobs", markup=False)
        yield FittedTable(COLUMNS, id="jobs", sort="created", reverse=True)
        with VerticalScroll(id="job", classes="pane"):
            yield Static(id="job-title", markup=False)
            yield Static(id="job-work", classes="muted", markup=False)
            yield PhaseBars(id="job-bars")
            yield Static(id="job-notes", markup=False)

    def on_mount(self) -> None:
        """Sample the load of the selected job and follow an open log."""
        self.set_interval(1.0, self._sample)
        self.set_interval(0.5, self._follow)

    @on(events.ScreenResume)
    def _note_resume(self) -> None:
        self._resumed = time.monotonic()

    # What is shown

    def watch_state(self, old: AppState, new: AppState) -> None:
        """Show the jobs as they are now."""
        if not self.is_mounted or (old.jobs is new.jobs and new.jobs is not None):
            return
        jobs = new.jobs or ()
        table = self.query_one("#jobs", FittedTable)
        newest = self._new_job(jobs, old.jobs, table)
        table.show([job_row(job) for job in jobs])
        if newest is not None:
            table.go_to(newest)
        self.query_one("#no-jobs", Static).update("Reading jobs…" if new.jobs is None else _EMPTY)
        self.set_class(not jobs, "-empty")
        if jobs and self.focused is None:
            # What is not displayed could not take the keyboard.
            self.call_after_refresh(self.focus_main)
        self._show_current()

    def _new_job(
        self, jobs: tuple[JobInfo, ...], before: tuple[JobInfo, ...] | None, table: RowTable
    ) -> str | None:
        """A job that just began, when nobody is reading about another one."""
        if before is None or not jobs or jobs[0].id in {job.id for job in before}:
            return None
        on_top = table.cursor_row == 0 or time.monotonic() - self._resumed < _FRESH_S
        return jobs[0].id if on_top else None

    @property
    def current(self) -> JobInfo | None:
        """The job under the cursor."""
        key = self.query_one("#jobs", FittedTable).current_key
        return next((job for job in self.state.jobs or () if job.id == key), None)

    @on(RowTable.RowHighlighted)
    def _moved(self) -> None:
        self._show_current()

    def _show_current(self) -> None:
        job = self.current
        self.query_one("#job").display = job is not None
        if job is None:
            return
        load = self._load[1] if self._load and self._load[0] == job.id and not job.ended else None
        notes = job_notes(job, load)
        self.query_one("#job-title", Static).update(job_title(job))
        self.query_one("#job-work", Static).update(job_work(job))
        self.query_one("#job-bars", PhaseBars).job = job
        self.query_one("#job-notes", Static).update(notes)
        self.query_one("#job-notes").display = bool(notes)

    # The load of the job under the cursor

    def _sample(self) -> None:
        job = self.current if self.is_current else None
        if job is not None and not job.ended and job.pid is not None:
            self._load_sample(job.id, job.pid)
            self._show_current()

    @core_call("measuring the job's load")
    def _load_sample(self, job: str, pid: int) -> Message | None:
        if self._meter is None or self._meter.pid != pid:
            self._meter = LoadMeter(pid)
        return LoadSampled(job, self._meter.sample())

    @on(LoadSampled)
    def _sampled(self, message: LoadSampled) -> None:
        self._load = (message.job, message.load) if message.load else None
        self._show_current()

    # The log

    def action_log(self) -> None:
        """Read what the job wrote."""
        if (job := self._chosen("read its log")) is not None:
            self.app.push_screen(LogPage(job))
            self._follow()

    @on(RowTable.RowSelected)
    def _clicked(self) -> None:
        self.action_log()

    def _follow(self) -> None:
        page = self.app.screen
        # One that takes longer than a tick is not replaced by the next: nothing would ever be shown.
        if isinstance(page, LogPage) and (self._log_read is None or self._log_read.is_finished):
            self._log_read = self._load_log(page.job_id, page.path)

    @core_call("reading the log")
    def _load_log(self, job: str, path: Path) -> Message | None:
        try:
            with path.open("rb") as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(max(0, size - _LOG_SHOWN))
                text = file.read().decode(errors="replace")
        except FileNotFoundError:
            return LogRead(job, f"Nothing was written to {path} yet.")
        if size > _LOG_SHOWN:
            text = (
                f"… {counted(size - _LOG_SHOWN, 'byte')} before this: see {path}\n" + text.partition("\n")[2]
            )
        return LogRead(job, text or "Nothing was written yet.")

    @on(LogRead)
    def _show_log(self, message: LogRead) -> None:
        page = self.app.screen
        if isinstance(page, LogPage) and page.job_id == message.job and page.is_mounted:
            page.update(message.text)

    def action_skipped(self) -> None:
        """List everything the job left out."""
        job = self._chosen("see what it left out")
        if job is not None and not job.skipped_count:
            self.tell(f"Job {job.id} left nothing out.")
        elif job is not None:
            self._load_skipped(job)

    @core_call("reading what was left out")
    def _load_skipped(self, job: JobInfo) -> Message | None:
        return SkippedRead(job, JobStore().skipped(job.id))

    @on(SkippedRead)
    def _show_skipped(self, message: SkippedRead) -> None:
        if self.is_current:
            self.app.push_screen(LeftOutPage(message.job, message.skipped, self._load_tag))

    @core_call("tagging", exclusive=False)
    def _load_tag(self, job: JobInfo, tags: list[str]) -> Message | None:
        from tui.jobs.left_out import tag_left_out

        return Tagged(tag_left_out(self.kitescope.workspace, job.id, tags))

    @on(Tagged)
    def _tagged(self, message: Tagged) -> None:
        done = message.done
        beyond = f"; the log has {done.unknown:,} more" if done.unknown > 0 else ""
        self.notify(
            plain(f"{', '.join(done.tags)}: on {done.tagged:,} of {done.dataset}{beyond}"), markup=False
        )
        self.post_message(RefreshRequested("datasets"))

    # Wishes

    def _chosen(self, what: str) -> JobInfo | None:
        if (job := self.current) is None:
            self.tell(
                f"There is no job to {what}." if self.state.jobs is not None else "Jobs are being read."
            )
        return job

    def action_cancel(self) -> None:
        """Stop after the batch under way; everything finished is kept."""
        job = self._chosen("cancel")
        if job is None:
            return
        if job.ended:
            self.tell(f"Job {job.id} is {job.state}: there is nothing to cancel.")
        elif job.state == "cancelling" and job.responding:
            self.tell(f"Job {job.id} stops after the batch that is under way.")
        else:
            self.post_message(JobCancelRequested(job.id))
            self.notify(f"Stopping job {job.id}; what is done is kept.", markup=False, timeout=4)

    @work(group="resume", exclusive=True)
    async def action_resume(self) -> None:
        """Go on with a job where it stopped."""
        job = self._chosen("resume")
        if job is None:
            return
        if self.state.readonly:
            self.tell("This connection is read-only, so no job can be resumed.")
        elif job.state == "done":
            self.tell(
                f"Job {job.id} is done. To bring its index up to date, sync it on the Runs screen (5, u)."
            )
        elif not job.resumable:
            self.tell(f"Job {job.id} is {job.state} already.")
        else:
            # A protected profile refuses a sync that would remove vectors: here is where it gets its word.
            refused = job.kind == "sync" and job.state == "failed"
            what = f"sync {job.brain_key} of {job.dataset}, which removes its stale vectors"
            word = await self.confirm_protected(what) if refused else ""
            if word is not None:
                self.post_message(JobResumeRequested(job.id, word))

    def action_open(self) -> None:
        """Search the index that the job built."""
        job = self._chosen("open")
        if job is None:
            return
        known = {(run.dataset, run.brain_key) for run in self.state.runs or () if run.is_index}
        if job.state == "done" or (job.dataset, job.brain_key) in known:
            self.post_message(SearchRequested(job.dataset, job.brain_key))
        elif job.ended:
            self.tell(f"Job {job.id} is {job.state}, so there is no index yet. u goes on with it.")
        else:
            self.tell(f"The index is not there yet: job {job.id} is {job.state}.")

    def copy_text(self) -> str | None:
        """What ``y`` copies: the job's id, as the command line wants it."""
        return job.id if (job := self.current) else None

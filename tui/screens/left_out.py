"""The list of what a job left out, and the key that tags it in its dataset."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from textual import on, work
from textual.binding import Binding
from textual.message import Message

from tui.core.progress import Skipped
from tui.jobs.info import JobInfo
from tui.messages import Failed, RefreshRequested
from tui.screens.base import core_call
from tui.widgets.dialogs import Ask, Page
from tui.widgets.job_view import skipped_text
from tui.widgets.text import plain

if TYPE_CHECKING:
    from tui.app import Kitescope
    from tui.jobs.left_out import LeftOutTagged


class Tagged(Message):
    """The tags are on."""

    def __init__(self, done: LeftOutTagged) -> None:
        self.done = done
        super().__init__()


class LeftOutPage(Page):
    """Every item with its reason."""

    BINDINGS = [Binding("t", "tag", "Tag", id="left-out-tag")]
    HINT = "esc back · t tag · y copy"

    def __init__(self, job: JobInfo, skipped: tuple[Skipped, ...]) -> None:
        super().__init__(f"Left out by job {job.id}: {job.skipped_count:,}", skipped_text(job, skipped))
        self._job = job

    @work(group="tag")
    async def action_tag(self) -> None:
        """Ask for tags, and put them on what was left out."""
        app = cast("Kitescope", self.app)
        if app.state.readonly:
            self.notify("This connection is read-only, so nothing can be tagged.", severity="warning")
            return
        what = f"Tag them in {self._job.dataset}: names, separated by commas"
        typed = await app.push_screen_wait(Ask(what, value="left out"))
        tags = [part.strip() for part in (typed or "").split(",") if part.strip()]
        if tags:
            self._load_tag(tags)

    @core_call("tagging")
    def _load_tag(self, tags: list[str]) -> Message | None:
        from tui.jobs.left_out import tag_left_out

        return Tagged(tag_left_out(cast("Kitescope", self.app).workspace, self._job.id, tags))

    @on(Tagged)
    def _say(self, message: Tagged) -> None:
        done = message.done
        beyond = f"; the log has {done.unknown:,} more" if done.unknown > 0 else ""
        self.notify(
            plain(f"{', '.join(done.tags)}: on {done.tagged:,} of {done.dataset}{beyond}"), markup=False
        )
        self.post_message(RefreshRequested("datasets"))

    @on(Failed)
    def _complain(self, message: Failed) -> None:
        message.stop()
        self.notify(plain(str(message.error)), severity="error", markup=False)

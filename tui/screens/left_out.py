"""The list of what a job left out, and the key that tags it in its dataset."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from textual import work
from textual.binding import Binding

from tui.core.progress import Skipped
from tui.jobs.info import JobInfo
from tui.widgets.dialogs import Ask, Page
from tui.widgets.job_view import skipped_text

if TYPE_CHECKING:
    from tui.app import Kitescope


class LeftOutPage(Page):
    """Every item with its reason; ``tag`` puts tags on what a job left out, also once this is closed."""

    BINDINGS = [Binding("t", "tag", "Tag", id="left-out-tag")]
    HINT = "esc back · t tag · y copy"

    def __init__(
        self, job: JobInfo, skipped: tuple[Skipped, ...], tag: Callable[[JobInfo, list[str]], object]
    ) -> None:
        super().__init__(f"Left out by job {job.id}: {job.skipped_count:,}", skipped_text(job, skipped))
        self._job = job
        self._tag = tag

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
            self._tag(self._job, tags)

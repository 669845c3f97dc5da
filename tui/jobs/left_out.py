"""What a job left out, tagged in its dataset, so that it can be looked at there and mended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tui.core import results
from tui.core.documents.run_list import list_runs, require_run
from tui.core.errors import UnknownName
from tui.jobs.store import JobStore

if TYPE_CHECKING:
    from tui.core.workspace import Workspace
    from tui.jobs.info import JobInfo


@dataclass(frozen=True, slots=True)
class LeftOutTagged:
    """How many samples, or labels of a patches field, were tagged; ``unknown`` more are in the log only."""

    job: str
    dataset: str
    tags: tuple[str, ...]
    tagged: int
    unknown: int


def tag_left_out(
    ws: Workspace, job_id: str, tags: Sequence[str], *, remove: bool = False, store: JobStore | None = None
) -> LeftOutTagged:
    """Tag what a job left out, or take the tags off again.

    Raises:
        UnknownName: there is no such job, or its dataset is gone.
        InvalidInput: no tag. ReadOnly: the profile forbids it.
    """
    store = store or JobStore()
    job = store.get(job_id)
    kept = store.skipped(job.id)
    ids = [item.id for item in kept if item.id]
    field = _patches_field(ws, job)
    count = results.tag(ws, job.dataset, ids, tags, patches_field=field, remove=remove)
    return LeftOutTagged(job.id, job.dataset, tuple(tags), count, job.skipped_count - len(kept))


def _patches_field(ws: Workspace, job: JobInfo) -> str | None:
    build = job.spec().build
    if build is not None:
        return build.scope.patches_field
    try:
        return require_run(ws, job.dataset, job.brain_key).patches_field
    except UnknownName:
        for run in list_runs(ws, job.dataset):
            if any(key == job.brain_key for key, _until in run.former):
                return run.patches_field
        raise

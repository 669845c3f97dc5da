"""What a collection says about the run it is for, so that as an orphan it can be told from others.

The run's record is what counts: a collection that cannot be told stops nothing.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from tui.core.errors import KitescopeError

if TYPE_CHECKING:
    from tui.core.documents.run_documents import RunDocument
    from tui.core.documents.run_list import RunInfo
    from tui.core.workspace import Workspace

_log = logging.getLogger(__name__)


def tell_key(ws: Workspace, run: RunInfo) -> None:
    """Let a collection of ours say the new key of a renamed run: it would name a run that never was."""
    if run.collection is None:
        return
    try:
        milvus = ws.milvus()
        properties = milvus.describe(run.collection, counted=False).properties
        if properties.get("kitescope.brain_key") and properties.get("kitescope.dataset") == run.dataset:
            milvus.set_properties(run.collection, {"kitescope.brain_key": run.brain_key})
    except KitescopeError as error:
        _log.info("collection %s keeps the old key: %s", run.collection, error)


def tell_owner(ws: Workspace, run: RunDocument) -> None:
    """Let a collection that stays behind, whoever made it, say which run it was for."""
    if run.collection is None:
        return
    try:
        made_for = f"{run.dataset}/{run.key}"[:1_000]
        ws.milvus().set_properties(run.collection, {"kitescope.made_for": made_for})
    except KitescopeError as error:
        # One keeps a collection when its server is down, too.
        _log.info("collection %s does not say whose it was: %s", run.collection, error)

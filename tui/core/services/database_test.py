"""Try FiftyOne's database, without importing FiftyOne and without touching the connection in use."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tui.core.connecting.masking import mask_uri
from tui.core.errors import KitescopeError

if TYPE_CHECKING:
    from tui.core.settings import Settings


@dataclass(frozen=True, slots=True)
class DatabaseTest:
    """Whether the database answers, after how long, what was found, and what to do when it does not."""

    ok: bool
    elapsed_ms: float
    detail: str
    remedy: str = ""


def try_database(settings: Settings) -> DatabaseTest:
    """Ask the server of ``database_uri`` for its version and its datasets, within ``settings.timeout``.

    FiftyOne's own service is only described: asking it would start it, or move this process to it.
    """
    began = time.perf_counter()
    if settings.embedded_database:
        return DatabaseTest(True, 0.0, f"FiftyOne's own service, in {settings.database_dir}")
    try:
        detail = _ask(settings)
    except KitescopeError as error:
        return DatabaseTest(False, _since(began), error.what, error.remedy)
    return DatabaseTest(True, _since(began), detail)


def _ask(settings: Settings) -> str:
    from tui.core.documents.mongo import guarded
    from tui.core.documents.schema import LISTED
    from tui.core.workspace import Workspace

    with Workspace(settings) as workspace, guarded():
        database = workspace.database()
        version = database.client.server_info()["version"]
        datasets = database["datasets"].count_documents(LISTED)
    return f"MongoDB {version} at {mask_uri(str(settings.database_uri.value))}, {datasets:,} datasets"


def _since(began: float) -> float:
    return round((time.perf_counter() - began) * 1000, 1)

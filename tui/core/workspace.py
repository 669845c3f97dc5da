"""Both engines that a face or a job works with, opened on first use and closed together."""

from __future__ import annotations

import shlex
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import ModuleType, TracebackType
from typing import TYPE_CHECKING, Any, Self

from tui.core.errors import EngineUnreachable, Protected, ReadOnly

if TYPE_CHECKING:
    from tui.core.milvus import Milvus
    from tui.core.settings import Settings

_typed: ContextVar[str] = ContextVar("typed", default="")


@contextmanager
def confirming(name: str) -> Iterator[None]:
    """Allow what destroys, in this thread until the end of the block, if ``name`` is the word."""
    token = _typed.set(name)
    try:
        yield
    finally:
        _typed.reset(token)


class Workspace:
    """Milvus and FiftyOne as the settings say. Thread-safe; nothing is contacted before it is asked for.

    Call ``milvus()``, ``fiftyone()`` and ``database()`` anew for each piece of work instead of keeping what
    they answer: they notice an embedded engine that was killed and bring it back.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._lock = threading.Lock()
        self._milvus: Milvus | None = None
        self._milvus_uri = ""
        self._client: Any = None
        self._closed = False

    def milvus(self) -> Milvus:
        """The connection to Milvus; the embedded server is started when no URI is set anywhere.

        Raises:
            EngineUnreachable: it does not answer within ``settings.timeout``.
            AuthenticationFailed: it refuses the credentials.
            InvalidInput: the settings cannot mean a server.
        """
        from tui.core.embedded import milvus_kwargs
        from tui.core.milvus import Milvus

        with self._lock:
            self._require_open()
            self.settings.require_secret()
            kwargs = milvus_kwargs(self.settings)
            uri = str(kwargs["uri"])
            if self._milvus is not None and uri != self._milvus_uri:
                self._milvus.close()
                self._milvus = None
            if self._milvus is None:
                self._milvus = Milvus.connect(kwargs, self.settings.timeout)
                self._milvus_uri = uri
            return self._milvus

    def fiftyone(self) -> ModuleType:
        """FiftyOne, imported without a word and connected to its database.

        Raises:
            EngineUnreachable: the database does not answer, within ``settings.timeout``.
            AuthenticationFailed: it refuses the credentials.
            InvalidInput: its URI cannot mean a server.
        """
        from tui.core.services import fiftyone_link

        self._require_open()
        return fiftyone_link.connect(self.settings)

    def database(self) -> Any:
        """FiftyOne's database (``pymongo.database.Database``); with a URI it is reached without FiftyOne.

        Raises:
            EngineUnreachable, AuthenticationFailed, InvalidInput: as ``fiftyone``.
        """
        self._require_open()
        if self.settings.embedded_database:
            from tui.core.services import fiftyone_link

            return fiftyone_link.client_of_service(self.settings)[self.settings.database_name]
        with self._lock:
            if self._client is None:
                self._client = self._open_client()
            return self._client[self.settings.database_name]

    def require_writable(self, what: str) -> None:
        """Refuse a change when the settings forbid changes.

        Args:
            what: the change, as in "delete the run digits".

        Raises:
            ReadOnly: they do.
        """
        if self.settings.readonly:
            profile = f"profile {self.settings.profile}" if self.settings.profile else "--readonly"
            raise ReadOnly(
                f"Cannot {what}: {profile} allows no changes", "Use another profile or leave out --readonly"
            )

    def require_destroyable(self, what: str) -> None:
        """Refuse what cannot be undone: drop, delete, clean up, overwrite.

        A protected profile allows it with ``settings.confirmed`` or inside ``confirming``.

        Args:
            what: as for ``require_writable``, whose refusals this has as well.

        Raises:
            ReadOnly, Protected: it is not allowed.
        """
        self.require_writable(what)
        word = self.settings.confirm_word
        if self.settings.protected and word not in (self.settings.confirmed, _typed.get()):
            raise Protected(
                f"Cannot {what}: profile {word} is protected",
                f"If it is meant, repeat it with --confirm-protected {shlex.quote(word)} before the command",
            )

    def close(self) -> None:
        """Close both connections; FiftyOne's own stays, because this process may have other workspaces."""
        with self._lock:
            self._closed = True
            if self._milvus is not None:
                self._milvus.close()
                self._milvus = None
            if self._client is not None:
                self._client.close()
                self._client = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _require_open(self) -> None:
        if self._closed:
            raise EngineUnreachable("This connection has been closed", "Connect again")

    def _open_client(self) -> Any:
        import pymongo

        from tui.core.services import database

        uri = str(self.settings.database_uri.value)
        database.probe(uri, self.settings.database_name, self.settings.timeout)
        return pymongo.MongoClient(database.with_timeouts(uri, self.settings.timeout), appname="kitescope")

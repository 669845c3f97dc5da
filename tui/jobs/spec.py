"""What a job is to do: frozen, JSON, without a secret."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import msgspec

from tui.core.errors import KitescopeError
from tui.core.indexes import BuildSpec

if TYPE_CHECKING:
    from tui.core.settings import Settings

JobKind = Literal["build", "sync"]


@dataclass(frozen=True, slots=True)
class JobSpec:
    """One piece of long work.

    ``milvus_uri``, ``milvus_db`` and ``database_uri`` say which engines the job belongs to, masked; None
    means the embedded ones (``milvus_db``: the default). A resume that would lead elsewhere is refused.
    """

    kind: JobKind
    dataset: str
    brain_key: str
    build: BuildSpec | None = None
    profile: str | None = None
    milvus_uri: str | None = None
    milvus_db: str | None = None
    database_uri: str | None = None

    def to_json(self) -> str:
        """Encode as JSON."""
        return msgspec.json.encode(self).decode()

    @classmethod
    def from_json(cls, text: str | bytes) -> JobSpec:
        """Decode JSON; raise ``KitescopeError`` when another version wrote it."""
        try:
            return msgspec.json.decode(text, type=cls)
        except msgspec.DecodeError as error:
            raise KitescopeError(
                f"The job was written by another version of Kitescope ({error})", "Start the build again"
            ) from error

    def leads_to_same_engines(self, settings: Settings) -> bool:
        """Whether work with ``settings`` would touch the same Milvus and FiftyOne database."""
        there = engines_of(settings)
        return there == (self.milvus_uri, self.milvus_db, self.database_uri)


def engines_of(settings: Settings) -> tuple[str | None, str | None, str | None]:
    """The masked Milvus URI, Milvus database and FiftyOne database URI; None where the default is meant."""
    return (
        _shown(settings, "uri"),
        _shown(settings, "db_name"),
        settings.database_uri.shown("database_uri") if settings.database_uri.value else None,
    )


def job_spec(
    kind: JobKind, dataset: str, brain_key: str, settings: Settings, build: BuildSpec | None = None
) -> JobSpec:
    """A spec for work with ``settings``, which tell where the job belongs."""
    milvus_uri, milvus_db, database_uri = engines_of(settings)
    return JobSpec(kind, dataset, brain_key, build, settings.profile, milvus_uri, milvus_db, database_uri)


def _shown(settings: Settings, name: str) -> str | None:
    value = settings.milvus.get(name)
    return str(value.shown(name)) if value is not None and value.value else None

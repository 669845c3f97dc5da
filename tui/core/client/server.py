"""The administrative half of ``tui.core.milvus``: the connection, collections, indexes, loading."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self, TypeVar

from tui.core.client import link as milvus_link
from tui.core.client.index_types import MAX_DIM, MILVUS_METRIC, OUR_METRIC, IndexSpec, Metric, check_index
from tui.core.errors import EngineUnreachable, InvalidInput, KitescopeError
from tui.core.progress import ShouldStop, never

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,254}\Z")
_LONGEST_FLUSH = 600.0
_T = TypeVar("_T")


@dataclass(frozen=True)
class CollectionInfo:
    """What Milvus knows about a collection.

    ``dim`` is 0 and ``compatible`` False where it has not the schema of a similarity index; ``index_type`` is
    empty and ``metric`` None without an index; ``vectors`` is None while it is not loaded. ``fields`` are its
    schema: a name and a type each, and what limits it.
    """

    name: str
    dim: int
    metric: Metric | None
    index_type: str
    index_params: Mapping[str, str]
    consistency_level: str
    loaded: bool
    properties: Mapping[str, str]
    vectors: int | None
    compatible: bool = True
    fields: tuple[Mapping[str, object], ...] = ()


class Server:
    """A connection to one database of one Milvus server, and its collections as wholes."""

    def __init__(self, client: Any, address: str, database: str, timeout: float, version: str) -> None:
        self._client = client
        self._timeout = timeout
        self._patience = milvus_link.patient_enough(timeout)
        self._version = version
        self._indexes: dict[str, tuple[str, Mapping[str, str]]] = {}
        self._dims: dict[str, int] = {}
        self.address = address
        self.database = database or "default"
        # The one place that knows which engine answers.
        self.is_lite = "lite" in version and "milvus_lite" in version

    @classmethod
    def connect(cls, kwargs: Mapping[str, str | bool], timeout: float) -> Self:
        """Connect and prove that the database answers, within ``timeout`` seconds and one more.

        Raises:
            InvalidInput: the settings cannot work. UnknownName: no such database.
            AuthenticationFailed: the credentials are refused. EngineUnreachable: nothing answers.
        """
        address = milvus_link.address_of(str(kwargs.get("uri", "http://localhost:19530")))
        client = milvus_link.open_client(kwargs, timeout)
        with milvus_link.translated(address):
            version = str(client.get_server_version(timeout=timeout))
        return cls(client, address, str(kwargs.get("db_name", "")), timeout, version)

    def close(self) -> None:
        """Close the connection; calls in flight fail."""
        self._client.close()

    def server_version(self) -> str:
        """Answer the server's version, as it said it when we connected."""
        return self._version

    def ping(self, timeout: float | None = None) -> None:
        """Raise ``EngineUnreachable`` unless the server answers within ``timeout`` seconds."""
        with milvus_link.translated(self.address):
            self._client.list_collections(timeout=timeout or self._timeout)

    def collections(self) -> list[str]:
        """Answer the names of the database's collections, sorted."""
        with milvus_link.translated(self.address):
            return sorted(self._client.list_collections(timeout=self._timeout))

    def exists(self, name: str) -> bool:
        """Tell whether the database has a collection of this name."""
        with milvus_link.translated(self.address, name):
            return bool(self._client.has_collection(name, timeout=self._timeout))

    def describe(self, name: str, *, counted: bool = True) -> CollectionInfo:
        """Answer what is known about a collection; ``counted=False`` saves counting its vectors.

        Raises:
            UnknownName: there is none of that name.
        """
        with milvus_link.translated(self.address, name):
            about = self._client.describe_collection(name, timeout=self._timeout)
            index_type, params = self._index_of(name, fresh=True)
            state = self._client.get_load_state(name, timeout=self._timeout)["state"]
        properties = {str(key): str(value) for key, value in (about.get("properties") or {}).items()}
        fields = {field["name"]: field for field in about["fields"]}
        loaded = getattr(state, "name", str(state)) == "Loaded"
        level = str(about.get("consistency_level_name") or about.get("consistency_level"))
        return CollectionInfo(
            name=name,
            dim=int(fields.get("vector", {}).get("params", {}).get("dim", 0)),
            metric=OUR_METRIC.get(params.get("metric_type", "")),
            index_type=index_type,
            index_params=params,
            consistency_level=properties.get("kitescope.consistency_level", level),
            loaded=loaded,
            properties=properties,
            vectors=self.count(name) if loaded and index_type and counted else None,
            compatible=_is_stock_schema(about["fields"]),
            fields=tuple(_field(field) for field in about["fields"]),
        )

    def create(
        self, name: str, *, dim: int, metric: Metric, consistency_level: str, properties: Mapping[str, str]
    ) -> None:
        """Create an empty collection with stock FiftyOne's schema and no index.

        Args:
            dim: length of its vectors, at most 32,768.

        Raises:
            InvalidInput: the name or the dimension is not one Milvus can use.
        """
        if not _NAME.match(name):
            raise InvalidInput(
                f"Milvus cannot name a collection {name!r}", "Use letters, digits and _, at most 255 of them"
            )
        if not 1 <= dim <= MAX_DIM:
            raise InvalidInput(f"Milvus cannot hold vectors of {dim} numbers", f"It takes 1 to {MAX_DIM}")
        types = milvus_link.pymilvus().DataType
        with milvus_link.translated(self.address, name):
            schema = self._client.create_schema(auto_id=False, enable_dynamic_field=False)
            schema.add_field("pk", types.VARCHAR, is_primary=True, max_length=64_000)
            schema.add_field("vector", types.FLOAT_VECTOR, dim=dim)
            schema.add_field("sample_id", types.VARCHAR, max_length=64_000)
            self._client.create_collection(
                name,
                schema=schema,
                consistency_level=consistency_level,
                properties={
                    **properties,
                    "kitescope.metric": metric,
                    "kitescope.consistency_level": consistency_level,
                },
                timeout=self._patience,
            )

    def create_index(self, name: str, metric: Metric, spec: IndexSpec) -> None:
        """Ask for an index; the server builds it in the background (``index_progress`` tells).

        Raises:
            InvalidInput: this engine has no such index type, or a parameter is no number.
            KitescopeError: the server refuses the parameters.
        """
        given, spec = dict(spec.params), spec.complete()
        check_index(spec, is_lite=self.is_lite)
        params: dict[str, object] = dict(spec.params)
        if self.is_lite:
            # Milvus Lite looks for them under this name, and of lists it makes what suits its segments.
            params = {"params": params if spec.type.startswith("HNSW") else given}
        self._forget(name)
        with milvus_link.translated(self.address, name):
            index = self._client.prepare_index_params()
            index.add_index("vector", index_type=spec.type, metric_type=MILVUS_METRIC[metric], params=params)
            # pymilvus' own wait asks for a timestamp without a timeout, and loops for ever on a float one.
            self._client.create_index(name, index, timeout=self._patience, sync=False)

    def drop_index(self, name: str) -> None:
        """Release the collection and drop its index, if it has one."""
        self._forget(name)
        with milvus_link.translated(self.address, name):
            for index in self._client.list_indexes(name, timeout=self._timeout):
                self._client.release_collection(name, timeout=self._patience)
                self._client.drop_index(name, index, timeout=self._patience)

    def index_progress(self, name: str) -> tuple[int, int]:
        """Answer how many vectors the server has indexed, of how many that it has sealed so far."""
        with milvus_link.translated(self.address, name):
            about = self._describe_index(name)
        if about.get("state") == "Failed":
            raise KitescopeError(f"Milvus could not build the index of {name}", "See the server's log")
        total = int(about.get("total_rows", 0))
        return min(total, int(about.get("indexed_rows", 0))), total

    def load(self, name: str, should_stop: ShouldStop = never) -> None:
        """Load a collection for searching, and wait until it is.

        Raises:
            EngineUnreachable: it made no progress for five minutes.
        """
        with milvus_link.translated(self.address, name):
            if self._is_loaded(name):
                return
            self.begin_load(name)
            milvus_link.wait_until(lambda: should_stop() or self._is_loaded(name), 300.0, f"loading {name}")

    def begin_load(self, name: str) -> None:
        """Ask for a collection to be loaded, and do not wait until it is."""
        with milvus_link.translated(self.address, name):
            self._begin(lambda: self._client.load_collection(name, timeout=self._patience, _async=True))

    def _begin(self, call: Callable[[], None]) -> None:
        """Make a call that Milvus Lite carries out before it answers, whether we listen or not."""
        try:
            call()
        except Exception as error:
            late = milvus_link.explain(error, self.address)
            if not (self.is_lite and isinstance(late, EngineUnreachable)):
                raise
            self.ping()

    def _is_loaded(self, name: str) -> bool:
        state = self._client.get_load_state(name, timeout=self._timeout)["state"]
        return str(getattr(state, "name", state)) == "Loaded"

    def release(self, name: str) -> None:
        """Take a collection out of the server's memory."""
        with milvus_link.translated(self.address, name):
            self._client.release_collection(name, timeout=self._patience)

    def drop(self, name: str) -> None:
        """Delete a collection and its vectors; nothing happens when there is none."""
        self._forget(name)
        with milvus_link.translated(self.address, name):
            self._begin(lambda: self._client.drop_collection(name, timeout=self._patience))
            milvus_link.wait_until(lambda: not self.exists(name), 300.0, f"dropping {name}")

    def rename(self, name: str, new: str) -> None:
        """Give a collection another name."""
        self._forget(name)
        with milvus_link.translated(self.address, name):
            self._client.rename_collection(name, new, timeout=self._patience)

    def set_properties(self, name: str, properties: Mapping[str, str]) -> None:
        """Set some of a collection's properties, and leave the others."""
        with milvus_link.translated(self.address, name):
            self._client.alter_collection_properties(name, dict(properties), timeout=self._timeout)

    def flush(self, name: str) -> None:
        """Ask the server to seal what was written; it is searchable before that is done.

        Milvus Lite flushes before it answers, and hides what it flushes meanwhile: that is waited for.
        """
        deadline = time.monotonic() + _LONGEST_FLUSH
        while True:
            try:
                with milvus_link.translated(self.address, name):
                    self._client.flush(name, timeout=self._patience, _async=True)
                return
            except EngineUnreachable:
                if not self.is_lite or time.monotonic() > deadline:
                    raise
            self.ping()

    def count(self, name: str, filter: str = "", *, strong: bool = True) -> int:
        """Answer how many rows there are; an id inserted twice counts twice.

        Args:
            strong: see what any client wrote up to now, for which a server takes some 200 ms.
        """
        rows = self._query(name, filter, ["count(*)"], "Strong" if strong else "Session")
        return int(rows[0]["count(*)"]) if rows else 0

    def _query(
        self, name: str, filter: str, fields: list[str], consistency_level: str = "Strong", **extra: object
    ) -> Any:
        def ask() -> Any:
            return self._client.query(
                name,
                filter=filter,
                output_fields=fields,
                consistency_level=consistency_level,
                timeout=self._patience,
                **extra,
            )

        return self._loaded(name, ask)

    def _loaded(self, name: str, call: Callable[[], _T]) -> _T:
        """Make a call, and once more after loading the collection when it was not."""
        with milvus_link.translated(self.address, name):
            try:
                return call()
            except Exception as error:
                if getattr(error, "code", None) != 101 and "not loaded" not in str(error):
                    raise
        self.load(name)
        with milvus_link.translated(self.address, name):
            return call()

    def _index_of(self, name: str, *, fresh: bool = False) -> tuple[str, Mapping[str, str]]:
        """Answer the vector index' type and parameters, remembered between searches."""
        if fresh or name not in self._indexes:
            about = self._describe_index(name)
            params = {
                key: str(value)
                for key, value in about.items()
                if key not in ("field_name", "index_name", "state") and not key.endswith("_rows")
            }
            self._indexes[name] = (params.get("index_type", ""), params)
        return self._indexes[name]

    def _describe_index(self, name: str) -> Mapping[str, Any]:
        # Milvus Lite counts all rows before it answers. Asked again too soon it would do that twice at once.
        timeout = self._patience if self.is_lite else self._timeout
        about = self._client.describe_index(name, "vector", timeout=timeout)
        if about is None:
            named = self._client.list_indexes(name, "vector", timeout=timeout)
            about = self._client.describe_index(name, named[0], timeout=timeout) if named else None
        return about or {}

    def _dim(self, name: str) -> int:
        if name not in self._dims:
            with milvus_link.translated(self.address, name):
                about = self._client.describe_collection(name, timeout=self._timeout)
            fields = {field["name"]: field for field in about["fields"]}
            self._dims[name] = int(fields.get("vector", {}).get("params", {}).get("dim", 0))
        return self._dims[name]

    def _forget(self, name: str) -> None:
        self._indexes.pop(name, None)
        self._dims.pop(name, None)


def _field(about: Mapping[str, Any]) -> Mapping[str, object]:
    field = {"name": about["name"], "type": str(getattr(about["type"], "name", about["type"]))}
    limits = {str(name): value for name, value in (about.get("params") or {}).items()}
    return field | ({"primary": True} if about.get("is_primary") else {}) | limits


def _is_stock_schema(fields: Sequence[Mapping[str, Any]]) -> bool:
    """Tell whether a collection has the three fields of a similarity index."""
    kinds = {field["name"]: str(getattr(field["type"], "name", field["type"])) for field in fields}
    primary = [field["name"] for field in fields if field.get("is_primary")]
    wanted = {"pk": "VARCHAR", "vector": "FLOAT_VECTOR", "sample_id": "VARCHAR"}
    return kinds == wanted and primary == ["pk"]

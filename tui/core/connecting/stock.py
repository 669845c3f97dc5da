"""What stock FiftyOne reads: its environment variables, ``brain_config.json`` and ``config.json``.

Read without importing FiftyOne, which takes seconds; a test compares the answers with FiftyOne's own classes.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tui.core.errors import InvalidInput
from tui.core.files import read_text
from tui.core.services.milvus_address import local_path

MILVUS_PARAMETERS = (
    "uri",
    "user",
    "password",
    "token",
    "db_name",
    "secure",
    "client_key_path",
    "client_pem_path",
    "ca_pem_path",
    "server_pem_path",
    "server_name",
)
DEFAULTS: Mapping[str, str | None] = MappingProxyType(
    {"collection_name": None, "metric": "cosine", "consistency_level": "Session"}
)
BACKENDS = (
    "elasticsearch",
    "lancedb",
    "milvus",
    "mongodb",
    "mosaic",
    "pgvector",
    "pinecone",
    "qdrant",
    "redis",
    "sklearn",
)

PREFIX = "FIFTYONE_BRAIN_SIMILARITY_MILVUS_"
_TRUE, _FALSE = {"true", "yes", "on", "1"}, {"false", "no", "off", "0"}

Found = tuple[str | bool | None, str]  # a value and its source


@dataclass(frozen=True)
class StockConfig:
    """What FiftyOne's configuration says, each value with its source.

    Args:
        connection: the ``MILVUS_PARAMETERS`` and ``database_uri`` that are set.
        defaults: one per ``DEFAULTS``.
        default_backend: of similarity indexes.
        database_name: inside MongoDB.
        database_dir: data folder of FiftyOne's own mongod, absolute.
    """

    connection: Mapping[str, Found]
    defaults: Mapping[str, Found]
    default_backend: Found
    database_name: str
    database_dir: str


def brain_config_path(env: Mapping[str, str]) -> Path:
    """Where FiftyOne Brain's settings are; the file need not exist."""
    return Path(env.get("FIFTYONE_BRAIN_CONFIG_PATH") or _fiftyone_home(env) / "brain_config.json")


def config_path(env: Mapping[str, str]) -> Path:
    """Where FiftyOne's settings are; the file need not exist."""
    return Path(env.get("FIFTYONE_CONFIG_PATH") or _fiftyone_home(env) / "config.json")


def _fiftyone_home(env: Mapping[str, str]) -> Path:
    return Path(env.get("HOME") or Path.home()) / ".fiftyone"


def _expanded(path: str, env: Mapping[str, str]) -> str:
    home = env.get("HOME")
    own = home and (path == "~" or path.startswith("~/"))
    # Path.expanduser raises for a user that is not known; FiftyOne's function leaves the text.
    return f"{home}{path[1:]}" if own else os.path.expanduser(path)  # noqa: PTH111


def typed(name: str, value: object, where: str) -> str | bool | None:
    """The value as Milvus clients take it: ``secure`` a bool, everything else text.

    Raises:
        InvalidInput: it cannot be read so; ``where`` says where it was found.
    """
    if name == "secure":
        word = str(value).strip().lower()
        if word not in _TRUE | _FALSE:
            raise InvalidInput(f"{where} is neither true nor false", "Write true or false")
        return word in _TRUE
    if isinstance(value, str):
        # A path is made absolute: jobs and later sessions may begin in another folder.
        path = local_path(value) if name == "uri" else None
        return str(path) if path is not None else value or None
    if isinstance(value, (int, float)):
        return str(value)
    raise InvalidInput(f"{where} is not a text", "Write it in quotes")


def read(env: Mapping[str, str]) -> StockConfig:
    """Read both files and the environment.

    Raises:
        InvalidInput: a file is not valid, or a value has the wrong type; it names the file and the line.
    """
    brain_path, main_path = brain_config_path(env), config_path(env)
    brain, main = _read_json(brain_path), _read_json(main_path)
    backends = _section(brain, "similarity_backends", brain_path)
    section = _section(backends, "milvus", brain_path)
    milvus = _milvus_values(env, section, brain_path)
    connection = {name: milvus[name] for name in MILVUS_PARAMETERS if name in milvus}
    uri = _setting(env, "FIFTYONE_DATABASE_URI", main, "database_uri", main_path)
    if uri is not None:
        connection["database_uri"] = uri
    name = _setting(env, "FIFTYONE_DATABASE_NAME", main, "database_name", main_path)
    folder = _setting(env, "FIFTYONE_DATABASE_DIR", main, "database_dir", main_path)
    own = _fiftyone_home(env) / "var" / "lib" / "mongo"
    where = _expanded(str(folder[0]), env) if folder else str(own)
    return StockConfig(
        connection=connection,
        defaults={key: milvus.get(key, (value, "default")) for key, value in DEFAULTS.items()},
        default_backend=_default_backend(env, brain, backends, brain_path),
        database_name=str(name[0]) if name else "fiftyone",
        database_dir=os.path.abspath(where),  # noqa: PTH100 - resolve() would follow links, FiftyOne does not
    )


def _milvus_values(env: Mapping[str, str], section: dict[str, Any], path: Path) -> dict[str, Found]:
    known = {*MILVUS_PARAMETERS, *DEFAULTS}
    found: dict[str, Found] = {
        name: (typed(name, value, f"similarity_backends.milvus.{name} in {path}"), path.name)
        for name, value in section.items()
        if name in known and value is not None
    }
    for variable, text in env.items():
        if variable.startswith(PREFIX) and (name := variable.removeprefix(PREFIX).lower()) in known:
            # Empty or None hides what the file says, as it does for stock FiftyOne.
            empty = text in ("None", "")
            found[name] = (None if empty else typed(name, text, variable), f"env {variable}")
    return {name: pair for name, pair in found.items() if pair[0] is not None}


def _default_backend(
    env: Mapping[str, str], brain: dict[str, Any], backends: dict[str, Any], path: Path
) -> Found:
    variable = "FIFTYONE_BRAIN_DEFAULT_SIMILARITY_BACKEND"
    value, source = _setting(env, variable, brain, "default_similarity_backend", path) or (
        "sklearn",
        "default",
    )
    exposed = {*BACKENDS, *backends}
    if (limited := env.get("FIFTYONE_BRAIN_SIMILARITY_BACKENDS")) is not None:
        names = set(limited.split(","))
        exposed = (names - {"*"}) | set(BACKENDS) if "*" in names else names
    if value not in exposed:
        return (min(exposed) if exposed else None), "default"
    return value, source


def _setting(
    env: Mapping[str, str], variable: str, document: dict[str, Any], key: str, path: Path
) -> Found | None:
    if text := env.get(variable):
        return text, f"env {variable}"
    value = document.get(key)
    if value is None:
        return None
    if not isinstance(value, str):
        raise InvalidInput(f"{key} in {path} is not a text", "Write it in quotes")
    return value, path.name


def _read_json(path: Path) -> dict[str, Any]:
    if (text := read_text(path)) is None:
        return {}
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        raise InvalidInput(
            f"{path} line {error.lineno} is not valid JSON: {error.msg}",
            "Correct that line, or move the file away",
        ) from None
    if not isinstance(document, dict):
        raise InvalidInput(f"{path} does not hold a JSON object", "Correct it, or move the file away")
    return document


def _section(document: dict[str, Any], key: str, path: Path) -> dict[str, Any]:
    value = document.get(key)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InvalidInput(f"{key} in {path} is not a JSON object", "Correct it, or move the file away")
    return value

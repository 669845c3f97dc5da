"""A connection in the words of stock FiftyOne: ``export`` lines, ``brain_config.json``."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from tui.core.connecting.masking import SECRETS, has_password, is_secret, without_password
from tui.core.connecting.stock import brain_config_path
from tui.core.embedded import milvus_kwargs, own_server
from tui.core.errors import InvalidInput
from tui.core.files import private_dir, read_text, write_private

if TYPE_CHECKING:
    from tui.core.settings import Settings

_PREFIX = "FIFTYONE_BRAIN_SIMILARITY_MILVUS_"


_BACKEND = "FIFTYONE_BRAIN_DEFAULT_SIMILARITY_BACKEND"


def env_lines(settings: Settings, *, with_secrets: bool = False, default_backend: str | None = None) -> str:
    """``export`` lines for a shell; what is left out is named in a comment.

    Args:
        settings: the connection.
        with_secrets: also password and token.
        default_backend: what ``compute_similarity`` is to use without ``backend=``; None leaves it.

    Raises:
        EngineUnreachable: the embedded Milvus, whose address is exported, does not start.
    """
    lines = []
    if (server := own_server(settings)) is not None:
        lines.append(f"# {server.what} listens there while it runs:")
        lines.append("# kitescope starts it when it needs it, 'kitescope stop' ends it")
    for name, value in milvus_kwargs(settings).items():
        variable = f"{_PREFIX}{name.upper()}"
        if is_secret(name, value) and not with_secrets:
            lines.append(f"# {variable} holds a secret: set it yourself, or use --output with --with-secrets")
            if name in SECRETS:
                continue
            value = without_password(str(value))
        lines.append(f"export {variable}={shlex.quote(_word(value))}")
    if server is None and (missing := settings.missing_secret) is not None:
        lines.append(f"# {_PREFIX}{missing.upper()} is not known here: set it yourself")
    database = settings.database_uri.value
    if isinstance(database, str):
        if has_password(database) and not with_secrets:
            lines.append("# FIFTYONE_DATABASE_URI holds a password: set it yourself")
            database = without_password(database)
        lines.append(f"export FIFTYONE_DATABASE_URI={shlex.quote(database)}")
    if default_backend is not None:
        lines.append(f"export {_BACKEND}={shlex.quote(default_backend)}")
    return "\n".join(lines) + "\n"


def brain_config(
    settings: Settings, before: str | None, *, with_secrets: bool = False, default_backend: str | None = None
) -> str:
    """``brain_config.json``: what was in it ``before``, with the connection of its Milvus section replaced.

    Args:
        settings: the connection.
        before: the file's text; None when there is none.
        with_secrets: also password and token.
        default_backend: what ``compute_similarity`` is to use without ``backend=``; None leaves it.

    Raises:
        InvalidInput: what was there is not such a file.
        EngineUnreachable: the embedded Milvus, whose address is written, does not start.
    """
    values = milvus_kwargs(settings)
    if not with_secrets:
        values = {
            name: without_password(value) if isinstance(value, str) else value
            for name, value in values.items()
            if name not in SECRETS
        }
    document = _document(before)
    backends = document.setdefault("similarity_backends", {})
    if not isinstance(backends, dict):
        raise InvalidInput("Its similarity_backends is not a JSON object", "Correct it")
    section = backends.get("milvus")
    # Defaults such as the metric live in the same section and are not part of a connection.
    kept = {k: v for k, v in section.items() if k not in settings.milvus} if isinstance(section, dict) else {}
    backends["milvus"] = {**kept, **values}
    if default_backend is not None:
        document["default_similarity_backend"] = default_backend
    return json.dumps(document, indent=4) + "\n"


def write_brain_config(
    settings: Settings,
    env: Mapping[str, str] | None = None,
    *,
    path: Path | None = None,
    with_secrets: bool = False,
    default_backend: str | None = None,
) -> tuple[Path, Path | None]:
    """Merge the connection into a ``brain_config.json`` (0600, whole or not at all).

    Args:
        settings: the connection.
        env: says where FiftyOne's own file is; ``os.environ`` unless given.
        path: another file than FiftyOne's own.
        with_secrets: also password and token.
        default_backend: as for ``brain_config``.

    Returns:
        the file, and the copy of what it was before; None when there was none.

    Raises:
        InvalidInput: the file is not valid JSON, or cannot be written; nothing changed.
        EngineUnreachable: the embedded Milvus, whose address is written, does not start.
    """
    path = path or brain_config_path(os.environ if env is None else env)
    private_dir(path.parent)
    with FileLock(path.with_name(f".{path.name}.lock"), mode=0o600):
        before = read_text(path)
        try:
            text = brain_config(settings, before, with_secrets=with_secrets, default_backend=default_backend)
        except InvalidInput as error:
            why = error.what[:1].lower() + error.what[1:]
            raise InvalidInput(f"{path} was not changed: {why}", error.remedy) from error
        backup = None
        if before is not None:
            backup = path.with_name(f"{path.name}.bak")
            write_private(backup, before)
        write_private(path, text)
    return path, backup


def _document(before: str | None) -> dict[str, Any]:
    try:
        document = json.loads(before) if before and before.strip() else {}
    except json.JSONDecodeError as error:
        raise InvalidInput(f"It is not valid JSON (line {error.lineno})", "Correct that line") from error
    if not isinstance(document, dict):
        raise InvalidInput("It does not hold a JSON object", "Correct it, or move it away")
    return document


def _word(value: str | bool) -> str:
    return str(value).lower() if isinstance(value, bool) else value

"""A connection in the words of stock FiftyOne."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING, Any

from tui.core.errors import InvalidInput
from tui.core.masking import SECRETS, has_password, without_password

if TYPE_CHECKING:
    from tui.core.settings import Settings

_PREFIX = "FIFTYONE_BRAIN_SIMILARITY_MILVUS_"


def env_lines(settings: Settings, *, with_secrets: bool = False) -> str:
    """``export`` lines for a shell; what is left out is named in a comment."""
    lines = []
    for name, value in _values(settings).items():
        variable = f"{_PREFIX}{name.upper()}"
        if _is_secret(name, value) and not with_secrets:
            lines.append(f"# {variable} holds a secret: set it yourself, or use --output with --with-secrets")
            if name in SECRETS:
                continue
            value = without_password(str(value))
        lines.append(f"export {variable}={shlex.quote(_word(value))}")
    database = settings.database_uri.value
    if isinstance(database, str):
        if has_password(database) and not with_secrets:
            lines.append("# FIFTYONE_DATABASE_URI holds a password: set it yourself")
            database = without_password(database)
        lines.append(f"export FIFTYONE_DATABASE_URI={shlex.quote(database)}")
    return "\n".join(lines) + "\n"


def brain_config(settings: Settings, before: str | None, *, with_secrets: bool = False) -> str:
    """``brain_config.json``: what was in it ``before`` with the Milvus section replaced.

    Raises:
        InvalidInput: what was there is not such a file.
    """
    values = _values(settings)
    if not with_secrets:
        values = {
            name: without_password(value) if isinstance(value, str) else value
            for name, value in values.items()
            if name not in SECRETS
        }
    document = _document(before)
    backends = document.setdefault("similarity_backends", {})
    if not isinstance(backends, dict):
        raise InvalidInput("similarity_backends in that file is not a JSON object", "Correct it")
    section = backends.get("milvus")
    # Defaults such as the metric live in the same section and are not part of a connection.
    kept = {k: v for k, v in section.items() if k not in settings.milvus} if isinstance(section, dict) else {}
    backends["milvus"] = {**kept, **values}
    return json.dumps(document, indent=4) + "\n"


def _values(settings: Settings) -> dict[str, str | bool]:
    values = settings.milvus_kwargs()
    if settings.embedded_milvus:
        from tui.core.embedded import ensure_milvus

        values["uri"] = ensure_milvus(settings.timeout)
    return values


def _document(before: str | None) -> dict[str, Any]:
    try:
        document = json.loads(before) if before and before.strip() else {}
    except json.JSONDecodeError as error:
        raise InvalidInput(f"That file is not valid JSON (line {error.lineno})", "Correct it") from error
    if not isinstance(document, dict):
        raise InvalidInput("That file does not hold a JSON object", "Choose another file")
    return document


def _is_secret(name: str, value: str | bool) -> bool:
    return name in SECRETS or (name == "uri" and has_password(str(value)))


def _word(value: str | bool) -> str:
    return str(value).lower() if isinstance(value, bool) else value

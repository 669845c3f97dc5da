"""Keep secrets out of logs: a library may put a URI with its password into any message."""

from __future__ import annotations

import io
from typing import IO, TYPE_CHECKING

from tui.core.connecting.masking import MASK, SECRETS, secrets_in

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tui.core.settings import Settings


def secrets_of(settings: Settings) -> tuple[str, ...]:
    """Every text of these settings that must not be written anywhere, longest first."""
    found: set[str] = set()
    for name, value in settings.milvus.items():
        if not isinstance(value.value, str) or not value.value:
            continue
        found.update({value.value} if name in SECRETS else secrets_in(value.value))
        if name == "token":
            found.add(value.value.partition(":")[2])
    if isinstance(settings.database_uri.value, str):
        found.update(secrets_in(settings.database_uri.value))
    return tuple(sorted(found - {""}, key=len, reverse=True))


def redact(text: str, secrets: Iterable[str]) -> str:
    """The text with every secret masked."""
    for secret in secrets:
        text = text.replace(secret, MASK)
    return text


class RedactingStream(io.TextIOBase):
    """A text stream that masks secrets on their way to another one, line by line."""

    def __init__(self, target: IO[str], secrets: Iterable[str]) -> None:
        self._target = target
        self._secrets = tuple(secrets)

    def writable(self) -> bool:
        """Answer that this stream takes text."""
        return True

    def write(self, text: str) -> int:
        """Write the masked text at once, so that a crash loses nothing."""
        self._target.write(redact(text, self._secrets))
        self._target.flush()
        return len(text)

    def flush(self) -> None:
        """Flush what lies below."""
        self._target.flush()

    def fileno(self) -> int:
        """The descriptor below, which libraries ask for."""
        return self._target.fileno()

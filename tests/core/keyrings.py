"""Keyrings of the tests' own, chosen by ``PYTHON_KEYRING_BACKEND``; each keeps what it has in one file."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from typing import NoReturn

import pytest
from keyring.backend import KeyringBackend
from keyring.errors import KeyringLocked

FILE = "KITESCOPE_TEST_KEYRING"


class Open(KeyringBackend):
    """One that is there and open; child processes see the same."""

    priority = 9  # type: ignore[assignment]

    @property
    def _entries(self) -> dict[str, str]:
        file = Path(os.environ[FILE])
        return json.loads(file.read_text()) if file.exists() else {}

    def _write(self, entries: dict[str, str]) -> None:
        Path(os.environ[FILE]).write_text(json.dumps(entries))

    def get_password(self, service: str, username: str) -> str | None:
        return self._entries.get(f"{service}: {username}")

    def set_password(self, service: str, username: str, password: str) -> None:
        self._write({**self._entries, f"{service}: {username}": password})

    def delete_password(self, service: str, username: str) -> None:
        entries = self._entries
        del entries[f"{service}: {username}"]
        self._write(entries)


class Locked(Open):
    """One whose owner dismissed the question for its password; its error repeats what it was given."""

    def get_password(self, service: str, username: str) -> NoReturn:
        raise KeyringLocked(f"{username} is locked")

    def set_password(self, service: str, username: str, password: str) -> NoReturn:
        raise KeyringLocked(f"cannot take {password}")


class Silent(Open):
    """One that waits for a question that nobody sees, until the test lets go."""

    gate = threading.Event()

    def get_password(self, service: str, username: str) -> None:
        self.gate.wait()

    def set_password(self, service: str, username: str, password: str) -> None:
        self.gate.wait()


def use(backend: type[Open], monkeypatch: pytest.MonkeyPatch, file: Path) -> dict[str, str]:
    """Make it the system's keyring, here and in child processes; answers the variables that say so."""
    import keyring.core

    env = {"PYTHON_KEYRING_BACKEND": f"{backend.__module__}.{backend.__name__}", FILE: str(file)}
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    # The library looks for its back end once.
    monkeypatch.setattr(keyring.core, "_keyring_backend", backend())
    return env

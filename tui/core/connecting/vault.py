"""Secrets in the system's keyring, one entry for each profile and server; no call waits without an end.

What keeps them is chosen by the library ``keyring``: Secret Service (GNOME, KeePassXC), KWallet, or what
``PYTHON_KEYRING_BACKEND`` and ``keyringrc.cfg`` name. A back end without real protection counts as none.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import msgspec

from tui.core.connecting.masking import without_password
from tui.core.errors import KitescopeError

R = TypeVar("R")

SERVICE = "kitescope"
PATIENCE = 5.0
"""Seconds to wait for the keyring: a locked one may ask for its password where nobody sees the question."""

_PROTECTS = 1  # keyring's own limit of what it recommends; a plain text file is below it
_MUTE = 60.0
_silent_until = 0.0


class VaultError(KitescopeError):
    """The keyring is not there, locked, or does not answer; ``what`` never repeats a secret."""


def available() -> bool:
    """Whether there is a keyring that protects what it is given."""
    try:
        return _bounded(lambda keyring: bool(keyring.priority >= _PROTECTS))
    except VaultError:
        return False


def account(profile: str, uri: str) -> str:
    """The name of an entry: a profile that is pointed at another server does not find the old secret."""
    return f"{profile} {without_password(uri)}".strip()


def store(name: str, secrets: Mapping[str, str]) -> None:
    """Keep secrets under an account's name, replacing what it had.

    Raises:
        VaultError: nothing was kept.
    """

    def put(keyring: Any) -> None:
        if keyring.priority < _PROTECTS:
            raise VaultError(
                "There is no system keyring here", "Keep the password in the file, or not at all"
            )
        keyring.set_password(SERVICE, name, msgspec.json.encode(dict(secrets)).decode())

    _bounded(put)


def fetch(name: str) -> dict[str, str]:
    """The secrets of an account; empty when it has none.

    Raises:
        VaultError: the keyring cannot be read.
    """
    text = _bounded(lambda keyring: keyring.get_password(SERVICE, name))
    try:
        return msgspec.json.decode(text, type=dict[str, str]) if text else {}
    except msgspec.DecodeError:
        # Without its cause, which repeats the text.
        raise VaultError(
            "The keyring's entry was not written by Kitescope", "Save the profile again"
        ) from None


def forget(name: str) -> None:
    """Delete an account; it need not exist.

    Raises:
        VaultError: the keyring cannot be changed.
    """

    def delete(keyring: Any) -> None:
        if keyring.get_password(SERVICE, name) is not None:
            keyring.delete_password(SERVICE, name)

    _bounded(delete)


def _bounded(act: Callable[[Any], R]) -> R:
    """Let a thread ask the keyring; one that hangs is left behind, and the next minute asks no more."""
    global _silent_until
    if time.monotonic() < _silent_until:
        raise _silent()
    answers: queue.Queue[tuple[R | None, Exception | None]] = queue.Queue(1)

    def ask() -> None:
        try:
            import keyring

            answers.put((act(keyring.get_keyring()), None))
        except Exception as error:
            answers.put((None, error))

    threading.Thread(target=ask, name="keyring", daemon=True).start()
    try:
        answer, error = answers.get(timeout=PATIENCE)
    except queue.Empty:
        _silent_until = time.monotonic() + _MUTE
        raise _silent() from None
    if error is None:
        return answer  # type: ignore[return-value]
    if isinstance(error, VaultError):
        raise error
    # The error of a back end may hold anything, so only its name is told.
    locked = type(error).__name__ in ("KeyringLocked", "InitError", "PromptDismissedException")
    what = "is locked" if locked else f"cannot be used ({type(error).__name__})"
    raise VaultError(f"The system keyring {what}", "Unlock it, or save the password another way") from None


def _silent() -> VaultError:
    return VaultError("The system keyring does not answer", "Unlock it, or save the password another way")

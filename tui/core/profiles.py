"""Saved connections: ``profiles.toml`` in the configuration folder, mode 0600.

Passwords and tokens are kept in the system's keyring, in the file, or nowhere, as the caller says.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import msgspec

from tui import paths
from tui.core.connecting import vault
from tui.core.connecting.masking import SECRETS, has_password, without_password
from tui.core.connecting.stock import MILVUS_PARAMETERS
from tui.core.errors import InvalidInput, KitescopeError, UnknownName
from tui.core.files import private_dir, read_text, write_private

EMBEDDED = "embedded"  # the name of the connection that needs no server; it cannot be saved over

Keep = Literal["keyring", "file", "ask"]
"""Where the secrets of a profile are: the system's keyring, ``profiles.toml``, or the user's head."""

_NAME = re.compile(r"[\w][\w .+-]{0,63}")


@dataclass(frozen=True)
class Profile:
    """One saved connection.

    Args:
        name: letters, digits, space and ``_ . + -``; at most 64.
        milvus: values of ``settings.MILVUS_PARAMETERS``; none of them: the embedded Milvus.
        database_uri: FiftyOne's MongoDB; None: FiftyOne's own service.
        readonly: nothing may be changed through it.
        protected: destructive actions ask for the name to be typed.
        in_keyring: the parameters, ``database_uri`` among them, whose secrets the system's keyring has.
        asked: the parameters that are asked for each time.
    """

    name: str
    milvus: Mapping[str, str | bool] = field(default_factory=lambda: MappingProxyType({}), repr=False)
    database_uri: str | None = field(default=None, repr=False)
    readonly: bool = False
    protected: bool = False
    in_keyring: tuple[str, ...] = ()
    asked: tuple[str, ...] = ()

    def secrets(self) -> dict[str, str]:
        """The values that must not be written as they are: password, token, URIs with a password inside."""
        found = {name: str(self.milvus[name]) for name in SECRETS & self.milvus.keys()}
        uris = {"uri": str(self.milvus.get("uri", "")), "database_uri": self.database_uri or ""}
        return found | {name: uri for name, uri in uris.items() if has_password(uri)}

    def has_secrets(self) -> bool:
        """Whether a password or token is part of it, also inside a URI."""
        return bool(self.secrets())

    @property
    def kept(self) -> Keep | None:
        """Where its secrets are; None: it has none."""
        if self.has_secrets():
            return "file"
        return "keyring" if self.in_keyring else "ask" if self.asked else None

    @property
    def account(self) -> str:
        """Its name in the keyring."""
        return vault.account(self.name, str(self.milvus.get("uri", "")))

    def without_secrets(self) -> Profile:
        """The same connection without any password or token."""
        milvus = {name: value for name, value in self.milvus.items() if name not in SECRETS}
        if isinstance(uri := milvus.get("uri"), str):
            milvus["uri"] = without_password(uri)
        database = without_password(self.database_uri) if self.database_uri else None
        return replace(self, milvus=milvus, database_uri=database)


# A struct of its own, so that a complaint names the parameter and a misspelt one is one.
_Milvus: Any = msgspec.defstruct(
    "_Milvus",
    [(name, bool | None if name == "secure" else str | None, None) for name in MILVUS_PARAMETERS],
    omit_defaults=True,
    forbid_unknown_fields=True,
)


class _Entry(msgspec.Struct, omit_defaults=True, forbid_unknown_fields=True):
    milvus: _Milvus = msgspec.field(default_factory=_Milvus)
    database_uri: str | None = None
    readonly: bool = False
    protected: bool = False
    keyring: list[str] = []
    ask: list[str] = []


class _File(msgspec.Struct, omit_defaults=True, forbid_unknown_fields=True):
    default: str | None = None
    profiles: dict[str, _Entry] = {}


def path() -> Path:
    """Where the profiles are."""
    return paths.config_dir() / "profiles.toml"


def list_profiles() -> list[Profile]:
    """Every saved connection, by name.

    Raises:
        InvalidInput: the file cannot be read or is not valid; it names the file and the line.
    """
    return [_profile(name, entry) for name, entry in sorted(_read().profiles.items())]


def load(name: str) -> Profile:
    """One saved connection.

    Raises:
        UnknownName: there is none of that name.
        InvalidInput: the file is not valid.
    """
    known = _read().profiles
    if name not in known:
        names = ", ".join(sorted(known)) or "none yet"
        raise UnknownName(f"There is no profile '{name}'", f"Saved profiles: {names}")
    return _profile(name, known[name])


def wrong_name(name: str) -> str:
    """Why a profile cannot have this name; empty when it can."""
    if _NAME.fullmatch(name) and name.lower() != EMBEDDED:
        return ""
    return "Use letters, digits, space and _ . + - (at most 64), and not 'embedded'"


def save(profile: Profile, keep: Keep = "ask") -> str:
    """Write a connection, replacing the one of the same name.

    Args:
        profile: what to keep; what its ``in_keyring`` names stays in the keyring, as nobody could read it.
        keep: where its password and token go. Those inside URIs go with them, but with ``ask`` they are left
            out and not asked for: they have to be typed there again.

    Returns:
        what is left behind in the keyring and why, for people; empty as a rule.

    Raises:
        InvalidInput: a name that cannot be, or a file that cannot be written.
        VaultError: the keyring does not take them; nothing was written.
    """
    if wrong := wrong_name(profile.name):
        raise InvalidInput(f"'{profile.name}' cannot be a profile's name", wrong)
    secrets = profile.secrets()
    kept = profile if keep == "file" else profile.without_secrets()
    entry = _Entry(_Milvus(**kept.milvus), kept.database_uri, kept.readonly, kept.protected)
    unread = set(profile.in_keyring) - secrets.keys()
    if keep == "keyring" and secrets:
        vault.store(profile.account, secrets)
        unread |= secrets.keys()
    entry.keyring = sorted(unread)
    if keep == "ask":
        entry.ask = sorted((SECRETS & secrets.keys()) | set(profile.asked))
    with _change() as file:
        before = file.profiles.get(profile.name)
        file.profiles[profile.name] = entry
    old = _profile(profile.name, before) if before is not None else None
    return _forget(old) if old is not None and (not unread or old.account != profile.account) else ""


def remove(name: str) -> str:
    """Forget a saved connection, and what the keyring has of it.

    Returns:
        what is left behind in the keyring and why, for people; empty as a rule.

    Raises:
        UnknownName: there is none of that name.
    """
    old = load(name)
    with _change() as file:
        file.profiles.pop(name, None)
        if file.default == name:
            file.default = None
    return _forget(old)


def _forget(old: Profile) -> str:
    if not old.in_keyring:
        return ""
    try:
        vault.forget(old.account)
    except KitescopeError as error:
        return f"The password of {old.name} is still in the keyring: {error.what}"
    return ""


def default_name() -> str | None:
    """The profile that is used when nothing else names a server; None: the embedded engines."""
    file = _read()
    return file.default if file.default in file.profiles else None


def set_default(name: str | None) -> None:
    """Remember which profile comes back at the next start; None: the embedded engines.

    Raises:
        UnknownName: there is none of that name.
    """
    if name is not None:
        load(name)
    with _change() as file:
        file.default = name


def _profile(name: str, entry: _Entry) -> Profile:
    return Profile(
        name,
        MappingProxyType(msgspec.to_builtins(entry.milvus)),
        entry.database_uri,
        entry.readonly,
        entry.protected,
        tuple(entry.keyring),
        tuple(entry.ask),
    )


def _read() -> _File:
    if (text := read_text(path())) is None:
        return _File()
    try:
        document: dict[str, Any] = tomllib.loads(text)
        return msgspec.convert(document, _File)
    except tomllib.TOMLDecodeError as error:
        raise InvalidInput(
            f"{path()} is not valid TOML: {error}", "Correct that line, or move the file away"
        ) from error
    except msgspec.ValidationError as error:
        line = _line_of(text, str(error))
        raise InvalidInput(f"{path()}{line}: {error}", "Correct it, or move the file away") from error


def _line_of(text: str, complaint: str) -> str:
    """`` line N`` of the only line that sets the key at the end of msgspec's path; nothing when in doubt."""
    if (key := re.search(r"[.`](\w+)`$", complaint)) is None:
        return ""
    lines = [n for n, line in enumerate(text.splitlines(), 1) if re.match(rf"\s*{key[1]}\s*=", line)]
    return f" line {lines[0]}" if len(lines) == 1 else ""


@contextmanager
def _change() -> Iterator[_File]:
    """Read, let the caller change, write; two programs at once lose nothing."""
    private_dir(path().parent)
    # Only who writes needs it; every start reads.
    from filelock import FileLock

    with FileLock(path().with_suffix(".lock"), mode=0o600):
        file = _read()
        yield file
        import tomli_w

        write_private(path(), tomli_w.dumps(msgspec.to_builtins(file)))

"""The connections one can choose from, and what typing over one of them gives."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal

from tui.core import profiles
from tui.core.connecting import stock
from tui.core.connecting.masking import (
    MASK,
    SECRETS,
    login_password,
    mask_uri,
    secret_options,
    without_password,
)
from tui.core.errors import KitescopeError
from tui.core.settings import DATABASE, MILVUS_PARAMETERS, Settings, Value, resolve

Kind = Literal["session", "embedded", "environment", "brain-config", "profile"]

TYPED = "typed"
"""The source of a value that the user typed over another."""

_UNSET = Value(None, "default")
_VARIABLES = ("FIFTYONE_BRAIN_SIMILARITY_MILVUS_", "FIFTYONE_DATABASE_URI")


@dataclass(frozen=True, slots=True)
class Connection:
    """One connection to choose.

    Args:
        key: tells it from the others.
        kind: where it comes from.
        name: for people; a profile's own.
        settings: None when they cannot be read; ``error`` then says why.
        current: it is what the program uses now.
    """

    key: str
    kind: Kind
    name: str
    settings: Settings | None
    error: str = ""
    current: bool = False

    @property
    def where(self) -> str:
        """Milvus' address without its scheme, or why there is none."""
        if self.settings is None:
            return "cannot be read"
        if (uri := self.settings.milvus["uri"].value) is not None:
            shown = mask_uri(str(uri))
            return shown.partition("://")[2] or shown
        return "not set" if self.kind in ("environment", "brain-config") else "Milvus Lite, here"


def list_connections(current: Settings, env: Mapping[str, str] | None = None) -> list[Connection]:
    """Everything to choose from; what is in use comes first when it is none of the others.

    A file that cannot be read costs its own line, not the list.
    """
    environment = dict(os.environ if env is None else env)
    files = {name: text for name, text in environment.items() if not name.startswith(_VARIABLES)}
    base = _with_limits_of(current)
    found = [
        _read("embedded", "embedded", "Embedded", lambda: base(environment, profiles.EMBEDDED)),
        _read("environment", "environment", "Environment", lambda: _stock(environment, base)),
        _read("brain-config", "brain-config", "brain_config", lambda: _stock(files, base)),
        *_profiles(environment, base),
    ]
    for place, one in enumerate(found):
        if one.kind == "profile" and one.name == current.profile and _same(one.settings, current, SECRETS):
            # A secret that was typed because it is not saved belongs to this session.
            found[place] = replace(one, settings=current, current=True)
            return found
    for place, one in enumerate(found):
        if _same(one.settings, current):
            found[place] = replace(one, current=True)
            return found
    return [Connection("session", "session", "This session", current, current=True), *found]


def edited(base: Settings, values: Mapping[str, str]) -> Settings:
    """The settings with some values typed over; an empty text takes a value away.

    A password or token of another server does not follow when only the address is typed.

    Args:
        base: what was there.
        values: by the names of ``MILVUS_PARAMETERS`` and ``database_uri``.

    Raises:
        InvalidInput: a value cannot mean anything.
    """
    if not values:
        return base
    typed = {
        name: Value(stock.typed(name, text, name) if text else None, TYPED) for name, text in values.items()
    }
    strangers = SECRETS - typed.keys() if "uri" in typed and moves(base, values["uri"]) else frozenset()
    milvus = {
        name: typed.get(name, _UNSET if name in strangers else base.milvus[name])
        for name in MILVUS_PARAMETERS
    }
    return replace(
        base,
        milvus=MappingProxyType(milvus),
        database_uri=typed.get(DATABASE, base.database_uri),
        profile=None,
    )


def with_secret(base: Settings, name: str, secret: str) -> Settings:
    """The same connection with the secret that was asked for; a profile stays what it is."""
    return replace(base, milvus=MappingProxyType({**base.milvus, name: Value(secret, TYPED)}))


def profile_of(settings: Settings, name: str, *, readonly: bool, protected: bool) -> profiles.Profile:
    """A connection as a profile; what the keyring did not tell, or the user is asked for, stays so."""
    database = settings.database_uri.value
    unknown = {key: value.source for key, value in settings.milvus.items() if value.value is None}
    return profiles.Profile(
        name,
        settings.milvus_kwargs(),
        str(database) if database is not None else None,
        readonly,
        protected,
        tuple(key for key, source in unknown.items() if "(keyring: " in source),
        tuple(key for key, source in unknown.items() if "(asked for)" in source),
    )


def moves(base: Settings, uri: str) -> bool:
    """Whether this URI is another server than that of the settings, whoever logs in."""
    before = base.milvus["uri"].value
    return uri != before and without_password(uri) != without_password(str(before or ""))


def unmask(text: str, original: str | None) -> str:
    """What a user meant who edited a URI that was shown masked.

    The mask stands for the password that was there, as long as user and server are the same; otherwise it
    stays a mask, because that password belongs elsewhere.
    """
    if original is None or MASK not in text:
        return text
    if text == mask_uri(original):
        return original
    shown = mask_uri(original)
    if text.rpartition("@")[0] != shown.rpartition("@")[0] or _host(text) != _host(shown):
        return text
    for name, value in secret_options(original).items():
        text = text.replace(f"{name}={MASK}", f"{name}={value}", 1)
    return text.replace(f":{MASK}@", f":{login_password(original)}@", 1)


def _host(uri: str) -> str:
    return uri.partition("://")[2].rpartition("@")[2].partition("/")[0].partition("?")[0]


def _with_limits_of(current: Settings) -> Callable[[Mapping[str, str], str], Settings]:
    """Resolve with the timeout of this session, and its ``--readonly`` if it was started with that."""
    chosen = _profile(current.profile)
    readonly = current.readonly and not (chosen is not None and chosen.readonly)

    def base(env: Mapping[str, str], name: str) -> Settings:
        return resolve(env=env, profile=name, timeout=current.timeout, readonly=readonly)

    return base


def _profile(name: str | None) -> profiles.Profile | None:
    try:
        return profiles.load(name) if name and name != profiles.EMBEDDED else None
    except KitescopeError:
        return None


def _read(key: str, kind: Kind, name: str, read: Callable[[], Settings]) -> Connection:
    try:
        return Connection(key, kind, name, read())
    except KitescopeError as error:
        return Connection(key, kind, name, None, str(error))


def _stock(env: Mapping[str, str], base: Callable[[Mapping[str, str], str], Settings]) -> Settings:
    """Only what stock FiftyOne finds: no profile takes part."""
    found = stock.read(env).connection
    return replace(
        base(env, profiles.EMBEDDED),
        milvus=MappingProxyType(
            {name: Value(*found[name]) if name in found else _UNSET for name in MILVUS_PARAMETERS}
        ),
        database_uri=Value(*found[DATABASE]) if DATABASE in found else _UNSET,
        profile=None,
    )


def _profiles(env: Mapping[str, str], base: Callable[[Mapping[str, str], str], Settings]) -> list[Connection]:
    try:
        saved = profiles.list_profiles()
    except KitescopeError as error:
        return [Connection("profiles", "profile", "profiles.toml", None, str(error))]
    return [
        _read(f"profile {one.name}", "profile", one.name, lambda name=one.name: base(env, name))  # type: ignore[misc]
        for one in saved
    ]


def _same(one: Settings | None, current: Settings, may_lack: frozenset[str] = frozenset()) -> bool:
    """Whether both reach the same engines in the same way; ``one`` may lack these values."""
    if (
        one is None
        or one.readonly != current.readonly
        or one.database_uri.value != current.database_uri.value
    ):
        return False
    known, used = one.milvus_kwargs(), current.milvus_kwargs()
    lacking = used.keys() - known.keys()
    return lacking <= may_lack and all(used.get(name) == value for name, value in known.items())

"""Where every connection value comes from.

A value's source, first that has it: flag, the profile named by ``--profile``, the environment, FiftyOne's
own files, the default profile, the embedded engines. What stock FiftyOne would use in the same environment is
what is used here. On purpose different: a password like a number or with a comma reaches the server as it
was written (stock FiftyOne turns ``007`` into 7 and ``a,b`` into a list), and a saved password or token never
meets a server other than the one it was saved with.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import msgspec

from tui.core import profiles
from tui.core.client.index_types import CONSISTENCY_LEVELS, METRICS
from tui.core.connecting import stock
from tui.core.connecting.masking import SECRETS, mask
from tui.core.connecting.stock import DEFAULTS, MILVUS_PARAMETERS
from tui.core.errors import EngineUnreachable, InvalidInput

__all__ = ["DEFAULTS", "MILVUS_PARAMETERS", "SECRETS", "Settings", "Value", "resolve"]

DATABASE = "database_uri"
_DEFAULTS: Mapping[str, tuple[str, ...]] = {"metric": METRICS, "consistency_level": CONSISTENCY_LEVELS}


@dataclass(frozen=True)
class Value:
    """One setting and where it came from; its ``repr`` shows no value, so that no traceback shows a secret.

    Args:
        value: None: not set anywhere.
        source: ``flag``, ``env NAME``, ``brain_config.json``, ``config.json``, ``profile NAME``, ``default``;
            ``profile NAME (keyring)`` and, for what is not known, ``(keyring: why)`` and ``(asked for)``.
    """

    value: str | bool | None = field(repr=False)
    source: str

    def shown(self, name: str) -> str:
        """As people may see it: ``***`` for a secret, nothing when it is not set."""
        if self.value is None:
            return ""
        return str(self.value).lower() if isinstance(self.value, bool) else mask(name, self.value)


_UNSET = Value(None, "default")


@dataclass(frozen=True)
class Settings:
    """Everything needed to reach both engines.

    Args:
        milvus: one value per ``MILVUS_PARAMETERS``.
        database_uri: None: FiftyOne's own service.
        defaults: ``collection_name``, ``metric``, ``consistency_level`` for the build form.
        default_backend: what stock ``compute_similarity`` uses without ``backend=``.
        timeout: seconds to wait for an engine to answer.
        readonly: nothing may be changed.
        profile: the profile that took part, if one did.
        protected: what destroys is refused unless ``confirmed`` is the name.
        confirmed: what the user typed to allow it.
        database_name: FiftyOne's database inside MongoDB.
        database_dir: where FiftyOne's own service keeps its data.
    """

    milvus: Mapping[str, Value]
    database_uri: Value
    defaults: Mapping[str, Value]
    default_backend: Value
    timeout: float = 5.0
    readonly: bool = False
    profile: str | None = None
    protected: bool = False
    confirmed: str = ""
    database_name: str = "fiftyone"
    database_dir: str = ""

    @property
    def embedded_milvus(self) -> bool:
        """No URI anywhere: Milvus is Kitescope's own Milvus Lite server."""
        return self.milvus["uri"].value is None

    @property
    def embedded_database(self) -> bool:
        """No URI anywhere: the database is FiftyOne's own service."""
        return self.database_uri.value is None

    @property
    def confirm_word(self) -> str:
        """What has to be typed before something is destroyed: the profile's name."""
        return self.profile or "protected"

    @property
    def missing_secret(self) -> str | None:
        """The parameter that has to be asked for before Milvus lets anyone in; None: nothing is missing."""
        known = {name for name in ("user", *SECRETS) if self.milvus[name].value}
        if known & SECRETS:
            return None
        if "user" in known:
            return "password"
        promised = [name for name in sorted(SECRETS) if self.milvus[name].source.startswith("profile")]
        return promised[0] if promised else None

    def require_secret(self) -> None:
        """Refuse to go to Milvus without the secret that a profile promises.

        Raises:
            EngineUnreachable: the keyring has it and cannot be read.
            InvalidInput: it is asked for each time, and nobody was asked.
        """
        name = "uri" if "(keyring: " in self.milvus["uri"].source else self.missing_secret
        if name is None:
            return
        source = self.milvus[name].source
        remedy = f"Set {stock.PREFIX}{name.upper()}, or give --milvus-{name}"
        where, _, why = source.removesuffix(")").partition(" (keyring: ")
        if why:
            raise EngineUnreachable(f"The {name} of {where} cannot be read: the keyring {why}", remedy)
        if source.startswith("profile"):
            raise InvalidInput(f"The {name} of {source.partition(' (')[0]} is not saved", remedy)

    def default(self, name: str) -> str | None:
        """One of ``defaults`` as a build takes it; None when nothing is set.

        Raises:
            InvalidInput: there is no such metric or consistency level; it says who named it.
        """
        found = self.defaults[name]
        value, known = str(found.value or ""), _DEFAULTS.get(name)
        if value and known is not None and value not in known:
            raise InvalidInput(
                f"{found.source} names the {name.replace('_', ' ')} {value!r}, which does not exist",
                f"Use one of {', '.join(known)} there, or give --{name.replace('_', '-')}",
            )
        return value or None

    def milvus_kwargs(self) -> dict[str, str | bool]:
        """What is set, unmasked, as ``MilvusClient`` takes it."""
        return {name: value.value for name, value in self.milvus.items() if value.value is not None}

    def masked(self) -> dict[str, dict[str, str | bool | None]]:
        """Every value with its source, secrets as ``***``, ready for JSON."""
        everything = {
            **self.milvus,
            DATABASE: self.database_uri,
            **self.defaults,
            "default_similarity_backend": self.default_backend,
        }
        return {
            name: {"value": _safe(name, value), "source": value.source} for name, value in everything.items()
        }

    def to_json(self) -> str:
        """All of it **with secrets**, for the pipe to a job worker; never for a file, log or command line."""
        return msgspec.json.encode(_to_builtins(vars(self))).decode()

    @classmethod
    def from_json(cls, text: str | bytes) -> Settings:
        """What ``to_json`` wrote.

        Raises:
            InvalidInput: the text is something else.
        """
        try:
            document = msgspec.json.decode(text, type=dict[str, Any])
            return cls(**{name: _from_builtins(value) for name, value in document.items()})
        except (msgspec.DecodeError, KeyError, TypeError, AttributeError):
            # Without its cause: the text holds secrets.
            raise InvalidInput("The settings handed over are not complete", "Start the job again") from None


def _safe(name: str, value: Value) -> str | bool | None:
    return value.value if value.value is None or isinstance(value.value, bool) else value.shown(name)


def _to_builtins(thing: Any) -> Any:
    if isinstance(thing, Value):
        return [thing.value, thing.source]
    return {k: _to_builtins(v) for k, v in thing.items()} if isinstance(thing, Mapping) else thing


def _from_builtins(thing: Any) -> Any:
    if isinstance(thing, list):
        return Value(*thing)
    return (
        MappingProxyType({k: _from_builtins(v) for k, v in thing.items()})
        if isinstance(thing, dict)
        else thing
    )


@dataclass(frozen=True)
class _Layer:
    """One place that may know values."""

    values: Mapping[str, Value]
    keeps_secrets: bool = False  # its password and token go only to the server it names itself


def resolve(
    *,
    flags: Mapping[str, object] | None = None,
    env: Mapping[str, str] | None = None,
    profile: str | None = None,
    timeout: float = 5.0,
    readonly: bool = False,
    confirmed: str = "",
) -> Settings:
    """Find every value.

    Args:
        flags: ``MILVUS_PARAMETERS`` and ``database_uri``; None values count as not given.
        env: the environment; ``os.environ`` unless given.
        profile: a saved profile that comes before the environment, or ``embedded`` for the engines that need
            no server, whatever the environment says.
        timeout: seconds.
        readonly: refuse changes, also when the profile allows them.
        confirmed: the name of a protected profile, which allows what destroys.

    Raises:
        UnknownName: there is no such profile.
        InvalidInput: a file or value cannot mean anything; it names the file and the line.
    """
    environment = os.environ if env is None else env
    if timeout <= 0:
        raise InvalidInput(
            f"A timeout of {timeout:g} s leaves no time to answer", "Give a positive number of seconds"
        )
    config = stock.read(environment)
    chosen = _chosen_profile(profile)
    stock_layer = _Layer({name: Value(*found) for name, found in config.connection.items()})
    layers = [_Layer(_flag_values(flags or {}))]
    if profile == profiles.EMBEDDED:
        layers.append(
            _Layer({name: Value(None, "profile embedded") for name in (*MILVUS_PARAMETERS, DATABASE)})
        )
    elif profile is not None and chosen is not None:
        own, promised = _profile_layers(chosen)
        layers += [own, _Layer(stock_layer.values, keeps_secrets=True), promised]
    else:
        layers += [stock_layer, *(_profile_layers(chosen) if chosen is not None else ())]
    found = _merge(layers)
    return Settings(
        milvus=MappingProxyType({name: found.get(name, _UNSET) for name in MILVUS_PARAMETERS}),
        database_uri=found.get(DATABASE, _UNSET),
        defaults=MappingProxyType({name: Value(*config.defaults[name]) for name in DEFAULTS}),
        default_backend=Value(*config.default_backend),
        timeout=timeout,
        readonly=readonly or (chosen is not None and chosen.readonly),
        profile=chosen.name if chosen is not None else profile,
        protected=chosen is not None and chosen.protected,
        confirmed=confirmed,
        database_name=config.database_name,
        database_dir=config.database_dir,
    )


def _chosen_profile(name: str | None) -> profiles.Profile | None:
    if name == profiles.EMBEDDED:
        return None
    name = name if name is not None else profiles.default_name()
    return profiles.load(name) if name is not None else None


def _flag_values(flags: Mapping[str, object]) -> dict[str, Value]:
    unknown = flags.keys() - {*MILVUS_PARAMETERS, DATABASE}
    if unknown:
        raise ValueError(f"no such connection parameters: {sorted(unknown)}")
    return {
        name: Value(stock.typed(name, value, f"the flag for {name}"), "flag")
        for name, value in flags.items()
        if value is not None
    }


def _profile_layers(profile: profiles.Profile) -> tuple[_Layer, _Layer]:
    """What a profile says, and, to come last of all, why it does not say what it promises."""
    source = f"profile {profile.name}"
    values = {
        name: Value(stock.typed(name, value, f"{name} of profile {profile.name}"), source)
        for name, value in profile.milvus.items()
        if name in MILVUS_PARAMETERS
    }
    if profile.database_uri:
        values[DATABASE] = Value(profile.database_uri, source)
    kept, why = _from_keyring(profile)
    values |= {name: Value(secret, f"{source} (keyring)") for name, secret in kept.items()}
    promised = {name: Value(None, f"{source} (asked for)") for name in profile.asked}
    for name in set(profile.in_keyring) - kept.keys():
        # Of a URI the file has all but the password.
        shown = values[name].value if name in values else None
        (promised if shown is None else values)[name] = Value(shown, f"{source} (keyring: {why})")
    if "uri" in values:
        promised["uri"] = values["uri"]
    return _Layer(values, keeps_secrets=True), _Layer(promised, keeps_secrets=True)


def _from_keyring(profile: profiles.Profile) -> tuple[dict[str, str], str]:
    """The secrets that the keyring has for a profile, and why there are none."""
    if not profile.in_keyring:
        return {}, ""
    from tui.core.connecting import vault

    try:
        found = vault.fetch(profile.account)
    except vault.VaultError as error:
        return {}, error.what.removeprefix("The system keyring ")
    return {name: found[name] for name in profile.in_keyring if name in found}, "does not have it"


def _merge(layers: list[_Layer]) -> dict[str, Value]:
    """The first layer that has a value wins, except for secrets that belong to another server."""
    found: dict[str, Value] = {}
    for layer in layers:
        own_server = layer.values.get("uri")
        for name, value in layer.values.items():
            stranger = (
                layer.keeps_secrets
                and name in SECRETS
                and own_server is not None
                and found.get("uri", own_server).value != own_server.value
            )
            if not stranger:
                found.setdefault(name, value)
    return found

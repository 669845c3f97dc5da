"""How secrets are shown: not at all."""

from __future__ import annotations

import re
from urllib.parse import unquote, unquote_plus

SECRETS = frozenset({"password", "token"})
MASK = "***"

_NAMES = "tlsCertificateKeyFilePassword|authMechanismProperties|password|token"
_SECRET_OPTIONS = re.compile(rf"(?i)\b({_NAMES})=[^&\s]*")
_OPTION = re.compile(rf"(?i)(?<=[?&;])({_NAMES})=([^&]*)")
_OPTIONS = re.compile(rf"(?i)([?&;])(?:(?:{_NAMES})=[^&]*(?:&|\Z))+")
_SESSION = re.compile(r"AWS_SESSION_TOKEN:([^,]*)")


def mask_uri(uri: str) -> str:
    """A URI without its password and without options that hold secrets.

    Everything up to the last ``@`` counts as the login, because people forget to escape their passwords; but
    an ``@`` in a secret option belongs to that.
    """
    uri = _OPTION.sub(rf"\1={MASK}", uri)
    scheme, separator, rest = uri.partition("://")
    if separator and "@" in rest:
        login, _, where = rest.rpartition("@")
        user, colon, _ = login.partition(":")
        rest = f"{user}{colon}{MASK if colon else ''}@{where}"
    shown = f"{scheme}{separator}{rest}" if separator else uri
    return _SECRET_OPTIONS.sub(rf"\1={MASK}", shown)


def mask(name: str, value: str) -> str:
    """The value of a setting as people may see it."""
    if name in SECRETS:
        return MASK if value else ""
    return mask_uri(value)


def is_secret(name: str, value: object) -> bool:
    """Whether the value of a connection's parameter holds a secret."""
    return name in SECRETS or (name == "uri" and has_password(str(value)))


def without_password(uri: str) -> str:
    """The same URI for a file that must hold no secret: the user's name stays, password and options go."""
    uri = _OPTIONS.sub(lambda found: found[1] if found.end() < len(uri) else "", uri)
    scheme, separator, rest = uri.partition("://")
    if not separator or "@" not in rest:
        return uri
    login, _, where = rest.rpartition("@")
    user = login.partition(":")[0]
    return f"{scheme}://{user}@{where}" if user else f"{scheme}://{where}"


def has_password(uri: str) -> bool:
    """Whether the URI itself carries a password, in its login or in an option."""
    return without_password(uri) != uri


def login_password(uri: str) -> str:
    """The password in a URI's login as it is written there; empty when there is none."""
    return _OPTION.sub(r"\1=", uri).partition("://")[2].rpartition("@")[0].partition(":")[2]


def secret_options(uri: str) -> dict[str, str]:
    """The options of a URI that hold secrets, as they are written there."""
    return {found[1]: found[2] for found in _OPTION.finditer(uri)}


def secrets_in(uri: str) -> set[str]:
    """Every text of a URI that must not be shown, as it is written there and as it is meant."""
    written = {login_password(uri), *secret_options(uri).values()}
    written.update(token for value in tuple(written) for token in _SESSION.findall(unquote(value)))
    return {said for one in written for said in (one, unquote(one), unquote_plus(one)) if said}

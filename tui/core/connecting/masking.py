"""How secrets are shown: not at all."""

from __future__ import annotations

import re

SECRETS = frozenset({"password", "token"})
MASK = "***"

_SECRET_OPTIONS = re.compile(
    r"(?i)\b(tlsCertificateKeyFilePassword|authMechanismProperties|password|token)=[^&\s]*"
)


def mask_uri(uri: str) -> str:
    """A URI without its password and without options that hold secrets.

    Everything up to the last ``@`` counts as the login, because people forget to escape their passwords.
    """
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


def without_password(uri: str) -> str:
    """The same URI for a file that must hold no secret: the user's name stays, the password goes."""
    scheme, separator, rest = uri.partition("://")
    if not separator or "@" not in rest:
        return uri
    login, _, where = rest.rpartition("@")
    user = login.partition(":")[0]
    return f"{scheme}://{user}@{where}" if user else f"{scheme}://{where}"


def has_password(uri: str) -> bool:
    """Whether the URI itself carries a password."""
    return without_password(uri) != uri

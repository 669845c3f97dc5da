"""One tree of exceptions. Each says what happened and what the user can do about it.

``exit_code`` is what the command line exits with; the UI shows ``what`` and ``remedy`` as a notice.
"""

from __future__ import annotations


class KitescopeError(Exception):
    """The operation failed.

    Args:
        what: what happened, one sentence without a full stop; never a secret.
        remedy: what the user can do, one sentence without a full stop.
    """

    exit_code = 1

    def __init__(self, what: str, remedy: str = "") -> None:
        super().__init__(what)
        self.what = what.strip().rstrip(".")
        self.remedy = remedy.strip().rstrip(".")

    def __str__(self) -> str:
        return f"{self.what}. {self.remedy}." if self.remedy else f"{self.what}."


class InvalidInput(KitescopeError):
    """A flag, setting, name or file that cannot mean what the user wants: fix it and call again."""

    exit_code = 2


class UnknownName(InvalidInput):
    """A dataset, brain key, profile, model or collection of that name does not exist."""


class EngineUnreachable(KitescopeError):
    """Milvus or the FiftyOne database cannot be reached or does not answer: a retry may help."""

    exit_code = 3


class TimedOut(EngineUnreachable):
    """An engine took a connection, and said nothing on it in time."""


class AuthenticationFailed(EngineUnreachable):
    """An engine answered and refused the credentials."""


class ReadOnly(KitescopeError):
    """The profile or ``--readonly`` forbids changes."""

    exit_code = 2


class Protected(ReadOnly):
    """The profile is protected, and what destroys was not confirmed with its name."""


class Interrupted(KitescopeError):
    """The user stopped the work; what was finished is kept."""

    exit_code = 130

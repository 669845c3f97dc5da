"""What every command gets: the settings, the engines behind them, and where to write."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import click

from tui import paths
from tui.cli.output import Output
from tui.core.errors import InvalidInput

if TYPE_CHECKING:
    from tui.core.settings import Settings
    from tui.core.workspace import Workspace

R = TypeVar("R")


@dataclass
class Session:
    """One call of the program. Engines are opened on first use and closed at its end."""

    out: Output
    flags: Mapping[str, object] = field(default_factory=dict, repr=False)
    profile: str | None = None
    timeout: float = 5.0
    readonly: bool = False
    confirmed: str = ""
    debug: bool = False
    _settings: Settings | None = field(default=None, repr=False)
    _workspace: Workspace | None = field(default=None, repr=False)

    def settings(self, *, ask: bool = True) -> Settings:
        """Every connection value and where it comes from; raises ``InvalidInput``, ``UnknownName``.

        Args:
            ask: have a secret that is not known typed, where somebody is there to do so.
        """
        if self._settings is None:
            from tui.core.settings import resolve
            from tui.jobs.redact import secrets_of

            self._settings = resolve(
                flags=self.flags,
                profile=self.profile,
                timeout=self.timeout,
                readonly=self.readonly,
                confirmed=self.confirmed,
            )
            self.out.hide(secrets_of(self._settings))
        if ask and self.out.can_ask and (name := self._settings.missing_secret) is not None:
            from tui.core.connections import with_secret
            from tui.jobs.redact import secrets_of

            where = self._settings.milvus["uri"].shown("uri")
            self._settings = with_secret(self._settings, name, self.out.ask_secret(f"{name} for {where}"))
            self.out.hide(secrets_of(self._settings))
        return self._settings

    def workspace(self) -> Workspace:
        """The engines."""
        if self._workspace is None:
            from tui.core.workspace import Workspace

            self._workspace = Workspace(self.settings())
        return self._workspace

    def close(self) -> None:
        """Let the engines go."""
        if self._workspace is not None:
            self._workspace.close()
            self._workspace = None

    def agree(self, question: str, *, yes: bool) -> None:
        """Have a destructive step confirmed.

        Raises:
            InvalidInput: nobody is there to ask and ``--yes`` was not given.
            click.Abort: the answer was no.
        """
        if yes:
            return
        if not self.out.can_ask:
            raise InvalidInput(f"{question.rstrip('?')} needs to be confirmed", "Repeat it with --yes")
        if not self.out.confirm(question):
            raise click.Abort


def command(function: Callable[..., R]) -> Callable[..., R]:
    """Pass the session to a command, and from here on let nobody else write to the terminal."""

    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> R:
        session = click.get_current_context().find_object(Session)
        assert session is not None
        session.out.guard(paths.log_file())
        return function(session, *args, **kwargs)

    return run


def json_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """``--json``."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout.")(function)


def yes_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """``--yes``."""
    return click.option("--yes", "-y", is_flag=True, help="Do not ask.")(function)

"""``kitescope`` itself: global options, the list of commands, and what an error looks like."""

from __future__ import annotations

import logging
import os
import sys
import traceback
from collections.abc import Callable
from typing import Any, TypeVar

import click

from tui import __version__, paths
from tui.cli.lazy import LazyGroup
from tui.cli.output import Output, open_standard_streams
from tui.cli.session import Session
from tui.core.errors import KitescopeError

_F = TypeVar("_F", bound=Callable[..., Any])
_log = logging.getLogger("kitescope.cli")

COMMANDS = {
    "demo": "tui.cli.demo:demo",
    "doctor": "tui.cli.system:doctor",
    "info": "tui.cli.system:info",
    "stop": "tui.cli.system:stop",
    "connections": "tui.cli.connections:connections",
    "datasets": "tui.cli.datasets:datasets",
    "models": "tui.cli.models:models",
    "build": "tui.cli.build:build",
    "sync": "tui.cli.build:sync",
    "jobs": "tui.cli.jobs:jobs",
    "runs": "tui.cli.runs:runs",
    "collections": "tui.cli.collections:collections",
    "duplicates": "tui.cli.duplicates:duplicates",
    "ledger": "tui.cli.system:ledger",
    "search": "tui.cli.search:search",
    "keys": "tui.cli.keys:keys",
}
_HELP = """Visual similarity search with Milvus and FiftyOne, in the terminal.

Without a command it opens the UI. Options for the connection come before the command; passwords are
better given by environment (FIFTYONE_BRAIN_SIMILARITY_MILVUS_PASSWORD) or profile: other users of the
machine can see a command line."""


def _milvus_option(name: str, text: str) -> Callable[[_F], _F]:
    return click.option(f"--milvus-{name}", metavar=name.rpartition("-")[2].upper(), help=text)


@click.group(
    cls=LazyGroup,
    lazy=COMMANDS,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    help=_HELP,
)
@click.option("--profile", metavar="NAME", help="A saved connection.")
@_milvus_option("uri", "Milvus, such as http://localhost:19530.")
@_milvus_option("user", "User of Milvus.")
@_milvus_option("password", "Its password.")
@_milvus_option("token", "API key, or user:password.")
@_milvus_option("db-name", "Database in Milvus.")
@click.option("--milvus-secure/--no-milvus-secure", default=None, help="Use TLS, whatever the URI says.")
@_milvus_option("client-key-path", "Key of the client's certificate (two-way TLS).")
@_milvus_option("client-pem-path", "The client's certificate (two-way TLS).")
@_milvus_option("ca-pem-path", "Certificate authority (two-way TLS).")
@_milvus_option("server-pem-path", "Certificate of the server or its authority (one-way TLS).")
@_milvus_option("server-name", "Name in the server's certificate.")
@click.option("--database-uri", metavar="URI", help="FiftyOne's MongoDB.")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0.1, max=3600),
    default=5.0,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait for a connection.",
)
@click.option("--readonly", is_flag=True, help="Refuse every change.")
@click.option(
    "--confirm-protected",
    metavar="NAME",
    default="",
    help="Allow a protected profile of that name to delete, drop and overwrite.",
)
@click.option("--debug", is_flag=True, help="Show tracebacks.")
@click.option(
    "--image-protocol",
    type=click.Choice(["auto", "kitty", "sixel", "halfcell", "none"]),
    default="auto",
    show_default=True,
    help="How the UI draws pictures.",
)
@click.version_option(__version__, prog_name="kitescope")
def root(
    profile: str | None,
    timeout: float,
    readonly: bool,
    confirm_protected: str,
    debug: bool,
    image_protocol: str,
    database_uri: str | None,
    **milvus: str | bool | None,
) -> None:
    """See ``_HELP``."""
    ctx = click.get_current_context()
    session = ctx.find_object(Session)
    assert session is not None
    named = {name.removeprefix("milvus_"): value for name, value in milvus.items()}
    flags = {**named, "database_uri": database_uri}
    session.flags = {name: value for name, value in flags.items() if value is not None}
    session.profile, session.timeout = profile, timeout
    session.readonly, session.debug = readonly, debug
    session.confirmed = confirm_protected
    if ctx.invoked_subcommand is None:
        ctx.exit(_open_ui(session, image_protocol))


def _open_ui(session: Session, image_protocol: str) -> int:
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise click.UsageError("The UI needs a terminal")
    session.out.log_to(paths.log_file())
    settings = session.settings(ask=False)
    from tui import app

    return app.run(settings, image_protocol=image_protocol)


def run(arguments: list[str] | None = None) -> int:
    """Run one command line; answers the exit code and never raises."""
    open_standard_streams()
    session = Session(Output())
    try:
        try:
            result = root.main(arguments, prog_name="kitescope", standalone_mode=False, obj=session)
            return result if isinstance(result, int) else 0
        finally:
            session.close()
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return 2
    except click.UsageError as error:
        return _failed(session, _usage(error), 2)
    except click.ClickException as error:
        return _failed(session, error.format_message(), 1)
    except (click.Abort, KeyboardInterrupt):
        return _failed(session, "interrupted.", 130)
    except KitescopeError as error:
        return _failed(session, str(error), error.exit_code)
    except BrokenPipeError:
        # Help, cut short by its reader: without this the interpreter complains when it flushes at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 0
    except Exception as error:
        message = " ".join(str(error).split())
        what = f"an unexpected {type(error).__name__}" + (f": {message.rstrip('.')}" if message else "")
        return _failed(session, f"{what}. Run it again with --debug, or see {paths.log_file()}.", 1)


def _failed(session: Session, message: str, code: int) -> int:
    """Tell people in one line and the log in full."""
    if sys.exc_info()[0] is not None:
        if code not in (2, 130):
            _log.error("%s", message, exc_info=True)
        if session.debug:
            for line in traceback.format_exc().splitlines():
                session.out.verbatim(line)
    session.out.say(f"error: {message}")
    return code


def _usage(error: click.UsageError) -> str:
    """A usage error of click in our shape: what, and where to read on."""
    what = error.format_message().strip().rstrip(".?")
    name = getattr(error, "option_name", None)
    if isinstance(error, click.NoSuchOption) and name in _global_options():
        return f"{what}. Options for the connection come before the command: kitescope {name} ... COMMAND."
    path = error.ctx.command_path if error.ctx else "kitescope"
    return f"{what}. See '{path} --help'."


def _global_options() -> set[str]:
    return {name for option in root.params for name in (*option.opts, *option.secondary_opts)}

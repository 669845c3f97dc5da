"""What every reader of FiftyOne's database shares: its errors as ours, and writes that survive a kill -9."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pymongo import errors
from pymongo.write_concern import WriteConcern

from tui.core.errors import AuthenticationFailed, EngineUnreachable, KitescopeError

if TYPE_CHECKING:
    from tui.core.workspace import Workspace

# Mongo's codes for "you may not": Unauthorized, AuthenticationFailed.
_DENIED = (13, 18)


@contextmanager
def guarded() -> Iterator[None]:
    """Turn what pymongo raises into errors with a remedy.

    Raises:
        EngineUnreachable: the database went away or did not answer in time.
        AuthenticationFailed: it refused the credentials.
        KitescopeError: it refused the operation.
    """
    try:
        yield
    except errors.OperationFailure as error:
        if error.code in _DENIED:
            raise AuthenticationFailed(
                "FiftyOne's database refuses the credentials",
                "Check the user and password in the database URI",
            ) from error
        if error.timeout:
            raise _silent(error) from error
        raise KitescopeError(f"FiftyOne's database refused: {_short(error)}") from error
    except (errors.ConnectionFailure, errors.WaitQueueTimeoutError) as error:
        raise _silent(error) from error
    except errors.PyMongoError as error:
        raise KitescopeError(f"FiftyOne's database failed: {_short(error)}") from error


def journalled(ws: Workspace) -> Any:
    """FiftyOne's database (pymongo), whose writes are on disk before they are acknowledged.

    Without it, a write that was acknowledged just before a kill -9 of mongod can be lost.
    """
    database = ws.database()
    return database.with_options(write_concern=WriteConcern(**{**database.write_concern.document, "j": True}))


def _silent(error: Exception) -> EngineUnreachable:
    return EngineUnreachable(
        f"FiftyOne's database does not answer ({_short(error)})",
        "Check that it runs and that the database URI is right, then try again",
    )


def _short(error: Exception) -> str:
    """The first sentence: pymongo appends its whole view of the topology."""
    return str(error).split(", full error:")[0].split(", Timeout:")[0].split("\n")[0][:200]

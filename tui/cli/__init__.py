"""The command line: one module per command group, each imported when its command runs."""

from __future__ import annotations


def main() -> None:
    """Run the command line and end the process with its exit code."""
    import sys

    from tui.cli.root import run

    code = run()
    if "pymongo" in sys.modules and "fiftyone" not in sys.modules:
        _leave(code)
    sys.exit(code)


def _leave(code: int) -> None:
    """End without exit handlers: pymongo's wait up to half a second for threads that nobody needs.

    Not when FiftyOne is loaded, whose handlers tell its database service that this client is gone.
    """
    import contextlib
    import logging
    import os
    import sys

    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(ValueError, OSError):
            stream.flush()
    os._exit(code)

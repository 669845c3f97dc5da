"""The command line: one module per command group, each imported when its command runs."""

from __future__ import annotations


def main() -> None:
    """Run the command line and end the process with its exit code."""
    import sys

    from tui.cli.root import run

    sys.exit(run())

"""Run ``kitescope`` as users do: a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

PROGRAM = (sys.executable, "-m", "tui")


@dataclass(frozen=True)
class Ran:
    """What one command line did."""

    code: int
    out: str
    err: str
    seconds: float

    @property
    def json(self) -> Any:
        """Stdout as the one JSON document it has to be."""
        return json.loads(self.out)

    @property
    def lines(self) -> list[Any]:
        """Stdout as JSON lines."""
        return [json.loads(line) for line in self.out.splitlines()]


class Cli:
    """``cli("datasets", "list")`` in one environment."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.environment = dict(environment)

    def __call__(self, *arguments: str, ok: bool = True, timeout: float = 300.0, **env: str) -> Ran:
        """Run to the end; ``ok`` demands exit code 0."""
        began = time.monotonic()
        done = subprocess.run(
            [*PROGRAM, *arguments],
            env=self.environment | env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        ran = Ran(done.returncode, done.stdout, done.stderr, time.monotonic() - began)
        assert ran.code == 0 or not ok, f"exit {ran.code}: {ran.err}"
        return ran

    def start(self, *arguments: str, **over: Any) -> subprocess.Popen[str]:
        """Start without waiting, in a process group of its own."""
        options = {
            "env": self.environment,
            "stdin": subprocess.DEVNULL,
            "stdout": subprocess.PIPE,
            "stderr": subprocess.PIPE,
            "text": True,
            "start_new_session": True,
        }
        return subprocess.Popen([*PROGRAM, *arguments], **{**options, **over})


def one_error_line(ran: Ran) -> str:
    """The error of a command that failed as the contract says; answers it."""
    lines = ran.err.splitlines()
    assert len(lines) == 1, ran.err
    assert lines[0].startswith("error: "), ran.err
    assert lines[0].endswith("."), ran.err
    assert ran.out == ""
    return lines[0]


def without(environment: Mapping[str, str], names: Sequence[str]) -> dict[str, str]:
    """The environment less these variables."""
    return {name: value for name, value in environment.items() if name not in names}

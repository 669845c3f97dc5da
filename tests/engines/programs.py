"""Other programs of the user beside the one under test: a stock notebook, a second Kitescope."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from types import TracebackType
from typing import Any, Self

_LOOP = """
import json, sys
for line in sys.stdin:
    try:
        answer = {"value": eval(json.loads(line), globals())}
    except BaseException as error:
        answer = {"error": type(error).__name__, "what": str(error)}
    print("@" + json.dumps(answer), flush=True)
"""
STOCK = "import fiftyone as fo\n"
KITESCOPE = (
    "from tui.core.settings import resolve\nfrom tui.core.workspace import Workspace\n"
    "ws = Workspace(resolve(timeout=20.0))\n"  # ten of these at once on two cores need it
)


class Program:
    """A Python process that evaluates expressions one by one.

    Args:
        prelude: what it runs first, ``STOCK`` or ``KITESCOPE`` (which has ``ws``).
        environment: its whole environment; that of this process unless given.
    """

    def __init__(self, prelude: str, environment: dict[str, str] | None = None) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", prelude + _LOOP],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment,
            start_new_session=True,
        )

    def send(self, expression: str) -> Self:
        """Begin to evaluate; ``answer`` waits."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(expression) + "\n")
        self.process.stdin.flush()
        return self

    def answer(self) -> Any:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith("@"):
                answer = json.loads(line[1:])
                if "error" in answer:
                    raise RuntimeError(f"{answer['error']}: {answer['what']}")
                return answer["value"]
        raise RuntimeError(f"the program ended with {self.process.wait()}")

    def ask(self, expression: str) -> Any:
        """The value of a Python expression in that process; it must be JSON."""
        return self.send(expression).answer()

    def kill9(self) -> None:
        """Kill its whole process group, as a lost terminal does at worst."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(60)

    def close(self) -> None:
        """Let it end as a program does."""
        if self.process.poll() is None:
            assert self.process.stdin is not None
            self.process.stdin.close()
            self.process.wait(60)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None and self.process.poll() is None:
            self.kill9()
        self.close()

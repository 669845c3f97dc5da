"""A child process that answers questions: for what may crash, or would keep the interpreter to itself.

It is a plain child that talks through its own stdin and stdout: it inherits no lock, imports no main module,
and ends by itself when its parent is gone, however it went.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from tui.core.services.processes import python_environment


class ChildGone(Exception):
    """The child ended before it answered."""


class Child:
    """A process that runs ``serve`` in a module's ``main``; one question at a time.

    Args:
        module: run as ``python -m module``.
        about: pickled, and given to the module's function with each question.
        environment: what it is told besides ours.
    """

    def __init__(
        self, module: str, about: object = None, environment: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=python_environment() | dict(environment),
        )
        with contextlib.suppress(ChildGone):  # the first question tells
            self._send(about)

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it has not ended yet."""
        return self._process.poll() is None

    def ask(self, question: object) -> Any:
        """Send a question, wait for its answer.

        Raises:
            ChildGone: the child ended instead.
        """
        self._send(question)
        assert self._process.stdout is not None
        try:
            return pickle.load(self._process.stdout)  # noqa: S301 (our own child wrote it)
        except (OSError, EOFError, pickle.UnpicklingError) as error:
            raise ChildGone from error

    def kill(self) -> None:
        """End it at once, also while another thread waits for its answer."""
        self._process.kill()

    def close(self) -> None:
        """Let it end, and wait for that."""
        assert self._process.stdin is not None and self._process.stdout is not None
        with contextlib.suppress(OSError):  # what was still buffered for a dead child
            self._process.stdin.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()

    def _send(self, message: object) -> None:
        assert self._process.stdin is not None
        try:
            pickle.dump(message, self._process.stdin, pickle.HIGHEST_PROTOCOL)
            self._process.stdin.flush()
        except OSError as error:
            raise ChildGone from error


def serve(answer: Callable[[Any, Any], object]) -> None:
    """Run in a child: read what it is about, then questions until the parent closes its end; answer each.

    Args:
        answer: of what it is about and a question; must not raise.
    """
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, signal.SIG_IGN)  # the parent decides when it is over
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints must not be read as an answer
    questions = sys.stdin.buffer
    try:
        about = pickle.load(questions)  # noqa: S301 (the parent wrote it)
        while True:
            question = pickle.load(questions)  # noqa: S301
            pickle.dump(answer(about, question), answers, pickle.HIGHEST_PROTOCOL)
            answers.flush()
    except (EOFError, BrokenPipeError):
        os._exit(0)

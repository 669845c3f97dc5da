"""A member of a fleet as its parent sees it: a process, a thread that reads its answers, its last words."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable

from msgspec.structs import replace

from tui.core.services.processes import python_environment
from tui.core.services.processors import processors
from tui.core.vision.frames import Answer, Question, Start, read_answer, write
from tui.core.vision.gpus import only

_PIPE_BYTES = 1 << 20
_LOG_BYTES = 4000
_END_SECONDS = 5.0
COMMAND = (sys.executable, "-P", "-m", "tui.core.vision.fleet_member")


class MemberProcess:
    """A running ``fleet_member``.

    Args:
        start: the model to load.
        sharers: how many members share the processors.
        on_answer: called by the reading thread with each answer and its payload; with None at the end.
    """

    def __init__(
        self, start: Start, sharers: int, on_answer: Callable[[MemberProcess, Answer | None, bytes], None]
    ) -> None:
        self._on_answer = on_answer
        # Not a pipe: nobody would read it while vectors are waited for, and a full pipe stops its writer.
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 (closed in close)
        self._process = subprocess.Popen(
            COMMAND,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env=_environment(start, sharers),
        )
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):  # a frozen member must not stop us from writing what it is owed
            fcntl.fcntl(self._process.stdin, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        self._reader = threading.Thread(target=self._read, name="fleet", daemon=True)
        self._reader.start()
        # The only GPU that it sees: what picks a GPU by itself, such as a user's code, then picks that one.
        self.send(replace(start, device="cuda:0") if _gpu(start) is not None else start)

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    def send(self, question: Question) -> None:
        """Send one message; to a dead member it is lost, and the end of its answers tells."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError, ValueError):
            write(self._process.stdin, question)

    def last_words(self) -> str:
        """Why it ended, in a few words. Call it after the end of its answers."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_END_SECONDS)
        code = self._process.returncode
        if code is not None and code < 0:
            with contextlib.suppress(ValueError):
                return f"killed by {signal.Signals(-code).name}"
        lines = self.log().strip().splitlines()
        return lines[-1][:200] if lines else f"it ended with code {code}"

    def log(self) -> str:
        """The end of what it wrote to its stderr."""
        size = os.fstat(self._log.fileno()).st_size
        # pread: the child writes through the same file offset.
        return os.pread(self._log.fileno(), _LOG_BYTES, max(0, size - _LOG_BYTES)).decode(errors="replace")

    def close(self, *, kill: bool = False) -> None:
        """End it. It ends at once by itself, unless it still loads a model: ``kill`` does not wait."""
        assert self._process.stdin is not None and self._process.stdout is not None
        if kill:
            self._process.kill()
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        try:
            self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join(_END_SECONDS)
        self._process.stdout.close()
        self._log.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        try:
            while (found := read_answer(self._process.stdout)) is not None:
                self._on_answer(self, *found)
        finally:
            self._on_answer(self, None, b"")


def _environment(start: Start, sharers: int) -> dict[str, str]:
    env = python_environment()
    if (gpu := _gpu(start)) is not None:
        env["CUDA_VISIBLE_DEVICES"] = only(gpu)
    if start.device == "cpu":
        env.setdefault("OMP_NUM_THREADS", str(max(1, processors() // sharers)))
    return env


def _gpu(start: Start) -> int | None:
    kind, _, place = start.device.partition(":")
    return int(place or 0) if kind == "cuda" else None

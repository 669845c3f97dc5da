"""Importing a folder in a process of its own: FiftyOne's importers would hold up the screen, and end with it.

``python -m tui.jobs.importing`` reads settings and task on stdin and answers one line of JSON on stdout.
SIGTERM stops it, and what was imported until then is thrown away.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

from tui import paths
from tui.core.errors import InvalidInput, KitescopeError, ReadOnly
from tui.core.files import private_dir
from tui.core.services.processes import child_environment
from tui.core.settings import Settings

if TYPE_CHECKING:
    from types import FrameType


_asked_to_stop = threading.Event()


class _Task(msgspec.Struct):
    settings: str
    directory: str
    name: str
    type: str


class _Answer(msgspec.Struct):
    samples: int = 0
    error: str = ""
    remedy: str = ""


@dataclass
class Import:
    """An import that was started; ask ``poll`` now and then.

    Args:
        name: of the dataset it makes.
        directory: what is imported.
        process: where it runs.
        began: ``time.monotonic()`` of the start.
    """

    name: str
    directory: str
    process: subprocess.Popen[bytes]
    began: float = field(default_factory=time.monotonic)

    def poll(self) -> int | None:
        """The number of samples once it is done, None while it goes on; does not wait.

        Raises:
            KitescopeError: it failed, or was stopped.
        """
        if (code := self.process.poll()) is None:
            return None
        assert self.process.stdout is not None
        with self.process.stdout as pipe:
            line = pipe.read()
        try:
            answer = msgspec.json.decode(line, type=_Answer)
        except msgspec.DecodeError:
            if code in (-signal.SIGTERM, 128 + signal.SIGTERM):
                raise KitescopeError(f"The import of {self.name!r} was stopped") from None
            raise KitescopeError(
                f"The import of {self.name!r} ended unexpectedly ({code})", f"{paths.log_file()} tells more"
            ) from None
        if answer.error:
            raise InvalidInput(answer.error, answer.remedy)
        return answer.samples

    def stop(self) -> None:
        """Ask it to stop."""
        with contextlib.suppress(ProcessLookupError):
            self.process.terminate()


def start(settings: Settings, directory: str, name: str, type: str) -> Import:
    """Start an import; it goes on without whoever started it.

    Raises:
        ReadOnly: the settings forbid changes.
        KitescopeError: no process can be started.
    """
    if settings.readonly:
        raise ReadOnly("Cannot import: this connection allows no changes", "Use another one")
    private_dir(paths.log_file().parent)
    try:
        with paths.log_file().open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "tui.jobs.importing"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=child_environment(),
                start_new_session=True,
            )
    except OSError as error:
        raise KitescopeError(f"The import cannot be started ({error})", "Free memory or processes") from error
    assert process.stdin is not None
    with contextlib.suppress(BrokenPipeError), process.stdin as pipe:
        pipe.write(msgspec.json.encode(_Task(settings.to_json(), directory, name, type)))
    return Import(name, directory, process)


def main() -> int:
    """Import, in the child; answers its exit status."""
    signal.signal(signal.SIGTERM, _stop)
    task = msgspec.json.decode(sys.stdin.buffer.read(), type=_Task)
    with _clean_stdout() as answer_to:
        try:
            answer = _Answer(_import(task))
        except KitescopeError as error:
            answer = _Answer(error=error.what, remedy=error.remedy)
        # Nobody may read it: the dataset is there all the same.
        with contextlib.suppress(BrokenPipeError):
            os.write(answer_to, msgspec.json.encode(answer))
    return 0


def _import(task: _Task) -> int:
    from tui.core.datasets import delete_dataset, import_dataset
    from tui.core.workspace import Workspace, confirming

    with Workspace(Settings.from_json(task.settings)) as workspace:
        samples = import_dataset(workspace, task.directory, task.name, task.type).samples
        if _asked_to_stop.is_set():
            # Python drops an exception that is raised inside a destructor or a callback of C code.
            with confirming(workspace.settings.confirm_word):  # who imports it may stop it, protected or not
                delete_dataset(workspace, task.name)
            raise SystemExit(128 + signal.SIGTERM)
        return samples


def _stop(_signal: int, _frame: FrameType | None) -> None:
    _asked_to_stop.set()
    # An exception, so that the half-made dataset is deleted on the way out.
    raise SystemExit(128 + signal.SIGTERM)


@contextlib.contextmanager
def _clean_stdout() -> Iterator[int]:
    """The real stdout for the answer; whatever libraries print goes to the log."""
    real = os.dup(1)
    os.dup2(2, 1)
    try:
        yield real
    finally:
        os.close(real)


if __name__ == "__main__":
    sys.exit(main())

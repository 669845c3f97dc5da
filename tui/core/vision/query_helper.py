"""Embeds prompts and pictures, and looks into models, in a process of its own: torch never enters the UI's.

It stays warm.

The child is ``python -m tui.core.vision.query_helper``: one JSON request a line on stdin, one answer a line
on stdout, in any number. It ends when its stdin closes, so it cannot outlive the process that asked for it.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
from base64 import b64decode, b64encode
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import replace
from typing import IO, TYPE_CHECKING

import msgspec

from tui.core.errors import Interrupted, KitescopeError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tui.core.documents.run_list import RunInfo
    from tui.core.models import ModelInfo
    from tui.core.querying.query import Query

_log = logging.getLogger(__name__)


class Request(msgspec.Struct, frozen=True):
    """A text or a picture's path to embed with a model; neither: what is true of the model."""

    number: int
    model: str
    text: str | None = None
    image: str | None = None


class Answer(msgspec.Struct, frozen=True):
    """A vector (float32, base64) or a model's dimension and prompts, or what went wrong."""

    number: int
    vector: str = ""
    what: str = ""
    remedy: str = ""
    dim: int | None = None
    supports_prompts: bool = False


class QueryHelper:
    """The warm process, from the side of the one who asks. ``embed`` fits ``search(..., embed=)``."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._waiting: dict[int, tuple[subprocess.Popen[bytes], Future[Answer]]] = {}
        self._number = 0

    @property
    def pid(self) -> int | None:
        """The process, while there is one."""
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    def embed(self, run: RunInfo, query: Query) -> NDArray[np.float32]:
        """Embed a query's text or picture with a run's model: float32 of shape (dim,). Blocks until done.

        Raises:
            KitescopeError: the model or the picture cannot be used, or the process ended.
            Interrupted: ``abandon`` was called meanwhile.
        """
        import numpy as np

        assert run.model is not None
        answer = self._ask(run.model, query.text, query.image)
        return np.frombuffer(b64decode(answer.vector), np.float32)

    def about(self, model: str) -> ModelInfo:
        """What is true of a model, as ``models.certain_info`` says it; what has to be loaded is loaded there.

        Raises:
            UnknownName: there is no such model.
            KitescopeError: it cannot be loaded, or the process ended.
            Interrupted: ``abandon`` was called meanwhile.
        """
        from tui.core.models import LOADED_TO_KNOW, model_info

        info = model_info(model)
        if info.source not in LOADED_TO_KNOW:
            return info
        answer = self._ask(model, None, None)
        return replace(info, dim=answer.dim, supports_prompts=answer.supports_prompts)

    def _ask(self, model: str, text: str | None, image: str | None) -> Answer:
        future: Future[Answer] = Future()
        with self._lock:
            process = self._running()
            self._number += 1
            self._waiting[self._number] = process, future
            request = Request(self._number, model, text, image)
            assert process.stdin is not None
            with suppress(BrokenPipeError):  # the reader then sees the end and says so
                process.stdin.write(msgspec.json.encode(request) + b"\n")
                process.stdin.flush()
        answer = future.result()
        if answer.what:
            raise KitescopeError(answer.what, answer.remedy)
        return answer

    def abandon(self) -> None:
        """Nobody waits any more for what was asked; the process finishes it and stays warm."""
        with self._lock:
            waiting, self._waiting = self._waiting, {}
        for _process, future in waiting.values():
            future.set_exception(Interrupted("The query was cancelled"))

    def close(self) -> None:
        """End the process and everybody's waiting."""
        self.abandon()
        with self._lock:
            process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(2)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            from tui.core.services.processes import python_environment

            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "tui.core.vision.query_helper"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=python_environment(),
                start_new_session=True,
            )
            threading.Thread(target=self._read, args=(self._process,), daemon=True).start()
        return self._process

    def _read(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            try:
                answer = msgspec.json.decode(line, type=Answer)
            except msgspec.MsgspecError:
                _log.warning("the query helper said %r", line[:200])
                continue
            with self._lock:
                waiter = self._waiting.pop(answer.number, None)
            if waiter is not None:
                waiter[1].set_result(answer)
        code = process.wait()
        with self._lock:
            mine = [number for number, waiter in self._waiting.items() if waiter[0] is process]
            lost = [self._waiting.pop(number)[1] for number in mine]
        for future in lost:
            future.set_exception(
                KitescopeError(
                    f"The process that embeds queries ended with code {code}", "Ask again; the log says more"
                )
            )


def answer(request: Request) -> Answer:
    """Embed what one request asks for, or look into its model; every failure becomes an answer."""
    from tui.core.documents.run_list import RunInfo
    from tui.core.models import certain_info
    from tui.core.querying.query import Query, embed_here

    run = RunInfo("", "", "similarity", "milvus", model=request.model)
    try:
        if request.text is None and request.image is None:
            info = certain_info(request.model)
            return Answer(request.number, dim=info.dim, supports_prompts=info.supports_prompts)
        vector = embed_here(run, Query("", "", text=request.text, image=request.image))
    except KitescopeError as error:
        return Answer(request.number, what=error.what, remedy=error.remedy)
    except Exception as error:
        _log.exception("answering with model %s", request.model)
        what = f"Model {request.model!r} failed: {type(error).__name__}: {error}"
        return Answer(request.number, what=what, remedy="The log has the details")
    return Answer(request.number, vector=b64encode(vector.tobytes()).decode())


def serve(requests: IO[bytes], answers: IO[bytes]) -> None:
    """Answer every line until there are no more."""
    for line in requests:
        answers.write(msgspec.json.encode(answer(msgspec.json.decode(line, type=Request))) + b"\n")
        answers.flush()


def main() -> None:
    """Serve on stdin and stdout; what libraries print goes to stderr instead."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    with suppress(BrokenPipeError):
        serve(sys.stdin.buffer, answers)


if __name__ == "__main__":
    main()

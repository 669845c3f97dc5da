"""``python -m tui.core.vision.fleet_member``: one device's process of a fleet.

It reads questions from its stdin and answers on its stdout (see ``frames``): the model is loaded once, then
chunks are decoded while the one before them is embedded. It ends when its stdin ends, however that happened,
so it cannot outlive the process that started it. It knows neither FiftyOne's datasets nor Milvus.
"""

from __future__ import annotations

import os
import queue
import signal
import sys
import threading
from concurrent.futures import Future
from dataclasses import dataclass
from typing import IO, Any

from tui.core.embedding import ItemLike, groups, make_batch
from tui.core.errors import KitescopeError
from tui.core.models import load_model
from tui.core.progress import Event, Progress
from tui.core.vision.frames import Chunk, Embedded, Failed, Loading, Ready, Start, Stop, read_question, write
from tui.core.vision.images import Patch
from tui.core.vision.preparation import Crew, Task
from tui.core.vision.runner import DeviceLost, Runner

DEVICE_LOST = 70


@dataclass(frozen=True, slots=True)
class _Item:
    """A picture of a chunk; its id is its place there."""

    id: str
    filepath: str
    box: Patch | None
    sample_id: str = ""


@dataclass(frozen=True, slots=True)
class _Prepared:
    """A chunk whose pictures are being decoded."""

    number: int
    groups: tuple[tuple[list[ItemLike], Future[list[Any]]], ...]


class Member:
    """The process's work: a thread reads and hands to the decoders, the main thread embeds and answers."""

    def __init__(self, questions: IO[bytes], answers: IO[bytes]) -> None:
        self._questions, self._answers = questions, answers
        # What is in it is bounded by the parent, which waits for answers before it sends more.
        self._chunks: queue.SimpleQueue[_Prepared | None] = queue.SimpleQueue()
        self._stopping = threading.Event()

    def run(self) -> None:
        """Serve until told to stop.

        Raises:
            DeviceLost: the GPU failed.
        """
        start = read_question(self._questions)
        if not isinstance(start, Start):
            return
        try:
            model = load_model(
                start.model,
                device=start.device,
                precision=start.precision,
                decode=start.decode,
                on_event=self._tell_loading,
            )
            runner = Runner(model, start.batch_size)
            write(self._answers, Ready(model.dim, model.supports_prompts, runner.batch_size, model.notice))
            with Crew(model, start.workers, processes=model.share == "processes") as crew:
                threading.Thread(target=self._read, args=(crew,), daemon=True).start()
                self._embed(runner)
        except DeviceLost:
            raise
        except KitescopeError as error:
            write(self._answers, Failed(error.what, error.remedy))

    def _tell_loading(self, event: Event) -> None:
        if isinstance(event, Progress):
            write(self._answers, Loading(event.done, event.total))

    def _read(self, crew: Crew) -> None:
        while True:
            question = read_question(self._questions)
            if isinstance(question, Chunk):
                self._chunks.put(_prepare(question, crew))
                continue
            if question is None:  # nobody is there to answer
                os._exit(0)
            self._stopping.set()
            self._chunks.put(None)
            if isinstance(question, Stop):
                return

    def _embed(self, runner: Runner) -> None:
        while (chunk := self._chunks.get()) is not None and not self._stopping.is_set():
            pairs = [
                pair for items, future in chunk.groups for pair in zip(items, future.result(), strict=True)
            ]
            batch = make_batch(pairs, runner)
            skipped = tuple((int(one.id), one.reason) for one in batch.skipped)
            places = tuple(int(one) for one in batch.ids)
            answer = Embedded(chunk.number, places, skipped, runner.batch_size)
            write(self._answers, answer, batch.vectors.tobytes())


def _prepare(chunk: Chunk, crew: Crew) -> _Prepared:
    items = [_Item(str(place), one.path, one.box) for place, one in enumerate(chunk.pictures)]
    return _Prepared(
        chunk.number,
        tuple(
            (group, crew.submit(Task(group[0].filepath, tuple(item.box for item in group))))
            for group in groups(items)
        ),
    )


def main() -> int:
    """Serve on stdin and stdout; what libraries print goes to stderr instead."""
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, signal.SIG_IGN)  # the parent decides when it is over
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    try:
        Member(sys.stdin.buffer, answers).run()
    except DeviceLost as error:
        print(error.what, file=sys.stderr)  # noqa: T201 (the parent reads it there)
        return DEVICE_LOST
    except BrokenPipeError:
        return 0
    return 0


if __name__ == "__main__":
    status = main()
    sys.stderr.flush()
    os._exit(status)  # threads that still decode, and a broken device's clean-up, are not waited for

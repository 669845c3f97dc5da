"""From files to a model's inputs, in parallel: threads where decoding is the work, processes where Python is.

A process is a ``child.Child`` that runs this module.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

from PIL import Image

from tui.core.services.child import Child, ChildGone, serve
from tui.core.vision.images import Box, Patch, UnreadableImage, crop, open_image


class Preparer(Protocol):
    """The part of a model that runs before the model: from an RGB picture to its input."""

    input_size: tuple[int, int] | None
    upright: bool

    def prepare(self, image: Image.Image) -> Any:
        """Turn one RGB picture into the model's input."""


@dataclass(frozen=True, slots=True)
class Task:
    """One file and what to take from it: relative boxes, or None for the whole picture."""

    path: str
    boxes: tuple[Box | Patch | None, ...]


@dataclass(frozen=True, slots=True)
class Unusable:
    """In an outcome's place when it could not be made, and why."""

    reason: str


def prepare_task(model: Preparer, task: Task) -> list[Any]:
    """Decode a file once and prepare each of its boxes: inputs and `Unusable`s, in the order of the boxes."""
    patches = any(box is not None for box in task.boxes)
    try:
        picture = open_image(task.path, _hint(model.input_size, task.boxes), upright=patches or model.upright)
    except UnreadableImage as error:
        return [Unusable(error.reason)] * len(task.boxes)
    return [_prepare_box(model, picture, box) for box in task.boxes]


def _prepare_box(model: Preparer, picture: Image.Image, box: Box | Patch | None) -> Any:
    try:
        return model.prepare(picture if box is None else crop(picture, box))
    except UnreadableImage as error:
        return Unusable(error.reason)
    except Exception as error:  # one picture's fault must not take its neighbours with it
        return Unusable(f"the model's preprocessing failed ({_first_line(error)})")


def _hint(size: tuple[int, int] | None, boxes: Sequence[Box | Patch | None]) -> tuple[int, int] | None:
    if size is None:
        return None
    # A side that alpha shortens leaves fewer pixels.
    patches = [(Patch(*box), min(1.0 + Patch(*box).alpha, 1.0)) for box in boxes if box is not None]
    width = min((patch.width * left for patch, left in patches), default=1.0)
    height = min((patch.height * left for patch, left in patches), default=1.0)
    return int(size[0] / max(width, 0.01)), int(size[1] / max(height, 0.01))


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:120]


class Crew:
    """A few workers that prepare tasks; a context manager.

    Args:
        model: who prepares; pickled when ``processes``.
        workers: how many at a time; 0 prepares in the caller's thread.
        processes: give each worker a process of its own.
    """

    def __init__(self, model: Preparer, workers: int, *, processes: bool) -> None:
        self._model = model
        self._processes = processes
        self._pool = ThreadPoolExecutor(workers, "prepare") if workers > 0 else None
        self._local = threading.local()
        self._children: list[Child] = []

    def __enter__(self) -> Crew:
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
        for child in self._children:
            child.close()

    def submit(self, task: Task) -> Future[list[Any]]:
        """Prepare a task; the future answers what `prepare_task` does and never raises for a bad file."""
        if self._pool is not None:
            return self._pool.submit(self._run, task)
        future: Future[list[Any]] = Future()
        future.set_result(prepare_task(self._model, task))
        return future

    def _run(self, task: Task) -> list[Any]:
        if not self._processes:
            return prepare_task(self._model, task)
        for _attempt in range(2):  # a child may have died earlier, of something that is not this file's fault
            child = getattr(self._local, "child", None) or self._hire()
            try:
                return list(child.ask(task))
            except ChildGone:
                child.close()
                self._children.remove(child)
                self._local.child = None
        return [Unusable("the decoder crashed on this file")] * len(task.boxes)

    def _hire(self) -> Child:
        child = self._local.child = Child("tui.core.vision.preparation", self._model)
        self._children.append(child)
        return child


def main() -> None:
    """Run in a child: prepare tasks for the model it is about."""
    serve(prepare_task)


if __name__ == "__main__":
    # Under the module's real name, so that what is pickled here is the parent's class.
    from tui.core.vision import preparation

    preparation.main()

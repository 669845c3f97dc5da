"""Calling a model so that neither memory nor one bad input ends the work, with batches of the best size."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from time import perf_counter
from typing import TYPE_CHECKING, Any

from tui.core.errors import KitescopeError
from tui.core.vision.batch_size import BatchSize
from tui.core.vision.preparation import Unusable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tui.core.models import Embedder

# As torch's allocators say it, and as cuBLAS and cuDNN do, which have some of their own.
_NO_MEMORY = ("out of memory", "can't allocate memory", "_alloc_failed")
_HOPELESS = 8  # failures without one success: it is the model, not the pictures


class DeviceLost(KitescopeError):
    """The device failed, and nothing more can be computed on it by this process."""


class Runner:
    """Calls the model: halves the batch when memory runs out, finds the one input that breaks a batch.

    Args:
        batch_size: inputs at a time at most; None starts with the model's choice and finds a better one.
    """

    def __init__(self, model: Embedder, batch_size: int | None = None) -> None:
        self._model = model
        self._sizes = (
            BatchSize(batch_size, batch_size)
            if batch_size
            else BatchSize(model.batch_size, model.max_batch_size)
        )
        self._worked = False
        self._failures: list[Exception] = []
        self.dim = model.dim

    @property
    def batch_size(self) -> int:
        """How many inputs should come next; it changes as the runner learns."""
        return self._sizes.size

    def run(self, inputs: Sequence[Any]) -> list[Any]:
        """One vector of shape ``(dim,)`` or `Unusable` for each input, in order.

        Raises:
            DeviceLost: the GPU failed.
            KitescopeError: the model never worked, and that cannot be the pictures' fault any more.
        """
        outcomes = self._in_parts(inputs)
        if len(self._failures) >= _HOPELESS:
            self.finish()
        return outcomes

    def finish(self) -> None:
        """Say so when the model failed on everything it was given.

        Raises:
            KitescopeError: it did.
        """
        if self._failures and not self._worked:
            raise KitescopeError(
                f"The model {self._model.name} failed: {_first_line(self._failures[0])}",
                "Choose another model, or check this one in Python",
            ) from self._failures[0]

    def _in_parts(self, inputs: Sequence[Any]) -> list[Any]:
        outcomes: list[Any] = []
        while len(outcomes) < len(inputs):
            start = len(outcomes)
            outcomes.extend(self._part(inputs[start : start + self.batch_size]))
        return outcomes

    def _part(self, part: Sequence[Any]) -> list[Any]:
        try:
            began = perf_counter()
            vectors = self._model.embed(part)
            self._sizes.worked(len(part), perf_counter() - began)
            return self._checked(vectors)
        except Exception as error:
            failure = _without_frames(error)
        if _device_lost(failure):
            raise DeviceLost(
                f"The GPU failed: {_first_line(failure)}", "Start again to continue; what was written is kept"
            ) from failure
        if len(part) == 1:
            return [self._give_up(failure)]
        if _out_of_memory(failure):
            self._sizes.out_of_memory(len(part))
            _free_memory()
            return self._in_parts(part)
        half = len(part) // 2
        return [*self._part(part[:half]), *self._part(part[half:])]

    def _checked(self, vectors: NDArray[np.float32]) -> list[Any]:
        import numpy as np

        self._worked = True
        finite = np.isfinite(vectors.sum(axis=1, dtype=np.float64))
        bad = Unusable("the model's vector is not finite (a higher precision may help)")
        return [vector if good else bad for vector, good in zip(vectors, finite, strict=True)]

    def _give_up(self, error: Exception) -> Unusable:
        if len(self._failures) < _HOPELESS:
            self._failures.append(error)
        if _out_of_memory(error):
            return Unusable("not enough memory to embed it")
        return Unusable(f"the model failed on it ({_first_line(error)})")


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


def _without_frames(error: Exception) -> Exception:
    """The error and those it came from without tracebacks: their frames keep the failed batch in memory."""
    chain: list[BaseException | None] = [error]
    seen: set[int] = set()
    while chain:
        one = chain.pop()
        if one is not None and id(one) not in seen:
            seen.add(id(one))
            one.__traceback__ = None
            chain += [one.__cause__, one.__context__]
    return error


def _out_of_memory(error: Exception) -> bool:
    text = str(error).lower()
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or (isinstance(error, RuntimeError) and any(word in text for word in _NO_MEMORY))
    )


def _device_lost(error: Exception) -> bool:
    """Whether CUDA gave up: every later call of this process would fail the same way."""
    return (
        isinstance(error, RuntimeError)
        and not _out_of_memory(error)
        and ("CUDA error" in str(error) or type(error).__name__ == "AcceleratorError")
    )


def _free_memory() -> None:
    """Give back what the GPU's allocator holds in pieces of the wrong size; its libraries need some too."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.empty_cache()

"""How many inputs a model gets at once: found while it works, since no table knows every model and device."""

from __future__ import annotations

_LOOKS = 3  # batches of one size; the first warms up (kernels are chosen, memory is reserved)
_GAIN = 1.05  # less than this, and the larger batch costs memory for nothing


class BatchSize:
    """Doubles while that makes the model faster, halves when memory runs out, and then stays.

    Args:
        start: the first size.
        most: the largest that is tried; ``start`` when it is not to grow.
    """

    def __init__(self, start: int, most: int) -> None:
        self.size = start
        self._most = most
        self._settled = 2 * start > most
        self._rates: list[float] = []
        self._best = 0.0

    def worked(self, count: int, seconds: float) -> None:
        """Learn how long a batch took; one that is far from full says nothing about its size."""
        if self._settled or 2 * count <= self.size:
            return
        self._rates.append(count / max(seconds, 1e-9))
        if len(self._rates) < _LOOKS:
            return
        rate, self._rates = max(self._rates[1:]), []
        if rate < _GAIN * self._best:
            self._settle(self.size // 2)
        elif 2 * self.size > self._most:
            self._settle(self.size)
        else:
            self._best = rate
            self.size *= 2

    def out_of_memory(self, count: int) -> None:
        """Learn that so many inputs do not fit."""
        self._settle(max(1, count // 2))

    def _settle(self, size: int) -> None:
        self.size, self._settled = size, True

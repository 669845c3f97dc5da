"""Groups of numbered items that pairs connect, in four bytes an item, whatever the number of pairs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Joined:
    """A union-find over the numbers from 0 to ``count - 1``: pairs come in batches and are forgotten."""

    def __init__(self, count: int) -> None:
        self._parents = np.arange(count, dtype=np.int32)
        self._count = count

    @property
    def whole(self) -> bool:
        """Whether all are connected, so that no pair tells anything new."""
        return self._count <= 1

    def join(self, left: NDArray[np.int64], right: NDArray[np.int64]) -> None:
        """Connect each of ``left`` with the one of ``right`` at its place."""
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        if not len(left):
            return
        roots = np.concatenate([self._roots(left), self._roots(right)])
        nodes, places = np.unique(roots, return_inverse=True)
        edges = places[: len(left)], places[len(left) :]
        graph = coo_array((np.ones(len(left), np.int8), edges), shape=(len(nodes), len(nodes)))
        left_over, labels = connected_components(graph, directed=False)
        self._count -= len(nodes) - int(left_over)
        # The nodes are sorted, so that the first of each component is its smallest.
        _, first = np.unique(labels, return_index=True)
        self._parents[nodes] = nodes[first][labels]

    def groups(self) -> tuple[list[int], list[int]]:
        """The numbers that are connected with any other, ascending, and for each the number of its group."""
        roots = self._roots(np.arange(len(self._parents)))
        sizes = np.bincount(roots, minlength=len(roots))
        members = np.flatnonzero(sizes[roots] > 1)
        return members.tolist(), roots[members].tolist()

    def _roots(self, places: NDArray[np.int64]) -> NDArray[np.int32]:
        roots = self._parents[places]
        while (higher := self._parents[roots]).tobytes() != roots.tobytes():
            roots = higher
        self._parents[places] = roots
        return roots

"""Where a search looks, and how it asks there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tui.core.errors import Interrupted
from tui.core.progress import ShouldStop, never

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from tui.core.client.index_types import Metric
    from tui.core.documents.selection import Selection
    from tui.core.documents.witness import Witness
    from tui.core.milvus import Milvus, Neighbour
    from tui.core.scope import Scope
    from tui.core.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Target:
    """Where to look: a collection, and what part of the dataset counts.

    Attributes:
        scope: that part; ``selection`` is the same, compiled.
        witness: looks at the documents that the search goes by, when any are read.
        ef: how hard the index should look; None for what suits similar vectors.
        tell, should_stop: how far it is, and whether to go on, for what takes long; as for ``search``.
    """

    ws: Workspace
    milvus: Milvus
    collection: str
    metric: Metric
    scope: Scope
    selection: Selection
    witness: Witness | None = None
    ef: int | None = None
    tell: Callable[[int, int], None] = lambda done, total: None
    should_stop: ShouldStop = never

    @property
    def key(self) -> tuple[str, str, Scope]:
        """What names the part of the collection that counts."""
        return self.milvus.address, self.collection, self.scope

    def check_stop(self) -> None:
        """Raise ``Interrupted`` when somebody wants the search to stop."""
        if self.should_stop():
            raise Interrupted("The search was stopped")


def ask(target: Target, vector: NDArray[np.float32], size: int, **how: Any) -> list[Neighbour]:
    """The neighbours of a vector of shape (dim,) that the index finds; ``how`` as for ``Milvus.search``."""
    how = {"ef": target.ef, **how}
    with_samples = target.selection.patches is not None
    return target.milvus.search(
        target.collection, vector[None, :], size, metric=target.metric, sample_ids=with_samples, **how
    )[0]

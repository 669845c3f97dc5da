"""A million vectors from a file: peak memory does not grow with their number."""

from __future__ import annotations

import numpy as np
from numpy.lib.format import open_memmap

from tests.bench._sides import engines


def run(quick: bool) -> list[dict[str, object]]:
    """Rows of the report."""
    count = 100_000 if quick else 1_000_000
    with engines("standalone") as bench:
        path = bench.folder / "rows.npy"
        rows = open_memmap(path, mode="w+", dtype=np.float32, shape=(count, 128))
        for start in range(0, count, 100_000):
            rows[start : start + 100_000] = np.random.default_rng(start).standard_normal((100_000, 128))
        rows.flush()
        del rows
        bench.call("dataset", dataset="bench", count=count)
        built = bench.call("ours-build", dataset="bench", path=str(path))
        return [
            {
                "measure": f"build of {count:,} x 128 from a .npy: peak memory above imports, MB",
                "ours": built["peak"],
                "goal": "<= 300",
            },
            {"measure": f"the same, {count:,} vectors until searchable, s", "ours": built["ready"]},
            {"measure": f"the same, {count:,} vectors until fully indexed, s", "ours": built["indexed"]},
        ]

"""Going on after a kill -9 at half of an upload, and a sync that finds nothing to do."""

from __future__ import annotations

import numpy as np

from tests.bench._sides import clustered, engines

_ENGINES = (("standalone", "Milvus standalone"), ("lite", "Milvus Lite"))


def run(quick: bool) -> list[dict[str, object]]:
    """Rows of the report."""
    count = 20_000 if quick else 100_000
    rows: list[dict[str, object]] = []
    for kind, title in _ENGINES:
        with engines(kind) as bench:
            path = str(bench.folder / "rows.npy")
            np.save(path, clustered(count, 512))
            facts = {"dataset": "bench", "path": path}
            bench.call("dataset", dataset="bench", count=count)
            fresh = bench.call("ours-build", **facts)
            idle = bench.call("ours-sync", dataset="bench")
            bench.call("forget", dataset="bench")
            bench.call("ours-build", kill_at=count // 2, **facts)
            resumed = bench.call("ours-build", **facts)
        what = f"{count:,} x 512, {title}"
        for name, word in (("ready", "searchable"), ("indexed", "its end")):
            rows.append(
                {
                    "measure": f"resume after a kill at half, {what}, s until {word} (against a fresh build)",
                    "ours": resumed[name],
                    "stock": fresh[name],
                    "ratio": resumed[name] / fresh[name],
                    "goal": "<= 0.6" if name == "ready" else None,
                }
            )
        rows.append(
            {"measure": f"sync with nothing to do, {what}, s", "ours": idle["seconds"], "goal": "<= 5"}
        )
        rows.append({"measure": f"its peak memory, {what}, MB", "ours": idle["peak"], "goal": "flat"})
    return rows

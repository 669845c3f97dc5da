"""How much of what is nearest a search finds, at what latency, with default settings: ours and stock's."""

from __future__ import annotations

import numpy as np

from tests.bench._sides import clustered, engines


def run(quick: bool) -> list[dict[str, object]]:
    """Rows of the report."""
    count, queries = (20_000, 100) if quick else (100_000, 300)
    with engines("standalone") as bench:
        path = str(bench.folder / "rows.npy")
        np.save(path, clustered(count, 512))
        facts = {"dataset": "bench", "path": path, "metric": "cosine", "queries": queries}
        bench.call("dataset", dataset="bench", count=count)
        built = bench.call("ours-build", **facts)
        bench.call("stock-add", keep=True, collection="stock", **facts)
        facts["collection"] = built["collection"]
        bench.call("reload", collections=[built["collection"], "stock"])
        ours, stock = [], []
        for _ in range(2):
            ours.append(bench.call("ours-search", **facts))
            stock.append(bench.call("stock-search", **facts))
    mine, theirs = min(one["p50"] for one in ours), min(one["p50"] for one in stock)
    what = f"{count:,} x 512 clustered, default settings"
    return [
        {
            "measure": f"recall@10, {what}",
            "ours": ours[0]["recall"],
            "stock": stock[0]["recall"],
            "goal": ">= 0.99",
        },
        {
            "measure": f"recall@10 of the worst of {queries} queries",
            "ours": ours[0]["worst"],
            "stock": stock[0]["worst"],
        },
        {
            "measure": "latency of these searches, p50, ms",
            "ours": mine,
            "stock": theirs,
            "ratio": mine / theirs,
            "goal": "<= 1.5",
        },
    ]

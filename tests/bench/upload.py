"""Uploading to Milvus against stock FiftyOne's ``add_to_index``: speed and memory, on both engines."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.bench._sides import clustered, engines, median

_ENGINES = (("standalone", "Milvus standalone", ">= 2.5"), ("lite", "Milvus Lite", ">= 1.5"))


def run(quick: bool) -> list[dict[str, object]]:
    """Rows of the report."""
    count = 10_000 if quick else 100_000
    rows: list[dict[str, object]] = []
    for kind, title, goal in _ENGINES:
        ours, stock = _measure(kind, count, 1 if quick else 2)
        what = f"{count:,} x 512 to {title}"
        rows.append(_speed(f"upload {what} until searchable, vectors/s", count, "ready", ours, stock, goal))
        if kind == "standalone":
            rows.append(_speed(f"{what} until fully indexed, vectors/s", count, "indexed", ours, stock, None))
        peak, other = median(ours, "peak"), median(stock, "peak")
        rows.append(
            {
                "measure": f"peak memory of that, client, above imports ({title}), MB",
                "ours": peak,
                "stock": other,
                "ratio": f"1/{other / max(peak, 0.1):.0f}",
                "goal": "<= 1/30" if kind == "standalone" else None,
            }
        )
    return rows


def _measure(kind: str, count: int, rounds: int) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    ours: list[dict[str, Any]] = []
    stock: list[dict[str, Any]] = []
    with engines(kind) as bench:
        path = str(bench.folder / "rows.npy")
        np.save(path, clustered(count, 512))
        facts = {"dataset": "bench", "path": path, "lite": kind == "lite"}
        bench.call("dataset", dataset="bench", count=count)
        for _ in range(rounds):
            ours.append(bench.call("ours-build", **facts))
            bench.call("forget", dataset="bench")
            stock.append(bench.call("stock-add", **facts, collection="stock"))
            bench.call("forget", dataset="bench", collections=["stock"])
    return ours, stock


def _speed(
    measure: str,
    count: int,
    name: str,
    ours: list[dict[str, Any]],
    stock: list[dict[str, Any]],
    goal: str | None,
) -> dict[str, object]:
    mine, theirs = count / median(ours, name), count / median(stock, name)
    return {"measure": measure, "ours": mine, "stock": theirs, "ratio": mine / theirs, "goal": goal}

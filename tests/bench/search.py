"""Searching by sample id against stock FiftyOne's ``sort_by_similarity`` plus reading the same fields.

Whole and narrowed to saved views (by tag) of three sizes, on both engines: from the question to ids, paths,
labels and tags. The sides take turns, query by query, in one process; every query is a sample that neither
side has searched for before.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from tests.bench._sides import Bench, clustered, engines, workspace

_K = 25
_FIELDS = ["id", "filepath", "ground_truth.label", "tags"]
_GOALS = {0: ">= 1", 1_000: None, 10_000: ">= 8", 50_000: ">= 30"}


def run(quick: bool) -> list[dict[str, object]]:
    """Rows of the report: ms, and how much of what is nearest was found."""
    count, queries = (20_000, 20) if quick else (100_000, 100)
    sizes = [size for size in _GOALS if size < count]
    rows: list[dict[str, object]] = []
    for kind, title in (("standalone", "Milvus standalone"), ("lite", "Milvus Lite")):
        with engines(kind) as bench:
            made = _make(bench, kind, count, sizes)
            found = bench.call("search", module=__name__, **made, sizes=sizes, queries=queries)
        for size in sizes:
            where = f"in a view of {size:,} of {count:,}" if size else f"in all {count:,}"
            goal = _GOALS[size] if kind == "standalone" and not quick else None
            rows += _rows(f"search by id, k={_K}, {where}, {title}", found[str(size)], goal)
    return rows


def _make(bench: Bench, kind: str, count: int, sizes: list[int]) -> dict[str, Any]:
    path = str(bench.folder / "rows.npy")
    np.save(path, clustered(count, 512))
    facts = {"dataset": "bench", "path": path, "metric": "cosine", "lite": kind == "lite"}
    bench.call("dataset", module=__name__, dataset="bench", count=count, sizes=sizes)
    built = bench.call("ours-build", **facts)
    bench.call("stock-add", keep=True, collection="stock", **facts)
    # What a server has just been given it compares one by one: as it will be, it is after the next loading.
    bench.call("reload", collections=[built["collection"], "stock"])
    return facts


def _rows(what: str, found: dict[str, Any], goal: str | None) -> list[dict[str, object]]:
    ours, stock = found["ours"], found["stock"]
    return [
        {
            "measure": f"{what}, p50, ms",
            "ours": ours["p50"],
            "stock": stock["p50"],
            "ratio": stock["p50"] / ours["p50"],
            "goal": goal,
        },
        {
            "measure": f"{what}, p99, ms",
            "ours": ours["p99"],
            "stock": stock["p99"],
            "ratio": stock["p99"] / ours["p99"],
        },
        {
            "measure": f"{what}, recall",
            "ours": ours["recall"],
            "stock": stock["recall"],
            "goal": ">= 0.98" if found["size"] else ">= 0.99",
        },
        {"measure": f"{what}, fewest results", "ours": ours["fewest"], "stock": stock["fewest"], "goal": _K},
    ]


# -- the measured process -----------------------------------------------------------------------
def _dataset(facts: dict[str, Any]) -> dict[str, Any]:
    """A dataset by copying one sample, with a saved view for each size: random members, by tag."""
    from bson import ObjectId

    dice = np.random.default_rng(1)
    inside = {
        f"v{size}": set(dice.choice(facts["count"], size, replace=False).tolist())
        for size in facts["sizes"]
        if size
    }
    with workspace(facts) as ws:
        fo = ws.fiftyone()
        dataset = fo.Dataset(facts["dataset"], persistent=True)
        dataset.add_sample(fo.Sample(filepath="/nowhere/0.png", ground_truth=fo.Classification(label="a")))
        samples = dataset._sample_collection
        template = samples.find_one()
        samples.delete_one({})
        for start in range(0, facts["count"], 20_000):
            samples.insert_many(
                [
                    {
                        **template,
                        "_id": ObjectId(),
                        "filepath": f"/nowhere/{at}.png",
                        "tags": [name for name, members in inside.items() if at in members],
                        "ground_truth": {**template["ground_truth"], "_id": ObjectId()},
                    }
                    for at in range(start, min(facts["count"], start + 20_000))
                ]
            )
        for name in inside:
            dataset.save_view(name, dataset.match_tags(name))
    return {"count": facts["count"]}


def _search(facts: dict[str, Any]) -> dict[str, Any]:
    import fiftyone as fo

    dataset = fo.load_dataset(facts["dataset"])
    dataset.load_brain_results("stock", uri=facts["milvus"])
    ids, tags = dataset.values(["id", "tags"])
    vectors = np.load(facts["path"], mmap_mode="r")
    order = iter(np.random.default_rng(2).permutation(len(ids)).tolist())
    answer: dict[str, Any] = {}
    with workspace(facts) as ws:
        for size in facts["sizes"]:
            name = f"v{size}" if size else None
            sides = _sides(ws, dataset, name)
            for _ in range(3):
                one = ids[next(order)]
                for side in sides.values():
                    side(one)
            inside = np.array([name is None or name in some for some in tags])
            queries = facts["queries"] if size < 50_000 else facts["queries"] // 4
            found = _measured(sides, [next(order) for _ in range(queries)], ids, vectors, inside)
            answer[str(size)] = {"size": size, **found}
    return answer


def _sides(ws: Any, dataset: Any, name: str | None) -> dict[str, Callable[[str], list[str]]]:
    from tui.core.search import Query, search

    view = dataset.load_saved_view(name) if name else dataset

    def ours(id: str) -> list[str]:
        return [hit.id for hit in search(ws, Query(dataset.name, "k", ids=(id,), k=_K, view=name)).hits]

    def stock(id: str) -> list[str]:
        found: list[str] = view.sort_by_similarity(id, k=_K, brain_key="stock").values(_FIELDS)[0]
        return found

    return {"ours": ours, "stock": stock}


def _measured(
    sides: dict[str, Callable[[str], list[str]]],
    queries: list[int],
    ids: list[str],
    vectors: Any,
    inside: Any,
) -> dict[str, Any]:
    place = {one: at for at, one in enumerate(ids)}
    times: dict[str, list[float]] = {side: [] for side in sides}
    recalls: dict[str, list[float]] = {side: [] for side in sides}
    counts: dict[str, list[int]] = {side: [] for side in sides}
    for turn, query in enumerate(queries):
        scores = np.where(inside, vectors @ vectors[query], -np.inf)
        best = set(np.argpartition(-scores, _K)[:_K].tolist())
        for side in list(sides) if turn % 2 else list(sides)[::-1]:
            began = time.perf_counter()
            found = sides[side](ids[query])
            times[side].append(1000 * (time.perf_counter() - began))
            recalls[side].append(len({place[one] for one in found} & best) / _K)
            counts[side].append(len(found))
    return {
        side: {
            "p50": float(np.median(times[side])),
            "p99": float(np.percentile(times[side], 99)),
            "recall": float(np.mean(recalls[side])),
            "fewest": min(counts[side]),
        }
        for side in sides
    }


ACTIONS = {"dataset": _dataset, "search": _search}

if __name__ == "__main__":
    print(json.dumps(ACTIONS[sys.argv[1]](json.loads(sys.argv[2]))), flush=True)

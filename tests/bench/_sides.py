"""One side of a comparison in a process of its own: ``python -m tests.bench._sides ACTION JSON``.

A process of its own, because FiftyOne is bound to one database per process, and because its peak memory is
measured: above what the imports and the connections take, from the kernel's own high-water mark.
"""

from __future__ import annotations

import json
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.engines.servers import MilvusLite, MilvusServer, Mongod
from tests.engines.standalone import MilvusStandalone

_HOMES = ("HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME")
_QUIET = {
    "FIFTYONE_DATABASE_VALIDATION": "false",
    "FIFTYONE_LOGGING_LEVEL": "CRITICAL",
    "FIFTYONE_SHOW_PROGRESS_BARS": "false",
    "FIFTYONE_DO_NOT_TRACK": "true",
    "GRPC_VERBOSITY": "NONE",
    "PYTHONWARNINGS": "ignore",
}


# -- the measuring process ----------------------------------------------------------------------
class Bench:
    """A mongod, a Milvus, and a folder, for processes that measure."""

    def __init__(self, folder: Path, mongo: Mongod, milvus: MilvusServer) -> None:
        self.folder, self.mongo, self.milvus = folder, mongo, milvus

    def environment(self) -> dict[str, str]:
        return (
            os.environ
            | dict.fromkeys(_HOMES, str(self.folder))
            | _QUIET
            | {"FIFTYONE_DATABASE_URI": self.mongo.uri}
        )

    def call(
        self,
        action: str,
        *,
        kill_at: int | None = None,
        module: str = "tests.bench._sides",
        **facts: Any,
    ) -> dict[str, Any]:
        """Run one side and answer what it measured; with ``kill_at``, kill it when so many are written."""
        facts |= {"mongo": self.mongo.uri, "milvus": self.milvus.uri}
        command = [sys.executable, "-m", module, action, json.dumps(facts)]
        answer: dict[str, Any] = {}
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=self.environment()) as process:
            assert process.stdout is not None
            for line in process.stdout:
                if line.startswith("written ") and kill_at is not None and int(line.split()[1]) >= kill_at:
                    process.send_signal(signal.SIGKILL)
                    break
                if line.startswith("{"):
                    answer = json.loads(line)
        print(f"  {action} {answer}", file=sys.stderr, flush=True)
        if kill_at is None and not answer:
            raise RuntimeError(f"{action} measured nothing, exit code {process.returncode}")
        return answer


@contextmanager
def engines(kind: str) -> Iterator[Bench]:
    """Fresh engines: ``standalone`` or ``lite``."""
    with (
        TemporaryDirectory(prefix="kitescope-bench-", ignore_cleanup_errors=True) as name,
        Mongod(Path(name) / "mongo") as mongo,
    ):
        folder = Path(name)
        made = MilvusLite(folder / "milvus") if kind == "lite" else MilvusStandalone(folder / "milvus")
        with made as milvus:
            yield Bench(folder, mongo, milvus)


def clustered(count: int, dim: int, seed: int = 0, centres: int = 200) -> NDArray[np.float32]:
    """Vectors of a Gaussian mixture, of length one, as a model's embeddings look."""
    dice = np.random.default_rng(seed)
    middles = dice.standard_normal((centres, dim)).astype(np.float32)
    rows = np.empty((count, dim), dtype=np.float32)
    for start in range(0, count, 50_000):
        end = min(count, start + 50_000)
        noise = dice.standard_normal((end - start, dim)).astype(np.float32)
        rows[start:end] = middles[dice.integers(centres, size=end - start)] + 0.6 * noise
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows


def median(values: list[dict[str, Any]], name: str) -> float:
    return float(statistics.median(value[name] for value in values))


# -- the measured process -----------------------------------------------------------------------
class Memory:
    """Peak memory above this moment, in MB."""

    def __init__(self) -> None:
        Path("/proc/self/clear_refs").write_text("5")
        self._start = self._read("VmRSS")

    def peak(self) -> float:
        return max(0.0, self._read("VmHWM") - self._start)

    @staticmethod
    def _read(name: str) -> float:
        with Path("/proc/self/status").open() as lines:
            return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(name))


def workspace(facts: dict[str, Any]) -> Any:
    from tui.core.settings import resolve
    from tui.core.workspace import Workspace

    return Workspace(resolve(flags={"uri": facts["milvus"], "database_uri": facts["mongo"]}, env={}))


def _make_dataset(facts: dict[str, Any]) -> dict[str, Any]:
    """A dataset of many samples, by copying one: FiftyOne itself would take 0.45 ms for each."""
    from bson import ObjectId

    with workspace(facts) as ws:
        fo = ws.fiftyone()
        dataset = fo.Dataset(facts["dataset"], persistent=True)
        dataset.add_sample(fo.Sample(filepath="/nowhere/0.png"))
        samples = dataset._sample_collection
        template = samples.find_one()
        for start in range(1, facts["count"], 20_000):
            end = min(facts["count"], start + 20_000)
            samples.insert_many(
                [
                    {**template, "_id": ObjectId(), "filepath": f"/nowhere/{at}.png"}
                    for at in range(start, end)
                ]
            )
    return {"count": facts["count"]}


def _spec(facts: dict[str, Any]) -> Any:
    from tui.core import indexes

    source = indexes.Source(embeddings=facts["path"])
    return indexes.BuildSpec(
        indexes.Scope(facts["dataset"]), "k", source, metric=facts.get("metric", "cosine")
    )


def _ours_build(facts: dict[str, Any]) -> dict[str, Any]:
    """Build from a file: seconds until all is written, until it is searchable and counted, until indexed."""
    import tui.core.filling.building
    from tui.core import indexes
    from tui.core.progress import Progress

    assert tui.core.filling.building
    with workspace(facts) as ws:
        ws.milvus()
        ws.database().command("ping")
        memory, began = Memory(), time.perf_counter()
        times: dict[str, float] = {}

        def tell(event: object) -> None:
            if isinstance(event, Progress):
                now = time.perf_counter() - began
                if event.phase == "upload":
                    times["written"] = now
                    print("written", event.done, flush=True)
                elif event.phase == "index" and event.total is not None:
                    times.setdefault("ready", now)

        result = indexes.build(ws, _spec(facts), tell)
        return {
            **times,
            "indexed": time.perf_counter() - began,
            "peak": memory.peak(),
            "collection": result.collection,
            "vectors": result.vectors,
        }


def _stock_add(facts: dict[str, Any]) -> dict[str, Any]:
    """Stock FiftyOne's ``add_to_index`` of the same rows, in the same order."""
    import fiftyone as fo
    import fiftyone.brain as fob

    dataset = fo.load_dataset(facts["dataset"])
    ids = dataset.values("id")
    index = fob.compute_similarity(
        dataset,
        embeddings=False,
        backend="milvus",
        brain_key="stock",
        uri=facts["milvus"],
        collection_name=facts["collection"],
        metric=facts.get("metric", "cosine"),
    )
    rows = np.load(facts["path"])  # not counted against it
    memory, began = Memory(), time.perf_counter()
    index.add_to_index(rows, ids)
    ready = time.perf_counter() - began
    peak = memory.peak()
    if not facts.get("lite"):
        with workspace(facts) as ws:
            while ws.milvus().index_progress(facts["collection"])[0] < len(ids):
                time.sleep(0.5)
    indexed = time.perf_counter() - began
    if not facts.get("keep"):
        dataset.delete_brain_run("stock")
    return {"ready": ready, "indexed": indexed, "peak": peak}


def _ours_sync(facts: dict[str, Any]) -> dict[str, Any]:
    import tui.core.filling.syncing
    from tui.core import indexes

    assert tui.core.filling.syncing
    with workspace(facts) as ws:
        ws.milvus()
        ws.database().command("ping")
        memory, began = Memory(), time.perf_counter()
        result = indexes.sync(ws, facts["dataset"], "k")
        assert (result.added, result.removed) == (0, 0)
        return {"seconds": time.perf_counter() - began, "peak": memory.peak()}


def _forget(facts: dict[str, Any]) -> dict[str, Any]:
    """Delete what a build made, so that the next starts afresh."""
    from tui.core import runs

    with workspace(facts) as ws:
        if runs.get_run(ws, facts["dataset"], "k") is not None:
            runs.delete(ws, facts["dataset"], "k")
        for name in ws.milvus().collections():
            if name in facts.get("collections", ()):
                ws.milvus().drop(name)
    return {"done": True}


def _queries(facts: dict[str, Any]) -> tuple[NDArray[np.float32], list[set[int]]]:
    """Queries near the data, and for each the rows of its ten nearest by exact search."""
    rows = np.load(facts["path"], mmap_mode="r")
    queries = clustered(facts["queries"], rows.shape[1], seed=0)  # the same mixture
    queries += 0.02 * np.random.default_rng(5).standard_normal(queries.shape).astype(np.float32)
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    scores = np.concatenate(
        [queries @ np.asarray(rows[at : at + 20_000]).T for at in range(0, len(rows), 20_000)], axis=1
    )
    return queries, [set(np.argpartition(-one, 10)[:10].tolist()) for one in scores]


def _searched(
    facts: dict[str, Any], ids: list[str], search: Callable[[NDArray[np.float32]], list[str]]
) -> dict[str, Any]:
    queries, truth = _queries(facts)
    place = {one: at for at, one in enumerate(ids)}
    recalls, times = [], []
    for query, best in zip(queries, truth, strict=True):
        began = time.perf_counter()
        found = search(query)
        times.append(1000 * (time.perf_counter() - began))
        recalls.append(len({place[one] for one in found} & best) / 10)
    return {"recall": statistics.fmean(recalls), "worst": min(recalls), "p50": statistics.median(times)}


def _ours_search(facts: dict[str, Any]) -> dict[str, Any]:
    from tui.core.documents.scopes import scope_ids

    with workspace(facts) as ws:
        milvus = ws.milvus()
        ids = [one for page, _ in scope_ids(ws, _spec(facts).scope) for one in page]
        name = facts["collection"]
        return _searched(
            facts, ids, lambda query: [hit.id for hit in milvus.search(name, query, 10, metric="cosine")[0]]
        )


def _stock_search(facts: dict[str, Any]) -> dict[str, Any]:
    import fiftyone as fo

    dataset = fo.load_dataset(facts["dataset"])
    index = dataset.load_brain_results("stock", uri=facts["milvus"])
    return _searched(facts, dataset.values("id"), lambda query: list(index._kneighbors(query=query, k=10)[0]))


def _reload(facts: dict[str, Any]) -> dict[str, Any]:
    """Load collections anew: until then Milvus compares rows just written one by one, as if exact."""
    with workspace(facts) as ws:
        for name in facts["collections"]:
            ws.milvus().release(name)
            ws.milvus().load(name)
    return {"done": True}


ACTIONS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "dataset": _make_dataset,
    "ours-build": _ours_build,
    "stock-add": _stock_add,
    "ours-sync": _ours_sync,
    "ours-search": _ours_search,
    "stock-search": _stock_search,
    "reload": _reload,
    "forget": _forget,
}

if __name__ == "__main__":
    print(json.dumps(ACTIONS[sys.argv[1]](json.loads(sys.argv[2]))), flush=True)

from __future__ import annotations

import contextlib
import os
import signal
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import settings_for
from tests.engines.servers import MilvusLite, Mongod
from tui.core.documents.selection import Scope
from tui.core.indexes import BuildSpec, Source
from tui.core.settings import Settings
from tui.jobs.spec import JobSpec, job_spec
from tui.jobs.store import JobStore

COUNT = 1_200
DIM = 16


@dataclass(frozen=True)
class Vectors:
    """A dataset of ``COUNT`` samples and a file with a vector for each."""

    dataset: str
    file: Path
    ids: tuple[str, ...]


@dataclass(frozen=True)
class Brake:
    """Workers that find ``path`` in their environment take their time while ``file`` is there."""

    file: Path

    def path(self, environment: Mapping[str, str]) -> str:
        """The ``PYTHONPATH`` of an environment with what brakes before it."""
        return os.pathsep.join(filter(None, (str(self.file.parent), environment.get("PYTHONPATH"))))

    def let_go(self) -> None:
        """Let every build go on as fast as it can."""
        self.file.unlink()


@pytest.fixture(scope="session")
def vectors(tmp_path_factory: pytest.TempPathFactory, mongod: Mongod) -> Vectors:
    """Written straight into the database: FiftyOne would take its time for the same documents."""
    import numpy as np
    import pymongo
    from bson import ObjectId

    file = tmp_path_factory.mktemp("vectors") / "vectors.npy"
    np.save(file, np.random.default_rng(7).normal(size=(COUNT, DIM)).astype(np.float32))
    # Two folders of tests use this fixture, each gets a dataset of its own.
    name = f"jobs-vectors-{uuid.uuid4().hex[:8]}"
    make_dataset(mongod, name)
    with pymongo.MongoClient(mongod.uri) as client:
        database = client["fiftyone"]
        samples = database[database["datasets"].find_one({"name": name})["sample_collection_name"]]
        template = samples.find_one({})
        samples.delete_many({})
        made = [ObjectId() for _ in range(COUNT)]
        samples.insert_many([{**template, "_id": one, "filepath": f"/none/{one}.png"} for one in made])
    return Vectors(name, file, tuple(map(str, made)))


def make_dataset(mongod: Mongod, name: str) -> None:
    from tui.core.settings import resolve
    from tui.core.workspace import Workspace

    with Workspace(resolve(flags={"database_uri": mongod.uri}, env={})) as ws:
        fiftyone = ws.fiftyone()
        dataset = fiftyone.Dataset(name, persistent=True)
        dataset.add_sample(fiftyone.Sample(filepath="/none/first.png"))


@pytest.fixture
def settings(mongod: Mongod, milvus_lite: MilvusLite) -> Settings:
    return settings_for(mongod, milvus_lite)


@pytest.fixture
def store(home: Path) -> JobStore:
    return JobStore()


_TAKES_ITS_TIME = """
import sys
if "tui.jobs.worker" in sys.orig_argv:
    import time
    from pathlib import Path
    from tui.core.milvus import Milvus
    def upsert(self, *arguments, own=Milvus.upsert, **options):
        if Path({brake!r}).exists():
            time.sleep(0.05)
        return own(self, *arguments, **options)
    Milvus.upsert = upsert
"""


@pytest.fixture
def brake(tmp_path: Path) -> Brake:
    """Builds that take their time until they are let go: a second of theirs is short for a busy machine."""
    folder = tmp_path / "brake"
    folder.mkdir()
    made = Brake(folder / "on")
    made.file.touch()
    (folder / "sitecustomize.py").write_text(_TAKES_ITS_TIME.format(brake=str(made.file)))
    return made


@pytest.fixture
def spec_for(
    vectors: Vectors, unique_name: Callable[[str], str], brake: Brake, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., JobSpec]:
    """``spec_for(settings, slow=True)``: a build of the vectors; slow: one request per vector, and braked."""

    def make(settings: Settings, *, slow: bool = False, **over: Any) -> JobSpec:
        if slow:
            monkeypatch.setenv("PYTHONPATH", brake.path(os.environ))
        key = unique_name("k").replace("-", "_")
        build = BuildSpec(
            **{
                "scope": Scope(vectors.dataset),
                "brain_key": key,
                "source": Source(embeddings=str(vectors.file)),
                "batch_size": 1 if slow else None,
                **over,
            }
        )
        return job_spec("build", vectors.dataset, key, settings, build)

    return make


@pytest.fixture(autouse=True)
def no_worker_left(home: Path) -> Iterator[None]:
    """Kill what a failed test left running."""
    yield
    store = JobStore()
    for job in store.list() if store.path.exists() else []:
        if not job.ended and job.pid and job.pid != os.getpid():
            with contextlib.suppress(ProcessLookupError):  # it may end by itself at this moment
                os.killpg(job.pid, signal.SIGKILL)

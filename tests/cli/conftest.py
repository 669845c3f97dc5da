from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.cli.program import Cli, Ran
from tests.engines.servers import MilvusLite, Mongod

DEMO = "kitescope-demo"


@dataclass(frozen=True)
class Demo:
    """The demo, made once for the session: how that went, and the ids of its first samples."""

    ran: Ran
    ids: tuple[str, ...]
    environment: dict[str, str]


def xdg(place: Path) -> dict[str, str]:
    """A home of its own."""
    names = ("CONFIG", "DATA", "STATE", "CACHE")
    return {"HOME": str(place), **{f"XDG_{name}_HOME": str(place / name.lower()) for name in names}}


@pytest.fixture
def cli(engine_environment: dict[str, str]) -> Cli:
    """The program on the session's mongod and Milvus Lite, in this test's home."""
    return Cli(engine_environment)


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory, mongod: Mongod, milvus_lite: MilvusLite) -> Iterator[Demo]:
    environment = {
        **os.environ,
        **xdg(tmp_path_factory.mktemp("demo-home")),
        "FIFTYONE_DATABASE_URI": mongod.uri,
        "FIFTYONE_BRAIN_SIMILARITY_MILVUS_URI": milvus_lite.uri,
    }
    ran = Cli(environment)("demo", "--no-ui", "--json")
    import pymongo

    with pymongo.MongoClient(mongod.uri) as client:
        database = client["fiftyone"]
        samples = database["datasets"].find_one({"name": DEMO})["sample_collection_name"]
        ids = tuple(str(row["_id"]) for row in database[samples].find({}, {"_id": 1}).sort("_id").limit(40))
    yield Demo(ran, ids, environment)

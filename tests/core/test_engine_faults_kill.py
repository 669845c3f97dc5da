"""kill -9 of a build at random points: what was acknowledged stays, and starting again ends exactly right."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.core.indexing import assert_exact, collection_of, make_samples, random_vectors, saved
from tests.core.making import all_ids
from tests.engines.servers import MilvusServer, Mongod
from tui.core import indexes, runs
from tui.core.documents.scopes import Scope
from tui.core.workspace import Workspace

_COUNT = 1_200
_KILLS = 20

# Imports everything once; then each line of its stdin is a build in a process of its own, which prints its
# pid and its events. The fork happens before any connection is made.
NURSERY = """
import json, os, sys
import pymongo, tui.core.filling.building, tui.core.milvus
from tui.core import indexes
from tui.core.filling import fill as filling
from tui.core.client.link import pymilvus
from tui.core.progress import Progress
from tui.core.settings import resolve
from tui.core.workspace import Workspace
pymilvus()
filling._LATE = 0  # as a large build: a server's index is made at the end
def say(*facts):
    os.write(1, (json.dumps(facts) + "\\n").encode())
def tell(event):
    if isinstance(event, Progress):
        say(event.phase, event.done, event.total)
def build(mongod, milvus, dataset, path):
    spec = indexes.BuildSpec(indexes.Scope(dataset), "k", indexes.Source(embeddings=path), batch_size=40)
    with Workspace(resolve(flags={"database_uri": mongod, "uri": milvus}, env={})) as ws:
        result = indexes.build(ws, spec, tell)
        say("done", result.vectors, result.vectors)
for line in sys.stdin:
    child = os.fork()
    if not child:
        try:
            say("pid", os.getpid(), 0)
            build(*json.loads(line))
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    say("gone", 0, 0)
"""

Fact = tuple[str, int, int | None]


class Nursery:
    """Builds in processes that may be killed."""

    def __init__(self) -> None:
        pipe = subprocess.PIPE
        command = [sys.executable, "-c", NURSERY]
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=os.environ)

    def run(self, arguments: list[str], kill_after: int | None = None) -> tuple[list[Fact], bool]:
        """Run a build and kill it after so many facts; answers what it said and whether it ended itself."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(arguments) + "\n")
        self._process.stdin.flush()
        said: list[Fact] = []
        pid = 0
        for line in self._process.stdout:
            phase, done, total = json.loads(line)
            if phase == "gone":
                break
            pid = done if phase == "pid" else pid
            said.append((phase, done, total))
            if len(said) == kill_after:
                with suppress(ProcessLookupError):  # it has said its last word, and may be gone
                    os.kill(pid, signal.SIGKILL)
        return said, said[-1][0] == "done"

    def close(self) -> None:
        self._process.communicate(timeout=30)


@pytest.fixture
def nursery() -> Iterator[Nursery]:
    made = Nursery()
    yield made
    made.close()


def _acknowledged(said: list[Fact]) -> int:
    return max([done for phase, done, _ in said if phase == "upload"], default=0)


def test_a_build_survives_kill_9_at_twenty_random_points(
    engine_workspace: Workspace,
    milvus_engine: MilvusServer,
    mongod: Mongod,
    unique_name: Callable[[str], str],
    tmp_path: Path,
    nursery: Nursery,
) -> None:
    ws, name = engine_workspace, unique_name("killed")
    make_samples(ws, name, _COUNT)
    ids, _ = all_ids(ws, Scope(name))
    rows = random_vectors(_COUNT)
    arguments = [mongod.uri, milvus_engine.uri, name, saved(tmp_path, rows)]
    dice = random.Random(7 if milvus_engine.is_lite else 11)
    kills = acknowledged = 0
    while kills < _KILLS:
        said, ended = nursery.run(arguments, dice.randint(1, 24))
        begun = [done for phase, done, _ in said if phase == "embed"]
        if begun:
            assert begun[0] >= acknowledged, "an acknowledged batch was embedded twice"
        acknowledged = max(acknowledged, _acknowledged(said))
        if ended:
            assert_exact(ws, collection_of(ws, name), set(ids), dict(zip(ids, rows, strict=True)))
            runs.delete(ws, name, "k")
            acknowledged = 0
        else:
            kills += 1
            assert runs.get_run(ws, name, "k") is None or acknowledged == _COUNT
    if runs.get_run(ws, name, "k") is None:
        said, ended = nursery.run(arguments)
        assert ended, said
    assert_exact(ws, collection_of(ws, name), set(ids), dict(zip(ids, rows, strict=True)))
    check = indexes.check(ws, name, "k")
    assert (check.health, check.duplicates, check.vectors) == ("ok", 0, _COUNT)
    again = indexes.sync(ws, name, "k")
    assert (again.added, again.removed, again.repaired) == (0, 0, 0)

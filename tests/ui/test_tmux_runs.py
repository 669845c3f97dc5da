"""By real keys in a real terminal: one stale run among 200 is found and mended, and an orphan dropped."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from bson import ObjectId

from tests.core.making import all_ids, fill, make_dataset, make_index, vectors
from tests.ui.terminal import Terminal
from tui.core import collections, indexes, runs
from tui.core.scope import Scope
from tui.core.workspace import Workspace

COUNT = 200
STALE = "k137"


@pytest.fixture
def terminal(engine_environment: dict[str, str]) -> Iterator[Terminal]:
    assert shutil.which("tmux"), "make test installs tmux"
    env = engine_environment | {"TERM": "xterm-256color", "LANG": "C.UTF-8"}
    env.pop("TMUX", None)
    made = Terminal(env, (100, 24))
    yield made
    made.close()


@pytest.fixture
def dataset(workspace: Workspace) -> str:
    """A dataset of three samples and 200 runs, of which one has a vector too many; and an orphan."""
    name = f"lot{uuid.uuid4().hex[:6]}"
    make_dataset(workspace, name, 3)
    good = make_index(workspace, Scope(name), "k000", vectors(3))
    _repeat(workspace, name, [f"k{n:03}" for n in range(1, COUNT) if f"k{n:03}" != STALE])
    stale = make_index(workspace, Scope(name), STALE, vectors(3))
    workspace.milvus().upsert(stale, ["f" * 24], ["f" * 24], vectors(1))
    ids, samples = all_ids(workspace, Scope(name))
    fill(workspace, f"orphan_{name}", ids, samples, vectors(3))
    assert runs.with_health(workspace, runs.require_run(workspace, name, "k001")).collection == good
    return name


def _repeat(ws: Workspace, dataset: str, keys: list[str]) -> None:
    """Let runs like ``k000`` exist under these keys; made one by one they would take a minute."""
    database: Any = ws.database()
    record = database["datasets"].find_one({"name": dataset})
    run = database["runs"].find_one({"_id": record["brain_methods"]["k000"]})
    made = [{**run, "_id": ObjectId(), "key": key} for key in keys]
    database["runs"].insert_many(made)
    refer = {f"brain_methods.{one['key']}": one["_id"] for one in made}
    database["datasets"].update_one({"_id": record["_id"]}, {"$set": refer})


def test_the_one_stale_run_among_200_is_repaired_and_renamed_and_an_orphan_dropped(
    terminal: Terminal, dataset: str, workspace: Workspace
):
    def see(*parts: str) -> None:
        terminal.until(lambda screen: all(part in screen for part in parts))

    terminal.start()
    see("● FiftyOne", "● Milvus")
    terminal.press("2")
    see("Samples")
    terminal.press("/")
    see("every word must occur")
    terminal.press(dataset, "Enter")
    terminal.until(lambda screen: "3  image" in screen and "every word" not in screen)
    terminal.press("Enter")
    see(f"▸ {dataset}")
    terminal.press("5")
    see(f"Runs of {dataset} {COUNT}")
    terminal.press("f")
    see("Which runs")
    terminal.press("healthy", "Enter")
    see("only what is not healthy", STALE, "◐ stale", "4 of 3")
    terminal.press("u")
    see(f"Sync {dataset} / {STALE}?")
    terminal.press("y")
    see("✓ done")
    terminal.press("5")
    see("No run is of that kind")
    terminal.press("f")
    see("Which runs")
    terminal.press("every", "Enter")
    see("✓ ok", "k000")
    terminal.press("/")
    see("every word must occur")
    terminal.press(STALE, "Enter")
    see("1 fit the filter")
    terminal.press("R")
    see("New key for", "That is its key already")
    terminal.press("mended")
    terminal.until(lambda screen: "mended" in screen and "already" not in screen)
    terminal.press("Enter")
    see(f"{dataset} / mended")
    terminal.press("Tab")
    see("Used by", "without a run", "loaded")
    terminal.press("/")
    see("every word must occur")
    terminal.press(f"orphan_{dataset}", "Enter")
    see("1 fit the filter")
    terminal.press("d")
    see(f"Drop orphan_{dataset}?", "3 vectors")
    terminal.press(f"orphan_{dataset}", "Enter")
    see("0 fit the filter")
    terminal.press("q")
    assert terminal.ended(60)

    assert not workspace.milvus().exists(f"orphan_{dataset}")
    found = {run.brain_key for run in runs.list_runs(workspace, dataset)}
    assert len(found) == COUNT and "mended" in found and STALE not in found
    assert indexes.check(workspace, dataset, "mended").health == "ok"
    row = collections.collection_row(workspace, f"k_{dataset}_k000")
    assert (len(row.runs), row.vectors) == (COUNT - 1, 3)

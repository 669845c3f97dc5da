"""The Search screen under a held key: stalls of the event loop, memory, and how soon answers are seen.

The program runs in a pseudo-terminal of 200x50 on pictures of 640x480 and is driven by its own keys, from
inside its event loop; a bare loop that only sleeps tells what the machine itself adds.
"""

from __future__ import annotations

import asyncio
import json
import os
import pty
import statistics
import struct
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Awaitable, Callable
from fcntl import ioctl
from pathlib import Path
from termios import TIOCSWINSZ
from typing import Any

import numpy as np
import psutil

from tests.bench._sides import Bench, Memory, clustered, engines, workspace

_DIM = 512
_FILES = 1_000
_HELD = 1 / 30  # seconds between two strokes of a held key
_SCROLLED, _DEEP = 1_000, 10_000
_OPENED = 3
_QUIET_S = 0.3  # until what was opened is painted


def run(quick: bool) -> list[dict[str, object]]:
    """Rows of the report."""
    count, queries = (12_000, 10) if quick else (100_000, 100)
    with engines("lite" if quick else "standalone") as bench:
        facts = {"mongo": bench.mongo.uri, "milvus": bench.milvus.uri, "count": count, "queries": queries}
        _call(bench, "make", facts | {"folder": str(bench.folder)})
        found = _call(bench, "drive", facts)
    of = f"of {count:,} vectors, 200x50"
    rows: list[dict[str, object]] = [
        {
            "measure": f"longest stall of the event loop, a held key through {_SCROLLED:,} results, ms",
            "ours": found["stall"],
            "goal": "<= 50",
        },
        {"measure": "longest stall of a loop that only sleeps, as long, ms", "ours": found["idle"]},
        *(
            {"measure": f"longest stall while {what}, 200x50, ms", "ours": found[name], "goal": "<= 50"}
            for name, what in (
                ("dialog", f"the tag dialog, help and the palette open over pictures, {_OPENED} times each"),
                ("large", f"a picture is shown large and the grid again, {_OPENED} times"),
                ("visit", "the other five screens are seen for the first time"),
            )
        ),
        {
            "measure": f"memory, {found['loaded']:,} results scrolled, above the start of the search, MB",
            "ours": found["memory"],
            "goal": "<= 200",
        },
        {"measure": "memory of the processes that paint then, MB", "ours": found["painters"]},
    ]
    for what, times in (("ids", found["ids"]), ("the first screen of pictures", found["pictures"])):
        rows += [
            {"measure": f"from key press to {what}, {of}, median, ms", "ours": statistics.median(times)},
            {"measure": f"from key press to {what}, {of}, p99, ms", "ours": float(np.percentile(times, 99))},
        ]
    return rows


def _call(bench: Bench, action: str, facts: dict[str, Any]) -> dict[str, Any]:
    """Run one part in a process of its own, in a pseudo-terminal; answers what it measured."""
    answer = bench.folder / f"{action}.json"
    master, slave = pty.openpty()
    ioctl(slave, TIOCSWINSZ, struct.pack("4H", 50, 200, 1_600, 800))
    log = (bench.folder / f"{action}.log").open("wb")
    env = bench.environment() | {"TERM": "xterm-256color", "COLORTERM": "truecolor"}
    command = [sys.executable, "-m", "tests.bench.scrolling", action, json.dumps(facts), str(answer)]
    with subprocess.Popen(command, stdin=slave, stdout=slave, stderr=log, env=env) as process:
        os.close(slave)
        threading.Thread(target=_drain, args=(master,), daemon=True).start()
        code = process.wait()
    log.close()
    if code or not answer.exists():
        raise RuntimeError(
            f"{action} failed ({code}):\n{(bench.folder / f'{action}.log').read_text()[-3000:]}"
        )
    found: dict[str, Any] = json.loads(answer.read_text())
    return found


def _drain(master: int) -> None:
    try:
        while os.read(master, 1 << 16):
            pass
    except OSError:
        pass


# -- the measured process -----------------------------------------------------------------------
def _make(facts: dict[str, Any]) -> dict[str, Any]:
    """Pictures, samples that show them in turn, and an index of clustered vectors."""
    from bson import ObjectId
    from PIL import Image

    from tests.core.making import make_index
    from tui.core.scope import Scope

    folder = Path(facts["folder"]) / "pictures"
    folder.mkdir()
    dice = np.random.default_rng(3)
    for n in range(_FILES):
        small = Image.fromarray(dice.integers(0, 255, (12, 16, 3), np.uint8))
        small.resize((640, 480), Image.Resampling.BICUBIC).save(folder / f"{n}.jpg", quality=90)
    with workspace(facts) as ws:
        fo = ws.fiftyone()
        dataset = fo.Dataset("bench", persistent=True)
        dataset.add_sample(
            fo.Sample(filepath=str(folder / "0.jpg"), ground_truth=fo.Classification(label="a"), tags=["t"])
        )
        samples = dataset._sample_collection
        template = samples.find_one()
        for start in range(1, facts["count"], 20_000):
            rows = range(start, min(facts["count"], start + 20_000))
            samples.insert_many(
                [
                    {**template, "_id": ObjectId(), "filepath": str(folder / f"{at % _FILES}.jpg")}
                    for at in rows
                ]
            )
        collection = make_index(ws, Scope("bench"), "k", clustered(facts["count"], _DIM))
        # While an index is built the processors are the server's, and any loop stalls.
        ws.milvus().flush(collection)
        until = time.monotonic() + 300
        while ws.milvus().index_progress(collection) != (facts["count"], facts["count"]):
            if time.monotonic() > until:
                raise TimeoutError("the index is not ready")
            time.sleep(0.5)
    return {"made": facts["count"]}


def _drive(facts: dict[str, Any]) -> dict[str, Any]:
    """The program, driven from inside."""
    from tui.app import Kitescope, favour_the_loop
    from tui.core.settings import resolve
    from tui.terminal import screen_guard

    found: dict[str, Any] = {}

    class Driven(Kitescope):
        """The app with a hand at its keys."""

        def on_mount(self) -> None:
            """Begin when the first frame is there."""
            # Textual calls the one of Kitescope itself.
            self.call_after_refresh(lambda: self.run_worker(self._hand(), exit_on_error=False))

        async def _hand(self) -> None:
            try:
                found.update(await _measure(self, facts))
            except Exception as error:
                found["error"] = "".join(traceback.format_exception(error))
            self.exit()

    favour_the_loop()
    settings = resolve(flags={"uri": facts["milvus"], "database_uri": facts["mongo"]}, env={})
    with screen_guard(Path(os.environ["HOME"]) / "driven.log"):
        Driven(settings, search=("bench", "k")).run()
    if "error" in found:
        raise RuntimeError(found["error"])
    return found


async def _measure(app: Any, facts: dict[str, Any]) -> dict[str, Any]:
    await _until(lambda: hasattr(app.screen, "grid") and app.screen.grid.current is not None)
    screen = app.screen
    dice = np.random.default_rng(1)
    ids, pictures = [], []
    memory = Memory()
    for _ in range(facts["queries"]):
        screen.grid.go_to(int(dice.integers(len(screen.grid.tiles))))
        await _until(lambda: screen.grid.current is not None)
        before, began = screen._history.current, time.perf_counter()
        app.simulate_key("enter")
        await _until(lambda: screen._history.current is not before)  # noqa: B023
        ids.append(1000 * (time.perf_counter() - began))
        await _until(lambda: all(screen.grid.drawing(one) for one in _seen(screen.grid)))
        pictures.append(1000 * (time.perf_counter() - began))
        before = screen._history.current
        app.simulate_key("b")
        await _until(lambda: screen._history.current is not before and screen.grid.current)  # noqa: B023
    app.simulate_key("enter")
    await _until(lambda: screen._history.current.hits)
    await _load(app, _SCROLLED)
    stall, took = await _stalls(lambda: _hold(app, "j", _SCROLLED))

    async def asleep() -> None:
        await asyncio.sleep(took)

    idle, _ = await _stalls(asleep)
    dialog, _ = await _stalls(lambda: _open_and_close(app, "t", "question_mark", "ctrl+p"))
    large, _ = await _stalls(lambda: _show_large(app))
    visit, _ = await _stalls(lambda: _visit(app))
    await _load(app, min(_DEEP, facts["count"]))
    await _hold(app, "ctrl+d", min(_DEEP, facts["count"]))
    return {
        "ids": ids,
        "pictures": pictures,
        "stall": stall,
        "idle": idle,
        "dialog": dialog,
        "large": large,
        "visit": visit,
        "loaded": len(screen.grid.tiles),
        "memory": memory.peak(),
        "painters": _painters(),
    }


def _painters() -> float:
    """MB that only the processes that paint use."""
    every = psutil.Process().children()
    mine = [one for one in every if "tui.widgets.painting" in one.cmdline()]
    return sum(one.memory_full_info().uss for one in mine) / 2**20


def _seen(grid: Any) -> list[Any]:
    """What is on the screen, without the next one that is drawn ahead."""
    at = grid.layout_now
    shown = grid.tiles[grid.top * at.columns : (grid.top + at.rows) * at.columns]
    return [tile.subject for tile in shown if tile]


async def _until(ready: Callable[[], object], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > deadline:
            raise TimeoutError("the screen did not get there")
        await asyncio.sleep(0.001)


async def _load(app: Any, count: int) -> None:
    while len(app.screen.grid.tiles) < count:
        before = len(app.screen.grid.tiles)
        app.simulate_key("M")
        await _until(lambda: len(app.screen.grid.tiles) > before)  # noqa: B023
    await _until(lambda: app.screen._waiting is None)


async def _hold(app: Any, key: str, end: int) -> None:
    """Hold a key until the cursor is at the last of so many."""
    app.simulate_key("g")
    grid = app.screen.grid
    last = end - grid.layout_now.columns
    while grid.cursor < last - 1:
        app.simulate_key(key)
        await asyncio.sleep(_HELD)


async def _open_and_close(app: Any, *keys: str) -> None:
    screen = app.screen
    for key in _OPENED * keys:
        app.simulate_key(key)
        await _until(lambda: app.screen is not screen and app.screen.focused)
        await asyncio.sleep(_QUIET_S)
        app.simulate_key("escape")
        await _until(lambda: app.screen is screen)
        await asyncio.sleep(_QUIET_S)


async def _show_large(app: Any) -> None:
    results = app.screen.results
    # Large, only the grid, and both again.
    for _ in range(3 * _OPENED):
        before = results.classes
        app.simulate_key("d")
        await _until(lambda: results.classes != before)  # noqa: B023
        await asyncio.sleep(_QUIET_S)


async def _visit(app: Any) -> None:
    for key in "123456":
        before = app.screen
        app.simulate_key(key)
        await _until(lambda: app.screen is not before)  # noqa: B023
        await asyncio.sleep(2 * _QUIET_S)


async def _stalls(work: Callable[[], Awaitable[None]]) -> tuple[float, float]:
    """The longest time in ms that the loop kept a sleeper of 2 ms waiting, and the seconds it all took."""
    longest, running, began = 0.0, True, time.perf_counter()

    async def sample() -> None:
        nonlocal longest
        last = time.perf_counter()
        while running:
            await asyncio.sleep(0.002)
            now = time.perf_counter()
            longest, last = max(longest, now - last - 0.002), now

    sampler = asyncio.create_task(sample())
    await work()
    running = False
    await sampler
    return 1000 * longest, time.perf_counter() - began


if __name__ == "__main__":
    made = {"make": _make, "drive": _drive}[sys.argv[1]](json.loads(sys.argv[2]))
    Path(sys.argv[3]).write_text(json.dumps(made))

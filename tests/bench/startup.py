"""How soon the first frame is there, against a bare Textual app, and how long the event loop stalls after it.

Both are started in a pseudo-terminal of 80x24 like a user's, alternating; the clock runs from the start of
the process until a word of its first frame arrives. Both were started once before, so that neither compiles
its modules: an installed program does not.
"""

from __future__ import annotations

import json
import os
import pty
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.engines.servers import MilvusLite, Mongod

_BARE = """
from textual.app import App
from textual.widgets import DataTable, Footer, Static
class Bare(App):
    def compose(self):
        yield Static("FIRSTFRAME")
        yield DataTable()
        yield Footer()
Bare().run()
"""

_WATCHED = """
import asyncio, json, sys, time
from tui.app import Kitescope
gaps = []
class Watched(Kitescope):
    def on_mount(self):
        # Textual calls the one of Kitescope itself.
        self.call_after_refresh(lambda: self.run_worker(self.sample(), exit_on_error=False))
    async def sample(self):
        began = last = time.perf_counter()
        while time.perf_counter() - began < float(sys.argv[2]):
            await asyncio.sleep(0.002)
            now = time.perf_counter()
            gaps.append((round(last - began, 3), now - last - 0.002))
            last = now
        self.exit()
import tui.app
tui.app.Kitescope = Watched
from tui.core.settings import resolve
tui.app.run(resolve())
json.dump({"longest_ms": 1000 * max(g for _, g in gaps), "torch": "torch" in sys.modules,
           "late_ms": 1000 * max(g for t, g in gaps if t > float(sys.argv[2]) / 2),
           "stalls": [(t, round(1000 * g)) for t, g in gaps if g > 0.05]}, open(sys.argv[1], "w"))
"""


def _run(arguments: list[str], env: dict[str, str], word: bytes, seconds: float) -> float:
    """Seconds until ``word`` is on the terminal; the process is ended by then, or runs to its own end."""
    master, slave = pty.openpty()
    os.set_blocking(master, False)
    began = time.perf_counter()
    process = subprocess.Popen(
        arguments,
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env=env | {"COLUMNS": "80", "LINES": "24"},
        start_new_session=True,
    )
    os.close(slave)
    seen, first = b"", 0.0
    while time.perf_counter() - began < seconds and process.poll() is None:
        try:
            seen += os.read(master, 65536)
        except (BlockingIOError, OSError):
            time.sleep(0.002)
        if not first and word in seen:
            first = time.perf_counter() - began
            if seconds == _FRAME_S:
                break
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    os.close(master)
    if not first:
        raise RuntimeError(f"no first frame: {seen[-2000:]!r}")
    return first


_FRAME_S = 30.0
_HOMES = ("HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME")


def run(quick: bool) -> list[dict[str, object]]:
    """Rows of the report: measure, ours, theirs, ratio, goal."""
    rounds = 3 if quick else 7
    with (
        TemporaryDirectory() as folder,
        Mongod(Path(folder) / "mongo") as mongo,
        MilvusLite(Path(folder) / "lite") as lite,
    ):
        home = dict.fromkeys(_HOMES, folder)
        compiled = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        env = (
            compiled
            | home
            | {
                "TERM": "xterm-256color",
                "FIFTYONE_DATABASE_URI": mongo.uri,
                "FIFTYONE_BRAIN_SIMILARITY_MILVUS_URI": lite.uri,
            }
        )
        ours, bare = [], []
        for _ in range(1 + rounds):
            bare.append(_run([sys.executable, "-c", _BARE], env, b"FIRSTFRAME", _FRAME_S))
            ours.append(_run([sys.executable, "-m", "tui"], env, b"Datasets", _FRAME_S))
        report = Path(folder) / "stalls.json"
        _run([sys.executable, "-c", _WATCHED, str(report), "20"], env, b"Datasets", 60.0)
        stalls = json.loads(report.read_text())
    first, theirs = statistics.median(ours[1:]), statistics.median(bare[1:])
    return [
        {
            "measure": "first frame, s (median)",
            "ours": first,
            "stock": theirs,
            "ratio": first / theirs,
            "goal": "<= 1.5",
        },
        {
            "measure": "longest stall of the event loop in the first 20 s, ms",
            "ours": stalls["longest_ms"],
            "goal": "<= 200",
        },
        {
            "measure": "longest stall after the engines are connected, ms",
            "ours": stalls["late_ms"],
            "goal": "<= 50",
        },
    ]


if __name__ == "__main__":
    for row in run("--quick" in sys.argv):
        sys.stdout.write(f"{row}\n")

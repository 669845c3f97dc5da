"""The main path by real keys in a real terminal, which is closed in the middle of the build."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import settings_for
from tests.engines.servers import MilvusLite, Mongod
from tui.core.demo import write_digits
from tui.core.workspace import Workspace

COUNT = 600


class Terminal:
    """A tmux server of its own, with one window of a fixed size."""

    def __init__(self, env: dict[str, str], size: tuple[int, int]) -> None:
        self.env, self.size = env, size
        self.name = ""

    def tmux(self, *arguments: str) -> str:
        command = ["tmux", "-f", os.devnull, "-L", self.name, *arguments]
        return subprocess.run(command, env=self.env, check=True, capture_output=True, text=True).stdout

    def start(self) -> None:
        # A name of its own each time: a server that was told to die may still take the next command.
        self.name = f"kitescope-test-{uuid.uuid4().hex[:8]}"
        width, height = self.size
        self.tmux(
            "new-session",
            "-d",
            "-x",
            str(width),
            "-y",
            str(height),
            f"exec {sys.executable} -m tui 2>{os.devnull}",
        )

    def close(self) -> None:
        """Kill the server: its terminal hangs up, as when an SSH connection is lost."""
        subprocess.run(
            ["tmux", "-L", self.name, "kill-server"], env=self.env, capture_output=True, check=False
        )

    @property
    def screen(self) -> str:
        return self.tmux("capture-pane", "-p")

    def press(self, *names: str) -> None:
        self.tmux("send-keys", *names)

    def until(self, ready: Callable[[str], bool], seconds: float = 90) -> str:
        deadline = time.monotonic() + seconds
        while not ready(screen := self.screen):
            assert time.monotonic() < deadline, f"not within {seconds} s:\n{screen}"
            time.sleep(0.1)
        return screen

    def ended(self, seconds: float = 20) -> bool:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            asked = ["tmux", "-L", self.name, "has-session"]
            if subprocess.run(asked, env=self.env, capture_output=True, check=False).returncode:
                return True
            time.sleep(0.1)
        return False


@pytest.fixture(params=[(80, 24), (200, 50)], ids=["80x24", "200x50"])
def terminal(request: pytest.FixtureRequest, engine_environment: dict[str, str]) -> Iterator[Terminal]:
    assert shutil.which("tmux"), "make test installs tmux"
    env = engine_environment | {"TERM": "xterm-256color", "LANG": "C.UTF-8"}
    env.pop("TMUX", None)
    made = Terminal(env, request.param)
    yield made
    made.close()


@pytest.fixture
def dataset(
    mongod: Mongod, milvus_lite: MilvusLite, tmp_path: Path, unique_name: Callable[[str], str]
) -> str:
    folder = tmp_path / "digits"
    labels = write_digits(folder)
    name = unique_name("tmux")
    with Workspace(settings_for(mongod, milvus_lite)) as ws:
        fo = ws.fiftyone()
        made = fo.Dataset(name, persistent=True)
        files = sorted(folder.glob("*.png"))[:COUNT]
        made.add_samples(
            [
                fo.Sample(filepath=str(file), ground_truth=fo.Classification(label=label))
                for file, label in zip(files, labels, strict=False)
            ]
        )
    return name


def test_choose_build_lose_the_terminal_come_back_search_quit(terminal: Terminal, dataset: str):
    terminal.start()
    terminal.until(lambda screen: "● FiftyOne" in screen and "● Milvus" in screen)
    terminal.press("2")
    terminal.until(lambda screen: "Samples" in screen)
    terminal.press("/")
    terminal.until(lambda screen: "every word must occur" in screen)
    terminal.press(dataset, "Enter")
    terminal.until(lambda screen: f"{COUNT}  image" in screen and "every word" not in screen)
    terminal.press("Enter")
    terminal.until(lambda screen: f"▸ {dataset}" in screen)
    terminal.press("b")
    terminal.until(lambda screen: "f5 starts the build" in screen)
    terminal.press("F5")
    terminal.until(lambda screen: "embed" in screen and "Build index" not in screen)
    terminal.close()

    terminal.start()
    terminal.until(lambda screen: "● FiftyOne" in screen and "● Milvus" in screen)
    terminal.press("4")
    terminal.until(lambda screen: "✓ done" in screen)
    terminal.press("o")
    terminal.until(lambda screen: f"{COUNT} samples" in screen and "▄▄▄" in screen)
    terminal.press("Enter")
    screen = terminal.until(lambda screen: "Similar to" in screen and "higher is closer" in screen)
    assert "1.000" in screen
    terminal.press("Right", "Enter")
    terminal.until(lambda screen: "step 3" in screen)
    terminal.press("[")
    terminal.until(lambda screen: "step 2" in screen)
    terminal.press("q")
    assert terminal.ended()

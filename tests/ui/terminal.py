"""A real terminal for UI tests: tmux, real keys, and what is on its screen."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable

from tests.engines.servers import wait_until
from tui.core.services.ticks import start_ticks


class Terminal:
    """A tmux server of its own, with one window of a fixed size."""

    def __init__(self, env: dict[str, str], size: tuple[int, int]) -> None:
        self.env, self.size = env, size
        self.name, self.pid = "", 0

    def tmux(self, *arguments: str) -> str:
        command = ["tmux", "-f", os.devnull, "-L", self.name, *arguments]
        return subprocess.run(command, env=self.env, check=True, capture_output=True, text=True).stdout

    def start(self) -> None:
        # A name of its own each time: a server that was told to die may still take the next command.
        self.name = f"kitescope-test-{uuid.uuid4().hex[:8]}"
        width, height = self.size
        made = self.tmux(
            "new-session",
            "-d",
            "-P",
            "-F",
            "#{pane_pid}",
            "-x",
            str(width),
            "-y",
            str(height),
            f"exec {sys.executable} -m tui 2>{os.devnull}",
        )
        self.pid = int(made)

    def close(self) -> None:
        """Kill the server: its terminal hangs up, as when an SSH connection is lost.

        What the program has to remember is on the disk then.
        """
        subprocess.run(
            ["tmux", "-L", self.name, "kill-server"], env=self.env, capture_output=True, check=False
        )
        wait_until(lambda: not self.pid or start_ticks(self.pid) is None, 60, "the program ends")

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

    def start_build(self, dataset: str, count: int) -> None:
        """From any screen: choose a dataset of so many images, and start its build."""
        self.press("2")
        self.until(lambda screen: "Samples" in screen)
        self.press("/")
        self.until(lambda screen: "every word must occur" in screen)
        self.press(dataset, "Enter")
        self.until(lambda screen: f"{count}  image" in screen and "every word" not in screen)
        self.press("Enter")
        self.until(lambda screen: f"▸ {dataset}" in screen)
        self.press("b")
        self.until(lambda screen: "f5 starts the build" in screen)
        self.press("F5")

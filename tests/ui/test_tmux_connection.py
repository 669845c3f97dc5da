"""From an empty home, by real keys, to a server with TLS and a login: only the password is typed twice."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cli.program import without
from tests.conftest import settings_for
from tests.engines.servers import MilvusLite, Mongod
from tests.engines.standalone import MilvusStandalone
from tests.ui.terminal import Terminal
from tui.core.demo import write_digits
from tui.core.workspace import Workspace

COUNT = 60
SECRET = "Kite-s3cret-4711"
HINTS = (
    *("Milvus' address", "Together with the password", "Never shown", "An API key", "Milvus' database"),
    *("On: encrypt", "The name in the server's certificate", "One-way TLS"),
)
"""What the form says about the field that has the keyboard, from the first to the last that is typed."""


@pytest.fixture
def terminal(engine_environment: dict[str, str]) -> Iterator[Terminal]:
    milvus = ["FIFTYONE_BRAIN_SIMILARITY_MILVUS_URI", "TMUX"]
    env = {**without(engine_environment, milvus), "TERM": "xterm-256color", "LANG": "C.UTF-8"}
    made = Terminal(env, (100, 34))
    yield made
    made.close()
    # The embedded Milvus that an empty home begins with.
    subprocess.run([sys.executable, "-m", "tui", "stop"], env=env, capture_output=True, check=True)


@pytest.fixture
def dataset(
    mongod: Mongod, milvus_lite: MilvusLite, tmp_path: Path, unique_name: Callable[[str], str]
) -> Iterator[str]:
    folder = tmp_path / "digits"
    write_digits(folder)
    name = unique_name("typed")
    with Workspace(settings_for(mongod, milvus_lite)) as ws:
        fo = ws.fiftyone()
        made = fo.Dataset(name, persistent=True)
        made.add_samples([fo.Sample(filepath=str(file)) for file in sorted(folder.glob("*.png"))[:COUNT]])
        yield name
        made.delete()


def commands() -> list[bytes]:
    """The command lines and environments of every process of this user, as ``ps`` and its like show them."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            line = (process / "cmdline").read_bytes()
            # What a test runs by "python -c" holds whatever that test wrote.
            if b"tui" in line:
                found.append(line + (process / "environ").read_bytes())
        except OSError:
            continue
    return found


def test_typed_once_and_back_at_the_next_start(
    terminal: Terminal,
    dataset: str,
    home: Path,
    milvus_standalone_factory: Callable[..., MilvusStandalone],
):
    server = milvus_standalone_factory(auth=True, tls="one-way")
    server.create_user("kite", SECRET, role="admin")
    ready, certificate = "● FiftyOne", server.client_kwargs()
    terminal.start()
    terminal.until(lambda screen: ready in screen and "● Milvus" in screen)
    terminal.press("1")
    terminal.until(lambda screen: "Server pem" in screen and "● Environment" in screen)
    terminal.press("e")
    typed = (server.uri, "kite", SECRET, "", "", "", certificate["server_name"])
    for hint, text in zip(HINTS, (*typed, certificate["server_pem_path"]), strict=True):
        # A key goes to the field that has the keyboard when it comes.
        terminal.until(lambda screen, hint=hint: hint in screen)
        if text:
            terminal.tmux("send-keys", "-l", text)
        if hint is not HINTS[-1]:
            terminal.press("Down")
    terminal.press("F4")
    terminal.until(lambda screen: "The connection works" in screen and "certificate until" in screen)
    terminal.press("F2")
    terminal.until(lambda screen: "Save as a profile" in screen)
    terminal.press("lab", "F5")
    terminal.until(lambda screen: "lab ✎" in screen and "Save as a profile" not in screen)
    terminal.press("F5")
    terminal.until(lambda screen: "● lab" in screen and ready in screen and "● Milvus" in screen)

    terminal.press("Escape")
    terminal.until(lambda screen: "e Edit" in screen)
    _build(terminal, dataset)
    terminal.press("o")
    terminal.until(lambda screen: f"{COUNT} samples" in screen and "▄▄▄" in screen)
    terminal.press("Enter")
    terminal.until(lambda screen: "Similar to" in screen)
    terminal.press("q")
    assert terminal.ended(60)

    terminal.start()
    terminal.until(lambda screen: "Password of kite for https://127.0.0.1" in screen)
    terminal.press(SECRET, "Enter")
    terminal.until(lambda screen: ready in screen and "● Milvus" in screen)
    terminal.until(lambda screen: f"{COUNT} samples" in screen and "▄▄▄" in screen)
    terminal.press("Enter")
    terminal.until(lambda screen: "Similar to" in screen)
    terminal.press("1")
    terminal.until(lambda screen: "● lab" in screen)
    assert SECRET not in terminal.screen
    terminal.press("q")
    assert terminal.ended(60)

    written = [path for path in home.rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()]
    assert written == []
    assert (home / "xdg-config" / "kitescope" / "profiles.toml").exists()
    assert list(home.rglob("jobs.db"))


def _build(terminal: Terminal, dataset: str) -> None:
    """Choose the dataset, build its index, and look at every command line until it is done."""
    terminal.start_build(dataset, COUNT)
    seen: list[bytes] = []

    def done(screen: str) -> bool:
        seen.extend(commands())
        return "✓ done" in screen

    terminal.until(done)
    assert [line for line in seen if SECRET.encode() in line] == []
    assert [line for line in seen if b"tui.jobs.worker" in line]

"""The main path by real keys in a real terminal, which is closed in the middle of the build."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import settings_for
from tests.engines.servers import MilvusLite, Mongod
from tests.ui.terminal import Terminal
from tui.core.demo import write_digits
from tui.core.workspace import Workspace

COUNT = 600


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
    terminal.start_build(dataset, COUNT)
    terminal.until(lambda screen: "embed" in screen and "Build index" not in screen)
    terminal.close()

    terminal.start()
    terminal.until(lambda screen: "● FiftyOne" in screen and "● Milvus" in screen)
    # On the screen where it was lost.
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

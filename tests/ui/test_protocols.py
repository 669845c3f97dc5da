"""What the program writes to a terminal for a thumbnail is the picture: captured bytes, decoded again."""

from __future__ import annotations

import fcntl
import io
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import settings_for
from tests.core.indexing import random_vectors
from tests.core.making import make_index
from tests.engines.servers import MilvusLite, Mongod
from tests.ui.graphics import kitty_pictures, kitty_placed, sixel_pictures
from tui.core.scope import Scope
from tui.core.workspace import Workspace
from tui.preferences import Last, save_last
from tui.widgets import protocols
from tui.widgets.drawing import Look, draw
from tui.widgets.painting import Subject

CORNERS = ((255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0))
CELL = (8, 16)  # pixels, as the terminal tells the kernel


def picture(path: Path) -> str:
    """A picture whose four quarters tell which way up it is."""
    image = Image.new("RGB", (64, 64))
    for n, colour in enumerate(CORNERS):
        image.paste(colour, (32 * (n % 2), 32 * (n // 2), 32 * (n % 2) + 32, 32 * (n // 2) + 32))
    image.save(path)
    return str(path)


def is_it(shown: Image.Image) -> bool:
    """Whether this is that picture, at whatever size."""
    width, height = shown.size
    quarters = [(width // 4, height // 4), (3 * width // 4, height // 4)]
    quarters += [(x, 3 * height // 4) for x, _ in quarters]
    pixels = np.array([shown.getpixel(place) for place in quarters], int)
    return bool(abs(pixels - np.array(CORNERS)).max() < 24)


@pytest.fixture
def dataset(
    mongod: Mongod, milvus_lite: MilvusLite, tmp_path: Path, unique_name: Callable[[str], str]
) -> Iterator[str]:
    """Twelve samples of one picture, with an index ``k``."""
    file, name = picture(tmp_path / "corners.png"), unique_name("bytes")
    with Workspace(settings_for(mongod, milvus_lite)) as ws:
        made = ws.fiftyone().Dataset(name, persistent=True)
        made.add_samples([ws.fiftyone().Sample(filepath=file) for _ in range(12)], progress=False)
        collection = make_index(ws, Scope(name), "k", random_vectors(12))
        yield name
        made.delete()
        ws.milvus().drop(collection)


def written_by(protocol: str, env: dict[str, str], enough: Callable[[str], object]) -> str:
    """Run the program in a pseudo-terminal of 80x24 until what it wrote is enough."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("4H", 24, 80, 80 * CELL[0], 24 * CELL[1]))
    command = [sys.executable, "-m", "tui", "--image-protocol", protocol]
    process = subprocess.Popen(
        command, stdin=slave, stdout=slave, stderr=slave, env=env, start_new_session=True
    )
    os.close(slave)
    seen, deadline = b"", time.monotonic() + 180
    try:
        while not enough(seen.decode(errors="replace")):
            assert time.monotonic() < deadline and process.poll() is None, seen[-2000:]
            if select.select([master], [], [], 0.2)[0]:
                seen += os.read(master, 1 << 16)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        os.close(master)
    return seen.decode(errors="replace")


@pytest.mark.parametrize("protocol", ["kitty", "sixel"])
def test_the_terminal_gets_the_thumbnails_themselves(
    engine_environment: dict[str, str], dataset: str, protocol: str
) -> None:
    save_last(Last(screen="search", dataset=dataset, brain_key="k"))
    read = kitty_pictures if protocol == "kitty" else sixel_pictures
    env = engine_environment | {"TERM": "xterm-256color", "COLORTERM": "truecolor"}

    def enough(text: str) -> bool:
        return bool(read(text)) and dataset in text and (protocol == "sixel" or "\U0010eeee" in text)

    written = written_by(protocol, env, enough)
    pictures = read(written)
    assert all(is_it(one) for one in pictures)
    if protocol == "kitty":
        columns, rows = kitty_placed(written)[0]
        assert 0.8 < columns * CELL[0] / (rows * CELL[1]) < 1.25, "square to the eye"
    else:
        assert abs(pictures[0].width / pictures[0].height - 1) < 0.25


def test_every_protocol_draws_one_picture_at_one_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    protocols.renderables()
    terminal = io.StringIO()
    monkeypatch.setattr(sys, "__stdout__", terminal)
    subject = Subject(picture(tmp_path / "a.png"), label="a")
    cells = draw(subject, (20, 10), "halfcell", Look())
    quarters = [cells.lines[y].crop(x, x + 1) for y in (2, 7) for x in (5, 15)]
    shown = [next(iter(one)).style.bgcolor.triplet for one in quarters]  # type: ignore[union-attr]
    assert [tuple(one) for one in shown] == list(CORNERS)
    draw(subject, (20, 10), "kitty", Look())
    assert [is_it(one) for one in kitty_pictures(terminal.getvalue())] == [True]
    assert kitty_placed(terminal.getvalue()) == [(20, 10)]
    sixel = draw(subject, (20, 10), "sixel", Look())
    assert sixel.sixels and [is_it(one) for one in sixel_pictures(sixel.sixels.data)] == [True]
    missing = Subject(str(tmp_path / "missing.png"))
    for protocol in ("halfcell", "kitty", "sixel"):
        drawing = draw(missing, (20, 10), protocol, Look())
        assert "missing" in " ".join(line.text for line in drawing.lines) and drawing.sixels is None

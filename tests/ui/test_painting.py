"""Pictures are painted in processes: what these answer, what they survive, and that they end."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from PIL import Image

from tests.ui.conftest import ready, until
from tests.ui.graphics import kitty_pictures
from tui.app import Kitescope
from tui.core.documents.label import Label
from tui.core.services import processes
from tui.widgets import painting, painting_pool
from tui.widgets.painting import KittyPicture, Order, Painted, Subject, Unpainted, paint
from tui.widgets.painting_pool import PaintingPool


@pytest.fixture
def pool() -> Iterator[PaintingPool]:
    pool = PaintingPool(2)
    yield pool
    pool.close()


@pytest.fixture
def fragile(monkeypatch: pytest.MonkeyPatch, pool: PaintingPool) -> PaintingPool:
    monkeypatch.setattr(painting_pool, "_PROGRAM", "tests.ui.fragile_painter")
    return pool


def order(folder: Path, name: str = "a.png", **more: Any) -> Order:
    path = folder / name
    picture = Image.effect_mandelbrot((60, 40), (-2, -1, 1, 1), 50).convert("RGB")
    picture.save(path)
    return Order(Subject(str(path), **more), (24, 10), "halfcell", "#102030", "truecolor")


def painters() -> list[psutil.Process]:
    found = []
    for child in psutil.Process().children():
        with suppress(psutil.NoSuchProcess):  # it ended, or is about to
            found += [child] * any("paint" in word for word in child.cmdline())
    return found


def gone(pid: int) -> bool:
    try:
        return not processes.alive(psutil.Process(pid))
    except psutil.NoSuchProcess:
        return True


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("protocol", "colours"),
    [("halfcell", "truecolor"), ("halfcell", "256"), ("halfcell", None), ("kitty", None), ("sixel", None)],
)
def test_a_process_paints_what_is_painted_here(
    tmp_path: Path, pool: PaintingPool, protocol: Any, colours: Any
) -> None:
    labels = (Label("boxes", "cat", box=(0.2, 0.2, 0.5, 0.5)),)
    for more in ({}, {"labels": labels}, {"box": (0.1, 0.1, 0.4, 0.9)}, {"box": (0, 0, 1, 1), "whole": True}):
        wanted = order(tmp_path, **more)._replace(protocol=protocol, colours=colours)
        here, there = paint(wanted), pool.paint(wanted)
        if isinstance(here, KittyPicture) and isinstance(there, KittyPicture):
            # Each process numbers its pictures from a number drawn by lot.
            assert here.cells == there.cells and here.forget != there.forget
            here, there = kitty_pictures("".join(here.sent))[0], kitty_pictures("".join(there.sent))[0]
        assert here == there and not isinstance(here, Unpainted)
    assert len(painters()) == 1


def test_what_is_no_picture_says_why(tmp_path: Path, pool: PaintingPool) -> None:
    (tmp_path / "bad.jpg").write_bytes(b"nonsense")
    answered = pool.paint(Order(Subject(str(tmp_path / "bad.jpg")), (24, 10)))
    assert isinstance(answered, Unpainted) and "not a picture" in answered.reason


def test_what_goes_wrong_in_painting_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_order: Order) -> Painted:
        raise RuntimeError

    monkeypatch.setattr(painting, "paint", broken)
    assert painting._answer(None, order(tmp_path)) == Unpainted("cannot be drawn (RuntimeError)")


def test_a_picture_that_ends_its_painter_costs_only_itself(tmp_path: Path, fragile: PaintingPool) -> None:
    good, bad = order(tmp_path), order(tmp_path, "crash.png")
    assert fragile.paint(good) == paint(good)
    assert fragile.paint(bad) == Unpainted("the decoder crashed on this file")
    assert fragile.paint(good) == paint(good)


def test_a_painter_that_was_killed_is_replaced(tmp_path: Path, pool: PaintingPool) -> None:
    wanted = order(tmp_path)
    pool.paint(wanted)
    (first,) = painters()
    first.kill()
    wait_for(lambda: gone(first.pid))
    assert pool.paint(wanted) == paint(wanted)
    (second,) = painters()
    assert second.pid != first.pid


def test_painters_that_were_all_killed_are_no_fault_of_a_picture(tmp_path: Path, pool: PaintingPool) -> None:
    wanted = order(tmp_path)
    taken = [pool._take(), pool._take()]
    for child in taken:
        assert child is not None
        pool._give_back(child)
        child.kill()
    wait_for(lambda: all(gone(child.pid) for child in taken if child))
    assert pool.paint(wanted) == paint(wanted)
    assert len(painters()) == 1


def test_the_end_does_not_wait_for_a_file_that_hangs(tmp_path: Path, fragile: PaintingPool) -> None:
    with ThreadPoolExecutor(1) as threads:
        answer = threads.submit(fragile.paint, order(tmp_path, "hang.png"))
        wait_for(lambda: fragile._busy)
        fragile.close()
        assert answer.result(60) == Unpainted("")
    assert painters() == []


def test_no_more_paint_than_there_are_processors_for(tmp_path: Path, fragile: PaintingPool) -> None:
    with ThreadPoolExecutor(3) as threads:
        answers = [threads.submit(fragile.paint, order(tmp_path, f"hang{n}.png")) for n in range(3)]
        # A process that has just begun has no command line yet.
        wait_for(lambda: len(fragile._busy) == 2 == len(painters()))
        fragile.close()
        assert {answer.result(60) for answer in answers} == {Unpainted("")}


def test_without_processes_pictures_are_painted_here(
    tmp_path: Path, pool: PaintingPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_arguments: Any, **_more: Any) -> None:
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    # A user's limit on processes does not bind root, who runs tests in containers.
    monkeypatch.setattr(subprocess, "Popen", refused)
    wanted = order(tmp_path)
    pool.warm()
    assert pool.paint(wanted) == paint(wanted)


def test_a_painter_gives_way_to_others(tmp_path: Path, pool: PaintingPool) -> None:
    pool.paint(order(tmp_path))
    (painter,) = painters()
    assert painter.nice() == min(os.getpriority(os.PRIO_PROCESS, 0) + 5, 19)


def test_a_painter_is_small_and_knows_no_screen(tmp_path: Path) -> None:
    labelled = order(tmp_path, labels=(Label("boxes", "cat", box=(0.2, 0.2, 0.5, 0.5)),))
    code = (
        "import sys; from tui.widgets.painting import *; from tui.core.documents.label import Label; "
        f"print(len(paint({labelled!r}).codes)); "
        "print([name for name in ('textual', 'rich', 'numpy', 'bson') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["10", "[]"]


def test_a_painter_does_not_outlive_a_program_that_was_killed(tmp_path: Path) -> None:
    code = (
        "import sys, time; from tui.widgets.painting_pool import PaintingPool\n"
        "pool = PaintingPool(); pool.warm(); print(pool._free[0].pid, flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout
        painter = int(program.stdout.readline())
        assert not gone(painter)
        program.send_signal(signal.SIGKILL)
    wait_for(lambda: gone(painter))


async def test_an_app_that_ends_leaves_no_painter(make: Callable[..., Kitescope]) -> None:
    app = make("datasets")
    async with app.run_test(size=(120, 40)) as pilot:
        await ready(pilot, app)
        await until(pilot, painters)
    wait_for(lambda: not painters())

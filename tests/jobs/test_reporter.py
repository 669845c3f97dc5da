from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest

from tests.jobs.helpers import SPEC, until
from tui.core.progress import Notice, Progress, Skipped
from tui.jobs import reporter
from tui.jobs.info import PhaseProgress
from tui.jobs.reporter import Meter, Reporter
from tui.jobs.store import JobStore


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_rate_and_time_to_go_over_a_window() -> None:
    clock = Clock()
    meter = Meter(clock)
    for second in range(31):
        clock.now = 100.0 + second
        # Ten a second, then a hundred a second for the last fifteen seconds.
        meter.update(10 * second if second <= 15 else 150 + 100 * (second - 15), 3000)
    assert meter.read() == PhaseProgress(1650, 3000, 100.0, 13.5)


def test_what_was_there_before_is_not_speed() -> None:
    clock = Clock()
    meter = Meter(clock)
    meter.update(1000, 2000)
    assert meter.read() == PhaseProgress(1000, 2000)
    clock.now += 2
    meter.update(1100, 2000)
    assert meter.read() == PhaseProgress(1100, 2000, 50.0, 18.0)


def test_a_phase_that_stands_still_gets_slower_and_a_finished_one_does_not() -> None:
    clock = Clock()
    meter = Meter(clock)
    meter.update(0, 200)
    clock.now += 1
    meter.update(100, 200)
    clock.now += 9
    assert meter.read().rate == 10.0
    clock.now += 10
    meter.update(200, 200)
    rate = meter.read().rate
    clock.now += 1000
    assert meter.read() == PhaseProgress(200, 200, rate, 0.0)


def test_an_unknown_total_has_a_rate_and_no_end() -> None:
    clock = Clock()
    meter = Meter(clock)
    meter.update(0, None)
    clock.now += 4
    meter.update(40, None)
    assert meter.read() == PhaseProgress(40, None, 10.0, None)


class Counting(JobStore):
    """A real store that counts what is written, and can be told to fail."""

    beats: list[float]
    broken = False

    def beat(self, *args: Any, **kwargs: Any) -> bool:
        self.beats.append(time.monotonic())
        if self.broken:
            raise OSError(28, "No space left on device")
        return super().beat(*args, **kwargs)


@pytest.fixture
def store(tmp_path: Path) -> Counting:
    made = Counting(tmp_path / "jobs.db")
    made.beats = []
    return made


@pytest.fixture
def job(store: Counting) -> str:
    made = store.create(SPEC)
    store.begin(made.id, 1)
    return made.id


def test_many_events_are_few_writes_and_the_last_one_counts(store: Counting, job: str) -> None:
    began = time.monotonic()
    with Reporter(store, job, 1) as report:
        done = 0
        while time.monotonic() - began < 1.5:
            done += 1
            report(Progress("embed", done, 10**9))
            time.sleep(0.0005)
        report(Progress("upload", 7, 9))
    assert len(store.beats) <= (time.monotonic() - began) * 10 + 2
    seen = store.get(job)
    assert seen.phases["embed"].done == done
    assert seen.phases["upload"].done == 7
    assert seen.phase == "embed"


def test_a_silent_worker_still_gives_a_sign_of_life_each_second(store: Counting, job: str) -> None:
    with Reporter(store, job, 1) as report:
        report(Progress("index", 0, None))
        until(lambda: len(store.beats) > 1)
        first = store.get(job).heartbeat
        until(lambda: len(store.beats) > 3)
        seen = store.get(job)
        assert seen.responding
    assert first is not None and seen.heartbeat is not None and seen.heartbeat > first
    assert store.beats[3] - store.beats[1] < 2 * 1.5


def test_an_item_is_skipped_once_however_often_it_is_told(store: Counting, job: str) -> None:
    with Reporter(store, job, 1) as report:
        for _ in range(3):
            report(Skipped("a", "/a.png", "truncated"))
        report(Skipped("b", "/b.png", "no such file"))
        report(Notice("waiting for Milvus"))
    seen = store.get(job)
    assert [item.id for item in seen.skipped] == ["a", "b"]
    assert (seen.skipped_count, seen.notice) == (2, "waiting for Milvus")


def test_a_notice_goes_when_it_is_over(store: Counting, job: str) -> None:
    with Reporter(store, job, 1) as report:
        report(Notice("waiting for Milvus"))
        until(lambda: store.get(job).notice, 3)
        report(Notice(""))
    assert store.get(job).notice == ""


def test_a_full_disk_costs_no_skipped_item_and_no_build(store: Counting, job: str) -> None:
    store.broken = True
    with Reporter(store, job, 1) as report:
        report(Skipped("a", "/a.png", "truncated"))
        until(lambda: len(store.beats) >= 2, 5)
        assert store.get(job).skipped_count == 0
        store.broken = False
        until(lambda: store.get(job).skipped_count == 1, 5)
    assert not report.superseded.is_set()


def test_an_attempt_that_is_no_longer_wanted_learns_it(store: Counting, job: str) -> None:
    store.finish(job, 1, "cancelled")
    with Reporter(store, job, 1) as report:
        report(Progress("embed", 1, 2))
        until(report.superseded.is_set, 3)


def test_the_end_is_heard_also_when_it_comes_between_two_looks(
    store: Counting, job: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reporter, "_BEAT_S", 60.0)
    report = Reporter(store, job, 1)

    class Late(threading.Event):
        def is_set(self) -> bool:
            was = super().is_set()
            if not was:
                self.set()
                report._dirty.set()
            return was

    report._closing = Late()
    report(Progress("embed", 1, 2))
    report._thread.start()
    report._thread.join(20)
    assert not report._thread.is_alive()

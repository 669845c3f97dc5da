"""From a worker's events to the job store: throttled, with rate and time to go, and a heartbeat."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from typing import TYPE_CHECKING

from tui.core.progress import PHASES, Event, Notice, Phase, Progress, Skipped
from tui.jobs.info import JobProgress, PhaseProgress

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from tui.jobs.store import JobStore

_WINDOW_S = 10.0
_BEAT_S = 1.0
_PAUSE_S = 0.1
_log = logging.getLogger("kitescope.job")


class Meter:
    """The rate of one phase over the last seconds; ``clock`` answers seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen: deque[tuple[float, int]] = deque()
        self._total: int | None = None

    def update(self, done: int, total: int | None) -> None:
        """Take the newest figures; what the first call brings was done before and does not count as speed."""
        now = self._clock()
        if self._seen and done < self._seen[-1][1]:
            self._seen.clear()
        self._seen.append((now, done))
        self._total = total
        # One sample older than the window stays: the rate is over at least the whole window.
        while len(self._seen) > 2 and self._seen[1][0] <= now - _WINDOW_S:
            self._seen.popleft()

    @property
    def finished(self) -> bool:
        """Whether everything is done."""
        return self._total is not None and bool(self._seen) and self._seen[-1][1] >= self._total

    def read(self) -> PhaseProgress:
        """The figures now; a phase that stands still gets slower from reading to reading."""
        (first_t, first), (last_t, last) = self._seen[0], self._seen[-1]
        span = (last_t if self.finished else self._clock()) - first_t
        rate = (last - first) / span if span > 0.2 and last > first else None
        eta = None
        if self.finished:
            eta = 0.0
        elif rate and self._total is not None:
            eta = (self._total - last) / rate
        return PhaseProgress(
            last,
            self._total,
            None if rate is None else round(rate, 2),
            None if eta is None else round(eta, 1),
        )


class Reporter:
    """The ``on_event`` of a job: cheap to call from any thread, writes from a thread of its own.

    ``superseded`` is set when the store no longer knows this attempt: the work must stop.
    """

    def __init__(self, store: JobStore, job_id: str, attempt: int) -> None:
        self._store, self._job, self._attempt = store, job_id, attempt
        self._lock = threading.Lock()
        self._dirty = threading.Event()
        self._closing = threading.Event()
        self.superseded = threading.Event()
        self._meters: dict[Phase, Meter] = {}
        self._notice = ""
        self._skipped: list[Skipped] = []
        self._told: set[str] = set()
        self._thread = threading.Thread(target=self._run, name="job-reporter", daemon=True)

    def __enter__(self) -> Reporter:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        self._dirty.set()
        self._thread.join()

    def __call__(self, event: Event) -> None:
        """Take one event."""
        with self._lock:
            if isinstance(event, Progress):
                self._meters.setdefault(event.phase, Meter()).update(event.done, event.total)
            elif isinstance(event, Notice):
                if event.text and event.text != self._notice:
                    _log.info("%s", event.text)
                self._notice = event.text
            elif event.id not in self._told:
                self._told.add(event.id)
                self._skipped.append(event)
                _log.warning("skipped %s %s: %s", event.id, event.filepath, event.reason)
        self._dirty.set()

    def _run(self) -> None:
        while True:
            changed = self._dirty.wait(_BEAT_S)
            self._dirty.clear()
            closing = self._closing.is_set()
            self._write(changed)
            if closing:
                return
            self._closing.wait(_PAUSE_S)

    def _write(self, changed: bool) -> None:
        with self._lock:
            skipped, self._skipped = self._skipped, []
            progress = self._progress() if changed or self._meters else None
        try:
            known = self._store.beat(self._job, self._attempt, progress, skipped)
        except Exception:
            # A full disk must not take the build down: keep what is untold and try again with the next beat.
            _log.warning("cannot write the progress", exc_info=True)
            with self._lock:
                self._skipped[:0] = skipped
            return
        if not known:
            self.superseded.set()

    def _progress(self) -> JobProgress:
        seen = [phase for phase in PHASES if phase in self._meters]
        open_ = [phase for phase in seen if not self._meters[phase].finished]
        current = open_[0] if open_ else (seen[-1] if seen else None)
        return JobProgress({phase: self._meters[phase].read() for phase in seen}, current, self._notice)

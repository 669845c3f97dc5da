"""Servers that die, freeze or fill up under a build, and writers that meet."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import settings_for
from tests.core.indexing import (
    assert_exact,
    build,
    collection_of,
    file_spec,
    make_samples,
    random_vectors,
    saved,
)
from tests.core.making import all_ids
from tests.engines.servers import MilvusLite, MilvusServer, Mongod
from tests.engines.standalone import MilvusStandalone
from tui.core import indexes, runs
from tui.core.client import link as milvus_link
from tui.core.documents.scopes import Scope
from tui.core.errors import EngineUnreachable, Interrupted, InvalidInput, KitescopeError
from tui.core.progress import Event, Notice, Progress
from tui.core.workspace import Workspace

Name = Callable[[str], str]


class Watcher:
    """Remembers events with their times, and acts once when enough vectors are written."""

    def __init__(self, after: int, act: Callable[[], None]) -> None:
        self._after, self._act = after, act
        self.events: list[tuple[float, Event]] = []
        self.acted = False

    def __call__(self, event: Event) -> None:
        self.events.append((time.monotonic(), event))
        written = isinstance(event, Progress) and event.phase == "upload" and event.done >= self._after
        if written and not self.acted:
            self.acted = True
            self._act()

    def notices(self) -> list[str]:
        return [event.text for _, event in self.events if isinstance(event, Notice)]

    def next_upload(self, moment: float) -> float:
        """Seconds from ``moment`` until more vectors were written."""
        return min(at for at in self._uploads() if at > moment) - moment

    def back_after(self, returned: float) -> float:
        """Seconds from a server's return until more vectors were written; it may return before we know.

        It takes vectors sooner than it makes an index: what is waited for after the last of them is another
        matter.
        """
        uploads = self._uploads()
        outage = [at for at, event in self.events if isinstance(event, Notice) and event.text]
        known = max(at for at in outage if at < uploads[-1])
        return min(at for at in uploads if at > known) - returned

    def _uploads(self) -> list[float]:
        return [at for at, event in self.events if isinstance(event, Progress) and event.phase == "upload"]


@pytest.fixture
def mortal_lite(milvus_lite_factory: Callable[..., MilvusLite], mongod: Mongod) -> Iterator[Any]:
    """A workspace on a Milvus Lite server that may be killed, and that server."""
    server = milvus_lite_factory()
    with Workspace(settings_for(mongod, server, timeout=2.0)) as ws:
        yield ws, server


def _survives_outage(ws: Workspace, server: MilvusServer, name: str, folder: Path, seconds: float) -> None:
    """Kill the server in mid-upload, start it again after some seconds, and look at what became of it."""
    make_samples(ws, name, 2_000)
    rows = random_vectors(2_000)
    ready = threading.Event()

    def kill() -> None:
        # Here and not below: by the time that this thread woke up, everything could be written.
        server.kill9()
        ready.set()

    watcher = Watcher(400, kill)
    spec = file_spec(name, saved(folder, rows), batch_size=40)
    with ThreadPoolExecutor(1) as runner:
        # The server is started by this thread: it would die with the one that started it.
        future = runner.submit(indexes.build, ws, spec, watcher, milvus_wait=120)
        assert ready.wait(60)
        time.sleep(seconds)
        server.start()
        returned = time.monotonic()
        result = future.result(120)
    ids, _ = all_ids(ws, Scope(name))
    assert_exact(ws, result.collection, set(ids), dict(zip(ids, rows, strict=True)))
    assert any("Waiting for Milvus" in text for text in watcher.notices())
    assert watcher.notices()[-1] == "", "the notice is taken back"
    assert watcher.back_after(returned) < 2.0


def test_an_outage_of_45_seconds_is_waited_for(mortal_lite: Any, unique_name: Name, tmp_path: Path) -> None:
    ws, server = mortal_lite
    _survives_outage(ws, server, unique_name("outage"), tmp_path, 45.0)


def test_kill_9_of_the_real_server_in_mid_upload(mongod: Mongod, tmp_path: Path, unique_name: Name) -> None:
    with (
        MilvusStandalone(tmp_path / "milvus") as server,
        Workspace(settings_for(mongod, server)) as ws,
    ):
        _survives_outage(ws, server, unique_name("killed"), tmp_path, 0.0)


def test_a_milvus_that_stays_away_fails_the_build_resumably(
    mortal_lite: Any, unique_name: Name, tmp_path: Path
) -> None:
    ws, server = mortal_lite
    name = unique_name("away")
    make_samples(ws, name, 1_000)
    rows = random_vectors(1_000)
    spec = file_spec(name, saved(tmp_path, rows), batch_size=50)
    watcher = Watcher(200, server.kill9)
    began = time.monotonic()
    with pytest.raises(EngineUnreachable, match="waited") as error:
        indexes.build(ws, spec, watcher, milvus_wait=1.5)
    assert time.monotonic() - began < 20 and "again" in error.value.remedy
    assert runs.get_run(ws, name, "k") is None
    server.start()
    heard: list[Event] = []
    result = build(ws, spec, heard)
    first = next(event for event in heard if isinstance(event, Progress) and event.phase == "embed")
    assert first.done >= 200
    ids, _ = all_ids(ws, Scope(name))
    assert_exact(ws, result.collection, set(ids), dict(zip(ids, rows, strict=True)))


def test_cancelling_while_waiting_does_not_wait(mortal_lite: Any, unique_name: Name, tmp_path: Path) -> None:
    ws, server = mortal_lite
    name = unique_name("impatient")
    make_samples(ws, name, 1_000)
    watcher = Watcher(200, server.kill9)
    waiting: list[float] = []

    def tell(event: Event) -> None:
        watcher(event)
        if isinstance(event, Notice) and event.text and not waiting:
            waiting.append(time.monotonic())

    spec = file_spec(name, saved(tmp_path, random_vectors(1_000)), batch_size=50)
    with pytest.raises(Interrupted):
        indexes.build(ws, spec, tell, lambda: bool(waiting), milvus_wait=120)
    assert time.monotonic() - waiting[0] < 5


def test_a_server_that_freezes_is_waited_for_and_goes_on(
    mortal_lite: Any, unique_name: Name, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(milvus_link, "patient_enough", lambda timeout: timeout)
    ws, server = mortal_lite
    name = unique_name("frozen")
    make_samples(ws, name, 1_000)
    rows = random_vectors(1_000)
    thawed: list[float] = []

    def thaw() -> None:
        thawed.append(time.monotonic())
        server.cont()

    def freeze() -> None:
        server.stop()
        threading.Timer(6.0, thaw).start()

    watcher = Watcher(300, freeze)
    began = time.monotonic()
    result = indexes.build(ws, file_spec(name, saved(tmp_path, rows), batch_size=50), watcher)
    assert watcher.next_upload(thawed[0]) < 2.5
    assert time.monotonic() - began < 30
    assert any("did not answer in time" in text for text in watcher.notices())
    ids, _ = all_ids(ws, Scope(name))
    assert_exact(ws, result.collection, set(ids), dict(zip(ids, rows, strict=True)))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder with room for 24 MB."""
    folder = tmp_path / "small"
    folder.mkdir()
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small file system")
    command = ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(folder)]
    mounted = subprocess.run(command, capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=False)


def test_a_full_disk_under_milvus_lite(
    small_disk: Path, mongod: Mongod, unique_name: Name, tmp_path: Path
) -> None:
    name = unique_name("full")
    with MilvusLite(small_disk / "lite") as server, Workspace(settings_for(mongod, server)) as ws:
        make_samples(ws, name, 8_000)
        rows = random_vectors(8_000, 1_024)
        spec = file_spec(name, saved(tmp_path, rows), batch_size=500)
        watcher = Watcher(10**9, lambda: None)
        with pytest.raises(KitescopeError, match="full"):
            indexes.build(ws, spec, watcher)
        written = max(
            (
                event.done
                for _, event in watcher.events
                if isinstance(event, Progress) and event.phase == "upload"
            ),
            default=0,
        )
        assert written >= 500 and runs.get_run(ws, name, "k") is None
        subprocess.run(["mount", "-o", "remount,size=400m", str(small_disk)], check=True)
        server.restart()
        heard: list[Event] = []
        result = build(ws, spec, heard)
        first = next(event for event in heard if isinstance(event, Progress) and event.phase == "embed")
        assert first.done >= written, "what was acknowledged has survived the full disk"
        ids, _ = all_ids(ws, Scope(name))
        assert_exact(ws, result.collection, set(ids), dict(zip(ids, rows, strict=True)))


def test_two_writers_meet_and_one_is_told_of_the_other(
    engine_workspace: Workspace,
    mongod: Mongod,
    milvus_engine: MilvusServer,
    unique_name: Name,
    tmp_path: Path,
) -> None:
    ws, name = engine_workspace, unique_name("two")
    make_samples(ws, name, 400)
    rows = random_vectors(400)
    path = saved(tmp_path, rows)
    shared = f"c_{name}".replace("-", "_")
    refused: list[KitescopeError] = []

    def second(spec: indexes.BuildSpec) -> None:
        with (
            Workspace(settings_for(mongod, milvus_engine)) as other,
            pytest.raises(KitescopeError, match="Another Kitescope") as error,
        ):
            indexes.build(other, spec)
        refused.append(error.value)

    def meet() -> None:
        second(file_spec(name, path, collection=shared))
        second(file_spec(name, path, "other_key", collection=shared))

    watcher = Watcher(40, meet)
    result = indexes.build(ws, file_spec(name, path, batch_size=20, collection=shared), watcher)
    assert len(refused) == 2
    assert all(str(os.getpid()) in error.what and f"{name}/k" in error.what for error in refused)
    ids, _ = all_ids(ws, Scope(name))
    assert_exact(ws, result.collection, set(ids), dict(zip(ids, rows, strict=True)))
    # A sync and a build meet on one collection as well.
    with indexes_lease(ws, collection_of(ws, name)), pytest.raises(KitescopeError, match="Another"):
        indexes.sync(ws, name, "k")
    assert indexes.sync(ws, name, "k").unchanged == 400


def indexes_lease(ws: Workspace, collection: str) -> Any:
    from tui.core.filling.leases import hold

    return hold(ws, [f"collection {collection}"], "a test")


def test_the_wait_may_be_set_in_the_environment(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, unique_name: Name, tmp_path: Path
) -> None:
    from tui.core.filling.patience import milvus_wait

    assert milvus_wait() == 120.0
    monkeypatch.setenv("KITESCOPE_MILVUS_WAIT", "7.5")
    assert milvus_wait() == 7.5
    monkeypatch.setenv("KITESCOPE_MILVUS_WAIT", "soon")
    with pytest.raises(InvalidInput, match="KITESCOPE_MILVUS_WAIT"):
        milvus_wait()

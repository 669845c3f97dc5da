"""A ``.db`` path as Milvus' URI: one server for all who name it, and clear words where that cannot be."""

from __future__ import annotations

import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.engines.programs import KITESCOPE, Program
from tui.core import embedded
from tui.core.connecting.exporting import env_lines
from tui.core.errors import EngineUnreachable, InvalidInput
from tui.core.services import lite_data, processes
from tui.core.services.lite_server import server_of
from tui.core.settings import Settings, resolve
from tui.core.workspace import Workspace

CREATE = 'ws.milvus().create({!r}, dim=2, metric="cosine", consistency_level="Strong", properties={{}})'
HOLD = """
import sys
from milvus_lite.db import MilvusLite
held = MilvusLite(sys.argv[1])
print("held", flush=True)
sys.stdin.read()
"""
STOCK_LIST = """
import sys, pymilvus
client = pymilvus.MilvusClient(sys.argv[1])
print(sorted(client.list_collections()))
client.close()
"""


@pytest.fixture
def path(home: Path) -> Iterator[Path]:
    yield home / "vectors.db"
    embedded.stop()


def on(path: Path | str) -> Settings:
    return resolve(flags={"uri": str(path)}, env={})


def test_many_programs_use_one_path_at_once_and_stop_names_it(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FIFTYONE_BRAIN_SIMILARITY_MILVUS_URI", str(path))
    with ExitStack() as stack:
        programs = [stack.enter_context(Program(KITESCOPE)) for _ in range(3)]
        for number, one in enumerate(programs):
            one.send(CREATE.format(f"c{number}"))
        assert [one.answer() for one in programs] == [None] * 3
        assert [one.ask("ws.milvus().collections()") for one in programs] == [["c0", "c1", "c2"]] * 3
    assert stat.S_IMODE(path.stat().st_mode) == 0o700
    process = server_of(path).process()
    assert process is not None
    listed = [one for one in embedded.status() if one.engine == f"milvus {path}"]
    assert [(one.running, one.pids) for one in listed] == [(True, (process.pid,))]
    stopped = embedded.stop()
    assert (stopped[-1].engine, stopped[-1].stopped) == (f"milvus {path}", True)
    assert not processes.alive(process)
    assert embedded.stop()[-1].engine == "fiftyone-database", "what does not run is not named"
    # Afterwards it is a path like any other for pymilvus, in a process of its own.
    out = subprocess.run(
        [sys.executable, "-c", STOCK_LIST, str(path)], capture_output=True, text=True, check=True, timeout=120
    )
    assert out.stdout == "['c0', 'c1', 'c2']\n"


def test_its_exported_address_means_it_also_after_a_stop(path: Path) -> None:
    with Workspace(on(path)) as workspace:
        workspace.milvus().create("kept", dim=2, metric="cosine", consistency_level="Strong", properties={})
    exported = dict(line.split("=", 1) for line in env_lines(on(path)).splitlines() if line[0] != "#")
    address = exported["export FIFTYONE_BRAIN_SIMILARITY_MILVUS_URI"]
    assert address.startswith("unix:/")
    embedded.stop()
    with Workspace(on(address)) as workspace:
        assert workspace.milvus().collections() == ["kept"]


def test_a_path_that_another_program_has_open(path: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with holder:
        assert holder.stdout is not None and holder.stdin is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(EngineUnreachable) as caught:
            Workspace(on(path)).milvus()
        assert f"{path} is open in another program (pid {holder.pid}, " in caught.value.what
        assert "Close it there" in caught.value.remedy
        holder.stdin.close()
        holder.wait(60)
    assert Workspace(on(path)).milvus().collections() == []


def test_a_file_of_milvus_lite_2(path: Path) -> None:
    path.write_bytes(b"SQLite format 3\0")
    with pytest.raises(InvalidInput, match="before version 3") as caught:
        Workspace(on(path)).milvus()
    assert "build the index again" in caught.value.remedy
    assert path.read_bytes() == b"SQLite format 3\0"


def test_a_deleted_path_is_told_and_can_be_made_again(path: Path) -> None:
    Workspace(on(path)).milvus()
    path.rename(path.with_name("moved"))
    with pytest.raises(EngineUnreachable, match="was deleted"):
        Workspace(on(path)).milvus()
    assert embedded.stop()[-1].engine == f"milvus {path}"
    assert Workspace(on(path)).milvus().collections() == []


def test_places_that_cannot_be(home: Path) -> None:
    lite_data.check(home / "new.db")
    (home / "empty.db").mkdir()
    lite_data.check(home / "empty.db")
    (home / "photos.db").mkdir()
    (home / "photos.db" / "a.png").write_bytes(b"")
    with pytest.raises(InvalidInput, match="something else"):
        lite_data.check(home / "photos.db")
    with pytest.raises(InvalidInput, match="does not exist"):
        lite_data.check(home / "nowhere" / "x.db")

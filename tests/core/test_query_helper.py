"""The warm process that embeds queries: same vectors as here, errors with a remedy, nothing left over."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest

from tests.core import prompt_model
from tests.core.making import all_ids, fill, make_dataset, vectors
from tests.engines.servers import wait_until
from tui.core.demo import write_digits
from tui.core.documents.run_list import RunInfo, require_run
from tui.core.errors import Interrupted, KitescopeError
from tui.core.filling import adopting
from tui.core.models import BUILTIN
from tui.core.querying.query import Query, embed_here
from tui.core.scope import Scope
from tui.core.vision.descriptor import Descriptor
from tui.core.vision.fleet_process import MemberProcess
from tui.core.vision.frames import Ready, Start
from tui.core.vision.preparation import Crew, Task, Unusable
from tui.core.vision.query_helper import QueryHelper
from tui.core.workspace import Workspace
from tui.screens.collection_actions import _adopt

RUN = RunInfo("d", "k", "similarity", "milvus", model=BUILTIN)


@pytest.fixture
def helper() -> Iterator[QueryHelper]:
    opened = QueryHelper()
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def digit(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("digits")
    write_digits(folder)
    return str(sorted(folder.glob("*.png"))[7])


def test_vectors_are_those_of_this_process_and_it_stays_warm(helper: QueryHelper, digit: str) -> None:
    query = Query("d", "k", image=digit)
    assert helper.pid is None
    vector = helper.embed(RUN, query)
    pid = helper.pid
    assert np.array_equal(vector, embed_here(RUN, query)) and vector.dtype == np.float32
    started = time.monotonic()
    helper.embed(RUN, query)
    assert helper.pid == pid and time.monotonic() - started < 2


def test_what_is_wrong_comes_back_with_its_remedy(helper: QueryHelper) -> None:
    with pytest.raises(KitescopeError, match="the file is missing") as missing:
        helper.embed(RUN, Query("d", "k", image="/nowhere.png"))
    assert missing.value.remedy
    with pytest.raises(KitescopeError, match="knows no text"):
        helper.embed(RUN, Query("d", "k", text="a seven"))


def test_a_killed_helper_fails_who_waits_and_the_next_query_starts_another(
    helper: QueryHelper, digit: str
) -> None:
    helper.embed(RUN, Query("d", "k", image=digit))
    first = helper.pid
    assert first is not None
    os.kill(first, signal.SIGSTOP)
    failed: list[BaseException] = []

    def ask() -> None:
        try:
            helper.embed(RUN, Query("d", "k", image=digit))
        except KitescopeError as error:
            failed.append(error)

    waiting = threading.Thread(target=ask)
    waiting.start()
    # Asked before it is killed: of one that is dead already, the question would start another.
    wait_until(lambda: bool(helper._waiting), 20, "the question is asked")
    os.kill(first, signal.SIGKILL)
    waiting.join(20)
    assert not waiting.is_alive() and "ended with code -9" in str(failed[0])
    assert len(helper.embed(RUN, Query("d", "k", image=digit))) > 100
    assert helper.pid not in (None, first)


def test_cancelling_lets_go_at_once_and_keeps_the_process(helper: QueryHelper, digit: str) -> None:
    helper.embed(RUN, Query("d", "k", image=digit))
    pid = helper.pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    failed: list[BaseException] = []

    def ask() -> None:
        try:
            helper.embed(RUN, Query("d", "k", image=digit))
        except Interrupted as error:
            failed.append(error)

    waiting = threading.Thread(target=ask)
    waiting.start()
    wait_until(lambda: bool(helper._waiting), 20, "the question is asked")
    helper.abandon()
    waiting.join(5)
    os.kill(pid, signal.SIGCONT)
    assert failed and len(helper.embed(RUN, Query("d", "k", image=digit))) > 100 and helper.pid == pid


def test_it_ends_when_it_is_closed_and_when_its_user_is_killed(digit: str, tmp_path: Path) -> None:
    helper = QueryHelper()
    helper.embed(RUN, Query("d", "k", image=digit))
    child = psutil.Process(helper.pid)
    helper.close()
    assert not child.is_running()
    code = f"""
import time
from tui.core.vision.query_helper import QueryHelper
from tui.core.querying.query import Query
from tui.core.documents.run_list import RunInfo
helper = QueryHelper()
helper.embed(RunInfo("d", "k", "similarity", "milvus", model={BUILTIN!r}), Query("d", "k", image={digit!r}))
print(helper.pid, flush=True)
time.sleep(60)
"""
    user = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert user.stdout is not None
    orphan = psutil.Process(int(user.stdout.readline()))
    user.kill()
    user.wait()
    orphan.wait(10)
    assert not orphan.is_running()


def test_a_model_is_looked_into_there_when_a_collection_is_adopted(
    helper: QueryHelper, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def not_here(name: str) -> None:
        raise AssertionError(f"{name} is loaded in this process")

    assert helper.about(BUILTIN).dim and helper.pid is None
    name = f"adopted_{uuid.uuid4().hex[:8]}"
    make_dataset(workspace, name, 3)
    fill(workspace, name, *all_ids(workspace, Scope(name)), vectors(3, dim=3))
    monkeypatch.setattr(adopting, "certain_info", not_here)
    model = f"{Path(__file__).with_name('user_models.py')}:no_torch"
    _adopt(name, name, "k", None, model, workspace)
    assert require_run(workspace, name, "k").supports_prompts


def test_files_in_the_users_folder_are_not_taken_for_libraries(
    helper: QueryHelper, digit: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("queue.py", "random.py", "tui/__init__.py"):
        trap = tmp_path / name
        trap.parent.mkdir(exist_ok=True)
        trap.write_text("raise SystemExit('not this one')\n")
    monkeypatch.chdir(tmp_path)
    assert len(helper.embed(RUN, Query("d", "k", image=digit)))
    with Crew(Descriptor(), 1, processes=True) as crew:
        (prepared,) = crew.submit(Task(digit, (None,))).result(60)
    assert not isinstance(prepared, Unusable)
    answers: queue.SimpleQueue[object] = queue.SimpleQueue()
    start = Start(BUILTIN, "cpu", "auto", 1, None)
    member = MemberProcess(start, 1, lambda _member, answer, _payload: answers.put(answer))
    try:
        assert isinstance(answers.get(timeout=60), Ready), member.log()
    finally:
        member.close()


def test_a_library_that_prints_does_not_spoil_the_answers(digit: str) -> None:
    code = (
        "import os, sys\n"
        "from tui.core.querying import query\n"
        "from tui.core.vision import query_helper\n"
        "real = query.embed_here\n"
        "def noisy(run, asked):\n"
        "    print('noise'); os.write(1, b'more noise')\n"
        "    return real(run, asked)\n"
        "query.embed_here = noisy\n"
        "query_helper.main()\n"
    )
    request = f'{{"number":1,"model":"{BUILTIN}","image":"{digit}"}}\n'
    done = subprocess.run(
        [sys.executable, "-c", code], input=request, capture_output=True, text=True, timeout=60
    )
    assert done.stdout.startswith('{"number":1,"vector":"') and done.stdout.count("\n") == 1
    assert "more noise" in done.stderr


def test_words_and_pictures_of_a_torch_model_meet_in_its_space(
    helper: QueryHelper, digit: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FIFTYONE_MODEL_ZOO_MANIFEST_PATHS", str(prompt_model.train(tmp_path)))
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    run = RunInfo("d", "k", "similarity", "milvus", model=prompt_model.NAME, supports_prompts=True)
    picture = helper.embed(run, Query("d", "k", image=digit))
    words = np.stack([helper.embed(run, Query("d", "k", text=word)) for word in prompt_model.WORDS])
    near = words @ picture / np.linalg.norm(words, axis=1)
    assert prompt_model.WORDS[int(near.argmax())] == "seven"

"""``build``, ``sync``, ``jobs`` and ``runs`` that change things."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.program import PROGRAM, Cli, one_error_line
from tests.jobs.conftest import COUNT, DIM, Brake, Vectors, brake, vectors
from tests.jobs.helpers import freeze, until
from tui.jobs.info import JobInfo
from tui.jobs.store import JobStore

__all__ = ["brake", "vectors"]


@pytest.fixture
def key(unique_name: Callable[[str], str]) -> str:
    return unique_name("k").replace("-", "_")


@pytest.fixture
def source(vectors: Vectors) -> tuple[str, ...]:
    return ("--embeddings", str(vectors.file))


@pytest.fixture
def braked(cli: Cli, brake: Brake) -> Brake:
    """The jobs of this test take their time until they are let go."""
    cli.environment["PYTHONPATH"] = brake.path(cli.environment)
    return brake


def frozen_in_mid_build() -> JobInfo:
    """The only job, stopped as soon as it writes vectors: the slowest machine then has time to look."""
    store = JobStore()

    def is_so() -> bool:
        for job in store.list():
            assert not job.ended, job.log.read_text()
            if job.pid and "upload" in job.phases and job.phases["upload"].done:
                freeze(job.pid, store)
                return True
        return False

    until(is_so, 60, "an upload")
    return store.list()[0]


def thaw(job: JobInfo) -> None:
    assert job.pid is not None
    os.kill(job.pid, signal.SIGCONT)


def test_a_build_a_taken_key_and_the_ways_out(
    cli: Cli, vectors: Vectors, source: tuple[str, ...], key: str
) -> None:
    ran = cli("build", vectors.dataset, key, *source)
    assert f"{COUNT:,} vectors of dimension {DIM}" in ran.out
    assert len(ran.out.splitlines()) == 1
    jobs = cli("jobs", "list", "--json").json
    again = cli("build", vectors.dataset, key, *source, "--json", ok=False)
    assert again.code == 2
    error = one_error_line(again)
    assert "--overwrite" in error
    assert "sync" in error
    assert cli("jobs", "list", "--json").json == jobs
    before = cli("runs", "info", vectors.dataset, key, "--json").json["timestamp"]
    over = cli("build", vectors.dataset, key, *source, "--overwrite", "--metric", "euclidean", "--json")
    assert over.lines[-1]["vectors"] == COUNT
    (run,) = [run for run in cli("runs", "list", vectors.dataset, "--json").json if run["brain_key"] == key]
    assert (run["metric"], run["health"]) == ("euclidean", "ok")
    assert cli("runs", "info", vectors.dataset, key, "--json").json["timestamp"] >= before


def test_a_metric_of_the_environment_that_does_not_exist_is_said_in_one_line(
    cli: Cli, vectors: Vectors, source: tuple[str, ...], key: str
) -> None:
    variable = {"FIFTYONE_BRAIN_SIMILARITY_MILVUS_METRIC": "cosin"}
    refused = cli("build", vectors.dataset, key, *source, ok=False, **variable)
    assert refused.code == 2
    assert "env FIFTYONE_BRAIN_SIMILARITY_MILVUS_METRIC names the metric 'cosin'" in one_error_line(refused)
    assert cli("build", vectors.dataset, key, *source, "--metric", "cosine", "--json", **variable).lines


def test_options_reach_the_index(cli: Cli, vectors: Vectors, key: str, tmp_path: Path) -> None:
    import numpy as np

    np.save(tmp_path / "half.npy", np.load(vectors.file)[:500])
    source = ("--embeddings", str(tmp_path / "half.npy"))
    options = (
        *("--collection", f"my_{key}", "--metric", "dotproduct", "--consistency-level", "strong"),
        *("--index-type", "ivf_flat", "--index-param", "nlist=16", "--limit", "500", "--batch-size", "100"),
    )
    last = cli("build", vectors.dataset, key, *source, *options, "--json").lines[-1]
    assert (last["collection"], last["vectors"]) == (f"my_{key}", 500)
    info = cli("collections", "info", f"my_{key}", "--json").json
    assert (info["index_type"], info["metric"], info["consistency_level"]) == (
        "IVF_FLAT",
        "dotproduct",
        "Strong",
    )
    # Milvus Lite does not tell the parameters of an index; the build wrote down what it asked for.
    assert json.loads(info["properties"]["kitescope.index"])["params"] == {"nlist": 16}
    (run,) = [run for run in cli("runs", "list", vectors.dataset, "--json").json if run["brain_key"] == key]
    assert (run["expected"], run["health"]) == (500, "ok")


def test_ids_name_the_rows(cli: Cli, vectors: Vectors, key: str, tmp_path: Path) -> None:
    import numpy as np

    file, ids = tmp_path / "some.npy", tmp_path / "some.txt"
    rows = [5, 3, 9]
    np.save(file, np.load(vectors.file)[rows])
    ids.write_text("".join(f"{vectors.ids[row]}\n" for row in rows))
    last = cli("build", vectors.dataset, key, "--embeddings", str(file), "--ids", str(ids), "--json").lines[
        -1
    ]
    assert last["vectors"] == 3
    vector = tmp_path / "nine.npy"
    np.save(vector, np.load(vectors.file)[9])
    (hit,) = cli("search", vectors.dataset, key, "--vector", str(vector), "-k", "1", "--json").json["hits"]
    assert hit["id"] == vectors.ids[9]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("no-such-dataset", "k"), "no-such-dataset"),
        (("{dataset}", "bad key"), "bad key"),
        (("{dataset}", "k", "--view", "no-such-view"), "no-such-view"),
        (("{dataset}", "k", "--tag", "no-such-tag"), "in scope"),
        (("{dataset}", "k", "--patches-field", "no_such_field"), "no_such_field"),
        (("{dataset}", "k", "--model", "no-such-model"), "no-such-model"),
        (("{dataset}", "k", "--index-type", "BOGUS"), "BOGUS"),
        (("{dataset}", "k", "--embeddings-field", "no_such_field"), "no_such_field"),
    ],
)
def test_what_cannot_work_is_refused_before_a_job_starts(
    cli: Cli, vectors: Vectors, arguments: tuple[str, ...], says: str
) -> None:
    ran = cli("build", *(word.format(dataset=vectors.dataset) for word in arguments), "--json", ok=False)
    assert ran.code == 2
    assert says in one_error_line(ran)
    assert cli("jobs", "list", "--json").json == []


def test_readonly_builds_nothing(cli: Cli, vectors: Vectors, source: tuple[str, ...], key: str) -> None:
    for words in (("build", vectors.dataset, key, *source), ("demo", "--no-ui")):
        ran = cli("--readonly", *words, ok=False)
        assert ran.code == 2
        one_error_line(ran)


def test_detach_answers_at_once_and_wait_ends_with_the_job(
    cli: Cli, vectors: Vectors, source: tuple[str, ...], key: str, braked: Brake
) -> None:
    started = cli("build", vectors.dataset, key, *source, "--batch-size", "1", "--detach", "--json").json
    assert list(started) == ["job"]
    job = started["job"]
    frozen = frozen_in_mid_build()
    assert frozen.id == job
    impatient = cli("jobs", "wait", job, "--max-seconds", "0", ok=False)
    assert impatient.code == 1
    (row,) = cli("jobs", "list", "--json").json
    assert (row["id"], row["state"]) == (job, "running")
    assert 0 < row["done"] < row["total"] == COUNT
    braked.let_go()
    thaw(frozen)
    waited = cli("jobs", "wait", job, "--json").json
    assert (waited["state"], waited["result"]["vectors"]) == ("done", COUNT)
    assert set(row) == {
        "id", "kind", "dataset", "brain_key", "state", "phase", "done", "total", "rate", "eta_s",
    }  # fmt: skip
    assert job in cli("jobs", "list").out


_CLOCKED = """
import sys, time
if sys.orig_argv[1:3] == ["-m", "tui"]:
    from tui.cli.output import Output
    line = Output.json_line
    Output.json_line = lambda self, value: line(self, {**value, "at": time.monotonic()})
"""


def test_progress_lines_come_at_most_ten_a_second(
    cli: Cli, vectors: Vectors, source: tuple[str, ...], key: str, braked: Brake
) -> None:
    # The program says when it wrote each line: who reads them may stand still, and get many at once.
    with (braked.file.parent / "sitecustomize.py").open("a") as customized:
        customized.write(_CLOCKED)
    process = cli.start("build", vectors.dataset, key, *source, "--batch-size", "1", "--json")
    lines = []
    assert process.stdout is not None
    for line in process.stdout:
        lines.append(json.loads(line))
        if len(lines) == 30:
            braked.let_go()
    assert process.wait(60) == 0
    times = [line["at"] for line in lines if line.get("event") == "progress"]
    assert len(times) > 20
    # The last words on the phases come together at the end.
    for first, tenth in zip(times[:-6], times[10:-6], strict=False):
        assert tenth - first > 0.8


def test_kill_9_of_the_shells_process_group_leaves_the_job(
    cli: Cli, vectors: Vectors, source: tuple[str, ...], key: str, braked: Brake
) -> None:
    words = " ".join([*PROGRAM, "build", vectors.dataset, key, *source, "--batch-size", "1"])
    shell = subprocess.Popen(
        ["bash", "-c", f"{words}; true"],
        env=cli.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    job = frozen_in_mid_build()
    os.killpg(shell.pid, signal.SIGKILL)
    shell.wait()
    braked.let_go()
    thaw(job)
    assert cli("jobs", "list", "--json").json[0]["state"] in ("running", "done")
    cli("jobs", "wait", job.id)
    assert cli("runs", "check", vectors.dataset, key, "--json").json["health"] == "ok"


def test_ctrl_c_cancels_keeps_what_is_done_and_building_again_continues(
    cli: Cli, vectors: Vectors, source: tuple[str, ...], key: str, braked: Brake
) -> None:
    process = cli.start("build", vectors.dataset, key, *source, "--batch-size", "1", "--json")
    job = frozen_in_mid_build()
    os.killpg(process.pid, signal.SIGINT)
    until(lambda: JobStore().get(job.id).state == "cancelling")
    braked.let_go()
    thaw(job)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert '"event":"cancelled"' in out.splitlines()[-1]
    assert err.splitlines()[-1].startswith("error: ")
    assert JobStore().get(job.id).state == "cancelled"
    assert key not in [run["brain_key"] for run in cli("runs", "list", vectors.dataset, "--json").json]
    again = cli("build", vectors.dataset, key, *source, "--json")
    resumed = re.search(r"([\d,]+) of them there already", again.err)
    assert resumed, again.err
    assert 0 < int(resumed[1].replace(",", "")) < COUNT
    assert again.lines[-1]["vectors"] == COUNT


def test_jobs_cancel_and_resume(
    cli: Cli, vectors: Vectors, source: tuple[str, ...], key: str, braked: Brake
) -> None:
    slow = ("build", vectors.dataset, key, *source, "--batch-size", "1")
    job = cli(*slow, "--detach", "--json").json["job"]
    frozen = frozen_in_mid_build()
    cancelling = cli.start("jobs", "cancel", job, "--json")
    until(lambda: JobStore().get(job).state == "cancelling")
    braked.let_go()
    thaw(frozen)
    assert '"state":"cancelled"' in cancelling.communicate(timeout=30)[0]
    waited = cli("jobs", "wait", job, ok=False)
    assert waited.code == 130
    assert "resume" in waited.err
    assert cli("jobs", "cancel", job, ok=False).code == 2
    assert cli("jobs", "resume", job[:4], "--json").json["id"] == job
    cli("jobs", "wait", job)
    assert cli("jobs", "resume", job, ok=False).code == 2
    assert cli("jobs", "show", job, "--json").json["attempt"] == 2
    assert "attempt 2" in cli("jobs", "log", job).out
    assert cli("jobs", "show", "zzzzz", ok=False).code == 2


def test_a_job_that_fails_gives_the_line_and_the_exit_code(
    cli: Cli, vectors: Vectors, source: tuple[str, ...], key: str, tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\n"
        "if 'tui.jobs.worker' in ' '.join(sys.orig_argv):\n"
        "    from tui.core import indexes\n"
        "    from tui.core.errors import EngineUnreachable\n"
        "    def gone(*args, **kwargs):\n"
        "        raise EngineUnreachable('Milvus went away', 'Start it again')\n"
        "    indexes.build = gone\n"
    )
    ran = cli("build", vectors.dataset, key, *source, "--json", ok=False, PYTHONPATH=str(tmp_path))
    assert ran.code == 3
    last = ran.lines[-1]
    assert (last["event"], last["error"], last["remedy"]) == ("failed", "Milvus went away", "Start it again")
    assert ran.err.splitlines()[-1] == "error: Milvus went away. Start it again."
    assert cli("jobs", "wait", last["job"], ok=False).code == 3


def test_sync_after_samples_came_and_went(
    cli: Cli, vectors: Vectors, key: str, unique_name: Callable[[str], str], tmp_path: Path
) -> None:
    from PIL import Image

    folder = tmp_path / "pictures"
    folder.mkdir()
    for n in range(4):
        Image.new("RGB", (32, 32), (60 * n, 0, 0)).save(folder / f"{n}.png")
    name = unique_name("sync")
    cli("datasets", "import", str(folder), "--name", name)
    cli("build", name, key)
    import pymongo

    with pymongo.MongoClient(cli.environment["FIFTYONE_DATABASE_URI"]) as client:
        database = client["fiftyone"]
        samples = database[database["datasets"].find_one({"name": name})["sample_collection_name"]]
        gone = samples.find_one({})
        samples.delete_one({"_id": gone["_id"]})
        from bson import ObjectId

        samples.insert_one({**gone, "_id": ObjectId()})
        samples.insert_one({**gone, "_id": ObjectId()})
    would = cli("sync", name, key, "--dry-run", "--json").json
    assert (would["added"], would["removed"], would["unchanged"]) == (2, 1, 3)
    assert cli("runs", "check", name, key, "--json").json["missing"] == 2
    did = cli("sync", name, key, "--json").json
    assert (did["added"], did["removed"], did["unchanged"], did["skipped"]) == (2, 1, 3, [])
    again = cli("sync", name, key)
    assert again.out == "0 added, 0 removed, 5 unchanged\n"
    assert cli("sync", name, "nope", ok=False).code == 2
    assert cli("--readonly", "sync", name, key, ok=False).code == 2


def test_rename_cleanup_and_delete_a_run(
    cli: Cli, vectors: Vectors, source: tuple[str, ...], key: str
) -> None:
    built = cli("build", vectors.dataset, key, *source, "--json").lines[-1]
    new = f"{key}_new"
    assert cli("runs", "rename", vectors.dataset, key, new, "--json").json["brain_key"] == new
    assert cli("runs", "info", vectors.dataset, key, ok=False).code == 2
    assert cli("search", vectors.dataset, new, "--id", vectors.ids[0], "-k", "1", "--json").json["hits"]
    for words in (("cleanup", vectors.dataset, new), ("delete", vectors.dataset, new)):
        refused = cli("runs", *words, ok=False)
        assert refused.code == 2
        assert "--yes" in one_error_line(refused)
        assert cli("--readonly", "runs", *words, "--yes", ok=False).code == 2
    cleaned = cli("runs", "cleanup", vectors.dataset, new, "--yes", "--json").json
    assert (cleaned["dropped"], cleaned["collection"], cleaned["vectors"]) == (
        True,
        built["collection"],
        COUNT,
    )
    (run,) = [run for run in cli("runs", "list", vectors.dataset, "--json").json if run["brain_key"] == new]
    assert run["health"] == "no-collection"
    gone = cli("search", vectors.dataset, new, "--id", vectors.ids[0], ok=False)
    assert gone.code == 1
    assert "--overwrite" in gone.err
    cli("runs", "delete", vectors.dataset, new, "--yes")
    assert new not in [run["brain_key"] for run in cli("runs", "list", vectors.dataset, "--json").json]


def test_an_orphan_is_found_and_dropped(
    cli: Cli, vectors: Vectors, source: tuple[str, ...], key: str
) -> None:
    collection = cli("build", vectors.dataset, key, *source, "--json").lines[-1]["collection"]
    kept = cli("runs", "delete", vectors.dataset, key, "--keep-collection", "--yes", "--json").json
    assert kept["dropped"] is False
    assert collection in [row["name"] for row in cli("collections", "list", "--orphans", "--json").json]
    assert cli("collections", "drop", collection, ok=False).code == 2
    dropped = cli("collections", "drop", collection, "--yes", "--json").json
    assert dropped == {"dropped": collection, "vectors": COUNT}
    assert cli("collections", "info", collection, ok=False).code == 2


def test_a_sync_of_a_protected_profile_removes_nothing_without_its_name(
    cli: Cli, vectors: Vectors, source: tuple[str, ...], key: str
) -> None:
    cli("build", vectors.dataset, key, *source, "--json")
    cli("connections", "save", "lab", "--protected")
    lab = ("--profile", "lab")
    shrink(cli, vectors.dataset, key, COUNT - 7)
    refused = cli(*lab, "sync", vectors.dataset, key, "--json", ok=False)
    assert refused.code == 2
    assert f"remove 7 stale vectors of run '{key}': profile lab is protected" in refused.err
    assert "--confirm-protected lab" in refused.err
    assert cli("runs", "check", vectors.dataset, key, "--json").json["stale"] == 7
    allowed = cli(*lab, "--confirm-protected", "lab", "sync", vectors.dataset, key, "--json").json
    assert (allowed["added"], allowed["removed"]) == (0, 7)


def shrink(cli: Cli, dataset: str, key: str, limit: int) -> None:
    """Let a run be of the first ``limit`` samples."""
    import pymongo

    with pymongo.MongoClient(cli.environment["FIFTYONE_DATABASE_URI"]) as client:
        database = client["fiftyone"]
        run = database["datasets"].find_one({"name": dataset})["brain_methods"][key]
        database["runs"].update_one({"_id": run}, {"$set": {"config.kitescope.scope.limit": limit}})


def test_several_orphans_are_dropped_at_once_and_one_that_is_used_stays(
    cli: Cli, vectors: Vectors, source: tuple[str, ...], key: str
) -> None:
    keys = [f"{key}_{n}" for n in range(3)]
    names = [cli("build", vectors.dataset, k, *source, "--json").lines[-1]["collection"] for k in keys]
    cli("runs", "delete", vectors.dataset, *keys[:2], "--keep-collection", "--yes")
    asked = cli("collections", "drop", *names[:2], ok=False)
    assert asked.code == 2
    assert f"{names[1]}: {COUNT:,} vectors" in asked.err
    assert cli("collections", "drop", names[0], "no_such", "--yes", ok=False).code == 2
    ran = cli("collections", "drop", *names, names[0], "--yes", "--json", ok=False)
    assert ran.code == 2
    assert "1 of 3 collections could not be dropped" in ran.err
    assert ran.json[:2] == [{"dropped": name, "vectors": COUNT} for name in names[:2]]
    assert ran.json[2]["name"] == names[2]
    assert "belongs to" in ran.json[2]["error"]
    left = [row["name"] for row in cli("collections", "list", "--json").json]
    assert [name in left for name in names] == [False, False, True]
    cli("runs", "delete", vectors.dataset, keys[2], "--yes")


def test_a_question_is_asked_on_a_terminal_and_no_means_no(
    cli: Cli, vectors: Vectors, source: tuple[str, ...], key: str
) -> None:
    import pty

    cli("build", vectors.dataset, key, *source, "--json")
    for answer, code in ((b"n\n", 130), (b"y\n", 0)):
        ours, theirs = pty.openpty()
        process = subprocess.Popen(
            [*PROGRAM, "runs", "delete", vectors.dataset, key],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=cli.environment | {"TERM": "xterm"},
        )
        os.close(theirs)
        text = b""
        while b"[y/N]" not in text:
            text += os.read(ours, 4096)
        assert key.encode() in text
        os.write(ours, answer)
        assert process.wait(60) == code
        os.close(ours)
        keys = [run["brain_key"] for run in cli("runs", "list", vectors.dataset, "--json").json]
        assert (key in keys) is (code != 0)


def test_bars_are_drawn_on_a_terminal_and_the_result_on_stdout(
    cli: Cli, vectors: Vectors, source: tuple[str, ...], key: str
) -> None:
    from tests.cli.test_output import in_terminal

    shown = in_terminal(
        [*PROGRAM, "build", vectors.dataset, key, *source],
        cli.environment | {"TERM": "xterm-256color"},
        100,
    )
    assert "upload" in shown
    assert "━" in shown
    assert f"{COUNT:,} vectors of dimension {DIM}" in shown


def test_a_reader_that_leaves_does_not_end_the_build(
    cli: Cli, vectors: Vectors, source: tuple[str, ...], key: str
) -> None:
    command = " ".join([*PROGRAM, "build", vectors.dataset, key, *source, "--json"])
    done = subprocess.run(
        ["bash", "-c", f"{command} | head -1; exit ${{PIPESTATUS[0]}}"],
        env=cli.environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert cli("runs", "check", vectors.dataset, key, "--json").json["distinct"] == COUNT

"""From nothing to similar pictures: demo, search, runs, collections, datasets, on real engines."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.cli.conftest import DEMO, Demo
from tests.cli.program import Cli, one_error_line
from tests.cli.test_output import in_terminal
from tests.conftest import settings_for
from tests.engines.servers import MilvusLite, Mongod
from tui.core.search import Query, search
from tui.core.workspace import Workspace

KEY = "digits"


@pytest.fixture
def cli(demo: Demo) -> Cli:
    """The program where the demo was made."""
    return Cli(demo.environment)


def rounds(lines: list[dict[str, object]], event: str) -> list[dict[str, object]]:
    return [line for line in lines if line["event"] == event]


def test_the_demo_ends_with_its_summary(demo: Demo) -> None:
    *before, last = demo.ran.lines
    assert last["event"] == "done"
    assert (last["brain_key"], last["vectors"], last["skipped"]) == (KEY, 1797, [])
    assert last["dim"] > 0
    assert last["seconds"] > 0
    assert before[0] == {"event": "started", "job": last["job"]}
    progress = rounds(before, "progress")
    assert len(progress) == len(before) - 1
    assert {line["phase"] for line in progress} == {"model", "embed", "upload", "index"}
    assert set(progress[0]) == {"event", "phase", "done", "total", "rate", "eta_s"}
    assert [line["done"] for line in progress if line["phase"] == "embed"][-1] == 1797


def test_the_demo_again_builds_nothing_and_says_the_same(cli: Cli, demo: Demo) -> None:
    last = cli("demo", "--no-ui", "--json").lines[-1]
    assert last == demo.ran.lines[-1] | {"job": None, "seconds": 0.0}
    assert len(cli("jobs", "list", "--json").json) == 1


def test_search_by_id_finds_itself_and_its_like(cli: Cli, demo: Demo) -> None:
    same = 0
    found = cli("search", DEMO, KEY, "--id", demo.ids[0], "-k", "11", "--json").json
    assert (found["brain_key"], found["metric"], found["higher_is_closer"], found["k"]) == (
        KEY,
        "cosine",
        True,
        11,
    )
    first, *rest = found["hits"]
    assert (first["id"], first["rank"]) == (demo.ids[0], 1)
    assert first["score"] == pytest.approx(1.0, abs=1e-4)
    assert Path(first["filepath"]).is_file()
    same = sum(hit["label"] == first["label"] for hit in rest)
    assert same >= 8
    scores = [hit["score"] for hit in found["hits"]]
    assert scores == sorted(scores, reverse=True)
    assert [hit["rank"] for hit in found["hits"]] == list(range(1, 12))


def test_the_digits_by_sample_mean_negative_and_least_similar_by_label(
    demo: Demo, mongod: Mongod, milvus_lite: MilvusLite
) -> None:
    """The first samples are the digits from 0 to 9, three times over."""
    by_sample = 0
    with Workspace(settings_for(mongod, milvus_lite)) as ws:

        def share(label: int, k: int = 20, **asked: Any) -> int:
            hits = search(ws, Query(DEMO, KEY, k=k, **asked)).hits
            assert len(hits) == k
            return sum(hit.label == str(label) for hit in hits)

        for digit in range(10):
            other = (digit + 1) % 10
            own, others = demo.ids[digit:30:10], demo.ids[other:30:10]
            assert share(digit, 1, ids=own[:1]) == 1
            by_sample += share(digit, ids=own[:1])
            assert share(digit, ids=own) >= 18
            assert share(digit, ids=own, least=True) <= 1
            # Of two digits together, the one that is moved away from is rarer or gone.
            both = own[0], others[0]
            without = share(other, ids=both)
            assert share(other, ids=both, not_ids=others) <= min(2, without - 1)
            assert share(digit, ids=own, not_ids=others) >= 18
    assert by_sample >= 160


def test_the_command_line_asks_for_the_mean_the_negative_and_the_least_similar(cli: Cli, demo: Demo) -> None:
    own, others = demo.ids[9:30:10], demo.ids[0:30:10]

    def share(label: str, *more: str) -> int:
        hits = cli("search", DEMO, KEY, "-k", "20", *more, "--json").json["hits"]
        return sum(hit["label"] == label for hit in hits)

    mean = [word for id in own for word in ("--id", id)]
    both = ["--id", own[0], "--id", others[0]]
    away = [word for id in others for word in ("--not-id", id)]
    assert share("9", *mean) >= 18
    assert share("9", *mean, "--least") <= 1
    assert share("0", *both, *away) <= 2 < share("0", *both)


def test_search_by_picture_vector_and_examples(cli: Cli, demo: Demo) -> None:
    (first,) = cli("search", DEMO, KEY, "--id", demo.ids[3], "-k", "1", "--json").json["hits"]
    (by_image,) = cli("search", DEMO, KEY, "--image", first["filepath"], "-k", "1", "--json").json["hits"]
    assert by_image["id"] == demo.ids[3]
    both = ["--id", demo.ids[3], "--id", demo.ids[4]]
    mean = cli("search", DEMO, KEY, *both, "-k", "5", "--json").json["hits"]
    away = cli("search", DEMO, KEY, *both, "--not-id", demo.ids[5], "-k", "5", "--json").json["hits"]
    assert [hit["score"] for hit in mean] != [hit["score"] for hit in away]
    page = cli("search", DEMO, KEY, *both, "-k", "2", "--offset", "2", "--json").json["hits"]
    assert [hit["id"] for hit in page] == [hit["id"] for hit in mean[2:4]]
    assert [hit["rank"] for hit in page] == [3, 4]


def test_the_rows_of_a_file_of_vectors_are_averaged_which_is_said(
    cli: Cli, demo: Demo, tmp_path: Path
) -> None:
    rows = np.random.default_rng(0).normal(size=(2, 864)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    found = {}
    for name, array in (("both", rows), ("mean", rows.mean(axis=0)), ("one", rows[:1])):
        np.save(tmp_path / f"{name}.npy", array)
        ran = cli("search", DEMO, KEY, "--vector", str(tmp_path / f"{name}.npy"), "-k", "5", "--json")
        found[name] = [hit["id"] for hit in ran.json["hits"]]
        assert ("the mean of the 2 vectors in both.npy" in ran.err) == (name == "both")
    assert found["both"] == found["mean"] != found["one"]
    assert "averaged" in cli("search", "--help").out.split("--vector")[1].split("--not-id")[0]


def test_search_narrowed_and_reversed(cli: Cli, demo: Demo) -> None:
    seven = ("search", DEMO, KEY, "--id", demo.ids[0], "-k", "4", "--json")
    narrowed = cli(*seven, "--where", "ground_truth.label=7").json["hits"]
    assert [hit["label"] for hit in narrowed] == ["7"] * 4
    only = [word for id in demo.ids[5:8] for word in ("--only-id", id)]
    assert {hit["id"] for hit in cli(*seven, *only).json["hits"]} == set(demo.ids[5:8])
    least = cli(*seven, "--least").json["hits"]
    best = cli(*seven).json["hits"]
    assert least[0]["score"] < best[-1]["score"]


def test_what_is_found_is_tagged_kept_and_exported(cli: Cli, demo: Demo, tmp_path: Path) -> None:
    asked = ("search", DEMO, KEY, "--id", demo.ids[0], "-k", "3", "--json")
    ran = cli(*asked, "--add-tag", "seen", "--save-view", "near", "--export", str(tmp_path / "x.csv"),
              "--format", "csv")  # fmt: skip
    assert ran.json["hits"][0]["id"] == demo.ids[0]
    assert "tagged 3: seen" in ran.err and "saved 3 as view near" in ran.err
    assert len((tmp_path / "x.csv").read_text().splitlines()) == 4
    again = cli(*asked, "--view", "near").json["hits"]
    assert [hit["tags"] for hit in again] == [["seen"]] * 3
    cli(*asked, "--remove-tag", "seen")
    assert [hit["tags"] for hit in cli(*asked).json["hits"]] == [[]] * 3
    for more in (["--save-view", "near"], ["--export", str(tmp_path / "x.csv")], ["--add-tag", ""]):
        refused = cli(*asked, *more, ok=False)
        assert refused.code == 2 and one_error_line(refused)
    # A path with a typo is said before anything is done.
    refused = cli(*asked, "--add-tag", "x", "--export", str(tmp_path / "tpyo" / "x.json"), ok=False)
    assert refused.code == 2 and "There is no folder" in one_error_line(refused)
    assert not (tmp_path / "tpyo").exists()
    assert [hit["tags"] for hit in cli(*asked).json["hits"]] == [[]] * 3
    refused = cli("--readonly", *asked, "--add-tag", "x", ok=False)
    assert refused.code != 0 and "allows no changes" in one_error_line(refused)


def test_near_duplicates_of_the_digits(cli: Cli, demo: Demo) -> None:
    found = cli("duplicates", DEMO, KEY, "--threshold", "0.95", "--json").json
    assert found["compared"] == 1797 and found["groups"]
    assert all(len(group) > 1 for group in found["groups"])
    none = cli("duplicates", DEMO, KEY, "--threshold", "1.0", "--add-tag", "spare")
    assert "groups in 1,797 vectors" in none.err
    refused = cli("duplicates", DEMO, KEY, "--threshold", "7", ok=False)
    assert refused.code == 2 and "cosine" in one_error_line(refused)


def test_search_for_what_is_not_there(cli: Cli, demo: Demo) -> None:
    for arguments, code, says in (
        (("--id", "65b2e1d1e1d1e1d1e1d1e1d1"), 1, "65b2e1d1e1d1e1d1e1d1e1d1"),
        (("--text", "a zero"), 2, "no text"),
        ((), 2, "nothing to search for"),
        (("--id", demo.ids[0], "--view", "nope"), 2, "nope"),
    ):
        ran = cli("search", DEMO, KEY, *arguments, "--json", ok=False)
        assert (ran.code, says in one_error_line(ran)) == (code, True)
    ran = cli("search", DEMO, "digit", "--id", "x", ok=False)
    assert ran.code == 2
    assert KEY in one_error_line(ran)


def test_preview_draws_pictures(cli: Cli, demo: Demo) -> None:
    command = ("search", DEMO, KEY, "--id", demo.ids[0], "-k", "4", "--preview", "--columns", "2")
    piped = cli(*command).out
    assert "▄" in piped
    assert "\x1b[38;2;" in piped
    plain = re.sub("\x1b\\[[0-9;]*m", "", piped)
    assert plain.count("1.0000") == 1
    rows = [line for line in plain.splitlines() if re.match(r"[13]\. ", line)]
    assert len(rows) == 2
    assert "2. " in rows[0]
    refused = cli(*command, ok=False, NO_COLOR="1")
    assert refused.code == 2
    from tests.cli.program import PROGRAM

    shown = in_terminal([*PROGRAM, *command], cli.environment | {"TERM": "xterm-256color"}, 60)
    assert "▄" in shown


def test_the_table_of_hits_is_whole_in_a_pipe(cli: Cli, demo: Demo) -> None:
    ran = cli("search", DEMO, KEY, "--id", demo.ids[0], "-k", "3")
    assert demo.ids[0] in ran.out
    assert "higher is closer" in ran.err
    assert len(ran.out.splitlines()) == 4


def test_runs_and_collections_of_the_demo(cli: Cli) -> None:
    (run,) = cli("runs", "list", DEMO, "--json").json
    assert run["health"] == "ok"
    assert (run["vectors"], run["expected"], run["missing"], run["stale"]) == (1797, 1797, 0, 0)
    assert (run["model"], run["metric"], run["supports_prompts"]) == ("kitescope-descriptor", "cosine", False)
    assert cli("runs", "list", DEMO, "--type", "visualization", "--json").json == []
    assert cli("runs", "list", DEMO, "--supports-prompts", "--json").json == []
    checked = cli("runs", "check", DEMO, KEY, "--json").json
    assert (checked["distinct"], checked["duplicates"], checked["health"]) == (1797, 0, "ok")
    assert "recall_at_10" not in checked
    assert cli("runs", "check", DEMO, KEY, "--recall", "10", "--json").json["recall_at_10"] > 0.9
    owners = {row["name"]: row["owner"] for row in cli("collections", "list", "--json").json}
    assert owners[run["collection"]] == f"{DEMO}/{KEY}"
    orphans = [row["name"] for row in cli("collections", "list", "--orphans", "--json").json]
    assert run["collection"] not in orphans
    info = cli("collections", "info", run["collection"], "--json").json
    assert info["runs"] == [f"{DEMO}/{KEY}"]
    assert cli("runs", "info", DEMO, KEY, "--json").json["collection_info"]["dim"] == info["dim"]
    refused = cli("collections", "drop", run["collection"], "--yes", ok=False)
    assert refused.code == 2
    assert KEY in one_error_line(refused)


def test_release_and_load(cli: Cli) -> None:
    (run,) = cli("runs", "list", DEMO, "--json").json
    assert cli("collections", "release", run["collection"], "--json").json["loaded"] is False
    assert cli("collections", "load", run["collection"], "--json").json["loaded"] is True


def test_the_snippet_runs_in_stock_fiftyone(cli: Cli) -> None:
    import sys

    program = cli("runs", "snippet", DEMO, KEY).out + "\nprint(view.values('id')[:5])\n"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        env=cli.environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    stock = re.findall("[0-9a-f]{24}", done.stdout.splitlines()[-1])
    ours = cli("search", DEMO, KEY, "--id", stock[0], "-k", "5", "--json").json["hits"]
    assert [hit["id"] for hit in ours] == stock


def test_datasets_list_and_info(cli: Cli) -> None:
    (listed,) = [one for one in cli("datasets", "list", "--json").json if one["name"] == DEMO]
    assert (listed["samples"], listed["media_type"], listed["persistent"]) == (1797, "image", True)
    info = cli("datasets", "info", DEMO, "--json").json
    assert sum(info["label_fields"]["ground_truth"].values()) == 1797
    assert info["runs"] == [KEY]
    ran = cli("datasets", "info", "kitescope-dem", ok=False)
    assert (ran.code, DEMO in one_error_line(ran)) == (2, True)


def test_a_folder_becomes_a_dataset_is_indexed_and_goes_again(
    cli: Cli, demo: Demo, unique_name: Callable[[str], str], tmp_path: Path
) -> None:
    hits = cli("search", DEMO, KEY, "--id", demo.ids[0], "-k", "6", "--json").json["hits"]
    folder = tmp_path / "pictures"
    folder.mkdir()
    for hit in hits:
        (folder / Path(hit["filepath"]).name).write_bytes(Path(hit["filepath"]).read_bytes())
    (folder / "broken.png").write_bytes(b"\x89PNG but no more")
    name = unique_name("folder")
    assert cli("datasets", "import", str(folder), "--name", name, "--json").json == {
        "name": name,
        "samples": 7,
    }
    *_, last = cli("build", name, "k", "--json").lines
    assert (last["event"], last["vectors"]) == ("done", 6)
    (skipped,) = last["skipped"]
    assert skipped["filepath"].endswith("broken.png")
    assert skipped["reason"]
    shown = cli("jobs", "show", last["job"], "--json").json
    assert shown["skipped"] == [skipped]
    assert "broken.png" in cli("jobs", "log", last["job"]).out
    refused = cli("datasets", "delete", name, ok=False)
    assert refused.code == 2
    assert "--yes" in one_error_line(refused)
    locked = cli("--readonly", "datasets", "delete", name, "--yes", ok=False)
    assert locked.code == 2
    deleted = cli("datasets", "delete", name, "--with-collections", "--yes", "--json").json
    assert (deleted["deleted"], deleted["samples"]) == (name, 7)
    assert deleted["dropped"] == [last["collection"]]
    assert name not in [one["name"] for one in cli("datasets", "list", "--json").json]
    assert last["collection"] not in [row["name"] for row in cli("collections", "list", "--json").json]
    assert len(list(folder.iterdir())) == 7

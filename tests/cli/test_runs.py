"""``runs`` and ``collections`` on what others made or broke."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable

from tests.cli.program import Cli, one_error_line
from tests.core.making import Made, all_ids, crash_stock, make_dataset, make_index, python, vectors
from tests.engines.servers import MilvusLite, Mongod
from tui.core import runs
from tui.core.filling import leases
from tui.core.scope import Scope
from tui.core.workspace import Workspace

Name = Callable[[str], str]


def test_a_run_that_a_crash_left_is_resumed_or_discarded(
    cli: Cli, workspace: Workspace, mongod: Mongod, milvus_lite: MilvusLite, unique_name: Name
) -> None:
    name = unique_name("crash").replace("-", "_")
    dataset = make_dataset(workspace, name, 5)
    for key, at in (("a", "connect"), ("b", "upload")):
        crash_stock(workspace, milvus_lite.uri, dataset, key, at, embeddings="emb")
    health = {run["brain_key"]: run["health"] for run in cli("runs", "list", name, "--json").json}
    assert health == {"a": "incomplete", "b": "incomplete"}
    assert cli("runs", "resume", name, "a", "--json").json["added"] == 5
    assert "is finished" in one_error_line(cli("runs", "resume", name, "a", ok=False))
    assert "--yes" in one_error_line(cli("runs", "discard", name, "b", ok=False))
    gone = cli("runs", "discard", name, "b", "--yes", "--json").json
    assert (gone["dropped"], gone["vectors"]) == (True, 2)
    refused = cli("runs", "discard", name, "a", "--yes", ok=False)
    assert refused.code == 2 and "Delete it instead" in one_error_line(refused)
    code = "import sys, fiftyone as fo\nprint(fo.load_dataset(sys.argv[1]).list_brain_runs())\n"
    assert python(code, mongod.uri, name).splitlines()[-1] == "['a']"


def test_info_tells_the_jobs_also_those_before_a_rename(
    cli: Cli, workspace: Workspace, unique_name: Name
) -> None:
    name = unique_name("info").replace("-", "_")
    make_dataset(workspace, name, 4)
    collection = make_index(workspace, Scope(name), "before", vectors(4))
    workspace.milvus().delete(collection, all_ids(workspace, Scope(name))[0][:1])
    cli("sync", name, "before")
    cli("runs", "rename", name, "before", "after")
    (job,) = cli("runs", "info", name, "after", "--json").json["jobs"]
    assert cli("jobs", "tag", job["id"], "--tag", "t", "--json").json["dataset"] == name
    cli("sync", name, "after")
    make_index(workspace, Scope(name), "before", vectors(4), collection=f"{collection}_2")
    cli("sync", name, "before")
    info = cli("runs", "info", name, "after", "--json").json
    assert [(job["brain_key"], job["kind"]) for job in info["jobs"]] == [
        ("after", "sync"),
        ("before", "sync"),
    ]
    assert info["former"][0][0] == "before" and info["collection_info"]["fields"][0]["name"] == "pk"
    shown = cli("runs", "info", name, "after").out
    assert "primary True" in shown and "kind sync" in shown
    about = cli("collections", "info", collection, "--json").json
    assert (about["owner"], about["vectors"], about["state"]) == (f"{name}/after", 3, "loaded")
    assert about["fields"] == info["collection_info"]["fields"]


def test_several_go_at_once_and_each_is_accounted_for(
    cli: Cli, workspace: Workspace, unique_name: Name
) -> None:
    name = unique_name("many").replace("-", "_")
    dataset = make_dataset(workspace, name, 4)
    made = {key: make_index(workspace, Scope(name), key, vectors(4)) for key in ("a", "b", "c")}
    runs.register(
        workspace,
        scope=Scope(name),
        brain_key="also_c",
        collection=made["c"],
        source=Made(),
        metric="cosine",
        consistency_level="Session",
        supports_prompts=False,
        dim=8,
    )
    asked = one_error_line(cli("runs", "delete", name, "a", "b", "c", ok=False))
    assert f"a: the record, and 4 vectors in {made['a']}" in asked
    assert f"{made['c']} stays, as {name}/also_c uses it" in asked
    with leases.hold(workspace, [f"collection {made['b']}"], "a test"):
        ran = cli("runs", "delete", name, "a", "b", "c", "--yes", "--json", ok=False)
    assert ran.code == 1 and "1 of 3 runs could not be deleted" in ran.err
    became = {one["brain_key"]: one for one in ran.json}
    assert became["a"]["dropped"] and became["a"]["vectors"] == 4
    assert "a test" in became["b"]["error"]
    assert not became["c"]["dropped"] and "also_c" in became["c"]["reason"]
    dataset.reload()
    assert dataset.list_brain_runs() == ["also_c", "b"]
    milvus = workspace.milvus()
    assert [milvus.exists(made[key]) for key in ("a", "b", "c")] == [False, True, True]
    cli("runs", "delete", name, "b", "--keep-collection", "--yes")
    orphans = {one["name"]: one for one in cli("collections", "list", "--orphans", "--json").json}
    assert orphans[made["b"]]["made_for"] == f"{name}/b"


def test_runs_are_matched_sorted_and_one_that_cannot_be_judged_hides_no_other(
    cli: Cli, workspace: Workspace, unique_name: Name
) -> None:
    name = unique_name("list").replace("-", "_")
    dataset = make_dataset(workspace, name, 4)
    for key, metric in (("a", "euclidean"), ("b", "cosine"), ("c", "dotproduct")):
        make_index(
            workspace, Scope(name), key, vectors(4), metric=metric, source=Made(embeddings_field="emb")
        )
    keys = [run["brain_key"] for run in cli("runs", "list", name, "--sort", "metric", "--json").json]
    assert keys == ["b", "c", "a"]
    keys = [
        run["brain_key"] for run in cli("runs", "list", name, "--sort", "metric", "--reverse", "--json").json
    ]
    assert keys == ["a", "c", "b"]
    (only,) = cli("runs", "list", "--match", f"{name} EUCLID ok", "--json").json
    assert (only["brain_key"], only["health"]) == ("a", "ok")
    assert {run["health"] for run in cli("runs", "list", name, "--no-health", "--json").json} == {None}
    dataset.delete_sample_field("emb")
    ran = cli("runs", "list", name, "--json")
    assert [run["health"] for run in ran.json] == [None, None, None] and "emb" in ran.err
    grouped = workspace.fiftyone().Dataset(unique_name("grouped"), persistent=True)
    grouped.add_group_field("group", default="left")
    runs.register(
        workspace,
        scope=Scope(grouped.name),
        brain_key="k",
        collection="gone",
        source=Made(),
        metric="cosine",
        consistency_level="Session",
        supports_prompts=False,
        dim=8,
    )
    ran = cli("runs", "list", grouped.name, "--json")
    assert [run["health"] for run in ran.json] == [None] and "grouped" in ran.err


def test_a_milvus_that_does_not_answer_is_waited_for_once_not_once_per_run(
    cli: Cli, workspace: Workspace, unique_name: Name
) -> None:
    name = unique_name("silent").replace("-", "_")
    make_dataset(workspace, name, 2)
    knocks = 0

    def listed() -> list[dict[str, object]]:
        nonlocal knocks
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen(50)
            uri = f"http://127.0.0.1:{listener.getsockname()[1]}"
            found: list[dict[str, object]] = cli(
                "--timeout", "3", "--milvus-uri", uri, "runs", "list", name, "--json"
            ).json
            listener.settimeout(0.0)
            kept = []
            with contextlib.suppress(BlockingIOError):
                while True:
                    kept.append(listener.accept()[0])
            knocks = len(kept)
            for one in kept:
                one.close()
        return found

    make_index(workspace, Scope(name), "one", vectors(2))
    (only,) = listed()
    assert (only["health"], only["expected"]) == ("unreachable", 2)
    alone = knocks
    assert alone > 0
    for key in ("two", "three", "four"):
        make_index(workspace, Scope(name), key, vectors(2))
    assert [(run["health"], run["expected"]) for run in listed()] == [("unreachable", 2)] * 4
    assert knocks == alone

"""What answers before any engine is needed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.program import PROGRAM, Cli, one_error_line
from tui import __version__

HEAVY = ("fiftyone", "torch", "pymilvus", "textual", "pymongo", "numpy", "skimage", "sklearn", "PIL")


@pytest.fixture
def bare() -> Cli:
    return Cli(os.environ)


@pytest.mark.parametrize(
    "arguments", [["--help"], ["--version"], ["--nonsense"], ["build", "--help"], ["search", "a"], ["jobs"]]
)
def test_help_version_and_wrong_usage_import_nothing_heavy(arguments: list[str]) -> None:
    program = (
        "import sys, json\n"
        "from tui.cli.root import run\n"
        f"run({arguments!r})\n"
        f"print(json.dumps([n for n in {HEAVY!r} if n in sys.modules]), file=sys.__stderr__)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30)
    assert done.stderr.splitlines()[-1] == "[]"


def test_importtime_of_help_names_no_heavy_module() -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "tui", "--help"],
        capture_output=True,
        text=True,
        timeout=30,
    )
    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines()}
    assert "click" in imported
    assert not imported & set(HEAVY)


def test_version(bare: Cli) -> None:
    assert __version__ in bare("--version").out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--nonsense"], "--nonsense"),
        (["nonsense"], "nonsense"),
        (["build", "only-a-dataset"], "KEY"),
        (["build", "d", "k", "--metric", "hamming"], "hamming"),
        (["build", "d", "k", "--embeddings", __file__, "--embeddings-field", "f"], "exclude each other"),
        (["build", "d", "k", "--ids", __file__], "--embeddings"),
        (["build", "d", "k", "--embeddings-field", "f", "--device", "cuda"], "--device"),
        (["build", "d", "k", "--device", "gpu"], "'gpu'"),
        (["build", "d", "k", "--index-param", "M"], "KEY=VALUE"),
        (["sync", "d", "k", "--dry-run", "--detach"], "--detach"),
        (["search", "d", "k", "--id", "x", "--where", "label"], "FIELD=VALUE"),
        (["search", "d", "k", "--id", "x", "--preview", "--json"], "--preview"),
        (["search", "d", "k", "--id", "x", "--columns", "3"], "--preview"),
        (["search", "d", "k", "--image", "/nowhere.png"], "/nowhere.png"),
        (["connections", "export", "--with-secrets"], "--output"),
        (["--timeout", "0", "info"], "--timeout"),
        (["--profile", "nobody", "connections", "show"], "nobody"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_2(bare: Cli, arguments: list[str], says: str) -> None:
    ran = bare(*arguments, ok=False)
    assert ran.code == 2
    assert says in one_error_line(ran)


def test_a_connection_option_after_the_command_is_told_where_it_belongs(bare: Cli) -> None:
    ran = bare("datasets", "list", "--milvus-uri", "http://localhost:1", ok=False)
    assert ran.code == 2
    assert "before the command" in one_error_line(ran)


def test_a_group_without_command_shows_its_help_on_stderr(bare: Cli) -> None:
    ran = bare("jobs", ok=False)
    assert (ran.code, ran.out) == (2, "")
    assert "cancel" in ran.err


def test_the_ui_needs_a_terminal(bare: Cli) -> None:
    ran = bare(ok=False)
    assert ran.code == 2
    line = one_error_line(ran)
    assert "terminal" in line and line.count("--help") == 1


def test_info_tells_versions_and_places(bare: Cli, home: Path) -> None:
    facts = bare("info", "--json").json
    assert facts["versions"]["kitescope"] == __version__
    assert all(Path(place).is_relative_to(home) for place in facts["paths"].values())
    assert str(home) in bare("info").out


def test_info_answers_even_when_a_settings_file_is_broken(bare: Cli, home: Path) -> None:
    broken = home / ".fiftyone" / "brain_config.json"
    broken.parent.mkdir()
    broken.write_text("{")
    assert bare("info", "--json").json["versions"]
    ran = bare("connections", "show", ok=False)
    assert ran.code == 2
    assert "brain_config.json" in one_error_line(ran)


def test_help_survives_a_reader_that_stops(bare: Cli) -> None:
    command = f"{' '.join(PROGRAM)} --help | head -1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", command], env=bare.environment, capture_output=True, text=True, timeout=30
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_models_list_names_the_built_in_model_first(bare: Cli) -> None:
    models = bare("models", "list", "--json").json
    assert models[0]["name"] == "kitescope-descriptor"
    assert set(models[0]) >= {"name", "source", "dim", "supports_prompts", "downloaded"}
    assert any(model["supports_prompts"] for model in models)


def test_debug_shows_the_traceback_and_the_log_has_it_anyway(bare: Cli, home: Path) -> None:
    arguments = ("--milvus-uri", "http://127.0.0.1:9", "connections", "test", "--json")
    quiet = bare(*arguments, ok=False)
    assert "Traceback" not in quiet.err
    assert "Traceback" in bare("--debug", *arguments, ok=False).err
    assert "Traceback" in (home / "xdg-state" / "kitescope" / "kitescope.log").read_text()


def test_doctor_lists_checks_and_fails_when_milvus_is_not_there(engine_environment: dict[str, str]) -> None:
    cli = Cli(engine_environment)
    found = cli("doctor", "--json").json
    assert found["ok"] is True
    assert {"python", "milvus", "fiftyone-database"} <= {check["name"] for check in found["checks"]}
    assert all(set(check) >= {"name", "ok", "detail", "remedy"} for check in found["checks"])
    broken = cli("--milvus-uri", "http://127.0.0.1:9", "doctor", ok=False)
    assert broken.code == 1
    assert "✗ milvus: " in broken.out
    assert " → " in broken.out


def test_doctor_looks_at_the_machine_when_a_settings_file_is_broken(bare: Cli, home: Path) -> None:
    (home / ".fiftyone").mkdir()
    (home / ".fiftyone" / "brain_config.json").write_text("{not json")
    ran = bare("doctor", "--json", ok=False)
    assert (ran.code, ran.json["ok"]) == (1, False)
    found = {check["name"]: check for check in ran.json["checks"]}
    assert "brain_config.json line 1 is not valid JSON" in found["settings"]["detail"]
    assert found["settings"]["remedy"]
    assert found["python"]["ok"] and "milvus" not in found
    (home / ".fiftyone" / "brain_config.json").unlink()
    assert "no profile 'none'" in one_error_line(bare("--profile", "none", "doctor", ok=False))


def test_stop_says_what_it_found(bare: Cli) -> None:
    stopped = bare("stop", "--json").json["stopped"]
    assert {one["engine"]: one["stopped"] for one in stopped}["milvus"] is False

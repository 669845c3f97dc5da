"""Profiles, where values come from, what stock FiftyOne reads, and trying a connection."""

from __future__ import annotations

import json
import os
import pty
import socket
import subprocess
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.cli.conftest import Demo
from tests.cli.program import PROGRAM, Cli, Ran, one_error_line, without
from tests.core.keyrings import Locked, Open, use
from tests.engines.servers import Mongod, free_port
from tests.engines.standalone import MilvusStandalone
from tests.engines.tls import Certificates

URI = "FIFTYONE_BRAIN_SIMILARITY_MILVUS_URI"
SECRET = "kite-s3cret-pa55"


def test_show_gives_each_value_with_its_source_and_no_secret(cli: Cli) -> None:
    shown = cli("--milvus-token", f"root:{SECRET}", "connections", "show", "--json")
    values = shown.json
    assert values["uri"] == {"value": cli.environment[URI], "source": f"env {URI}"}
    assert values["token"] == {"value": "***", "source": "flag"}
    assert values["password"] == {"value": None, "source": "default"}
    for ran in (shown, cli("--milvus-password", SECRET, "--milvus-user", "root", "connections", "show")):
        assert SECRET not in ran.out + ran.err


def test_a_profile_is_saved_listed_used_and_removed(cli: Cli) -> None:
    flags = ("--milvus-uri", f"http://root:{SECRET}@lab:19530", "--milvus-password", SECRET)
    saved = cli(*flags, "--readonly", "connections", "save", "lab", "--protected")
    assert "not written, and is asked for" in saved.err
    (listed,) = cli("connections", "list", "--json").json
    assert listed == {
        "name": "lab",
        "uri": "http://root@lab:19530",
        "database_uri": cli.environment["FIFTYONE_DATABASE_URI"],
        "readonly": True,
        "protected": True,
        "secrets": False,
        "kept_in": "ask",
        "default": False,
    }
    shown = cli("connections", "show", "lab", "--json").json
    assert shown["uri"] == {"value": "http://root@lab:19530", "source": "profile lab"}
    assert cli("--profile", "lab", "connections", "show", "--json").json == shown
    refused = cli("connections", "remove", "lab", ok=False)
    assert refused.code == 2
    assert "--yes" in one_error_line(refused)
    assert cli("connections", "remove", "lab", "--yes", "--json").json == {"removed": "lab"}
    assert cli("connections", "list", "--json").json == []


def test_a_protected_profile_drops_nothing_without_its_name(cli: Cli) -> None:
    cli("connections", "save", "lab", "--protected")
    drop = ("collections", "drop", "nowhere", "--yes")
    assert "profile lab is protected" in one_error_line(cli("--profile", "lab", *drop, ok=False))
    assert "profile lab is protected" in one_error_line(cli("--profile", "lab", *drop, "else", ok=False))
    allowed = cli("--profile", "lab", "--confirm-protected", "lab", *drop, ok=False)
    assert "no collection" in one_error_line(allowed)


def test_secrets_are_saved_only_when_asked_for(cli: Cli, home: Path) -> None:
    file = home / "xdg-config" / "kitescope" / "profiles.toml"
    flags = ("--milvus-uri", "http://lab:19530", "--milvus-token", f"root:{SECRET}")
    cli(*flags, "connections", "save", "lab")
    assert SECRET not in file.read_text()
    ran = cli(*flags, "connections", "save", "lab", "--with-secrets", "--json")
    assert ran.json["secrets"] is True
    assert SECRET in file.read_text()
    assert file.stat().st_mode & 0o777 == 0o600
    assert SECRET not in ran.out + ran.err + cli("connections", "list").out
    contrary = cli(*flags, "connections", "save", "lab", "--with-secrets", "--secrets", "ask", ok=False)
    assert contrary.code == 2 and "--with-secrets means --secrets file" in contrary.err
    inside = cli("--milvus-uri", f"http://root:{SECRET}@lab:19530", "connections", "save", "lab")
    assert "inside a URI is left out" in inside.err and SECRET not in file.read_text()


def test_secrets_go_to_the_keyring_where_there_is_one(
    cli: Cli, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keyring = use(Open, monkeypatch, tmp_path / "keyring.json")
    flags = ("--milvus-uri", "http://lab:19530", "--milvus-token", f"root:{SECRET}")
    saved = cli(*flags, "connections", "save", "lab", "--json", **keyring)
    assert (saved.json["secrets"], saved.json["kept_in"]) == (True, "keyring")
    assert SECRET not in (home / "xdg-config" / "kitescope" / "profiles.toml").read_text()
    assert SECRET in (tmp_path / "keyring.json").read_text()
    shown = cli("connections", "show", "lab", "--json", **keyring)
    assert shown.json["token"] == {"value": "***", "source": "profile lab (keyring)"}
    assert SECRET not in shown.out + saved.out + saved.err
    locked = use(Locked, monkeypatch, tmp_path / "keyring.json")
    ran = cli("--profile", "lab", "collections", "list", ok=False, **locked)
    assert ran.code == 3
    assert "the keyring is locked" in one_error_line(ran)
    gone = cli("connections", "remove", "lab", "--yes", **keyring)
    assert gone.err == ""
    assert (tmp_path / "keyring.json").read_text() == "{}"


def test_a_password_that_is_not_saved_is_asked_for_on_a_terminal(cli: Cli) -> None:
    flags = ("--milvus-user", "root", "--milvus-password", SECRET)
    cli(*flags, "connections", "save", "lab", "--secrets", "ask")
    ours, theirs = pty.openpty()
    printed = cli.start("--profile", "lab", "connections", "export", stdin=theirs, stderr=theirs)
    assert "MILVUS_PASSWORD is not known here" in printed.communicate(timeout=60)[0], "and nothing was asked"
    # The first terminal that a session's leader opens is the session's: nothing asks on the developer's.
    command = (*PROGRAM, "--profile", "lab", "collections", "list", "--json")
    run = subprocess.Popen(
        ["sh", "-c", 'exec "$@" <"$0" 2>"$0"', os.ttyname(theirs), *command],
        env=cli.environment,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    asked = b""
    while b"password for http" not in asked:
        asked += os.read(ours, 1024)
    os.close(theirs)
    os.write(ours, f"{SECRET}\n".encode())
    listed, _ = run.communicate(timeout=120)
    assert run.returncode == 0
    assert isinstance(json.loads(listed), list)
    assert SECRET.encode() not in asked + os.read(ours, 1024)
    os.close(ours)


def test_a_default_profile_is_used_when_nothing_else_names_a_server(cli: Cli) -> None:
    cli("--milvus-uri", "http://lab:19530", "connections", "save", "lab", "--default")
    bare = Cli(without(cli.environment, [URI]))
    assert bare("connections", "show", "--json").json["uri"]["source"] == "profile lab"
    assert cli("connections", "show", "--json").json["uri"]["source"] == f"env {URI}"


def test_exported_lines_give_a_shell_the_same_connection(cli: Cli, tmp_path: Path) -> None:
    flags = (
        *("--milvus-uri", "http://lab:19530", "--milvus-user", "o'neill", "--milvus-password", SECRET),
        *("--milvus-secure", "--milvus-db-name", "my db"),
    )
    printed = cli(*flags, "connections", "export").out
    assert SECRET not in printed
    assert "PASSWORD" in printed
    file = tmp_path / "kitescope.env"
    cli(*flags, "connections", "export", "--with-secrets", "--output", str(file))
    assert file.stat().st_mode & 0o777 == 0o600
    done = subprocess.run(
        ["bash", "-c", f". {file}; env -0"],
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=True,
    )
    exported = dict(line.split("=", 1) for line in done.stdout.split("\0") if "=" in line)
    prefix = "FIFTYONE_BRAIN_SIMILARITY_MILVUS_"
    assert {k: v for k, v in exported.items() if k.startswith("FIFTYONE")} == {
        f"{prefix}URI": "http://lab:19530",
        f"{prefix}USER": "o'neill",
        f"{prefix}PASSWORD": SECRET,
        f"{prefix}DB_NAME": "my db",
        f"{prefix}SECURE": "true",
        "FIFTYONE_DATABASE_URI": cli.environment["FIFTYONE_DATABASE_URI"],
    }


def test_an_exported_brain_config_keeps_what_was_there_and_is_read_back(cli: Cli, home: Path) -> None:
    config = home / ".fiftyone" / "brain_config.json"
    config.parent.mkdir()
    config.write_text(
        json.dumps(
            {"x": 1, "similarity_backends": {"qdrant": {"url": "q"}, "milvus": {"metric": "euclidean"}}}
        )
    )
    before = config.read_text()
    export = ("connections", "export", "--format", "brain-config", "--output", str(config))
    cli("--milvus-uri", "http://lab:19530", *export, "--default-backend")
    written = json.loads(config.read_text())
    assert (written["x"], written["default_similarity_backend"]) == (1, "milvus")
    assert config.with_name("brain_config.json.bak").read_text() == before
    assert config.stat().st_mode & 0o777 == 0o600
    assert written["similarity_backends"]["qdrant"] == {"url": "q"}
    bare = Cli(without(cli.environment, [URI]))
    shown = bare("connections", "show", "--json").json
    assert shown["uri"] == {"value": "http://lab:19530", "source": "brain_config.json"}
    assert shown["metric"]["value"] == "euclidean"
    assert shown["default_similarity_backend"] == {"value": "milvus", "source": "brain_config.json"}
    config.write_text("{not json")
    refused = cli("--milvus-uri", "http://lab:19530", *export, ok=False)
    assert refused.code == 2
    assert f"{config} line 1 is not valid JSON" in one_error_line(refused)
    assert config.read_text() == "{not json"


# --- trying it


def steps(ran_json: dict[str, object]) -> dict[str, dict[str, object]]:
    return {step["name"]: step for step in ran_json["steps"]}  # type: ignore[attr-defined, misc, index]


def test_a_good_connection_ticks_every_step(cli: Cli) -> None:
    tried = cli("connections", "test", "--json").json
    assert tried["ok"] is True
    assert tried["server_version"]
    assert tried["database"] == "default"
    assert isinstance(tried["collections"], list)
    assert list(steps(tried)) == ["resolve", "TCP", "login", "version", "database", "collections"]
    assert all(step["ok"] and step["elapsed_ms"] >= 0 for step in tried["steps"])
    assert cli("connections", "test").out.count("✓") == 6


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port that accepts and never answers."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(50)
        yield listener.getsockname()[1]


@pytest.mark.parametrize(
    ("uri", "fails", "says"),
    [
        ("https://127.0.0.1:{silent}", "TLS", "does not answer the TLS handshake"),
        ("http://no-such-host.invalid:19530", "resolve", "no address"),
    ],
)
def test_the_step_that_fails_says_why(cli: Cli, silent_port: int, uri: str, fails: str, says: str) -> None:
    flags = ("--milvus-uri", uri.format(silent=silent_port), "--timeout", "2")
    ran = cli(*flags, "connections", "test", "--json", ok=False)
    assert ran.code == 3
    *good, bad = ran.json["steps"]
    assert all(step["ok"] for step in good)
    assert (bad["name"], bad["ok"]) == (fails, False)
    assert says in bad["detail"]
    assert bad["remedy"]


# --- engines that do not do: exit 3, in time, one line, nothing on stdout


def in_time(run: Callable[[], Ran], timeout: float, quick: float) -> Ran:
    """The run of a command that waits for ``timeout``: it ends within a second more.

    ``quick`` is what the same command took when it had nothing to wait for: on a machine that is so busy that
    this alone takes longer than a second, that much is granted. The best of three counts.
    """
    for _ in range(3):
        ran = run()
        if ran.seconds < timeout + max(1.0, quick):
            return ran
    raise AssertionError(f"{ran.seconds:.1f} s with a timeout of {timeout} s; without waiting {quick:.1f} s")


COMMANDS = (
    ("collections", "list", "--json"),
    ("build", "{dataset}", "key", "--json"),
    ("sync", "{dataset}", "digits", "--json"),
    ("search", "{dataset}", "digits", "--id", "{id}", "--json"),
)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_milvus_that_is_not_there(cli: Cli, demo: Demo, silent_port: int, command: tuple[str, ...]) -> None:
    words = [word.format(dataset="kitescope-demo", id=demo.ids[0]) for word in command]

    def run(port: int) -> Ran:
        return cli("--milvus-uri", f"http://127.0.0.1:{port}", "--timeout", "3", *words, ok=False)

    closed = run(free_port())
    assert closed.code == 3
    assert "refused" in one_error_line(closed)
    silent = in_time(lambda: run(silent_port), 3, closed.seconds)
    assert silent.code == 3
    assert str(silent_port) in one_error_line(silent)
    assert cli("jobs", "list", "--json").json == [], "what cannot begin leaves no job behind"


def test_a_uri_that_is_none_is_wrong_usage_whatever_is_asked(cli: Cli, demo: Demo) -> None:
    for words in (("runs", "list"), ("collections", "list"), ("sync", "kitescope-demo", "digits")):
        ran = cli("--milvus-uri", "bogus://x?token=secret", *words, ok=False)
        assert ran.code == 2
        said = one_error_line(ran)
        assert "bogus://x" in said and "http://localhost:19530" in said and "secret" not in said
    assert cli("jobs", "list", "--json").json == []


def test_a_database_that_is_not_there(cli: Cli, silent_port: int) -> None:
    def run(port: int) -> Ran:
        uri = f"mongodb://kite:{SECRET}@127.0.0.1:{port}/"
        return cli("--database-uri", uri, "--timeout", "2", "datasets", "list", "--json", ok=False)

    closed = run(free_port())
    silent = in_time(lambda: run(silent_port), 2, closed.seconds)
    for ran in (closed, silent):
        assert ran.code == 3
        assert SECRET not in one_error_line(ran)


def test_the_database_has_a_test_of_its_own(
    cli: Cli, mongod_factory: Callable[..., Mongod], home: Path
) -> None:
    server = mongod_factory(user="kite", password=SECRET)
    (home / ".fiftyone").mkdir()
    (home / ".fiftyone" / "config.json").write_text(json.dumps({"database_uri": server.uri}))
    bare = Cli(without(cli.environment, ["FIFTYONE_DATABASE_URI"]))

    def test(*flags: str, ok: bool = True) -> Ran:
        return bare(*flags, "--timeout", "20", "connections", "test", "--database", "--json", ok=ok)

    good = test().json
    assert (good["ok"], good["embedded"], good["datasets"], good["database"]) == (True, False, 0, "fiftyone")
    assert list(steps(good)) == ["service", "resolve", "TCP", "login", "version", "datasets"]
    assert "a shared one" in steps(good)["service"]["detail"]  # type: ignore[operator]
    assert "(from config.json)" in steps(good)["service"]["detail"]  # type: ignore[operator]
    assert good["server_version"] in steps(good)["version"]["detail"]  # type: ignore[operator]
    for uri, step, code, remedy in (
        (f"mongodb://127.0.0.1:{free_port()}", "TCP", 3, "MongoDB is running there"),
        (server.uri.replace(SECRET, "wr0ng"), "login", 3, "authSource"),
        (server.uri_without_credentials, "login", 3, "user and password"),
        ("mongodb://", "login", 2, "mongodb://user:password@host"),
    ):
        ran = test("--database-uri", uri, ok=False)
        failed = ran.json["steps"][-1]
        assert (failed["name"], failed["ok"], ran.code) == (step, False, code), failed
        assert remedy in failed["remedy"]
        assert SECRET not in ran.out + ran.err and "wr0ng" not in ran.out + ran.err
    (home / ".fiftyone" / "config.json").unlink()
    own = test().json
    assert (own["ok"], own["embedded"], own["datasets"]) == (True, True, None)
    assert "is not running, and starts when it is needed" in own["steps"][-1]["detail"]


def test_a_database_that_refuses(cli: Cli, mongod_factory: Callable[..., Mongod]) -> None:
    server = mongod_factory(user="kite", password="right")
    for uri in (server.uri.replace("right", "wrong"), server.uri_without_credentials):
        ran = cli("--database-uri", uri, "datasets", "list", "--json", ok=False)
        assert ran.code == 3
        assert "wrong" not in one_error_line(ran)
    assert cli("--database-uri", server.uri, "datasets", "list", "--json").json == []


def test_what_can_be_wrong_is_told_apart(
    cli: Cli,
    milvus_standalone_factory: Callable[..., MilvusStandalone],
    certificates: Certificates,
    silent_port: int,
) -> None:
    server = milvus_standalone_factory(auth=True, tls="one-way")
    right = {name: str(value) for name, value in server.client_kwargs().items() if name != "secure"}
    here = "http://127.0.0.1"
    # By name: what is changed, the step that fails, its exit code, what it says, and what is to be done.
    wrong: dict[str, tuple[dict[str, str], str, int, str, str]] = {
        "closed": ({"uri": f"{here}:{free_port()}"}, "TCP", 3, "refused", "See that Milvus is running"),
        "silent": ({"uri": f"{here}:{silent_port}"}, "login", 3, "in time", "not overloaded"),
        "plain": ({"uri": f"{here}:{server.port}"}, "login", 3, "speaks TLS and the URI", "https://"),
        "CA": ({"server_pem_path": str(certificates.other_ca)}, "TLS", 2, "other-ca.pem", "server pem"),
        "name": ({"server_name": "other.test"}, "TLS", 2, "is for milvus.test", "--milvus-server-name"),
        "password": ({"password": SECRET}, "login", 3, "refused the user name", "credentials"),
        "database": ({"db_name": "nowhere"}, "database", 2, "no such database", "--milvus-db-name"),
    }

    def test(changed: dict[str, str], seconds: int) -> Ran:
        flags = [part for name, value in {**right, **changed}.items() for part in (option(name), value)]
        return cli(*flags, "--timeout", str(seconds), "connections", "test", "--json", ok=False)

    good = test({}, 12)
    assert (good.code, good.json["ok"], good.json["database"]) == (0, True, "default")
    assert steps(good.json)["login"]["detail"] == "as root"
    assert "certificate until 3000-01-01" in str(steps(good.json)["TLS"]["detail"])
    said = set()
    for name, (changed, step, code, what, remedy) in wrong.items():
        # The silent one takes all of its time; what answers may need some on a busy machine.
        seconds = 4 if name == "silent" else 12
        ran = in_time(partial(test, changed, seconds), seconds, 3 * good.seconds)
        *passed, failed = ran.json["steps"]
        assert all(one["ok"] for one in passed), name
        assert (failed["name"], failed["ok"], ran.code) == (step, False, code), (name, failed)
        assert what in failed["detail"] and remedy in failed["remedy"], (name, failed)
        assert ran.err.startswith("error: ") and len(ran.err.splitlines()) == 1
        assert SECRET not in ran.out + ran.err
        said.add(failed["detail"])
    assert len(said) == len(wrong)


def option(name: str) -> str:
    return f"--milvus-{name.replace('_', '-')}"

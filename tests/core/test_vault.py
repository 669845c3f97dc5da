"""Secrets in the system's keyring: there and back, bound to their server, and never a wait without an end."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.core.keyrings import Locked, Open, Silent, use
from tui.core import profiles
from tui.core.connecting import vault
from tui.core.connections import profile_of
from tui.core.errors import EngineUnreachable, InvalidInput
from tui.core.profiles import Profile
from tui.core.settings import resolve
from tui.core.workspace import Workspace

LAB = Profile(
    "lab",
    {"uri": "http://me:1nside@lab:1", "user": "me", "password": "pa55"},
    "mongodb://me:m0ngo@db/?tls=true",
)
SECRETS = ("1nside", "pa55", "m0ngo")
PASSWORD = "FIFTYONE_BRAIN_SIMILARITY_MILVUS_PASSWORD"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "keyring.json"


@pytest.fixture
def silent(monkeypatch: pytest.MonkeyPatch, file: Path) -> Iterator[None]:
    monkeypatch.setattr(vault, "PATIENCE", 0.2)
    monkeypatch.setattr(vault, "_silent_until", 0.0)
    Silent.gate.clear()
    use(Silent, monkeypatch, file)
    yield
    Silent.gate.set()


def test_secrets_go_to_the_keyring_and_come_back(monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
    use(Open, monkeypatch, file)
    assert vault.available()
    assert profiles.save(LAB, "keyring") == ""
    text = profiles.path().read_text()
    assert not [secret for secret in SECRETS if secret in text]
    assert all(secret in file.read_text() for secret in SECRETS)
    assert profiles.load("lab").kept == "keyring"
    found = resolve(env={}, profile="lab")
    assert found.milvus_kwargs() == dict(LAB.milvus)
    assert found.database_uri.value == LAB.database_uri
    assert found.milvus["password"].source == "profile lab (keyring)"
    assert found.missing_secret is None
    assert "password" not in resolve(env={}, profile="lab", flags={"uri": "http://other:1"}).milvus_kwargs()


def test_the_keyring_forgets_with_the_profile(monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
    use(Open, monkeypatch, file)
    profiles.save(LAB, "keyring")
    profiles.save(Profile("lab", {"uri": "http://other:1", "password": "n3w"}), "keyring")
    assert "n3w" in file.read_text() and "pa55" not in file.read_text()
    profiles.save(Profile("lab", {"uri": "http://other:1", "password": "n3w"}), "ask")
    assert file.read_text() == "{}"
    profiles.save(LAB, "keyring")
    profiles.remove("lab")
    assert file.read_text() == "{}"


def test_a_profile_pointed_elsewhere_by_hand_does_not_take_the_password_along(
    monkeypatch: pytest.MonkeyPatch, file: Path
) -> None:
    use(Open, monkeypatch, file)
    profiles.save(Profile("lab", {"uri": "http://lab:1", "password": "pa55"}), "keyring")
    profiles.path().write_text(profiles.path().read_text().replace("lab:1", "evil:1"))
    found = resolve(env={}, profile="lab")
    assert (found.milvus["uri"].value, found.milvus["password"].value) == ("http://evil:1", None)


def test_a_locked_keyring_is_said_and_the_password_can_be_given(
    monkeypatch: pytest.MonkeyPatch, file: Path
) -> None:
    use(Open, monkeypatch, file)
    lab = Profile("lab", {"uri": "http://127.0.0.1:1", "user": "me", "password": "pa55"})
    profiles.save(lab, "keyring")
    use(Locked, monkeypatch, file)
    found = resolve(env={}, profile="lab")
    assert found.masked()["password"] == {"value": None, "source": "profile lab (keyring: is locked)"}
    assert found.missing_secret == "password"
    with Workspace(found) as ws, pytest.raises(EngineUnreachable, match="the keyring is locked") as caught:
        ws.milvus()
    assert PASSWORD in caught.value.remedy
    assert resolve(env={PASSWORD: "typed"}, profile="lab").milvus_kwargs()["password"] == "typed"
    # Marks can be changed meanwhile, and the secret stays where it is.
    profiles.save(profile_of(found, "lab", readonly=True, protected=False), "keyring")
    assert "pa55" in file.read_text()
    with pytest.raises(vault.VaultError, match="is locked") as refused:
        profiles.save(lab, "keyring")
    assert "pa55" not in str(refused.value) and refused.value.__cause__ is None
    assert "still in the keyring" in profiles.remove("lab")
    assert profiles.list_profiles() == []


def test_a_keyring_that_never_answers_is_asked_once(
    monkeypatch: pytest.MonkeyPatch, file: Path, silent: None
) -> None:
    profiles.path().parent.mkdir(parents=True)
    profiles.path().write_text(
        '[profiles.lab]\nkeyring = ["token"]\n[profiles.lab.milvus]\nuri = "http://h:1"'
    )
    found = resolve(env={}, profile="lab")
    assert found.milvus["token"].source == "profile lab (keyring: does not answer)"
    assert found.missing_secret == "token"
    # Now it would answer, but nobody waits for it again: a list of profiles costs one wait, not one each.
    use(Open, monkeypatch, file)
    assert not vault.available()


def test_a_keyring_without_protection_counts_as_none(monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
    use(Open, monkeypatch, file)
    monkeypatch.setattr(Open, "priority", 0.5)
    assert not vault.available()
    with pytest.raises(vault.VaultError, match="no system keyring"):
        profiles.save(LAB, "keyring")
    assert not profiles.path().exists()


def test_what_is_asked_for_each_time_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    profiles.save(Profile("lab", {"uri": "http://127.0.0.1:1", "token": "t0ken"}), "ask")
    found = resolve(env={}, profile="lab")
    assert (found.missing_secret, found.milvus["token"].source) == ("token", "profile lab (asked for)")
    with Workspace(found) as ws, pytest.raises(InvalidInput, match="token of profile lab is not saved"):
        ws.milvus()
    profiles.save(profile_of(found, "lab", readonly=True, protected=True), "ask")
    assert resolve(env={}, profile="lab").missing_secret == "token"


def test_fiftyone_can_be_imported_after_the_keyring() -> None:
    """FiftyOne's eta fails beside the newest importlib_metadata, which keyring imports."""
    subprocess.run([sys.executable, "-c", "import keyring, eta.constants"], check=True)


def test_the_library_is_imported_late() -> None:
    code = "import sys, tui.cli.connections, tui.core.settings as s; s.resolve(); print(*sys.modules)"
    assert "keyring" not in subprocess.check_output([sys.executable, "-c", code], text=True).split()

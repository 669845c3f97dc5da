"""Saved connections: private, whole, and without secrets unless asked."""

from __future__ import annotations

import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tui.core import profiles
from tui.core.errors import InvalidInput, UnknownName
from tui.core.files import write_private
from tui.core.profiles import Profile

FULL = Profile(
    "lab",
    {"uri": "https://me:pa55@host:19530", "user": "me", "password": "pa55", "token": "t0ken", "secure": True},
    "mongodb://me:pa55@host/?tls=true",
    readonly=True,
    protected=True,
)


def test_nothing_saved() -> None:
    assert profiles.list_profiles() == []
    assert profiles.default_name() is None
    assert not profiles.path().exists()
    with pytest.raises(UnknownName, match="none yet"):
        profiles.load("lab")


def test_secrets_stay_out_of_the_file_unless_asked_for() -> None:
    profiles.save(FULL)
    text = profiles.path().read_text()
    assert "pa55" not in text
    assert "t0ken" not in text
    kept = profiles.load("lab")
    assert dict(kept.milvus) == {"uri": "https://me@host:19530", "user": "me", "secure": True}
    assert (kept.database_uri, kept.readonly, kept.protected) == ("mongodb://me@host/?tls=true", True, True)
    assert FULL.has_secrets()
    assert not kept.has_secrets()


def test_secrets_are_kept_on_request_in_a_private_file() -> None:
    profiles.save(FULL, keep="file")
    assert profiles.load("lab") == FULL
    assert stat.S_IMODE(profiles.path().stat().st_mode) == 0o600
    assert stat.S_IMODE(profiles.path().parent.stat().st_mode) == 0o700
    assert [p.name for p in profiles.path().parent.iterdir() if p.suffix not in (".toml", ".lock")] == []


def test_a_file_that_was_open_to_others_is_closed_by_the_next_save() -> None:
    profiles.save(FULL, keep="file")
    profiles.path().chmod(0o644)
    profiles.save(Profile("other"))
    assert stat.S_IMODE(profiles.path().stat().st_mode) == 0o600


def test_the_repr_shows_no_secret() -> None:
    assert "pa55" not in repr(FULL)
    assert "t0ken" not in repr(FULL)


def test_list_replace_and_remove() -> None:
    profiles.save(Profile("b", {"uri": "http://b:1"}))
    profiles.save(Profile("a b.c"))
    profiles.save(Profile("b", {"uri": "http://b:2"}))
    assert [p.name for p in profiles.list_profiles()] == ["a b.c", "b"]
    assert profiles.load("b").milvus["uri"] == "http://b:2"
    profiles.set_default("b")
    assert profiles.default_name() == "b"
    profiles.remove("b")
    assert profiles.default_name() is None
    with pytest.raises(UnknownName, match="Saved profiles: a b"):
        profiles.remove("b")
    with pytest.raises(UnknownName):
        profiles.set_default("b")


@pytest.mark.parametrize(
    "name", ["", " ", "embedded", "Embedded", "a/b", "../x", "a\nb", "x" * 65, "[a]", "\x1b[1m"]
)
def test_names_that_cannot_be(name: str) -> None:
    with pytest.raises(InvalidInput, match="cannot be a profile's name"):
        profiles.save(Profile(name))
    assert not profiles.path().exists()


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[profiles\n", "line 1"),
        ('a = 1\n[profiles.x]\nreadonly = "no', "end of document"),
        ('[profiles.x]\nreadonly = "no"\n', "profiles.toml line 2"),
        ("[profiles.x]\ncolour = 3\n", "colour"),
        ("[profiles.x.milvus]\nuri = 3\n", "profiles.toml line 2: Expected `str | null`, got `int`"),
        ("[profiles.x.milvus]\nurl = 'h'\n", "url"),
    ],
)
def test_a_broken_file_is_named_with_its_line(text: str, complaint: str) -> None:
    profiles.path().parent.mkdir(parents=True)
    profiles.path().write_text(text)
    with pytest.raises(InvalidInput) as caught:
        profiles.list_profiles()
    assert str(profiles.path()) in caught.value.what
    assert complaint in caught.value.what
    with pytest.raises(InvalidInput):
        profiles.save(Profile("new"))
    assert profiles.path().read_text() == text


def test_two_programs_at_once_lose_nothing() -> None:
    code = (
        "import sys; from tui.core import profiles\n"
        "for n in range(10): profiles.save(profiles.Profile(f'{sys.argv[1]}-{n}'))"
    )
    writers = [subprocess.Popen([sys.executable, "-c", code, str(n)]) for n in range(3)]
    assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    assert len(profiles.list_profiles()) == 30


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "folder" / "file"
    write_private(target, "old")
    with pytest.raises(UnicodeEncodeError):
        write_private(target, "new \udcff")
    assert target.read_text() == "old"
    assert list(target.parent.iterdir()) == [target]
    with pytest.raises(InvalidInput, match="cannot be made"):
        write_private(target / "below", "x")
    link = tmp_path / "link"
    link.symlink_to(target)
    write_private(link, "through")
    assert (target.read_text(), link.is_symlink()) == ("through", True)

"""Where our Milvus Lite servers listen: always in a folder of the user's own, or not on a socket at all."""

from __future__ import annotations

import os
import socket
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tui.core.services import milvus_address
from tui.core.services.milvus_address import candidates, local_path, private_socket, socket_of


@pytest.fixture
def temporary(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The system's folder for temporary files, with a path as short as it is in life."""
    with tempfile.TemporaryDirectory(prefix="k", dir="/tmp") as place:
        monkeypatch.setattr(tempfile, "tempdir", place)
        yield Path(place)


def shared(temporary: Path) -> Path:
    return temporary / f"kitescope-{os.geteuid()}"


def test_near_where_it_fits(temporary: Path) -> None:
    folder = temporary / "state"
    folder.mkdir(mode=0o755)
    assert private_socket(folder, "milvus") == folder / "milvus.sock"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert list(folder.iterdir()) == [], "the trial leaves nothing behind"


def test_a_trial_that_goes_on_beside_ours_or_was_killed_is_nothing_to_it(temporary: Path) -> None:
    folder = temporary / "state"
    folder.mkdir()
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(folder / f"{os.getpid():x}.sock"))
        assert private_socket(folder, "milvus") == folder / "milvus.sock"


def test_far_where_the_home_is_deep(temporary: Path) -> None:
    first, second = temporary / ("a" * 90) / "x", temporary / ("a" * 90) / "y"
    found = private_socket(first, "milvus")
    assert found is not None and found.parent == shared(temporary) and len(os.fsencode(found)) <= 100
    assert stat.S_IMODE(found.parent.stat().st_mode) == 0o700
    assert private_socket(first, "milvus") == found != private_socket(second, "milvus")


@pytest.mark.parametrize("sign", ["%41", "#", "?", ","])
def test_far_where_a_uri_cannot_have_the_name(temporary: Path, sign: str) -> None:
    found = private_socket(temporary / f"a{sign}b", "milvus")
    assert found is not None and found.parent == shared(temporary)


@pytest.mark.parametrize("kind", ["link", "file", "of somebody else"])
def test_nowhere_where_somebody_else_was_first(
    temporary: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if kind == "link":
        (temporary / "theirs").mkdir()
        shared(temporary).symlink_to(temporary / "theirs")
    elif kind == "file":
        shared(temporary).write_text("")
    else:
        me = os.geteuid()
        shared(temporary).mkdir()
        monkeypatch.setattr(milvus_address.os, "geteuid", lambda: me + 1)
        (temporary / f"kitescope-{me + 1}").mkdir()
    assert private_socket(temporary / ("a" * 90), "milvus") is None


def test_nowhere_where_nothing_is_short_enough(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(temporary / ("b" * 90)))
    assert candidates(temporary / ("a" * 90), "milvus") == []
    assert private_socket(temporary / ("a" * 90), "milvus") is None


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("unix:/run/m.sock", Path("/run/m.sock")),
        ("unix:///run/m.sock", Path("/run/m.sock")),
        ("unix:relative", None),
        ("http://127.0.0.1:1", None),
    ],
)
def test_the_socket_of_a_uri(uri: str, path: Path | None) -> None:
    assert socket_of(uri) == path


def test_the_path_of_a_uri(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(home)
    assert local_path("~/x.db") == local_path("x.db") == local_path("./y/../x.db") == home / "x.db"
    for server in ("http://h/x.db", "unix:/run/x.db", "tcp://h:1", "x.sock", ""):
        assert local_path(server) is None

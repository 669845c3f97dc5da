"""Read-only refuses every change, protected refuses what destroys, and both before an engine is asked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tui.core import collections, datasets, demo, indexes, profiles, results, runs
from tui.core.documents.dataset_import import import_dataset
from tui.core.errors import EngineUnreachable, Protected, ReadOnly
from tui.core.indexes import BuildSpec, Source
from tui.core.profiles import Profile
from tui.core.scope import Scope
from tui.core.settings import resolve
from tui.core.workspace import Workspace, confirming

NOBODY = {"uri": "http://127.0.0.1:1"}


def spec(*, overwrite: bool) -> BuildSpec:
    return BuildSpec(Scope("d"), "k", Source(), overwrite=overwrite)


def nothing(*_: object) -> bool:
    return False


DESTROYS: dict[str, Callable[[Workspace], object]] = {
    "delete run": lambda ws: runs.delete(ws, "d", "k"),
    "discard run": lambda ws: runs.discard(ws, "d", "k"),
    "clean up run": lambda ws: runs.cleanup(ws, "d", "k"),
    "drop collection": lambda ws: collections.drop(ws, "c"),
    "delete dataset": lambda ws: datasets.delete_dataset(ws, "d", True),
    "overwrite run": lambda ws: indexes.build(ws, spec(overwrite=True), nothing, nothing),
}
CHANGES: dict[str, Callable[[Workspace], object]] = {
    "build": lambda ws: indexes.build(ws, spec(overwrite=False), nothing, nothing),
    "sync": lambda ws: indexes.sync(ws, "d", "k", on_event=nothing, should_stop=nothing),
    "rename": lambda ws: runs.rename(ws, "d", "k", "new"),
    "adopt": lambda ws: collections.adopt(ws, "c", "d", "k"),
    "release": lambda ws: collections.release(ws, "c"),
    "tag": lambda ws: results.tag(ws, "d", ["id"], ["t"]),
    "save a view": lambda ws: results.save_view(ws, "d", "v", ["id"]),
    "import": lambda ws: import_dataset(ws, Path("/nowhere"), "d", None),
    "demo": lambda ws: demo.make_demo(ws),
}


@pytest.fixture
def open_lab() -> Callable[..., Workspace]:
    """A workspace of profile ``lab``, whose engines do not exist."""

    def open_lab(*, readonly: bool = False, confirmed: str = "") -> Workspace:
        profiles.save(
            Profile("lab", NOBODY, "mongodb://127.0.0.1:1", readonly=readonly, protected=not readonly)
        )
        return Workspace(resolve(env={}, profile="lab", timeout=0.5, confirmed=confirmed))

    return open_lab


@pytest.mark.parametrize("change", [*DESTROYS.values(), *CHANGES.values()], ids=[*DESTROYS, *CHANGES])
def test_readonly_refuses_every_change(
    change: Callable[[Workspace], object], open_lab: Callable[..., Workspace]
) -> None:
    with open_lab(readonly=True, confirmed="lab") as ws, pytest.raises(ReadOnly, match="profile lab allows"):
        change(ws)


@pytest.mark.parametrize("destroy", DESTROYS.values(), ids=DESTROYS)
def test_protected_wants_its_name(
    destroy: Callable[[Workspace], object], open_lab: Callable[..., Workspace]
) -> None:
    with open_lab() as ws:
        with pytest.raises(Protected, match="lab is protected") as refused:
            destroy(ws)
        assert "--confirm-protected lab" in refused.value.remedy
        with confirming("another"), pytest.raises(Protected):
            destroy(ws)
        with confirming("lab"), pytest.raises(EngineUnreachable):
            destroy(ws)
        with pytest.raises(Protected):
            destroy(ws)
    with open_lab(confirmed="lab") as ws, pytest.raises(EngineUnreachable):
        destroy(ws)


@pytest.mark.parametrize("name", ["rename", "tag"])
def test_protected_allows_what_can_be_undone(name: str, open_lab: Callable[..., Workspace]) -> None:
    with open_lab() as ws, pytest.raises(EngineUnreachable):
        CHANGES[name](ws)

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tui import paths
from tui.core import demo
from tui.core.errors import InvalidInput, ReadOnly

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tui.core.workspace import Workspace


@pytest.fixture
def ws(workspace: Workspace) -> Iterator[Workspace]:
    _forget(workspace)
    yield workspace
    _forget(workspace)


def _forget(workspace: Workspace) -> None:
    fiftyone = workspace.fiftyone()
    if fiftyone.dataset_exists(demo.DATASET):
        fiftyone.delete_dataset(demo.DATASET)


def _facts(ws: Workspace) -> list[tuple[str, str, str]]:
    dataset = ws.fiftyone().load_dataset(demo.DATASET, reload=True)
    return list(zip(*dataset.values(["id", "filepath", "ground_truth.label"]), strict=True))


def test_it_makes_the_digits_once(ws: Workspace) -> None:
    info = demo.make_demo(ws)
    assert (info.name, info.samples, info.persistent) == ("kitescope-demo", 1797, True)
    first = _facts(ws)
    assert [label for _, _, label in first[:10]] == list("0123456789")
    assert all(Path(path).is_relative_to(paths.data_dir() / "demo") for _, path, _ in first)
    assert demo.make_demo(ws).samples == 1797
    assert _facts(ws) == first


def test_an_interrupted_demo_is_completed(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    fiftyone, add = ws.fiftyone(), ws.fiftyone().Dataset.add_samples

    def dies(self: Any, samples: Any, **kwargs: Any) -> Any:
        add(self, samples[:700], **kwargs)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(fiftyone.Dataset, "add_samples", dies)
        demo.make_demo(ws)
    begun = _facts(ws)
    assert len(begun) == 700
    (paths.data_dir() / "demo" / "digit-0003.png").unlink()
    (paths.data_dir() / "demo" / "digit-0004.png").write_bytes(b"")
    assert demo.make_demo(ws).samples == 1797
    done = _facts(ws)
    assert done[:700] == begun
    assert [path for _, path, _ in done] == sorted(path for _, path, _ in done)
    assert all(Path(path).stat().st_size > 0 for _, path, _ in done)


def test_pictures_that_moved_away_are_found_again(
    ws: Workspace, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    demo.make_demo(ws)
    ids = [one for one, _, _ in _facts(ws)]
    (paths.data_dir() / "demo").rename(home / "elsewhere")
    monkeypatch.setenv("XDG_DATA_HOME", str(home / "other"))
    assert demo.make_demo(ws).samples == 1797
    facts = _facts(ws)
    assert [one for one, _, _ in facts] == ids
    assert all(Path(path).is_relative_to(home / "other") and Path(path).exists() for _, path, _ in facts)


def test_fresh_makes_it_anew(ws: Workspace) -> None:
    demo.make_demo(ws)
    before = _facts(ws)
    assert demo.make_demo(ws, fresh=True).samples == 1797
    after = _facts(ws)
    assert not {one for one, _, _ in before} & {one for one, _, _ in after}
    assert [facts[1:] for facts in before] == [facts[1:] for facts in after]


def test_somebody_elses_dataset_of_that_name_is_left_alone(ws: Workspace) -> None:
    fiftyone = ws.fiftyone()
    mine = fiftyone.Dataset(demo.DATASET)
    mine.add_samples([fiftyone.Sample(filepath="/holidays/1.jpg")], progress=False)
    for fresh in (False, True):
        with pytest.raises(InvalidInput, match="other pictures"):
            demo.make_demo(ws, fresh=fresh)
    assert [path for _, path, _ in _facts_without_labels(ws)] == ["/holidays/1.jpg"]


def _facts_without_labels(ws: Workspace) -> list[tuple[str, str, None]]:
    dataset = ws.fiftyone().load_dataset(demo.DATASET, reload=True)
    return [(one, path, None) for one, path in zip(*dataset.values(["id", "filepath"]), strict=True)]


def test_two_at_once_make_one(ws: Workspace) -> None:
    made: list[int] = []
    threads = [threading.Thread(target=lambda: made.append(demo.make_demo(ws).samples)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made == [1797] * 3
    assert len({path for _, path, _ in _facts(ws)}) == 1797 == len(_facts(ws))


def test_readonly_forbids_it(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    monkeypatch.setattr(ws, "settings", replace(ws.settings, readonly=True))
    with pytest.raises(ReadOnly):
        demo.make_demo(ws)
    assert not ws.fiftyone().dataset_exists(demo.DATASET)

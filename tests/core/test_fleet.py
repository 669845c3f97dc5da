from __future__ import annotations

import contextlib
import itertools
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil
import pytest
from PIL import Image

from tests.core import fleet_models
from tests.core.pictures import PictureItem, broken
from tests.engines.servers import wait_until
from tui.core import indexes
from tui.core.embedding import Batch, embed
from tui.core.errors import KitescopeError
from tui.core.filling import sources
from tui.core.indexes import BuildSpec, Scope, Source
from tui.core.models import load_model
from tui.core.progress import Notice, Progress, ignore, never
from tui.core.services import processes
from tui.core.vision import fleet_process
from tui.core.vision.fleet import Fleet
from tui.core.vision.images import Patch

if TYPE_CHECKING:
    from tui.core.workspace import Workspace

Start = Callable[..., Fleet]


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """``start("pair", "cpu", "cpu")``: a fleet whose members are those of ``fleet_models``."""
    monkeypatch.setattr(fleet_process, "COMMAND", fleet_models.COMMAND)
    made: list[Fleet] = []

    def make(what: str, *devices: str, **options: Any) -> Fleet:
        made.append(Fleet(f"{what}:{tmp_path}", devices, **options))
        return made[-1]

    yield make
    for fleet in made:
        fleet.close()
    assert members() == []


def members() -> list[psutil.Process]:
    def ours(process: psutil.Process) -> bool:
        # What other tests left may be a zombie, or end just now.
        with contextlib.suppress(psutil.Error):
            return "tests.core.fleet_models" in " ".join(process.cmdline())
        return False

    return [one for one in psutil.Process().children(recursive=True) if ours(one)]


@pytest.fixture
def items(tmp_path: Path) -> list[PictureItem]:
    folder = tmp_path / "files"
    folder.mkdir()
    for number in range(30):
        Image.new("RGB", (20 + number, 20), (number * 8, 0, 0)).save(folder / f"{number}.png")
    return [PictureItem(str(number), str(folder / f"{number}.png")) for number in range(30)]


def gathered(batches: Iterator[Batch]) -> tuple[dict[str, float], dict[str, str]]:
    """First numbers of the vectors, and reasons, by id; each id once."""
    found: dict[str, float] = {}
    skipped: dict[str, str] = {}
    for batch in batches:
        assert batch.sample_ids == tuple(f"sample-of-{one}" for one in batch.ids)
        assert batch.vectors.dtype == np.float32 and batch.vectors.shape == (len(batch.ids), 3)
        rows = dict(zip(batch.ids, batch.vectors[:, 0].tolist(), strict=True))
        assert not rows.keys() & found.keys()
        found |= rows
        skipped |= {one.id: one.reason for one in batch.skipped}
    return found, skipped


def expected(items: list[PictureItem]) -> dict[str, float]:
    return {item.id: 8.0 * int(item.id) for item in items}


def test_devices_share_the_work(start: Start, items: list[PictureItem], tmp_path: Path) -> None:
    events: list[Any] = []
    fleet = start("pair", "cpu", "cpu", on_event=events.append)
    assert (fleet.dim, fleet.supports_prompts, fleet.notice) == (3, True, "said by the model")
    assert events == [Progress("model", 5, 10)]
    bad = [PictureItem(name, str(path)) for name, (path, _) in broken(tmp_path / "bad").items()]
    found, skipped = gathered(fleet.embed([*items[:7], *bad, *items[7:]]))
    assert found == expected(items)
    assert skipped.keys() == {item.id for item in bad} and "empty" in skipped["empty.jpg"]
    assert len(list(tmp_path.glob("*.pid"))) == 2
    assert gathered(fleet.embed(items)) == (expected(items), {})


def test_each_process_sees_its_own_gpu_alone(
    start: Start, items: list[PictureItem], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A user's code, and FiftyOne's, take the first GPU that they see; these members say what they see."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,GPU-aa,7")
    assert gathered(start("pair", "cuda:1", "cuda:2").embed(items)) == (expected(items), {})
    told = sorted(path.read_text() for path in tmp_path.glob("*.pid"))
    assert told == ["cuda:0 of 7", "cuda:0 of GPU-aa"]


def test_a_gpu_that_is_not_the_first_gets_a_process_too(
    start: Start, items: list[PictureItem], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What torch would choose on a machine with two GPUs is made up, for there are none here."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(sources, "choose", lambda _device: (("cuda:1",), ""))
    spec = BuildSpec(Scope("any"), "k", Source(model=f"plain:{tmp_path}"), device="cuda:1")
    fleet = sources._load(spec, ignore, never)
    assert isinstance(fleet, Fleet)
    try:
        assert gathered(fleet.embed(items)) == (expected(items), {})
    finally:
        fleet.close()
    assert [path.read_text() for path in tmp_path.glob("*.pid")] == ["cuda:0 of 1"]


def test_little_work_starts_no_second_process(start: Start, items: list[PictureItem]) -> None:
    fleet = start("plain", "cpu", "cpu")
    assert gathered(fleet.embed(items[:5]))[0] == expected(items[:5])
    assert len(members()) == 1


def test_boxes_of_a_file_stay_together(start: Start, items: list[PictureItem]) -> None:
    boxes = [(0.0, 0.0, 1.0, 0.5), Patch(0.0, 0.5, 1.0, 0.5, 0.1, True), (0.2, 0.2, 0.0, 0.1)]
    patches = [
        PictureItem(f"{item.id}-{number}", item.filepath, box)
        for item in items
        for number, box in enumerate(boxes)
    ]
    found, skipped = gathered(start("plain", "cpu", "cpu", batch_size=4).embed(patches))
    assert found == {f"{item.id}-{n}": 8.0 * int(item.id) for item in items for n in (0, 1)}
    assert skipped.keys() == {f"{item.id}-2" for item in items}


def test_a_picture_that_kills_its_process_costs_only_itself(start: Start, items: list[PictureItem]) -> None:
    Image.new("RGB", (13, 20)).save(items[17].filepath)
    found, skipped = gathered(start("plain", "cpu", "cpu").embed(items))
    assert found == expected([*items[:17], *items[18:]])
    assert skipped == {"17": "it ends the process that embeds it (killed by SIGKILL)"}


def test_a_process_killed_from_outside_is_replaced(start: Start, items: list[PictureItem]) -> None:
    stream = start("plain", "cpu", "cpu").embed(items)
    first = next(stream)
    for process in members():
        process.kill()
    assert gathered(itertools.chain([first], stream)) == (expected(items), {})


@pytest.mark.parametrize(
    ("device", "why"), [("bad", "nothing can be loaded here"), ("deadly", "the driver is gone")]
)
def test_a_device_that_cannot_be_used_is_given_up_and_told(
    start: Start, items: list[PictureItem], device: str, why: str
) -> None:
    events: list[Any] = []
    given: list[PictureItem] = []

    def until_told() -> Iterator[PictureItem]:
        deadline = time.monotonic() + 60
        while not any(isinstance(event, Notice) for event in events) and time.monotonic() < deadline:
            given.append(PictureItem(f"{len(given)}", items[len(given) % 30].filepath))
            yield given[-1]

    found, skipped = gathered(start("plain", "cpu", device, on_event=events.append).embed(until_told()))
    assert events[-1] == Notice(f"{device} (process 2) failed: {why}. The other devices go on")
    assert found.keys() == {item.id for item in given} and skipped == {}


def test_without_a_device_left_the_work_ends_and_can_be_continued(
    start: Start, items: list[PictureItem]
) -> None:
    with pytest.raises(KitescopeError, match=r"No device is left.*CUDA error: unspecified") as caught:
        list(start("lost", "cpu").embed(items[:6]))
    assert "Start again to continue" in caught.value.remedy
    with pytest.raises(KitescopeError, match=r"No device is left.*the driver is gone"):
        start("plain", "deadly", "deadly")


def test_a_model_that_fails_on_everything_ends_the_work(start: Start, items: list[PictureItem]) -> None:
    with pytest.raises(KitescopeError, match="weights are broken"):
        list(start("hopeless", "cpu", "cpu").embed(items))
    with pytest.raises(KitescopeError, match="nothing can be loaded here"):
        start("plain", "bad", "cpu")


def test_items_are_read_a_bounded_way_ahead_and_stopping_ends_it(
    start: Start, items: list[PictureItem]
) -> None:
    read: list[int] = []
    come = 0

    def endless() -> Iterator[PictureItem]:
        for number in itertools.count():
            read.append(number)
            yield PictureItem(str(number), items[0].filepath)

    def enough() -> bool:
        return come >= 60

    for batch in start("plain", "cpu", "cpu", batch_size=5).embed(endless(), enough):
        come += len(batch.ids)
        # Three chunks of five on their way to each of two members, and one item that is looked at.
        assert len(read) <= come + 2 * 3 * 5 + 1
    assert 60 <= come <= 60 + 2 * 3 * 5
    assert members() == []


def test_a_build_on_several_devices_gives_what_one_gives(
    workspace: Workspace, items: list[PictureItem], unique_name: Callable[..., str]
) -> None:
    """With the real members, torch and Milvus."""
    fiftyone = workspace.fiftyone()
    name, model = unique_name(), "tests.core.user_models:module"
    dataset = fiftyone.Dataset(name, persistent=True)
    ids = dataset.add_samples([fiftyone.Sample(filepath=item.filepath) for item in items[1:]], progress=False)
    spec = BuildSpec(Scope(name), "shared", Source(model=model), device="cpu,cpu", batch_size=4)
    assert indexes.plan(workspace, spec).runs_on.endswith("shared by 2 processes")
    result = indexes.build(workspace, spec)
    assert (result.vectors, result.dim, result.skipped) == (29, 48, ())
    found, _, vectors = workspace.milvus().rows(result.collection, ids)
    assert sorted(found) == sorted(ids)
    one = next(embed([items[29]], load_model(model, device="cpu"))).vectors[0]
    assert np.allclose(vectors[found.index(ids[-1])], one, atol=1e-5)


_PARENT = """
import itertools, sys
from tests.core import fleet_models
from tests.core.pictures import PictureItem
from tui.core.vision import fleet_process
from tui.core.vision.fleet import Fleet
fleet_process.COMMAND = fleet_models.COMMAND
fleet = Fleet("pair:" + sys.argv[1], ("cpu", "cpu"))
stream = fleet.embed(PictureItem(str(n), sys.argv[2]) for n in itertools.count())
next(stream)
print("ready", flush=True)
for _ in stream: pass
"""


def test_members_end_with_their_parent(items: list[PictureItem], tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    parent = subprocess.Popen(
        [sys.executable, "-c", _PARENT, str(tmp_path), items[0].filepath],
        stdout=subprocess.PIPE,
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
    )
    assert parent.stdout is not None and parent.stdout.readline() == b"ready\n"
    children = psutil.Process(parent.pid).children()
    assert len(children) == 2
    parent.kill()
    parent.wait(60)
    parent.stdout.close()
    wait_until(lambda: not any(map(processes.alive, children)), 60, "the members end")

"""Files of which no picture can be made: listed with reasons, tagged, and nobody else is harmed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.program import Cli, one_error_line
from tests.core.pictures import broken, healthy, sixteen_bit
from tui.core.workspace import Workspace


@pytest.fixture
def dataset(workspace: Workspace, unique_name: Callable[[str], str], tmp_path: Path) -> Iterator[Any]:
    """Good files and bad ones by turns, each with one box."""
    fo = workspace.fiftyone()
    good = {**healthy(tmp_path / "good"), **sixteen_bit(tmp_path / "deep")}
    bad = broken(tmp_path / "bad")
    made = fo.Dataset(unique_name("casualties"), persistent=True)
    for at, name in enumerate([*good, *bad]):
        box = fo.Detection(label="thing", bounding_box=[0.25, 0.25, 0.5, 0.5])
        sample = fo.Sample(filepath=f"/{at}.jpg", kind=name, boxes=fo.Detections(detections=[box]))
        made.add_sample(sample)
    # FiftyOne looks at a path when a sample is made, and these are not all paths that it likes.
    made.set_values("filepath", [*map(str, good.values()), *(str(path) for path, _ in bad.values())])
    yield made
    made.delete()


@pytest.mark.parametrize("patches", [(), ("--patches-field", "boxes")], ids=["pictures", "patches"])
def test_casualties_are_listed_and_can_be_tagged(
    cli: Cli, dataset: Any, tmp_path: Path, patches: tuple[str, ...]
) -> None:
    reasons = {name: word for name, (_, word) in broken(tmp_path / "again").items()}
    ran = cli("build", dataset.name, "k", "--batch-size", "4", *patches, "--json")
    job, done = ran.lines[0]["job"], ran.lines[-1]
    assert done["event"] == "done" and done["vectors"] == len(dataset) - len(reasons)
    path = "boxes.detections.id" if patches else "id"
    ids = dict(zip(dataset.values(path, unwind=True), dataset.values("kind"), strict=True))
    assert {ids[one["id"]] for one in done["skipped"]} == set(reasons)
    for one in done["skipped"]:
        assert reasons[ids[one["id"]]] in one["reason"]
    shown = cli("jobs", "show", job, "--json").json
    assert shown["skipped"] == done["skipped"] and shown["skipped_count"] == len(reasons)

    tagged = cli("jobs", "tag", job, "--tag", "broken", "--tag", "to mend", "--json").json
    assert (tagged["tagged"], tagged["dataset"], tagged["unknown"]) == (len(reasons), dataset.name, 0)
    dataset.reload()
    found = dataset.match_labels(tags="broken") if patches else dataset.match_tags("broken")
    assert set(found.values("kind")) == set(reasons)
    untagged = cli("jobs", "tag", job[:4], "--tag", "broken", "--remove")
    assert untagged.out == f"{len(reasons)} untagged in {dataset.name}: broken\n"
    dataset.reload()
    counts = dataset.count_label_tags() if patches else dataset.count_sample_tags()
    assert counts == {"to mend": len(reasons)}


def test_a_dataset_of_videos_is_refused_with_what_to_do(
    cli: Cli, workspace: Workspace, unique_name: Callable[[str], str]
) -> None:
    fo = workspace.fiftyone()
    made = fo.Dataset(unique_name("videos"), persistent=True)
    made.add_sample(fo.Sample(filepath="/a.mp4"))
    ran = cli("build", made.name, "k", "--json", ok=False)
    made.delete()
    error = one_error_line(ran)
    assert ran.code == 2 and "holds videos" in error
    assert "dataset.to_frames(sample_frames=True)" in error and "a field or a file of vectors" in error

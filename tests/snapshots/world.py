"""A world that is the same every time: what core and jobs would answer, without engines, clocks or ports."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image
from textual.widgets import Input

from tests.ui.conftest import until
from tui.app import Kitescope
from tui.core import datasets, search
from tui.core.datasets import DatasetDetail, DatasetInfo, FieldInfo, SampleInfo, Scope
from tui.core.documents import labels, run_list
from tui.core.documents.label import Label
from tui.core.documents.labels import SampleDetail
from tui.core.filling import planning
from tui.core.indexes import BuildPlan, BuildSpec, Source
from tui.core.progress import Skipped
from tui.core.runs import RunInfo
from tui.core.search import Hit, SearchResult
from tui.core.settings import Settings, resolve
from tui.jobs import supervisor
from tui.jobs.info import JobInfo, PhaseProgress
from tui.jobs.spec import job_spec
from tui.preferences import Last, Preferences
from tui.widgets.build_plan import Room

# Another version may draw a border or a shade otherwise, which says nothing about this program.
_MADE_WITH = {"textual": "8.2.8", "rich": "15.0.0"}
made_elsewhere = pytest.mark.skipif(
    any(version(name) != made for name, made in _MADE_WITH.items()),
    reason=f"the snapshots were made with {_MADE_WITH}: look at them, then pytest --snapshot-update",
)
SIZES = {"80x24": (80, 24), "120x34": (120, 34), "200x50": (200, 50)}

BIRDS = DatasetInfo("birds", 1_797, "image", 2, True, None)
LOOK = RunInfo(
    "birds", "look", "similarity", "milvus", model="kitescope-descriptor", metric="cosine",
    collection="ks_birds_look_3f2a", vectors=1_797, expected=1_797, missing=0, stale=0, health="ok",
    scope=Scope("birds"), dim=324,
)  # fmt: skip
CROPS = RunInfo(
    "birds", "crops", "similarity", "milvus", patches_field="boxes", model="clip-vit-base32-torch",
    supports_prompts=True, metric="dotproduct", collection="ks_birds_crops_91c0", vectors=4_200,
    expected=4_310, missing=110, stale=0, health="incomplete", scope=Scope("birds", "boxes"), dim=512,
)  # fmt: skip
SETTINGS = resolve(flags={"uri": "http://milvus:19530", "database_uri": "mongodb://mongo:27017"}, env={})
_SPEC = job_spec("build", "birds", "look", SETTINGS, BuildSpec(Scope("birds"), "look", Source())).to_json()
_DAY = 1_700_000_000.0
DONE = JobInfo(
    "3f2a91", "build", "birds", "look", "done",
    {"embed": PhaseProgress(1_797, 1_797, 240.0), "upload": PhaseProgress(1_797, 1_797, 5_000.0)},
    None, "", None, None, 0,
    {"vectors": 1_797, "dim": 324, "collection": "ks_birds_look_3f2a", "seconds": 9.0},
    (Skipped("65f0", "birds/broken.png", "not a picture"),), 1, _DAY, _DAY, _DAY + 9, _DAY + 9, None, 1,
    Path("job.log"), _SPEC,
)  # fmt: skip
FAILED = replace(
    DONE, id="91c04e", brain_key="[b]crops", state="failed", phase="embed", result=None, skipped=(),
    phases={"embed": PhaseProgress(620, 4_310, None)}, skipped_count=0, created=_DAY + 60, started=_DAY + 60,
    finished=_DAY + 75, error="Milvus does not answer", remedy="Start it, then resume the job",
)  # fmt: skip
_NAMES = ("kite", "[red]heron", "owl", "長い名前の鳥", "wren\x1b[31m")
_COLOURS = ("#b04040", "#40a060", "#4060b0", "#b09040", "#8040a0")


class Engines:
    """A workspace in which both engines answer and nothing else is asked of them."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def milvus(self) -> Any:
        return SimpleNamespace(server_version=lambda: "2.6.0")

    def fiftyone(self) -> Any:
        return SimpleNamespace(__version__="1.22.1")

    def close(self) -> None:
        pass


def pictures() -> None:
    """Five pictures of two by two pixels, in the working folder, so that paths are short and the same."""
    Path("birds").mkdir()
    for n, colour in enumerate(_COLOURS):
        image = Image.new("RGB", (2, 2), colour)
        image.putpixel((1, 1), (230, 230, 230))
        image.save(f"birds/{n}.png")
    Path("birds/broken.png").write_bytes(b"nothing")


def hits(count: int = 60) -> tuple[Hit, ...]:
    made = []
    for n in range(count):
        file = "birds/broken.png" if n == 3 else f"birds/{n % 5}.png"
        id = f"{0x65F0_0000_0000_0000_0000_0000 + n:024x}"
        made.append(Hit(n + 1, id, id, 1 - n / 100, file, _NAMES[n % 5], ("[b]seen",) if n % 2 else ()))
    return tuple(made)


def _detail(_ws: Any, _dataset: str, sample_id: str) -> SampleDetail:
    boxes = (
        Label("boxes", "[i]beak", 0.91, box=(0.1, 0.15, 0.3, 0.3)),
        Label("boxes", "wing", 0.5, box=(0.5, 0.4, 0.45, 0.5)),
        Label("ground_truth", "kite"),
    )
    return SampleDetail(sample_id, (("weather", "rain, then [sun]"), ("weight", "1.25")), boxes)


def _inside(_ws: Any, _name: str) -> DatasetDetail:
    return DatasetDetail(
        BIRDS,
        (FieldInfo("filepath", "string"), FieldInfo("ground_truth", "Classification")),
        {"ground_truth": {"kite": 900, "[red]heron": 500, "owl": 397}},
        ("rare ones",), {"train": 1_500, "[b]seen": 297}, ("crops", "look"), (), (),
    )  # fmt: skip


def _found(_ws: Any, query: Any, **_how: Any) -> SearchResult:
    return SearchResult(query.brain_key, "cosine", "cosine similarity", True, query.k, hits(), 7.0)


def settle(monkeypatch: pytest.MonkeyPatch, *, empty: bool = False) -> None:
    """Let core and jobs answer from this world; ``empty``: there is nothing in it yet."""
    pages = [SampleInfo(h.id, h.sample_id, h.filepath, h.label, h.tags) for h in hits()]
    found = [] if empty else [BIRDS, DatasetInfo("[b]empty one", 0, "image", 0, False, None)]
    for module, name, answer in (
        (datasets, "list_datasets", lambda _ws: found),
        (datasets, "dataset_detail", _inside),
        (datasets, "sample_page", lambda _ws, _scope, first, count: pages[first : first + count]),
        (datasets, "samples_by_id", lambda _ws, _scope, ids: [one for one in pages if one.id in ids]),
        (run_list, "require_run", lambda _ws, _dataset, key: LOOK if key == "look" else CROPS),
        (search, "search", _found),
        (labels, "sample_detail", _detail),
        (supervisor, "list_jobs", lambda: [] if empty else [FAILED, DONE]),
        (planning, "plan", lambda _ws, _spec: BuildPlan("ks_birds_look_3f2a", 1_797, 324, 2_600_000, 0)),
    ):
        monkeypatch.setattr(module, name, answer)
    monkeypatch.setattr("tui.screens.build.room_at", lambda _folder: Room(8 << 30, 50 << 30))
    monkeypatch.setattr("tui.widgets.job_view._clock", lambda _moment: "12:00:00")
    monkeypatch.setattr("tui.core.runs.with_health", lambda _ws, run: run)
    monkeypatch.setattr("tui.core.runs.list_runs", lambda _ws: [] if empty else [CROPS, LOOK])


def app(theme: str = "dark", *, dataset: str | None = None, **more: Any) -> Kitescope:
    return Kitescope(
        SETTINGS,
        look=Preferences(theme=f"textual-{theme}"),
        last=Last(dataset=dataset),
        open_workspace=Engines,  # type: ignore[arg-type]
        **more,
    )


def when(
    ready: Callable[[Kitescope], object],
    *keys: str,
    first: Callable[[Kitescope], object] = lambda _shown: True,
) -> Callable[[Any], Awaitable[None]]:
    """What is done before a snapshot is taken: wait, press keys, wait again, and stop every cursor.

    Args:
        first: what else must hold before keys are pressed.
    """

    async def before(pilot: Any) -> None:
        shown: Any = pilot.app
        await until(pilot, lambda: shown.state.database.status == shown.state.milvus.status == "ready")
        await until(pilot, lambda: first(shown))
        for key in keys:
            await pilot.press(key)
        await until(pilot, lambda: ready(shown))
        for line in shown.screen.query(Input):
            line.cursor_blink = False
            line._cursor_visible = True
        await pilot.pause()

    return before

"""The Datasets screen: list, look inside, choose all or a part, import, delete."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from textual.pilot import Pilot
from textual.widgets import Input

from tests.conftest import settings_for
from tests.engines.servers import MilvusLite, Mongod, free_port
from tests.ui.conftest import screen_text, until
from tui.app import Kitescope
from tui.core.datasets import DatasetInfo, Scope
from tui.core.settings import resolve
from tui.core.workspace import Workspace
from tui.jobs import importing
from tui.preferences import Last
from tui.screens.choose_view import ChooseView
from tui.screens.datasets import DatasetsScreen, DetailRead, Inside
from tui.screens.import_dataset import ImportDataset, PathSuggester
from tui.widgets.bars import bars
from tui.widgets.dialogs import Confirm
from tui.widgets.fitted import FittedTable
from tui.widgets.form import Form
from tui.widgets.form_dialog import FormDialog

MakeApp = Callable[..., Kitescope]
HERE = Last(screen="datasets")


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder of twelve pictures in two subfolders, named as people name folders."""
    folder = tmp_path / "My pictures"
    for number in range(12):
        place = folder / ("cat" if number % 3 else "dog")
        place.mkdir(parents=True, exist_ok=True)
        Image.linear_gradient("L").rotate(number * 30).save(place / f"{number}.png")
    return folder


@pytest.fixture
def dataset(workspace: Workspace, unique_name: Callable[[str], str], pictures: Path) -> str:
    """Twelve pictures with labels, tags, a saved view and a name that looks like markup."""
    fo = workspace.fiftyone()
    made = fo.Dataset(unique_name("[bold]pets"), persistent=True)
    samples = []
    for number, path in enumerate(sorted(pictures.rglob("*.png"))):
        sample = fo.Sample(filepath=str(path), tags=["train" if number < 8 else "val"])
        sample["animal"] = fo.Classification(label=path.parent.name)
        box = fo.Detection(label="head", bounding_box=[0.1, 0.1, 0.5, 0.5])
        sample["parts"] = fo.Detections(detections=[box, box.copy()])
        sample["weight"] = number
        samples.append(sample)
    made.add_samples(samples, progress=False)
    made.save_view("first three", made.limit(3))
    name: str = made.name
    return name


@pytest.fixture
def hold_imports(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """``hold_imports()``: from then on imports stand still from their start, until they are let go on."""
    start, started = importing.start, list[importing.Import]()

    def held(*how: Any) -> importing.Import:
        running = start(*how)
        running.process.send_signal(signal.SIGSTOP)
        started.append(running)
        return running

    yield lambda: monkeypatch.setattr(importing, "start", held)
    for running in started:
        running.process.send_signal(signal.SIGCONT)


async def opened(pilot: Pilot[None], name: str | None = None) -> DatasetsScreen:
    app: Any = pilot.app
    await until(pilot, lambda: app.state.datasets is not None and isinstance(app.screen, DatasetsScreen))
    screen = app.screen
    if name is not None:
        await until(pilot, lambda: name in screen.query_one(FittedTable).shown)
        screen.query_one(FittedTable).go_to(name)
        await until(pilot, lambda: screen._info is not None and screen._info.name == name)
    return screen


async def dialog(pilot: Pilot[None], kind: type) -> Form:
    await until(pilot, lambda: isinstance(pilot.app.screen, kind) and pilot.app.focused)
    return pilot.app.screen.query_one(Form)


def gone(workspace: Workspace, name: str) -> bool:
    return workspace.database()["datasets"].find_one({"name": name}) is None


async def test_the_list_is_filtered_and_a_dataset_chosen(make_app: MakeApp, dataset: str) -> None:
    app = make_app(last=HERE)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(pilot, dataset)
        table = screen.query_one(FittedTable)
        await pilot.press("slash", *dataset[-6:])
        await until(pilot, lambda: table.shown == (dataset,))
        await until(pilot, lambda: dataset in screen_text(app))  # a name is shown as it is
        await pilot.press("enter")
        await until(pilot, lambda: app.focused is table)
        await pilot.press("enter")
        await until(pilot, lambda: app.state.scope == Scope(dataset))
        await until(pilot, lambda: f"● {dataset}" in screen_text(app))
        await pilot.press("o")
        await until(pilot, lambda: app.current_mode == "runs")


@pytest.mark.parametrize("size", [(80, 24), (120, 40)], ids=["80x24", "120x40"])
async def test_what_is_inside_is_shown(make_app: MakeApp, dataset: str, size: tuple[int, int]) -> None:
    app = make_app(last=HERE)
    async with app.run_test(size=size) as pilot:
        screen = await opened(pilot, dataset)
        if size[0] < 100:
            assert "animal" not in screen_text(app)
            await pilot.press("d")
        told = ("animal", "12 samples", "2 labels", dataset)  # the name also in the title
        await until(pilot, lambda: all(part in screen_text(app) for part in told))
        text = screen_text(app)
        assert "━" in next(line for line in text.splitlines() if "cat" in line and "8" in line)
        await until(pilot, lambda: "▄" in screen_text(app))
        if size[0] >= 100:
            assert "first three" in text
        else:
            await pilot.press("G")
            await until(pilot, lambda: "weight" in screen_text(app))
            await pilot.press("escape")
            assert app.current_mode == "datasets"
            await until(pilot, lambda: app.focused is screen.query_one(FittedTable))


async def test_a_late_answer_about_another_dataset_is_not_shown(make_app: MakeApp, dataset: str) -> None:
    app = make_app(last=HERE)
    async with app.run_test(size=(120, 40)) as pilot:
        screen = await opened(pilot, dataset)
        await until(pilot, lambda: dataset in screen._inside)
        mine = screen._inside[dataset]
        other = DatasetInfo("elsewhere", 999_999, "image", 0, True, None)
        late = Inside(other, type(mine.detail)(other, (), {"stale": {"x": 1}}, (), {}, (), (), ()), ())
        screen.post_message(DetailRead(late))
        await until(pilot, lambda: "elsewhere" in screen._inside)
        assert "999,999" not in screen_text(app) and "animal" in screen_text(app)


async def test_a_view_is_asked_for_whichever_reading_of_its_dataset_ends(
    make_app: MakeApp, dataset: str
) -> None:
    app = make_app(last=HERE)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, dataset)
        screen = app.screen
        assert isinstance(screen, DatasetsScreen) and screen._info is not None
        screen._inside.clear()
        screen.action_view()
        screen._load_detail(screen._info)  # as the cursor does, a moment after it came here
        await dialog(pilot, ChooseView)


async def test_views_of_patches_are_no_part_to_choose(
    make_app: MakeApp, dataset: str, workspace: Workspace
) -> None:
    made = workspace.fiftyone().load_dataset(dataset)
    made.save_view("heads", made.to_patches("parts"))
    app = make_app(last=HERE)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, dataset)
        await pilot.press("v")
        form = await dialog(pilot, ChooseView)
        assert [value for value, _ in form.choice("view")._options] == ["", "first three"]
        await until(pilot, lambda: form.current is form["view"])
        assert "Saved view heads is left out: it holds patches, not samples" in screen_text(app)


async def test_a_part_is_chosen_and_counted(make_app: MakeApp, dataset: str) -> None:
    app = make_app(last=HERE)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, dataset)
        await pilot.press("v")
        form = await dialog(pilot, ChooseView)
        await until(pilot, lambda: "12 of 12 samples" in screen_text(app))
        form.go_to("tags")
        await until(pilot, lambda: form.current is form["tags"])
        await pilot.press(*"nosuch")
        said = {"tags": "No sample is tagged nosuch; tags: train, val"}
        await until(pilot, lambda: form.wrong() == said)
        await pilot.press("ctrl+u", *"val, train")
        await until(pilot, lambda: form["tags"].value == "val, train")
        form.go_to("where")
        await until(pilot, lambda: form.current is form["where"])
        await pilot.press("right")
        await until(pilot, lambda: form["label"].display and form["label"].value == "cat")
        assert not form["value"].display
        await until(pilot, lambda: "8 of 12 samples" in screen_text(app))
        form.go_to("limit")
        await until(pilot, lambda: form.current is form["limit"])
        await pilot.press(*"5")
        await until(pilot, lambda: "5 of 12 samples" in screen_text(app))
        form.go_to("patches")
        await until(pilot, lambda: form.current is form["patches"])
        await pilot.press("right")
        await until(pilot, lambda: "10 patches of parts" in screen_text(app))
        await pilot.press("f5")
        wanted = Scope(dataset, "parts", None, ("val", "train"), (("animal", "cat"),), 5)
        await until(pilot, lambda: app.state.scope == wanted)

        await pilot.press("v")
        form = await dialog(pilot, ChooseView)
        assert form.values()["tags"] == "val, train" and form.values()["patches"] == "parts"


async def test_a_folder_is_imported_without_holding_up_the_screen(
    make_app: MakeApp,
    pictures: Path,
    unique_name: Callable[[str], str],
    hold_imports: Callable[[], None],
) -> None:
    app = make_app(last=HERE)
    name = unique_name("import")
    hold_imports()
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(pilot)
        await pilot.press("i")
        form = await dialog(pilot, ImportDataset)
        await pilot.press("ctrl+u", *str(pictures)[:-4])
        await until(pilot, lambda: form.wrong().get("directory") == "There is no such folder")
        await until(
            pilot, lambda: isinstance(app.focused, Input) and app.focused._suggestion == f"{pictures}/"
        )
        await pilot.press("right")
        await until(pilot, lambda: form["type"].value == "image-classification-directory-tree")
        assert form["name"].value == "My pictures"
        form["name"].put(name)
        await pilot.press("f5")
        await until(pilot, lambda: screen._import is not None)
        await until(pilot, lambda: f"Importing {name}" in screen_text(app))
        assert screen._import is not None
        screen._import.process.send_signal(signal.SIGCONT)
        await pilot.press("4")
        await until(pilot, lambda: app.current_mode == "jobs")
        await pilot.press("2")
        await until(pilot, lambda: name in screen.query_one(FittedTable).shown, timeout=60)
        await until(pilot, lambda: screen._info is not None and screen._info.name == name)
        assert screen._info is not None and screen._info.samples == 12
        await until(pilot, lambda: "Importing" not in screen_text(app))


async def test_an_import_that_fails_or_is_stopped_leaves_nothing(
    make_app: MakeApp,
    pictures: Path,
    workspace: Workspace,
    unique_name: Callable[[str], str],
    monkeypatch: pytest.MonkeyPatch,
    hold_imports: Callable[[], None],
) -> None:
    app = make_app(last=HERE)
    failures: list[str] = []
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(pilot)
        app.notify = lambda message, **_: failures.append(message)  # type: ignore[method-assign,assignment]
        name = unique_name("import")
        answers = {"directory": str(pictures), "name": name, "type": "coco"}
        screen._start_import(app.settings, answers)
        await until(pilot, lambda: any("cannot be imported as coco" in line for line in failures))
        assert screen._import is None

        hold_imports()
        screen._start_import(app.settings, answers | {"type": "image-directory"})
        await until(pilot, lambda: screen._import is not None)
        running = screen._import
        assert running is not None
        stopped = threading.Event()
        monkeypatch.setattr(running, "stop", lambda: (running.process.terminate(), stopped.set()))
        try:
            await pilot.press("i")
            await dialog_confirm(pilot)
            await pilot.press("y")
            await until(pilot, stopped.is_set)
        finally:
            running.process.send_signal(signal.SIGCONT)
        await until(pilot, lambda: screen._import is None, timeout=60)
        await until(pilot, lambda: any("was stopped" in line for line in failures))
    assert gone(workspace, name)


def test_an_import_whose_stop_was_lost_is_undone_at_its_end(
    pictures: Path, workspace: Workspace, unique_name: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python drops an exception that a signal raises inside a destructor: here the handler raises none."""
    name = unique_name("import")
    monkeypatch.setattr(importing, "_asked_to_stop", threading.Event())
    with contextlib.suppress(SystemExit):
        importing._stop(signal.SIGTERM, None)
    settings = replace(workspace.settings, protected=True)
    task = importing._Task(settings.to_json(), str(pictures), name, "image-directory")
    with pytest.raises(SystemExit):
        importing._import(task)
    assert gone(workspace, name)


async def dialog_confirm(pilot: Pilot[None]) -> None:
    await until(pilot, lambda: isinstance(pilot.app.screen, Confirm))


async def test_deleting_needs_the_name_and_tells_of_collections(
    make_app: MakeApp, dataset: str, workspace: Workspace
) -> None:
    _index(workspace, dataset)
    collection = _collection(workspace, dataset)
    app = make_app(last=HERE)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, dataset)
        await until(pilot, lambda: any(run.dataset == dataset for run in app.state.runs or ()))
        await pilot.press("D")
        form = await dialog(pilot, FormDialog)
        said = ("12 samples and 1 brain run", "drop 1 collection")
        await until(pilot, lambda: all(part in screen_text(app) for part in said))
        form.go_to("typed")
        await until(pilot, lambda: form.current is form["typed"])
        await pilot.press(*"pets", "f5")
        assert form.wrong() and not gone(workspace, dataset)
        form["typed"].put(dataset)
        form["collections"].put("drop")
        await pilot.press("f5")
        await until(pilot, lambda: gone(workspace, dataset))
        await until(pilot, lambda: dataset not in screen_text(app))
        assert not workspace.milvus().exists(collection)


def _index(workspace: Workspace, dataset: str) -> None:
    from tui.core.indexes import BuildSpec, Source, build
    from tui.core.models import BUILTIN

    build(workspace, BuildSpec(Scope(dataset), "key", Source(model=BUILTIN)))


def _collection(workspace: Workspace, dataset: str) -> str:
    from tui.core.runs import list_runs

    (run,) = list_runs(workspace, dataset)
    assert run.collection is not None and workspace.milvus().exists(run.collection)
    return run.collection


async def test_read_only_refuses(mongod: Mongod, milvus_lite: MilvusLite, dataset: str) -> None:
    app = Kitescope(settings_for(mongod, milvus_lite, readonly=True), last=HERE)
    told: list[str] = []
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(pilot, dataset)
        screen.tell = told.append  # type: ignore[method-assign]
        await pilot.press("D", "i")
        await until(pilot, lambda: told == ["This connection allows no changes."] * 2)


async def test_a_database_that_is_not_there_is_explained(milvus_lite: MilvusLite) -> None:
    flags = {"uri": milvus_lite.uri, "database_uri": f"mongodb://127.0.0.1:{free_port()}/"}
    app = Kitescope(resolve(flags=flags, env={}), last=HERE)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: app.state.database.status == "failed")
        await until(pilot, lambda: "Nobody listens" in screen_text(app))
        assert "r   tries again" in screen_text(app)


async def test_paths_are_completed(tmp_path: Path) -> None:
    for name in ("alpha", "alpine", ".hidden"):
        (tmp_path / name).mkdir()
    (tmp_path / "aaa.txt").touch()
    suggest = PathSuggester().get_suggestion
    assert await suggest(f"{tmp_path}/alpi") == f"{tmp_path}/alpine/"
    assert await suggest(f"{tmp_path}/") == f"{tmp_path}/alpha/"
    assert await suggest(f"{tmp_path}/.h") == f"{tmp_path}/.hidden/"
    assert await suggest(f"{tmp_path}/z") is None
    assert await suggest("alp") is None
    assert await suggest(f"{tmp_path}/nowhere/x") is None


def test_bars_fill_the_width_and_say_what_is_left_out() -> None:
    lines = bars({"a": 100, "b" * 40: 50, "[red]c": 1} | {str(n): 0 for n in range(20)}, 40, most=4).plain
    first, second, third, fourth, rest = lines.split("\n")
    assert {len(line) for line in (first, second, third, fourth)} == {40}
    assert first.count("━") == 2 * second.count("━") > 0
    assert "…" in second and third.startswith("[red]c") and "╸" in third
    assert "━" not in fourth and "╸" not in fourth
    assert rest == "and 19 more with 0"

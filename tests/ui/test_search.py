"""Search, driven by keys over real engines: the digits, their index, every way to ask and to narrow."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from textual.widgets import Input

from tests.conftest import settings_for
from tests.core.making import Made, make_index
from tests.engines.servers import MilvusLite, Mongod
from tests.ui.conftest import screen_text, told, until
from tui.app import Kitescope
from tui.core import runs as core_runs
from tui.core.demo import write_digits
from tui.core.documents.run_list import RunInfo
from tui.core.documents.scopes import Item
from tui.core.documents.selection import Scope
from tui.core.embedding import embed
from tui.core.errors import UnknownName
from tui.core.models import BUILTIN, load_model
from tui.core.querying import exact
from tui.core.workspace import Workspace
from tui.messages import SearchRequested
from tui.screens.asks import Ask, History, Narrowing, Step, parse
from tui.screens.search import SearchScreen
from tui.screens.search_view import facts as spoken_facts
from tui.widgets.detail import DetailPane
from tui.widgets.dialogs import Ask as AskDialog
from tui.widgets.pick import Pick
from tui.widgets.search_head import FactLines, QueryLine

MakeApp = Callable[..., Kitescope]
COUNT = 260
DATASET, KEY = "search-digits", "digits"


@pytest.fixture(scope="module")
def digits(
    mongod: Mongod, milvus_lite: MilvusLite, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, str]]:
    """A dataset of 260 digits with an index; answers the label of each id."""
    folder = tmp_path_factory.mktemp("digits")
    labels = write_digits(folder)[:COUNT]
    files = [str(file) for file in sorted(folder.glob("*.png"))[:COUNT]]
    with Workspace(settings_for(mongod, milvus_lite)) as ws:
        fo = ws.fiftyone()
        dataset = fo.Dataset(DATASET, persistent=True)
        dataset.add_samples(
            [
                fo.Sample(filepath=file, tags=["[red]odd" if int(label) % 2 else "even"],
                          ground_truth=fo.Classification(label=label, confidence=n / COUNT))
                for n, (file, label) in enumerate(zip(files, labels, strict=True))
            ],
            progress=False,
        )  # fmt: skip
        first = dataset.first()
        first["parts"] = fo.Detections(
            detections=[fo.Detection(label="[b]loop\x1b", bounding_box=[0.2, 0.4, 0.6, 0.4], confidence=0.75)]
        )
        first["note"] = "[i]read me"
        first.save()
        dataset.save_view("loops", dataset.to_patches("parts"))
        dataset.save_view("threes", dataset.match(fo.ViewField("ground_truth.label") == "3"))
        items = [Item(str(n), str(n), file) for n, file in enumerate(files)]
        vectors = [row for batch in embed(items, load_model(BUILTIN)) for row in batch.vectors]
        name = make_index(ws, Scope(DATASET), KEY, np.stack(vectors), source=Made(model=BUILTIN))
        yield dict(zip(*dataset.values(["id", "ground_truth.label"]), strict=True))
        dataset.delete()
        ws.milvus().drop(name)


def screen(app: Kitescope) -> SearchScreen:
    assert isinstance(app.screen, SearchScreen)
    return app.screen


def facts(app: Kitescope) -> Any:
    return screen(app).query_one(FactLines).facts


async def browsing(pilot: Any, app: Kitescope) -> SearchScreen:
    """Wait until the dataset is shown to start from."""
    await until(pilot, lambda: isinstance(app.screen, SearchScreen) and facts(app).title == "Browsing")
    await until(pilot, lambda: not facts(app).busy and screen(app).grid.current is not None)
    return screen(app)


async def asked(pilot: Any, app: Kitescope, title: str) -> list[str]:
    """Wait for the answer to a question; its labels."""
    await until(pilot, lambda: not facts(app).busy and facts(app).title.startswith(title))
    return [tile.label for tile in screen(app).grid.tiles if tile]


@pytest.mark.parametrize("size", [(80, 24), (200, 50)], ids=["80x24", "200x50"])
async def test_a_picture_finds_its_like_and_the_way_goes_on_and_back(
    make_app: MakeApp, digits: dict[str, str], size: tuple[int, int]
) -> None:
    app = make_app(search=(DATASET, KEY))
    async with app.run_test(size=size) as pilot:
        view = await browsing(pilot, app)
        assert len(view.grid.tiles) == COUNT and "260 samples" in screen_text(app)
        await until(pilot, lambda: view.grid.subjects())
        await until(pilot, lambda: all(view.grid.drawing(each) for each in view.grid.subjects()))
        await pilot.press("l", "l", "l", "enter")
        labels = await asked(pilot, app, "Similar to 3")
        first = view.grid.tiles[0]
        assert first and first.id == list(digits)[3] and first.score == "1.000"
        assert labels[:10].count("3") >= 8
        text = screen_text(app)
        assert "cosine similarity, higher is closer" in text and f"id:{first.id}" in text
        assert "1.000 3" in text
        await pilot.press("l", "enter")
        await until(pilot, lambda: facts(app).place == (3, 3) and not facts(app).busy)
        second = view.grid.tiles[0]
        assert second and second.id != first.id
        await pilot.press("left_square_bracket")
        await until(pilot, lambda: view.grid.tiles[0] == first)
        assert view.grid.cursor == 1 and facts(app).place == (2, 3)
        await pilot.press("left_square_bracket")
        await browsing(pilot, app)
        assert view.grid.cursor == 3
        await pilot.press("right_square_bracket", "right_square_bracket")
        await until(pilot, lambda: view.grid.tiles[0] == second)


async def test_several_marked_unlike_and_least(make_app: MakeApp, digits: dict[str, str]) -> None:
    app = make_app(search=(DATASET, KEY))
    async with app.run_test(size=(120, 40)) as pilot:
        view = await browsing(pilot, app)
        sevens = [n for n, label in enumerate(digits.values()) if label == "7"][:3]
        for place in sevens:
            view.grid.go_to(place)
            await pilot.press("space")
        await until(pilot, lambda: "● 3 marked" in screen_text(app))
        await pilot.press("m")
        labels = await asked(pilot, app, "Similar to the mean of 3")
        assert labels[:10].count("7") >= 9
        await pilot.press("L")
        labels = await asked(pilot, app, "Least similar to the mean of 3")
        scores = [float(tile.score) for tile in view.grid.tiles if tile]
        assert "7" not in labels[:10] and scores == sorted(scores)
        await pilot.press("escape")
        await until(pilot, lambda: not view.grid.marks)
        await pilot.press("x")
        await until(pilot, lambda: "unlike 1" in facts(app).title and not facts(app).busy)


async def test_a_long_look_for_the_least_similar_says_how_far_it_is(
    make_app: MakeApp, workspace: Workspace, digits: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = np.random.default_rng(2).normal(size=(COUNT, 4)).astype(np.float32)
    collection = make_index(workspace, Scope(DATASET), "far", rows, metric="euclidean")
    monkeypatch.setattr(exact, "PIECE", 100)
    fetch, may_go = exact._fetched, threading.Semaphore(1)

    def when_allowed(*args: Any) -> Any:
        """Real vectors are fetched in milliseconds: the look is held where its count can be read."""
        assert may_go.acquire(timeout=60)
        return fetch(*args)

    monkeypatch.setattr(exact, "_fetched", when_allowed)
    try:
        app = make_app(search=(DATASET, "far"))
        async with app.run_test(size=(120, 40)) as pilot:
            await browsing(pilot, app)
            await pilot.press("enter")
            await asked(pilot, app, "Similar to")
            await pilot.press("L")
            await until(pilot, lambda: "searching · 100 of 260" in screen_text(app))
            may_go.release()
            await until(pilot, lambda: "searching · 200 of 260" in screen_text(app))
            await pilot.press("escape")
            await until(pilot, lambda: "searching" not in screen_text(app))
            assert facts(app).title.startswith("Similar to")
            may_go.release(9)
    finally:
        may_go.release(9)
        core_runs.delete(workspace, DATASET, "far")
    assert not workspace.milvus().exists(collection)


async def test_narrowed_to_a_view_a_tag_and_a_label_and_everything_again(
    make_app: MakeApp, digits: dict[str, str]
) -> None:
    app = make_app(search=(DATASET, KEY))
    async with app.run_test(size=(100, 30)) as pilot:
        view = await browsing(pilot, app)

        async def narrow(words: str) -> None:
            await pilot.press("v")
            await until(pilot, lambda: isinstance(app.screen, Pick))
            app.screen.query_one(Input).value = words
            await pilot.pause()
            await pilot.press("enter")
            await until(pilot, lambda: isinstance(app.screen, SearchScreen) and not facts(app).busy)

        await narrow("view threes")
        await until(pilot, lambda: facts(app).narrowed == "view threes")
        threes = sum(label == "3" for label in digits.values())
        assert len(view.grid.tiles) == threes
        await pilot.press("enter")
        labels = await asked(pilot, app, "Similar to 3")
        assert labels == ["3"] * threes
        await pilot.press("V")
        await until(pilot, lambda: not facts(app).narrowed and len(view.grid.tiles) == 100)
        await narrow("tag [red]odd")
        await until(pilot, lambda: facts(app).narrowed == "#[red]odd")
        assert "only #[red]odd" in screen_text(app)
        assert all(int(digits[tile.id]) % 2 for tile in view.grid.tiles if tile)
        await narrow("ground_truth = 5")
        await until(pilot, lambda: facts(app).narrowed == "#[red]odd · ground_truth=5")
        assert {tile.label for tile in view.grid.tiles if tile} == {"5"}
        await narrow("ground_truth = 4")
        await until(pilot, lambda: "Nothing is in" in screen_text(app))
        await narrow("everything")
        await until(pilot, lambda: len(view.grid.tiles) == 100)


async def test_a_view_of_patches_is_not_offered_and_the_list_says_so(
    make_app: MakeApp, digits: dict[str, str]
) -> None:
    app = make_app(search=(DATASET, KEY))
    said = "Saved view loops is left out: it holds patches, not samples"
    async with app.run_test(size=(80, 24)) as pilot:
        await browsing(pilot, app)
        await pilot.press("v")
        await until(pilot, lambda: isinstance(app.screen, Pick) and "view   threes" in screen_text(app))
        assert "view   loops" not in screen_text(app) and said in screen_text(app)
        await pilot.press(*"loops")
        await until(pilot, lambda: "threes" not in screen_text(app))
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, SearchScreen) and f"{said}." in told(app))
        assert not facts(app).busy and not facts(app).narrowed


async def test_narrowed_to_the_marked_and_to_what_a_model_was_sure_of(
    make_app: MakeApp, digits: dict[str, str]
) -> None:
    app = make_app(search=(DATASET, KEY))
    ids = list(digits)
    async with app.run_test(size=(100, 30)) as pilot:
        view = await browsing(pilot, app)
        await pilot.press("space", "space", "space", "v")
        await until(pilot, lambda: isinstance(app.screen, Pick) and "the 3 marked" in screen_text(app))
        app.screen.query_one(Input).value = "marked"
        await pilot.pause()
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, SearchScreen) and facts(app).narrowed == "3 marked")
        assert [tile.id for tile in view.grid.tiles if tile] == ids[:3]
        await pilot.press("enter")
        await asked(pilot, app, "Similar to")
        assert {tile.id for tile in view.grid.tiles if tile} == set(ids[:3])
        await pilot.press("V")
        await until(pilot, lambda: not facts(app).narrowed and not facts(app).busy)
        await pilot.press("v")
        await until(pilot, lambda: isinstance(app.screen, Pick))
        app.screen.query_one(Input).value = "ground_truth.confidence"
        await pilot.pause()
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, AskDialog))
        app.screen.query_one(Input).value = "0.9"
        await pilot.press("enter")
        await until(pilot, lambda: facts(app).narrowed == "ground_truth.confidence>=0.9")
        sure = [id for n, id in enumerate(ids) if n / COUNT >= 0.9]
        await until(pilot, lambda: {tile.id for tile in view.grid.tiles if tile} == set(sure))


async def test_more_results_come_when_the_end_is_reached(make_app: MakeApp, digits: dict[str, str]) -> None:
    app = make_app(search=(DATASET, KEY))
    async with app.run_test(size=(80, 24)) as pilot:
        view = await browsing(pilot, app)
        await pilot.press("enter")
        await until(pilot, lambda: "100+ results" in facts(app).found)
        await pilot.press("M")
        await until(pilot, lambda: "200+ results" in facts(app).found)
        await pilot.press("G")
        await until(pilot, lambda: f"{COUNT} results" in facts(app).found)
        ids = [tile.id for tile in view.grid.tiles if tile]
        assert len(set(ids)) == COUNT and set(ids) == set(digits)


async def test_typed_questions_and_what_is_wrong_with_them(
    make_app: MakeApp, digits: dict[str, str], tmp_path: Path
) -> None:
    app = make_app(search=(DATASET, KEY))
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        view = await browsing(pilot, app)
        wanted = list(digits)[42]

        async def ask(line: str) -> None:
            await pilot.press("slash")
            await until(pilot, lambda: isinstance(app.focused, QueryLine))
            app.focused.value = line
            await pilot.press("enter")

        await ask(f"id:{wanted}")
        await until(pilot, lambda: view.grid.current is not None and view.grid.current.id == wanted)
        file = view._items[wanted].filepath
        await ask(f"file:{file}")
        await asked(pilot, app, f"Similar to {Path(file).name}")
        assert view.grid.current is not None and view.grid.current.id == wanted
        before = list(view.grid.tiles)
        await ask("a seven")
        await until(pilot, lambda: "takes no text" in screen_text(app))
        await ask("file:/nowhere.png")
        await until(pilot, lambda: "the file is missing" in screen_text(app))
        await ask("id:0123456789abcdef01234567")
        await until(pilot, lambda: "Not in index" in screen_text(app))
        await ask("id:")
        await until(pilot, lambda: "nothing after id:" in screen_text(app))
        assert view.grid.tiles == before and not facts(app).busy


async def test_escape_cancels_a_query_and_keeps_what_is_there(
    make_app: MakeApp, digits: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import threading

    from tui.core import search as core

    app = make_app(search=(DATASET, KEY))
    async with app.run_test(size=(80, 24)) as pilot:
        view = await browsing(pilot, app)
        gate, real = threading.Event(), core.search

        stopped: list[bool] = []

        def slow(*arguments: Any, **more: Any) -> Any:
            gate.wait(30)
            stopped.append(more["should_stop"]())
            return real(*arguments, **more)

        monkeypatch.setattr(core, "search", slow)
        await pilot.press("enter")
        await until(pilot, lambda: "searching  esc cancels" in screen_text(app))
        before = list(view.grid.tiles)
        await pilot.press("j", "escape")
        await until(pilot, lambda: not facts(app).busy)
        gate.set()
        await until(pilot, lambda: stopped == [True])
        await pilot.pause(0.3)
        assert app.current_mode == "search" and facts(app).title == "Browsing"
        assert view.grid.tiles == before and view.grid.cursor > 0


async def test_the_large_picture_beside_or_instead_of_the_grid(
    make_app: MakeApp, digits: dict[str, str]
) -> None:
    app = make_app(search=(DATASET, KEY))
    async with app.run_test(size=(80, 24)) as pilot:
        view = await browsing(pilot, app)
        pane = view.query_one(DetailPane)
        assert not pane.region.area and view.grid.region.area
        await pilot.press("enter")
        await asked(pilot, app, "Similar to 0")
        await pilot.press("d")
        await until(pilot, lambda: pane.region.width == 80 and not view.grid.region.area)
        text = screen_text(app)
        assert "1.000  (higher is closer)" in text and next(iter(digits)) in text
        await pilot.press("j")
        await until(pilot, lambda: view.grid.cursor == 1 and "rank 2" in " ".join(screen_text(app).split()))
        await pilot.press("escape")
        await until(pilot, lambda: view.grid.has_focus and view.grid.region.area)
        await pilot.resize_terminal(200, 50)
        await until(pilot, lambda: pane.region.width == 60 and view.grid.region.area)
        await pilot.press("d")
        await until(pilot, lambda: pane.region.width == 200 and not view.grid.region.area)
        await pilot.press("d")
        await until(pilot, lambda: not pane.region.area and view.grid.region.width == 200)
        await pilot.press("d")
        await until(pilot, lambda: pane.region.width == 60 and view.grid.has_focus)


@pytest.mark.parametrize("size", [(80, 24), (120, 34)], ids=["80x24", "120x34"])
async def test_labels_stand_on_the_large_picture_and_fields_beside_it(
    make_app: MakeApp, digits: dict[str, str], size: tuple[int, int]
) -> None:
    app = make_app(search=(DATASET, KEY))
    async with app.run_test(size=size) as pilot:
        await browsing(pilot, app)
        if size[0] == 80:
            await pilot.press("d")
        await until(pilot, lambda: screen_text(app).count("[b]loop␛ 0.75") == 2)
        text = screen_text(app)
        assert "parts" in text and "[i]read me" in text and "ground_truth: 0" in text
        await pilot.press("c")
        await until(pilot, lambda: screen_text(app).count("[b]loop␛ 0.75") == 1)
        await pilot.press("c", "j")
        await until(pilot, lambda: "[b]loop" not in screen_text(app))


async def test_a_sample_that_cannot_be_read_is_told_and_not_asked_for_again(
    make_app: MakeApp, digits: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from tui.core.documents import labels

    app, tried = make_app(search=(DATASET, KEY)), list[str]()

    def gone(_ws: Workspace, dataset: str, sample_id: str) -> Any:
        tried.append(sample_id)
        raise UnknownName(f"There is no dataset {dataset!r}")

    monkeypatch.setattr(labels, "sample_detail", gone)
    async with app.run_test(size=(120, 34), notifications=True) as pilot:
        view = await browsing(pilot, app)
        await until(pilot, lambda: "There is no dataset" in told(app))
        view._tell_detail()
        # What is not known is read soon; of this one it is known that it cannot be read.
        assert view._staying is None
        await pilot.press("l")
        await until(pilot, lambda: len(tried) > 1)
        assert tried == list(digits)[:2]


async def test_ids_and_paths_are_copied(make_app: MakeApp, digits: dict[str, str]) -> None:
    app = make_app(search=(DATASET, KEY))
    async with app.run_test(size=(80, 24)) as pilot:
        view = await browsing(pilot, app)
        await pilot.press("l", "y")
        await until(pilot, lambda: app.clipboard == list(digits)[1])
        await pilot.press("space", "space", "Y")
        paths = [view._items[id].filepath for id in sorted(list(digits)[1:3])]
        await until(pilot, lambda: app.clipboard == "\n".join(paths))


async def test_without_an_index_it_says_what_to_do_and_offers_those_there_are(
    make_app: MakeApp, digits: dict[str, str]
) -> None:
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("6")
        await until(pilot, lambda: "o chooses one" in screen_text(app))
        await pilot.press("o")
        await until(pilot, lambda: isinstance(app.screen, Pick))
        app.screen.query_one(Input).value = f"{DATASET} / {KEY}"
        await pilot.pause()
        await pilot.press("enter")
        await browsing(pilot, app)
        assert app.state.index == (DATASET, KEY) and app.state.dataset == DATASET


async def test_another_screen_brings_a_picture_to_search_by(
    make_app: MakeApp, digits: dict[str, str]
) -> None:
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: app.state.runs is not None)
        wanted = list(digits)[9]
        app.post_message(SearchRequested(DATASET, KEY, wanted))
        await until(pilot, lambda: isinstance(app.screen, SearchScreen))
        await asked(pilot, app, "Similar to")
        first = screen(app).grid.tiles[0]
        assert first and first.id == wanted


async def test_an_index_that_is_gone_says_so(make_app: MakeApp, digits: dict[str, str]) -> None:
    app = make_app(search=(DATASET, "no-such-key"))
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "o chooses another index" in screen_text(app))
        assert "no-such-key" in screen_text(app)


# -- the question, without a screen -------------------------------------------------------------
@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("a red car", Ask(text="a red car")),
        ("  id: a,b  c ", Ask(ids=("a", "b", "c"))),
        ("file:/x y.png", Ask(image="/x y.png")),
        ("vector:/v.npy", Ask(vector="/v.npy")),
        ("a car not:a,b", Ask(text="a car", not_ids=("a", "b"))),
        ("why not: a car", Ask(text="why not: a car")),
        ("not:a", Ask(not_ids=("a",))),
    ],
)
def test_a_line_is_read_and_written_back(line: str, expected: Ask) -> None:
    assert parse(line) == expected and parse(expected.line()) == expected


def test_the_head_says_what_may_be_missing_and_what_may_be_too_much() -> None:
    least = Step(Ask(ids=("a",), least=True), score="cosine similarity", approximate=True)
    assert "some may be missing" in spoken_facts(least, None, 5, 0, (1, 1), "").found
    least.approximate = False
    assert "missing" not in spoken_facts(least, None, 5, 0, (1, 1), "").found

    def browsed(made: Scope, narrowing: Narrowing) -> str:
        run = RunInfo("d", "k", "similarity", "milvus", scope=made)
        return spoken_facts(Step(Ask(narrowing=narrowing)), run, 5, 0, (1, 1), "").found

    limited, tagged = Scope("d", limit=9), Scope("d", tags=("a",))
    number, others = Narrowing(where=(("number", "3"),)), Narrowing(tags=("b",))
    for made, narrowing in ((limited, number), (tagged, others)):
        assert browsed(made, narrowing) == "5 samples, perhaps not all in the index"
    for made, narrowing in ((limited, Narrowing()), (tagged, number), (Scope("d"), others)):
        assert browsed(made, narrowing) == "5 samples"


def test_history_forgets_what_lay_ahead_and_does_not_repeat() -> None:
    history = History()
    for text in ("a", "b", "b", "c"):
        history.add(Step(Ask(text=text)))
    assert history.place == (3, 3)
    back = history.go(-1)
    assert back is not None and back.ask.text == "b" and history.go(-5) is None
    history.add(Step(Ask(text="d")))
    assert history.place == (3, 3) and history.go(1) is None

"""The Build screen: the form becomes a specification, the plan says why not, and f5 starts a job."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from textual.widgets import Input

from tests.conftest import settings_for
from tests.core.making import make_dataset, make_index, vectors
from tests.engines.servers import MilvusLite, Mongod
from tests.ui.conftest import screen_text, told, until
from tui.app import Kitescope
from tui.core.documents.selection import Scope
from tui.core.indexes import BuildSpec, Crop, IndexSpec, Source
from tui.core.workspace import Workspace
from tui.jobs.spec import job_spec
from tui.messages import Happened
from tui.preferences import Last
from tui.screens.build import BuildScreen
from tui.screens.model_picker import ModelPicker
from tui.state import ScopeChosen
from tui.widgets.build_form import BuildForm
from tui.widgets.dialogs import Confirm, Page
from tui.widgets.fitted import FittedTable

MakeApp = Callable[..., Kitescope]


@pytest.fixture
def dataset(workspace: Workspace, unique_name) -> Any:
    """Ten samples with boxes and a field of vectors, a saved view, and an index ``there``."""
    made = make_dataset(workspace, unique_name("build").replace("-", "_"))
    made.save_view("few", made.limit(4))
    make_index(workspace, Scope(made.name), "there", vectors(10))
    yield made
    for name in workspace.milvus().collections():
        if made.name in name:
            workspace.milvus().drop(name)
    workspace.fiftyone().delete_dataset(made.name)


def _opened(make_app: MakeApp, dataset: Any) -> Kitescope:
    return make_app(last=Last(screen="build", dataset=dataset.name))


def _screen(app: Kitescope) -> BuildScreen:
    screen = next(screen for screen in app.screen_stack if isinstance(screen, BuildScreen))
    assert isinstance(screen, BuildScreen)
    return screen


def _form(app: Kitescope) -> BuildForm:
    return _screen(app).query_one(BuildForm)


async def _ready(pilot, app: Kitescope) -> BuildForm:
    """Wait until the form knows the dataset and the first plan was made."""
    await until(pilot, lambda: isinstance(app.screen, BuildScreen))
    await until(pilot, lambda: "few" in dict(_form(app).choice("view")._options))
    await until(pilot, lambda: _screen(app)._reason() == "")
    return _form(app)


async def _type(pilot, app: Kitescope, key: str, text: str) -> None:
    _form(app).go_to(key)
    await until(pilot, lambda: _form(app).current is _form(app)[key])
    _form(app)[key].query_one(Input).value = text
    await until(pilot, lambda: _form(app)[key].value == text)


async def _choose(pilot, app: Kitescope, key: str, value: str) -> None:
    """Press right until the choice says so, as a user does."""
    field = _form(app)[key]
    _form(app).go_to(key)
    await until(pilot, lambda: _form(app).current is field)
    for _ in range(12):
        if (before := field.value) == value:
            return
        await pilot.press("right")
        # A second key before the first one counted would step over the wanted one.
        await until(pilot, lambda before=before: field.value != before)
    raise AssertionError(f"{key} has no {value}")


async def test_a_view_of_patches_is_not_offered(make_app: MakeApp, dataset: Any) -> None:
    dataset.save_view("boxes", dataset.to_patches("boxes"))
    app = _opened(make_app, dataset)
    async with app.run_test(size=(100, 40)) as pilot:
        await until(pilot, lambda: "few" in dict(_form(app).choice("view")._options))
        assert "boxes" not in dict(_form(app).choice("view")._options)
        _form(app).go_to("view")
        await until(pilot, lambda: "Saved view boxes is left out: it holds patches," in screen_text(app))


async def test_every_field_is_in_the_specification(make_app: MakeApp, dataset: Any):
    app = _opened(make_app, dataset)
    async with app.run_test(size=(80, 24)) as pilot:
        form = await _ready(pilot, app)
        for key, value in {
            "view": "few",
            "source": "model",
            "metric": "euclidean",
            "consistency": "Strong",
            "precision": "bf16",
            "decode": "reduced",
            "overwrite": "yes",
        }.items():
            await _choose(pilot, app, key, value)
        for key, value in {
            "tags": "train 'my tag'",
            "where": "ground_truth=odd 'text=a b'",
            "limit": "7",
            "model": "torchvision:resnet18",
            "key": "mine",
            "collection": "my_collection",
            "M": "24",
            "efConstruction": "200",
            "params": "ratio=0.5 kind=x",
            "batch_size": "8",
            "workers": "3",
            "device": "cpu",
        }.items():
            await _type(pilot, app, key, value)
        assert form.spec() == BuildSpec(
            Scope(
                dataset.name,
                view="few",
                tags=("train", "my tag"),
                where=(("ground_truth", "odd"), ("text", "a b")),
                limit=7,
            ),
            "mine",
            Source(model="torchvision:resnet18"),
            collection="my_collection",
            metric="euclidean",
            consistency_level="Strong",
            index=IndexSpec("HNSW", {"M": 24, "efConstruction": 200, "ratio": 0.5, "kind": "x"}),
            batch_size=8,
            workers=3,
            device="cpu",
            precision="bf16",
            decode="reduced",
            overwrite=True,
        )
        await pilot.press("f8")
        await until(pilot, lambda: form.spec() == BuildSpec(Scope(dataset.name), "descriptor", index=_HNSW))


_HNSW = IndexSpec("HNSW", {"M": 16, "efConstruction": 100})


async def test_fields_follow_the_source_the_patches_and_the_index_type(
    make_app: MakeApp, dataset: Any, tmp_path
):
    np.save(tmp_path / "v.npy", vectors(10))
    app = _opened(make_app, dataset)
    async with app.run_test(size=(120, 40)) as pilot:
        form = await _ready(pilot, app)

        def shown() -> set[str]:
            return {key for key, field in form.fields.items() if field.display}

        assert "model" not in shown() and "device" not in shown() and "field" not in shown()
        await _choose(pilot, app, "source", "field")
        assert form.spec().source == Source(embeddings_field="emb") and form["key"].value == "emb"
        assert "workers" not in shown()
        await _choose(pilot, app, "patches", "boxes")
        await until(pilot, lambda: "no such field of vectors" in _screen(app)._reason())
        await _choose(pilot, app, "source", "built-in")
        await _type(pilot, app, "alpha", "0.1")
        await _choose(pilot, app, "square", "yes")
        assert form.spec().crop == Crop(0.1, True)
        await _choose(pilot, app, "patches", "")
        assert not {"alpha", "square"} & shown() and form.spec().crop == Crop()
        await _choose(pilot, app, "source", "file")
        assert {"embeddings", "ids"} <= shown()
        await _type(pilot, app, "embeddings", str(tmp_path / "none.npy"))
        assert form.wrong() == {"embeddings": "There is no such file"}
        await _type(pilot, app, "embeddings", str(tmp_path / "v.npy"))
        await _type(pilot, app, "made_by", "clip-vit-base32-torch")
        await until(pilot, lambda: "and these have 8" in _screen(app)._reason())
        await _type(pilot, app, "made_by", "my_models:clip")
        assert form.spec().source == Source("my_models:clip", embeddings=str(tmp_path / "v.npy"))
        await until(pilot, lambda: _screen(app)._reason() == "")
        assert _screen(app)._planned.outlook.plan.dim == 8
        await _choose(pilot, app, "type", "IVF_FLAT")
        assert "nlist" in shown() and "M" not in shown()
        await _choose(pilot, app, "type", "FLAT")
        assert not {"nlist", "M", "params"} & shown() and form.index() == IndexSpec("FLAT", {})


async def test_slices_of_a_grouped_dataset_are_chosen(make_app: MakeApp, workspace: Workspace, unique_name):
    fo = workspace.fiftyone()
    grouped = fo.Dataset(unique_name("slices"), persistent=True)
    grouped.add_group_field("group", default="left")
    group = fo.Group()
    files = {"left": "/l.png", "right": "/r.png"}
    grouped.add_samples([fo.Sample(filepath=file, group=group.element(name)) for name, file in files.items()])
    app = _opened(make_app, grouped)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: isinstance(app.screen, BuildScreen))
        form = _form(app)
        await until(pilot, lambda: form["slices"].display and "is grouped" in _screen(app)._reason())
        await _type(pilot, app, "slices", "right")
        await until(pilot, lambda: _screen(app)._reason() == "")
        assert form.spec().scope == Scope(grouped.name, slices=("right",))
        assert _screen(app)._planned.outlook.plan.vectors == 1
    fo.delete_dataset(grouped.name)


@pytest.mark.parametrize("size", [(80, 24), (200, 50)], ids=["80x24", "200x50"])
async def test_every_field_and_the_plan_can_be_reached(make_app: MakeApp, dataset: Any, size):
    app = _opened(make_app, dataset)
    async with app.run_test(size=size) as pilot:
        form = await _ready(pilot, app)
        await _choose(pilot, app, "source", "model")
        await _type(pilot, app, "model", "torchvision:resnet18")
        form.go_to("dataset")
        seen = []
        for field in [field for field in form.fields.values() if field.display]:
            await until(pilot, lambda field=field: form.current is field)
            await until(pilot, lambda field=field: field.label in screen_text(app))
            # What explains a field must not be cut off.
            assert len(field.hint) <= 76, field.hint
            seen.append(field.key)
            await pilot.press("down")
        assert len(seen) == 22
        await until(pilot, lambda: _screen(app)._reason() == "")
        assert "10 vectors" in screen_text(app) or "10 of" in screen_text(app)
        await pilot.press("f6")
        await until(pilot, lambda: isinstance(app.screen, Page))
        assert "dimension   512" in app.screen.body and f"kitescope_{dataset.name}" in app.screen.body


async def test_a_taken_key_is_refused_with_the_ways_out_and_overwriting_needs_the_name(
    make_app: MakeApp, dataset: Any
):
    app = _opened(make_app, dataset)
    async with app.run_test(size=(80, 24)) as pilot:
        await _ready(pilot, app)
        await _type(pilot, app, "key", "there")
        reason = _screen(app)._reason()
        assert "another key" in reason and "Overwrite" in reason and "sync" in reason
        await pilot.press("f5")
        await until(pilot, lambda: "another key" in told(app))
        assert not app.state.jobs
        await _choose(pilot, app, "overwrite", "yes")
        await until(pilot, lambda: _screen(app)._reason() == "")
        await pilot.press("f5")
        await until(pilot, lambda: isinstance(app.screen, Confirm))
        assert f"k_{dataset.name}_there" in screen_text(app)
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, BuildScreen))
        assert not app.state.jobs


async def test_what_core_says_against_it_is_the_reason(make_app: MakeApp, dataset: Any, tmp_path: Path):
    np.save(tmp_path / "short.npy", vectors(3))
    app = _opened(make_app, dataset)
    async with app.run_test(size=(80, 24)) as pilot:
        await _ready(pilot, app)
        await _choose(pilot, app, "source", "file")
        await _type(pilot, app, "embeddings", str(tmp_path / "short.npy"))
        await until(pilot, lambda: "has 3 rows for 10 items" in _screen(app)._reason())
        await pilot.press("f5")
        await until(pilot, lambda: "3 rows" in told(app))
        assert not app.state.jobs


async def test_the_part_chosen_elsewhere_is_taken_over(make_app: MakeApp, dataset: Any):
    scope = Scope(dataset.name, view="few", tags=("val",), where=(("ground_truth", "even"),), limit=3)
    app = _opened(make_app, dataset)
    async with app.run_test(size=(80, 24)) as pilot:
        form = await _ready(pilot, app)
        app.post_message(Happened(ScopeChosen(scope)))
        await until(pilot, lambda: form.spec().scope == scope)
        await until(pilot, lambda: _screen(app)._reason() == "")
        assert _screen(app)._planned.outlook.plan.vectors == 2


async def test_the_model_list_narrows_and_takes_the_users_own(make_app: MakeApp, dataset: Any):
    app = _opened(make_app, dataset)
    async with app.run_test(size=(80, 24)) as pilot:
        form = await _ready(pilot, app)
        await pilot.press("f4")
        await until(pilot, lambda: isinstance(app.screen, ModelPicker))
        table = app.screen.query_one("#models", FittedTable)
        await until(pilot, lambda: table.total > 50 and "✓ disk" in screen_text(app))
        await pilot.press(*"text clip-vit")
        await until(pilot, lambda: 0 < len(table.shown) < 5 and "✓ text" in screen_text(app))
        await pilot.press("enter")
        await until(pilot, lambda: form["model"].value == "clip-vit-base32-torch")
        assert form["source"].value == "model"
        await pilot.press("f4")
        await until(pilot, lambda: isinstance(app.screen, ModelPicker) and app.focused)
        await until(pilot, lambda: app.screen.query_one("#models", FittedTable).total > 50)
        await pilot.press(*"my_models:net")
        await until(pilot, lambda: not app.screen.query_one("#models", FittedTable).shown)
        await pilot.press("enter")
        await until(pilot, lambda: form["model"].value == "my_models:net")


async def test_defaults_come_from_the_settings(mongod: Mongod, milvus_lite: MilvusLite, dataset: Any):
    from dataclasses import replace

    from tui.core.settings import Value

    settings = settings_for(mongod, milvus_lite)
    chosen = {"collection_name": "ours", "metric": "dotproduct", "consistency_level": "Bounded"}
    defaults = {name: Value(value, "brain_config.json") for name, value in chosen.items()}
    app = Kitescope(replace(settings, defaults=defaults), last=Last(screen="build", dataset=dataset.name))
    async with app.run_test(size=(80, 24)) as pilot:
        spec = (await _ready(pilot, app)).spec()
        assert (spec.collection, spec.metric, spec.consistency_level) == tuple(chosen.values())


async def test_a_default_that_does_not_exist_is_said_until_another_is_chosen(
    mongod: Mongod, milvus_lite: MilvusLite, dataset: Any
):
    from dataclasses import replace

    from tui.core.settings import Value

    settings = settings_for(mongod, milvus_lite)
    defaults = {**settings.defaults, "metric": Value("cosin", "brain_config.json")}
    app = Kitescope(replace(settings, defaults=defaults), last=Last(screen="build", dataset=dataset.name))
    async with app.run_test(size=(120, 34)) as pilot:
        await until(pilot, lambda: "Metric: brain_config.json says 'cosin'" in screen_text(app))
        form = _form(app)
        await pilot.press("f5")
        await until(pilot, lambda: form.current is form["metric"])
        await pilot.press("right")
        await until(pilot, lambda: "does not exist" not in screen_text(app))
        assert form["metric"].value == "cosine"


async def test_f5_starts_a_job_with_the_specification_and_shows_it(
    make_app: MakeApp, dataset: Any, monkeypatch
):
    from tui.jobs import supervisor
    from tui.jobs.store import JobStore

    started = []
    monkeypatch.setattr(
        supervisor, "start", lambda spec, settings: started.append(JobStore().create(spec)) or started[-1]
    )
    app = _opened(make_app, dataset)
    async with app.run_test(size=(80, 24)) as pilot:
        form = await _ready(pilot, app)
        await _choose(pilot, app, "source", "field")
        spec = form.spec()
        # Before the plan for this is made: it starts as soon as that is known to work.
        await pilot.press("f5")
        await until(pilot, lambda: app.current_mode == "jobs")
        await until(pilot, lambda: f"{dataset.name} / emb" in screen_text(app))
        assert [job.spec() for job in started] == [job_spec("build", dataset.name, "emb", app.settings, spec)]
        await pilot.press("3")
        await until(pilot, lambda: app.current_mode == "build")
        await until(pilot, lambda: form["key"].value == "emb_2")


async def test_escape_leaves_a_line_of_text_first(make_app: MakeApp, dataset: Any):
    app = _opened(make_app, dataset)
    async with app.run_test(size=(80, 24)) as pilot:
        form = await _ready(pilot, app)
        form.go_to("key")
        await until(pilot, lambda: form.current is form["key"])
        await pilot.press("escape")
        await until(pilot, lambda: app.focused is None)
        assert app.current_mode == "build"
        await pilot.press("e")
        await until(pilot, lambda: form.current is form["key"])
        await pilot.press("escape")
        await until(pilot, lambda: app.focused is None)
        await pilot.press("5")
        await until(pilot, lambda: app.current_mode == "runs")

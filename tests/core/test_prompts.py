"""Words find pictures: a model that knows text, its index, a restart, stock FiftyOne on the same index."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.cli.program import Cli
from tests.core import prompt_model
from tests.core.making import python
from tests.core.pictures import PictureItem
from tests.engines.servers import Mongod
from tui.core import indexes
from tui.core.demo import write_digits
from tui.core.embedding import embed, embed_image
from tui.core.errors import InvalidInput
from tui.core.indexes import BuildSpec, Scope, Source
from tui.core.models import list_models, load_model, model_info
from tui.core.runs import get_run
from tui.core.search import Query, search
from tui.core.vision import catalog
from tui.core.vision.images import open_image
from tui.core.workspace import Workspace

ROOT = Path(__file__).parents[2]

STOCK = """
import json, sys
import fiftyone as fo
name, *words = sys.argv[1:]
dataset = fo.load_dataset(name)
assert dataset.get_brain_info("words").config.supports_prompts
found = [dataset.sort_by_similarity(word, k=10, brain_key="words").values("id") for word in words]
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prompt_model.train(tmp_path_factory.mktemp("clip"))


@pytest.fixture
def zoo(manifest: Path, monkeypatch: pytest.MonkeyPatch, workspace: Workspace) -> Path:
    """The model belongs to the zoo, for this process and its children."""
    monkeypatch.setenv("FIFTYONE_MODEL_ZOO_MANIFEST_PATHS", str(manifest))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setattr(workspace.fiftyone().config, "model_zoo_manifest_paths", [str(manifest)])
    return manifest


@pytest.fixture
def digits(workspace: Workspace, unique_name: Callable[..., str], tmp_path: Path) -> Iterator[Any]:
    fiftyone = workspace.fiftyone()
    labels = write_digits(tmp_path)[:300]
    dataset = fiftyone.Dataset(unique_name("words"), persistent=True)
    files = sorted(tmp_path.glob("*.png"))
    dataset.add_samples(
        [
            fiftyone.Sample(filepath=str(file), ground_truth=fiftyone.Classification(label=label))
            for file, label in zip(files, labels, strict=False)
        ],
        progress=False,
    )
    yield dataset
    dataset.delete()


def test_a_model_of_the_users_own_manifest_is_in_the_list(zoo: Path) -> None:
    info = model_info(prompt_model.NAME)
    assert info in list_models() and info.source == "fiftyone-zoo" and info.supports_prompts


def test_a_zoo_model_that_needs_no_hub_is_loaded_without_its_library(
    zoo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = catalog.installed
    monkeypatch.setattr(catalog, "installed", lambda name: name != "huggingface_hub" and known(name))
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    assert load_model(prompt_model.NAME, device="cpu").supports_prompts


def test_words_find_their_digit_after_a_restart_here_and_in_stock_fiftyone(
    workspace: Workspace, engine_environment: dict[str, str], mongod: Mongod, digits: Any, zoo: Path
) -> None:
    spec = BuildSpec(Scope(digits.name), "words", Source(model=prompt_model.NAME))
    assert indexes.build(workspace, spec).vectors == 300
    run = get_run(workspace, digits.name, "words")
    assert run is not None and run.supports_prompts and run.model == prompt_model.NAME
    _words_find_their_digits(digits, mongod, engine_environment)


@pytest.mark.parametrize("kind", ["field", "file"])
def test_words_find_vectors_that_came_from_elsewhere_when_their_model_is_named(
    workspace: Workspace, engine_environment: dict[str, str], mongod: Mongod, digits: Any, zoo: Path,
    tmp_path: Path, kind: str,
) -> None:  # fmt: skip
    items = [PictureItem(id, path) for id, path in zip(*digits.values(["id", "filepath"]), strict=True)]
    vectors = np.concatenate([batch.vectors for batch in embed(items, load_model(prompt_model.NAME))])
    digits.set_values("emb", list(vectors))
    np.save(tmp_path / "emb.npy", vectors)
    source = Source(prompt_model.NAME, "emb") if kind == "field" else _file_source(tmp_path / "emb.npy")
    spec = BuildSpec(Scope(digits.name), "words", source)
    assert indexes.build(workspace, spec).vectors == 300
    run = get_run(workspace, digits.name, "words")
    assert run is not None and run.supports_prompts and run.model == prompt_model.NAME
    _words_find_their_digits(digits, mongod, engine_environment)
    # What came later has no vector there, and the model that is named can make it.
    (new,) = digits.add_samples([workspace.fiftyone().Sample(filepath=items[0].filepath)], progress=False)
    assert indexes.sync(workspace, digits.name, "words").added == 1
    _, rows = workspace.milvus().vectors(run.collection or "", [new])
    assert np.allclose(rows[0], vectors[0], atol=1e-4)


def _file_source(path: Path) -> Source:
    return Source(prompt_model.NAME, embeddings=str(path))


def test_vectors_that_the_named_model_cannot_have_made_are_refused(
    workspace: Workspace, digits: Any, tmp_path: Path
) -> None:
    before = workspace.milvus().collections()
    np.save(tmp_path / "seven.npy", np.ones((300, 7), np.float32))
    for model in ("clip-vit-base32-torch", "tests.core.user_models:no_torch"):
        spec = BuildSpec(Scope(digits.name), "k", Source(model, embeddings=str(tmp_path / "seven.npy")))
        with pytest.raises(InvalidInput, match=r"of \d+ numbers, and these have 7"):
            indexes.build(workspace, spec)
    assert workspace.milvus().collections() == before and get_run(workspace, digits.name, "k") is None


@pytest.mark.parametrize("beside", [True, False])
def test_a_users_own_model_is_known_to_take_text_once_it_was_loaded(
    workspace: Workspace, digits: Any, tmp_path: Path, beside: bool
) -> None:
    np.save(tmp_path / "three.npy", np.random.default_rng(0).random((300, 3), np.float32))
    vectors = {"embeddings": str(tmp_path / "three.npy")} if beside else {}
    source = Source("tests.core.user_models:no_torch", **vectors)
    indexes.build(workspace, BuildSpec(Scope(digits.name), "own", source))
    run = get_run(workspace, digits.name, "own")
    assert run is not None and run.supports_prompts
    assert len(search(workspace, Query(digits.name, "own", text="something red", k=3)).hits) == 3


def _words_find_their_digits(digits: Any, mongod: Mongod, environment: dict[str, str]) -> None:
    """By the program, and by stock FiftyOne's one line, in processes that know nothing of the build."""
    labels = dict(zip(*digits.values(["id", "ground_truth.label"]), strict=True))
    arguments = ("search", digits.name, "words", "--text", "seven", "-k", "10", "--json")
    ours = [hit["id"] for hit in Cli({**os.environ, **environment})(*arguments).json["hits"]]
    stock = json.loads(
        python(STOCK, mongod.uri, digits.name, "seven", "zero", **environment).splitlines()[-1]
    )
    assert ours == stock[0]
    for digit, ids in (("7", ours), ("0", stock[1])):
        found = [labels[one] for one in ids]
        assert len(found) == 10 and found.count(digit) >= 9, (digit, found)


def test_pictures_and_words_are_embedded_as_stock_does(zoo: Path, digits: Any) -> None:
    import fiftyone.zoo as foz

    stock = foz.load_zoo_model(prompt_model.NAME, cache=False)
    ours = load_model(prompt_model.NAME)
    assert np.allclose(ours.embed_text("a seven"), stock.embed_prompt("a seven"), atol=1e-6)
    with stock:
        meant = stock.embed(open_image(digits.first().filepath))
    assert np.allclose(embed_image(digits.first().filepath, ours), meant, atol=1e-4)

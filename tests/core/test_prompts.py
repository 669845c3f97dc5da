"""Words find pictures: a model that knows text, its index, a restart, stock FiftyOne on the same index."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.core import prompt_model
from tests.core.making import python
from tests.engines.servers import MilvusLite, Mongod
from tui.core import indexes
from tui.core.demo import write_digits
from tui.core.embedding import embed_image
from tui.core.indexes import BuildSpec, Scope, Source
from tui.core.models import list_models, load_model, model_info
from tui.core.runs import get_run
from tui.core.vision.images import open_image
from tui.core.workspace import Workspace

ROOT = Path(__file__).parents[2]

OURS = """
import json, os, sys
from tui.core.search import Query, search
from tui.core.settings import resolve
from tui.core.workspace import Workspace
dataset, uri, *words = sys.argv[1:]
settings = resolve(flags={"uri": uri, "database_uri": os.environ["FIFTYONE_DATABASE_URI"]}, env={})
with Workspace(settings) as ws:
    found = [search(ws, Query(dataset, "words", text=word, k=10)).hits for word in words]
    print(json.dumps([[hit.id for hit in hits] for hits in found]))
"""

STOCK = """
import json, sys
import fiftyone as fo
name, uri, *words = sys.argv[1:]
dataset = fo.load_dataset(name)
index = dataset.load_brain_results("words", uri=uri)
assert index.config.supports_prompts
print(json.dumps([index.sort_by_similarity(word, k=10).values("id") for word in words]))
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


def test_words_find_their_digit_after_a_restart_here_and_in_stock_fiftyone(
    workspace: Workspace, milvus_lite: MilvusLite, mongod: Mongod, digits: Any, zoo: Path
) -> None:
    spec = BuildSpec(Scope(digits.name), "words", Source(model=prompt_model.NAME))
    assert indexes.build(workspace, spec).vectors == 300
    run = get_run(workspace, digits.name, "words")
    assert run is not None and run.supports_prompts and run.model == prompt_model.NAME
    labels = dict(zip(*digits.values(["id", "ground_truth.label"]), strict=True))
    for code in (OURS, STOCK):
        out = python(code, mongod.uri, digits.name, milvus_lite.uri, "seven", "zero")
        for digit, ids in zip("70", json.loads(out.splitlines()[-1]), strict=True):
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

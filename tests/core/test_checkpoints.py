"""Hugging Face and OpenCLIP checkpoints through FiftyOne's loaders, and names that survive a restart."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.core import tiny_models, user_models
from tests.core.making import python
from tests.core.pictures import PictureItem, photo
from tests.engines.servers import MilvusLite, Mongod
from tui.core import indexes
from tui.core.embedding import embed
from tui.core.errors import InvalidInput, KitescopeError
from tui.core.indexes import BuildSpec, Scope, Source
from tui.core.models import absolute, certain_info, load_model, model_info
from tui.core.runs import get_run
from tui.core.vision import naming
from tui.core.workspace import Workspace

# One process for both, because importing what these models need takes longer than all the rest.
RESTARTED = """
import json, os, sys
from tui.core.search import Query, search
from tui.core.settings import resolve
from tui.core.workspace import Workspace
name, uri, *keys = sys.argv[1:]
settings = resolve(flags={"uri": uri, "database_uri": os.environ["FIFTYONE_DATABASE_URI"]}, env={})
with Workspace(settings) as ws:
    found = [search(ws, Query(name, key, text="seven", k=5)).hits for key in keys]
    ours = [[hit.id for hit in hits] for hits in found]
    dataset = ws.fiftyone().load_dataset(name)
    indexes = [dataset.load_brain_results(key, uri=uri) for key in keys]
    assert all(index.config.supports_prompts for index in indexes)
    stock = [index.sort_by_similarity("seven", k=5).values("id") for index in indexes]
    print(json.dumps([ours, stock]))
"""


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A model of each kind, in a folder of its own."""
    folder = tmp_path_factory.mktemp("checkpoints")
    return {
        "clip": f"huggingface:{tiny_models.hugging_face_clip(folder / 'clip')}",
        "plain": f"huggingface:{tiny_models.hugging_face_plain(folder / 'plain')}",
        "openclip": f"openclip:{tiny_models.open_clip(folder / 'openclip')}",
    }


@pytest.fixture
def photos(tmp_path: Path) -> list[PictureItem]:
    for number in range(8):
        photo(number, (90 + 7 * number, 80)).save(tmp_path / f"{number}.jpg", quality=90)
    return [PictureItem(str(number), str(tmp_path / f"{number}.jpg")) for number in range(8)]


@pytest.mark.parametrize(
    ("kind", "dim", "text"), [("clip", 16, True), ("plain", 32, False), ("openclip", 16, True)]
)
def test_a_folder_gives_the_vectors_that_fiftyone_gives(
    names: dict[str, str], photos: list[PictureItem], workspace: Workspace, kind: str, dim: int, text: bool
) -> None:
    import fiftyone.zoo as foz
    from PIL import Image

    name = names[kind]
    workspace.fiftyone()
    info = certain_info(name)
    assert (info.dim, info.supports_prompts, info.downloaded) == (dim, text, True)
    assert model_info(name).supports_prompts == text and model_info(name).dim in (dim, None)
    loader, arguments = naming.in_fiftyone(name)
    stock, ours = foz.load_zoo_model(loader, cache=False, **(arguments or {})), load_model(name)
    with stock:
        meant = np.stack([stock.embed(Image.open(item.filepath).convert("RGB")) for item in photos])
        words = stock.embed_prompt("seven") if text else None
    made = np.concatenate([batch.vectors for batch in embed(photos, ours, batch_size=3)])
    assert np.allclose(made, meant, atol=1e-4)
    if text:
        assert np.allclose(ours.embed_text("seven"), words, atol=1e-5)
    else:
        with pytest.raises(InvalidInput, match="knows no text"):
            ours.embed_text("seven")


@pytest.mark.parametrize("kind", ["clip", "plain", "openclip"])
def test_a_lower_precision_is_near(names: dict[str, str], photos: list[PictureItem], kind: str) -> None:
    """FiftyOne's code makes arrays of what a model says, and numpy has no bf16."""
    exact, near = (load_model(names[kind], device="cpu", precision=one) for one in ("fp32", "bf16"))

    def cosine(one: Any, other: Any) -> Any:
        return (one * other).sum(-1) / np.linalg.norm(one, axis=-1) / np.linalg.norm(other, axis=-1)

    meant, made = (np.concatenate([one.vectors for one in embed(photos, model)]) for model in (exact, near))
    assert made.dtype == np.float32 and cosine(meant, made).min() > 0.999
    if exact.supports_prompts:
        words = near.embed_text("seven")
        assert words.dtype == np.float32 and cosine(exact.embed_text("seven"), words) > 0.999


def test_words_are_searched_after_a_restart_here_and_in_stock_fiftyone(
    names: dict[str, str],
    photos: list[PictureItem],
    workspace: Workspace,
    milvus_lite: MilvusLite,
    mongod: Mongod,
    unique_name: Callable[..., str],
) -> None:
    fiftyone = workspace.fiftyone()
    dataset = fiftyone.Dataset(unique_name("clips"), persistent=True)
    dataset.add_samples([fiftyone.Sample(filepath=item.filepath) for item in photos], progress=False)
    keys = ("clip", "openclip")
    for key in keys:
        indexes.build(workspace, BuildSpec(Scope(dataset.name), key, Source(names[key])))
        run = get_run(workspace, dataset.name, key)
        assert run is not None and run.supports_prompts and run.model == names[key]
    out = python(RESTARTED, mongod.uri, dataset.name, milvus_lite.uri, *keys)
    ours, stock = json.loads(out.splitlines()[-1])
    assert ours == stock and [len(found) for found in ours] == [5, 5]
    dataset.delete()


# -- names --------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "name",
    ["huggingface:openai/clip", "openclip:/a/b", "openclip:RN50", "openclip:RN50@openai",
     "openclip:RN50@/w.pt", "clip-vit-base32-torch", "torchvision:resnet18", "m:f@/x"],
)  # fmt: skip
def test_a_name_comes_back_from_fiftyones_words(name: str) -> None:
    assert naming.from_fiftyone(*naming.in_fiftyone(name)) == name


def test_arguments_that_are_not_ours_leave_the_zoos_name() -> None:
    words = {"text_prompt": "A photo of"}
    assert naming.from_fiftyone("clip-vit-base32-torch", words) == "clip-vit-base32-torch"
    assert naming.from_fiftyone("open-clip-torch", words) == "open-clip-torch"
    assert naming.from_fiftyone(None, None) is None


def test_names_are_made_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "w.pt").touch()
    (tmp_path / "mine_here.py").touch()
    here = str(tmp_path.resolve())
    for name, whole in {
        "huggingface:folder": f"huggingface:{here}/folder",
        "huggingface:openai/clip": "huggingface:openai/clip",
        "openclip:folder": f"openclip:{here}/folder",
        "openclip:RN50@w.pt": f"openclip:RN50@{here}/w.pt",
        "openclip:RN50@openai": "openclip:RN50@openai",
        "torchvision:resnet18@./w.pt": f"torchvision:resnet18@{here}/w.pt",
        "torchvision:resnet18": "torchvision:resnet18",
        "mine_here.py:make": f"{here}/mine_here.py:make",
        "mine_here:make": f"mine_here:make@{here}",
        "no_such_module_here:make": "no_such_module_here:make",
        "torchvision.models:resnet18": "torchvision.models:resnet18",
        "json:loads": "json:loads",
        "clip-vit-base32-torch": "clip-vit-base32-torch",
    }.items():
        assert absolute(name) == whole == absolute(whole)


def test_a_users_module_is_found_again_from_another_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "__init__.py").touch()
    (tmp_path / "package" / "of_mine.py").write_text(Path(user_models.__file__).read_text())
    monkeypatch.chdir(tmp_path)
    name = absolute("package.of_mine:module")
    monkeypatch.chdir("/")
    monkeypatch.setattr(sys, "path", list(sys.path))
    assert load_model(name).dim == 48


# -- what is not there --------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("huggingface:/no/such/folder", "no config.json"),
        ("openclip:/no/such/folder", "no open_clip_config.json"),
        ("openclip:ViT-B-32@/no/such.pt", "no checkpoint"),
        ("openclip:ViT-B-33@openai", "no architecture 'ViT-B-33'"),
        ("openclip:ViT-B-32@nobody", "no weights for ViT-B-32 named 'nobody'"),
        ("huggingface:openai/clip-vit-base-patch32", "cannot be reached"),
        ("openclip:ViT-B-32", "cannot be reached"),
        # Their libraries would try each file for half a minute.
        ("open-clip-torch", "cannot be reached"),
        ("classification-transformer-torch", "cannot be reached"),
    ],
)
def test_what_is_not_there_is_said_at_once(name: str, word: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    asked: list[object] = []

    def no_network(host: object, *_: object, **__: object) -> None:
        asked.append(host)
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", no_network)
    with pytest.raises(KitescopeError, match=word) as caught:
        load_model(name)
    assert caught.value.remedy and asked.count("huggingface.co") <= 1


@pytest.mark.parametrize("name", ["huggingface:openai/clip", "siglip-base-patch16-224-torch"])
def test_packages_that_are_missing_are_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tui.core.vision.catalog.installed", lambda name: name != "transformers")
    with pytest.raises(KitescopeError, match=r"pip install transformers"):
        load_model(name)

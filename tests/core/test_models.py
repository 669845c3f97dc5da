from __future__ import annotations

import hashlib
import http.server
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
import torchvision

from tests.core import tiny_models, user_models
from tests.core.pictures import PictureItem, broken, healthy, photo
from tui.core.embedding import embed
from tui.core.errors import InvalidInput, KitescopeError, UnknownName
from tui.core.models import BUILTIN, list_models, load_model, model_info
from tui.core.progress import Progress
from tui.core.vision import catalog, devices, downloads, fusing, gpus, torch_models
from tui.core.vision.shrinking import enough_pixels

if TYPE_CHECKING:
    from tui.core.workspace import Workspace

USER = "tests.core.user_models:"


def _vectors(items: list[PictureItem], model: Any, **options: Any) -> np.ndarray[Any, Any]:
    batches = list(embed(items, model, **options))
    assert [one for batch in batches for one in batch.skipped] == []
    return np.concatenate([batch.vectors for batch in batches])


def _cosines(ours: Any, theirs: Any) -> np.ndarray[Any, Any]:
    """Cosine of each pair around the common mean: random networks say nearly the same of all pictures."""
    ours, theirs = np.asarray(ours, float), np.asarray(theirs, float)
    mean = theirs.mean(axis=0)
    a, b = ours - mean, theirs - mean
    return (a * b).sum(axis=1) / (np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1))


# -- names --------------------------------------------------------------------------------------
def test_models_are_listed_without_importing_what_runs_them() -> None:
    code = (
        "import sys, json; from tui.core.models import list_models; names = [m.name for m in list_models()];"
        "heavy = {'torch', 'torchvision', 'fiftyone', 'skimage', 'numpy'};"
        "print(json.dumps([names, sorted(heavy & set(sys.modules))]))"
    )
    names, loaded = json.loads(subprocess.check_output([sys.executable, "-c", code]))
    assert loaded == []
    assert names[0] == BUILTIN and len(names) > 100 and len(set(names)) == len(names)


def test_the_list_says_what_fiftyone_says() -> None:
    import fiftyone.zoo as foz

    ours = {one.name: one for one in list_models() if one.source == "fiftyone-zoo"}
    stock = {name for name in foz.list_zoo_models(tags="embeddings") if not name.endswith("tf1")}
    video = {name for name in stock if "video" in foz.get_zoo_model(name).tags}
    assert set(ours) == stock - video
    prompts = set(foz.list_zoo_models(tags="text-embeddings"))
    assert {name for name, one in ours.items() if one.supports_prompts} == prompts - video
    clip = ours["clip-vit-base32-torch"]
    assert (clip.dim, clip.size_mb, clip.downloaded, clip.supports_prompts) == (512, 354.0, False, True)


def test_a_zoo_model_is_downloaded_when_its_file_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FIFTYONE_MODEL_ZOO_DIR", str(tmp_path))
    name = "mobilenet-v2-imagenet-torch"
    assert not model_info(name).downloaded
    (tmp_path / "mobilenet_v2-b0353104.pth").write_bytes(b"weights")
    assert model_info(name).downloaded


@pytest.mark.parametrize("setting", ["model_zoo_dir", "default_dataset_dir"])
def test_the_zoos_folder_is_the_one_fiftyone_uses(home: Path, tmp_path: Path, setting: str) -> None:
    assert catalog.zoo_dir() == home / "fiftyone" / "__models__"
    (home / ".fiftyone").mkdir()
    (home / ".fiftyone" / "config.json").write_text(json.dumps({setting: str(tmp_path / "set")}))
    code = "import fiftyone as fo; print(fo.config.model_zoo_dir)"
    stock = subprocess.check_output([sys.executable, "-c", code], text=True).splitlines()[-1]
    assert str(catalog.zoo_dir()) == stock


def test_torchvisions_dimensions_and_sizes_are_right() -> None:
    for name, (dim, size) in catalog.TORCHVISION.items():
        with torch.device(
            "cpu" if name.startswith("regnet") else "meta"
        ):  # regnet reads numbers from tensors
            module = torchvision.models.get_model(name, weights=None).eval().to("meta")
        torch_models._cut_head(module)
        side = torchvision.models.get_model_weights(name).DEFAULT.transforms().crop_size[0]
        with torch.inference_mode():
            assert module(torch.empty(1, 3, side, side, device="meta")).shape == (1, dim), name
        weights = torchvision.models.get_model_weights(name).DEFAULT
        assert weights.meta["_file_size"] == pytest.approx(size, abs=0.1)
        folder = catalog.torch_checkpoints()
        folder.mkdir(parents=True, exist_ok=True)
        assert not catalog.torchvision_downloaded(name), name
        (folder / weights.url.rsplit("/", 1)[1]).touch()
        assert catalog.torchvision_downloaded(name), name


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("resnet50", "torchvision:resnet50"),
        ("clip-vit-base32", "clip-vit-base32-torch"),
        ("kitescope-desciptor", BUILTIN),
        ("zzzzzz", "models list"),
        ("torchvision:resnet51", "torchvision:resnet50"),
    ],
)
def test_an_unknown_name_is_met_with_near_ones(name: str, hint: str) -> None:
    with pytest.raises(UnknownName) as caught:
        load_model(name)
    assert hint in caught.value.remedy


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("no.such.module:make", "No module named"),
        (f"{USER}nothing_there", "nothing_there"),
        (f"{USER}np", "not callable"),
        (f"{USER}not_a_model", "returned a str"),
        ("/no/such/file.py:make", "no file"),
        ("torchvision:resnet18@/no/such.pth", "no checkpoint"),
    ],
)
def test_a_user_model_that_cannot_be_made_says_why(name: str, word: str) -> None:
    with pytest.raises(InvalidInput, match=word):
        load_model(name)


def test_a_users_model_whose_output_is_no_vector_is_refused() -> None:
    with pytest.raises(KitescopeError, match="not a vector"):
        load_model(f"{USER}maps")


# -- device and precision -----------------------------------------------------------------------
def test_wrong_devices_and_precisions_are_named() -> None:
    with pytest.raises(InvalidInput, match="fp8"):
        load_model(BUILTIN, precision="fp8")
    with pytest.raises(InvalidInput, match="gpu"):
        load_model(f"{USER}module", device="gpu")
    with pytest.raises(InvalidInput, match=r"GPU|cuda:99"):
        load_model(f"{USER}module", device="cuda:99")


def test_a_gpu_that_torch_cannot_use_is_told_loudly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(gpus, "are_here", lambda: True)
    assert "torch cannot use it" in load_model(f"{USER}module").notice
    monkeypatch.setattr(gpus, "are_here", lambda: False)
    assert load_model(f"{USER}module").notice == ""
    assert load_model(f"{USER}module", device="cpu").notice == ""


def test_a_gpu_that_fails_when_it_is_taken_is_told_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    """Torch's own refusal: only the choice is made up, for there is no GPU here that others could occupy."""
    monkeypatch.setattr(devices, "choose", lambda _device: (("cuda:99",), ""))
    with pytest.raises(KitescopeError, match=r"module cannot be loaded: .*(CUDA|NVIDIA)"):
        load_model(f"{USER}module", device="cuda:99")


def test_a_users_model_that_takes_another_device_is_told_of() -> None:
    notice = load_model(f"{USER}elsewhere", device="cpu").notice
    assert notice == f"{USER}elsewhere chose its device itself: it runs on meta"
    assert load_model(f"{USER}no_torch", device="cpu").notice == ""


def test_a_precision_that_the_device_lacks_is_replaced_and_told() -> None:
    model = load_model(f"{USER}module", device="cpu", precision="fp16")
    assert (model.precision, model.notice) == ("fp32", "fp16 is for GPUs: using fp32 on this CPU")


def _cpu_has_bf16() -> bool:
    return devices.settle_precision("bf16", torch.device("cpu"))[0] == "bf16"


@pytest.mark.skipif(not _cpu_has_bf16(), reason="this processor has no bf16")
def test_bf16_stays_near_fp32(tmp_path: Path) -> None:
    items = _photos(tmp_path, 12, (120, 90))
    exact, near = (_vectors(items, load_model(f"{USER}zoo_like", precision=p)) for p in ("fp32", "bf16"))
    assert not np.array_equal(exact, near) and near.dtype == np.float32
    cosines = (near * exact).sum(axis=1) / np.linalg.norm(near, axis=1) / np.linalg.norm(exact, axis=1)
    assert cosines.min() > 0.999


# -- the same numbers as stock FiftyOne ---------------------------------------------------------
def _photos(folder: Path, count: int, size: tuple[int, int]) -> list[PictureItem]:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        photo(number, size).save(folder / f"{number}.jpg", quality=90)
    return [PictureItem(str(number), str(folder / f"{number}.jpg")) for number in range(count)]


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """200 readable files: photographs of several sizes, and every healthy kind of file."""
    folder = tmp_path_factory.mktemp("mixed")
    paths = [str(path) for path in healthy(folder / "kinds").values()]
    sizes = [(160, 120), (240, 180), (120, 200), (300, 225)]
    for number in range(200 - len(paths)):
        path = folder / f"{number}.{('jpg', 'png', 'webp')[number % 3]}"
        photo(number, sizes[number % 4]).save(path)
        paths.append(str(path))
    return paths


@pytest.fixture
def dataset(workspace: Workspace, unique_name: Callable[..., str]) -> Iterator[Any]:
    made = workspace.fiftyone().Dataset(unique_name())
    yield made
    made.delete()


@pytest.mark.parametrize("name", ["zoo_like", "resizing"])
def test_vectors_of_200_mixed_files_are_stocks(
    workspace: Workspace, dataset: Any, mixed: list[str], name: str
) -> None:
    fiftyone = workspace.fiftyone()
    dataset.add_samples([fiftyone.Sample(filepath=path) for path in mixed], progress=False)
    stock = dataset.compute_embeddings(getattr(user_models, name)(), num_workers=0, batch_size=8)
    items = [PictureItem(str(number), path) for number, path in enumerate(mixed)]
    ours = _vectors(items, load_model(f"{USER}{name}"))
    assert ours.shape == stock.shape
    cosines = _cosines(ours, stock)
    assert cosines.min() >= 0.9999, mixed[int(cosines.argmin())]


@pytest.mark.parametrize("kind", ["detections", "polylines", "detection"])
def test_vectors_of_patches_are_stocks(workspace: Workspace, dataset: Any, tmp_path: Path, kind: str) -> None:
    fiftyone = workspace.fiftyone()
    rng = np.random.default_rng(1)
    paths = [path for name, path in healthy(tmp_path).items() if name not in ("cmyk", "animated")]
    for path in paths:
        corners = [(*rng.uniform(0, 0.6, 2), *rng.uniform(0.1, 0.4, 2)) for _ in range(3)]
        dataset.add_sample(fiftyone.Sample(filepath=str(path), objects=_label(fiftyone, kind, corners)))
    stock = dataset.compute_patch_embeddings(user_models.resizing(), "objects", num_workers=0)
    items = [
        PictureItem(f"{sample.id}-{number}", sample.filepath, tuple(box))
        for sample in dataset
        for number, box in enumerate(_boxes(sample["objects"]))
    ]
    theirs = np.concatenate([stock[sample_id] for sample_id in dataset.values("id")])
    assert len(items) == len(theirs) == len(paths) * (1 if kind == "detection" else 3)
    assert _cosines(_vectors(items, load_model(f"{USER}resizing")), theirs).min() >= 0.9999


def _label(fiftyone: Any, kind: str, corners: list[Any]) -> Any:
    if kind == "polylines":
        lines = [[(x, y), (x + w, y), (x + w / 2, y + h)] for x, y, w, h in corners]
        return fiftyone.Polylines(polylines=[fiftyone.Polyline(points=[points]) for points in lines])
    found = [fiftyone.Detection(label="thing", bounding_box=list(box)) for box in corners]
    return fiftyone.Detections(detections=found) if kind == "detections" else found[0]


def _boxes(label: Any) -> list[Any]:
    if hasattr(label, "polylines"):
        return [line.to_detection().bounding_box for line in label.polylines]
    return [one.bounding_box for one in getattr(label, "detections", [label])]


def test_a_model_without_torch_and_its_prompts(tmp_path: Path) -> None:
    from PIL import Image

    for colour in ("red", "lime", "blue"):
        Image.new("RGB", (30, 20), colour).save(tmp_path / f"{colour}.png")
    model = load_model(f"{USER}no_torch")
    assert (model.dim, model.supports_prompts) == (3, True)
    items = [PictureItem(colour, str(tmp_path / f"{colour}.png")) for colour in ("red", "lime", "blue")]
    vectors = _vectors(items, model)
    assert np.allclose(vectors, np.eye(3))
    assert int(np.argmax(vectors @ model.embed_text("something blue"))) == 2
    with pytest.raises(InvalidInput, match="knows no text"):
        load_model(f"{USER}module").embed_text("blue")


def test_a_bare_module_prepares_pictures_as_it_says(tmp_path: Path) -> None:
    items = _photos(tmp_path, 3, (90, 60))
    module = user_models.module()
    expected = torch.stack([module.transforms(photo_of(item))[None] for item in items])
    meant = torch.cat([module(one) for one in expected]).numpy()
    assert np.allclose(_vectors(items, load_model(f"{USER}module")), meant, atol=1e-5)


def photo_of(item: PictureItem) -> Any:
    from PIL import Image

    return Image.open(item.filepath).convert("RGB")


def test_a_file_beside_the_user_is_a_model_too(tmp_path: Path) -> None:
    copy = tmp_path / "mine.py"
    copy.write_text(Path(user_models.__file__).read_text())
    model = load_model(f"{copy}:module")
    assert model.dim == 48 and model.name == f"{copy}:module"


def test_broken_files_do_not_disturb_a_torch_model(tmp_path: Path) -> None:
    good = _photos(tmp_path / "good", 6, (100, 80))
    bad = [PictureItem(name, str(path)) for name, (path, _) in broken(tmp_path / "bad").items()]
    batches = list(embed([*good[:3], *bad, *good[3:]], load_model(f"{USER}resizing"), batch_size=4))
    assert [one for batch in batches for one in batch.ids] == [item.id for item in good]
    assert {one.id for batch in batches for one in batch.skipped} == {item.id for item in bad}


# -- torchvision --------------------------------------------------------------------------------
@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    path = tmp_path / "mine.pth"
    torch.save(
        {"state_dict": {f"module.{k}": v for k, v in user_models._seeded("resnet18").state_dict().items()}},
        path,
    )
    return path


def test_a_local_checkpoint_is_used(checkpoint: Path, tmp_path: Path) -> None:
    items = _photos(tmp_path / "photos", 8, (320, 240))
    model = load_model(f"torchvision:resnet18@{checkpoint}")
    assert (model.name, model.dim) == (f"torchvision:resnet18@{checkpoint}", 512)
    module = user_models._seeded("resnet18")
    module.fc = torch.nn.Identity()
    preset = torchvision.models.ResNet18_Weights.DEFAULT.transforms()
    with torch.inference_mode():
        meant = module(torch.stack([preset(photo_of(item)) for item in items])).numpy()
    assert _cosines(_vectors(items, model), meant).min() >= 0.9999


def test_reduced_decoding_stays_within_a_thousandth(checkpoint: Path, tmp_path: Path) -> None:
    from PIL import Image
    from skimage import data

    items = []
    for number, name in enumerate(["astronaut", "coffee", "cat", "rocket"]):
        path = tmp_path / f"{name}.jpg"
        Image.fromarray(getattr(data, name)()).resize((3000, 2250)).save(path, quality=92)
        items.append(PictureItem(str(number), str(path)))
    model = load_model(f"torchvision:resnet18@{checkpoint}")
    assert model.input_size is not None
    reduced = _vectors(items, model)
    model.input_size = None
    full = _vectors(items, model)
    assert not np.array_equal(reduced, full)
    distances = 1 - (reduced * full).sum(1) / np.linalg.norm(reduced, axis=1) / np.linalg.norm(full, axis=1)
    assert distances.max() < 1e-3


@pytest.fixture
def large(tmp_path: Path) -> list[PictureItem]:
    """Photographs that are many times larger than what a model looks at."""
    from PIL import Image
    from skimage import data

    for name in ("astronaut", "coffee", "cat", "rocket"):
        picture = Image.fromarray(getattr(data, name)()).resize((3000, 2250))
        picture.save(tmp_path / f"{name}.jpg", quality=92)
    return [PictureItem(path.stem, str(path)) for path in sorted(tmp_path.glob("*.jpg"))]


@pytest.mark.parametrize("kind", ["resizing", "clip", "plain", "open_clip", "module"])
def test_reduced_decoding_of_other_models_is_asked_for_and_near(
    kind: str, large: list[PictureItem], tmp_path: Path, workspace: Workspace
) -> None:
    name = {
        "resizing": lambda: f"{USER}resizing",
        "module": lambda: f"{USER}module",
        "clip": lambda: f"huggingface:{tiny_models.hugging_face_clip(tmp_path / kind)}",
        "plain": lambda: f"huggingface:{tiny_models.hugging_face_plain(tmp_path / kind)}",
        "open_clip": lambda: f"openclip:{tiny_models.open_clip(tmp_path / kind)}",
    }[kind]()
    assert load_model(name).input_size is load_model(name, decode="full").input_size is None
    model = load_model(name, decode="reduced")
    assert model.input_size == ((256, 256) if kind == "resizing" else (64, 64)) and model.notice == ""
    reduced = _vectors(large, model)
    model.input_size = None
    full = _vectors(large, model)
    assert not np.array_equal(reduced, full)
    distances = 1 - (reduced * full).sum(1) / np.linalg.norm(reduced, axis=1) / np.linalg.norm(full, axis=1)
    assert distances.max() < 1e-3


def test_what_cannot_be_decoded_at_a_reduced_scale_says_so() -> None:
    model = load_model(f"{USER}zoo_like", decode="reduced")
    assert model.input_size is None
    assert model.notice == (
        f"JPEGs are decoded in full: {USER}zoo_like does not begin by making pictures smaller"
    )
    assert load_model(BUILTIN, decode="full").input_size is None
    assert load_model(BUILTIN).input_size == load_model(BUILTIN, decode="reduced").input_size == (96, 96)
    with pytest.raises(InvalidInput, match="no decoding 'half'"):
        load_model(BUILTIN, decode="half")


def test_only_a_resize_that_sees_every_pixel_is_anticipated() -> None:
    from torchvision import transforms
    from torchvision.transforms import v2

    nearest = transforms.InterpolationMode.NEAREST
    assert enough_pixels(transforms.Compose([transforms.Resize((90, 120)), transforms.ToTensor()])) == (
        240,
        240,
    )
    assert enough_pixels(v2.Compose([v2.Resize(100), v2.CenterCrop(90)])) == (200, 200)
    for other in (
        None,
        (),
        lambda image: image,
        transforms.Compose([transforms.ToTensor(), transforms.Resize(100, antialias=False)]),
        transforms.Compose([transforms.CenterCrop(100), transforms.Resize(50)]),
        transforms.Resize(100, interpolation=nearest),
    ):
        assert enough_pixels(other) is None


def test_checkpoints_that_do_not_fit_say_so(checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"shapes|lacks"):
        load_model(f"torchvision:resnet50@{checkpoint}")
    with pytest.raises(InvalidInput, match="lacks"):
        load_model(f"torchvision:vgg11@{checkpoint}")
    (tmp_path / "junk.pth").write_bytes(b"junk")
    with pytest.raises(InvalidInput, match="not a checkpoint"):
        load_model(f"torchvision:resnet18@{tmp_path / 'junk.pth'}")


@pytest.mark.parametrize("network", ["mobilenet_v2", "resnet18"])
def test_a_network_is_made_cheaper_and_says_the_same(network: str) -> None:
    module = user_models._seeded(network)
    picture = torch.rand(2, 3, 160, 130)
    with torch.inference_mode():
        before = module(picture)
        cheaper = fusing.optimised(module, torch.device("cpu"))
        kinds = [type(layer) for layer in cheaper.modules()]
        assert not {torch.nn.BatchNorm2d, torch.nn.ReLU6, torch.nn.Conv2d} & set(kinds)
        assert torch.allclose(cheaper(picture), before, atol=1e-4)
        if _cpu_has_bf16():
            cheap = fusing.optimised(module, torch.device("cpu"), "bf16")(picture)
            assert cheap.dtype == torch.bfloat16
            assert torch.nn.functional.cosine_similarity(cheap.float(), before).min() > 0.999


def test_a_network_that_cannot_be_traced_stays_as_it_is() -> None:
    class Branches(torch.nn.Module):
        def forward(self, images: Any) -> Any:
            return images.mean((2, 3)) if images.sum() > 0 else images.amax((2, 3))

    class Shapes(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = torch.nn.Conv2d(3, 4, 3), torch.nn.Conv2d(3, 4, 3)

        def forward(self, images: Any) -> Any:
            layer = self.first if len(images) == 1 else self.second
            return torch.relu(layer(images)).mean((2, 3))

    for odd in (Branches(), Shapes()):
        assert fusing.optimised(odd, torch.device("cpu")) is odd


# -- downloads ----------------------------------------------------------------------------------
BODY = os.urandom(3_000_000)
DIGEST = hashlib.sha256(BODY).hexdigest()[:8]


class _Server(http.server.BaseHTTPRequestHandler):
    break_after: int | None = None

    def do_GET(self) -> None:
        start = int(self.headers.get("Range", "bytes=0-")[6:-1])
        if start >= len(BODY):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(BODY) - start))
        self.end_headers()
        end = len(BODY) if self.break_after is None else start + self.break_after
        self.wfile.write(BODY[start:end])

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[str]:
    _Server.break_after = None
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Server) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_address[1]}"
        running.shutdown()


def test_a_download_tells_its_progress(server: str, tmp_path: Path) -> None:
    events: list[Any] = []
    target = downloads.fetch(f"{server}/w.pth", tmp_path / "zoo" / f"w-{DIGEST}.pth", events.append)
    assert target.read_bytes() == BODY
    assert events[-1] == Progress("model", len(BODY), len(BODY)) and len(events) > 1
    assert [path.name for path in target.parent.iterdir()] == [target.name]


def test_a_broken_download_is_continued(server: str, tmp_path: Path) -> None:
    _Server.break_after = 1_000_000
    target = tmp_path / f"w-{DIGEST}.pth"
    with pytest.raises(KitescopeError, match=r"connection broke|IncompleteRead|bytes read"):
        downloads.fetch(f"{server}/w.pth", target)
    assert not target.exists() and target.with_name(target.name + ".partial").stat().st_size == 1_000_000
    _Server.break_after = None
    events: list[Any] = []
    assert downloads.fetch(f"{server}/w.pth", target, events.append).read_bytes() == BODY
    assert events[0].done > 1_000_000


def test_a_wrong_file_is_not_kept(server: str, tmp_path: Path) -> None:
    with pytest.raises(KitescopeError, match="damaged"):
        downloads.fetch(f"{server}/w.pth", tmp_path / "w-00000000.pth")
    assert list(tmp_path.glob("*.pth*")) == []


@pytest.mark.parametrize(
    "name",
    ["mobilenet-v2-imagenet-torch", "clip-vit-base32-torch", "dinov2-vits14-torch", "torchvision:resnet18"],
)
def test_without_network_a_missing_model_says_so_within_seconds(
    name: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import socket

    def no_network(*_: object, **__: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", no_network)
    monkeypatch.setenv("TORCH_HOME", str(home / "torch"))
    began = time.perf_counter()
    with pytest.raises(KitescopeError) as caught:
        load_model(name)
    assert time.perf_counter() - began < 5
    assert "cannot be reached" in caught.value.what and "kitescope-descriptor" in caught.value.remedy
    assert [path for path in home.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize(
    "name",
    [
        "torchvision:resnet18",
        "dinov2-vits14-torch",
        "siglip-base-patch16-224-torch",
        "openclip:ViT-B-32",
        "huggingface:nobody/nothing",
    ],
)
def test_a_proxy_that_is_not_there_is_named_and_not_tried_again_and_again(
    name: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(home / "torch"))
    for variable in ("https_proxy", "HTTPS_PROXY"):
        monkeypatch.setenv(variable, "http://somebody:secret@127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "")
    with pytest.raises(KitescopeError) as caught:
        load_model(name)
    assert caught.value.what == "The proxy 127.0.0.1:9 that https_proxy names cannot be reached"
    assert "kitescope-descriptor" in caught.value.remedy


def test_another_hub_is_asked_instead(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(KitescopeError, match=r"^127\.0\.0\.1 cannot be reached"):
        load_model("huggingface:nobody/nothing")


def test_a_proxy_for_everything_counts_where_the_library_minds_it(
    server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("http_proxy", "HTTP_PROXY", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("all_proxy", "socks5://127.0.0.1:9")
    downloads.require_host(server)
    with pytest.raises(KitescopeError, match=r"proxy 127\.0\.0\.1:9 that all_proxy names"):
        downloads.require_host(server, all_proxy=True)


def test_a_host_that_the_proxy_is_not_for_is_asked_itself(
    server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    downloads.require_host(server)
    monkeypatch.setenv("no_proxy", "")
    with pytest.raises(KitescopeError, match=r"proxy 127\.0\.0\.1:9"):
        downloads.require_host(server)


def test_a_resolver_that_hangs_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    released = threading.Event()

    def hang(*_: object) -> list[object]:
        released.wait(30)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    monkeypatch.setattr(downloads, "_TIMEOUT", 0.3)
    began = time.perf_counter()
    with pytest.raises(KitescopeError, match="cannot be reached"):
        downloads.require_host("https://example.org/x")
    released.set()
    assert time.perf_counter() - began < 2


def test_a_zoo_model_is_loaded_from_files_on_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workspace: Workspace
) -> None:
    """Random weights under the zoo's file names: what a download would have left."""
    fiftyone = workspace.fiftyone()
    monkeypatch.setattr(fiftyone.config, "model_zoo_dir", str(tmp_path))
    monkeypatch.setenv("FIFTYONE_MODEL_ZOO_DIR", str(tmp_path))
    torch.save(user_models._seeded("resnet18").state_dict(), tmp_path / "resnet18-5c106cde.pth")
    catalog.torch_checkpoints().mkdir(parents=True)
    torch.save(
        user_models._seeded("resnet18").state_dict(), catalog.torch_checkpoints() / "resnet18-f37072fd.pth"
    )
    model = load_model("resnet18-imagenet-torch")
    assert model.dim == 512 == model_info("resnet18-imagenet-torch").dim
    assert model_info("resnet18-imagenet-torch").downloaded
    items = _photos(tmp_path / "photos", 4, (64, 48))
    import fiftyone.zoo as foz

    stock = foz.load_zoo_model("resnet18-imagenet-torch", cache=False)
    with stock:
        meant = np.stack([stock.embed(photo_of(item)) for item in items])
    assert _cosines(_vectors(items, model), meant).min() >= 0.9999

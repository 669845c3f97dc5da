"""What FiftyOne's model zoo and torchvision offer, read from files: importing neither, in milliseconds."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

TORCHVISION: dict[str, tuple[int, float]] = {
    # name: (dimension of the layer before the classifier, size of the weights in MB)
    "convnext_base": (1024, 338.1),
    "convnext_small": (768, 191.7),
    "convnext_tiny": (768, 109.1),
    "densenet121": (1024, 30.8),
    "efficientnet_b0": (1280, 20.5),
    "efficientnet_b3": (1536, 47.2),
    "efficientnet_v2_s": (1280, 82.7),
    "mobilenet_v2": (1280, 13.6),
    "mobilenet_v3_large": (1280, 21.1),
    "mobilenet_v3_small": (1024, 9.8),
    "regnet_y_800mf": (784, 24.8),
    "resnet18": (512, 44.7),
    "resnet34": (512, 83.3),
    "resnet50": (2048, 97.8),
    "resnet101": (2048, 170.5),
    "resnet152": (2048, 230.5),
    "resnext50_32x4d": (2048, 95.8),
    "shufflenet_v2_x1_0": (1024, 8.8),
    "squeezenet1_1": (512, 4.7),
    "swin_t": (768, 108.2),
    "swin_v2_t": (768, 108.6),
    "vgg16": (4096, 527.8),
    "vit_b_16": (768, 330.3),
    "vit_b_32": (768, 336.6),
    "vit_l_16": (1024, 1161.0),
    "wide_resnet50_2": (2048, 263.1),
}

_ZOO_DIMS = (
    (r"(alexnet|vgg\d)", 4096),
    (r"densenet121", 1024), (r"densenet161", 2208), (r"densenet169", 1664), (r"densenet201", 1920),
    (r"googlenet|shufflenetv2", 1024), (r"inception-v3", 2048), (r"mnasnet|mobilenet-v2", 1280),
    (r"resnet(18|34)-", 512), (r"(wide-)?resnet\d|resnext", 2048), (r"clip-vit-base32", 512),
    (r"dinov[23]-vits", 384), (r"dinov[23]-vitb", 768), (r"dinov[23]-vitl", 1024), (r"dinov2-vitg", 1536),
    (r"siglip-base", 768),
)  # fmt: skip


_WEIGHTS = (".safetensors", ".bin", ".pt", ".pth")


@dataclass(frozen=True, slots=True)
class ZooModel:
    """One image model with embeddings in FiftyOne's zoo."""

    name: str
    filename: str | None
    url: str | None
    size_bytes: int | None
    supports_prompts: bool
    packages: tuple[str, ...]
    hub: str | None
    """The Hugging Face name, or torch hub's ``owner/repository:model``."""
    weights: str | None
    """The name of torchvision's weights when FiftyOne lets torchvision make the model."""
    tokenizer: tuple[str, str] | None
    """The tokenizer's address and file name, for a model that takes prompts."""

    @property
    def dim(self) -> int | None:
        """The length of its vectors where it is known without loading it."""
        return next((dim for pattern, dim in _ZOO_DIMS if re.match(pattern, self.name)), None)

    @property
    def downloaded(self) -> bool:
        """Whether its weights are on disk."""
        if self.filename is not None:
            return (zoo_dir() / self.filename).exists()
        if self.hub is None:
            return False
        if ":" in self.hub:
            return bool(list(torch_checkpoints().glob(f"{self.hub.split(':')[1]}_*.pth")))
        return hub_has_weights(self.hub)

    def missing_packages(self) -> list[str]:
        """The Python packages it asks for that are not installed."""
        return [name for name in self.packages if not installed(re.split(r"[<>=!~;\[ ]", name)[0])]


def zoo() -> dict[str, ZooModel]:
    """The zoo's image models that give embeddings, by name; video, TensorFlow and hosted models left out.

    As in FiftyOne, the user's own manifests (``model_zoo_manifest_paths``) and those of registered sources
    belong to it, and a manifest that cannot be read is left out.
    """
    found: dict[str, ZooModel] = {}
    for manifest in _manifests():
        try:
            found |= _read(manifest, manifest.stat().st_mtime_ns)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            continue
    return found


def zoo_dir() -> Path:
    """Where FiftyOne keeps the weights of its zoo's models."""
    if folder := os.environ.get("FIFTYONE_MODEL_ZOO_DIR"):
        return Path(folder).expanduser()
    config = _fiftyone_config()
    if folder := config.get("model_zoo_dir"):
        return Path(folder).expanduser()
    datasets = os.environ.get("FIFTYONE_DEFAULT_DATASET_DIR") or config.get("default_dataset_dir")
    return Path(datasets or "~/fiftyone").expanduser() / "__models__"


def torch_checkpoints() -> Path:
    """Where torch keeps the weights it downloads."""
    cache_home = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    home = os.environ.get("TORCH_HOME")
    return (Path(home).expanduser() if home else cache_home / "torch") / "hub" / "checkpoints"


def hub_snapshots(name: str) -> list[Path]:
    """The folders into which a Hugging Face name was downloaded, by FiftyOne or anybody; newest first."""
    folder = f"models--{name.replace('/', '--')}"
    found = [one for root in (zoo_dir(), _hugging_face()) for one in (root / folder / "snapshots").glob("*")]
    return sorted(found, key=lambda one: one.stat().st_mtime, reverse=True)


def hub_has_weights(name: str) -> bool:
    """Whether the weights of a Hugging Face name were downloaded to their end."""
    return any(_has_weights(folder) for folder in hub_snapshots(name))


def torchvision_downloaded(name: str) -> bool:
    """Whether torchvision's weights of that model are on disk, in any version."""
    stem = re.escape(name).replace("shufflenet_v2", "shufflenetv2").replace("x1_0", "x1")
    pattern = re.compile(rf"{stem}(_rwightman|_lukemelas)?-[0-9a-f]+\.pth")
    folder = torch_checkpoints()
    return folder.is_dir() and any(pattern.fullmatch(file.name) for file in folder.iterdir())


def _has_weights(folder: Path) -> bool:
    # Links there lead to what arrived whole.
    if not any(file.suffix in _WEIGHTS and file.exists() for file in folder.iterdir()):
        return False
    for index in folder.glob("*.index.json"):
        try:
            parts = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
        except (OSError, ValueError, KeyError, AttributeError):
            return False
        if not all((folder / part).exists() for part in parts):
            return False
    return True


def _manifests() -> Iterator[Path]:
    package = importlib.util.find_spec("fiftyone")
    if package is not None and package.origin is not None:
        yield Path(package.origin).parent / "zoo" / "models" / "manifest-torch.json"
    listed = os.environ.get("FIFTYONE_MODEL_ZOO_MANIFEST_PATHS")
    paths = listed.split(":") if listed else _fiftyone_config().get("model_zoo_manifest_paths") or []
    yield from (Path(path).expanduser() for path in paths)
    yield from zoo_dir().glob("*/manifest.json")
    yield from zoo_dir().glob("*/*/manifest.json")


@cache
def _read(manifest: Path, _changed: int) -> dict[str, ZooModel]:
    entries = json.loads(manifest.read_text(encoding="utf-8"))["models"]
    return {model.name: model for model in _usable(entries)}


def _usable(entries: list[dict[str, Any]]) -> Iterator[ZooModel]:
    for entry in entries:
        tags = entry.get("tags") or []
        if "embeddings" not in tags or "video" in tags:
            continue
        config = (entry.get("default_deployment_config_dict") or {}).get("config") or {}
        arguments = config.get("entrypoint_args") or {}
        torchvisions = str(config.get("entrypoint_fcn")).startswith("torchvision.")
        repository, hub_model = arguments.get("repo_or_dir"), arguments.get("model")
        manager = (entry.get("manager") or {}).get("config") or {}
        yield ZooModel(
            name=entry["base_name"],
            filename=entry.get("base_filename"),
            url=manager.get("url"),
            size_bytes=entry.get("size_bytes"),
            supports_prompts="text-embeddings" in tags,
            packages=tuple((entry.get("requirements") or {}).get("packages") or ()),
            hub=f"{repository}:{hub_model}" if repository else config.get("name_or_path"),
            weights=arguments.get("weights") if torchvisions else None,
            tokenizer=(config["tokenizer_base_url"], config["tokenizer_base_filename"])
            if manager and "tokenizer_base_url" in config
            else None,
        )


def _fiftyone_config() -> dict[str, Any]:
    path = Path(os.environ.get("FIFTYONE_CONFIG_PATH") or "~/.fiftyone/config.json").expanduser()
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}  # FiftyOne itself says what is wrong with it
    return config if isinstance(config, dict) else {}


def _hugging_face() -> Path:
    if folder := os.environ.get("HF_HUB_CACHE"):
        return Path(folder).expanduser()
    cache_home = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    home = os.environ.get("HF_HOME")
    return (Path(home).expanduser() if home else cache_home / "huggingface") / "hub"


def installed(package: str) -> bool:
    """Whether a Python package is there, in any version."""
    try:
        importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True

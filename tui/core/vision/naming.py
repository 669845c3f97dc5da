"""What a model's name means: paths made whole, the user's folder noted, and what FiftyOne's zoo calls it.

A run has to find its model from any folder and after a restart, so what is stored holds no relative path.
What FiftyOne can load itself is stored in its own words, a zoo model with arguments, and read back into ours.
"""

from __future__ import annotations

import importlib.util
import json
import re
import sysconfig
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tui.core.files import expanded, is_dir, is_file
from tui.core.vision import catalog

TORCHVISION, HUGGING_FACE, OPEN_CLIP = "torchvision:", "huggingface:", "openclip:"

# FiftyOne's own loaders take any checkpoint; they differ in which of its outputs is the vector.
_TEXT = "zero-shot-classification-transformer-torch"
_SIGLIP = "siglip-base-patch16-224-torch"  # pads prompts as these models were trained
_CLASSIFIER = "classification-transformer-torch"
_PLAIN = "dinov3-vits16-torch"
_OPEN_CLIP = "open-clip-torch"
_LOCAL = "local-dir:"  # OpenCLIP's word for a folder
_USERS = re.compile(r"(?P<place>.+?):(?P<callable>[A-Za-z_][\w.]*)(@(?P<folder>.+))?")


def absolute(name: str) -> str:
    """The name as it is understood from every folder; most names need nothing for that."""
    if name.startswith(TORCHVISION):
        return _whole_file(name)
    if name.startswith(HUGGING_FACE):
        place = name.removeprefix(HUGGING_FACE)
        return f"{HUGGING_FACE}{_whole(place)}" if _is_local(place) else name
    if name.startswith(OPEN_CLIP):
        place = name.removeprefix(OPEN_CLIP)
        return f"{OPEN_CLIP}{_whole(place)}" if _is_local(place) else _whole_file(name)
    parts = split_users(name)
    if parts is None:
        return name
    place, attribute, folder = parts
    if place.endswith(".py"):
        return f"{_whole(place)}:{attribute}"
    folder = folder or _folder_of(place)
    return f"{place}:{attribute}@{_whole(folder)}" if folder else name


def split_users(name: str) -> tuple[str, str, str | None] | None:
    """The module or file, the callable and the folder of ``place:callable`` or ``place:callable@/folder``."""
    found = _USERS.fullmatch(name)
    return (found["place"], found["callable"], found["folder"]) if found else None


def in_fiftyone(name: str) -> tuple[str, dict[str, str] | None]:
    """What FiftyOne's zoo loads it as: the zoo's name and arguments; any other name is its own."""
    if name.startswith(HUGGING_FACE):
        place = name.removeprefix(HUGGING_FACE)
        return _hugging_face_loader(hugging_face_config(place)), {"name_or_path": place}
    if name.startswith(OPEN_CLIP):
        place, _, weights = name.removeprefix(OPEN_CLIP).partition("@")
        if _is_local(place):
            # The weights are in the folder; without a word about them FiftyOne would ask for others.
            return _OPEN_CLIP, {"clip_model": f"{_LOCAL}{place}", "pretrained": ""}
        return _OPEN_CLIP, {"clip_model": place, **({"pretrained": weights} if weights else {})}
    return name, None


def from_fiftyone(model: str | None, arguments: Mapping[str, Any] | None) -> str | None:
    """Our name for a zoo model with arguments, also where stock FiftyOne wrote them."""
    given = dict(arguments or {})
    if model in (_TEXT, _SIGLIP, _CLASSIFIER, _PLAIN) and list(given) == ["name_or_path"]:
        return f"{HUGGING_FACE}{given['name_or_path']}"
    if model == _OPEN_CLIP and given.keys() & {"clip_model"} and given.keys() <= {"clip_model", "pretrained"}:
        place = str(given["clip_model"])
        if place.startswith(_LOCAL):
            return f"{OPEN_CLIP}{place.removeprefix(_LOCAL)}"
        return f"{OPEN_CLIP}{place}" + (f"@{given['pretrained']}" if given.get("pretrained") else "")
    return model


def is_local(name: str) -> bool:
    """Whether a ``huggingface:`` or ``openclip:`` model is a folder or a file of the user's."""
    place, _, weights = name.partition(":")[2].partition("@")
    return _is_local(place) or _is_local(weights or "hub")


def is_on_disk(name: str) -> bool:
    """Whether a ``huggingface:`` or ``openclip:`` model has nothing to fetch, as far as files tell."""
    place, _, weights = name.partition(":")[2].partition("@")
    if name.startswith(HUGGING_FACE):
        place = name.removeprefix(HUGGING_FACE)
        local = is_dir(place)
        return hugging_face_config(place) is not None if local else catalog.hub_has_weights(place)
    return is_dir(place) or is_file(weights or "?")


def hugging_face_config(place: str) -> Mapping[str, Any] | None:
    """The ``config.json`` of a folder, or of a name on the hub that was downloaded; None without it."""
    folder = expanded(place)
    found = [folder] if is_dir(folder) else catalog.hub_snapshots(place)
    for one in found:
        try:
            config = json.loads((one / "config.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if isinstance(config, dict):
            return config
    return None


def takes_text(config: Mapping[str, Any]) -> bool:
    """Whether a Hugging Face model has a tower for text beside the one for pictures."""
    return "text_config" in config and "vision_config" in config


def _hugging_face_loader(config: Mapping[str, Any] | None) -> str:
    """Two towers take text; a classifier's own head says nothing about its trunk's pooled output."""
    about = config or {}
    if takes_text(about):
        return _SIGLIP if str(about.get("model_type")).startswith("siglip") else _TEXT
    made = [str(one) for one in about.get("architectures") or ()]
    return _CLASSIFIER if any(one.endswith("ForImageClassification") for one in made) else _PLAIN


def _folder_of(module: str) -> str | None:
    """The folder from which a module is importable; None when it is installed, or not there."""
    from tui.core.vision.user_code import beside

    with beside(Path.cwd()):
        try:
            spec = importlib.util.find_spec(module.partition(".")[0])
        except (ImportError, ValueError):
            return None
    places = list(spec.submodule_search_locations or ()) if spec is not None else []
    if spec is None or not (places or spec.has_location):
        return None
    folder = Path(places[0] if places else str(spec.origin)).resolve().parent
    installed = {Path(sysconfig.get_path(name)).resolve() for name in ("purelib", "platlib", "stdlib")}
    return None if installed & {folder, *folder.parents} else str(folder)


def _is_local(place: str) -> bool:
    return place.startswith(("/", "~", ".")) or is_dir(place)


def _whole_file(name: str) -> str:
    """``PREFIX:ARCHITECTURE@FILE`` with a whole path; weights may also go by a name that is no file."""
    architecture, _, weights = name.partition("@")
    there = weights and (_is_local(weights) or is_file(weights))
    return f"{architecture}@{_whole(weights)}" if there else name


def _whole(path: str) -> str:
    return str(expanded(path).resolve())

"""What FiftyOne loads itself: the models of its zoo, and others' checkpoints through the zoo's loaders."""

from __future__ import annotations

import contextlib
import difflib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tui.core.errors import InvalidInput, KitescopeError, UnknownName
from tui.core.progress import OnEvent
from tui.core.vision import catalog, downloads, hub_downloads, naming


def zoo_model(name: str, device: Any, on_event: OnEvent) -> Any:
    """A model of the zoo, its files downloaded first.

    Raises:
        KitescopeError: they cannot be downloaded, or Python packages are missing.
    """
    entry = catalog.zoo()[name]
    _require_packages(name, entry)
    folder = catalog.zoo_dir()
    if entry.filename and entry.url:
        downloads.fetch(entry.url, folder / entry.filename, on_event)
    if entry.tokenizer:
        downloads.fetch(entry.tokenizer[0], folder / entry.tokenizer[1], on_event)
    if entry.weights:
        import torchvision

        # FiftyOne fetches the file above, but lets torchvision load its own copy from torch's cache.
        url = torchvision.models.get_weight(entry.weights).url
        downloads.fetch(url, catalog.torch_checkpoints() / url.rsplit("/", 1)[1], on_event)
    elif entry.hub and ":" in entry.hub:
        if not entry.downloaded and not Path(entry.hub.rpartition(":")[0]).is_dir():
            downloads.require_host("https://github.com")
        with hub_downloads.torch_hub(on_event):
            return _load(name, device)
    elif not entry.filename and catalog.installed("huggingface_hub"):
        with _hub_or_disk(on_event):
            return _load(name, device)
    return _load(name, device)


def checkpoint_model(name: str, device: Any, on_event: OnEvent) -> Any:
    """A ``huggingface:`` or ``openclip:`` model, from a folder, a file, or the hub.

    Raises:
        InvalidInput, UnknownName: there is no such folder, file, architecture or weights.
        KitescopeError: it cannot be downloaded, or Python packages are missing.
    """
    _be_quiet()
    _require_packages(name, catalog.zoo()[naming.in_fiftyone(name)[0]])
    if name.startswith(naming.HUGGING_FACE):
        _require_hugging_face(name.removeprefix(naming.HUGGING_FACE))
    else:
        _require_open_clip(name.removeprefix(naming.OPEN_CLIP))
    loader, arguments = naming.in_fiftyone(name)
    with contextlib.nullcontext() if naming.is_local(name) else _hub_or_disk(on_event):
        return _load(loader, device, **(arguments or {}))


@contextlib.contextmanager
def _hub_or_disk(on_event: OnEvent) -> Iterator[None]:
    """What Hugging Face's library fetches in here; without network it would try each file for half a minute.

    Raises:
        KitescopeError: there is no network, and not everything is on disk; or a download broke.
    """
    _be_quiet()
    unreachable: KitescopeError | None = None
    try:
        _require_hub()
    except KitescopeError as error:
        unreachable = error
    if unreachable is None:
        with hub_downloads.hugging_face(on_event):
            yield
        return
    from huggingface_hub import constants

    before, constants.HF_HUB_OFFLINE = constants.HF_HUB_OFFLINE, True
    try:
        yield
    except Exception as error:
        raise unreachable from error
    finally:
        constants.HF_HUB_OFFLINE = before


def _require_hub() -> None:
    address = os.environ.get("HF_ENDPOINT") or "https://huggingface.co"
    downloads.require_host(address, all_proxy=True)


def _load(name: str, device: Any, **arguments: Any) -> Any:
    import fiftyone.zoo as foz

    return foz.load_zoo_model(name, cache=False, device=str(device), **arguments)


def _require_packages(name: str, entry: catalog.ZooModel) -> None:
    if missing := entry.missing_packages():
        needs = " ".join(missing)
        raise KitescopeError(f"The model {name} needs Python packages: {needs}", f"pip install {needs}")


def _require_hugging_face(place: str) -> None:
    if naming.hugging_face_config(place) is not None:
        return
    if Path(place).is_absolute():
        raise InvalidInput(
            f"{place} holds no Hugging Face model: there is no config.json in it",
            "Save the model and its processor there with save_pretrained",
        )
    _require_hub()
    import transformers

    # What it is decides which of FiftyOne's loaders takes it.
    transformers.AutoConfig.from_pretrained(place, cache_dir=str(catalog.zoo_dir()))


def _require_open_clip(place: str) -> None:
    architecture, _, weights = place.partition("@")
    if Path(place).is_absolute():
        if not (Path(place) / "open_clip_config.json").is_file():
            raise InvalidInput(
                f"{place} holds no OpenCLIP model: there is no open_clip_config.json in it",
                "Name an architecture and its weights as openclip:ViT-B-32@/path/weights.pt",
            )
        return
    import open_clip

    _require_known(architecture, open_clip.list_models(), "OpenCLIP has no architecture")
    if Path(weights).is_absolute():
        if not Path(weights).is_file():
            raise InvalidInput(f"There is no checkpoint {weights}", "Give the path of its weights")
        return
    tags = open_clip.list_pretrained_tags_by_model(architecture)
    weights = weights or "openai"
    _require_known(weights, tags, f"OpenCLIP has no weights for {architecture} named")
    hub = open_clip.get_pretrained_cfg(architecture, weights).get("hf_hub") or ""
    if not catalog.hub_has_weights(hub.rpartition("/")[0]):
        _require_hub()


def _require_known(name: str, known: list[str], what: str) -> None:
    if name not in known:
        near = difflib.get_close_matches(name, known, 3, 0.4) or known[:5]
        raise UnknownName(f"{what} {name!r}", f"Close names: {', '.join(near)}" if near else "Give a file")


def _be_quiet() -> None:
    """Bars and advice of the libraries would land on stderr, among ours."""
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    # Weights in an old format would be fetched once more in a newer one, by a thread of its own.
    os.environ.setdefault("DISABLE_SAFETENSORS_CONVERSION", "1")

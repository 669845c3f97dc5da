"""Loading torch models: FiftyOne's zoo, torchvision with its own or the user's weights, the user's code."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from tui.core.errors import InvalidInput, KitescopeError, UnknownName
from tui.core.files import expanded
from tui.core.progress import OnEvent
from tui.core.vision import catalog, devices, downloads, zoo_models
from tui.core.vision.fusing import optimised
from tui.core.vision.shrinking import enough_pixels
from tui.core.vision.torch_embedder import Inputs, TorchEmbedder, split, to_rows
from tui.core.vision.user_code import resolve
from tui.core.words import counted

if TYPE_CHECKING:
    from PIL import Image

    from tui.core.models import Embedder, Source

_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def load(name: str, source: Source, device: str, precision: str, decode: str, on_event: OnEvent) -> Embedder:
    """Load one model; see `tui.core.models.load_model`."""
    names, unused = devices.choose(device)
    place = torch.device(names[0])
    try:
        if place.type == "cuda":
            torch.cuda.set_device(place)  # pinned memory and a user's own code go there too
        precision, changed = devices.settle_precision(precision, place)
        if source == "fiftyone-zoo":
            embedder = from_fiftyone(name, zoo_models.zoo_model(name, place, on_event), place, precision)
        elif source in ("huggingface", "openclip"):
            embedder = from_fiftyone(
                name, zoo_models.checkpoint_model(name, place, on_event), place, precision
            )
        elif source == "torchvision":
            embedder = _torchvision(name, place, precision, on_event)
        else:
            embedder = _users(name, place, precision)
    except KitescopeError:
        raise
    except Exception as error:  # a model's own code raises anything
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise KitescopeError(
            f"The model {name} cannot be loaded: {reason}", "Check the name, its files and its requirements"
        ) from error
    full = ""
    if decode == "reduced" or (decode == "auto" and source == "torchvision"):
        embedder.input_size = enough_pixels(embedder.transforms)
        if decode == "reduced" and embedder.input_size is None:
            full = f"JPEGs are decoded in full: {name} does not begin by making pictures smaller"
    moved = ""
    if embedder.device.type != place.type:
        moved = f"{name} chose its device itself: it runs on {embedder.device}"
    embedder.notice = ". ".join(filter(None, (unused, changed, full, moved)))
    return embedder


def from_fiftyone(name: str, model: Any, device: Any, precision: str) -> TorchEmbedder:
    """Wrap a ``fiftyone.core.models.Model`` that gives embeddings.

    Raises:
        InvalidInput: it gives none, or is not for images.
    """
    import fiftyone.utils.torch as fout

    if not model.has_embeddings or model.media_type != "image":
        raise InvalidInput(f"The model {name} gives no embeddings of images", "See kitescope models list")
    prompt = partial(_embed_prompt, model) if model.can_embed_prompts else None
    layer = getattr(getattr(model, "config", None), "embeddings_layer", None)
    plain = (
        isinstance(model, fout.TorchImageModel)
        and type(model)._predict_all is fout.TorchImageModel._predict_all
        and type(model)._forward_pass is fout.TorchImageModel._forward_pass
        and type(model).embed_all is fout.TorchEmbeddingsMixin.embed_all
        and layer is not None
        and not model.config.as_feature_extractor
        and not model.config.raw_inputs
        and not model.using_half_precision
    )
    if plain:
        forward = optimised(model._model, device, precision, partial(_tapped, layer=str(layer)))
        return TorchEmbedder(name, forward, split(model.transforms), device, precision, prompt)
    return _StockEmbedder(name, model, device, precision, prompt)


def _tapped(module: Any, layer: str) -> Callable[[Any], Any]:
    """A function that calls the module and answers what goes through that layer."""
    import fiftyone.utils.torch as fout

    saved = fout.SaveLayerTensor(module, layer)

    def forward(images: Any) -> Any:
        module(images)
        return saved.tensor

    return forward


def _embed_prompt(model: Any, text: str) -> Any:
    """Hugging Face models of FiftyOne prepare a text only while they also prepare pictures."""
    import fiftyone.core.models as fom

    if not isinstance(model, fom.TorchModelMixin):
        return model.embed_prompts([text])
    pictures, model.preprocess = model.preprocess, True
    try:
        return model.embed_prompts([text])
    finally:
        model.preprocess = pictures


class _StockEmbedder(TorchEmbedder):
    """Any other FiftyOne model, driven exactly as stock FiftyOne drives it."""

    def __init__(
        self, name: str, model: Any, device: Any, precision: str, prompt: Callable[[str], Any] | None
    ) -> None:
        import fiftyone.core.models as fom

        self._model = model
        self._loads = isinstance(model, fom.TorchModelMixin)
        if self._loads:
            model.preprocess = False
        super().__init__(name, _unused, Inputs(), device, precision, prompt)

    @property
    def transforms(self) -> Any:
        """What is done to a picture first; FiftyOne's OpenCLIP models hide it behind a method."""
        hidden = getattr(self._model, "_clip_preprocess", None)
        return hidden if hidden is not None else getattr(self._model, "transforms", None)

    def prepare(self, image: Image.Image) -> Any:
        """What the model's own transforms make of it; an array when it has none or is not torch's."""
        if not self._loads:
            return np.array(image)
        return image if self._model.transforms is None else self._model.transforms(image)

    def embed(self, batch: Sequence[Any]) -> np.ndarray[Any, np.dtype[np.float32]]:
        """Embed prepared inputs: float32 of shape ``(n, dim)``."""
        with self._model, self._running(foreign=True):
            if not self._loads:
                return to_rows(self._model.embed_all(list(batch)))
            if self._model.ragged_batches:
                return np.concatenate([to_rows(self._model.embed_all([value])) for value in batch])
            collate = self._model.collate_fn if self._model.has_collate_fn else _default_collate
            return to_rows(self._model.embed_all(collate(list(batch))))

    def close(self) -> None:
        """Give the model's memory back."""
        self._model = None
        super().close()


def _torchvision(name: str, device: Any, precision: str, on_event: OnEvent) -> TorchEmbedder:
    from torchvision import models

    architecture, _, checkpoint = name.partition(":")[2].partition("@")
    known = models.list_models(module=models)
    if architecture not in known:
        import difflib

        near = [f"torchvision:{one}" for one in difflib.get_close_matches(architecture, known, 3)]
        hint = f"Did you mean {' or '.join(near)}" if near else "See kitescope models list"
        raise UnknownName(f"There is no model {architecture!r} in torchvision", hint)
    weights = models.get_model_weights(architecture).DEFAULT
    if checkpoint:
        module = models.get_model(architecture, weights=None)
        _cut_head(module)
        _load_checkpoint(module, expanded(checkpoint))
    else:
        target = catalog.torch_checkpoints() / weights.url.rsplit("/", 1)[1]
        downloads.fetch(weights.url, target, on_event)
        module = models.get_model(architecture, weights=weights)
        _cut_head(module)
    inputs = split(weights.transforms())
    return TorchEmbedder(name, optimised(module, device, precision), inputs, device, precision)


def _cut_head(module: Any) -> None:
    """Replace the classifier's last layer, so that the module returns what goes into it."""
    if type(module).__name__ == "SqueezeNet":
        module.classifier = torch.nn.AdaptiveAvgPool2d(1)
        return
    head = [path for path, layer in module.named_modules() if isinstance(layer, torch.nn.Linear)][-1]
    parent, _, last = head.rpartition(".")
    setattr(module.get_submodule(parent), last, torch.nn.Identity())


def _load_checkpoint(module: Any, path: Path) -> None:
    if not path.is_file():
        raise InvalidInput(f"There is no checkpoint {path}", "Give the path of a .pth file")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # pickle, zip and torch each have their own
        raise InvalidInput(
            f"{path} is not a checkpoint of weights", "Save it with torch.save(model.state_dict())"
        ) from error
    for key in ("state_dict", "model"):
        state = state.get(key, state) if isinstance(state, dict) else {}
    state = {str(key).removeprefix("module."): value for key, value in state.items()}
    try:
        missing = module.load_state_dict(state, strict=False).missing_keys
    except RuntimeError as error:
        raise InvalidInput(
            f"{path} has weights of other shapes", "Name the architecture it was made with"
        ) from error
    if missing:
        raise InvalidInput(
            f"{path} lacks {counted(len(missing), 'weight')} of the model, such as {missing[0]}",
            "Name the architecture it was made with",
        )


def _users(name: str, device: Any, precision: str) -> TorchEmbedder:
    made = resolve(name)()
    stock = sys.modules.get("fiftyone.core.models")  # whoever made one of its models has imported it
    if stock is not None and isinstance(made, stock.Model):
        return from_fiftyone(name, made, torch.device(getattr(made, "device", None) or device), precision)
    if not isinstance(made, torch.nn.Module):
        raise InvalidInput(
            f"{name} returned a {type(made).__name__}",
            "Return a fiftyone.core.models.Model or a torch.nn.Module",
        )
    transforms = getattr(made, "transforms", None) or getattr(made, "preprocess", None)
    return TorchEmbedder(
        name, optimised(made, device, precision), _users_inputs(transforms), device, precision
    )


def _users_inputs(transforms: Any) -> Inputs:
    if callable(transforms):
        return split(transforms)
    from torchvision.transforms import CenterCrop, Resize

    return Inputs((Resize(256), CenterCrop(224)), *_IMAGENET)


def _default_collate(batch: list[Any]) -> Any:
    return torch.utils.data.dataloader.default_collate(batch)


def _unused(_images: Any) -> Any:
    raise RuntimeError("a stock model embeds by itself")

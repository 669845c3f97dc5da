"""What can turn a picture into a vector: the built-in descriptor, zoo models, torchvision, the user's own.

Names: ``kitescope-descriptor`` · a name of FiftyOne's model zoo · ``torchvision:resnet50`` ·
``torchvision:resnet50@/path/weights.pth`` · ``huggingface:/folder``, or a name on the hub ·
``openclip:/folder`` · ``openclip:ViT-B-32@/path/weights.pt``, or the name of weights ·
``package.module:callable``, with ``@/folder`` where the module is · ``/path/file.py:callable``.
A callable takes nothing and returns a ``fiftyone.core.models.Model`` or a ``torch.nn.Module``.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from PIL import Image

from tui.core.errors import InvalidInput, UnknownName
from tui.core.progress import OnEvent, ignore
from tui.core.vision import catalog, naming
from tui.core.vision.descriptor import BUILTIN, DIM, Descriptor, useless
from tui.core.vision.devices import before_torch
from tui.core.vision.naming import absolute

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = [
    "BUILTIN",
    "Embedder",
    "ModelInfo",
    "absolute",
    "certain_info",
    "list_models",
    "load_model",
    "model_info",
    "no_prompts",
]

Source = Literal["built-in", "fiftyone-zoo", "torchvision", "huggingface", "openclip", "user"]
LOADED_TO_KNOW: tuple[Source, ...] = ("user", "huggingface", "openclip")
"""Whose dimension and prompts only the loaded model tells."""

PRECISIONS = ("auto", "fp32", "bf16", "fp16")
DECODINGS = ("auto", "full", "reduced")


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """One model as it can be told without loading it; ``dim`` and ``size_mb`` are None where unknown."""

    name: str
    source: Source
    dim: int | None
    supports_prompts: bool
    downloaded: bool
    size_mb: float | None


class Embedder(Protocol):
    """A loaded model. `prepare` runs in workers, `embed` and `embed_text` in one thread at a time."""

    name: str
    dim: int
    supports_prompts: bool
    input_size: tuple[int, int] | None
    """Pixels that are enough for it, so that a JPEG may be decoded at reduced scale; None: decode fully."""
    upright: bool
    """Whether whole pictures are turned by their EXIF orientation first."""
    share: Literal["threads", "processes"]
    batch_size: int
    max_batch_size: int
    """How far a batch may grow while that is faster; ``batch_size`` where that is known to be the best."""
    notice: str
    """What the user should know, such as an unused GPU; empty when all is well."""

    def prepare(self, image: Image.Image) -> Any:
        """Turn one RGB picture into the model's input."""

    def embed(self, batch: Sequence[Any]) -> NDArray[np.float32]:
        """Embed prepared inputs: float32 of shape ``(n, dim)``."""

    def embed_text(self, text: str) -> NDArray[np.float32]:
        """Embed a prompt: float32 of shape ``(dim,)``.

        Raises:
            InvalidInput: the model knows no text.
        """

    def close(self) -> None:
        """Give memory back."""


def list_models() -> list[ModelInfo]:
    """All models known by name: built-in first, then FiftyOne's zoo and torchvision by name."""
    return [_info(name) for name in (BUILTIN, *sorted(catalog.zoo()), *(_tv(n) for n in catalog.TORCHVISION))]


def model_info(name: str) -> ModelInfo:
    """What is known of one model without loading it; cheap enough to check a name before a job starts.

    Raises:
        UnknownName: no model can have that name.
    """
    if name == BUILTIN or name in catalog.zoo() or ":" in name.strip(":"):
        return _info(name)
    known = [info.name for info in list_models()]
    near = (
        difflib.get_close_matches(name, known, 3, 0.5)
        or [other for other in known if name and name.lower() in other][:3]
    )
    hint = f"Did you mean {' or '.join(near)}" if near else "See kitescope models list"
    raise UnknownName(f"There is no model {name!r}", hint)


def certain_info(name: str) -> ModelInfo:
    """What is true of one model: the user's own is loaded to find out what nobody else can tell.

    Raises:
        UnknownName, InvalidInput, KitescopeError: as `load_model`.
    """
    info = model_info(name)
    if info.source not in LOADED_TO_KNOW:
        return info
    model = load_model(name, device="cpu")
    try:
        return replace(info, dim=model.dim, supports_prompts=model.supports_prompts)
    finally:
        model.close()


def load_model(
    name: str,
    *,
    device: str = "auto",
    precision: str = "auto",
    decode: str = "auto",
    on_event: OnEvent = ignore,
) -> Embedder:
    """Load a model, downloading its weights first when they are not on disk.

    Args:
        name: see above.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:1``; of several the first. The built-in model always
            runs on the CPU, and its ``notice`` says so to who asked for more.
        precision: ``fp32``, ``bf16``, ``fp16``; ``auto`` is fp32, so that vectors equal stock FiftyOne's.
            What the device lacks is replaced, and the model's ``notice`` says so.
        decode: ``full``, or ``reduced``: JPEGs at 1/2, 1/4 or 1/8 scale where the model makes them smaller
            still, with vectors within 0.001 in cosine distance. ``auto`` is reduced for the built-in model
            and torchvision by name, and full for the others, so that vectors equal stock FiftyOne's.
        on_event: hears of the download's bytes as phase ``model``.

    Raises:
        UnknownName: there is no such model.
        InvalidInput: a device, precision, decoding, checkpoint or callable that cannot be used.
        KitescopeError: its weights cannot be downloaded or loaded.
    """
    if precision not in PRECISIONS:
        raise InvalidInput(f"There is no precision {precision!r}", f"Use one of {', '.join(PRECISIONS)}")
    if decode not in DECODINGS:
        raise InvalidInput(f"There is no decoding {decode!r}", f"Use one of {', '.join(DECODINGS)}")
    info = model_info(name)
    if info.source == "built-in":
        return Descriptor(full=decode == "full", notice=useless(device, precision))
    before_torch()
    from tui.core.vision import torch_models  # torch takes seconds to import

    return torch_models.load(name, info.source, device, precision, decode, on_event)


def no_prompts(model: str, text: str) -> InvalidInput:
    """The error for a prompt given to a model that knows no text."""
    shown = text if len(text) <= 40 else f"{text[:39]}…"
    return InvalidInput(
        f"The model {model} knows no text, so it cannot embed {shown!r}",
        "Use a model that supports prompts, such as clip-vit-base32-torch",
    )


def _info(name: str) -> ModelInfo:
    if name == BUILTIN:
        return ModelInfo(name, "built-in", DIM, supports_prompts=False, downloaded=True, size_mb=None)
    if name in catalog.zoo():
        model = catalog.zoo()[name]
        size = round(model.size_bytes / 1e6, 1) if model.size_bytes else None
        return ModelInfo(
            name, "fiftyone-zoo", model.dim, model.supports_prompts, model.downloaded, size_mb=size
        )
    if name.startswith(naming.TORCHVISION):
        return _torchvision_info(name)
    if name.startswith((naming.HUGGING_FACE, naming.OPEN_CLIP)):
        return _checkpoint_info(name)
    return ModelInfo(name, "user", None, supports_prompts=False, downloaded=True, size_mb=None)


def _torchvision_info(name: str) -> ModelInfo:
    architecture, _, weights = name.removeprefix(naming.TORCHVISION).partition("@")
    dim, size = catalog.TORCHVISION.get(architecture, (None, None))
    there = Path(weights).is_file() if weights else catalog.torchvision_downloaded(architecture)
    return ModelInfo(name, "torchvision", dim, supports_prompts=False, downloaded=there, size_mb=size)


def _checkpoint_info(name: str) -> ModelInfo:
    there = naming.is_on_disk(name)
    if name.startswith(naming.OPEN_CLIP):
        return ModelInfo(name, "openclip", None, supports_prompts=True, downloaded=there, size_mb=None)
    config = naming.hugging_face_config(name.removeprefix(naming.HUGGING_FACE)) or {}
    dim = config.get("projection_dim") if naming.takes_text(config) else config.get("hidden_size")
    return ModelInfo(
        name,
        "huggingface",
        dim if isinstance(dim, int) else None,
        supports_prompts=naming.takes_text(config),
        downloaded=there,
        size_mb=None,
    )


def _tv(name: str) -> str:
    return f"{naming.TORCHVISION}{name}"

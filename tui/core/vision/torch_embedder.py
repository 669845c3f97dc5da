"""Running a torch model on prepared pictures at the machine's speed, with the numbers stock FiftyOne gets.

Workers do only what Pillow does and hand over bytes; scaling and normalising happen on the whole batch, on
the device, with the same operations in the same order as torchvision's transforms.
"""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from math import ceil
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from PIL import Image
from torch.overrides import TorchFunctionMode

if TYPE_CHECKING:
    from numpy.typing import NDArray

_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}
# Pixels in one forward pass. On a CPU a batch that leaves the cache is slower than its pictures one by one.
# Nor may a layer's values pass 32 MiB there: beyond, the C library asks the kernel for new pages every time.
_PIXELS = {"cpu": 6 * 224 * 224, "cuda": 512 * 224 * 224}
_BATCH = {"cpu": 32, "cuda": 64}
_MOST = {"cuda": 512}  # pictures; on a CPU passes are smaller than any batch


@dataclass(frozen=True)
class Inputs:
    """How a picture becomes the model's input.

    Args:
        steps: on the Pillow image, in workers.
        mean, std: of the channels, on the batch; None leaves values in [0, 1].
        whole: instead of all that, one callable from a Pillow image to a tensor.
    """

    steps: tuple[Callable[[Image.Image], Image.Image], ...] = ()
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    whole: Callable[[Image.Image], Any] | None = None


@dataclass
class TorchEmbedder:
    """A torch model as an `Embedder`.

    Args:
        forward: from a batch (n, 3, h, w) on the device to its vectors.
        inputs: see there.
        device, precision: where, and how exactly; ``auto`` is fp32.
        prompt: from a text to its vector, for models that know text.
    """

    name: str
    forward: Callable[[Any], Any]
    inputs: Inputs
    device: Any
    precision: str = "fp32"
    prompt: Callable[[str], Any] | None = None
    input_size: tuple[int, int] | None = None
    notice: str = ""
    upright: bool = False
    share: Literal["threads", "processes"] = "threads"
    batch_size: int = field(init=False)
    max_batch_size: int = field(init=False)
    supports_prompts: bool = field(init=False)
    dim: int = field(init=False)

    def __post_init__(self) -> None:
        self.batch_size = _BATCH.get(self.device.type, 16)
        self.max_batch_size = _MOST.get(self.device.type, self.batch_size)
        self.supports_prompts = self.prompt is not None
        # Once: sending them with each batch would wait for the GPU.
        given = self.inputs.mean, self.inputs.std
        self._normal = (
            [torch.tensor(values, device=self.device).view(1, -1, 1, 1) for values in given]
            if None not in given
            else None
        )
        sample = Image.fromarray(np.random.default_rng(0).integers(0, 255, (256, 256, 3), dtype=np.uint8))
        self.dim = int(self.embed([self.prepare(sample)]).shape[1])

    @property
    def transforms(self) -> Any:
        """What is done to a picture, as one callable or as steps."""
        return self.inputs.whole or self.inputs.steps

    def prepare(self, image: Image.Image) -> Any:
        """uint8 of shape ``(h, w, 3)``, or what the model's own transform makes."""
        if self.inputs.whole is not None:
            return self.inputs.whole(image)
        for step in self.inputs.steps:
            image = step(image)
        return np.array(image, dtype=np.uint8)

    def embed(self, batch: Sequence[Any]) -> NDArray[np.float32]:
        """Embed prepared inputs of any sizes: float32 of shape ``(n, dim)``, in their order."""
        rows: list[NDArray[np.float32] | None] = [None] * len(batch)
        for places in self._passes(batch):
            vectors = self._run([batch[place] for place in places])
            for place, vector in zip(places, vectors, strict=True):
                rows[place] = vector
        return np.stack([row for row in rows if row is not None])

    def embed_text(self, text: str) -> NDArray[np.float32]:
        """Embed a prompt: float32 of shape ``(dim,)``.

        Raises:
            InvalidInput: the model knows no text.
        """
        if self.prompt is None:
            from tui.core.models import no_prompts

            raise no_prompts(self.name, text)
        with self._running(foreign=True):
            return to_rows(self.prompt(text)).reshape(-1)

    def close(self) -> None:
        """Give the model's memory back, the device's too."""
        self.forward, self.prompt = _closed, None
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def _passes(self, batch: Sequence[Any]) -> Iterator[list[int]]:
        """Places in the batch that go through the model together: of one size, and not too many pixels."""
        sizes: dict[Any, list[int]] = defaultdict(list)
        for place, value in enumerate(batch):
            sizes[tuple(value.shape)].append(place)
        for shape, places in sizes.items():
            pixels = int(np.prod(shape)) // 3
            most = max(1, _PIXELS.get(self.device.type, _PIXELS["cpu"]) // max(pixels, 1))
            if self.device.type == "cuda":  # a small pass at the end would leave most of a GPU idle
                most = ceil(len(places) / ceil(len(places) / most))
            for start in range(0, len(places), most):
                yield places[start : start + most]

    def _run(self, values: Sequence[Any]) -> NDArray[np.float32]:
        with self._running():
            if self.inputs.whole is not None:
                images = torch.stack([torch.as_tensor(value) for value in values]).to(self.device)
            else:
                images = self._images(np.stack(values))
            return to_rows(self.forward(images))

    def _images(self, pixels: NDArray[np.uint8]) -> Any:
        images = torch.from_numpy(pixels)
        if self.device.type == "cuda":
            images = images.pin_memory().to(self.device, non_blocking=True)
        # Height, width, channels in memory, seen as channels first: torch's channels_last, for nothing.
        images = images.permute(0, 3, 1, 2).to(torch.float32).div_(255)
        if self._normal is not None:
            mean, std = self._normal
            images = images.sub_(mean).div_(std)
        return images

    @contextlib.contextmanager
    def _running(self, *, foreign: bool = False) -> Iterator[None]:
        """What holds while the model works: for a thread each, and another one may have loaded the model.

        Args:
            foreign: its own code makes arrays of what it says.
        """
        with contextlib.ExitStack() as stack:
            stack.enter_context(torch.inference_mode())
            if self.device.type == "cuda":
                stack.enter_context(torch.cuda.device(self.device))
            if self.precision in _DTYPES:
                stack.enter_context(torch.autocast(self.device.type, dtype=_DTYPES[self.precision]))
            if foreign and self.precision == "bf16":
                stack.enter_context(_ForNumpy())
            yield


class _ForNumpy(TorchFunctionMode):  # type: ignore[misc]  # torch is not followed
    """Numpy has no bf16, and a model's own code does not expect its numbers to be that."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.Tensor.numpy and args[0].dtype is torch.bfloat16:
            args = (args[0].float(), *args[1:])
        return func(*args, **(kwargs or {}))


def to_rows(output: Any) -> NDArray[np.float32]:
    """What a model returned as float32 of shape ``(n, dim)``.

    Raises:
        ValueError: it is not one vector for each picture.
    """
    if isinstance(output, torch.Tensor):
        output = output.detach().float().cpu().numpy()
    rows = np.asarray(output, dtype=np.float32)
    rows = rows.reshape(1, -1) if rows.ndim == 1 else rows
    if rows.ndim > 2 and rows[0].size != max(rows.shape[1:]):
        raise ValueError(f"the model's output has the shape {rows.shape[1:]} for one picture, not a vector")
    return rows.reshape(len(rows), -1)


def split(transforms: Any) -> Inputs:
    """Take torchvision's or FiftyOne's transforms apart where that changes no number; else keep them."""
    from torchvision.transforms import CenterCrop, Normalize, Resize, ToTensor

    steps = list(getattr(transforms, "transforms", ()))
    names = ("ToPILImage", "MinResize", "MaxResize", "PatchSize")
    cut = next((place for place, step in enumerate(steps) if isinstance(step, ToTensor)), -1)
    pictures, rest = steps[:cut], steps[cut + 1 :]
    known = all(isinstance(step, Resize | CenterCrop) or type(step).__name__ in names for step in pictures)
    if cut < 0 or not known or len(rest) > 1 or not all(isinstance(step, Normalize) for step in rest):
        return _split_preset(transforms)
    mean, std = (tuple(rest[0].mean), tuple(rest[0].std)) if rest else (None, None)
    return Inputs(tuple(pictures), mean, std)


def _split_preset(transforms: Any) -> Inputs:
    from torchvision.transforms import CenterCrop, Resize
    from torchvision.transforms._presets import ImageClassification

    if not isinstance(transforms, ImageClassification):
        return Inputs(whole=transforms)
    resize = Resize(transforms.resize_size, interpolation=transforms.interpolation)
    crop = CenterCrop(transforms.crop_size)
    return Inputs((resize, crop), tuple(transforms.mean), tuple(transforms.std))


def _closed(_images: Any) -> Any:
    raise RuntimeError("the model was closed")

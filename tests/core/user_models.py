"""Models as a user would write them, made from seeds: nothing is downloaded."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torchvision


def _seeded(name: str) -> Any:
    """A network whose vectors differ between pictures: random weights, batch norms that have seen some."""
    torch.manual_seed(0)
    module = torchvision.models.get_model(name, weights=None)
    module.train()
    with torch.no_grad():
        for _ in range(4):
            module(torch.randn(8, 3, 96, 96))
    return module.eval()


def zoo_like() -> Any:
    """What FiftyOne's zoo hands over for mobilenet-v2-imagenet-torch, but for the weights."""
    from fiftyone.utils.torch import TorchImageModel, TorchImageModelConfig

    return TorchImageModel(
        TorchImageModelConfig(
            {
                "model": _seeded("mobilenet_v2"),
                "image_min_dim": 224,
                "image_max_dim": 2048,
                "image_mean": [0.485, 0.456, 0.406],
                "image_std": [0.229, 0.224, 0.225],
                "embeddings_layer": "<classifier.1",
            }
        )
    )


def resizing() -> Any:
    """A FiftyOne model that resizes to a fixed size, so that stock batches it too."""
    from fiftyone.utils.torch import TorchImageModel, TorchImageModelConfig

    config = {"model": _seeded("shufflenet_v2_x0_5"), "image_size": [128, 128], "embeddings_layer": "<fc"}
    return TorchImageModel(TorchImageModelConfig(config))


def no_torch() -> Any:
    """A FiftyOne model without torch that takes arrays and understands words."""
    from fiftyone.core.models import EmbeddingsMixin, Model, PromptMixin

    class Colours(EmbeddingsMixin, PromptMixin, Model):
        words = ("red", "green", "blue")

        @property
        def media_type(self) -> str:
            return "image"

        @property
        def has_embeddings(self) -> bool:
            return True

        @property
        def can_embed_prompts(self) -> bool:
            return True

        @property
        def ragged_batches(self) -> bool:
            return True

        @property
        def transforms(self) -> None:
            return None

        def predict(self, arg: Any) -> None:
            raise NotImplementedError

        def embed(self, arg: Any) -> Any:
            return np.asarray(arg, float).reshape(-1, 3).mean(axis=0) / 255

        def embed_prompt(self, arg: str) -> Any:
            return np.array([float(word in arg) for word in self.words])

        def embed_prompts(self, args: list[str]) -> Any:
            return np.stack([self.embed_prompt(arg) for arg in args])

    return Colours()


def elsewhere() -> Any:
    """A FiftyOne model that chose its device itself: where it runs does not matter to this one."""
    made = no_torch()
    type(made).device = torch.device("meta")
    return made


def module() -> Any:
    """A bare torch module that says how its pictures are to be prepared."""
    made = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(4), torch.nn.Flatten())
    made.transforms = torchvision.transforms.Compose(
        [torchvision.transforms.Resize((32, 32)), torchvision.transforms.ToTensor()]
    )
    return made


def not_a_model() -> str:
    return "nothing"


def maps() -> Any:
    """A module whose output is not one vector for each picture."""
    return torch.nn.Conv2d(3, 4, 3)

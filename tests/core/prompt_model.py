"""A small CLIP-like model of the digits as a FiftyOne zoo model: one tower for pictures, one for words."""

from __future__ import annotations

import json
import zlib
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from fiftyone.core.models import PromptMixin
from fiftyone.utils.torch import TorchImageModel, TorchImageModelConfig
from PIL import Image

NAME = "digits-clip-torch"
WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_SIDE, _DIM, _BUCKETS = 16, 32, 997


class Towers(torch.nn.Module):
    """Pictures by a small convolutional network, words by an embedding of their hashes."""

    def __init__(self) -> None:
        super().__init__()
        self.visual = torch.nn.Sequential(
            torch.nn.Conv2d(3, 16, 3, padding=1), torch.nn.BatchNorm2d(16), torch.nn.ReLU(),
            torch.nn.MaxPool2d(2), torch.nn.Conv2d(16, 32, 3, padding=1), torch.nn.ReLU(),
            torch.nn.MaxPool2d(2), torch.nn.Flatten(), torch.nn.Linear(32 * 16, _DIM),
        )  # fmt: skip
        self.words = torch.nn.EmbeddingBag(_BUCKETS, _DIM)

    def forward(self, images: Any) -> Any:
        return self.visual(images)

    def embed_words(self, prompts: list[str]) -> Any:
        codes = [[zlib.crc32(word.encode()) % _BUCKETS for word in text.lower().split()] for text in prompts]
        offsets = np.cumsum([0, *map(len, codes[:-1])])
        return self.words(torch.tensor([*chain(*codes)]), torch.tensor(offsets))


class DigitsClipConfig(TorchImageModelConfig):
    """The usual settings."""


class DigitsClip(TorchImageModel, PromptMixin):
    """Stock FiftyOne's own machinery around the towers."""

    @property
    def can_embed_prompts(self) -> bool:
        return True

    def embed_prompt(self, arg: str) -> Any:
        return self.embed_prompts([arg])[0]

    def embed_prompts(self, args: list[str]) -> Any:
        with torch.no_grad():
            return self._model.embed_words(list(args)).numpy()


def network(weights: str) -> Towers:
    """FiftyOne's entry point."""
    towers = Towers()
    towers.load_state_dict(torch.load(weights, weights_only=True))
    return towers


def train(folder: Path) -> Path:
    """Train on the digits for some seconds and write a zoo manifest that names the model."""
    from sklearn.datasets import load_digits

    torch.manual_seed(0)
    digits = load_digits()
    grey = [Image.fromarray((one * (255 / 16)).astype("uint8")) for one in digits.images]
    pixels = (
        np.stack([np.asarray(one.resize((_SIDE, _SIDE)).convert("RGB"), np.float32) for one in grey]) / 255
    )
    images, labels = torch.from_numpy(pixels).permute(0, 3, 1, 2), torch.from_numpy(digits.target)
    towers = Towers()
    optimizer = torch.optim.Adam(towers.parameters(), 3e-3)
    for _ in range(8):
        for rows in torch.randperm(len(images)).split(64):
            near = torch.nn.functional.normalize(towers(images[rows]), dim=1)
            words = torch.nn.functional.normalize(towers.embed_words(list(WORDS)), dim=1)
            loss = torch.nn.functional.cross_entropy(10 * near @ words.T, labels[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    torch.save(towers.eval().state_dict(), folder / "towers.pth")
    return _manifest(folder)


def _manifest(folder: Path) -> Path:
    config = {
        "entrypoint_fcn": "tests.core.prompt_model.network",
        "entrypoint_args": {"weights": str(folder / "towers.pth")},
        "image_size": [_SIDE, _SIDE],
        "embeddings_layer": "visual",
    }
    entry = {
        "base_name": NAME,
        "tags": ["embeddings", "text-embeddings", "torch"],
        "default_deployment_config_dict": {"type": "tests.core.prompt_model.DigitsClip", "config": config},
        "requirements": {"packages": ["torch"], "cpu": {"support": True}, "gpu": {"support": True}},
    }
    path = folder / "zoo.json"
    path.write_text(json.dumps({"models": [entry]}))
    return path

"""Small transformers and CLIPs with random weights, laid out in a folder as their libraries do."""

from __future__ import annotations

import json
import string
from pathlib import Path

import torch

_SIZES = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
_SQUARE = {"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}}


def hugging_face_clip(folder: Path) -> Path:
    """Two towers and their processor; the tokenizer spells words letter by letter."""
    import transformers

    torch.manual_seed(0)
    text = {**_SIZES, "vocab_size": 60, "max_position_embeddings": 40}
    config = transformers.CLIPConfig(
        text_config={**text, "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1},
        vision_config={**_SIZES, "image_size": 32, "patch_size": 8},
        projection_dim=16,
    )
    transformers.CLIPModel(config).save_pretrained(folder)
    letters = string.ascii_lowercase
    words = ["<|startoftext|>", "<|endoftext|>", *letters, *(f"{one}</w>" for one in letters)]
    (folder / "vocab.json").write_text(json.dumps({word: at for at, word in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    pictures = transformers.CLIPImageProcessor(**_SQUARE)
    tokens = transformers.CLIPTokenizer.from_pretrained(folder)
    transformers.CLIPProcessor(pictures, tokens).save_pretrained(folder)
    return folder


def hugging_face_plain(folder: Path, width: int = 32) -> Path:
    """A transformer for pictures alone; its weights are 3 MB with a width of 256."""
    import transformers

    torch.manual_seed(0)
    config = transformers.Dinov2Config(**{**_SIZES, "hidden_size": width}, image_size=32, patch_size=8)
    transformers.Dinov2Model(config).save_pretrained(folder)
    transformers.BitImageProcessor(**_SQUARE).save_pretrained(folder)
    return folder


def open_clip(folder: Path) -> Path:
    """A folder as OpenCLIP writes it for the hub."""
    import open_clip as library

    torch.manual_seed(0)
    model = {
        "embed_dim": 16,
        "vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 8},
        "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
    }
    folder.mkdir()
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": model, "preprocess_cfg": {}}))
    torch.save(library.CLIP(**model).state_dict(), folder / "open_clip_pytorch_model.bin")
    return folder

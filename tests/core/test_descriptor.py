from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.core.pictures import PictureItem, photo
from tui.core.demo import write_digits
from tui.core.embedding import embed
from tui.core.errors import InvalidInput
from tui.core.models import load_model
from tui.core.vision.descriptor import BUILTIN, DIM, Descriptor


def test_neighbours_of_the_digits_carry_their_label(tmp_path: Path) -> None:
    labels = np.array(write_digits(tmp_path))
    files = sorted(tmp_path.glob("*.png"))
    assert len(files) == len(labels) == 1797
    items = [PictureItem(str(number), str(file)) for number, file in enumerate(files)]
    vectors = np.concatenate([batch.vectors for batch in embed(items, load_model(BUILTIN))])
    cosine = vectors @ vectors.T
    np.fill_diagonal(cosine, -np.inf)
    nearest = np.argsort(-cosine, axis=1)[:, :10]
    share = float((labels[nearest] == labels[:, None]).mean())
    assert share > 0.975, f"only {share:.4f} of the neighbours carry the sample's label"


def test_vectors_are_of_length_one_also_for_blank_pictures() -> None:
    model = Descriptor()
    pictures = [photo(), *(Image.new("RGB", (64, 64), colour) for colour in ("black", "white", "red"))]
    pictures += [Image.new("RGB", (1, 1)), Image.new("RGB", (3, 2000), "blue")]
    vectors = model.embed([model.prepare(picture) for picture in pictures])
    assert vectors.shape == (6, DIM) and vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_colour_tells_equal_shapes_apart() -> None:
    model = Descriptor()
    red, green, dark_red = (
        Image.new("RGB", (64, 64), c) for c in ((220, 20, 20), (20, 220, 20), (200, 10, 10))
    )
    a, b, c = (model.prepare(picture) for picture in (red, green, dark_red))
    assert a @ c > 0.99 > a @ b


def test_a_picture_is_nearest_to_its_own_smaller_and_recompressed_self(tmp_path: Path) -> None:
    model = Descriptor()
    pictures = [photo(seed) for seed in range(12)]
    vectors = np.stack([model.prepare(picture) for picture in pictures])
    for number, picture in enumerate(pictures):
        picture.resize((200, 150)).save(tmp_path / "again.jpg", quality=60)
        again = model.prepare(Image.open(tmp_path / "again.jpg"))
        assert int(np.argmax(vectors @ again)) == number


def test_it_knows_no_text() -> None:
    with pytest.raises(InvalidInput, match=r"knows no text.*supports prompts"):
        Descriptor().embed_text("a seven")


@pytest.mark.parametrize(
    ("device", "precision", "word"),
    [
        ("cuda", "auto", "device cuda will not be used"),
        ("cpu,cuda:1", "bf16", "device cpu,cuda:1 and precision bf16"),
        ("auto", "fp16", "precision fp16"),
    ],
)
def test_who_asks_it_for_a_gpu_is_told_that_it_runs_on_the_cpu(
    device: str, precision: str, word: str
) -> None:
    notice = load_model(BUILTIN, device=device, precision=precision).notice
    assert notice.startswith(f"{BUILTIN} always runs on the CPU") and word in notice
    assert load_model(BUILTIN, device="auto").notice == load_model(BUILTIN, device="cpu,cpu").notice == ""

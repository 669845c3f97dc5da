"""The built-in model: a classic image descriptor that needs no download, no torch and no GPU.

Shape by histograms of oriented gradients (scikit-image), colour by a coarse histogram; one unit vector.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from PIL import Image

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


BUILTIN = "kitescope-descriptor"

_SIDE = 48  # pixels; HOG sees the whole picture, squeezed to a square
_CELL = 8
_ORIENTATIONS = 8
_COLOUR_SIDE = 32
_COLOUR_LEVELS = 4  # per channel
_COLOUR_WEIGHT = (
    0.5  # of the shape's weight; more of it, and grey pictures are told apart by brightness alone
)

_SHAPE_DIM = (_SIDE // _CELL - 1) ** 2 * 4 * _ORIENTATIONS
DIM = _SHAPE_DIM + _COLOUR_LEVELS**3


class Descriptor:
    """HOG and colour histogram as an `Embedder`. Its work is in `prepare`, so that it can be shared out.

    Args:
        full: decode JPEGs at full scale.
        notice: what the user should know.
    """

    name = BUILTIN
    dim: int = DIM
    supports_prompts = False
    upright = True
    share: Literal["threads", "processes"] = "processes"
    batch_size = max_batch_size = 64

    def __init__(self, *, full: bool = False, notice: str = "") -> None:
        self.notice = notice
        self.input_size: tuple[int, int] | None = None if full else (2 * _SIDE, 2 * _SIDE)

    def prepare(self, image: Image.Image) -> NDArray[np.float32]:
        """Describe one RGB picture by a vector of shape ``(dim,)`` and length 1."""
        import numpy as np

        vector = np.concatenate([_shape(image), _COLOUR_WEIGHT * _colours(image)])
        vector /= np.linalg.norm(vector)
        return vector.astype(np.float32, copy=False)

    def embed(self, batch: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        """Stack what `prepare` returned: float32 of shape ``(n, dim)``."""
        import numpy as np

        return np.stack(batch)

    def embed_text(self, text: str) -> NDArray[np.float32]:
        """The descriptor knows no words.

        Raises:
            InvalidInput: always.
        """
        from tui.core.models import no_prompts

        raise no_prompts(self.name, text)

    def close(self) -> None:
        """Nothing is held."""


def useless(device: str, precision: str) -> str:
    """A sentence for who asked the built-in model for a GPU or a precision; empty for who did not."""
    asked = [
        *([f"device {device}"] if "cuda" in device else []),
        *([f"precision {precision}"] if precision not in ("auto", "fp32") else []),
    ]
    if not asked:
        return ""
    return f"{BUILTIN} always runs on the CPU, in fp32: {' and '.join(asked)} will not be used"


def _shape(image: Image.Image) -> NDArray[np.float32]:
    import numpy as np
    from skimage.feature import hog

    grey = image.convert("L").resize((_SIDE, _SIDE), Image.Resampling.BILINEAR)
    vector = hog(
        np.asarray(grey, dtype=np.float32) / 255,
        orientations=_ORIENTATIONS,
        pixels_per_cell=(_CELL, _CELL),
        cells_per_block=(2, 2),
        block_norm="L2-Hys",
    ).astype(np.float32)
    length = float(np.linalg.norm(vector))
    shape: NDArray[np.float32] = vector / length if length > 0 else vector  # a blank picture has no shape
    return shape


def _colours(image: Image.Image) -> NDArray[np.float32]:
    """The square root of a joint RGB histogram: of length 1, and a dot product of two is their overlap."""
    import numpy as np

    small = image.resize((_COLOUR_SIDE, _COLOUR_SIDE), Image.Resampling.BOX)
    levels = np.asarray(small).reshape(-1, 3).astype(np.int64) * _COLOUR_LEVELS // 256
    codes = (levels[:, 0] * _COLOUR_LEVELS + levels[:, 1]) * _COLOUR_LEVELS + levels[:, 2]
    counts = np.bincount(codes, minlength=_COLOUR_LEVELS**3)
    colours: NDArray[np.float32] = np.sqrt(counts / counts.sum(), dtype=np.float32)
    return colours

"""How far transforms shrink a picture at first: a JPEG need not be decoded much larger than that."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_ROOM = 2
"""Sides this much longer than what the model looks at keep vectors within 0.001 of full decoding, in cosine
distance (see the tests)."""


def enough_pixels(transforms: Any) -> tuple[int, int] | None:
    """Width and height that are enough for transforms; None when they do not begin with a resize.

    Args:
        transforms: steps or one step of torchvision's, or what FiftyOne makes of a processor of transformers.
    """
    if hasattr(transforms, "processor"):
        side = _of_processor(transforms.processor, getattr(transforms, "kwargs", {}))
    else:
        steps = getattr(transforms, "transforms", transforms)
        steps = steps if isinstance(steps, list | tuple) else [steps]
        side = _of_resize(next((step for step in steps if type(step).__name__ != "ToPILImage"), None))
    return (_ROOM * side, _ROOM * side) if side else None


def _of_resize(step: Any) -> int | None:
    """The longest side that a Resize asks for, unless it leaves pixels out unseen."""
    from torchvision.transforms import InterpolationMode, Resize, v2

    if not isinstance(step, Resize | v2.Resize) or step.interpolation == InterpolationMode.NEAREST:
        return None
    size = step.size
    return size if isinstance(size, int) else max(size or (0,))


def _of_processor(processor: Any, given: Mapping[str, Any]) -> int | None:
    """The longest side that a processor resizes to, before it crops."""
    from PIL.Image import Resampling

    images = getattr(processor, "image_processor", processor)
    size = given.get("size", getattr(images, "size", None))
    resizes = getattr(images, "do_resize", False) and getattr(images, "resample", None) != Resampling.NEAREST
    if not resizes or not hasattr(size, "get"):
        return None
    sides = [size.get(name) for name in ("height", "width", "shortest_edge", "longest_edge")]
    return int(max((side for side in sides if side), default=0) / (getattr(images, "crop_pct", None) or 1))

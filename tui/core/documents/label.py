"""One label of a picture, as what can be drawn. Nothing heavy is imported: who paints needs no database."""

from __future__ import annotations

from dataclasses import dataclass

Box = tuple[float, float, float, float]
Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Label:
    """One label of a picture; coordinates are relative to its size.

    Attributes:
        field: the label field.
        name: what it says, as the data has it.
        confidence: of a prediction.
        id: the label's own id.
        box: of a detection; with ``mask`` the mask fills it, otherwise a mask fills the picture.
        lines: of a polyline, each open or, with ``closed``, closed.
        points: of keypoints.
        mask: as the database has it: the compressed bytes of ``numpy.save``.
        mask_path: a file with the mask instead.
        heat: of a heatmap, whose map is then the mask: the values of nothing and of most. None in it
            stands for what FiftyOne assumes: 0, and 1 for floats, 255 for integers, 65,535 in a 16-bit file.
    """

    field: str
    name: str = ""
    confidence: float | None = None
    id: str = ""
    box: Box | None = None
    lines: tuple[tuple[Point, ...], ...] = ()
    closed: bool = False
    points: tuple[Point, ...] = ()
    mask: bytes | None = None
    mask_path: str | None = None
    heat: tuple[float | None, float | None] | None = None

    @property
    def text(self) -> str:
        """Name and confidence."""
        sure = "" if self.confidence is None else f"{self.confidence:.2f}"
        return " ".join(filter(None, (self.name, sure)))

    @property
    def is_drawn(self) -> bool:
        """Whether it has a place on the picture; otherwise it is about all of it."""
        return bool(self.box or self.lines or self.points or self.mask or self.mask_path)

"""What of a dataset is meant. A value: it reads nothing, so that a screen can name it before any engine."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Scope:
    """Which images or patches of a dataset.

    Attributes:
        dataset: its name.
        patches_field: a label field; then the items are its labels, not the samples.
        view: a saved view of samples.
        tags: samples that have any of these tags.
        where: (field path, value) pairs that must all hold; a label field means its label. A path
            inside ``patches_field`` is asked of each patch, any other of its sample. A path that ends with
            ``>`` or ``<`` asks for at least or at most the value; several ids may be given, with commas.
        limit: the first so many samples.
        slices: of a grouped dataset, whose files are samples of their own then.
    """

    dataset: str
    patches_field: str | None = None
    view: str | None = None
    tags: tuple[str, ...] = ()
    where: tuple[tuple[str, str], ...] = ()
    limit: int | None = None
    slices: tuple[str, ...] = ()

    @property
    def is_whole(self) -> bool:
        """Whether nothing narrows it down: every sample, or every patch of its field."""
        narrowed = self.view is not None or self.tags or self.where or self.limit is not None or self.slices
        return not narrowed

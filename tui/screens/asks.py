"""What one can ask on the Search screen, and the history of it. No widgets here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from tui.core.errors import InvalidInput
from tui.core.files import expanded

if TYPE_CHECKING:
    from tui.core.documents.run_list import RunInfo
    from tui.core.querying.query import Query
    from tui.core.search import Hit
    from tui.widgets.grid import Tile

Box = tuple[float, float, float, float]
PAGE = 100
_REMEMBERED = 50


@dataclass(frozen=True, slots=True)
class Narrowing:
    """What counts: a saved view, any of some tags, fields that must have a value, and marked pictures."""

    view: str | None = None
    tags: tuple[str, ...] = ()
    where: tuple[tuple[str, str], ...] = ()
    marked: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.view or self.tags or self.where or self.marked)

    def conditions(self, patches_field: str | None) -> tuple[tuple[str, str], ...]:
        """All that is asked of fields, as ``Scope.where``; what is marked are samples, or patches."""
        if not self.marked:
            return self.where
        path = f"{patches_field}.id" if patches_field else "id"
        return (*self.where, (path, ",".join(self.marked)))

    def __str__(self) -> str:
        parts = [f"view {self.view}"] if self.view else []
        parts += [f"#{tag}" for tag in self.tags]
        parts += [f"{field}={value}" for field, value in self.where]
        parts += [f"{len(self.marked):,} marked"] if self.marked else []
        return " · ".join(parts)


@dataclass(frozen=True, slots=True)
class Ask:
    """One question; without anything to be near to or far from it means: browse.

    ``shown`` is the picture that stands for the question: path, box and label.
    """

    ids: tuple[str, ...] = ()
    not_ids: tuple[str, ...] = ()
    text: str | None = None
    image: str | None = None
    vector: str | None = None
    least: bool = False
    narrowing: Narrowing = Narrowing()
    shown: tuple[str, Box | None, str] | None = None

    @property
    def browses(self) -> bool:
        """Whether this shows the dataset as it is."""
        return not (self.ids or self.not_ids or self.text or self.image or self.vector)

    def same_as(self, other: Ask) -> bool:
        """Whether it asks the same; the picture that stands for it asks nothing."""
        return replace(self, shown=None) == replace(other, shown=None)

    def line(self) -> str:
        """The question as one would type it."""
        parts = []
        if self.ids:
            parts.append("id:" + ",".join(self.ids))
        for name, value in (("file", self.image), ("vector", self.vector)):
            if value:
                parts.append(f"{name}:{value}")
        if self.text:
            parts.append(self.text)
        if self.not_ids:
            parts.append("not:" + ",".join(self.not_ids))
        return " ".join(parts)

    def title(self) -> str:
        """The question for people, in a few words."""
        if self.browses:
            return "Browsing"
        label = self.shown[2] if self.shown else ""
        if self.ids:
            near = f"the mean of {len(self.ids)}" if len(self.ids) > 1 else (label or self.ids[0])
        elif self.text:
            near = f"“{self.text}”"
        elif self.image:
            near = Path(self.image).name
        else:
            near = Path(self.vector).name if self.vector else ""
        kind = "Least similar to" if self.least else "Similar to"
        unlike = f"unlike {len(self.not_ids)}" if self.not_ids else ""
        return " ".join(filter(None, (f"{kind} {near}" if near else "", unlike))).strip()

    def query(self, run: RunInfo, offset: int = 0, k: int = PAGE) -> Query:
        """The question as core takes it."""
        from tui.core.querying.query import Query

        return Query(
            run.dataset,
            run.brain_key,
            ids=self.ids,
            not_ids=self.not_ids,
            text=self.text,
            image=self.image,
            vector=self.vector,
            k=k,
            offset=offset,
            least=self.least,
            view=self.narrowing.view,
            tags=self.narrowing.tags,
            where=self.narrowing.conditions(run.patches_field),
        )


def parse(line: str) -> Ask:
    """Read a query line: ``id:A,B``, ``file:PATH``, ``vector:PATH`` or a text; ``not:C,D`` may follow.

    Raises:
        InvalidInput: nothing is asked for, or a name without its value.
    """
    words = line.strip()
    not_ids: tuple[str, ...] = ()
    head, found, tail = words.rpartition("not:")
    if found and (not head or head.endswith(" ")) and " " not in tail.strip():
        not_ids, words = _ids(tail), head.strip()
    for name in ("id", "file", "vector"):
        if words.startswith(f"{name}:"):
            value = words[len(name) + 1 :].strip()
            if not value:
                raise InvalidInput(
                    f"There is nothing after {name}:", "Write for example id:6523… or file:cat.jpg"
                )
            if name == "id":
                return Ask(ids=_ids(value), not_ids=not_ids)
            path = str(expanded(value))
            return Ask(image=path, not_ids=not_ids) if name == "file" else Ask(vector=path, not_ids=not_ids)
    if not words and not not_ids:
        raise InvalidInput("There is nothing to search for", "Type a text, id:… or file:…")
    return Ask(text=words or None, not_ids=not_ids)


def _ids(text: str) -> tuple[str, ...]:
    return tuple(part for part in text.replace(",", " ").split() if part)


@dataclass(slots=True)
class Step:
    """A question with what it found so far, and where the cursor was.

    Of browsing, which finds too much to keep, there are the ``total`` and the tiles that were ``seen`` last,
    each with its place: who comes back can act on them at once.

    One of an earlier session is not ``answered``: going there asks again. What is ``approximate`` may lack
    some of the least similar.
    """

    ask: Ask
    hits: tuple[Hit, ...] = ()
    total: int = 0
    seen: Mapping[int, Tile] = field(default_factory=dict)
    cursor: int = 0
    score: str = ""
    higher_is_closer: bool = True
    ended: bool = False
    elapsed_ms: float = 0.0
    answered: bool = True
    approximate: bool = False


class History:
    """Where the user has been: back and forward, as in a browser."""

    def __init__(self) -> None:
        self._steps: list[Step] = []
        self._at = -1
        self._earlier: tuple[Ask, ...] = ()

    def begin(self, earlier: Sequence[Ask]) -> None:
        """What was asked in earlier sessions lies before the first step."""
        self.clear()
        self._earlier = tuple(earlier)

    @property
    def current(self) -> Step | None:
        """The step that is shown."""
        return self._steps[self._at] if self._steps else None

    @property
    def steps(self) -> tuple[Step, ...]:
        """Every step, the oldest first."""
        return tuple(self._steps)

    @property
    def place(self) -> tuple[int, int]:
        """Number of the current step, from 1, and of all."""
        return self._at + 1, len(self._steps)

    def add(self, step: Step) -> None:
        """Go on from here; what lay ahead is forgotten. The same question again replaces the last."""
        if not self._steps:
            self._steps = [Step(ask, answered=False) for ask in self._earlier]
            self._at = len(self._steps) - 1
        if self.current is not None and self.current.ask.same_as(step.ask):
            self._steps[self._at] = step
            return
        self._steps = [*self._steps[: self._at + 1], step][-_REMEMBERED:]
        self._at = len(self._steps) - 1

    def near(self, by: int) -> Step | None:
        """The step before or after; None at the ends."""
        return self._steps[self._at + by] if 0 <= self._at + by < len(self._steps) else None

    def go(self, by: int) -> Step | None:
        """Go there; None at the ends."""
        if self.near(by) is None:
            return None
        self._at += by
        return self.current

    def clear(self) -> None:
        """Forget all."""
        self._steps, self._at, self._earlier = [], -1, ()

"""What FiftyOne's documents say of an index, asked for along with another question: one answer holds both."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from tui.core.documents.schema import LISTED
from tui.core.documents.views import VERSION

if TYPE_CHECKING:
    from tui.core.documents.schema import Record
    from tui.core.documents.views import Stage

_HELD = "document"


class Witness:
    """Looks once at a dataset's document, a run's, and which saved views there are of what time.

    Other documents may say the same, as when FiftyOne notes that it loaded the dataset; the same ones do.

    Attributes:
        saw: the documents; None while no question was asked.
    """

    def __init__(self, record: Record, key: str) -> None:
        self.saw: list[Any] | None = None
        self._wanted: list[tuple[str, list[Stage]]] = [
            ("datasets", [{"$match": {"name": record.name, **LISTED}}]),
            ("runs", [{"$match": {"_id": record.runs.get(key)}}]),
        ]
        if record.saved_views:
            known = {"_id": {"$in": list(record.saved_views)}}
            self._wanted.append(("views", [{"$match": known}, {"$project": VERSION}]))

    def questions(self) -> list[Stage]:
        """Stages for the end of a pipeline, which append the documents to what it finds: once, then none."""
        if self.saw is not None:
            return []
        held: Stage = {"$project": {"_id": 0, _HELD: "$$ROOT"}}
        return [{"$unionWith": {"coll": coll, "pipeline": [*of, held]}} for coll, of in self._wanted]

    def hear(self, rows: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """Take the documents out of an answer, and give the rest of it."""
        rest: list[Mapping[str, Any]] = []
        saw: list[Any] = []
        for row in rows:
            if _HELD in row:
                saw.append(row[_HELD])
            else:
                rest.append(row)
        if self.saw is None:
            self.saw = saw
        return rest

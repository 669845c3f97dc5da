"""What one can narrow a search by, as a list to pick from, and what a pick makes of the narrowing."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tui.screens.asks import Narrowing

if TYPE_CHECKING:
    from tui.core.datasets import DatasetDetail

EVERYTHING, OTHER, MARKED, LEFT_OUT = "everything", "other", "marked", "left out"
_SURE = ".confidence"


def options(detail: DatasetDetail, now: Narrowing, marked: int) -> list[tuple[str, str]]:
    """(value, label) of saved views, tags and labels with their counts; what is on now carries a dot.

    Args:
        marked: how many pictures are marked.
    """
    listed: list[tuple[str, str]] = []

    def add(value: str, label: str, on: bool) -> None:
        listed.append((value, f"{'● ' if on else '  '}{label}"))

    if now:
        listed.append((EVERYTHING, "  everything again"))
    if marked or now.marked:
        add(MARKED, f"the {marked or len(now.marked):,} marked", bool(now.marked))
    for view in detail.sample_views:
        add(f"view\n{view}", f"view   {view}", now.view == view)
    if detail.left_out:
        # With their names, by which the list is filtered.
        add("\n".join((LEFT_OUT, *detail.other_views)), detail.left_out, False)
    for tag, count in detail.tags.items():
        add(f"tag\n{tag}", f"tag    {tag}  ({count:,})", tag in now.tags)
    for field, counts in detail.label_fields.items():
        for label, count in counts.items():
            add(
                f"where\n{field}\n{label}",
                f"label  {field} = {label}  ({count:,})",
                (field, label) in now.where,
            )
    for one in detail.fields:
        if one.path.endswith(_SURE) and one.path.split(".")[0] in detail.label_fields:
            least = next((value for name, value in now.where if name == f"{one.path}>"), "")
            add(f"{OTHER}\n{one.path}>", f"sure   {one.path} >= {least or '…'}", bool(least))
    listed.append((OTHER, "  another field …"))
    return listed


def narrowed(now: Narrowing, chosen: str) -> Narrowing:
    """The narrowing with one more thing, or without it when it was there.

    A view replaces the view, a value its field's other value; a sample needs any one of several tags.
    """
    kind, _, rest = chosen.partition("\n")
    if kind == "view":
        return replace(now, view=None if now.view == rest else rest)
    if kind == "tag":
        tags = tuple(tag for tag in now.tags if tag != rest)
        return replace(now, tags=tags if rest in now.tags else (*tags, rest))
    field, _, value = rest.partition("\n")
    where = tuple(pair for pair in now.where if pair[0] != field)
    return replace(now, where=where if (field, value) in now.where else (*where, (field, value)))

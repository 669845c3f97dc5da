"""What the Search screen says: captions, facts and details, made from results. No widgets here."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from tui.core.words import counted
from tui.screens.asks import Narrowing, Step
from tui.widgets.detail import Details
from tui.widgets.grid import Tile
from tui.widgets.painting import Subject
from tui.widgets.search_head import HeadFacts

if TYPE_CHECKING:
    from tui.core.documents.labels import SampleDetail
    from tui.core.documents.run_list import RunInfo
    from tui.core.documents.scopes import SampleInfo
    from tui.core.errors import KitescopeError
    from tui.core.scope import Scope
    from tui.core.search import Hit
    from tui.state import AppState

_MOST_TILES = 20_000


@lru_cache(_MOST_TILES)
def tile(item: Hit | SampleInfo) -> Tile:
    """The thumbnail of a result or of a sample, its file's name standing in for a label.

    It is remembered: the thread that read a thousand results makes their tiles, the event loop shows them.
    """
    label = item.label or Path(item.filepath).stem
    score = getattr(item, "score", None)
    return Tile(
        item.id,
        Subject(item.filepath, item.box, label),
        "" if score is None else spoken_score(score),
        label,
    )


def spoken_score(score: float) -> str:
    """A score in few characters: three decimals where that says something, else four digits."""
    return f"{score:.3f}" if abs(score) < 10 else f"{score:.4g}"


def facts(
    step: Step | None, run: RunInfo | None, loaded: int, marked: int, place: tuple[int, int], busy: str
) -> HeadFacts:
    """The words of the head."""
    index = f"{run.dataset} / {run.brain_key}" if run else ""
    if run and run.patches_field:
        index += f" · patches {run.patches_field}"
    if step is None:
        return HeadFacts(index=index, busy=busy, marked=marked)
    if step.ask.browses:
        patches = run is not None and run.patches_field is not None
        found = counted(loaded, "patch", "patches") if patches else counted(loaded, "sample")
        score = "enter searches by the picture under the cursor"
        if run and _may_be_outside(step.ask.narrowing, run.scope):
            found += ", perhaps not all in the index"
    else:
        told = counted(loaded, "result") if step.ended else f"{loaded:,}+ results"
        missing = ", some may be missing" if step.approximate else ""
        found = f"{told}{missing} · {step.elapsed_ms:,.0f} ms"
        score = f"{step.score}, {'higher' if step.higher_is_closer else 'lower'} is closer"
    return HeadFacts(
        title=step.ask.title(),
        found=found,
        index=index,
        score=score,
        narrowed=str(step.ask.narrowing),
        marked=marked,
        place=place,
        busy=busy,
    )


def _may_be_outside(narrowing: Narrowing, made: Scope) -> bool:
    """Whether not all that is browsed need be in the index.

    A view or tags take the place of those it was made of, and its limit counts what is narrowed already.
    """
    replaced = (narrowing.view and made.view) or (narrowing.tags and made.tags)
    return bool(replaced or (narrowing and made.limit is not None))


def details(
    item: Hit | SampleInfo,
    step: Step | None,
    run: RunInfo | None,
    more: SampleDetail | None = None,
    *,
    labels: bool = True,
) -> Details:
    """Everything about one picture; a patch is shown on its whole picture.

    Args:
        more: the sample's fields and labels, as soon as they are read.
        labels: whether they are drawn on the picture.
    """
    rank, score = getattr(item, "rank", None), getattr(item, "score", None)
    patch = run is not None and run.patches_field is not None
    title = item.label or Path(item.filepath).name
    direction = "" if step is None else "higher is closer" if step.higher_is_closer else "lower is closer"
    told = (
        ("score", "" if score is None else f"{spoken_score(score)}  ({direction})"),
        ("rank", "" if rank is None else f"{rank:,}"),
        ("tags", " ".join(f"#{tag}" for tag in item.tags)),
        ("file", item.filepath),
        ("id", item.id),
        ("sample", item.sample_id if patch else ""),
        ("box", " ".join(f"{value:.3f}" for value in item.box) if item.box else ""),
    )
    drawn = more.labels if more is not None and labels else ()
    subject = Subject(item.filepath, item.box, title, whole=patch or bool(drawn), labels=drawn)
    return Details(subject, title, (*told, *_told_of(more)))


def _told_of(more: SampleDetail | None) -> Iterator[tuple[str, str]]:
    """A sample's labels, field by field, and its other fields."""
    if more is None:
        return
    by_field: dict[str, list[str]] = {}
    for label in more.labels:
        by_field.setdefault(label.field, []).append(label.text or "(mask)")
    for field, texts in by_field.items():
        yield field, ", ".join(texts)
    if more.left_out:
        yield "labels", f"{more.left_out:,} more not shown"
    yield from more.fields


def nothing_here(
    state: AppState, run: RunInfo | None, step: Step | None, wrong: KitescopeError | None, waiting: bool
) -> str:
    """What to do when there is no picture to show."""
    if wrong is not None:
        return f"{wrong.what}.\n{wrong.remedy}.\n\nr tries again · o chooses another index"
    if state.index is None:
        return _no_index(state)
    if run is None or waiting:
        return f"Opening {state.index[0]} / {state.index[1]} …"
    if step is None:
        return "Press b to browse the dataset, or / to type a question."
    if step.ask.narrowing:
        return f"Nothing is in {step.ask.narrowing}.\n\nV shows everything again · v narrows differently"
    if step.ask.browses:
        return "This dataset has no samples yet.\n\n2 goes to the datasets, i there imports a folder"
    return "Nothing was found.\n\nb browses the dataset"


def _no_index(state: AppState) -> str:
    if state.database.status == "failed":
        return f"{state.database.detail}.\n{state.database.remedy}.\n\n1 goes to the connection"
    if state.runs is None:
        return "Looking for indexes …"
    count = sum(run.is_index for run in state.runs)
    if count:
        verb = "is" if count == 1 else "are"
        return f"There {verb} {counted(count, 'index', 'indexes')} to search.\n\no chooses one"
    return "There is no index to search yet.\n\n2 chooses a dataset · b there builds its index"


def index_line(run: RunInfo) -> str:
    """One index in a list."""
    of = [run.model or run.embeddings_field or "vectors", run.metric or ""]
    if run.patches_field:
        of.append(f"patches {run.patches_field}")
    if run.supports_prompts:
        of.append("takes text")
    return f"{run.dataset} / {run.brain_key}   {' · '.join(filter(None, of))}"

"""How brain runs and Milvus collections read: their rows, and what is told about one of them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.text import Text

from tui.widgets.facts import facts
from tui.widgets.fitted import FitColumn
from tui.widgets.table import TableRow
from tui.widgets.text import cell, number, plain

if TYPE_CHECKING:
    from tui.core.collections import CollectionRow
    from tui.core.indexes import Health
    from tui.core.runs import RunInfo

RUN_COLUMNS = (
    FitColumn("key", "Key", least=24),
    FitColumn("dataset", "Dataset", least=18),
    FitColumn("health", "Health"),
    FitColumn("vectors", "Vectors", right=True),
    FitColumn("model", "Source", least=20, drop=1),
    FitColumn("metric", "Metric", drop=2),
    FitColumn("patches", "Patches", least=10, drop=3),
    FitColumn("type", "Type", drop=4),
    FitColumn("created", "Made", drop=5),
    FitColumn("collection", "Collection", least=16, drop=6),
)
COLLECTION_COLUMNS = (
    FitColumn("name", "Collection", least=30),
    FitColumn("owner", "Used by", least=20),
    FitColumn("vectors", "Vectors", right=True),
    FitColumn("loaded", "State"),
    FitColumn("dim", "Dim", right=True, drop=2),
    FitColumn("metric", "Metric", drop=3),
    FitColumn("index", "Index", drop=1),
    FitColumn("made", "Made for", least=12, drop=4),
)
_MANY = 8
_HEALTH: dict[Health, tuple[str, str]] = {
    "ok": ("✓ ok", "green"),
    "incomplete": ("◐ incomplete", "yellow"),
    "stale": ("◐ stale", "yellow"),
    "duplicates": ("◐ duplicates", "yellow"),
    "no-collection": ("✗ no collection", "bold red"),
    "unreachable": ("✗ unreachable", "red"),
}


def run_key(dataset: str, brain_key: str) -> str:
    """The key of a run's row."""
    return f"{dataset}\n{brain_key}"


def named(run: RunInfo) -> str:
    """A run as people call it."""
    return f"{run.dataset} / {run.brain_key}"


def health_cell(run: RunInfo, reachable: bool = True) -> Text:
    """The verdict on a run, or what kind of run it is when there is none."""
    if not run.is_index:
        return cell(run.type or "unknown type", "dim")
    if run.health is None and run.expected is not None:
        return cell("not loaded", "dim")
    if run.health is None:
        return cell("…", "dim") if reachable else cell("✗ unreachable", "red dim")
    if run.health == "incomplete" and not run.finished:
        return cell("◐ unfinished", "yellow")
    return cell(*_HEALTH[run.health])


def coverage(run: RunInfo) -> str:
    """How many vectors of how many there should be."""
    if run.vectors is None:
        known = run.expected is not None and run.health is not None
        return f"0 of {run.expected:,}" if known else "–"
    if run.expected is None or run.vectors == run.expected:
        return f"{run.vectors:,}"
    return f"{run.vectors:,} of {run.expected:,}"


def source(run: RunInfo) -> str:
    """Where the vectors came from."""
    if run.model:
        return run.model
    if run.embeddings_field:
        return f"field {run.embeddings_field}"
    return f"file {run.embeddings}" if run.embeddings else "–"


def run_row(run: RunInfo, reachable: bool = True) -> TableRow:
    """One line of the list of runs."""
    health = health_cell(run, reachable)
    made = (run.timestamp or "").replace("T", " ").removesuffix("Z")[:16]
    texts = (run.metric or "–", run.patches_field or "–", _type(run), made, run.collection or "–")
    return TableRow(
        run_key(run.dataset, run.brain_key),
        (
            cell(run.brain_key, "bold"),
            cell(run.dataset),
            health,
            cell(coverage(run) if run.is_index else "", justify="right"),
            cell(source(run)),
            *map(cell, texts),
        ),
        (
            run.brain_key.casefold(),
            (run.dataset.casefold(), run.brain_key.casefold()),
            _severity(run, health.plain),
            run.vectors,
            source(run),
            *texts,
        ),
        f"{run.dataset} {run.brain_key} {health.plain} {source(run)} {' '.join(texts)}"
        + (" prompts text" if run.supports_prompts else ""),
    )


def _severity(run: RunInfo, told: str) -> tuple[int, str] | None:
    """What to sort a health by: the worse, the higher; runs of other kinds first."""
    if not run.is_index:
        return -1, told
    return (list(_HEALTH).index(run.health), told) if run.health else None


def _type(run: RunInfo) -> str:
    return " ".join(filter(None, (run.type, run.method))) or "–"


def collection_cell(row: CollectionRow) -> Text:
    """Who uses a collection, or that nobody here does."""
    if row.runs:
        more = f" +{len(row.runs) - 1}" if len(row.runs) > 1 else ""
        return cell(f"{row.runs[0]}{more}")
    if not row.similarity:
        return cell("another application", "dim")
    return cell(f"orphan of {row.made_for}" if row.made_for else "orphan", "yellow")


def collection_line(row: CollectionRow) -> TableRow:
    """One line of the list of collections."""
    owner = collection_cell(row)
    state = "loaded" if row.loaded else "released"
    texts = (row.metric or "–", row.index_type or "–", row.made_for or "–")
    return TableRow(
        row.name,
        (
            cell(row.name, "bold"),
            owner,
            number(row.vectors),
            cell(state, "green" if row.loaded else "dim"),
            number(row.dim or None),
            *map(cell, texts),
        ),
        (row.name.casefold(), owner.plain, row.vectors, state, row.dim, *texts),
        f"{row.name} {owner.plain} {' '.join(row.runs)} {state} {' '.join(texts)}",
    )


def _facts(head: Text, pairs: Iterable[tuple[str, object]]) -> Group:
    return facts(((name, value, "") for name, value in pairs), head)


def run_facts(run: RunInfo, reachable: bool = True) -> Group:
    """What the pane beside the list says about a run."""
    text = Text().append(plain(named(run)) + "\n", "bold").append_text(health_cell(run, reachable))
    text.append("\n\n" if run.is_index else " run\n\n")
    if not run.finished:
        ways = "u resumes it" if run.is_index else "compute it again in Python"
        text.append(f"It was never finished: {ways}, d discards it.\n\n", "yellow")
    elif run.is_index and run.health is None and run.expected is not None:
        text.append("Its collection is released, and was not loaded to count: L loads it.\n\n", "yellow")
    elif run.health in _MEANING:
        text.append(_MEANING[run.health] + "\n\n", "yellow")
    scope = run.scope
    narrowed = [f"view {scope.view}"] if scope.view else []
    narrowed += [f"#{tag}" for tag in scope.tags] + [f"{path}={value}" for path, value in scope.where]
    narrowed += [f"first {scope.limit:,}"] if scope.limit else []
    return _facts(
        text,
        (
            ("vectors", coverage(run) if run.is_index else None),
            ("missing", f"{run.missing:,}" if run.missing else None),
            ("stale", f"{run.stale:,}" if run.stale else None),
            ("type", _type(run)),
            ("source", source(run)),
            ("prompts", "takes text" if run.supports_prompts else None),
            ("patches", run.patches_field),
            ("part", " · ".join(narrowed)),
            ("metric", run.metric),
            ("consistency", run.consistency_level),
            ("dimension", f"{run.dim:,}" if run.dim else None),
            ("collection", run.collection),
            ("made", (run.timestamp or "").replace("T", " ").replace("Z", " UTC")),
        ),
    )


_MEANING: Mapping[Health | None, str] = {
    "incomplete": "Some images have no vector: sync (u) adds them.",
    "stale": "Some vectors are of images that are gone: sync (u) removes them.",
    "duplicates": "Some ids are there more than once: sync (u) repairs that.",
    "no-collection": "Milvus has no such collection: sync (u) fills it again, or delete the run (d).",
    "unreachable": "Milvus does not answer, so nobody knows. r asks again.",
}


def collection_facts(row: CollectionRow) -> Group:
    """What the pane beside the list says about a collection."""
    text = Text().append(plain(row.name) + "\n", "bold").append_text(collection_cell(row)).append("\n\n")
    if not row.runs:
        text.append(
            "No run of this FiftyOne database names it. It may belong to another database, "
            "or to another application, on this Milvus.\n\n",
            "yellow",
        )
    return _facts(
        text,
        (
            ("used by", _some(row.runs)),
            ("made for", row.made_for),
            ("vectors", f"{row.vectors:,}" if row.vectors is not None else "not counted: released"),
            ("dimension", f"{row.dim:,}" if row.dim else "no vector field of ours"),
            ("metric", row.metric),
            ("index", row.index_type),
            ("state", "loaded" if row.loaded else "released"),
        ),
    )


def _some(names: Sequence[str]) -> str:
    """The first few names, and how many more there are."""
    more = f" and {len(names) - _MANY} more" if len(names) > _MANY else ""
    return ", ".join(names[:_MANY]) + more


def readable(known: Mapping[str, Any]) -> str:
    """What is known as lines to read, and below them as JSON."""
    lines = [*_lines(known), "", "As JSON", "───────"]
    return "\n".join([*lines, json.dumps(known, indent=2, ensure_ascii=False, default=str)])


def _lines(known: Mapping[str, Any], indent: int = 0) -> list[str]:
    lines: list[str] = []
    wide = max((len(name) for name in known), default=0)
    for name, value in known.items():
        if value in (None, "", [], (), {}):
            continue  # JSON below has it
        if isinstance(value, Mapping):
            lines += ["", f"{'  ' * indent}{name}", *_lines(value, indent + 1)]
        elif isinstance(value, Sequence) and isinstance(value[0], Mapping):
            lines += ["", f"{'  ' * indent}{name}", *(f"{'  ' * (indent + 1)}{_row(one)}" for one in value)]
        else:
            lines.append(f"{'  ' * indent}{name:<{wide}}  {_said(value)}")
    return lines


def _row(facts: Mapping[str, Any]) -> str:
    """One of several things on a line: what is none is left out."""
    return "  ".join(
        _row(value) if isinstance(value, Mapping) else f"{name} {_said(value)}"
        for name, value in facts.items()
        if value not in (None, "", 0)
    )


def _said(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(_said(one) for one in value)
    return str(value)

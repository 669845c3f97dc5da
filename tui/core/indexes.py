"""Similarity indexes: plan one, build it, keep it in step with its dataset, check it.

The truth about an index is the index: building, resuming, syncing and repairing are one operation, which
compares the ids that are wanted with the ids that are there. What does the work is imported when needed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from tui.core.client.index_types import CONSISTENCY_LEVELS, METRICS, IndexSpec, Metric
from tui.core.errors import InvalidInput
from tui.core.progress import OnEvent, ShouldStop, Skipped, ignore, never
from tui.core.scope import Scope

if TYPE_CHECKING:
    from tui.core.workspace import Workspace

__all__ = [
    "BuildPlan",
    "BuildResult",
    "BuildSpec",
    "CheckResult",
    "Crop",
    "IndexSpec",
    "Scope",
    "Source",
    "SyncResult",
    "build",
    "check",
    "plan",
    "sync",
]

Health = Literal["ok", "incomplete", "stale", "duplicates", "no-collection", "unreachable"]


@dataclass(frozen=True, slots=True)
class Source:
    """Where the vectors come from: a model, a field of the dataset, or a file; nothing is the built-in model.

    Attributes:
        model: a name that ``models.load_model`` knows. Beside a field or a file it says what made their
            vectors: queries by text and picture go through it, and a sync embeds new items with it.
        embeddings_field: a field that holds vectors.
        embeddings: a ``.npy`` file of one vector a row, in dataset order unless ``ids`` is given.
        ids: a file of the ids of its rows, ``.npy`` or text with one a line.
    """

    model: str | None = None
    embeddings_field: str | None = None
    embeddings: str | None = None
    ids: str | None = None

    @property
    def embeds(self) -> bool:
        """Whether pictures are embedded; otherwise the vectors are there already."""
        return self.embeddings_field is None and self.embeddings is None


@dataclass(frozen=True, slots=True)
class Crop:
    """How patches are cut out, in FiftyOne's words.

    Attributes:
        alpha: how much wider and higher each box becomes first: 0.1 is a tenth more, -0.1 a tenth less.
        force_square: make each box a square first, by widening its shorter side where there is room.
    """

    alpha: float | None = None
    force_square: bool = False


@dataclass(frozen=True, slots=True)
class BuildSpec:
    """An index to build. JSON goes there and back through msgspec.

    Attributes:
        collection: its name in Milvus; None chooses one that starting again finds.
        batch_size: pictures that a model gets at once, or vectors in one request.
        device: one, or several with commas that share the work; ``auto`` is every GPU, or the CPU.
        precision, decode: as in `tui.core.models.load_model`.
        overwrite: replace the run that has this key, once the new index is complete.
    """

    scope: Scope
    brain_key: str
    source: Source = field(default_factory=Source)
    collection: str | None = None
    metric: Metric = "cosine"
    consistency_level: str = "Session"
    index: IndexSpec = field(default_factory=IndexSpec)
    batch_size: int | None = None
    workers: int | None = None
    device: str = "auto"
    precision: str = "auto"
    decode: str = "auto"
    overwrite: bool = False
    crop: Crop = field(default_factory=Crop)


@dataclass(frozen=True, slots=True)
class BuildPlan:
    """What a build would do.

    Attributes:
        vectors: items in scope. dim: None while only loading the model would tell.
        memory_bytes: what the index will take in Milvus, about; None without ``dim``.
        resumes: vectors that an unfinished build left there, as far as Milvus tells without loading them.
        runs_on: the GPUs with their load, or the CPU; empty where no network makes the vectors.
    """

    collection: str
    vectors: int
    dim: int | None
    memory_bytes: int | None
    resumes: int
    warnings: tuple[str, ...] = ()
    runs_on: str = ""


@dataclass(frozen=True, slots=True)
class BuildResult:
    """A finished build; ``vectors`` is what a strongly consistent count of the collection says."""

    brain_key: str
    collection: str
    vectors: int
    dim: int
    seconds: float
    skipped: tuple[Skipped, ...] = ()


@dataclass(frozen=True, slots=True)
class SyncResult:
    """What a sync did, or with ``dry_run`` would do. ``repaired`` ids were there more than once."""

    added: int
    removed: int
    unchanged: int
    skipped: tuple[Skipped, ...] = ()
    repaired: int = 0


@dataclass(frozen=True, slots=True)
class CheckResult:
    """An exact comparison of an index with its dataset.

    Attributes:
        vectors: rows in the collection. distinct: ids in it. expected: items that should have a vector.
        recall_at_10: share of the ten nearest that a search finds; None when it was not asked for.
    """

    vectors: int
    distinct: int
    expected: int
    missing: int
    stale: int
    duplicates: int
    health: Health
    recall_at_10: float | None = None


def plan(ws: Workspace, spec: BuildSpec) -> BuildPlan:
    """Say what a build would do, and change nothing.

    Raises:
        InvalidInput: it cannot work: the key is taken, the scope is empty, a file does not fit.
        UnknownName: there is no such dataset, field, view or model.
        EngineUnreachable: an engine does not answer.
    """
    from tui.core.filling import planning

    validate(spec)
    return planning.plan(ws, spec)


def build(
    ws: Workspace,
    spec: BuildSpec,
    on_event: OnEvent = ignore,
    should_stop: ShouldStop = never,
    *,
    milvus_wait: float | None = None,
) -> BuildResult:
    """Build an index, or continue one that was interrupted, and register it as a brain run at the end.

    When it returns, the ids in the collection are exactly those in scope, without the ones in ``skipped``.

    Args:
        should_stop: asked often; what is in flight is finished, then ``Interrupted`` is raised.
        milvus_wait: seconds to wait for a Milvus that goes away; None is ``KITESCOPE_MILVUS_WAIT`` or 120.

    Raises:
        InvalidInput, UnknownName: as ``plan``; nothing is written then.
        KitescopeError: somebody else builds it, or an engine failed. Starting again continues.
        EngineUnreachable: Milvus stayed away for longer than ``milvus_wait``.
        Interrupted: somebody asked to stop.
    """
    from tui.core.filling import building

    validate(spec)
    return building.build(ws, spec, on_event, should_stop, milvus_wait)


def sync(
    ws: Workspace,
    dataset: str,
    brain_key: str,
    *,
    dry_run: bool = False,
    on_event: OnEvent = ignore,
    should_stop: ShouldStop = never,
    milvus_wait: float | None = None,
) -> SyncResult:
    """Add what is missing from an index, remove what is stale, and repair what is there twice.

    A run that was registered and never finished, as a stock build that crashed leaves it, is completed: it
    gets a collection of its own where it names none, all vectors, and the results that make FiftyOne open it.

    Raises:
        UnknownName: there is no such dataset or run.
        InvalidInput: the run is no index in Milvus, or is unfinished and does not say what made its vectors.
        ReadOnly: the settings forbid it. Protected: vectors are stale, and removing them was not confirmed;
            then none was removed.
        KitescopeError, EngineUnreachable, Interrupted: as ``build``.
    """
    from tui.core.filling import syncing

    if dry_run:
        return syncing.dry_run(ws, dataset, brain_key, on_event, should_stop, milvus_wait)
    return syncing.sync(ws, dataset, brain_key, on_event, should_stop, milvus_wait)


def check(ws: Workspace, dataset: str, brain_key: str, recall: int = 0) -> CheckResult:
    """Compare an index with its dataset, id by id; with ``recall``, also measure so many searches.

    Raises:
        UnknownName: there is no such dataset or run.
        InvalidInput: the run is no index in Milvus.
    """
    from tui.core.filling import checking

    return checking.check(ws, dataset, brain_key, recall)


def validate(spec: BuildSpec) -> None:
    """Refuse what no engine needs to be asked about.

    Raises:
        InvalidInput: the key, the source, the metric or the consistency level.
    """
    from tui.core.documents.run_documents import check_key

    check_key(spec.brain_key)
    source = spec.source
    if source.embeddings_field is not None and source.embeddings is not None:
        raise InvalidInput("Vectors come from one source", "Give an embeddings field or a file")
    if source.ids is not None and source.embeddings is None:
        raise InvalidInput("A file of ids is given without a file of embeddings", "Give --embeddings too")
    if spec.metric not in METRICS:
        raise InvalidInput(f"There is no metric {spec.metric!r}", f"Use one of {', '.join(METRICS)}")
    if spec.consistency_level not in CONSISTENCY_LEVELS:
        raise InvalidInput(
            f"There is no consistency level {spec.consistency_level!r}",
            f"Use one of {', '.join(CONSISTENCY_LEVELS)}",
        )
    if spec.crop != Crop() and spec.scope.patches_field is None:
        raise InvalidInput(
            "Only patches are cut out", "Name a patches field, or leave out alpha and force_square"
        )
    if spec.crop.alpha is not None and not -1 < spec.crop.alpha < 100:
        raise InvalidInput(
            f"A patch cannot grow by an alpha of {spec.crop.alpha}", "Give a number above -1, such as 0.1"
        )
    if spec.batch_size is not None and spec.batch_size < 1:
        raise InvalidInput(f"A batch cannot hold {spec.batch_size} items")

"""What the program knows, as one frozen value, and how each event changes it. No Textual, no engine calls."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal, get_args

if TYPE_CHECKING:
    from tui.core.datasets import DatasetInfo, Scope
    from tui.core.runs import RunInfo
    from tui.jobs.info import JobInfo

EngineName = Literal["milvus", "database"]
ENGINES: tuple[EngineName, ...] = get_args(EngineName)
EngineStatus = Literal["connecting", "ready", "failed"]


@dataclass(frozen=True, slots=True)
class Engine:
    """One of the two engines: where it is and whether it answers."""

    status: EngineStatus = "connecting"
    detail: str = ""
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class AppState:
    """Everything that more than one screen shows. None means: not known yet."""

    connection: str = "embedded"
    readonly: bool = False
    milvus: Engine = field(default_factory=Engine)
    database: Engine = field(default_factory=Engine)
    datasets: tuple[DatasetInfo, ...] | None = None
    scope: Scope | None = None
    runs: tuple[RunInfo, ...] | None = None
    jobs: tuple[JobInfo, ...] | None = None
    index: tuple[str, str] | None = None

    @property
    def dataset(self) -> str | None:
        """The chosen dataset's name."""
        return self.scope.dataset if self.scope else None

    def engine(self, name: EngineName) -> Engine:
        """One engine by name."""
        return self.milvus if name == "milvus" else self.database


@dataclass(frozen=True, slots=True)
class ConnectionChosen:
    """Other settings are in force: what the old engines said no longer holds."""

    connection: str
    readonly: bool


@dataclass(frozen=True, slots=True)
class EngineChanged:
    """An engine began to connect, answered, or failed."""

    name: EngineName
    engine: Engine


@dataclass(frozen=True, slots=True)
class DatasetsLoaded:
    """The list of datasets was read."""

    datasets: tuple[DatasetInfo, ...]


@dataclass(frozen=True, slots=True)
class ScopeChosen:
    """The user chose what to work with: a dataset, or a part of one."""

    scope: Scope | None


@dataclass(frozen=True, slots=True)
class RunsLoaded:
    """The brain runs of every dataset were read; their health is not known yet."""

    runs: tuple[RunInfo, ...]


@dataclass(frozen=True, slots=True)
class RunChecked:
    """The health of one run is known."""

    run: RunInfo


@dataclass(frozen=True, slots=True)
class JobsSeen:
    """The job store was read."""

    jobs: tuple[JobInfo, ...]


@dataclass(frozen=True, slots=True)
class IndexChosen:
    """The user opened an index to search it."""

    dataset: str
    brain_key: str


Event = (
    ConnectionChosen
    | EngineChanged
    | DatasetsLoaded
    | ScopeChosen
    | RunsLoaded
    | RunChecked
    | JobsSeen
    | IndexChosen
)


def apply(state: AppState, event: Event) -> AppState:
    """The state after an event; the same object when nothing changed, so that watchers stay quiet."""
    match event:
        case ConnectionChosen(connection, readonly):
            return AppState(connection=connection, readonly=readonly, jobs=state.jobs)
        case EngineChanged("milvus", engine):
            return replace(state, milvus=engine)
        case EngineChanged(_, engine):
            return replace(state, database=engine)
        case DatasetsLoaded(datasets):
            return _without_gone_dataset(replace(state, datasets=datasets))
        case ScopeChosen(scope):
            return replace(state, scope=scope)
        case RunsLoaded(runs):
            return replace(state, runs=_keeping_health(state.runs, runs))
        case RunChecked(run):
            return _with_run(state, run)
        case JobsSeen(jobs):
            return state if jobs == state.jobs else replace(state, jobs=jobs)
        case IndexChosen(dataset, brain_key):
            return replace(state, index=(dataset, brain_key))


def _without_gone_dataset(state: AppState) -> AppState:
    """Forget the chosen dataset and index when their dataset is no longer there."""
    names = {info.name for info in state.datasets or ()}
    scope = state.scope if state.scope and state.scope.dataset in names else None
    index = state.index if state.index and state.index[0] in names else None
    return replace(state, scope=scope, index=index)


def _keeping_health(old: tuple[RunInfo, ...] | None, new: tuple[RunInfo, ...]) -> tuple[RunInfo, ...]:
    """Keep the last known health of a run whose document is still the same, until it is checked again."""
    known = {(run.dataset, run.brain_key): run for run in old or () if run.health is not None}

    def kept(run: RunInfo) -> RunInfo:
        before = known.get((run.dataset, run.brain_key))
        return before if before is not None and before.unchecked == run else run

    return tuple(kept(run) for run in new)


def _with_run(state: AppState, run: RunInfo) -> AppState:
    """Put a checked run in its old one's place; one that is gone or changed by now was checked in vain."""
    key, document = (run.dataset, run.brain_key), run.unchecked
    runs = tuple(
        run if (old.dataset, old.brain_key) == key and old.unchecked == document else old
        for old in state.runs or ()
    )
    return replace(state, runs=runs) if state.runs is not None else state

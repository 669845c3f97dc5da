"""Which collection a build writes to: a new one, an unfinished one of its own, or one that the user names.

A build never writes to what another run uses, and never replaces what it has not yet built anew.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tui.core.documents.schema import read
from tui.core.errors import InvalidInput
from tui.core.words import counted

if TYPE_CHECKING:
    from tui.core.documents.run_list import RunInfo
    from tui.core.indexes import BuildSpec
    from tui.core.milvus import CollectionInfo, Milvus
    from tui.core.workspace import Workspace

BUILDING, READY = "building", "ready"
_VARIANTS = 100


@dataclass(frozen=True)
class Target:
    """A collection to fill.

    Attributes:
        info: what is there under the name; None where nothing is.
        ours: a build for this key made it, so that stale vectors in it may be removed.
        unfinished: a build of ours has not finished it yet (also true where nothing is there).
        shared: runs that use it already: it may be joined and not be written to.
        replaces: the collection of the run that is overwritten, to drop at the end.
        final: the name to give it at the end.
        discard: it is a left-over of an earlier overwrite: empty it first.
    """

    name: str
    info: CollectionInfo | None
    ours: bool
    unfinished: bool
    shared: tuple[str, ...] = ()
    replaces: str | None = None
    final: str = ""
    discard: bool = False

    @property
    def last_name(self) -> str:
        """The name that the finished collection has."""
        return self.final or self.name


def signature(spec: BuildSpec) -> dict[str, object]:
    """Say what makes two vectors comparable: a build continues only what was begun with the same."""
    about: dict[str, object] = {
        "metric": spec.metric,
        "consistency_level": spec.consistency_level,
        "patches_field": spec.scope.patches_field,
    }
    for name, value in asdict(spec.source).items():
        if value is not None:
            about[name] = _file_facts(value) if name in ("embeddings", "ids") else value
    if spec.source.embeddings is None and spec.source.embeddings_field is None:
        about.setdefault("model", "built-in")
        for name in ("precision", "decode"):
            if (value := getattr(spec, name)) != "auto":
                about[name] = value
        about.update({name: value for name, value in asdict(spec.crop).items() if value})
    return about


def _file_facts(path: str) -> dict[str, object]:
    try:
        status = Path(path).stat()
    except OSError as error:
        raise InvalidInput(f"The file {path} cannot be read: {error.strerror}", "Correct the path") from error
    return {"path": path, "bytes": status.st_size, "changed": status.st_mtime_ns}


def properties(spec: BuildSpec, dataset_id: str) -> dict[str, str]:
    """Answer what a collection says about itself while it is being built."""
    return {
        "kitescope.dataset": spec.scope.dataset[:200],
        "kitescope.dataset_id": dataset_id,
        "kitescope.brain_key": spec.brain_key,
        "kitescope.source": json.dumps(signature(spec), sort_keys=True),
        "kitescope.index": json.dumps(asdict(spec.index.complete()), sort_keys=True),
        "kitescope.state": BUILDING,
    }


def stem(spec: BuildSpec, dataset_id: str) -> str:
    """Answer how the names of all collections begin that are made for a dataset and key."""
    slug = re.sub(r"[^a-z0-9]+", "_", f"{spec.scope.dataset[:60]} {spec.brain_key[:40]}".lower()).strip("_")
    return f"kitescope_{slug[:80]}_{_digest(dataset_id, spec.brain_key)}"


def own_name(spec: BuildSpec, dataset_id: str) -> str:
    """Answer the name that this build chooses, each time it is started."""
    return f"{stem(spec, dataset_id)}_{_digest(json.dumps(signature(spec), sort_keys=True))}"


def _digest(*parts: str) -> str:
    return hashlib.blake2b("\0".join(parts).encode(), digest_size=5).hexdigest()


def choose(ws: Workspace, milvus: Milvus, spec: BuildSpec, run: RunInfo | None) -> Target:
    """Answer the collection that a build fills.

    Args:
        run: the run that has the key now.

    Raises:
        InvalidInput: the key is taken, or the collection that the user names cannot be used.
    """
    if run is not None and not spec.overwrite:
        raise InvalidInput(
            f"Run {spec.brain_key!r} exists on dataset {spec.scope.dataset!r}",
            "Use --overwrite to replace it, 'kitescope sync' to bring it up to date, or another key",
        )
    dataset_id = str(read(ws, spec.scope.dataset).id)
    users = _users(ws, spec, run)
    old = run.collection if run is not None and run.is_index else None
    if old is not None and (users.get(old) or not milvus.exists(old)):
        old = None
    if spec.collection is None:
        return _own(milvus, spec, dataset_id, users, run, old)
    return _named(milvus, spec, dataset_id, users, old)


def _users(ws: Workspace, spec: BuildSpec, run: RunInfo | None) -> Mapping[str, tuple[str, ...]]:
    """The runs that name each collection, without the one that is being replaced."""
    from tui.core.documents.run_documents import all_runs

    users: dict[str, tuple[str, ...]] = {}
    for other in all_runs(ws):
        replaced = run is not None and (other.dataset, other.key) == (spec.scope.dataset, spec.brain_key)
        if other.collection and not replaced:
            users[other.collection] = (*users.get(other.collection, ()), f"{other.dataset}/{other.key}")
    return users


def _own(
    milvus: Milvus,
    spec: BuildSpec,
    dataset_id: str,
    users: Mapping[str, tuple[str, ...]],
    run: RunInfo | None,
    old: str | None,
) -> Target:
    base = own_name(spec, dataset_id)
    used = {*users, run.collection if run is not None else None}
    names = (f"{base}_{number}" if number > 1 else base for number in range(1, _VARIANTS))
    name = next(name for name in names if name not in used)
    info = milvus.describe(name, counted=False) if milvus.exists(name) else None
    unfinished = info is None or info.properties.get("kitescope.state") != READY
    if info is not None:
        _fits(info, spec)
    # A finished collection that no run names is one that somebody kept: a plain build takes it up again.
    return Target(
        name, info, ours=True, unfinished=unfinished, replaces=old, discard=run is not None and not unfinished
    )


def _named(
    milvus: Milvus,
    spec: BuildSpec,
    dataset_id: str,
    users: Mapping[str, tuple[str, ...]],
    old: str | None,
) -> Target:
    name = spec.collection or ""
    if not milvus.exists(name):
        return Target(name, None, ours=True, unfinished=True, replaces=old)
    if name == old:
        beside = f"{name[:200]}_{_digest(name, spec.brain_key)}"
        info = milvus.describe(beside, counted=False) if milvus.exists(beside) else None
        done = info is not None and not _same_build(info, spec, dataset_id, BUILDING)
        return Target(beside, info, ours=True, unfinished=True, replaces=old, final=name, discard=done)
    info = milvus.describe(name, counted=False)
    ours = _same_build(info, spec, dataset_id)
    begun = info.properties.get("kitescope.state") == BUILDING
    if begun and not ours and users.get(name):
        # A sync makes a collection anew that was dropped: not to be emptied for one of its runs.
        raise InvalidInput(
            f"Collection {name} is unfinished, and used by {', '.join(users[name])}",
            f"Choose another name, or complete it with 'kitescope sync' of {users[name][0]}",
        )
    if begun and not ours and not (spec.overwrite and _same_key(info, spec, dataset_id)):
        raise InvalidInput(
            f"Collection {name} belongs to an unfinished build of something else",
            "Choose another name, or drop it with 'kitescope collections drop'",
        )
    discard = begun and not ours
    if not discard:
        _fits(info, spec)
    return Target(
        name, info, ours, unfinished=begun, shared=users.get(name, ()), replaces=old, discard=discard
    )


def _same_key(info: CollectionInfo, spec: BuildSpec, dataset_id: str) -> bool:
    about = info.properties
    return (about.get("kitescope.dataset_id"), about.get("kitescope.brain_key")) == (
        dataset_id,
        spec.brain_key,
    )


def _same_build(info: CollectionInfo, spec: BuildSpec, dataset_id: str, state: str | None = None) -> bool:
    about = info.properties
    same = about.get("kitescope.source") == json.dumps(signature(spec), sort_keys=True)
    return (
        same
        and _same_key(info, spec, dataset_id)
        and (state is None or about.get("kitescope.state") == state)
    )


def _fits(info: CollectionInfo, spec: BuildSpec) -> None:
    """Refuse a collection that cannot hold this index."""
    if not info.compatible:
        raise InvalidInput(
            f"Collection {info.name} has not the fields of a similarity index", "Choose another name"
        )
    if info.metric is not None and info.metric != spec.metric:
        raise InvalidInput(
            f"Collection {info.name} measures {info.metric}, not {spec.metric}",
            f"Use --metric {info.metric}, or choose another name",
        )


def check_dim(info: CollectionInfo | None, dim: int | None) -> None:
    """Refuse vectors that a collection cannot hold, before any is written.

    Raises:
        InvalidInput: their lengths differ.
    """
    if info is not None and dim is not None and info.dim != dim:
        raise InvalidInput(
            f"Collection {info.name} holds vectors of {counted(info.dim, 'number')}, and these have {dim}",
            "Use the source it was made with, or another collection",
        )

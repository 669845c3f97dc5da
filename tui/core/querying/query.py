"""From what the user asks (ids, a text, a picture, a file of numbers) to the vector to search with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from bson import ObjectId

from tui.core.documents.mongo import guarded
from tui.core.documents.schema import read
from tui.core.documents.selection import select
from tui.core.errors import InvalidInput, KitescopeError
from tui.core.files import expanded
from tui.core.scope import Scope
from tui.core.words import counted

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tui.core.documents.run_list import RunInfo
    from tui.core.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Query:
    """What to search for, in which index, and what counts.

    Attributes:
        ids: items of the index (for patches, label ids, or the ids of samples, which stand for the mean of
            their patches); several are averaged.
        not_ids: items to move away from.
        text, image, vector: a prompt, a picture's path, or the path of a ``.npy`` of shape (dim,) or
            (n, dim), whose rows are averaged.
        k, offset: how many hits from which on. Beyond 16,384 together every item is looked at.
        least: the least similar ones instead.
        view, tags, where: what counts, as in ``Scope``.
        only: the ids of the items that count.
    """

    dataset: str
    brain_key: str
    ids: tuple[str, ...] = ()
    not_ids: tuple[str, ...] = ()
    text: str | None = None
    image: str | None = None
    vector: str | None = None
    k: int = 25
    offset: int = 0
    least: bool = False
    view: str | None = None
    tags: tuple[str, ...] = ()
    where: tuple[tuple[str, str], ...] = ()
    only: tuple[str, ...] = ()


# Examples of length one that cancel out leave what float32 is wrong by.
_NO_LENGTH = 1e-6
# Turns a query's text or picture into a vector with the run's model: (run, query) -> (dim,).
Embed = Callable[["RunInfo", Query], "NDArray[np.float32]"]


def check(query: Query) -> None:
    """Refuse a query that cannot mean anything.

    Raises:
        InvalidInput: nothing or several things to search for, or a page that is none.
    """
    given = [bool(query.ids), query.text is not None, query.image is not None, query.vector is not None]
    if sum(given) > 1:
        raise InvalidInput("Ids, a text, a picture and a vector cannot be mixed", "Give one of them")
    if not any(given) and not query.not_ids:
        raise InvalidInput("There is nothing to search for", "Give ids, a text, a picture or a vector")
    if query.k < 1 or query.offset < 0:
        raise InvalidInput("A page needs at least one hit and cannot begin before the first")


def query_vector(
    ws: Workspace, run: RunInfo, query: Query, embed: Embed | None = None
) -> NDArray[np.float32]:
    """The vector to search with, of shape (dim,).

    With cosine, vectors are brought to length one before they are averaged. Negatives push as far as the
    positives are from them: ``2 * mean(positives) - mean(negatives)``; with inner product and cosine this
    is "towards the ones, half as much away from the others".

    Raises:
        KitescopeError: an id that is not in the index, by name; or a picture that cannot be read.
        InvalidInput: a text for a model that takes none, a file that holds no such vector, or examples
            that leave no direction to compare by.
    """
    known = _of_ids(ws, run, list(dict.fromkeys((*query.ids, *query.not_ids))))
    towards = _positives(ws, run, query, embed or embed_here, known)
    away = _rows(known, query.not_ids)
    if towards is None and run.metric == "euclidean":
        raise InvalidInput("Distance from examples needs something to be near to", "Give an id as well")
    positive = _mean(run, towards) if towards is not None else None
    negative = _mean(run, away) if away is not None else None
    if positive is None:
        assert negative is not None
        vector = -negative
    else:
        vector = positive if negative is None else 2 * positive - negative
    if run.metric == "cosine" and float(np.linalg.norm(vector)) < _NO_LENGTH:
        raise InvalidInput(
            "What is searched for has no direction, and cosine compares nothing else",
            "Give another vector, or examples that do not cancel out",
        )
    return vector


def embed_here(run: RunInfo, query: Query) -> NDArray[np.float32]:
    """Embed a query's text or picture in this process, with the run's model, which stays loaded."""
    from tui.core import embedding

    assert run.model is not None
    model = _model(run.model)
    if query.text is not None:
        return np.asarray(model.embed_text(query.text), np.float32).reshape(-1)
    assert query.image is not None
    return embedding.embed_image(query.image, model)


@lru_cache(maxsize=1)
def _model(name: str) -> Any:
    from tui.core import models

    return models.load_model(name)


def _rows(known: Mapping[str, NDArray[np.float32]], ids: Sequence[str]) -> NDArray[np.float32] | None:
    return np.stack([known[id] for id in dict.fromkeys(ids)]) if ids else None


def _positives(
    ws: Workspace, run: RunInfo, query: Query, embed: Embed, known: Mapping[str, NDArray[np.float32]]
) -> NDArray[np.float32] | None:
    """The examples to be near to, (n, dim)."""
    if query.ids:
        return _rows(known, query.ids)
    if query.vector is not None:
        return _fitting(ws, run, _read(Path(query.vector)), f"{query.vector} holds")
    if query.text is None and query.image is None:
        return None
    if run.model is None:
        raise InvalidInput(
            f"Index {run.brain_key!r} was made from vectors and names no model to embed a query with",
            "Search by id or by vector",
        )
    if query.text is not None and not run.supports_prompts:
        raise InvalidInput(
            f"The model of index {run.brain_key!r}, {run.model!r}, takes no text",
            "Build an index with a model that does; see kitescope models list",
        )
    return _fitting(ws, run, embed(run, query).reshape(1, -1), f"Model {run.model!r} makes")


def _of_ids(ws: Workspace, run: RunInfo, ids: Sequence[str]) -> dict[str, NDArray[np.float32]]:
    """The vectors of some ids, each once."""
    assert run.collection is not None
    if not ids:
        return {}
    found, vectors = ws.milvus().vectors(run.collection, ids, strong=False)
    if len(found) < len(ids):
        found, vectors = ws.milvus().vectors(run.collection, ids)
    known = dict(zip(found, vectors, strict=True))
    if run.patches_field and len(known) < len(ids):
        known |= _of_samples(ws, run, [id for id in ids if id not in known])
    if missing := [id for id in ids if id not in known]:
        raise _not_in_index(ws, run, missing)
    return known


def _of_samples(ws: Workspace, run: RunInfo, samples: Sequence[str]) -> dict[str, NDArray[np.float32]]:
    """For an index of patches: the mean of the patches of each sample that has any in it."""
    assert run.collection is not None
    wanted = {"_id": {"$in": [ObjectId(id) for id in samples if ObjectId.is_valid(id)]}}
    selection = select(ws, Scope(run.dataset, run.patches_field), any_slice=True)
    stages = [{"$match": wanted}, *selection.rows(), {"$project": {"i": f"${selection.id_path}"}}]
    with guarded():
        rows = list(ws.database()[selection.collection].aggregate(stages))
    sample_of = {str(row["i"]): str(row["_id"]) for row in rows}
    found, vectors = ws.milvus().vectors(run.collection, list(sample_of), strong=False)
    places: dict[str, list[int]] = {}
    for place, id in enumerate(found):
        places.setdefault(sample_of[id], []).append(place)
    return {sample: _mean(run, vectors[of_it]) for sample, of_it in places.items()}


def _not_in_index(ws: Workspace, run: RunInfo, missing: Sequence[str]) -> KitescopeError:
    shown = ", ".join(missing[:5]) + (f" and {len(missing) - 5} more" if missing[5:] else "")
    what = f"Not in index {run.brain_key!r}: {shown}"
    valid = [ObjectId(id) for id in missing if ObjectId.is_valid(id)]
    with guarded():
        collection = ws.database()[read(ws, run.dataset).collection]
        is_sample = collection.count_documents({"_id": {"$in": valid}}, limit=1) > 0
    if not is_sample:
        return KitescopeError(what, f"Give ids of dataset {run.dataset!r}")
    if run.patches_field:
        return KitescopeError(
            what,
            f"It is an index of patches: give ids of labels in {run.patches_field!r}, or of their samples",
        )
    return KitescopeError(what, f"Add what is missing with kitescope sync {run.dataset} {run.brain_key}")


def count_vectors(path: Path) -> int:
    """How many vectors a file holds that can be searched with; raises ``InvalidInput``."""
    return len(_read(path))


def _read(path: Path) -> NDArray[np.float32]:
    try:
        # Not numpy.load, which takes any file that is none for a pickle.
        array = np.lib.format.open_memmap(expanded(path), mode="r")
    except FileNotFoundError as error:
        raise InvalidInput(f"There is no file {path}") from error
    except (OSError, ValueError, EOFError) as error:
        raise InvalidInput(f"{path} cannot be read as .npy: {error}", "Write it with numpy.save") from error
    if array.ndim not in (1, 2) or not array.size:
        raise InvalidInput(f"{path} holds no vector", "Save an array of shape (dim,) or (n, dim)")
    try:
        vectors = np.atleast_2d(array).astype(np.float32)
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"{path} holds {array.dtype}, not numbers") from error
    if not np.isfinite(vectors).all():
        raise InvalidInput(f"{path} holds NaN or infinite numbers", "Save one of finite numbers")
    return vectors


def _fitting(ws: Workspace, run: RunInfo, vectors: NDArray[np.float32], what: str) -> NDArray[np.float32]:
    assert run.collection is not None
    dim = ws.milvus().describe(run.collection, counted=False).dim
    if vectors.shape[1] != dim:
        raise InvalidInput(
            f"{what} vectors of {counted(vectors.shape[1], 'number')}, but index {run.brain_key!r} has {dim}",
            "Use the model that made the index",
        )
    return vectors


def _mean(run: RunInfo, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    if run.metric == "cosine":
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        vectors = np.asarray(vectors / np.where(lengths > 0, lengths, 1), np.float32)
    return np.asarray(vectors.mean(axis=0), np.float32)

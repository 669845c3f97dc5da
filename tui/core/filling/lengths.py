"""How long the vectors of a build will be, as far as it can be known before any is made."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tui.core import datasets
from tui.core.errors import InvalidInput
from tui.core.filling.sources import check_rows
from tui.core.filling.vector_files import RowIds, VectorFile
from tui.core.models import model_info
from tui.core.words import counted

if TYPE_CHECKING:
    from tui.core.indexes import BuildSpec, Source
    from tui.core.models import ModelInfo
    from tui.core.workspace import Workspace

_PEEK = 100


def known_dim(ws: Workspace, spec: BuildSpec) -> int | None:
    """Answer how long the vectors will be, as far as it can be known without loading a model.

    Raises:
        InvalidInput: a file cannot be used or does not fit the scope. UnknownName: no such field or model.
    """
    source = spec.source
    if source.embeddings is not None:
        file = VectorFile(Path(source.embeddings))
        try:
            check_rows(ws, spec.scope, file, RowIds(Path(source.ids)) if source.ids is not None else None)
            return file.dim
        finally:
            file.close()
    if source.embeddings_field is not None:
        return _field_dim(ws, spec, source.embeddings_field)
    return model_info(source.model or "").dim


def _field_dim(ws: Workspace, spec: BuildSpec, field: str) -> int | None:
    for ids, sample_ids in datasets.scope_ids(ws, spec.scope, _PEEK):
        found, vectors = datasets.field_vectors(ws, spec.scope, field, ids, sample_ids)
        if found:
            return int(vectors.shape[1])
    return None


def check_made_by(source: Source, dim: int | None, model: ModelInfo) -> None:
    """Refuse vectors that the model named beside them cannot have made.

    Raises:
        InvalidInput: their lengths differ.
    """
    if not source.embeds and dim is not None and model.dim is not None and model.dim != dim:
        raise InvalidInput(
            f"Model {model.name} makes vectors of {counted(model.dim, 'number')}, and these have {dim}",
            "Name the model that made them, or none",
        )

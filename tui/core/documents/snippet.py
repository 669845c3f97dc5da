"""Python that opens a run in a notebook with stock FiftyOne, without secrets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tui.core.connecting.masking import is_secret
from tui.core.documents.run_list import require_run
from tui.core.embedded import milvus_kwargs
from tui.core.errors import InvalidInput

if TYPE_CHECKING:
    from tui.core.documents.run_list import RunInfo
    from tui.core.workspace import Workspace

_ENV = "FIFTYONE_BRAIN_SIMILARITY_MILVUS_"


def snippet(ws: Workspace, dataset: str, key: str) -> str:
    """Python that opens, queries and cleans up an index. Secrets are read from the environment.

    Raises:
        UnknownName: there is no such dataset or key.
        InvalidInput: the run is no index in Milvus.
    """
    run = require_run(ws, dataset, key)
    if not run.is_index:
        raise InvalidInput(
            f"Run {key!r} is a {run.type} run by {run.method}, not an index in Milvus",
            f"Load it in Python with dataset.load_brain_results({key!r})",
        )
    connection = _connection(ws)
    uses_environment = any("os.environ" in value for value in connection.values())
    arguments = "".join(f"    {name}={value},\n" for name, value in connection.items())
    return (
        ("import os\n\n" if uses_environment else "")
        + "import fiftyone as fo\n\n"
        + f"dataset = fo.load_dataset({dataset!r})\n"
        + f"index = dataset.load_brain_results(\n    {key!r},\n{arguments})\n\n"
        + _query(run)
        + "# To see them: fo.launch_app(view)\n\n"
        + "# To delete the index; deleting the run alone would leave its collection behind in Milvus:\n"
        + f"# index.cleanup()\n# dataset.delete_brain_run({key!r})\n"
    )


def _query(run: RunInfo) -> str:
    lines = "# The 25 most similar to the first one\n"
    if run.patches_field:
        lines += f"patches = dataset.to_patches({run.patches_field!r})\nindex.use_view(patches)\n"
        lines += "view = index.sort_by_similarity(patches.first().id, k=25)\n"
    else:
        lines += "view = index.sort_by_similarity(dataset.first().id, k=25)\n"
    if run.supports_prompts:
        lines += '# or to a text: view = index.sort_by_similarity("a photo of a kite", k=25)\n'
    return lines


def _connection(ws: Workspace) -> dict[str, str]:
    """The arguments of ``load_brain_results``, as Python."""
    return {
        name: f'os.environ["{_ENV}{name.upper()}"]' if is_secret(name, value) else repr(value)
        for name, value in milvus_kwargs(ws.settings).items()
    }

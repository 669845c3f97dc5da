"""The fields of a build, each with what it takes, and what is wrong with what was typed."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tui.core.client.index_types import CONSISTENCY_LEVELS, HNSW_DEFAULT, LITE_TYPES, METRICS
from tui.core.files import is_file
from tui.core.vision import devices
from tui.widgets.form import ChoiceField, Heading, TextField

if TYPE_CHECKING:
    from tui.core.settings import Settings
    from tui.widgets.fields import Wrong

Fields = tuple[Heading | ChoiceField | TextField, ...]
_SOURCES = (("built-in", "built-in"), ("model", "a model"), ("field", "a field"), ("file", "a .npy file"))
OF_VIEW = "Only the samples of a saved view"
_METRIC_NAMES = {"dotproduct": "dot product"}


def words(text: str) -> list[str]:
    """Words as a shell splits them, so that a name with a space can be quoted; raises ``ValueError``."""
    return shlex.split(text)


def pairs(text: str) -> tuple[tuple[str, str], ...]:
    """``name=value`` words; raises ``ValueError`` for a word that is none."""
    found = [word.partition("=") for word in words(text)]
    if any(not name or not equals for name, equals, _ in found):
        raise ValueError("Write NAME=VALUE, and quote what holds a space")
    return tuple((name, value) for name, _, value in found)


def _wrong_words(text: str) -> str:
    try:
        words(text)
    except ValueError:
        return "A quotation mark is not closed"
    return ""


def _wrong_pairs(text: str) -> str:
    try:
        pairs(text)
    except ValueError as error:
        return str(error) if "NAME" in str(error) else "A quotation mark is not closed"
    return ""


def _wrong_number(text: str) -> str:
    return "" if not text or (text.isdigit() and int(text) > 0) else "A whole number above zero, or nothing"


def _wrong_alpha(text: str) -> str:
    try:
        return "" if not text or -1 < float(text) < 100 else "A number above -1, such as 0.1"
    except ValueError:
        return "A number, such as 0.1"


def _wrong_workers(text: str) -> str:
    return "" if not text or text.isdigit() else "A whole number, or nothing"


def _wrong_key(text: str) -> str:
    if not text:
        return "A brain key is needed"
    return "" if text.isidentifier() else "Letters, digits and _, and no digit first"


def _wrong_collection(text: str) -> str:
    fine = not text or re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,254}", text)
    return "" if fine else "Letters, digits and _, and no digit first"


def _wrong_device(text: str) -> str:
    return "" if devices.SYNTAX.fullmatch(text) else devices.WORDS


def _wrong_file(text: str) -> str:
    if not text:
        return "The path of a .npy file is needed"
    return "" if is_file(text) else "There is no such file"


def _wrong_ids(text: str) -> str:
    return "" if not text or is_file(text) else "There is no such file"


def _needed(what: str) -> str:
    return f"{what} is needed"


def scope_fields() -> Fields:
    """Which samples or patches."""
    return (
        Heading("What"),
        ChoiceField(
            "dataset",
            "Dataset",
            [],
            wrong=lambda value: "" if value else _needed("A dataset"),
            hint="Space lists all; the whole program works with the one chosen here",
        ),
        ChoiceField("patches", "Patches", [("", "whole images")], hint="Index each box of a label field"),
        TextField(
            "slices",
            "Slices",
            wrong=_wrong_words,
            hint="The slices of this grouped dataset to index; spaces between",
        ),
        *_crop_fields(),
        ChoiceField("view", "Saved view", [("", "every sample")], hint=OF_VIEW),
        TextField(
            "tags",
            "Tags",
            placeholder="all",
            wrong=_wrong_words,
            hint="Samples with any of these; spaces between, quotes where one holds a space",
        ),
        TextField(
            "where",
            "Where",
            placeholder="all",
            wrong=_wrong_pairs,
            hint="FIELD=VALUE, all of which must hold; a label field means its label",
        ),
        TextField(
            "limit", "Limit", placeholder="all", wrong=_wrong_number, hint="Only the first so many samples"
        ),
    )


def _crop_fields() -> Fields:
    """How patches are cut out."""
    return (
        TextField(
            "alpha",
            "Alpha",
            placeholder="0",
            wrong=_wrong_alpha,
            hint="Widen each box by this share before it is cut out: 0.1 is a tenth",
        ),
        ChoiceField(
            "square",
            "Square",
            [("no", "as they are"), ("yes", "squares")],
            "no",
            hint="Widen the shorter side of each box first, where there is room",
        ),
    )


def source_fields() -> Fields:
    """Where the vectors come from."""
    return (
        Heading("Vectors"),
        ChoiceField(
            "source",
            "From",
            _SOURCES,
            "built-in",
            hint="The built-in descriptor needs no download; f4 lists models",
        ),
        TextField(
            "model",
            "Model",
            placeholder="f4 lists all",
            wrong=lambda value: "" if value.strip() else _needed("A model (f4)"),
            hint="A zoo name, huggingface:FOLDER, module:callable, … (f4 lists them)",
        ),
        ChoiceField(
            "field",
            "Field",
            [],
            wrong=lambda value: "" if value else "This dataset has no such field of vectors",
            hint="A field that holds one vector for each sample, or for each patch",
        ),
        TextField(
            "embeddings",
            "File",
            placeholder="vectors.npy",
            wrong=_wrong_file,
            hint="One vector a row, (n, dim)",
        ),
        TextField(
            "ids",
            "Ids",
            placeholder="rows are in dataset order",
            wrong=_wrong_ids,
            hint="The id of each row, one a line or .npy; nothing: in dataset order",
        ),
        TextField(
            "made_by",
            "Made by",
            placeholder="unknown",
            hint="The model that made these vectors (f4): then words can be searched",
        ),
    )


def index_fields(settings: Settings) -> Fields:
    """The run, the collection and the index."""
    defaults = {name: str(value.value or "") for name, value in settings.defaults.items()}
    return (
        Heading("Index"),
        TextField("key", "Brain key", wrong=_wrong_key, hint="What the run is called in FiftyOne"),
        TextField(
            "collection",
            "Collection",
            defaults["collection_name"],
            wrong=_wrong_collection,
            placeholder="from dataset and key",
            hint="Its name in Milvus; empty: one that a second start finds again",
        ),
        ChoiceField(
            "metric",
            "Metric",
            [(name, _METRIC_NAMES.get(name, name)) for name in METRICS],
            defaults["metric"],
            wrong=_wrong_default(settings, "metric", METRICS),
            hint="Cosine and dot product: higher is closer; euclidean: lower is closer",
        ),
        ChoiceField(
            "consistency",
            "Consistency",
            [(name, name) for name in CONSISTENCY_LEVELS],
            defaults["consistency_level"],
            wrong=_wrong_default(settings, "consistency_level", CONSISTENCY_LEVELS),
            hint="How soon a search sees what was written; Session is a good choice",
        ),
        *_type_fields(),
    )


def _wrong_default(settings: Settings, name: str, known: Sequence[str]) -> Wrong:
    """FiftyOne takes any word from its settings, and fails when the build is done."""
    source = settings.defaults[name].source

    def wrong(value: str) -> str:
        return "" if value in known else f"{source} says {value!r}, which does not exist: choose one here"

    return wrong


def _type_fields() -> Fields:
    """The index type, and the parameters that one type or another has."""
    return (
        ChoiceField(
            "type", "Index type", [(name, name) for name in LITE_TYPES], "HNSW", hint="HNSW suits most"
        ),
        TextField(
            "M",
            "M",
            str(HNSW_DEFAULT["M"]),
            wrong=_wrong_number,
            hint="Neighbours of each vector in the graph",
        ),
        TextField(
            "efConstruction",
            "efConstruction",
            str(HNSW_DEFAULT["efConstruction"]),
            wrong=_wrong_number,
            hint="How hard the build looks for neighbours",
        ),
        TextField("nlist", "nlist", wrong=_wrong_number, placeholder="1024", hint="Number of clusters"),
        TextField(
            "params", "More", wrong=_wrong_pairs, placeholder="none", hint="Other parameters: NAME=VALUE …"
        ),
    )


def work_fields() -> Fields:
    """How to work."""
    return (
        Heading("How"),
        TextField(
            "batch_size",
            "Batch size",
            placeholder="chosen for the model",
            wrong=_wrong_number,
            hint="Pictures that a model gets at once, or vectors in one request",
        ),
        TextField(
            "workers", "Workers", placeholder="chosen for this machine", wrong=_wrong_workers, hint="Decoders"
        ),
        TextField(
            "device",
            "Device",
            "auto",
            wrong=_wrong_device,
            hint="auto (every GPU), cpu, cuda:0, or several: cuda:0,cuda:1",
        ),
        ChoiceField(
            "precision",
            "Precision",
            [(name, name) for name in ("auto", "fp32", "bf16", "fp16")],
            "auto",
            hint="auto is fp32 and equals stock FiftyOne's vectors; bf16 is often faster",
        ),
        ChoiceField(
            "decode",
            "JPEGs",
            [("auto", "auto"), ("full", "decoded in full"), ("reduced", "at a reduced scale")],
            "auto",
            hint="reduced is faster where a model shrinks pictures; auto: torchvision: only",
        ),
        ChoiceField(
            "overwrite",
            "Overwrite",
            [("no", "no"), ("yes", "replace the run with this key")],
            "no",
            hint="The old index serves until the new one is complete; then it is dropped",
        ),
    )

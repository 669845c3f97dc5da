"""``datasets``: what FiftyOne has, and folders that become datasets."""

from __future__ import annotations

from pathlib import Path

import click

from tui.cli.session import Session, command, json_option, yes_option
from tui.core.words import counted

# The words of tui.core.documents.dataset_import, which would bring numpy and pymongo into "--help".
_TYPES = ("image-directory", "image-classification-directory-tree", "coco", "yolov5", "voc", "fiftyone")


@click.group()
def datasets() -> None:
    """FiftyOne's datasets: list, info, import, delete."""


@datasets.command("list")
@json_option
@command
def list_(session: Session, as_json: bool) -> None:
    """List the datasets."""
    from tui.core.datasets import list_datasets

    found = list_datasets(session.workspace())
    if as_json:
        session.out.json(found)
        return
    session.out.table(
        ("name", "samples", "media", "runs", "persistent", "last change"),
        [(d.name, d.samples, d.media_type, d.runs, d.persistent, d.last_modified) for d in found],
        empty="There is no dataset. 'kitescope demo' makes one, 'kitescope datasets import' takes a folder.",
    )


@datasets.command()
@click.argument("name")
@json_option
@command
def info(session: Session, name: str, as_json: bool) -> None:
    """Show fields, label fields with counts, saved views, tags and runs."""
    from tui.core.datasets import dataset_detail

    detail = dataset_detail(session.workspace(), name)
    if as_json:
        facts = {field: getattr(detail.info, field) for field in type(detail.info).__dataclass_fields__}
        rest = {
            field: getattr(detail, field) for field in type(detail).__dataclass_fields__ if field != "info"
        }
        session.out.json({**facts, **rest})
        return
    session.out.facts(
        [
            ("name", detail.info.name),
            ("samples", detail.info.samples),
            ("media", detail.info.media_type),
            ("last change", detail.info.last_modified),
            ("persistent", detail.info.persistent),
            *((("slices", _listed(detail.slices)),) if detail.slices else ()),
            ("saved views", _listed(detail.saved_views)),
            ("tags", _listed(f"{tag} ({count:,})" for tag, count in detail.tags.items())),
            ("runs", _listed(detail.runs)),
            ("patches fields", _listed(detail.patches_fields)),
            ("embeddings", _listed(f"{f.name} ({f.dim or '?'})" for f in detail.embeddings_fields)),
            ("fields", _listed(f"{field.path} ({field.type})" for field in detail.fields)),
            *(
                (field, _listed(f"{label} ({count:,})" for label, count in counts.items()))
                for field, counts in detail.label_fields.items()
            ),
        ]
    )


@datasets.command("import")
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--name", required=True, help="Name of the new dataset.")
@click.option("--type", "kind", type=click.Choice(_TYPES), default=_TYPES[0], show_default=True)
@json_option
@command
def import_(session: Session, directory: Path, name: str, kind: str, as_json: bool) -> None:
    """Make a dataset out of a folder, with FiftyOne's own importers."""
    from tui.core.datasets import import_dataset

    made = import_dataset(session.workspace(), directory, name, kind)
    if as_json:
        session.out.json({"name": made.name, "samples": made.samples})
    else:
        session.out.text(f"{made.name}: {counted(made.samples, 'sample')}")


@datasets.command()
@click.argument("name")
@click.option("--with-collections", is_flag=True, help="Also drop the Milvus collections of its runs.")
@yes_option
@json_option
@command
def delete(session: Session, name: str, with_collections: bool, yes: bool, as_json: bool) -> None:
    """Delete a dataset; the image files stay."""
    from tui.core.datasets import dataset_detail, delete_dataset

    ws = session.workspace()
    ws.require_destroyable(f"delete dataset {name!r}")
    detail = dataset_detail(ws, name)
    also = " and the Milvus collections of its runs" if with_collections else ""
    what = f"{counted(detail.info.samples, 'sample')}, {counted(len(detail.runs), 'run')}"
    session.agree(f"Delete dataset {name!r} with {what}{also}?", yes=yes)
    deleted = delete_dataset(ws, name, with_collections)
    if as_json:
        session.out.json(
            {
                "deleted": deleted.name,
                "samples": deleted.samples,
                "dropped": deleted.dropped,
                "kept": deleted.kept,
            }
        )
        return
    session.out.text(f"deleted {deleted.name}: {counted(deleted.samples, 'sample')}")
    for collection in deleted.dropped:
        session.out.text(f"dropped collection {collection}")
    for collection, reason in deleted.kept.items():
        session.out.say(f"Kept collection {collection}: {reason}.")


def _listed(things: object) -> str:
    return ", ".join(str(thing) for thing in things) or "–"  # type: ignore[attr-defined]

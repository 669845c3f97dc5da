"""``collections``: the Milvus side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from tui.cli.session import Session, command, json_option, yes_option
from tui.cli.several import one_after_the_other
from tui.core.words import counted

if TYPE_CHECKING:
    from tui.core.collections import CollectionRow


@click.group()
def collections() -> None:
    """Milvus collections: list, info, load, release, adopt, drop."""


@collections.command("list")
@click.option("--orphans", is_flag=True, help="Only those that no run of this FiftyOne database names.")
@json_option
@command
def list_(session: Session, orphans: bool, as_json: bool) -> None:
    """List the collections and the runs they belong to."""
    from tui.core.collections import list_collections

    found = list_collections(session.workspace(), orphans=orphans)
    if as_json:
        session.out.json(found)
        return
    session.out.table(
        ("name", "vectors", "dim", "index", "metric", "loaded", "owner"),
        [(c.name, c.vectors, c.dim, c.index_type, c.metric, c.loaded, c.owner) for c in found],
        empty="There is no orphan." if orphans else "Milvus has no collection.",
    )


@collections.command()
@click.argument("name")
@json_option
@command
def info(session: Session, name: str, as_json: bool) -> None:
    """Show what Milvus knows about a collection."""
    from tui.core.collections import collection_facts

    facts = collection_facts(session.workspace(), name)
    if as_json:
        session.out.json(facts)
    else:
        session.out.facts((key, _text(value)) for key, value in facts.items())


@collections.command()
@click.argument("name")
@json_option
@command
def load(session: Session, name: str, as_json: bool) -> None:
    """Load a collection into Milvus' memory, where it can be searched."""
    from tui.core import collections as core

    _tell(session, core.load(session.workspace(), name), "loaded", as_json)


@collections.command()
@click.argument("name")
@json_option
@command
def release(session: Session, name: str, as_json: bool) -> None:
    """Take a collection out of Milvus' memory; its data stay."""
    from tui.core import collections as core

    _tell(session, core.release(session.workspace(), name), "released", as_json)


@collections.command()
@click.argument("name")
@click.argument("dataset")
@click.argument("key")
@click.option("--patches-field", metavar="F", help="Its ids are of this field's labels, not of samples.")
@click.option("--model", metavar="M", help="What made its vectors: sync and prompts need it.")
@json_option
@command
def adopt(
    session: Session,
    name: str,
    dataset: str,
    key: str,
    patches_field: str | None,
    model: str | None,
    as_json: bool,
) -> None:
    """Make a collection a brain run of a dataset whose ids it holds."""
    from tui.core import collections as core

    adopted = core.adopt(session.workspace(), name, dataset, key, patches_field=patches_field, model=model)
    if as_json:
        session.out.json(adopted)
        return
    session.out.text(f"{adopted.collection} is run {adopted.brain_key} of {adopted.dataset} now")
    if adopted.missing or adopted.stale or adopted.duplicates:
        session.out.say(
            f"It lacks {counted(adopted.missing, 'item')}, holds {counted(adopted.stale, 'other')} "
            f"and {counted(adopted.duplicates, 'duplicate')}: 'kitescope sync' mends that."
        )


@collections.command()
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@yes_option
@json_option
@command
def drop(session: Session, names: tuple[str, ...], yes: bool, as_json: bool) -> None:
    """Drop collections that no run uses, for good."""
    from tui.core import collections as core

    names = tuple(dict.fromkeys(names))
    these = f"collection {names[0]!r}" if len(names) == 1 else f"{len(names)} collections"
    ws = session.workspace()
    ws.require_destroyable(f"drop {these}")
    rows = [core.collection_row(ws, name) for name in names]
    if len(rows) == 1:
        session.agree(f"Drop {these} with {_vectors(rows[0])}?", yes=yes)
    else:
        listed = "; ".join(f"{row.name}: {_vectors(row)}" for row in rows)
        session.agree(f"Drop {these} ({listed})?", yes=yes)
    one_after_the_other(
        session,
        names,
        lambda name: core.drop(ws, name),
        called="name",
        failed="collections could not be dropped",
        facts=_dropped,
        tell=lambda row: session.out.text(f"dropped {row.name}"),
        as_json=as_json,
    )


def _dropped(row: CollectionRow) -> dict[str, Any]:
    return {"dropped": row.name, "vectors": row.vectors}


def _vectors(row: CollectionRow) -> str:
    return "an unknown number of vectors" if row.vectors is None else counted(row.vectors, "vector")


def _tell(session: Session, row: CollectionRow, verb: str, as_json: bool) -> None:
    if as_json:
        session.out.json(row)
    else:
        session.out.text(f"{verb} {row.name}")


def _text(value: object) -> object:
    if hasattr(value, "items"):
        return ", ".join(f"{key}={inner}" for key, inner in value.items()) or None
    if isinstance(value, tuple | list):
        separator = "\n" if value and isinstance(value[0], dict) else ", "
        return separator.join(str(_text(one)) for one in value) or None
    return value

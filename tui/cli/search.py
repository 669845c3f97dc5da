"""``search``: query in, hits out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tui.cli.session import Session, command, json_option
from tui.core.words import counted

if TYPE_CHECKING:
    from tui.core.search import SearchResult

WHERE = "Only where a field has this value; also FIELD>=VALUE, FIELD<=VALUE, id=A,B."
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path, resolve_path=True)


@click.command()
@click.argument("dataset")
@click.argument("key")
@click.option("--id", "ids", multiple=True, metavar="ID", help="Like this item; several are averaged.")
@click.option("--text", metavar="TEXT", help="Like this description (models that take prompts).")
@click.option("--image", type=_FILE, metavar="FILE", help="Like this picture.")
@click.option("--vector", type=_FILE, metavar="FILE.npy", help="Like this vector; several rows are averaged.")
@click.option("--not-id", "not_ids", multiple=True, metavar="ID", help="Away from this item.")
@click.option(
    "-k", "k", type=click.IntRange(min=1), default=25, show_default=True, metavar="N", help="How many."
)
@click.option("--offset", type=click.IntRange(min=0), default=0, metavar="N", help="Leave out the first N.")
@click.option("--least", is_flag=True, help="The least similar instead.")
@click.option("--view", metavar="SAVED", help="Only in this saved view.")
@click.option("--tag", "tags", multiple=True, metavar="T", help="Only with this tag (any of several).")
@click.option("--where", multiple=True, metavar="FIELD=VALUE", help=WHERE)
@click.option("--only-id", "only", multiple=True, metavar="ID", help="Only among these items.")
@click.option("--add-tag", "add_tags", multiple=True, metavar="T", help="Tag what is found.")
@click.option("--remove-tag", "remove_tags", multiple=True, metavar="T", help="Take a tag off what is found.")
@click.option("--save-view", metavar="NAME", help="Keep what is found as a FiftyOne saved view.")
@click.option("--export", "target", metavar="PATH", help="Write what is found to a new file or folder.")
@click.option(
    "--format",
    "format_",
    default="json",
    show_default=True,
    metavar="F",
    help="Of --export: csv, json, links (a folder of symbolic links), or one of FiftyOne's dataset types.",
)
@click.option("--label-field", metavar="F", help="What --export writes as labels in FiftyOne's formats.")
@click.option("--preview", is_flag=True, help="Draw the pictures in the terminal.")
@click.option("--columns", type=click.IntRange(1, 50), metavar="N", help="Pictures per row of --preview.")
@json_option
@command
def search(
    session: Session,
    dataset: str,
    key: str,
    ids: tuple[str, ...],
    text: str | None,
    image: Path | None,
    vector: Path | None,
    not_ids: tuple[str, ...],
    k: int,
    offset: int,
    least: bool,
    view: str | None,
    tags: tuple[str, ...],
    where: tuple[str, ...],
    only: tuple[str, ...],
    add_tags: tuple[str, ...],
    remove_tags: tuple[str, ...],
    save_view: str | None,
    target: str | None,
    format_: str,
    label_field: str | None,
    preview: bool,
    columns: int | None,
    as_json: bool,
) -> None:
    """Find what is similar in the index KEY of DATASET."""
    _check_drawing(preview, columns, as_json)
    use = _Use(add_tags, remove_tags, save_view, target, format_, label_field)
    conditions = tuple(condition(pair) for pair in where)
    from tui.core.querying.query import Query, count_vectors
    from tui.core.search import search as find

    query = Query(
        dataset,
        key,
        ids=ids,
        not_ids=not_ids,
        text=text,
        image=str(image) if image else None,
        vector=str(vector) if vector else None,
        k=k,
        offset=offset,
        least=least,
        view=view,
        tags=tags,
        where=conditions,
        only=only,
    )
    use.check()
    result = find(session.workspace(), query, tell=session.out.compared())
    use.of(session, dataset, key, result)
    if vector is not None and (rows := count_vectors(vector)) > 1:
        session.out.say(f"Searched for the mean of the {counted(rows, 'vector')} in {vector.name}.")
    if as_json:
        session.out.json(result)
    else:
        _show(session, result, preview, columns)


def _check_drawing(preview: bool, columns: int | None, as_json: bool) -> None:
    if preview and as_json:
        raise click.UsageError("--preview draws and --json does not: choose one")
    if columns is not None and not preview:
        raise click.UsageError("--columns is about --preview, which is missing")


def _show(session: Session, result: SearchResult, preview: bool, columns: int | None) -> None:
    """What was found, as pictures or as a table."""
    _tell(session, result)
    if preview:
        from tui.cli.preview import draw

        draw(session.out, result, columns)
        return
    session.out.table(
        ("rank", "id", "score", "label", "tags", "file"),
        [
            (str(hit.rank), hit.id, f"{hit.score:.4f}", hit.label, ", ".join(hit.tags), hit.filepath)
            for hit in result.hits
        ],
        empty="Nothing was found.",
    )


@dataclass(frozen=True, slots=True)
class _Use:
    """What becomes of what was found."""

    add_tags: tuple[str, ...]
    remove_tags: tuple[str, ...]
    view: str | None
    target: str | None
    format: str
    label_field: str | None

    def check(self) -> None:
        """Refuse what cannot be written, before anything is searched or tagged."""
        if self.target is not None:
            from tui.core.results import export_target

            export_target(self.format, self.target)

    def of(self, session: Session, dataset: str, key: str, result: SearchResult) -> None:
        """Do it, and say so."""
        if not (self.add_tags or self.remove_tags or self.view is not None or self.target is not None):
            return
        from tui.core import results
        from tui.core.runs import require_run

        ws = session.workspace()
        field = require_run(ws, dataset, key).patches_field
        ids = [hit.id for hit in result.hits]
        for tags, remove in ((self.add_tags, False), (self.remove_tags, True)):
            if tags:
                count = results.tag(ws, dataset, ids, tags, patches_field=field, remove=remove)
                session.out.say(f"{'untagged' if remove else 'tagged'} {count}: {', '.join(tags)}")
        if self.view is not None:
            count = results.save_view(ws, dataset, self.view, ids, patches_field=field)
            session.out.say(f"saved {count} as view {self.view}")
        if self.target is not None:
            count = results.export(
                ws,
                dataset,
                result.hits,
                self.format,
                self.target,
                patches_field=field,
                label_field=self.label_field,
            )
            session.out.say(f"exported {count} to {self.target}")


def condition(pair: str) -> tuple[str, str]:
    """Read FIELD=VALUE: the path keeps what stands before the equals sign, as in ``confidence>=0.5``."""
    field, equals, value = pair.partition("=")
    if not (field and equals):
        raise click.UsageError(f"--where {pair!r} is not FIELD=VALUE")
    return field, value


def _tell(session: Session, result: SearchResult) -> None:
    direction = "higher is closer" if result.higher_is_closer else "lower is closer"
    session.out.say(
        f"{counted(len(result.hits), 'hit')} by {result.score} ({direction}) in {result.elapsed_ms:.0f} ms."
    )
    if result.approximate:
        session.out.say("Of so many vectors the least similar are searched for: some may be missing.")

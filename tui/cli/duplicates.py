"""``duplicates``: what is nearly the same, in groups."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tui.cli.search import WHERE, condition
from tui.cli.session import Session, command, json_option
from tui.core.words import counted

if TYPE_CHECKING:
    from tui.core.near_duplicates import NearDuplicates


@click.command(short_help="Find near-duplicates, in groups.")
@click.argument("dataset")
@click.argument("key")
@click.option(
    "--threshold",
    type=float,
    default=0.98,
    show_default=True,
    metavar="SCORE",
    help="Pairs at least this similar; for euclidean: at most this squared distance.",
)
@click.option("--view", metavar="SAVED", help="Only in this saved view.")
@click.option("--tag", "tags", multiple=True, metavar="T", help="Only with this tag (any of several).")
@click.option("--where", multiple=True, metavar="FIELD=VALUE", help=WHERE)
@click.option("--add-tag", "add_tag", metavar="T", help="Tag all but the oldest of each group.")
@json_option
@command
def duplicates(
    session: Session,
    dataset: str,
    key: str,
    threshold: float,
    view: str | None,
    tags: tuple[str, ...],
    where: tuple[str, ...],
    add_tag: str | None,
    as_json: bool,
) -> None:
    """Group the near-duplicates in the index KEY of DATASET."""
    conditions = tuple(condition(pair) for pair in where)
    from tui.core import results
    from tui.core.near_duplicates import near_duplicates
    from tui.core.runs import require_run

    ws = session.workspace()
    if add_tag is not None:
        ws.require_writable(f"tag in dataset {dataset!r}")
    teller = _Teller(session)
    try:
        found = near_duplicates(
            ws, dataset, key, threshold, view=view, tags=tags, where=conditions, tell=teller
        )
    except KeyboardInterrupt:
        if teller.last is not None:
            _show(session, teller.last, as_json)
            session.out.say("Stopped: groups may be larger, and there may be more.")
        raise
    tagged = ""
    if add_tag is not None:
        tagged = f"; {len(found.spare)} tagged {add_tag}"
        if found.spare:
            field = require_run(ws, dataset, key).patches_field
            results.tag(ws, dataset, found.spare, [add_tag], patches_field=field)
    _show(session, found, as_json, tagged)


def _show(session: Session, found: NearDuplicates, as_json: bool, tagged: str = "") -> None:
    if as_json:
        groups = [[item.id for item in group] for group in found.groups]
        facts = {"threshold": found.threshold, "metric": found.metric, "compared": found.compared}
        session.out.json({**facts, "total": found.total, "groups": groups})
        return
    session.out.table(
        ("group", "id", "label", "file"),
        [
            (number, item.id, item.label, item.filepath)
            for number, group in enumerate(found.groups, 1)
            for item in group
        ],
        empty="There are no near-duplicates at this threshold.",
    )
    of = "" if found.compared == found.total else f" of {found.total:,}"
    session.out.say(f"{counted(len(found.groups), 'group')} in {found.compared:,}{of} vectors{tagged}.")


class _Teller:
    """Tells how far it is, and keeps what was found for when it is interrupted."""

    def __init__(self, session: Session) -> None:
        self.last: NearDuplicates | None = None
        self._tell = session.out.compared(self._found)

    def __call__(self, so_far: NearDuplicates) -> None:
        self.last = so_far
        self._tell(so_far.compared, so_far.total)

    def _found(self) -> str:
        groups, spare = (len(self.last.groups), len(self.last.spare)) if self.last else (0, 0)
        return f": {counted(groups, 'group')} so far, {spare:,} to spare"

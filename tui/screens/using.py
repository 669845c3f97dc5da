"""What can be done with what the Search screen shows: tag, keep as a view, export, copy as Python."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from textual import events, on, work
from textual.message import Message
from textual.widgets import Static
from textual.worker import get_current_worker

from tui.core.errors import KitescopeError
from tui.core.words import counted
from tui.messages import Answer, Failed, RefreshRequested
from tui.screens.asks import Narrowing
from tui.screens.base import core_call
from tui.screens.searching import Searching
from tui.widgets.dialogs import Ask as AskDialog
from tui.widgets.dialogs import Confirm, Page
from tui.widgets.pick import Pick
from tui.widgets.text import plain

if TYPE_CHECKING:
    from tui.core.documents.run_list import RunInfo
    from tui.core.documents.scopes import SampleInfo
    from tui.core.near_duplicates import NearDuplicates
    from tui.core.search import Hit
    from tui.core.workspace import Workspace

_GROUPS_SHOWN, _MEMBERS_SHOWN = 200, 20
_COMPARING = "comparing every vector"
_OWN = {
    "csv": "csv: a table",
    "json": "json: the same with every value as it is",
    "links": "links: a folder of symbolic links, named by rank",
}


class Used(Message):
    """Something was done with results; ``tags`` are those that the items have gained or lost."""

    def __init__(
        self, said: str, ids: Sequence[str] = (), tags: Sequence[str] = (), gone: bool = False
    ) -> None:
        self.said = said
        self.ids = tuple(ids)
        self.tags = tuple(tags)
        self.gone = gone
        super().__init__()


class FormatsRead(Message):
    """The formats that these results can be exported to."""

    def __init__(self, names: Sequence[str], run: RunInfo, items: Sequence[Hit | SampleInfo]) -> None:
        self.names = tuple(names)
        self.run = run
        self.items = tuple(items)
        super().__init__()


class Grouped(Answer):
    """The near-duplicates of an index."""

    def __init__(self, run: RunInfo, found: NearDuplicates) -> None:
        self.run = run
        self.found = found
        super().__init__()


class GroupedSoFar(Message):
    """What near-duplicates are found while the index is compared."""

    def __init__(self, found: NearDuplicates) -> None:
        self.found = found
        super().__init__()

    def can_replace(self, message: Message) -> bool:
        """Only the newest is worth drawing."""
        return isinstance(message, GroupedSoFar)


class GroupsPage(Page):
    """The groups of near-duplicates, growing while the index is compared."""

    HINT = "esc stops · y copy"
    _ended = False

    def end(self) -> None:
        """Close, or, beneath the palette or on a screen that was left, close as soon as it is seen again."""
        self._ended = True
        if self.is_current:
            self.dismiss()

    @on(events.ScreenResume)
    def _seen_again(self) -> None:
        if self._ended and self.is_current:
            self.dismiss()

    def show(self, found: NearDuplicates) -> None:
        """Another state of it; who reads in the middle stays there."""
        self.body = "\n".join(_lines(found)) or "None so far."
        self.query_one(".dialog-title", Static).update(f"{_so_far(found)}  ({self.HINT})")
        self.query_one("#page-text", Static).update(self._text())


class Using(Searching):
    """The marked pictures, or else the one under the cursor or all results, put to use."""

    _page: GroupsPage | None = None

    def _writable(self, what: str) -> bool:
        if self.state.readonly:
            self.tell(f"This connection is read-only, so nothing can be {what}.")
        return not self.state.readonly

    def _results(self) -> list[Hit | SampleInfo]:
        """The marked pictures in the order of the grid, then those of other searches; or else all results."""
        step = self._history.current
        if self.grid.marks:
            order = [tile.id for tile in self.grid.tiles if tile is not None]
            order += sorted(self.grid.marks - set(order))
            return [self._items[id] for id in order if id in self.grid.marks and id in self._items]
        if step is None or step.ask.browses:
            self.tell("Mark pictures (space, a), or search first: then all results are meant.")
            return []
        return list(step.hits)

    # Tags

    def action_tag(self) -> None:
        """Add tags."""
        self._ask_tags(remove=False)

    def action_untag(self) -> None:
        """Remove tags."""
        self._ask_tags(remove=True)

    @work(group="use")
    async def _ask_tags(self, *, remove: bool) -> None:
        ids, run = self.grid.chosen(), self._run
        if not ids or run is None:
            self.tell("There is no picture to tag.")
            return
        if not self._writable("tagged"):
            return
        known = sorted({tag for id in ids if id in self._items for tag in self._items[id].tags})
        what = counted(len(ids), "picture")
        typed = await self.ask(
            AskDialog(
                f"{'Take which tags off' if remove else 'Tag'} {what}: names, separated by commas",
                value=", ".join(known) if remove else "",
                placeholder="duplicate, to check",
            )
        )
        tags = [part.strip() for part in (typed or "").split(",") if part.strip()]
        if tags:
            self._load_use("tagging", partial(_tag, run, tuple(ids), tags, remove))

    # Views and files

    @work(group="use")
    async def action_save_view(self) -> None:
        """Keep results as a saved view of FiftyOne."""
        items, run = self._results(), self._run
        if not items or run is None or not self._writable("saved"):
            return
        name = await self.ask(
            AskDialog(f"Save {len(items):,} as a view of {run.dataset}, named", placeholder="look-alikes")
        )
        if name:
            ids = [item.id for item in items]
            self._load_use("saving a view", partial(_save_view, run, name, ids))

    def action_export(self) -> None:
        """Write results to a file or folder."""
        if self._run is not None and (items := self._results()):
            self._load_formats(self._run, tuple(items))

    @core_call("reading formats")
    def _load_formats(self, run: RunInfo, items: tuple[Hit | SampleInfo, ...]) -> Message | None:
        from tui.core.results import formats

        return FormatsRead(formats(self.kitescope.workspace), run, items)

    @on(FormatsRead)
    @work(group="use")
    async def _export(self, message: FormatsRead) -> None:
        if not self.is_current:
            return  # nobody is here any more to be asked
        items, run = message.items, message.run
        options = [(name, _OWN.get(name, f"FiftyOne's {name}")) for name in message.names]
        format = await self.ask(Pick(f"Export {len(items):,} as", options))
        if not format:
            return
        ending = f".{format}" if format in ("csv", "json") else ""
        path = await self.ask(
            AskDialog(
                "To a file that is not there yet" if ending else "To a folder that is not there yet",
                value=str(Path.cwd() / f"{run.dataset}-{run.brain_key}{ending}"),
            )
        )
        if path:
            self._load_use("exporting", partial(_export, run, items, format, path))

    @core_call("using results", exclusive=False)
    def _load_use(self, doing: str, act: Callable[[Workspace], Used]) -> Message | None:
        try:
            return act(self.kitescope.workspace)
        except KitescopeError as error:
            return Failed(error, doing)

    @on(Used)
    def _used(self, message: Used) -> None:
        self.notify(plain(message.said), markup=False)
        changed = {id: _tagged(self._items[id], message) for id in message.ids if id in self._items}
        if changed:
            self._items.update(changed)
            # Those before and after, too: one goes back to them.
            for step in self._history.steps:
                step.hits = tuple(
                    replace(hit, tags=changed[hit.id].tags) if hit.id in changed else hit for hit in step.hits
                )
            self._tell_facts()
        self.post_message(RefreshRequested("datasets"))

    # Near-duplicates

    @work(group="use")
    async def action_duplicates(self) -> None:
        """Group what is nearly the same in this index, and offer to tag all but one of each group."""
        run = self._run
        if run is None:
            self.tell("Choose an index first: press o.")
            return
        far = run.metric == "euclidean"
        title = "Squared distance at most" if far else "Score of a pair at least"
        if self._narrowing:
            title += f", only {self._narrowing}"
        typed = await self.ask(AskDialog(title, value="" if far else "0.98", wrong=_wrong_number))
        if typed:
            self._cancel()
            self._wait(self._load_duplicates(run, float(typed), self._narrowing), _COMPARING)

    @core_call("searching")
    def _load_duplicates(self, run: RunInfo, threshold: float, narrowing: Narrowing) -> Message | None:
        from tui.core.near_duplicates import near_duplicates

        worker = get_current_worker()

        def tell(so_far: NearDuplicates) -> None:
            if not worker.is_cancelled:
                self.post_message(GroupedSoFar(so_far))

        found = near_duplicates(
            self.kitescope.workspace,
            run.dataset,
            run.brain_key,
            threshold,
            view=narrowing.view,
            tags=narrowing.tags,
            where=narrowing.conditions(run.patches_field),
            tell=tell,
            should_stop=lambda: worker.is_cancelled,
        )
        return Grouped(run, found)

    @on(GroupedSoFar)
    def _show_growing(self, message: GroupedSoFar) -> None:
        if self._waiting is None or self._waiting.words != _COMPARING:
            return
        if self._page is not None:
            if self._page.is_mounted:
                self._page.show(message.found)
        elif self.is_current:
            self._page = GroupsPage(_so_far(message.found), "\n".join(_lines(message.found)))
            self.app.push_screen(self._page, self._stop_comparing)

    def _stop_comparing(self, _answer: None) -> None:
        self._page = None
        if self._waiting is not None and self._waiting.words == _COMPARING:
            self._cancel()
            self._tell_facts()
            self.tell("Stopped: nothing is tagged.")

    def awaited_failed(self) -> None:
        """Nothing more is found."""
        self._leave_groups()

    def _leave_groups(self) -> None:
        if self._page is not None:
            page, self._page = self._page, None
            page.end()

    @on(Grouped)
    def _grouped(self, message: Grouped) -> None:
        if self._take_awaited(message):
            self._leave_groups()
            self._tell_facts()
            self._show_groups(message.found, message.run)

    @work(group="use")
    async def _show_groups(self, found: NearDuplicates, run: RunInfo) -> None:
        if not found.groups:
            self.tell(f"No two of {found.compared:,} are that near (threshold {found.threshold:g}).")
            return
        spare = found.spare
        lines = _lines(found)
        title = f"{counted(len(found.groups), 'group')} of near-duplicates. Tag {len(spare):,} as duplicate?"
        body = "All but the first of each group, which was added first:\n\n" + "\n".join(lines)
        if await self.ask(Confirm(title, body, yes="Tag")) and self._writable("tagged"):
            self._load_use("tagging", partial(_tag, run, spare, ["duplicate"], False))

    def action_python(self) -> None:
        """Copy what opens the index in a notebook."""
        if self._run is None:
            self.tell("Choose an index first: press o.")
        else:
            self._load_python(self._run)

    @core_call("writing Python")
    def _load_python(self, run: RunInfo) -> Message | None:
        from tui.core.runs import snippet

        text = snippet(self.kitescope.workspace, run.dataset, run.brain_key)
        self.app.call_from_thread(self.app.copy_to_clipboard, text)
        return Used(f"Copied: the Python that opens {run.dataset} / {run.brain_key}")


def _wrong_number(text: str) -> str:
    try:
        float(text)
    except ValueError:
        return "Give a number, such as 0.98"
    return ""


def _so_far(found: NearDuplicates) -> str:
    counts = f"{counted(len(found.groups), 'group')}, {counted(len(found.spare), 'file')} to spare"
    return f"{found.compared:,} of {counted(found.total, 'vector')} compared: {counts}"


def _lines(found: NearDuplicates) -> list[str]:
    """The first groups, each with its files, and how many more there are."""
    lines = [
        f"{number}. " + "\n   ".join(_listed(group))
        for number, group in enumerate(found.groups[:_GROUPS_SHOWN], 1)
    ]
    more = len(found.groups) - _GROUPS_SHOWN
    return [*lines, f"… and {counted(more, 'group')} more"] if more > 0 else lines


def _listed(group: Sequence[SampleInfo]) -> list[str]:
    """The files of a group; a hundred thousand of them would take too long to lay out."""
    files = [item.filepath for item in group[:_MEMBERS_SHOWN]]
    more = len(group) - _MEMBERS_SHOWN
    return [*files, f"… and {more:,} more"] if more > 0 else files


def _tagged(item: Hit | SampleInfo, message: Used) -> Hit | SampleInfo:
    kept = [tag for tag in item.tags if tag not in message.tags]
    return replace(item, tags=tuple(kept if message.gone else [*kept, *message.tags]))


def _tag(run: RunInfo, ids: Sequence[str], tags: Sequence[str], remove: bool, ws: Workspace) -> Used:
    from tui.core.results import tag

    count = tag(ws, run.dataset, ids, tags, patches_field=run.patches_field, remove=remove)
    verb = "are off" if remove else "are on"
    return Used(f"{', '.join(tags)} {verb} {count:,} now", ids, tags, remove)


def _save_view(run: RunInfo, name: str, ids: Sequence[str], ws: Workspace) -> Used:
    from tui.core.results import save_view

    count = save_view(ws, run.dataset, name, ids, patches_field=run.patches_field)
    return Used(f"View {name} of {run.dataset} shows these {count:,}")


def _export(run: RunInfo, items: Sequence[Hit | SampleInfo], format: str, path: str, ws: Workspace) -> Used:
    from tui.core.results import export

    count = export(ws, run.dataset, items, format, path, patches_field=run.patches_field)
    return Used(f"{count:,} are in {path}")

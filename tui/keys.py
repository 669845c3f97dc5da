"""Every key of the UI, with a stable id: the help screen and the README's table are made from this module.

A binding's id is what the ``[keys]`` table of the config file remaps. A screen takes its group as
``BINDINGS``; what an action does, and why it cannot act now, is the screen's business.
"""

from __future__ import annotations

from collections.abc import Mapping

from textual.binding import Binding


def _key(
    id: str,
    key: str,
    action: str,
    description: str,
    *,
    show: bool = False,
    priority: bool = False,
    tip: str = "",
) -> Binding:
    return Binding(key, action, description, show=show, id=id, priority=priority, tooltip=tip or description)


APP = [
    _key("screen-connection", "1", "show_screen('connection')", "Connection"),
    _key("screen-datasets", "2", "show_screen('datasets')", "Datasets"),
    _key("screen-build", "3", "show_screen('build')", "Build"),
    _key("screen-jobs", "4", "show_screen('jobs')", "Jobs"),
    _key("screen-runs", "5", "show_screen('runs')", "Runs"),
    _key("screen-search", "6", "show_screen('search')", "Search"),
    _key("help", "question_mark,f1", "help", "Help", show=True, tip="Every key of this screen"),
    _key("palette", "ctrl+p,colon", "command_palette", "Commands", tip="Find any action by name"),
    _key("back", "escape", "go_back", "Back", tip="One level back; never quits"),
    _key(
        "image-protocol", "ctrl+g", "next_image_protocol", "Pictures as", tip="Switch how pictures are drawn"
    ),
    _key("quit", "q", "quit", "Quit", tip="Jobs go on without the UI"),
]

TABLE = [
    _key("cursor-down", "j,down", "cursor_down", "Down"),
    _key("cursor-up", "k,up", "cursor_up", "Up"),
    _key("cursor-left", "h,left", "cursor_left", "Left"),
    _key("cursor-right", "l,right", "cursor_right", "Right"),
    _key("top", "g,home", "scroll_top", "First row"),
    _key("bottom", "G,end", "scroll_bottom", "Last row"),
    _key("half-page-down", "ctrl+d,pagedown", "page_down", "Page down"),
    _key("half-page-up", "ctrl+u,pageup", "page_up", "Page up"),
    _key("mark", "space", "mark", "Mark", tip="Mark this row for a bulk action"),
    _key("mark-all", "a", "mark_all", "Mark all", tip="Mark every row that the filter shows"),
    _key("sort", "s", "sort", "Sort", tip="Sort by the next column; again to reverse"),
    _key("sort-by", "S", "sort_by", "Sort by", tip="Choose the column to sort by, and which way"),
]

# Keys that open a line to type into come first: what is typed at once behind them must not reach the table.
FILTER = [
    _key("filter", "slash", "filter", "Filter", show=True, priority=True, tip="Type to narrow the rows"),
    _key("next-match", "n", "next_match", "Next match"),
    _key("previous-match", "N", "previous_match", "Previous match"),
]

FORM = [
    _key("next-field", "down", "next_field", "Next field"),
    _key("previous-field", "up", "previous_field", "Previous field"),
]

CHOICE = [
    _key("choice-next", "l,right", "choose(1)", "Next option"),
    _key("choice-previous", "h,left", "choose(-1)", "Previous option"),
    _key("choice-open", "space", "open", "Options", tip="The next option, or all of them as a list"),
    _key("choice-leave", "enter", "leave", "Done", tip="On to the next field"),
]

SCROLL = [
    _key("scroll-down", "j,down", "lines(1)", "Down"),
    _key("scroll-up", "k,up", "lines(-1)", "Up"),
    _key("scroll-top", "g,home", "edge(0)", "Beginning"),
    _key("scroll-bottom", "G,end", "edge(1)", "End"),
    _key("scroll-page-down", "ctrl+d,pagedown", "page(1)", "Page down"),
    _key("scroll-page-up", "ctrl+u,pageup", "page(-1)", "Page up"),
]

COMMON = [
    _key("refresh", "r", "refresh_data", "Refresh"),
    _key("copy", "y", "copy", "Copy", tip="Copy, also over SSH (OSC 52); a connection as export lines"),
]

CONNECTION = [
    _key("connection-connect", "enter,f5", "connect", "Connect", show=True, tip="Use these values now"),
    _key("connection-edit", "e", "edit", "Edit", show=True, tip="Into the form, as tab does; esc leaves it"),
    _key(
        "connection-test", "t,f4", "test", "Test", show=True, tip="Walk from the address to the collections"
    ),
    _key("connection-save", "w,f2", "save", "Save", show=True, tip="Save as a profile"),
    _key(
        "connection-brain-config",
        "b,f3",
        "save_brain_config",
        "brain_config",
        show=True,
        tip="Write to FiftyOne's brain config",
    ),
    _key("connection-remove", "d", "remove", "Remove", show=True, tip="Remove this saved profile"),
]

DATASETS = [
    _key("dataset-choose", "enter", "choose", "Choose", show=True, tip="Work with this dataset"),
    _key("dataset-build", "b", "build", "Build index", show=True),
    _key("dataset-runs", "o", "runs", "Runs", show=True, tip="The brain runs of this dataset"),
    _key(
        "dataset-view",
        "v",
        "view",
        "View",
        show=True,
        tip="Narrow to a saved view, tags, a label or a number",
    ),
    _key(
        "dataset-detail",
        "d",
        "detail",
        "Look inside",
        show=True,
        tip="Labels, tags, views, fields and pictures; where there is room they are beside the list",
    ),
    _key("dataset-import", "i", "import", "Import", show=True, tip="A folder of images"),
    _key("dataset-delete", "D", "delete", "Delete", tip="Delete the dataset; asks for its name"),
]

BUILD = [
    _key("build-start", "f5", "start", "Start", show=True, tip="Start the job; it goes on without the UI"),
    _key("build-models", "m,f4", "models", "Models", show=True, tip="Choose from everything that can embed"),
    _key("build-plan", "p,f6", "plan", "Plan", show=True, tip="What the build would do, in full"),
    _key("build-edit", "e", "edit", "Edit", show=True, tip="Into the form, as tab does; esc leaves it"),
    _key("build-defaults", "f8", "defaults", "Defaults", show=True, tip="Put every field back"),
]

JOBS = [
    _key("job-log", "enter", "log", "Log", show=True, tip="What the job wrote; follows it while it runs"),
    _key("job-cancel", "c", "cancel", "Cancel", show=True, tip="Keep what is done and stop"),
    _key("job-resume", "u", "resume", "Resume", show=True, tip="Go on where it stopped"),
    _key("job-open", "o", "open", "Open index", show=True, tip="Search the index this job built"),
    _key(
        "job-skipped",
        "x",
        "skipped",
        "Left out",
        tip="Every file that could not become a vector, and why; t tags them",
    ),
]

RUNS = [
    _key("run-search", "enter", "search", "Search", show=True),
    _key("run-info", "i", "info", "Info", show=True),
    _key("run-check", "c", "check", "Check", show=True, tip="Exact coverage, duplicates, orphans"),
    _key("run-sync", "u", "sync", "Sync", show=True, tip="Add what is missing, remove what is stale"),
    _key("run-rename", "R", "rename", "Rename", show=True),
    _key(
        "run-delete",
        "d",
        "delete",
        "Delete",
        show=True,
        tip="The run and its collection; on the other tab, an orphan",
    ),
    _key("run-cleanup", "x", "cleanup", "Clean up", tip="Drop the collection, keep the run"),
    _key("run-load", "L", "load", "Load/release", tip="Load the collection into memory, or release it"),
    _key("run-scope", "A", "scope", "All/this", show=True, tip="All datasets, or the chosen one"),
    _key(
        "run-only",
        "f",
        "only",
        "Only",
        tip="Only one type, one patches field, what takes text, or what is not healthy",
    ),
    _key("run-python", "p", "python", "Python", tip="Copy the Python that opens this run"),
    _key("run-adopt", "v", "adopt", "Adopt", tip="On the other tab: make a collection a run of the dataset"),
    _key("run-ledger", "H", "ledger", "Ledger", tip="What was deleted, dropped or adopted, and by whom"),
    _key("run-tab", "tab", "collections", "Collections", tip="Between runs and Milvus collections"),
]

SEARCH = [
    _key(
        "search-similar",
        "enter",
        "similar",
        "Similar",
        show=True,
        tip="Search by the picture under the cursor",
    ),
    _key("search-query", "slash,i", "query", "Query", show=True, priority=True, tip="Text, id:… or file:…"),
    _key(
        "search-marked",
        "m",
        "marked",
        "By marked",
        show=True,
        tip="Search by the mean of the marked pictures",
    ),
    _key("search-unlike", "x", "unlike", "Unlike", tip="Push the results away from this picture"),
    _key("search-least", "L", "least", "Least", tip="The least similar instead"),
    _key("search-back", "left_square_bracket,backspace", "history_back", "Previous", show=True),
    _key("search-forward", "right_square_bracket", "history_forward", "Next"),
    _key(
        "search-browse", "b", "browse", "Browse", show=True, tip="Every picture of the dataset, to start from"
    ),
    _key("search-detail", "d", "detail", "Large", show=True, tip="The picture under the cursor, large"),
    _key("search-facts-down", "J,shift+down", "facts(3)", "Facts down", tip="What is told about the picture"),
    _key("search-facts-up", "K,shift+up", "facts(-3)", "Facts up", tip="Back to what is told first"),
    _key("search-labels", "c", "labels", "Labels", tip="Draw labels on the large picture, or leave them off"),
    _key("search-more", "M", "more", "More", tip="Load more results"),
    _key("search-narrow", "v", "narrow", "Narrow", show=True, tip="By saved view, tag, label or field value"),
    _key("search-widen", "V", "widen", "Everything", tip="Drop the narrowing"),
    _key("search-list", "s", "searches", "Searches", tip="What was asked before or kept under a name"),
    _key("search-keep", "S", "keep", "Keep", tip="Keep this search under a name"),
    _key("search-tag", "t", "tag", "Tag", show=True, tip="Tag the marked, or the one under the cursor"),
    _key("search-untag", "T", "untag", "Untag", tip="Take tags off them"),
    _key("search-save-view", "w", "save_view", "Save view", tip="Keep the marked, or all results, as a view"),
    _key("search-export", "e", "export", "Export", tip="The marked, or all results, to a file or folder"),
    _key("search-duplicates", "D", "duplicates", "Duplicates", tip="Group near-duplicates; tag the spare"),
    _key("search-app", "A", "app", "App", tip="The marked, or all results, in the FiftyOne App"),
    _key("search-python", "p", "python", "Python", tip="Copy the Python that opens this index"),
    _key("search-copy-path", "Y", "copy_path", "Copy path", tip="Copy the files' paths; y copies the ids"),
    _key("search-index", "o", "index", "Index", tip="Choose another index"),
    _key("search-larger", "plus,equals_sign", "zoom(1)", "Larger"),
    _key("search-smaller", "minus", "zoom(-1)", "Smaller"),
    _key("grid-left", "h,left", "move(-1,0)", "Left"),
    _key("grid-right", "l,right", "move(1,0)", "Right"),
    _key("grid-up", "k,up", "move(0,-1)", "Up"),
    _key("grid-down", "j,down", "move(0,1)", "Down"),
    _key("grid-top", "g,home", "first", "First"),
    _key("grid-bottom", "G,end", "last", "Last"),
    _key("grid-page-down", "ctrl+d,pagedown", "page(1)", "Page down"),
    _key("grid-page-up", "ctrl+u,pageup", "page(-1)", "Page up"),
    _key("grid-mark", "space", "mark", "Mark"),
    _key("grid-mark-all", "a", "mark_all", "Mark all", tip="Mark all that is browsed, or all loaded results"),
]

GROUPS: Mapping[str, list[Binding]] = {
    "Everywhere": APP + COMMON,
    "Tables": TABLE + FILTER,
    "Forms": FORM + CHOICE,
    "Texts": SCROLL,
    "Connection": CONNECTION,
    "Datasets": DATASETS,
    "Build": BUILD,
    "Jobs": JOBS,
    "Runs": RUNS,
    "Search": SEARCH,
}
"""Every group by the name that people see, in the order of the README's table."""

_NAMES = {
    "question_mark": "?",
    "slash": "/",
    "colon": ":",
    "escape": "esc",
    "left_square_bracket": "[",
    "right_square_bracket": "]",
    "plus": "+",
    "minus": "-",
    "equals_sign": "=",
    "pagedown": "pgdn",
    "pageup": "pgup",
    "up": "↑",
    "down": "↓",
    "left": "←",
    "right": "→",
}


def spoken(key: str) -> str:
    """How people write a Textual key string: ``slash,i`` becomes ``/ i``."""
    return " ".join(_NAMES.get(part, part) for part in key.split(","))


def markdown() -> str:
    """The README's key table."""
    lines = ["| where | key | does | id |", "|---|---|---|---|"]
    for group, bindings in GROUPS.items():
        for binding in bindings:
            does = (
                binding.tooltip
                if binding.tooltip == binding.description
                else f"{binding.description}: {binding.tooltip}"
            )
            lines.append(f"| {group} | `{spoken(binding.key)}` | {does} | `{binding.id}` |")
    return "\n".join(lines)

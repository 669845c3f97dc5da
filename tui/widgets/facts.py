"""Names and values in two columns, below a heading; long values on several lines."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Group
from rich.table import Table
from rich.text import Text

from tui.widgets.text import plain


def facts(rows: Iterable[tuple[str, object, str]], head: Text | None = None) -> Group:
    """Rows of (name, value, style); those without a value are left out."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value, style in rows:
        if value not in (None, "", ()):
            table.add_row(name, Text(plain(value), style=style))
    if head is None:
        return Group(table)
    head.rstrip()
    return Group(head, Text(), table)

"""Pictures of hits in half cells, for ``search --preview``."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from tui.core.errors import InvalidInput, KitescopeError
from tui.core.words import plain

if TYPE_CHECKING:
    from rich.console import RenderableType

    from tui.cli.output import Output
    from tui.core.search import Hit, SearchResult

_CELLS = 22
_ROWS = 10
_GAP = 2


def draw(out: Output, result: SearchResult, columns: int | None) -> None:
    """Draw the hits in a grid on stdout, in order of rank.

    Args:
        columns: pictures per row; as many as fit unless given.

    Raises:
        InvalidInput: colours are switched off, and these pictures are made of nothing else.
    """
    if os.environ.get("NO_COLOR"):
        raise InvalidInput("Pictures need colours and NO_COLOR is set", "Leave out --preview, or unset it")
    from rich.console import Console
    from rich.table import Table

    # In a pipe (less -R) the colours are wanted as well: they are what was asked for.
    width = out.console(out.data).width if out.data_is_terminal else 100
    per_row = columns or max(1, (width + _GAP) // (_CELLS + _GAP))
    cells = max(4, min(_CELLS, (width + _GAP) // per_row - _GAP))
    grid = Table.grid(padding=(0, _GAP, 1, 0))
    for start in range(0, len(result.hits), per_row):
        grid.add_row(*(_cell(hit, cells) for hit in result.hits[start : start + per_row]))
    console = Console(
        file=out.data,
        width=max(width, per_row * (cells + _GAP)),
        force_terminal=True,
        color_system="auto" if out.data_is_terminal else "truecolor",
    )
    out.print_on(console, grid)


def _cell(hit: Hit, cells: int) -> RenderableType:
    from rich.console import Group
    from rich.text import Text

    caption = f"{hit.rank}. {hit.score:.4f}" + (f" {plain(hit.label)}" if hit.label else "")
    return Group(
        _picture(hit, cells), Text(caption, overflow="fold"), Text(hit.id, style="dim", overflow="fold")
    )


def _picture(hit: Hit, cells: int) -> RenderableType:
    from PIL.Image import Resampling
    from rich.text import Text
    from rich_pixels import Pixels

    from tui.core.thumbnails import thumbnail

    rows = max(2, min(_ROWS, cells // 2))
    try:
        image = thumbnail(hit.filepath, (cells, rows * 2), box=hit.box)
    except KitescopeError as error:
        return Text(plain(error.what), style="dim", overflow="fold")
    # Thumbnails are never enlarged; a digit of 8 pixels would be a speck.
    factor = min(cells // image.width, rows * 2 // image.height)
    if factor > 1:
        image = image.resize((image.width * factor, image.height * factor), Resampling.NEAREST)
    return Pixels.from_image(image)  # type: ignore[no-any-return]

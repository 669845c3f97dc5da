"""What every dialog is: a screen that shows the one below dimmed."""

from __future__ import annotations

from typing import TypeVar

from textual.geometry import Region
from textual.screen import ModalScreen
from textual.strip import Strip

from tui.widgets.cells import beside, dimmed

Answer = TypeVar("Answer")


class Dialog(ModalScreen[Answer]):
    """A dialog that opens at once, also over a screen full of pictures.

    Textual dims what is below a style at a time, and each cell of a picture has a style of its own: that
    takes some tenths of a second. Here lines are dimmed as a whole where they know how.
    """

    def render_lines(self, crop: Region) -> list[Strip]:
        """The lines of the screen below, under the background of this one."""
        stack, colour = self.app.screen_stack, self.styles.background
        below = stack[stack.index(self) - 1] if self in stack[1:] else None
        if below is None or below.size != self.size or not 0 < colour.a < 1:
            return super().render_lines(crop)
        whole = Region(0, crop.y, self.size.width, crop.height)
        # No public name answers lines that are not joined yet; Textual's own way starts here, too.
        shown = below._compositor._render_chops(whole, crop.line_range.__contains__)
        lines = (
            beside([dimmed(part, colour) for part in shown[y].values() if part is not None])
            for y in crop.line_range
        )
        return [line.crop(*crop.column_span) for line in lines]

"""What every dialog is: a screen that shows the one below dimmed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from textual.color import Color
from textual.geometry import Region
from textual.screen import ModalScreen, Screen
from textual.strip import Strip

from tui.widgets.cells import Beside, beside, dimmed
from tui.widgets.painted import PaintedOnce

Answer = TypeVar("Answer")
# Dimmed between two looks at the keyboard; each is written for the terminal anew.
_CELLS_AT_ONCE = 2_500


class Dimmed(Beside):
    """A line behind a dialog, which remembers what it was cut into, as that remembers its codes."""

    __slots__ = ("_below", "_colour", "_cuts")

    def __init__(self, below: Sequence[Strip], colour: Color) -> None:
        self._below, self._colour = below, colour
        self._cuts: dict[tuple[int, int], Strip] = {}
        super().__init__([dimmed(part, colour) for part in below])

    def cut(self, start: int, end: int) -> Strip:
        """The same one each time."""
        if (start, end) not in self._cuts:
            self._cuts[start, end] = super().cut(start, end)
        return self._cuts[start, end]

    def shows(self, below: Sequence[Strip], colour: Color) -> bool:
        """Whether it is made of these very lines."""
        return (
            self._colour == colour
            and len(below) == len(self._below)
            and all(new is old for new, old in zip(below, self._below, strict=True))
        )


class Below:
    """A screen as dialogs show it: what each line is made of and, once it was seen behind one, dimmed."""

    def __init__(self) -> None:
        self.dimmed: dict[int, Dimmed] = {}
        self._parts: dict[int, list[Strip]] = {}
        self._paintings: int | None = None

    def parts(self, screen: Screen[Any], lines: range) -> dict[int, list[Strip]]:
        """What these lines are made of; a screen is asked again only when it was painted meanwhile."""
        paintings = screen.paintings if isinstance(screen, PaintedOnce) else None
        if paintings is None or paintings != self._paintings:
            self._parts.clear()
        self._paintings = paintings
        new = {y for y in lines if y not in self._parts}
        if new:
            whole = Region(0, min(new), screen.size.width, max(new) + 1 - min(new))
            # No public name answers lines that are not joined yet; Textual's own way starts here, too.
            shown = screen._compositor._render_chops(whole, new.__contains__)
            self._parts.update({y: [part for part in shown[y].values() if part is not None] for y in new})
        return {y: self._parts[y] for y in lines}


_behind: WeakKeyDictionary[Screen[Any], Below] = WeakKeyDictionary()


class Behind(PaintedOnce):
    """A modal screen that opens at once, also over a screen full of pictures.

    Textual dims what is below a style at a time, and each cell of a picture has a style of its own: that
    takes some tenths of a second. Here lines are dimmed as a whole where they know how, and only once,
    though Textual asks for all of them whenever a cell is painted, be it for a blinking cursor. What was
    not seen behind a dialog yet is dimmed when the dialog is there already, some lines at a time.
    """

    _dimmed_to = 0
    _goes_on = False

    def render_lines(self, crop: Region) -> list[Strip]:
        """The lines of the screen below, under the background of this one."""
        stack, colour = self.app.screen_stack, self.styles.background
        below = stack[stack.index(self) - 1] if self in stack[1:] else None
        if below is None or below._compositor.size != self.size or not 0 < colour.a < 1:
            return super().render_lines(crop)
        seen = _behind.setdefault(below, Below())
        parts, known = seen.parts(below, crop.line_range), seen.dimmed
        new = {y for y in parts if y not in known or not known[y].shows(parts[y], colour)}
        known.update({y: Dimmed(parts[y], colour) for y in new if y < self._dimmed_to})
        later = {y for y in new if y >= self._dimmed_to}
        if later and not self._goes_on:
            self._goes_on = True
            self.call_later(self._dim_on, min(later))
        left, right = crop.column_span
        return [(beside(parts[y]) if y in later else known[y]).crop(left, right) for y in crop.line_range]

    def _dim_on(self, start: int) -> None:
        """Dim some lines more; what is painted then asks for the rest."""
        self._goes_on = False
        width, height = self.size
        self._dimmed_to = min(start + max(_CELLS_AT_ONCE // max(width, 1), 1), height)
        self.refresh(Region(0, start, width, self._dimmed_to - start))


class Dialog(Behind, ModalScreen[Answer]):
    """A dialog."""

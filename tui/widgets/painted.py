"""A screen that is styled and painted once while it opens, and always in pieces that let a key through."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from textual import events
from textual.geometry import Region
from textual.screen import Screen

if TYPE_CHECKING:
    _Base = Screen[Any]
else:
    # A plain class for Textual, whose styles go by a screen's first base.
    _Base = object


_AT_ONCE_S = 0.005  # a frame has sixteen milliseconds, and others work in it, too
_CELLS_AT_ONCE = 2_500  # fewer are made and painted in one go
_LINES_AT_ONCE = 10


class PaintedOnce(_Base):
    """Goes before the kind of screen that a class is.

    Textual paints a new screen before it is laid out, when it is laid out, when that changed, and then all of
    it once more, each time in the middle of something else. Here that waits for the next frame; and what
    each widget shows was made before, as many lines at a time as let a key through in between. So it is
    later, whenever there is much to paint.
    """

    _paint_held = True
    _paint_wanted = False
    _paint_begun = False
    _paint_ready = False
    paintings = 0
    """How often anything of it was painted: as long as that is the same, so is what it shows."""

    def paint_at_once(self) -> None:
        """Wait for nothing: there is no other screen to be seen meanwhile."""
        self._paint_held, self._paint_ready = False, True

    async def on_event(self, event: events.Event) -> None:
        """One at a time: a new screen has many waiting, and all of them would be one turn of the loop."""
        await super().on_event(event)
        await asyncio.sleep(0)

    def _on_screen_resume(self, event: events.ScreenResume) -> None:
        """Be seen again, in the styles that each widget got when it was made or the theme was changed."""
        # Textual reads a screen's own styles only after it has made the screen.
        event.refresh_styles = bool(self.CSS or self.css_path)
        super()._on_screen_resume(event)

    def _on_timer_update(self) -> None:
        """The time to paint: what was asked for since the last one, and what the layout asks for now."""
        self._paint_held = True
        super()._on_timer_update()
        if self._paint_begun:
            return
        if self._paint_wanted and (not self._paint_ready or self._is_much):
            self._paint_begun = True
            self.call_later(self._paint_in_parts)
        elif self._paint_ready:
            self._paint_now()

    @property
    def _is_much(self) -> bool:
        """Whether to paint in parts; below a dialog nothing is painted here, only passed on."""
        cells = sum(region.area for region in self._compositor._dirty_regions)
        return self.is_active and cells > _CELLS_AT_ONCE

    async def _paint_in_parts(self) -> None:
        """Make the lines of every widget that is to be painted, which keeps them, and paint them."""
        began = time.monotonic()
        dirty = list(self._compositor._dirty_regions)
        for widget, (region, clip) in list(self._compositor.visible_widgets.items()):
            if not clip.contains_region(region) or not any(region.overlaps(one) for one in dirty):
                continue
            # What a screen shows itself is the screen below, of which no part comes cheaper than all.
            step = region.height if widget is self else _LINES_AT_ONCE
            for top in range(0, region.height, step):
                if self._compositor.visible_widgets.get(widget) != (region, clip):
                    break  # it went elsewhere meanwhile
                widget.render_lines(Region(0, top, region.width, min(step, region.height - top)))
                if time.monotonic() - began > _AT_ONCE_S:
                    await asyncio.sleep(0)
                    began = time.monotonic()
        await asyncio.sleep(0)
        self._paint_begun, self._paint_ready = False, True
        self._paint_now()

    def _paint_now(self) -> None:
        self._paint_held = False
        if self._paint_wanted and self.app._batch_count:
            self.call_later(self._compositor_refresh)
        elif self._paint_wanted:
            self._compositor_refresh()

    def _compositor_refresh(self) -> None:
        """Paint, when it is time."""
        self._paint_wanted = self._paint_held
        if not self._paint_held:
            self.paintings += 1
            super()._compositor_refresh()

"""A screen that is styled once and painted once while it opens, where Textual does both several times."""

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


class PaintedOnce(_Base):
    """Goes before the kind of screen that a class is.

    Textual paints a new screen before it is laid out, when it is laid out, when that changed, and then all of
    it once more, each time in the middle of something else. Here that waits for the next frame; and what
    each widget shows was made before, as many at a time as let a key through in between.
    """

    _paint_held = True
    _paint_wanted = False
    _paint_begun = False
    _paint_ready = False

    def paint_at_once(self) -> None:
        """Wait for nothing: there is no other screen to be seen meanwhile."""
        self._paint_held, self._paint_ready = False, True

    def _on_screen_resume(self, event: events.ScreenResume) -> None:
        """Be seen again, in the styles that each widget got when it was made or the theme was changed."""
        # Textual reads a screen's own styles only after it has made the screen.
        event.refresh_styles = bool(self.CSS or self.css_path)
        super()._on_screen_resume(event)

    def _on_timer_update(self) -> None:
        """The time to paint: what was asked for since the last one, and what the layout asks for now."""
        self._paint_held = True
        super()._on_timer_update()
        if self._paint_ready:
            self._paint_now()
        elif self._paint_wanted and not self._paint_begun:
            self._paint_begun = True
            self.call_later(self._paint_first)

    async def _paint_first(self) -> None:
        """Make the lines of every widget, which keeps them, and paint them."""
        began = time.monotonic()
        for widget, (region, clip) in list(self._compositor.visible_widgets.items()):
            if widget is not self and widget.is_attached and clip.contains_region(region):
                widget.render_lines(Region(0, 0, *region.size))
            if time.monotonic() - began > _AT_ONCE_S:
                await asyncio.sleep(0)
                began = time.monotonic()
        self._paint_ready = True
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
            super()._compositor_refresh()

"""Pictures in the terminal: one large one, or a row of small ones. ``grid`` shows many."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, cast

from rich.segment import ControlType, Segment
from rich.style import Style
from textual import events
from textual.color import Color
from textual.filter import ANSIToTruecolor, LineFilter
from textual.geometry import Region
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from tui.preferences import ImageProtocol
from tui.widgets.cells import beside
from tui.widgets.drawing import Drawing, Look, Sixels
from tui.widgets.painter import Painter
from tui.widgets.painting import Box, Subject
from tui.widgets.protocols import detect_protocol

if TYPE_CHECKING:
    from tui.app import Kitescope

__all__ = ["Picture", "PictureWidget", "Subject", "ThumbnailStrip", "detect_protocol"]

_NO_STYLE = Style()
_CONTROL = ((ControlType.CURSOR_FORWARD, 0),)


class PictureWidget(Widget):
    """A widget that draws pictures itself, line by line, in the app's image protocol.

    Subclasses say what is to be seen (``subjects``, ``picture_size``, ``render_line``) and where sixels
    go (``sixels``); they are refreshed when a picture arrives and told when everything has to be drawn anew.
    """

    ALLOW_SELECT = False
    KEPT: ClassVar[int] = 60
    """Drawings kept in memory, and in kitty's case in the terminal; more than can be seen at once."""
    WARM: ClassVar[bool] = False
    """Whether pictures are all but certain, so that who paints them is started before the first is wanted."""
    _started = False
    _asked_at = (0, 0)

    class Drawn(Message):
        """Pictures that were missing are there now."""

        bubble = False

        def can_replace(self, message: Message) -> bool:
            """A hundred pictures make one refresh."""
            return isinstance(message, PictureWidget.Drawn)

    def on_mount(self) -> None:
        """Start drawing, in the way the app says."""
        self._painter = Painter(
            self.app.console, self._tell_drawn, self.KEPT, cast("Kitescope", self.app).painting
        )
        self._started = True
        if self.WARM and self.protocol != "none":
            self.call_after_refresh(self._painter.warm)
        self.watch(self.app, "image_protocol", self._restyle, init=False)
        self._restyle()

    def _tell_drawn(self) -> None:
        self.post_message(self.Drawn())

    def on_unmount(self) -> None:
        """Stop drawing."""
        self._painter.close()

    @property
    def protocol(self) -> ImageProtocol:
        """How pictures are drawn now."""
        return cast("Kitescope", self.app).image_protocol

    def _restyle(self) -> None:
        ground = self.background_colors[1]
        error = Color.parse(self.app.theme_variables.get("error", "#d06060"))
        look = Look(
            _hex(ground), _hex(ground.blend(self.styles.color, 0.6)), _hex(readable_on(ground, error))
        )
        if self._painter.set_style(self.protocol, look):
            self.draw_again()

    def notify_style_update(self) -> None:
        """The colours around the pictures may have changed: another theme, another parent."""
        super().notify_style_update()
        if self._started:
            self.call_later(self._restyle)

    def on_picture_widget_drawn(self) -> None:
        """Show what arrived."""
        self.pictures_arrived()

    def on_resize(self, _event: events.Resize) -> None:
        """Other sizes are other drawings."""
        self.draw_again()

    def pictures_arrived(self) -> None:
        """Some pictures are there that were missing."""
        self.refresh()

    def draw_again(self) -> None:
        """Ask for every visible picture, because what is visible or how it is drawn changed."""
        self._asked_at = self.picture_size
        self._painter.want(self.subjects(), self.picture_size)
        self.refresh()

    def forget(self) -> None:
        """Read every file again."""
        self._painter.clear()
        self.draw_again()

    def drawing(self, subject: Subject) -> Drawing | None:
        """The picture at the current size; None while it is being made."""
        return self._painter.get(subject, self.picture_size)

    # What a subclass says

    def subjects(self) -> Sequence[Subject]:
        """What is visible now, the most wanted first."""
        return ()

    @property
    def picture_size(self) -> tuple[int, int]:
        """Width and height of each picture, in cells."""
        return self.size.width, self.size.height

    def sixels(self, lines: range) -> Iterable[tuple[int, int, Sixels]]:
        """Where pictures stand among some lines of the widget: x, y of the picture, and its data."""
        return ()

    def get_line_filters(self) -> Sequence[LineFilter]:
        """Without the one that looks for terminal colours in every cell: pictures have none."""
        return [each for each in super().get_line_filters() if not isinstance(each, ANSIToTruecolor)]

    # Sixels are painted over the cells

    def render_lines(self, crop: Region) -> list[Strip]:
        """Draw some lines; where pictures are sixels, their data follow the last of them."""
        if self._asked_at != self.picture_size:
            # A widget that is shown again at the size it once had gets no Resize: it was asked while hidden.
            self.call_later(self.draw_again)
        strips = self._bare_lines(crop) if self._is_bare else super().render_lines(crop)
        if self.protocol != "sixel" or not strips or not self.screen.is_active:
            return strips
        if crop.width < self.size.width:
            # Part of a line was written over: only whole pictures can be painted again.
            self.call_later(self.refresh)
            return strips
        region = self.content_region
        painted = [
            Segment(sixels.painted(region.x + x, region.y + y), _NO_STYLE, _CONTROL)
            for x, y, sixels in self.sixels(crop.line_range)
        ]
        last = strips[-1]
        strips[-1] = Strip([*last, *painted], last.cell_length)
        return strips

    @property
    def _is_bare(self) -> bool:
        """Whether nothing is added to the lines or changed in them: no border, padding, filter or fading."""
        styles = self.styles
        return not (styles.gutter or styles.tint.a or self.opacity < 1 or self.get_line_filters())

    def _bare_lines(self, crop: Region) -> list[Strip]:
        """The lines as they are; Textual makes each anew from its segments, and of those codes again."""
        lines = self.own_lines(crop.line_range)
        left, right = crop.column_span
        return lines if (left, right) == (0, self.size.width) else [line.crop(left, right) for line in lines]

    def own_lines(self, lines: range) -> list[Strip]:
        """Some lines of the widget, each as ``render_line`` has it."""
        return [self.render_line(y) for y in lines]


class Picture(PictureWidget):
    """One picture, as large as the widget."""

    # A large picture takes as much memory as a screen of small ones, and a held key passes thousands.
    KEPT = 6

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self.subject: Subject | None = None
        self._before: Subject | None = None

    def show(self, subject: Subject | None) -> None:
        """Show a picture, or nothing.

        Where only the labels on it differ, what is there stays until the new drawing is made.
        """
        if subject == self.subject:
            return
        self._before = self.subject if _same_picture(self.subject, subject) else None
        self.subject = subject
        if self.is_mounted:
            self.draw_again()

    def subjects(self) -> Sequence[Subject]:
        """The one."""
        return (self.subject,) if self.subject and self.size.area else ()

    def _shown(self) -> Drawing | None:
        drawing = self.drawing(self.subject) if self.subject else None
        return drawing or (self.drawing(self._before) if self._before else None)

    def render_line(self, y: int) -> Strip:
        """A line of the picture, or of nothing while it is being made."""
        return self.own_lines(range(y, y + 1))[0]

    def own_lines(self, lines: range) -> list[Strip]:
        """Some lines of the picture, or of nothing while it is being made."""
        drawing = self._shown()
        made = drawing.lines if drawing else ()
        if lines.stop <= len(made):
            return list(made[lines.start : lines.stop])
        blank = Strip.blank(self.size.width, self.rich_style)
        return [made[y] if y < len(made) else blank for y in lines]

    def sixels(self, lines: range) -> Iterable[tuple[int, int, Sixels]]:
        """The picture, whichever lines are drawn."""
        drawing = self._shown()
        if drawing and drawing.sixels:
            yield 0, 0, drawing.sixels


class ThumbnailStrip(PictureWidget):
    """A row of small pictures: as many as fit, square to the eye."""

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._items: tuple[Subject, ...] = ()

    def show(self, items: Sequence[tuple[str, Box | None]]) -> None:
        """Show these ``(path, box)``, from the left."""
        subjects = tuple(Subject(path, box) for path, box in items)
        if subjects != self._items:
            self._items = subjects
            if self.is_mounted:
                self.draw_again()

    @property
    def picture_size(self) -> tuple[int, int]:
        """Two columns for each line look square."""
        return 2 * self.size.height, self.size.height

    @property
    def room(self) -> int:
        """How many pictures fit, one column between two."""
        width = self.picture_size[0]
        return (self.size.width + 1) // (width + 1) if width else 0

    def subjects(self) -> Sequence[Subject]:
        """Those that fit."""
        return self._items[: self.room]

    def render_line(self, y: int) -> Strip:
        """A line of all pictures."""
        blank = Strip.blank(self.picture_size[0], self.rich_style)
        gap = Strip.blank(1, self.rich_style)
        parts: list[Strip] = []
        for subject in self.subjects():
            drawing = self.drawing(subject)
            parts += [drawing.lines[y] if drawing and y < len(drawing.lines) else blank, gap]
        used = sum(part.cell_length for part in parts)
        parts.append(Strip.blank(max(self.size.width - used, 0), self.rich_style))
        return beside(parts).crop(0, self.size.width)

    def sixels(self, lines: range) -> Iterable[tuple[int, int, Sixels]]:
        """Every picture of the row."""
        for column, subject in enumerate(self.subjects()):
            drawing = self.drawing(subject)
            if drawing and drawing.sixels:
                yield column * (self.picture_size[0] + 1), 0, drawing.sixels


def _same_picture(one: Subject | None, other: Subject | None) -> bool:
    return one is not None and other is not None and replace(one, labels=()) == replace(other, labels=())


def readable_on(ground: Color, colour: Color) -> Color:
    """The colour, as much lighter or darker as it takes to be read (a contrast of 4.5) on a ground.

    ANSI themes name the terminal's red, and what it is there is not known: the darkest it may be counts.
    """
    colour = Color(*colour.rgb)
    away = Color(255, 255, 255) if _luminance(ground) < 0.18 else Color(0, 0, 0)
    shades = (colour.blend(away, step / 10) for step in range(11))
    return next((shade for shade in shades if contrast(ground, shade) >= 4.5), away)


def contrast(one: Color, other: Color) -> float:
    """How well one is read on the other, from 1 to 21, as WCAG has it."""
    darker, lighter = sorted((_luminance(one), _luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(colour: Color) -> float:
    parts = (part / 255 for part in colour.rgb)
    linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _hex(colour: Color) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour.rgb)

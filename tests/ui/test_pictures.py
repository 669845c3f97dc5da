"""Pictures in cells: which way, the right colours, never a stale one, a reason for what cannot be read."""

from __future__ import annotations

import io
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from rich.console import Console
from textual.app import App, ComposeResult
from textual.geometry import Region
from textual.reactive import reactive
from textual.strip import Strip
from textual.widgets import Label as Words

from tests.ui.conftest import screen_text, until
from tui.core.documents.label import Label
from tui.preferences import ImageProtocol
from tui.widgets import protocols
from tui.widgets.cells import Written
from tui.widgets.dialog import Dialog, Dimmed
from tui.widgets.drawing import Look, draw
from tui.widgets.grid import ZOOM, PictureGrid, Tile, layout
from tui.widgets.painter import Painter
from tui.widgets.painting import Subject
from tui.widgets.painting_pool import PaintingPool
from tui.widgets.pictures import Picture, PictureWidget, ThumbnailStrip, detect_protocol

RED, BLUE = "#ff0000", "#0000ff"


def picture(folder: Path, name: str, colour: str, size: tuple[int, int] = (64, 64)) -> str:
    path = folder / f"{name}.png"
    Image.new("RGB", size, colour).save(path)
    return str(path)


def colours(strip: Any) -> set[str]:
    return {segment.style.bgcolor.triplet.hex for segment in strip if segment.style and segment.style.bgcolor}


class Pictures(App[None]):
    CSS = """
        Picture { width: 20; height: 10; }
        ThumbnailStrip { width: 40; height: 4; }
        PictureGrid { height: 1fr; }
    """
    image_protocol: reactive[ImageProtocol] = reactive("halfcell")

    def __init__(self, widget: PictureWidget) -> None:
        super().__init__()
        self.widget = widget
        self.painting = PaintingPool()

    def on_unmount(self) -> None:
        self.painting.close()

    def compose(self) -> ComposeResult:
        yield self.widget


# -- which way ----------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"TERM": "xterm-kitty"}, "kitty"),
        ({"TERM": "xterm-256color", "KITTY_WINDOW_ID": "1"}, "kitty"),
        ({"TERM": "xterm-ghostty"}, "kitty"),
        ({"TERM": "foot"}, "sixel"),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "WezTerm"}, "sixel"),
        ({"TERM": "xterm-256color", "KONSOLE_VERSION": "230400"}, None),
        ({"TERM": "xterm-256color"}, "halfcell"),
        ({"TERM": "tmux-256color", "KITTY_WINDOW_ID": "1", "TMUX": "/tmp/x"}, "halfcell"),
        ({"TERM": "screen", "TERM_PROGRAM": "WezTerm", "STY": "1"}, "halfcell"),
        ({}, "halfcell"),
    ],
)
def test_the_environment_tells_the_protocol(environment: dict[str, str], expected: str | None) -> None:
    assert protocols.guess_protocol(environment) == expected


@pytest.mark.parametrize("name", ["kitty", "sixel", "halfcell", "none"])
def test_what_the_user_names_is_taken(name: str) -> None:
    assert detect_protocol(name) == name


def test_half_cells_cost_no_import_and_no_question(monkeypatch: pytest.MonkeyPatch) -> None:
    code = (
        "import sys; from tui.widgets.pictures import detect_protocol; print(detect_protocol('auto'));"
        "print([name for name in ('textual_image', 'PIL', 'numpy') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["halfcell", "[]"] and done.stderr == ""


# -- one picture --------------------------------------------------------------------------------
def test_half_cells_show_two_pixels_each_and_keep_proportions(tmp_path: Path) -> None:
    image = Image.new("RGB", (2, 2), RED)
    image.paste(BLUE, (0, 1, 2, 2))
    image.save(tmp_path / "a.png")
    drawing = draw(Subject(str(tmp_path / "a.png")), (6, 2), "halfcell", Look(background="#101010"))
    assert [strip.cell_length for strip in drawing.lines] == [6, 6]
    assert [colours(strip) for strip in drawing.lines] == [{"#101010", RED}, {"#101010", BLUE}]
    assert [segment.text for segment in drawing.lines[0]] == [" ", "    ", " "]


@pytest.mark.parametrize(("content", "reason"), [(b"", "empty"), (b"nonsense", "not a picture")])
def test_a_bad_file_says_why_in_its_place(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "bad.png"
    path.write_bytes(content)
    drawing = draw(Subject(str(path)), (24, 5), "halfcell", Look())
    assert reason in drawing.reason and len(drawing.lines) == 5
    assert reason.split()[0] in " ".join(strip.text for strip in drawing.lines)


@pytest.mark.parametrize(
    ("label", "said"), [("[red]a\x1b[0m", "[red]a␛[0m x.png"), ("x", "x"), ("", "x.png")]
)
def test_without_pictures_label_and_name_stand_there_as_themselves(label: str, said: str) -> None:
    drawing = draw(Subject("/d/x.png", label=label), (24, 3), "none", Look())
    assert drawing.lines[1].text.strip() == said and not drawing.reason


def test_kitty_sends_the_picture_once_and_frees_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = picture(tmp_path, "a", RED)
    sent = io.StringIO()
    protocols.renderables()
    monkeypatch.setattr(sys, "__stdout__", sent)
    drawing = draw(Subject(path), (12, 6), "kitty", Look())
    assert "\x1b_Gi=" in sent.getvalue() and ",U=1" in sent.getvalue()
    assert [strip.cell_length for strip in drawing.lines] == [12] * 6
    assert sum(strip.text.count("\U0010eeee") for strip in drawing.lines) == 72
    assert drawing.release is not None
    drawing.release()
    assert "\x1b_Ga=d" in sent.getvalue()


def test_what_is_wanted_is_not_pushed_out_by_what_is_wanted_with_it(tmp_path: Path) -> None:
    subjects = []
    for n in range(7):
        Image.new("RGB", (8, 8), (n, n, n)).save(tmp_path / f"{n}.png")
        subjects.append(Subject(str(tmp_path / f"{n}.png")))
    pool = PaintingPool()
    painter = Painter(Console(), lambda: None, capacity=4, painting=pool)
    painter.set_style("halfcell", Look())

    def drawn(wanted: list[Subject]) -> None:
        painter.want(wanted, (8, 4))
        until = time.monotonic() + 60
        while (wanted[-1], (8, 4)) not in painter._done or painter._busy:
            assert time.monotonic() < until
            time.sleep(0.01)

    for subject in subjects[:4]:
        drawn([subject])
    page = [subjects[0], *subjects[4:]]
    drawn(page)
    assert all(painter.get(subject, (8, 4)) for subject in page)
    painter.close()
    pool.close()


async def test_sixels_are_painted_where_the_picture_is(tmp_path: Path) -> None:
    path = picture(tmp_path, "a", RED)
    app = Pictures(Picture())
    async with app.run_test(size=(80, 24)) as pilot:
        app.image_protocol = "sixel"
        widget = app.query_one(Picture)
        widget.styles.offset = (5, 3)
        widget.show(Subject(path))
        await until(pilot, lambda: widget.drawing(Subject(path)) is not None)
        last = widget.render_lines(Region(0, 0, 20, 10))[-1]
        assert last.cell_length == 20 and "\x1b7\x1b[4;6H\x1bP" in "".join(segment.text for segment in last)


LABELS = (
    Label("boxes", "[red]cat\x1b", 0.5, box=(0.25, 0.5, 0.5, 0.4)),
    Label("ground_truth", "animal"),
    Label("boxes", "", box=(0.0, 0.0, 0.1, 0.1)),
)


@pytest.mark.parametrize("protocol", ["halfcell", "kitty"])
def test_words_of_labels_stand_on_the_picture_as_themselves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, protocol: ImageProtocol
) -> None:
    protocols.renderables()
    monkeypatch.setattr(sys, "__stdout__", io.StringIO())
    drawing = draw(Subject(picture(tmp_path, "a", RED), labels=LABELS), (60, 20), protocol, Look())
    rows = [strip.text for strip in drawing.lines]
    assert [strip.cell_length for strip in drawing.lines] == [60] * 20
    # Ten cells of the picture are left of it, in kitty's placeholders four characters each.
    assert rows[9].find("[red]cat␛ 0.50") == (50 if protocol == "kitty" else 20)
    assert "ground_truth: animal" in rows[19]


def test_words_of_labels_are_written_over_sixels(tmp_path: Path) -> None:
    drawing = draw(Subject(picture(tmp_path, "a", RED), labels=LABELS), (60, 20), "sixel", Look())
    assert drawing.sixels
    painted = drawing.sixels.painted(5, 3)
    data, _, after = painted.partition("\x1b\\")
    assert data.startswith("\x1b7\x1b[4;16H\x1bP") and after.endswith("\x1b8")
    assert "\x1b[13;26H" in after and "[red]cat␛ 0.50" in after and "ground_truth: animal" in after


async def test_a_picture_asked_for_while_hidden_is_drawn_when_it_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A widget that comes back at the size it had is not always told of it.
    monkeypatch.setattr(Picture, "on_resize", lambda _self, _event: None)
    app = Pictures(Picture())
    async with app.run_test() as pilot:
        widget = app.query_one(Picture)
        widget.display = False
        await until(pilot, lambda: not widget.size.area)
        widget.show(Subject(picture(tmp_path, "red", RED)))
        widget.display = True
        await until(pilot, lambda: RED in colours(widget.render_line(5)))


async def test_many_large_pictures_leave_few_behind(tmp_path: Path) -> None:
    paths = [picture(tmp_path, str(n), RED, (8, 8)) for n in range(20)]
    app = Pictures(Picture())
    async with app.run_test() as pilot:
        widget = app.query_one(Picture)
        for path in paths:
            widget.show(Subject(path))
            await until(pilot, lambda path=path: widget.drawing(Subject(path)))
        assert sum(widget.drawing(Subject(path)) is not None for path in paths) == Picture.KEPT


async def test_other_labels_on_the_same_picture_do_not_blank_it(tmp_path: Path) -> None:
    path = picture(tmp_path, "red", RED)
    app = Pictures(Picture())
    async with app.run_test() as pilot:
        widget = app.query_one(Picture)
        widget.show(Subject(path))
        await until(pilot, lambda: RED in colours(widget.render_line(5)))
        widget.show(Subject(path, labels=LABELS))
        seen = []
        await until(pilot, lambda: seen.append(widget.render_line(5)) or "cat" in screen_text(app))
        assert all(RED in colours(each) for each in seen)


async def test_another_picture_never_shows_the_one_before(tmp_path: Path) -> None:
    red, blue = picture(tmp_path, "red", RED), picture(tmp_path, "blue", BLUE)
    app = Pictures(Picture())
    async with app.run_test() as pilot:
        widget = app.query_one(Picture)
        widget.show(Subject(red))
        await until(pilot, lambda: RED in colours(widget.render_line(5)))
        widget.show(Subject(blue))
        seen = []
        await until(pilot, lambda: seen.append(colours(widget.render_line(5))) or BLUE in seen[-1])
        assert all(RED not in each for each in seen)
        app.image_protocol = "none"
        await until(pilot, lambda: "blue.png" in screen_text(app))


@pytest.mark.parametrize("theme", ["textual-light", "ansi-dark", "nord"])
async def test_another_theme_recolours_what_is_around_and_what_went_wrong(tmp_path: Path, theme: str) -> None:
    app = Pictures(Picture())
    async with app.run_test() as pilot:
        widget = app.query_one(Picture)
        widget.show(Subject(str(tmp_path / "missing.png")))
        await until(pilot, lambda: "missing" in screen_text(app))
        before = colours(widget.render_line(0))
        app.theme = theme
        ground = "#{:02x}{:02x}{:02x}"
        await until(
            pilot, lambda: colours(widget.render_line(0)) == {ground.format(*widget.background_colors[1].rgb)}
        )
        assert "missing" in screen_text(app) and colours(widget.render_line(0)) != before


async def test_a_strip_shows_as_many_as_fit(tmp_path: Path) -> None:
    paths = [(picture(tmp_path, str(i), BLUE), None) for i in range(9)]
    app = Pictures(ThumbnailStrip())
    async with app.run_test() as pilot:
        strip = app.query_one(ThumbnailStrip)
        strip.show(paths)
        # As long as it has no size it has no subjects either.
        await until(pilot, lambda: len(strip.subjects()) == 4)
        await until(pilot, lambda: all(strip.drawing(subject) for subject in strip.subjects()))
        assert [
            segment.text for segment in strip.render_line(0) if segment.style.bgcolor.triplet.hex == BLUE
        ] == [" " * 8] * 4


# -- many ---------------------------------------------------------------------------------------
@given(st.integers(1, 400), st.integers(1, 120), st.integers(0, len(ZOOM) - 1))
def test_every_layout_fits_its_place(width: int, height: int, zoom: int) -> None:
    at = layout(width, height, zoom)
    assert at.columns >= 1 and at.rows >= 1 and at.width >= 1 and at.height >= 1
    if width >= 16 and height >= 8:
        assert at.columns * (at.width + 1) + 2 <= width
        assert at.rows * at.block + 1 <= height
        assert 2 * at.height <= at.width + 6 or at.columns == 1


def tiles(folder: Path, count: int) -> list[Tile]:
    path = picture(folder, "one", BLUE)
    return [Tile(f"{i:04}", Subject(path, None, str(i)), "0.5", f"n{i}") for i in range(count)]


async def test_the_cursor_is_always_seen_and_only_what_is_near_is_drawn(tmp_path: Path) -> None:
    app = Pictures(PictureGrid())
    async with app.run_test(size=(80, 24)) as pilot:
        grid = app.query_one(PictureGrid)
        every = [
            Tile(str(i), Subject(picture(tmp_path, str(i), RED, (8, 8))), label=f"n{i}") for i in range(300)
        ]
        grid.show(every)
        at = grid.layout_now
        assert len(grid.subjects()) <= 2 * at.visible
        moves = [(grid.move, 0, 1), (grid.page, 1), (grid.go_to, 299), (grid.move, 0, 1), (grid.move, 0, -1)]
        for move, *arguments in [*moves, (grid.page, -1), (grid.go_to, 0)]:
            move(*arguments)
            row = grid.cursor // at.columns
            assert grid.top <= row < grid.top + at.rows
            await until(pilot, lambda: f"n{grid.cursor}" in screen_text(app))
        grid.go_to(299)
        await until(pilot, lambda: grid.drawing(every[299].subject) is not None)
        assert grid.drawing(every[150].subject) is None


async def test_tiles_that_are_not_known_are_asked_for(tmp_path: Path) -> None:
    asked: list[tuple[int, int]] = []

    class Watching(Pictures):
        def on_picture_grid_needed(self, message: PictureGrid.Needed) -> None:
            asked.append((message.first, message.end))

    app = Watching(PictureGrid())
    async with app.run_test(size=(80, 24)) as pilot:
        grid = app.query_one(PictureGrid)
        grid.show([None] * 5000)
        await until(pilot, lambda: asked)
        assert asked[0][0] == 0
        grid.go_to(4999)
        await until(pilot, lambda: asked[-1][1] == 5000)
        known = tiles(tmp_path, 5000)[4900:]
        grid.put(4900, known)
        await until(pilot, lambda: "n4999" in screen_text(app))
        assert grid.current == known[-1]


async def test_more_results_leave_the_lines_that_are_seen_as_they_are(tmp_path: Path) -> None:
    app = Pictures(PictureGrid())
    async with app.run_test(size=(80, 24)) as pilot:
        grid = app.query_one(PictureGrid)
        every = tiles(tmp_path, 200)
        grid.show(every[:100])
        await until(pilot, lambda: grid.subjects() and all(map(grid.drawing, grid.subjects())))
        seen = [grid.render_line(y) for y in range(grid.layout_now.block)]
        grid.put(100, every[100:])
        assert all(grid.render_line(y)._parts[0] is line._parts[0] for y, line in enumerate(seen))
        grid.go_to(199)
        await until(pilot, lambda: "n199" in screen_text(app))
        changed = Tile("0199", Subject(every[0].subject.path), "0.5", "other")
        grid.put(199, [changed])
        await until(pilot, lambda: "other" in screen_text(app))


async def test_marks_and_zoom(tmp_path: Path) -> None:
    app = Pictures(PictureGrid())
    async with app.run_test(size=(80, 24)) as pilot:
        grid = app.query_one(PictureGrid)
        grid.show(tiles(tmp_path, 30))
        grid.mark()
        grid.mark()
        assert grid.chosen() == ("0000", "0001") and grid.cursor == 2
        await until(pilot, lambda: screen_text(app).count("●") == 2)
        grid.mark_all()
        assert len(grid.marks) == 30
        grid.mark_all()
        assert grid.chosen() == ("0002",)
        sizes = [grid.picture_size]
        while grid.set_zoom(1):
            sizes.append(grid.picture_size)
        assert sizes == sorted(set(sizes)) and len(sizes) > 1
        await until(pilot, lambda: grid.drawing(grid.current.subject) is not None)


async def test_lines_of_pictures_reach_the_terminal_without_a_segment_being_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLORTERM", "truecolor")
    app = Pictures(PictureGrid())
    async with app.run_test(size=(80, 24)) as pilot:
        grid = app.query_one(PictureGrid)
        grid.show(tiles(tmp_path, 300))
        await until(pilot, lambda: grid.subjects() and all(map(grid.drawing, grid.subjects())))
        grid.go_to(150)
        await until(pilot, lambda: all(map(grid.drawing, grid.subjects())))
        at = grid.layout_now
        lines = [grid.render_line(1 + y) for y in range(at.height)]
        drawings = [grid.drawing(one) for one in grid.subjects()]
        parts = [line for drawing in drawings if drawing for line in drawing.lines]
        assert parts
        assert all(isinstance(line, Written) and line._made is None for line in [*lines, *parts])
        # What the compositor is given are these lines, not copies that lost their codes.
        given = grid.render_lines(Region(0, 1, 80, at.height))
        assert all(one is other for one, other in zip(given, lines, strict=True))


def behind_it(app: App[None]) -> list[Strip]:
    return app.screen.render_lines(app.screen.size.region)


async def test_a_dialog_shows_pictures_dimmed_without_a_segment_being_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLORTERM", "truecolor")

    class Small(Dialog[None]):
        CSS = "Small { background: black 60%; align: center middle; } Label { width: 10; height: 3; }"

        def compose(self) -> ComposeResult:
            yield Words("here")

    app = Pictures(PictureGrid())
    async with app.run_test(size=(80, 24)) as pilot:
        grid = app.query_one(PictureGrid)
        red = picture(tmp_path, "red", RED)
        grid.show([Tile(str(i), Subject(red)) for i in range(300)])
        await until(pilot, lambda: all(grid.drawing(one) for one in grid.subjects()))
        drawings = [grid.drawing(one) for one in grid.subjects()]
        await app.push_screen(Small())
        # Looking at the text of the screen would make segments of what is not dimmed yet.
        await until(pilot, lambda: all(isinstance(line, Dimmed) for line in behind_it(app)))
        assert "here" in screen_text(app)
        behind = behind_it(app)
        assert len(behind) == 24 and all(line.cell_length == 80 for line in behind)
        # 60% of black over pure red.
        assert any("#660000" in colours(line) for line in behind)
        lines = [line for drawing in drawings if drawing for line in drawing.lines]
        assert lines and all(isinstance(line, Written) and line._made is None for line in lines)


async def test_a_picture_with_padding_has_its_colours_and_its_padding(tmp_path: Path) -> None:
    shown = Picture()
    app = Pictures(shown)
    async with app.run_test(size=(80, 24)) as pilot:
        shown.show(Subject(picture(tmp_path, "red", RED)))
        await until(pilot, lambda: any(RED in colours(strip) for strip in shown.render_lines(_all(shown))))
        bare = shown.render_lines(_all(shown))
        shown.styles.padding = (1, 2)
        await until(pilot, lambda: shown.content_size.height == 8)
        await until(pilot, lambda: any(RED in colours(strip) for strip in shown.render_lines(_all(shown))))
        padded = shown.render_lines(_all(shown))
        assert len(padded) == len(bare) == 10
        assert RED in colours(bare[0]) and RED not in colours(padded[0])
        assert all(strip.cell_length == 20 and strip.text.startswith("  ") for strip in padded)


def _all(widget: PictureWidget) -> Region:
    return widget.outer_size.region


async def test_captions_are_data_and_fit(tmp_path: Path) -> None:
    path = picture(tmp_path, "one", BLUE)
    app = Pictures(PictureGrid())
    async with app.run_test(size=(80, 24)) as pilot:
        grid = app.query_one(PictureGrid)
        grid.show([Tile("a", Subject(path), "0.999", "[b]长长长长长长长长长长长长长\x07")])
        await until(pilot, lambda: "0.999" in screen_text(app))
        line = next(line for line in screen_text(app).splitlines() if "0.999" in line)
        assert "[b]长" in line and "…" in line and "\x07" not in line
        assert all(strip.cell_length == 80 for strip in grid.render_lines(Region(0, 0, 80, 24)))

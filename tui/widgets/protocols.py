"""How this terminal can show pictures: decided from the environment, and asked only where that is not enough.

textual-image asks the terminal when it is imported; inside a running app the answer and Textual's own
reader fight over stdin. Here it is imported with a stand-in for stdout, so that it never asks by itself.
"""

from __future__ import annotations

import io
import os
import sys
import termios
from collections.abc import Mapping
from contextlib import suppress
from fcntl import ioctl
from functools import cache
from struct import unpack
from threading import Lock
from typing import Any

from tui.preferences import IMAGE_PROTOCOLS, ImageProtocol

# Two threads that swap stdout at once would leave the stand-in behind.
_importing = Lock()

# These understand what they are given here; their names travel in TERM, over SSH too.
_KITTY_TERMS = ("xterm-kitty", "xterm-ghostty")
_SIXEL_TERMS = ("foot", "foot-extra", "contour", "mlterm", "yaft-256color")
_SIXEL_PROGRAMS = ("WezTerm", "iTerm.app", "rio", "BlackBox")
# Sixel depends on how these were built or set up, so they are asked.
_MAYBE_SIXEL = ("XTERM_VERSION", "KONSOLE_VERSION", "WT_SESSION")


def detect_protocol(wanted: str) -> ImageProtocol:
    """The way to draw pictures; call it before the app runs, because it may ask the terminal.

    Args:
        wanted: one of ``IMAGE_PROTOCOLS``; ``auto`` chooses, anything else but a known name too.

    Returns:
        Never ``auto``: what the user named, else what the terminal is known to do, else half cells.
    """
    for name in IMAGE_PROTOCOLS:
        if name == wanted and name != "auto":
            return name
    if not (_is_terminal(sys.__stdin__) and _is_terminal(sys.__stdout__)):
        return "halfcell"
    guess = guess_protocol(os.environ)
    if guess is not None:
        return guess
    return "sixel" if _asks_for_sixel() else "halfcell"


def guess_protocol(environment: Mapping[str, str]) -> ImageProtocol | None:
    """What the environment alone tells; None when the terminal has to be asked."""
    term = environment.get("TERM", "")
    if environment.get("TMUX") or environment.get("STY") or term.startswith(("tmux", "screen")):
        # A multiplexer passes graphics on only when it was built and told to; half cells always arrive.
        return "halfcell"
    if term in _KITTY_TERMS or environment.get("KITTY_WINDOW_ID"):
        return "kitty"
    if term in _SIXEL_TERMS or environment.get("TERM_PROGRAM") in _SIXEL_PROGRAMS:
        return "sixel"
    if "sixel" in term or any(environment.get(name) for name in _MAYBE_SIXEL):
        return None
    return "halfcell"


def renderables() -> Any:
    """The module ``textual_image.renderable``, imported without a question to the terminal."""
    with _importing:
        return _import_renderables()


@cache
def _import_renderables() -> Any:
    size = cell_pixels()
    if size is not None:
        os.environ["TEXTUAL_CELL_WIDTH"], os.environ["TEXTUAL_CELL_HEIGHT"] = map(str, size)
    real, sys.__stdout__ = sys.__stdout__, io.StringIO()  # type: ignore[misc,assignment]
    try:
        # The widgets' module reads the size of a cell, once and for all.
        import textual_image.widget  # noqa: F401
        from textual_image import renderable
    finally:
        sys.__stdout__ = real  # type: ignore[misc]
        if size is not None:
            del os.environ["TEXTUAL_CELL_WIDTH"], os.environ["TEXTUAL_CELL_HEIGHT"]
    return renderable


def _is_terminal(file: Any) -> bool:
    try:
        return file is not None and file.isatty()
    except ValueError:
        return False


def cell_pixels() -> tuple[int, int] | None:
    """Width and height of a cell in pixels, where the terminal told the kernel."""
    for file in (sys.__stdout__, sys.__stdin__):
        with suppress(OSError, ValueError, AttributeError, ZeroDivisionError):
            assert file is not None
            rows, columns, width, height = unpack("4H", ioctl(file, termios.TIOCGWINSZ, b"\0" * 8))
            if width and height:
                return width // columns, height // rows
    return None


def _asks_for_sixel() -> bool:
    """Ask for the device attributes; a terminal that does not answer within 0.1 s a character has none."""
    renderables()
    from textual_image.renderable.sixel import query_terminal_support

    try:
        return bool(query_terminal_support())
    except (OSError, ValueError, termios.error):
        return False
    finally:
        # What arrives late must not be taken for keys.
        with suppress(OSError, ValueError, AttributeError, termios.error):
            assert sys.__stdin__ is not None
            termios.tcflush(sys.__stdin__.fileno(), termios.TCIFLUSH)

"""Where the command line writes: data to stdout, narration to stderr, everybody else's noise to the log."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TextIO

import msgspec

from tui.core.words import counted, plain
from tui.jobs.redact import RedactingStream, redact

if TYPE_CHECKING:
    from rich.console import Console

_LOG_LIMIT = 5 * 2**20
_SOON, _EVERY = 1.0, 10.0
_FOLD = 26
"""Cells longer than this may be folded: an id fits on one line, a path need not."""


class Output:
    """The program's own stdout and stderr.

    ``guard`` sends descriptors 1 and 2 to the log and keeps private copies: libraries, also those in C,
    then cannot put a byte between our lines. A reader that closes stdout early ends nothing; what follows
    is dropped.
    """

    def __init__(self) -> None:
        self.data: TextIO = sys.stdout
        self.narration: TextIO = sys.stderr
        self.closed = False
        self.secrets: tuple[str, ...] = ()
        self._kept: dict[int, int] = {}
        self._before = sys.__stdout__, sys.__stderr__
        self._log: TextIO | None = None

    # --- the guard

    def guard(self, log: Path) -> None:
        """From now on only this object writes to stdout and stderr; everything else goes to ``log``."""
        if self._kept:
            return
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(ValueError, OSError):
                stream.flush()
        self._kept = {number: os.dup(number) for number in (1, 2)}
        self._before = sys.__stdout__, sys.__stderr__
        self.data, self.narration = (_text(os.dup(number)) for number in (1, 2))
        # These two are what asks for the real terminal, such as the check of it in the doctor.
        sys.__stdout__, sys.__stderr__ = self.data, self.narration  # type: ignore[assignment, misc]
        sink = _open_log(log)
        for number in (1, 2):
            os.dup2(sink, number)
        self._log = _text(sink)
        self.hide(self.secrets)

    def log_to(self, log: Path) -> None:
        """Send log records to the file and leave the terminal alone, for the UI, which guards it itself."""
        self._log = _text(_open_log(log))
        self.hide(self.secrets)

    def release(self) -> None:
        """Give the terminal back to the UI, which guards it itself; log records still go to the log."""
        for stream in (self.data, self.narration):
            self._ignoring_closed(stream.flush)
        for number, copy in self._kept.items():
            os.dup2(copy, number)
            os.close(copy)
        self._kept = {}
        sys.__stdout__, sys.__stderr__ = self._before  # type: ignore[misc]
        sys.stdout = self.data = sys.__stdout__ or self.data
        sys.stderr = self.narration = sys.__stderr__ or self.narration

    def hide(self, secrets: Sequence[str]) -> None:
        """Mask these texts in every line and in the log from now on."""
        self.secrets = tuple(secrets)
        if self._log is None:
            return
        masked = RedactingStream(self._log, self.secrets)
        _log_to(masked)
        if self._kept:
            sys.stdout = sys.stderr = masked

    # --- data

    def text(self, text: str) -> None:
        """One piece of text on stdout."""
        self.raw(text if text.endswith("\n") else f"{text}\n")

    def raw(self, text: str) -> None:
        """Text on stdout as it is in a pipe; on a terminal what is in it cannot steer that."""
        self._put(_harmless(text) if self.data_is_terminal else text)

    def json(self, value: object) -> None:
        """One JSON document on stdout; indented where a person reads it."""
        encoded = encode(value)
        self._put((msgspec.json.format(encoded) if self.data_is_terminal else encoded).decode() + "\n")

    def json_line(self, value: object) -> None:
        """One line of JSON on stdout, at once."""
        self._put(encode(value).decode() + "\n")

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[object]], *, empty: str) -> None:
        """A table on stdout, or records where it does not fit. Nothing is cut, a line is a row in a pipe.

        ``empty`` is narrated when there is no row.
        """
        from rich.cells import cell_len
        from rich.table import Table

        listed = [list(row) for row in rows]
        if not listed:
            self.say(empty)
            return
        texts = [[_cell(cell) for cell in row] for row in listed]
        natural = [max(map(cell_len, column)) for column in zip(columns, *texts, strict=True)]
        narrowest = [min(width, _FOLD) for width in natural]
        if sum(narrowest) + 2 * len(columns) > _width(self.data):
            self._records(columns, texts)
            return
        table = Table(box=None, pad_edge=False, header_style="bold")
        for index, name in enumerate(columns):
            numeric = all(row[index] is None or _is_number(row[index]) for row in listed)
            justify: Literal["left", "right"] = "right" if numeric else "left"
            table.add_column(name, overflow="fold", justify=justify, min_width=narrowest[index])
        for row in texts:
            table.add_row(*row)
        self.print(table)

    def _records(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        for number, row in enumerate(rows):
            if number:
                self.text("")
            self.facts(zip(columns, row, strict=True))

    def facts(self, pairs: Iterable[tuple[str, object]]) -> None:
        """Names and values below each other on stdout; a value of several lines stays so."""
        from rich.table import Table

        table = Table(box=None, pad_edge=False, show_header=False)
        table.add_column(style="bold", no_wrap=True)
        table.add_column(overflow="fold")
        for name, value in pairs:
            table.add_row(name, _harmless(value) if isinstance(value, str) else _cell(value))
        self.print(table)

    def print(self, renderable: Any) -> None:
        """Something of rich's on stdout."""
        console = self.console(self.data)
        if self.data_is_terminal:
            self.print_on(console, renderable)
            return
        with console.capture() as captured:
            console.print(renderable)
        self._put("".join(f"{line.rstrip()}\n" for line in captured.get().splitlines()))

    def print_on(self, console: Console, renderable: Any) -> None:
        """The same on a console of the caller's over ``data``."""

        def write() -> None:
            console.print(renderable)
            self.data.flush()

        self._ignoring_closed(write)

    # --- narration

    def say(self, text: str) -> None:
        """One line for people, on stderr."""
        self.verbatim(plain(" ".join(text.split())))

    def compared(self, found: Callable[[], str] = lambda: "") -> Callable[[int, int], None]:
        """Tells soon, then every ten seconds, how many vectors of how many were compared.

        A large index takes minutes.

        Args:
            found: what is told beside it.
        """
        next_time = time.monotonic() + _SOON

        def tell(done: int, total: int) -> None:
            nonlocal next_time
            if time.monotonic() >= next_time and done < total:
                self.say(f"{done:,} of {counted(total, 'vector')} compared{found()}")
                next_time = time.monotonic() + _EVERY

        return tell

    def verbatim(self, text: str) -> None:
        """Text for people as it is, on stderr."""
        line = redact(text, self.secrets) + "\n"
        self._ignoring_closed(lambda: (self.narration.write(line), self.narration.flush()))

    def confirm(self, question: str) -> bool:
        """Ask on the terminal; anything but yes is no."""
        self._ignoring_closed(lambda: self.narration.write(f"{question} [y/N] "))
        self._ignoring_closed(self.narration.flush)
        return sys.stdin.readline().strip().lower() in ("y", "yes")

    def ask_secret(self, what: str) -> str:
        """Have something typed on the terminal that is not shown."""
        from getpass import getpass

        return getpass(f"{what}: ", self.narration)

    @property
    def can_ask(self) -> bool:
        """Whether a person is there to answer."""
        return sys.stdin is not None and sys.stdin.isatty() and self.narration.isatty()

    @property
    def data_is_terminal(self) -> bool:
        """Whether stdout is a terminal."""
        return not self.closed and self.data.isatty()

    def console(self, stream: TextIO) -> Console:
        """A rich console over one of the two streams: as wide as the terminal, without limit in a pipe."""
        from rich.console import Console

        return Console(
            file=stream, width=_width(stream), highlight=False, markup=False, emoji=False, soft_wrap=False
        )

    # --- inside

    def _put(self, text: str) -> None:
        def write() -> None:
            self.data.write(text)
            self.data.flush()

        if not self.closed:
            self._ignoring_closed(write)

    def _ignoring_closed(self, write: Callable[[], object]) -> None:
        try:
            write()
        except BrokenPipeError:
            # The reader (head, less) has enough; what we were asked to do still gets done.
            self.closed = True
            null = os.open(os.devnull, os.O_WRONLY)
            with contextlib.suppress(ValueError, OSError):
                os.dup2(null, self.data.fileno())
            os.close(null)


def open_standard_streams() -> None:
    """Open what the caller closed: the next file opened would otherwise become our stdout."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            null = os.open(os.devnull, os.O_RDWR)
            if null != number:
                os.dup2(null, number)
                os.close(null)
    sys.stdin = sys.stdin or os.fdopen(os.dup(0))
    sys.stdout = sys.stdout or _text(os.dup(1))
    sys.stderr = sys.stderr or _text(os.dup(2))


def encode(value: object) -> bytes:
    """Any of our values as JSON; NaN becomes null, ids and times become text."""
    return msgspec.json.encode(value, enc_hook=_foreign)


def _foreign(value: Any) -> Any:
    # numpy scalars and arrays know how to become plain values; ObjectId and Path are texts.
    return value.tolist() if hasattr(value, "tolist") else str(value)


def _cell(value: object) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.4g}"
    return plain(value)


def _harmless(text: str) -> str:
    """Lines that can do nothing to a terminal but end."""
    return "\n".join(map(plain, text.split("\n")))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _text(number: int) -> TextIO:
    return os.fdopen(number, "w", encoding="utf-8", errors="replace")


def _width(stream: TextIO) -> int:
    with contextlib.suppress(OSError, ValueError):
        return os.get_terminal_size(stream.fileno()).columns or 80
    return 10_000


def _open_log(log: Path) -> int:
    try:
        log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if log.exists() and log.stat().st_size > _LOG_LIMIT:
            log.replace(log.with_suffix(".log.1"))
        return os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    except OSError:
        # A home that cannot be written must not keep "--version" or a search from working.
        return os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)


def _log_to(stream: RedactingStream) -> None:
    root = logging.getLogger()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter("%(asctime)s %(process)d %(levelname)s %(name)s: %(message)s"))
    root.handlers = [handler]
    root.setLevel(logging.INFO)
    logging.captureWarnings(True)

"""Stdout is data: nothing a library writes reaches the terminal, and nothing is cut without a word."""

from __future__ import annotations

import io
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.program import PROGRAM, Cli
from tui.cli.output import Output, encode
from tui.cli.preview import draw
from tui.core.search import Hit, SearchResult

NOISE = """
import os, sys
def hook(event, arguments):
    if event == "import" and arguments[0] == "pymongo":
        os.write(1, b"NOISE on fd 1\\n")
        os.write(2, b"NOISE on fd 2\\n")
        print("NOISE on sys.stdout", flush=True)
        print("NOISE on sys.stderr", file=sys.stderr, flush=True)
        import logging, warnings
        logging.getLogger("noisy").error("NOISE in a log")
        warnings.warn("NOISE in a warning")
sys.addaudithook(hook)
"""


def test_noise_of_libraries_goes_to_the_log_and_not_to_the_terminal(
    cli: Cli, home: Path, tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text(NOISE)
    ran = cli("datasets", "list", "--json", PYTHONPATH=str(tmp_path))
    assert isinstance(ran.json, list)
    assert "NOISE" not in ran.err
    log = home / "xdg-state" / "kitescope" / "kitescope.log"
    for what in ("fd 1", "fd 2", "sys.stdout", "sys.stderr", "in a log", "in a warning"):
        assert f"NOISE {what}" in log.read_text() or f"NOISE on {what}" in log.read_text()
    assert log.stat().st_mode & 0o777 == 0o600


def test_a_reader_that_stops_early_is_no_error(cli: Cli) -> None:
    command = f"{' '.join(PROGRAM)} models list | head -1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", command], env=cli.environment, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("name")


def test_a_stdout_that_is_closed_altogether_is_no_error(cli: Cli) -> None:
    command = f"{' '.join(PROGRAM)} datasets list --json >&-"
    done = subprocess.run(
        ["bash", "-c", command], env=cli.environment, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")


def in_terminal(command: list[str], environment: dict[str, str], columns: int) -> str:
    """The output of a command on a terminal of its own."""
    import fcntl
    import struct
    import termios

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    text = b""
    while True:
        try:
            chunk = os.read(ours, 65536)
        except OSError:
            break
        if not chunk:
            break
        text += chunk
    os.close(ours)
    assert process.wait(60) == 0, text
    return text.decode()


def test_a_narrow_terminal_gets_records_and_nothing_is_cut(cli: Cli) -> None:
    cli("--milvus-uri", "http://a-very-long-host-name.example.org:19530", "connections", "save", "production")
    shown = in_terminal([*PROGRAM, "connections", "list"], cli.environment | {"TERM": "xterm"}, 50)
    assert "…" not in shown
    plain = "".join(shown.split())
    assert "production" in plain
    assert all(len(line.rstrip("\r")) <= 200 for line in shown.splitlines())


@pytest.mark.parametrize("environment", [{"NO_COLOR": "1"}, {}])
def test_no_color(cli: Cli, environment: dict[str, str]) -> None:
    shown = in_terminal(
        [*PROGRAM, "connections", "show"], cli.environment | environment | {"TERM": "xterm-256color"}, 120
    )
    import re

    assert not re.search("\x1b\\[[0-9;]*3[0-9]", shown)


def test_a_pipe_gets_every_column_in_full(cli: Cli) -> None:
    uri = f"http://{'h' * 150}.example.org:19530"
    cli("--milvus-uri", uri, "connections", "save", "long")
    assert uri in cli("connections", "list").out


def test_json_of_foreign_values() -> None:
    import numpy as np
    from bson import ObjectId

    one = ObjectId()
    encoded = encode({"a": float("nan"), "id": one, "n": np.float32(1.5), "v": np.arange(2), "p": Path("/x")})
    import json

    assert json.loads(encoded) == {"a": None, "id": str(one), "n": 1.5, "v": [0, 1], "p": "/x"}


def test_secrets_are_masked_in_narration(capsys: pytest.CaptureFixture[str]) -> None:
    out = Output()
    out.narration = sys.stderr
    out.hide(("hunter2-secret",))
    out.say("cannot log in with hunter2-secret at\nhost")
    assert capsys.readouterr().err == "cannot log in with *** at host\n"


def test_a_secret_printed_by_a_library_is_masked_in_the_log(cli: Cli, home: Path, tmp_path: Path) -> None:
    secret = "kite-s3cret-pa55"
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\n"
        "def hook(event, arguments):\n"
        "    if event == 'import' and arguments[0] == 'pymilvus':\n"
        f"        print('connecting with {secret}')\n"
        "        import logging\n"
        f"        logging.getLogger('lib').error('login %s', '{secret}')\n"
        "sys.addaudithook(hook)\n"
    )
    cli("--milvus-token", f"root:{secret}", "collections", "list", PYTHONPATH=str(tmp_path))
    log = (home / "xdg-state" / "kitescope" / "kitescope.log").read_text()
    assert "connecting with ***" in log
    assert "login ***" in log
    assert secret not in log


def test_what_is_in_data_steers_no_terminal_and_ends_no_row(capsys: pytest.CaptureFixture[str]) -> None:
    label = "\x1b[31mred\x1b[0m two\nlines \x9b5m \u2028 \u202eevil [bold]b[/bold]"
    shown = "␛[31mred␛[0m two␊lines ⟨9B⟩5m ⟨2028⟩ ⟨202E⟩evil [bold]b[/bold]"
    out = Output()
    out.data, out.narration = sys.stdout, sys.stderr
    out.table(("name", "n"), [(label, 1)], empty="")
    out.facts([("several", "one \x07\ntwo")])
    out.say(f"error: cannot read {label}")
    said = capsys.readouterr()
    assert said.out.splitlines()[1:] == [f"{shown}  1", "several  one ␇", "         two"]
    # A message is one line, wherever it was broken.
    assert "\x1b" not in said.err
    assert "\x9b" not in said.err
    assert said.err.count("\n") == 1


def test_a_text_is_itself_in_a_pipe_and_harmless_on_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    out = Output()
    out.data = sys.stdout
    out.text("a\x1b[2Jb\nc")
    assert capsys.readouterr().out == "a\x1b[2Jb\nc\n"
    out.data = terminal = Terminal()
    out.text("a\x1b[2Jb\nc")
    assert terminal.getvalue() == "a␛[2Jb\nc\n"


def test_captions_of_previews_steer_no_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    hit = Hit(1, "id", "id", 0.5, "/nowhere/\x1b[2Jx.png", "\x1b[2Jlabel", ())
    result = SearchResult("key", "cosine", "cosine similarity", True, 1, (hit,))
    out = Output()
    out.data = sys.stdout
    draw(out, result, None)
    drawn = capfd.readouterr().out
    assert "␛[2Jlabel" in drawn
    assert "\x1b[2J" not in drawn


def test_how_many_were_compared_is_told_soon_and_then_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("tui.cli.output.time.monotonic", lambda: now[0])
    out = Output()
    out.narration = io.StringIO()
    tell = out.compared()
    for seconds, done in ((0.5, 0), (1.5, 7), (3.0, 8), (11.0, 9), (12.0, 10), (40.0, 20)):
        now[0] = 100.0 + seconds
        tell(done, 20)
    assert out.narration.getvalue().splitlines() == [
        "7 of 20 vectors compared",
        "10 of 20 vectors compared",
    ]

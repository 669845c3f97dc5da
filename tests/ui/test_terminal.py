"""Junk that a library writes to descriptors 1 and 2 never reaches the screen."""

from __future__ import annotations

import os
import pty
import subprocess
import sys

_NOISY = """
import os, sys, subprocess
from pathlib import Path
from tui.terminal import screen_guard
with screen_guard(Path(sys.argv[1])):
    os.write(1, b"JUNK-ONE")
    os.write(2, b"JUNK-TWO")
    print("JUNK-PRINT", flush=True)
    print("JUNK-STDERR", file=sys.stderr, flush=True)
    subprocess.run(["sh", "-c", "echo JUNK-CHILD; echo JUNK-CHILD >&2"])
    sys.__stderr__.write("PICTURE")
    sys.__stderr__.flush()
print("AFTER", flush=True)
"""


def test_only_the_screen_reaches_the_terminal(tmp_path):
    log = tmp_path / "kitescope.log"
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", _NOISY, str(log)], stdin=slave, stdout=slave, stderr=slave
    )
    os.close(slave)
    seen = b""
    while chunk := _read(master):
        seen += chunk
    assert process.wait(timeout=30) == 0
    os.close(master)
    assert b"PICTURE" in seen and b"AFTER" in seen
    assert b"JUNK" not in seen
    assert log.read_text().count("JUNK") == 6
    assert log.stat().st_mode & 0o077 == 0


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65536)
    except OSError:
        return b""

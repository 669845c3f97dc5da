from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.jobs.helpers import until
from tui.core.vision import gpus
from tui.jobs.load import GpuLoad, LoadMeter

SMI = """#!/bin/sh
case "$1" in
  --query-gpu=*) printf '0, GPU-a, H100, 87, 4000, 81559\\n1, GPU-b, H100, [N/A], 10, 81559\\n' ;;
  --query-compute-apps=*) printf '%s, GPU-a, 3500\\n1, GPU-a, 400\\n' "$JOB" ;;
esac
"""


def test_a_child_counts_towards_its_parent() -> None:
    spin = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'while True: pass'])"
    process = subprocess.Popen([sys.executable, "-c", spin], start_new_session=True)
    try:
        meter = LoadMeter(process.pid)

        def busy() -> bool:
            seen = meter.sample()
            return seen is not None and seen.processes == 2 and seen.cpu_percent > 20

        # Polled at length: CPU time is counted between two samples of the same child.
        until(lambda: busy() or time.sleep(0.3), 30, "a busy child")
    finally:
        os.killpg(process.pid, 9)
        process.wait()
    assert meter.sample() is None


def test_gpus_as_nvidia_smi_tells_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text(SMI)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("JOB", str(os.getpid()))
    gpus._program.cache_clear()
    try:
        seen = LoadMeter(os.getpid()).sample()
    finally:
        gpus._program.cache_clear()
    assert seen is not None
    assert seen.gpus == (GpuLoad(0, "H100", 87, 4000, 3500, 81559), GpuLoad(1, "H100", None, 10, 0, 81559))

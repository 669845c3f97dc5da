from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from tui.core.errors import InvalidInput
from tui.core.vision import devices

SMI = """#!/bin/sh
echo '0, GPU-aa, NVIDIA H100 80GB HBM3, 3, 1229, 81559'
echo '1, GPU-bb, NVIDIA H100 80GB HBM3, [N/A], 0, 81559'
"""


@pytest.fixture
def two_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine whose nvidia-smi tells of two GPUs, and whose torch may use them."""
    program = tmp_path / "nvidia-smi"
    program.write_text(SMI)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(devices, "gpu_is_here", lambda: True)
    monkeypatch.setattr(devices, "_built_without_cuda", lambda: False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    devices._program.cache_clear()
    yield
    devices._program.cache_clear()


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "_program", lambda: None)
    monkeypatch.setattr(devices, "gpu_is_here", lambda: False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


@pytest.mark.parametrize(
    ("asked", "chosen"),
    [
        ("auto", ("cuda:0", "cuda:1")),
        ("cuda", ("cuda:0",)),
        ("cuda:1,cuda:0", ("cuda:1", "cuda:0")),
        ("cpu,cpu", ("cpu", "cpu")),
    ],
)
def test_devices_are_chosen(two_gpus: None, asked: str, chosen: tuple[str, ...]) -> None:
    assert devices.choose(asked) == (chosen, "")


def test_a_gpu_is_named_with_its_load(two_gpus: None, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = (
        "NVIDIA H100 80GB HBM3 (3% busy, 1.2 of 80 GiB used)",
        "NVIDIA H100 80GB HBM3 (0.0 of 80 GiB used)",
    )
    assert devices.forecast("auto") == (f"{first}; {second}", "")
    assert devices.forecast("cuda:1") == (second, "")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-bb,0")
    assert devices.forecast("cuda:0") == (second, "")


def test_many_gpus_of_a_kind_are_told_in_one_line(two_gpus: None, monkeypatch: pytest.MonkeyPatch) -> None:
    many = tuple(devices.Gpu(place, f"GPU-{place}", "H100", place, 1024, 81920) for place in range(8))
    monkeypatch.setattr(devices, "gpus", lambda: many)
    assert devices.forecast("auto")[0] == "8 × H100 (7% busy, 8.0 of 640 GiB used)"


@pytest.mark.parametrize("look", [devices.choose, devices.forecast])
def test_a_device_that_is_not_there_is_refused(two_gpus: None, look: Any) -> None:
    with pytest.raises(InvalidInput, match="no cuda:2") as caught:
        look("cuda:0,cuda:2")
    assert "2 GPUs" in caught.value.remedy
    for text in ("gpu", "auto,cpu", "", "cuda:x"):
        with pytest.raises(InvalidInput, match="no device"):
            look(text)


@pytest.mark.parametrize("look", [devices.choose, devices.forecast])
def test_without_a_gpu_the_cpu_is_taken_in_silence(no_gpu: None, look: Any) -> None:
    assert look("auto")[1] == ""
    with pytest.raises(InvalidInput, match="No NVIDIA GPU"):
        look("cuda")


@pytest.mark.parametrize("look", [devices.choose, devices.forecast])
def test_a_gpu_that_cannot_be_used_is_told(no_gpu: None, look: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "gpu_is_here", lambda: True)
    monkeypatch.setattr(devices, "_built_without_cuda", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    assert "torch cannot use it (its driver does not answer)" in look("auto")[1]
    with pytest.raises(InvalidInput, match="cannot use it"):
        look("cuda:0")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert "CUDA_VISIBLE_DEVICES hides it" in look("auto")[1]
    monkeypatch.setattr(devices, "_built_without_cuda", lambda: True)
    monkeypatch.setattr(torch.version, "cuda", None)
    assert "built without CUDA" in look("auto")[1]


def test_bf16_needs_a_device_that_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    old = SimpleNamespace(type="cuda", index=0)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "Tesla T4")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (7, 5))
    assert devices.settle_precision("bf16", old) == ("fp16", "Tesla T4 has no bf16: using fp16")
    assert devices.settle_precision("auto", old) == ("fp32", "")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (8, 0))
    assert devices.settle_precision("bf16", old) == ("bf16", "")
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    assert devices.settle_precision("bf16", torch.device("cpu")) == (
        "fp32",
        "This CPU has no bf16: using fp32",
    )

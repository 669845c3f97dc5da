from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from tests.core.making import make_dataset
from tui.core import indexes
from tui.core.errors import InvalidInput
from tui.core.indexes import BuildSpec, Scope
from tui.core.vision import devices, gpus
from tui.core.workspace import Workspace

SMI = """#!/bin/sh
echo '0, GPU-aa, NVIDIA H100 80GB HBM3, 3, 1229, 81559'
echo '1, GPU-bb, NVIDIA H100 80GB HBM3, [N/A], 0, 81559'
"""


@pytest.fixture
def two_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine whose nvidia-smi tells of two GPUs, and whose torch may use them.

    Both are stand-ins here and below: there is no GPU where these tests have to pass.
    """
    program = tmp_path / "nvidia-smi"
    program.write_text(SMI)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(gpus, "are_here", lambda: True)
    monkeypatch.setattr(devices, "_built_without_cuda", lambda: False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: ["sm_75", "sm_86", "sm_90", "compute_120"])
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (9, 0))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda place: ("GPU-A", "GPU-B")[place])
    gpus._program.cache_clear()
    yield
    gpus._program.cache_clear()


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpus, "_program", lambda: None)
    monkeypatch.setattr(gpus, "are_here", lambda: False)
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
    many = tuple(gpus.Gpu(place, f"GPU-{place}", "H100", place, 1024, 81920) for place in range(8))
    monkeypatch.setattr(gpus, "listed", lambda: many)
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
    monkeypatch.setattr(gpus, "are_here", lambda: True)
    monkeypatch.setattr(gpus, "_program", lambda: "/bin/false")
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


def test_the_reason_that_torch_gives_is_passed_on(no_gpu: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def too_old() -> bool:
        text = "CUDA initialization: The NVIDIA driver on your system is too old (found version 11040)."
        warnings.warn(f"{text} (Triggered internally at CUDAFunctions.cpp:109.)", stacklevel=1)
        return False

    monkeypatch.setattr(gpus, "are_here", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", too_old)
    assert devices.choose("auto")[1].endswith("is too old (found version 11040).): running on the CPU")
    with pytest.raises(InvalidInput, match="driver on your system is too old"):
        devices.choose("cuda")


@pytest.mark.parametrize(
    ("capability", "runs"),
    [((7, 5), True), ((7, 0), False), ((6, 1), False), ((8, 0), False), ((8, 9), True), ((9, 0), True),
     ((10, 0), False), ((12, 0), True), ((12, 1), True), ((13, 0), True)],
)  # fmt: skip
def test_a_gpu_that_this_torch_has_no_code_for_is_told_and_left_alone(
    two_gpus: None, monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], runs: bool
) -> None:
    """Wheels leave out old generations; without a look the first convolution would end the build."""
    found = {0: (9, 0), 1: capability}
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda place: found[place])
    if runs:
        assert devices.choose("auto") == (("cuda:0", "cuda:1"), "")
        return
    major, minor = capability
    told = f"This torch is not built for GPU-B (sm_{major}{minor})"
    assert devices.choose("auto") == (("cuda:0",), told)
    assert devices.choose("cuda:0") == (("cuda:0",), "")
    with pytest.raises(InvalidInput, match="not built for GPU-B"):
        devices.choose("cuda:0,cuda:1")
    found[0] = capability
    chosen, notice = devices.choose("auto")
    assert chosen == ("cpu",) and "GPU-A" in notice and notice.endswith(": running on the CPU")


def test_a_gpu_is_not_refused_where_only_nvidia_smi_is_missing(
    no_gpu: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a container that was given the driver for computing alone."""
    monkeypatch.setattr(gpus, "are_here", lambda: True)
    monkeypatch.setattr(devices, "_built_without_cuda", lambda: False)
    assert devices.forecast("cuda:3")[0].startswith("cuda:3 that torch can use")
    assert devices.forecast("auto")[0].startswith("every GPU that torch can use")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert "CUDA_VISIBLE_DEVICES hides it" in devices.forecast("auto")[1]


def test_gpus_that_are_hidden_are_said_to_be(two_gpus: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for look in (devices.choose, devices.forecast):
        assert "CUDA_VISIBLE_DEVICES hides it" in look("auto")[1]
        with pytest.raises(InvalidInput, match="CUDA_VISIBLE_DEVICES hides it"):
            look("cuda")


def test_a_slice_of_a_gpu_is_no_reason_to_refuse(two_gpus: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "MIG-5c89852c-d268-c3f3-1b07-005d5ae1dc3f")
    assert devices.forecast("cuda:0") == ("a slice of a GPU (MIG)", "")


@pytest.mark.parametrize(
    ("allowed", "words"),
    [(None, ["0", "1"]), ("3,1", ["3", "1"]), ("GPU-bb, GPU-aa", ["GPU-bb", "GPU-aa"]), ("", ["0", "1"])],
)
def test_a_child_sees_the_one_gpu_that_is_meant(
    monkeypatch: pytest.MonkeyPatch, allowed: str | None, words: list[str]
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if allowed is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", allowed)
    assert [gpus.only(place) for place in (0, 1)] == words


def test_gpus_are_numbered_as_nvidia_smi_numbers_them_unless_the_user_says_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("CUDA_DEVICE_ORDER", raising=False)
    devices.before_torch()
    assert os.environ["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"
    monkeypatch.setenv("CUDA_DEVICE_ORDER", "FASTEST_FIRST")
    devices.before_torch()
    assert os.environ["CUDA_DEVICE_ORDER"] == "FASTEST_FIRST"


def test_a_plan_says_that_the_built_in_model_takes_no_gpu(
    workspace: Workspace, unique_name: Callable[[str], str]
) -> None:
    name = make_dataset(workspace, unique_name("builtin"), 2).name
    plan = indexes.plan(workspace, BuildSpec(Scope(name), "k", device="cuda:1"))
    assert plan.runs_on.startswith("CPU, ")
    assert plan.warnings == (
        "kitescope-descriptor always runs on the CPU, in fp32: device cuda:1 will not be used",
    )
    for device in ("auto", "cpu"):
        assert indexes.plan(workspace, BuildSpec(Scope(name), "k", device=device)).warnings == ()


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

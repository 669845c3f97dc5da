"""What a model can run on here: which GPUs there are, how busy they are, and which of them a build takes.

Looking needs no torch (nvidia-smi tells); choosing asks torch, because only torch knows what it can use.
"""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Sequence
from functools import cache
from importlib import metadata
from typing import Any

from tui.core.errors import InvalidInput
from tui.core.services.processors import processors
from tui.core.vision import gpus
from tui.core.words import counted

SYNTAX = re.compile(r"auto|(cpu|cuda(:\d+)?)(,(cpu|cuda(:\d+)?))*")
WORDS = "auto, cpu, cuda:0, or several as cuda:0,cuda:1"


def named(text: str) -> tuple[str, ...]:
    """The devices that a list names, one by one; ``auto`` stays as it is. Torch is not asked.

    Raises:
        InvalidInput: that is no list of devices.
    """
    if not SYNTAX.fullmatch(text):
        raise InvalidInput(f"There is no device {text!r}", f"Use {WORDS}")
    return tuple(text.split(","))


def forecast(text: str) -> tuple[str, str]:
    """What a build with these devices runs on, and a warning or nothing, as far as torch need not be asked.

    Raises:
        InvalidInput: there is no such device.
    """
    wanted = named(text)
    if all(one == "cpu" for one in wanted):
        return _on_cpu(len(wanted)), ""
    cards = gpus.listed()
    found = gpus.visible(cards or ())
    if cards is None and not found and gpus.are_here() and not (_built_without_cuda() or gpus.hidden()):
        which = "every GPU" if wanted == ("auto",) else ", ".join(wanted)
        return f"{which} that torch can use (nvidia-smi does not tell which there are)", ""
    if found and not _built_without_cuda():
        if wanted == ("auto",):
            return _together(found), ""
        _require(wanted, len(found))
        return "; ".join("CPU" if one == "cpu" else str(found[_index(one)]) for one in wanted), ""
    if wanted != ("auto",):
        _require(wanted, 0)
    if not gpus.are_here():
        return _on_cpu(1), ""
    return _on_cpu(1), f"{_unusable(_built_without_cuda())}: it will run on the CPU"


def choose(text: str) -> tuple[tuple[str, ...], str]:
    """Torch's names of the devices to run on, and a sentence for the user when a GPU here stays unused.

    ``auto`` is every GPU that torch sees, or the CPU.

    Raises:
        InvalidInput: there is no such device, or torch cannot use it.
    """
    wanted = named(text)
    if all(one == "cpu" for one in wanted):
        return wanted, ""
    before_torch()
    import torch

    with warnings.catch_warnings(record=True) as told:  # torch warns why it cannot, such as too old a driver
        warnings.simplefilter("always")
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    why = str(told[0].message).partition(" (Triggered")[0] if told and not count else ""
    foreign = {place: name for place in range(count) if (name := _foreign(place))}
    if wanted == ("auto",):
        usable = tuple(f"cuda:{place}" for place in range(count) if place not in foreign)
        notices = [f"This torch is not built for {name}" for name in dict.fromkeys(foreign.values())]
        if not count and gpus.are_here():
            notices.append(_unusable(torch.version.cuda is None, why))
        if usable or not notices:
            return usable or ("cpu",), ". ".join(notices)
        return ("cpu",), f"{'. '.join(notices)}: running on the CPU"
    _require(wanted, count, without_cuda=torch.version.cuda is None, why=why)
    for one in wanted:
        if one != "cpu" and _index(one) in foreign:
            raise InvalidInput(
                f"This torch is not built for {foreign[_index(one)]}",
                "Install a torch that is, or use another device",
            )
    return tuple(one if one == "cpu" else f"cuda:{_index(one)}" for one in wanted), ""


def _foreign(place: int) -> str:
    """The GPU's name when this torch has no code for it; empty when it has."""
    import torch

    try:
        major, minor = torch.cuda.get_device_capability(place)
    except Exception:  # whoever loads a model there says why it cannot be used
        return ""
    found = [re.match(r"(sm|compute)_(\d+)(\d)", arch) for arch in torch.cuda.get_arch_list()]
    known = [(one[1], int(one[2]), int(one[3])) for one in found if one]
    # Compiled code runs on what came later in its generation, what is compiled on the spot on all that did.
    runs = any(
        (a == major and b <= minor) if kind == "sm" else (a, b) <= (major, minor) for kind, a, b in known
    )
    return "" if runs or not known else f"{torch.cuda.get_device_name(place)} (sm_{major}{minor})"


def settle_precision(precision: str, device: Any) -> tuple[str, str]:
    """The precision that a torch device can do, and a sentence when it is not the one asked for.

    Args:
        precision: ``fp32``, ``bf16``, ``fp16``, or ``auto``, which is fp32.
    """
    import torch

    if precision in ("auto", "fp32"):
        return "fp32", ""
    if device.type == "cuda":
        if precision == "bf16" and torch.cuda.get_device_capability(device) < (8, 0):
            name = torch.cuda.get_device_name(device)
            return "fp16", f"{name} has no bf16: using fp16"
        return precision, ""
    if precision == "fp16":
        return "fp32", "fp16 is for GPUs: using fp32 on this CPU"
    if not torch.backends.mkldnn.is_available() or not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return "fp32", "This CPU has no bf16: using fp32"
    return precision, ""


def before_torch() -> None:
    """Set what torch and CUDA read once, unless the user did; before torch is imported.

    Threads sleep while they wait: those that spin starve each other on a busy machine (2 images/s became 18).
    GPUs have the numbers that nvidia-smi gives them; CUDA's own order is the fastest first.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")


def _together(found: Sequence[gpus.Gpu]) -> str:
    """Several GPUs in words; many of one kind as one."""
    if len(found) <= 2 or len({one.name for one in found}) > 1:
        return "; ".join(map(str, found))
    busiest = max((one.percent for one in found if one.percent is not None), default=None)
    used, total = sum(one.used_mb for one in found), sum(one.total_mb for one in found)
    return f"{len(found)} × {gpus.Gpu(0, '', found[0].name, busiest, used, total)}"


def _on_cpu(processes: int) -> str:
    count = processors()
    split = f", shared by {processes} processes" if processes > 1 else ""
    return f"CPU, {counted(count, 'processor')}{split}"


def _require(wanted: Sequence[str], usable: int, *, without_cuda: bool | None = None, why: str = "") -> None:
    """Refuse names of GPUs when only so many are usable."""
    missing = [one for one in wanted if one != "cpu" and _index(one) >= usable]
    if not missing:
        return
    if usable:
        count = "is one GPU" if usable == 1 else f"are {usable} GPUs"
        raise InvalidInput(f"There is no {missing[0]}", f"There {count}, from cuda:0")
    without = _built_without_cuda() if without_cuda is None else without_cuda
    what = _unusable(without, why) if gpus.are_here() else "No NVIDIA GPU is here"
    raise InvalidInput(what, "Use --device cpu, or see 'kitescope doctor'")


def _index(name: str) -> int:
    return int(name.partition(":")[2] or 0)


@cache
def _built_without_cuda() -> bool:
    try:
        return "+cpu" in metadata.version("torch")
    except metadata.PackageNotFoundError:
        return True


def _unusable(without_cuda: bool, why: str = "") -> str:
    if without_cuda:
        why = "this torch is built without CUDA"
    elif gpus.hidden():
        why = "CUDA_VISIBLE_DEVICES hides it"
    why = why or "its driver does not answer"
    return f"An NVIDIA GPU is here, but torch cannot use it ({why})"

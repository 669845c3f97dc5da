"""Making a network cheaper on a CPU or GPU without changing what it says.

Batch norms are folded into the convolutions before them; on a CPU a convolution and the activation after it
become one pass over memory. Each step needs a module that can be traced, and pictures that prove it right.
"""

from __future__ import annotations

import contextlib
import copy
import logging
from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional

Forward = Callable[[Any], Any]

# Cosines. A GPU's convolutions round to ten bits (TF32): two ways to the same numbers differ more there.
_ALIKE = {"cpu": 0.999999, "cuda": 0.9999}
_NEAR = 0.999
_log = logging.getLogger(__name__)
# Names of oneDNN's, as torch's own compiler gives them to the same operation.
_MODULES: dict[type[torch.nn.Module], str] = {
    torch.nn.ReLU: "relu",
    torch.nn.ReLU6: "hardtanh",
    torch.nn.Hardswish: "hardswish",
    torch.nn.SiLU: "swish",
}
_FUNCTIONS: dict[Any, str] = {
    functional.relu: "relu",
    torch.relu: "relu",
    functional.relu6: "hardtanh",
    functional.hardswish: "hardswish",
    functional.silu: "swish",
}


def optimised(
    module: Any, device: Any, precision: str = "fp32", tap: Callable[[Any], Forward] = lambda one: one
) -> Forward:
    """The fastest form of a module that says the same, on a device, with channels-last weights.

    Args:
        precision: ``bf16`` on a CPU takes weights of that type where activations are fused.
        tap: from a module to the function that calls it and answers the embedding.
    """
    module = _placed(module, device)
    best = plain = tap(module)
    try:
        meant = [(probe, _said(plain, probe)) for probe in _probes(plain, device)]
        for step in (_folded, _activated) if device.type == "cpu" else (_folded,):
            module = _placed(step(module, precision), device)
            forward = tap(module)
            alike = _ALIKE.get(device.type, _ALIKE["cpu"])
            enough = _NEAR if precision == "bf16" and step is _activated else alike
            if not meant or any(_cosine(_said(forward, probe), one) < enough for probe, one in meant):
                break
            best = forward
    except Exception:  # tracing fails in as many ways as there are models
        _log.info("a network stays as it is", exc_info=True)
    return best


def _placed(module: Any, device: Any) -> Any:
    return module.eval().to(device).to(memory_format=torch.channels_last)


def _probes(forward: Forward, device: Any) -> list[Any]:
    """Pictures of two shapes, because a trace may hold for one; those that the network takes."""
    dice = torch.Generator().manual_seed(0)
    taken = []
    for shape in ((1, 3, 224, 224), (2, 3, 192, 256)):
        probe = torch.rand(*shape, generator=dice).to(device)
        with contextlib.suppress(Exception):
            _said(forward, probe)
            taken.append(probe)
    return taken


def _said(forward: Forward, probe: Any) -> Any:
    with torch.inference_mode():
        return forward(probe).detach().double().flatten()


def _cosine(one: Any, other: Any) -> float:
    """Not torch's, which takes vectors as short as those of a fresh MobileNet for zeros."""
    lengths = float(one.norm() * other.norm())
    return float(one @ other) / lengths if lengths > 0 else float(torch.equal(one, other))


def _folded(module: Any, precision: str) -> Any:
    from torch.fx.experimental.optimization import fuse

    return fuse(module)


def _activated(module: Any, precision: str) -> Any:
    """Convolutions joined with the activations behind them, in a copy of a module that was traced."""
    graph_module = copy.deepcopy(module)
    modules = dict(graph_module.named_modules())
    graph = graph_module.graph
    for node in list(graph.nodes):
        conv: Any = modules.get(node.target) if node.op == "call_module" else None
        if type(conv) is torch.nn.Conv2d and conv.padding_mode == "zeros" and isinstance(conv.padding, tuple):
            _join(graph_module, node, conv, modules)
    graph_module.delete_all_unused_submodules()
    graph_module.recompile()
    return graph_module.to(torch.bfloat16) if precision == "bf16" else graph_module


def _join(graph_module: Any, node: Any, conv: torch.nn.Conv2d, modules: dict[str, Any]) -> None:
    """Put one convolution's joined form in its place, and in its activation's where there is one."""
    graph, name = graph_module.graph, f"{node.target}_joined"
    after: Any = next(iter(node.users)) if len(node.users) == 1 else None
    activation = _activation(after, modules)
    graph_module.set_submodule(name, _Convolution(conv, activation or "none"))
    with graph.inserting_after(node):
        joined = graph.call_module(name, node.args)
    if after is not None and activation:
        after.replace_all_uses_with(joined)
        graph.erase_node(after)
    else:
        node.replace_all_uses_with(joined)
    graph.erase_node(node)


def _activation(node: Any, modules: dict[str, Any]) -> str | None:
    if node is None:
        return None
    if node.op == "call_module":
        return _MODULES.get(type(modules.get(node.target)))
    return _FUNCTIONS.get(node.target) if node.op == "call_function" else None


class _Convolution(torch.nn.Module):  # type: ignore[misc]  # torch is not followed
    def __init__(self, conv: torch.nn.Conv2d, attr: str) -> None:
        super().__init__()
        self.weight, self.bias = conv.weight, conv.bias
        self._where = (conv.padding, conv.stride, conv.dilation, conv.groups)
        self._attr, self._limits = attr, [0.0, 6.0] if attr == "hardtanh" else []

    def forward(self, images: Any) -> Any:
        return torch.ops.mkldnn._convolution_pointwise(
            images.to(self.weight.dtype), self.weight, self.bias, *self._where, self._attr, self._limits, ""
        )

"""What may be imported when: core knows no terminal, and FiftyOne or torch cost only who uses them."""

from __future__ import annotations

import json
import pkgutil
import subprocess
import sys

import pytest

import tui.core
import tui.jobs

TERMINAL = {"textual", "rich", "textual_image", "rich_pixels", "click"}
HEAVY = {"fiftyone", "torch", "torchvision", "skimage", "sklearn", "matplotlib", "pandas"}
# These own what they import, and are themselves imported only by a process that embeds.
OWNERS = {"fusing", "torch_embedder", "torch_models"}


def modules_after(code: str) -> set[str]:
    program = (
        f"{code}\nimport json, sys; print(json.dumps(sorted({{m.partition('.')[0] for m in sys.modules}})))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_all_of_core_and_jobs_and_state_knows_no_terminal_and_nothing_heavy() -> None:
    names = [
        module.name
        for package in (tui.core, tui.jobs)
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
        if module.name.rpartition(".")[2] not in OWNERS
    ]
    assert len(names) > 60
    loaded = modules_after("".join(f"import {name}\n" for name in [*names, "tui.state", "tui.paths"]))
    assert "tui" in loaded
    assert loaded & TERMINAL == set()
    assert loaded & HEAVY == set()


@pytest.mark.parametrize("name", ["settings", "profiles", "workspace", "embedded", "doctor", "errors"])
def test_the_first_steps_need_no_pymilvus_either(name: str) -> None:
    loaded = modules_after(f"import tui.core.{name}")
    assert loaded & (HEAVY | TERMINAL | {"pymilvus", "milvus_lite", "grpc", "numpy", "pymongo"}) == set()

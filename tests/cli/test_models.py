"""``models download``: what is there is loaded, what cannot be fetched is said in a line."""

from __future__ import annotations

import os
from pathlib import Path

from tests.cli.program import Cli, one_error_line

ROOT = Path(__file__).parents[2]


def test_a_model_that_is_there_is_loaded_and_described(home: Path) -> None:
    cli = Cli({**os.environ, "PYTHONPATH": str(ROOT)})
    told = cli("models", "download", "tests.core.user_models:no_torch", "--json", timeout=240).json
    assert told["name"] == f"tests.core.user_models:no_torch@{ROOT}"
    assert (told["source"], told["dim"], told["supports_prompts"]) == ("user", 3, True)


def test_without_network_a_download_fails_in_one_line(home: Path) -> None:
    closed = "http://127.0.0.1:9"
    cli = Cli({**os.environ, "https_proxy": closed, "HTTPS_PROXY": closed})
    ran = cli("models", "download", "torchvision:resnet18", ok=False, timeout=240)
    assert ran.code == 1
    error = one_error_line(ran)
    assert "Cannot download https://download.pytorch.org" in error and "kitescope-descriptor" in error

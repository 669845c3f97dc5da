"""``models download``: what is there is loaded, what cannot be fetched is said in a line."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.cli.conftest import DEMO, Demo
from tests.cli.program import PROGRAM, Cli, one_error_line
from tests.cli.test_output import in_terminal
from tests.core import tiny_models
from tests.core.fake_hub import FakeHub

ROOT = Path(__file__).parents[2]


def test_a_model_that_is_there_is_loaded_and_described(home: Path) -> None:
    cli = Cli({**os.environ, "PYTHONPATH": str(ROOT)})
    told = cli("models", "download", "tests.core.user_models:no_torch", "--json", timeout=240).json
    assert told["name"] == f"tests.core.user_models:no_torch@{ROOT}"
    assert (told["source"], told["dim"], told["supports_prompts"]) == ("user", 3, True)


CLOSED = {"https_proxy": "http://127.0.0.1:9", "HTTPS_PROXY": "http://127.0.0.1:9", "no_proxy": ""}


@pytest.mark.parametrize("name", ["torchvision:resnet18", "huggingface:nobody/nothing"])
def test_without_network_a_download_fails_in_one_line(home: Path, name: str) -> None:
    ran = Cli({**os.environ, **CLOSED})("models", "download", name, ok=False, timeout=240)
    assert ran.code == 1
    error = one_error_line(ran)
    assert "proxy 127.0.0.1:9" in error and "kitescope-descriptor" in error


def test_without_network_models_are_listed(home: Path) -> None:
    listed = Cli({**os.environ, **CLOSED})("models", "list", "--json").json
    clip = next(one for one in listed if one["name"] == "clip-vit-base32-torch")
    assert (clip["downloaded"], clip["supports_prompts"], clip["size_mb"]) == (False, True, 354.0)


def test_without_network_a_build_with_a_missing_model_says_what_to_do(cli: Cli, demo: Demo) -> None:
    arguments = ("build", DEMO, "offline", "--model", "mobilenet-v2-imagenet-torch", "--json")
    ran = cli(*arguments, ok=False, **CLOSED)
    assert ran.code == 1 and "Traceback" not in ran.err
    assert ran.err.splitlines()[-1].startswith("error: The proxy 127.0.0.1:9")
    last = ran.lines[-1]
    assert (last["event"], "proxy 127.0.0.1:9" in last["error"]) == ("failed", True)
    assert "kitescope-descriptor" in last["remedy"]


def test_a_download_from_the_hub_tells_its_bytes_and_goes_on_where_it_broke(
    home: Path, tmp_path: Path
) -> None:
    (tmp_path / "me").mkdir()
    weights = tiny_models.hugging_face_plain(tmp_path / "me" / "plain", 256) / "model.safetensors"
    with FakeHub(tmp_path) as hub:
        cli = Cli({**os.environ, "HF_ENDPOINT": hub.url, "no_proxy": "*"})
        hub.breaks_after = 2 << 20
        broken = cli("models", "download", "huggingface:me/plain", ok=False, timeout=240)
        *told, error = broken.err.splitlines()
        assert broken.code == 1 and error.startswith("error: Cannot download model.safetensors")
        assert told and all(line.startswith("downloaded ") for line in told)
        hub.breaks_after = None
        command = [*PROGRAM, "models", "download", "huggingface:me/plain"]
        done = in_terminal(command, cli.environment | {"TERM": "xterm-256color"}, 100)
        assert hub.sent[-2:] == [("model.safetensors", 2 << 20), ("preprocessor_config.json", 0)]
    size = f"{weights.stat().st_size / 1e6:.1f}"
    assert f"{size}/{size} MB" in done and "━" in done
    assert "huggingface:me/plain is ready: vectors of 256 numbers" in done

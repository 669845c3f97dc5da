"""The real libraries download from a hub on this machine: with progress, and continued after a break."""

from __future__ import annotations

import http.server
import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
import transformers
from huggingface_hub import constants

from tests.core import tiny_models
from tests.core.fake_hub import FakeHub
from tests.engines.servers import wait_until
from tui.core.errors import KitescopeError
from tui.core.models import load_model, model_info
from tui.core.progress import Progress

if TYPE_CHECKING:
    from tui.core.workspace import Workspace

MB = 1 << 20
ROOT = Path(__file__).parents[2]
PLAIN = "huggingface:me/plain"


@pytest.fixture(scope="module")
def repositories(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hub")
    (folder / "me").mkdir()
    tiny_models.hugging_face_plain(folder / "me" / "plain", 256)
    tiny_models.open_clip(folder / "me" / "clip")
    return folder


@pytest.fixture
def zoo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workspace: Workspace) -> Path:
    """An empty folder for what is downloaded."""
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setenv("FIFTYONE_MODEL_ZOO_DIR", str(tmp_path / "zoo"))
    monkeypatch.setattr(workspace.fiftyone().config, "model_zoo_dir", str(tmp_path / "zoo"))
    return tmp_path / "zoo"


@pytest.fixture
def hub(repositories: Path, zoo: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    with FakeHub(repositories) as running:
        monkeypatch.setenv("HF_ENDPOINT", running.url)
        # The library reads that when it is imported, which may be long ago.
        monkeypatch.setattr(constants, "ENDPOINT", running.url)
        template = running.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(transformers.utils.hub.hf_api(), "endpoint", running.url)
        monkeypatch.setenv("HF_HUB_CACHE", str(zoo))
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(zoo))
        yield running


def told_bytes(events: list[Any]) -> list[tuple[int, int | None]]:
    assert all(isinstance(event, Progress) and event.phase == "model" for event in events)
    return [(event.done, event.total) for event in events]


def test_a_hugging_face_model_is_told_byte_by_byte_and_continued_after_a_break(hub: FakeHub) -> None:
    weights = (hub.folder / "me" / "plain" / "model.safetensors").read_bytes()
    hub.breaks_after = 2 * MB + 1000
    events: list[Any] = []
    with pytest.raises(KitescopeError, match=r"^Cannot download model\.safetensors: .* is kept\.") as caught:
        load_model(PLAIN, device="cpu", on_event=events.append)
    assert "try again" in caught.value.remedy and not model_info(PLAIN).downloaded
    assert told_bytes(events)[-1] == (2 * MB, len(weights))

    hub.breaks_after = None
    hub.sent.clear()
    events.clear()
    assert load_model(PLAIN, device="cpu", on_event=events.append).dim == 256
    assert [start for name, start in hub.sent if name == "model.safetensors"] == [2 * MB]
    assert told_bytes(events)[0] == (2 * MB, len(weights))
    assert told_bytes(events)[-1] == (len(weights), len(weights))
    assert model_info(PLAIN).downloaded

    hub.sent.clear()
    assert load_model(PLAIN, device="cpu").dim == 256 and hub.sent == []


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGKILL])
def test_what_arrived_before_the_process_was_ended_is_kept(
    hub: FakeHub, zoo: Path, kind: signal.Signals
) -> None:
    hub.breaks_after, hub.stalls = 2 * MB, True
    command = [sys.executable, "-m", "tui", "models", "download", PLAIN]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    wait_until(lambda: [kept.stat().st_size for kept in zoo.rglob("*.partial")] == [2 * MB], 120, "2 MB")
    process.send_signal(kind)
    told = process.communicate(timeout=60)[1]
    assert process.returncode != 0 and "Traceback" not in told
    hub.breaks_after = None
    hub.sent.clear()
    assert load_model(PLAIN, device="cpu").dim == 256
    assert ("model.safetensors", 2 * MB) in hub.sent and ("model.safetensors", 0) not in hub.sent
    assert [path for path in zoo.rglob("*") if path.suffix in (".partial", ".incomplete")] == []


def test_without_network_what_is_on_disk_is_loaded_at_once(
    hub: FakeHub, caplog: pytest.LogCaptureFixture
) -> None:
    load_model(PLAIN, device="cpu")
    hub.shutdown()
    hub.server_close()
    assert load_model(PLAIN, device="cpu").dim == 256
    assert "Retrying" not in caplog.text  # as the library alone does, for half a minute with each file


def test_a_beginning_that_belongs_to_something_else_is_not_built_upon(hub: FakeHub, zoo: Path) -> None:
    hub.breaks_after = MB
    with pytest.raises(KitescopeError, match="is kept"):
        load_model(PLAIN, device="cpu")
    (kept,) = zoo.rglob("*.partial")
    kept.write_bytes(bytes(MB))
    hub.breaks_after = None
    with pytest.raises(KitescopeError, match=r"download of model\.safetensors is damaged"):
        load_model(PLAIN, device="cpu")
    hub.sent.clear()
    assert load_model(PLAIN, device="cpu").dim == 256
    assert ("model.safetensors", 0) in hub.sent


def test_an_open_clip_model_of_the_hub_is_told_and_continued(
    hub: FakeHub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import open_clip
    from open_clip import pretrained

    # The smallest that OpenCLIP lists has 100 MB of weights.
    config = json.loads((hub.folder / "me" / "clip" / "open_clip_config.json").read_text())["model_cfg"]
    (tmp_path / "tiny.json").write_text(json.dumps(config))
    open_clip.add_model_config(tmp_path / "tiny.json")
    monkeypatch.setitem(pretrained._PRETRAINED, "tiny", {"mine": {"hf_hub": "me/clip/"}})
    size = (hub.folder / "me" / "clip" / "open_clip_pytorch_model.bin").stat().st_size
    name, events = "openclip:tiny@mine", list[Any]()

    hub.breaks_after = MB
    with pytest.raises(KitescopeError, match=r"Cannot download open_clip_pytorch_model\.bin"):
        load_model(name, device="cpu")
    hub.breaks_after = None
    hub.sent.clear()
    model = load_model(name, device="cpu", on_event=events.append)
    assert (model.dim, model.supports_prompts) == (16, True)
    assert hub.sent[0] == ("open_clip_pytorch_model.bin", MB)
    assert told_bytes(events)[-1] == (size, size)


def test_no_other_file_is_begun_after_one_that_broke(hub: FakeHub, repositories: Path) -> None:
    """OpenCLIP takes any failure for a file that is not there, and fetches the weights in an older format."""
    from tui.core.vision import hub_downloads

    (repositories / "me" / "both").mkdir(exist_ok=True)
    for name in ("model.safetensors", "pytorch_model.bin"):
        (repositories / "me" / "both" / name).write_bytes(bytes(2 * MB))
    hub.breaks_after = 1000
    from huggingface_hub import hf_hub_download

    def either() -> str:
        try:
            return str(hf_hub_download("me/both", "model.safetensors"))
        except Exception:
            return str(hf_hub_download("me/both", "pytorch_model.bin"))

    with (
        pytest.raises(KitescopeError, match=r"Cannot download model\.safetensors"),
        hub_downloads.hugging_face(lambda _: None),
    ):
        either()
    assert {name for name, _ in hub.sent} == {"model.safetensors"}


# -- torch's hub --------------------------------------------------------------------------------
HUBCONF = """
import torch
dependencies = ["torch"]
def tiny():
    made = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(16), torch.nn.Flatten(), torch.nn.Linear(768, 512))
    made.load_state_dict(torch.hub.load_state_dict_from_url("{url}/tiny_pretrain.pth"))
    return made
"""


class _Weights(http.server.BaseHTTPRequestHandler):
    body = b""
    breaks_after: int | None = None

    def do_GET(self) -> None:
        start = int(self.headers.get("Range", "bytes=0-")[6:-1])
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(self.body) - start))
        self.end_headers()
        self.wfile.write(self.body[start : self.breaks_after])

    def log_message(self, *_: object) -> None:
        pass


def test_weights_of_torchs_hub_are_told_and_continued(
    zoo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workspace: Workspace
) -> None:
    """As FiftyOne loads DINOv2, but from a repository in a folder."""
    linear = torch.nn.Linear(768, 512)
    torch.save({f"2.{name}": value for name, value in linear.state_dict().items()}, tmp_path / "w.pth")
    _Weights.body, _Weights.breaks_after = (tmp_path / "w.pth").read_bytes(), 1_200_000
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Weights) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        manifest = _torch_hub_manifest(tmp_path, f"http://127.0.0.1:{server.server_address[1]}")
        monkeypatch.setenv("FIFTYONE_MODEL_ZOO_MANIFEST_PATHS", str(manifest))
        monkeypatch.setattr(workspace.fiftyone().config, "model_zoo_manifest_paths", [str(manifest)])
        with pytest.raises(KitescopeError, match="what arrived is kept"):
            load_model("tiny-hub-torch", device="cpu")
        _Weights.breaks_after = None
        events: list[Any] = []
        assert load_model("tiny-hub-torch", device="cpu", on_event=events.append).dim == 512
        server.shutdown()
    first, last = told_bytes(events)[0], told_bytes(events)[-1]
    assert first[0] > 1_200_000 and last == (len(_Weights.body), len(_Weights.body))


def _torch_hub_manifest(folder: Path, url: str) -> Path:
    repository = folder / "repository"
    repository.mkdir()
    (repository / "hubconf.py").write_text(HUBCONF.format(url=url))
    config = {
        "entrypoint_fcn": "fiftyone.utils.torch.load_torch_hub_raw_model",
        "entrypoint_args": {"repo_or_dir": str(repository), "model": "tiny", "source": "local"},
        "image_size": [32, 32],
        "embeddings_layer": "2",
    }
    entry = {
        "base_name": "tiny-hub-torch",
        "tags": ["embeddings", "torch"],
        "default_deployment_config_dict": {"type": "fiftyone.utils.torch.TorchImageModel", "config": config},
        "requirements": {"packages": ["torch"], "cpu": {"support": True}, "gpu": {"support": True}},
    }
    path = folder / "zoo.json"
    path.write_text(json.dumps({"models": [entry]}))
    return path

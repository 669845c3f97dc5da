"""Images to vectors: this program against stock FiftyOne's ``compute_embeddings``, and the bare limits.

Networks have random weights (speed does not depend on them), files are JPEG on disk. The two sides are two
processes, each as its user would have it (torch's threads wait differently), and they take turns, each time
on other files. mobilenet_v2 takes all 2,000 files of 640x480 and all 500 of 4000x3000; the slower cases take
as many as stock does in some seconds, so that a full run stays under twelve minutes on two processors.
"""

from __future__ import annotations

import copy
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.core.pictures import PictureItem, photo
from tests.engines.servers import Mongod

_ZOO = {
    "image_min_dim": 224,
    "image_max_dim": 2048,
    "image_mean": [0.485, 0.456, 0.406],
    "image_std": [0.229, 0.224, 0.225],
}
_RESIZED = {**_ZOO, "image_size": [224, 224]}
_LAYERS = {"mobilenet_v2": "<classifier.1", "resnet18": "<fc", "resnet50": "<fc"}
_HOMES = ("HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME")
_MARK = "ANSWER "
_SECONDS, _LONG = 10.0, 600.0  # of stock's time a case; the second only bounds a slow machine
_PICTURES = 20


def run(quick: bool) -> list[dict[str, object]]:
    """Rows of the report: measure, ours, stock, ratio, goal; images/s, medians of the rounds."""
    with ExitStack() as stack:
        folder = stack.enter_context(TemporaryDirectory())
        mongo = stack.enter_context(Mongod(Path(folder) / "mongo"))
        env = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
        env |= dict.fromkeys(_HOMES, folder)
        env |= {"FIFTYONE_DATABASE_URI": mongo.uri, "FIFTYONE_DATABASE_VALIDATION": "false"}
        ours, stock = (stack.enter_context(_Side(name, env)) for name in ("ours", "stock"))
        small = _files(Path(folder) / "small", 16 if quick else 2000, (640, 480))
        large = _files(Path(folder) / "large", 4 if quick else 500, (4000, 3000))
        long = _SECONDS if quick else _LONG
        cases = [
            ("mobilenet_v2", _ZOO, "as the zoo feeds it, 640x480", small, _SECONDS),
            ("resnet50", _ZOO, "as the zoo feeds it, 640x480", small, _SECONDS),
            ("mobilenet_v2", _RESIZED, "resized to 224, 640x480", small, long),
            ("mobilenet_v2", _RESIZED, "resized to 224, 4000x3000", large, long),
            ("resnet50", _RESIZED, "resized to 224, 4000x3000", large, _SECONDS),
        ]
        if not quick:
            cases.insert(1, ("resnet18", _ZOO, "as the zoo feeds it, 640x480", small, _SECONDS))
            cases.append(("resnet50", _ZOO, "as the zoo feeds it (2048x1536), 4000x3000", large, _SECONDS))
        rows = _limits(ours, small, large)
        for case in cases:
            rows += _compare(ours, stock, *case, turns=1 if quick else 4)
        return rows


def _files(folder: Path, count: int, size: tuple[int, int]) -> Path:
    """So many files; a few pictures under many names, which cost as much to read and decode as others."""
    folder.mkdir()
    for number in range(count):
        path = folder / f"{number:04}.jpg"
        if number < _PICTURES:
            photo(number, size).save(path, quality=90)
        else:
            path.hardlink_to(folder / f"{number % _PICTURES:04}.jpg")
    return folder


def _limits(ours: _Side, small: Path, large: Path) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    for folder, size in ((small, "640x480"), (large, "4000x3000")):
        for task, what in (
            ("decode", "decoding alone, one thread"),
            ("reduce", "decoding at reduced scale, one thread"),
            ("describe", "built-in descriptor"),
        ):
            rate = ours.ask(task, str(folder), _PICTURES)["rate"]
            rows.append({"measure": f"{what}, {size}, images/s", "ours": rate})
    many = ours.ask("describe", str(small), 2100)["rate"]
    return [*rows, {"measure": "built-in descriptor in processes, 640x480, images/s", "ours": many}]


def _compare(
    ours: _Side,
    stock: _Side,
    network: str,
    config: dict[str, Any],
    title: str,
    folder: Path,
    seconds: float,
    turns: int,
) -> list[dict[str, object]]:
    files = len(list(folder.iterdir()))
    for side in (ours, stock):
        side.ask("make", network, config)
    sides = {"stock": stock, "fp32": ours, "bf16": ours}
    if config is _RESIZED and "4000" in title:
        sides["reduced"] = ours
    # The first call chooses kernels and imports what decodes; a second look then tells stock's speed.
    first = {name: side.ask("embed", str(folder), name, 0, 2)["rate"] for name, side in sides.items()}
    look = max(1, min(3 * turns, int(4 * first["stock"])))
    rate = stock.ask("embed", str(folder), "stock", 0, look)["rate"]
    count = min(files, int(rate * seconds))
    turns = min(turns, max(2, count // 2))
    each = max(2, count // turns)
    answers: dict[str, list[dict[str, float]]] = {variant: [] for variant in sides}
    for turn in range(turns):
        for variant, side in sides.items():
            answers[variant].append(side.ask("embed", str(folder), variant, turn * each, (turn + 1) * each))
    rates, cpu = (
        {variant: statistics.median(one[name] for one in found) for variant, found in answers.items()}
        for name in ("rate", "cpu")
    )
    what = f"{network} {title} ({each * turns} images)"
    rows = [
        _row(f"{what}, fp32, images/s", rates["fp32"], rates["stock"], ">= 1.6"),
        _row(f"{what}, bf16, images/s", rates["bf16"], rates["stock"], ">= 3"),
    ]
    if "reduced" in rates:
        rows.append(_row(f"{what}, fp32, --decode reduced, images/s", rates["reduced"], rates["stock"], ""))
    return [
        *rows,
        {
            "measure": f"{what}, fp32, ms of CPU an image",
            "ours": 1000 * cpu["fp32"],
            "stock": 1000 * cpu["stock"],
            "ratio": cpu["stock"] / cpu["fp32"],
        },
        *(_alone(ours, what, folder, precision, rates[precision]) for precision in ("fp32", "bf16")),
    ]


def _alone(ours: _Side, what: str, folder: Path, precision: str, reached: float) -> dict[str, object]:
    alone = statistics.median(
        ours.ask("alone", str(folder), precision)["rate"] for _ in range(3 if reached > 2 else 1)
    )
    return {
        "measure": f"{what}, {precision}: the model alone on inputs in memory; ratio: what is reached of it",
        "ours": alone,
        "ratio": reached / alone,
        "goal": ">= 0.9 on a GPU",
    }


def _row(measure: str, ours: float, stock: float, goal: str) -> dict[str, object]:
    return {"measure": measure, "ours": ours, "stock": stock, "ratio": ours / stock, "goal": goal}


class _Side:
    """A process that embeds, ours or stock's."""

    def __init__(self, name: str, env: dict[str, str]) -> None:
        command = [sys.executable, "-m", "tests.bench.embedding", name]
        self._process = subprocess.Popen(
            command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __enter__(self) -> _Side:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()

    def ask(self, *question: Any) -> dict[str, float]:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        for line in self._process.stdout:
            if line.startswith(_MARK):
                answer: dict[str, float] = json.loads(line.removeprefix(_MARK))
                return answer
        raise RuntimeError(f"the process for {question} ended")


# -- in the two processes -----------------------------------------------------------------------
class _Ours:
    def make(self, network: str, config: dict[str, Any]) -> int:
        os.environ["OMP_WAIT_POLICY"] = "PASSIVE"  # as load_model does
        import torch

        from tui.core.vision.shrinking import enough_pixels
        from tui.core.vision.torch_models import from_fiftyone

        device = torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
        self._models = {
            precision: from_fiftyone(network, _fiftyone_model(network, config), device, precision)
            for precision in ("fp32", "bf16")
        }
        reduced = self._models["reduced"] = copy.copy(self._models["fp32"])
        reduced.input_size = enough_pixels(reduced.transforms)
        return 0

    def embed(self, folder: str, variant: str, start: int, end: int) -> int:
        return self._count(_items(folder)[start:end], self._models[variant])

    def describe(self, folder: str, count: int) -> int:
        from tui.core.vision.descriptor import Descriptor

        items = _items(folder)
        wanted = [items[number % len(items)] for number in range(count)]
        return self._count(wanted, Descriptor())

    def decode(self, folder: str, count: int, hint: tuple[int, int] | None = None) -> int:
        from tui.core.vision.images import open_image

        return len([open_image(item.filepath, hint) for item in _items(folder)[:count]])

    def reduce(self, folder: str, count: int) -> int:
        return self.decode(folder, count, (96, 96))

    def alone(self, folder: str, precision: str) -> int:
        from tui.core.vision.images import open_image

        model = self._models[precision]
        # On a GPU a small batch would measure the start, not the speed.
        most = model.batch_size if model.device.type == "cuda" else 6
        ready = [model.prepare(open_image(item.filepath)) for item in _items(folder)[:most]]
        self._began = time.perf_counter()
        return len(model.embed(ready))

    def _count(self, items: list[PictureItem], model: Any) -> int:
        from tui.core.embedding import embed

        return sum(len(batch.ids) for batch in embed(items, model))


class _Stock:
    def make(self, network: str, config: dict[str, Any]) -> int:
        self._model = _fiftyone_model(network, config)
        return 0

    def embed(self, folder: str, variant: str, start: int, end: int) -> int:
        import fiftyone as fo

        dataset = fo.Dataset()
        dataset.add_samples(
            [fo.Sample(filepath=item.filepath) for item in _items(folder)[start:end]], progress=False
        )
        self._began = time.perf_counter()
        found = dataset.compute_embeddings(self._model, progress=False)
        dataset.delete()
        return len(found)


def _items(folder: str) -> list[PictureItem]:
    return [PictureItem(path.stem, str(path)) for path in sorted(Path(folder).iterdir())]


def _fiftyone_model(network: str, config: dict[str, Any]) -> Any:
    import torchvision
    from fiftyone.utils.torch import TorchImageModel, TorchImageModelConfig

    module = torchvision.models.get_model(network, weights=None)
    return TorchImageModel(
        TorchImageModelConfig({**config, "model": module, "embeddings_layer": _LAYERS[network]})
    )


def _cpu() -> float:
    """Seconds of CPU that this process and its finished children used."""
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system


def _serve(side: Any) -> None:
    for line in sys.stdin:
        task, *arguments = json.loads(line)
        work: Callable[..., int] = getattr(side, task)
        side._began, used = time.perf_counter(), _cpu()
        count = max(work(*arguments), 1)
        took = time.perf_counter() - side._began
        answer = {"rate": count / took, "cpu": (_cpu() - used) / count}
        print(f"{_MARK}{json.dumps(answer)}", flush=True)


if __name__ == "__main__":
    _serve(_Ours() if sys.argv[1] == "ours" else _Stock())

"""``python -m tests.core.fleet_models``: a fleet's member whose model needs no torch and does as it is told.

Its name is ``WHAT:FOLDER``. Members leave their process ids in the folder, with the device they were given
and the GPUs they may see. On the device ``bad`` nothing can be loaded, and on ``deadly`` the process ends.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tui.core.errors import KitescopeError
from tui.core.progress import OnEvent, Progress
from tui.core.vision import fleet_member

COMMAND = (sys.executable, "-m", "tests.core.fleet_models")


class Model:
    dim, supports_prompts, input_size, upright = 3, True, None, False
    share, notice = "threads", "said by the model"
    batch_size = max_batch_size = 4

    def __init__(self, name: str, device: str) -> None:
        self.name, self.device = name, device
        self.what, _, self.folder = name.partition(":")

    def prepare(self, image: Image.Image) -> Any:
        if image.width == 13:
            os.kill(os.getpid(), 9)
        return np.asarray(image, np.float32).reshape(-1, 3).mean(axis=0)

    def embed(self, batch: Sequence[Any]) -> Any:
        sees = os.environ.get("CUDA_VISIBLE_DEVICES", "all")
        (Path(self.folder) / f"{os.getpid()}.pid").write_text(f"{self.device} of {sees}")
        if self.what == "hopeless":
            raise ValueError("weights are broken")
        if self.what == "lost":
            raise RuntimeError("CUDA error: unspecified launch failure")
        while self.what == "pair" and len(list(Path(self.folder).glob("*.pid"))) < 2:
            time.sleep(0.01)  # until the other member has something to do as well
        return np.stack(batch)


def load_model(name: str, *, device: str, precision: str, decode: str, on_event: OnEvent) -> Model:
    print("noise on stdout")
    if device == "bad":
        raise KitescopeError("nothing can be loaded here", "Use another device")
    if device == "deadly":
        print("the driver is gone", file=sys.stderr)
        sys.stderr.flush()
        os._exit(3)
    on_event(Progress("model", 5, 10))
    return Model(name, device)


if __name__ == "__main__":
    fleet_member.load_model = load_model  # type: ignore[assignment]
    os._exit(fleet_member.main())

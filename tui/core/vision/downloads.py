"""Fetching a model's weights: with progress, continued after a break, never a half-written file in place."""

from __future__ import annotations

import hashlib
import re
import socket
import threading
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

from tui.core.errors import KitescopeError
from tui.core.progress import OnEvent, Progress, ignore

_TIMEOUT = 8.0
_CHUNK = 1 << 20
_PORTS = {"http": 80, "https": 443}
REMEDY = (
    "Check the network and try again, or put the file there yourself; kitescope-descriptor needs no download"
)


def fetch(url: str, target: Path, on_event: OnEvent = ignore) -> Path:
    """Download ``url`` to ``target`` unless it is there, telling the bytes as `Progress` of phase ``model``.

    What arrived before a break waits beside it as ``.partial`` and is continued by the next call.

    Raises:
        KitescopeError: no network, the server refuses, the disk is full, or the file is not the right one.
    """
    if target.exists():
        return target
    partial = target.with_name(f"{target.name}.partial")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        require_host(url)
        _continue(url, partial, on_event)
    except (OSError, EOFError) as error:
        raise KitescopeError(f"Cannot download {url} to {target}: {_reason(error)}", REMEDY) from error
    expected = re.search(r"-([0-9a-f]{8,})\.\w+$", target.name)
    if expected and not _sha256(partial).startswith(expected[1]):
        partial.unlink()
        raise KitescopeError(f"The download of {url} is damaged", "Try again")
    partial.replace(target)
    return target


def require_host(url: str, *, all_proxy: bool = False) -> None:
    """Find out within seconds whether a host answers, or the proxy before it.

    Without network a resolver may take minutes, and a library that downloads tries again and again.

    Args:
        all_proxy: whether who downloads then minds ``all_proxy`` too; urllib does not.

    Raises:
        KitescopeError: it does not.
    """
    parts = urllib.parse.urlsplit(url)
    if parts.scheme not in ("http", "https") or parts.hostname is None:
        return
    name = f"{parts.scheme}_proxy"
    proxy = _proxy(parts.scheme, parts.hostname)
    if proxy is None and all_proxy:
        name, proxy = "all_proxy", _proxy("all", parts.hostname)
    host, port = proxy or (parts.hostname, parts.port or _PORTS[parts.scheme])
    answers: list[OSError | None] = []

    def connect() -> None:
        try:
            # Half of it for each address: the first may be one of IPv6 where only IPv4 gets through.
            socket.create_connection((host, port), _TIMEOUT / 2).close()
            answers.append(None)
        except OSError as error:
            answers.append(error)

    thread = threading.Thread(target=connect, daemon=True)
    thread.start()
    thread.join(_TIMEOUT)
    if answers != [None]:
        what = f"The proxy {host}:{port} that {name} names" if proxy else host
        raise KitescopeError(f"{what} cannot be reached", REMEDY)


def _proxy(scheme: str, host: str) -> tuple[str, int] | None:
    """The proxy that a download would go through; None without one, or when its address says no host."""
    address = urllib.request.getproxies().get(scheme)
    if not address or urllib.request.proxy_bypass(host):
        return None
    parts = urllib.parse.urlsplit(address if "://" in address else f"http://{address}")
    return (parts.hostname, parts.port or _PORTS.get(parts.scheme, 1080)) if parts.hostname else None


def _continue(url: str, partial: Path, on_event: OnEvent) -> None:
    done = partial.stat().st_size if partial.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={done}-"} if done else {})  # noqa: S310
    try:
        response = urllib.request.urlopen(request, timeout=_TIMEOUT)  # noqa: S310 (the zoo's own addresses)
    except urllib.error.HTTPError as error:
        if error.code == 416:  # all of it was there already, or it belongs to another version
            partial.unlink()
            _continue(url, partial, on_event)
            return
        raise
    with response, partial.open("ab" if response.status == 206 else "wb") as file:
        done = done if response.status == 206 else 0
        length = response.headers.get("Content-Length")
        total = done + int(length) if length else None
        while chunk := response.read(_CHUNK):
            file.write(chunk)
            done += len(chunk)
            on_event(Progress("model", done, total))
        if total is not None and done < total:
            raise EOFError("the connection broke; what arrived is kept")


def _reason(error: Exception) -> str:
    if isinstance(error, urllib.error.URLError) and not isinstance(error, urllib.error.HTTPError):
        return str(error.reason)
    return str(error)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

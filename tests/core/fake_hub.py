"""A Hugging Face hub on this machine: folders served as repositories, to the real library.

``with FakeHub(folder) as hub``: ``hub.url`` is what ``HF_ENDPOINT`` takes; ``folder / owner / name`` holds a
repository's files. ``hub.breaks_after = n``: a file longer than that breaks off after ``n`` bytes, and then
nothing answers for it until it is None again. With ``hub.stalls`` it stands still there instead.
"""

from __future__ import annotations

import hashlib
import http.server
import json
import threading
from pathlib import Path

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class FakeHub(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Request)
        self.folder = folder
        self.breaks_after: int | None = None
        self.stalls = False
        self.closing = threading.Event()
        self.sent: list[tuple[str, int]] = []
        """Files whose bytes were sent, and from which byte on."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def __enter__(self) -> FakeHub:
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        self.shutdown()
        self.server_close()


class _Request(http.server.BaseHTTPRequestHandler):
    server: FakeHub

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, body: bool) -> None:
        words = self.path.partition("?")[0].strip("/").split("/")
        if len(words) > 4 and words[2] == "resolve":
            self._file(self.server.folder.joinpath(*words[:2], *words[4:]), body)
        elif words[:2] == ["api", "models"] and self.server.folder.joinpath(*words[2:4]).is_dir():
            self._about(self.server.folder.joinpath(*words[2:4]), words[4:])
        else:
            self._missing("RepoNotFound")

    def _about(self, folder: Path, rest: list[str]) -> None:
        files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
        names = [str(path.relative_to(folder)) for path in files]
        if rest[:1] == ["tree"]:
            told: object = [
                {"type": "file", "path": name, "size": path.stat().st_size, "oid": _tag(path)}
                for name, path in zip(names, files, strict=True)
            ]
        else:
            told = {
                "id": "/".join(folder.parts[-2:]),
                "sha": COMMIT,
                "siblings": [{"rfilename": n} for n in names],
            }
        content = json.dumps(told).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _file(self, path: Path, body: bool) -> None:
        if not path.is_file():
            self._missing("EntryNotFound")
            return
        content, breaks = path.read_bytes(), self.server.breaks_after
        start = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").partition("-")[0])
        dies = body and breaks is not None and len(content) > breaks
        if dies and breaks is not None and start >= breaks and not self.server.stalls:
            self.close_connection = True
            return
        self.send_response(206 if start else 200)
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("ETag", f'"{_tag(path)}"')
        self.send_header("Content-Length", str(len(content) - start))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.end_headers()
        if body:
            self.server.sent.append((path.name, start))
            self.wfile.write(content[start : breaks if dies else None])
            if dies and self.server.stalls:
                self.server.closing.wait()
            self.close_connection = dies

    def _missing(self, code: str) -> None:
        self.send_response(404)
        self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def _tag(path: Path) -> str:
    """As the hub names large files: by their sha256."""
    return hashlib.sha256(path.read_bytes()).hexdigest()

"""Where a Milvus Lite server of ours listens: on a socket in a folder that only its user can enter.

Milvus Lite knows no passwords, and a loopback port is open to everybody who can log in on the machine.
pymilvus and stock FiftyOne take ``unix:/PATH`` as a URI like any other.
"""

from __future__ import annotations

import os
import secrets
import socket
import stat
import tempfile
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

_LONGEST = 100  # bytes of a path; the system takes 107, and connecting to a longer one fails unexplained
_MISREAD = frozenset("%#?,")  # gRPC takes them for parts of a URI
_SCHEME = "unix:"


def candidates(folder: Path, name: str) -> list[Path]:
    """The sockets that a server may have, best first; starts and makes nothing.

    Never below ``XDG_RUNTIME_DIR``: it is emptied when the user logs out, and jobs go on then.

    Args:
        folder: where the socket belongs, as ``name``.sock; too deep in some homes, or with a name that no URI
            can have.
    """
    near = folder / f"{name}.sock"
    short = f"{sha256(os.fsencode(near)).hexdigest()[:16]}.sock"
    far = Path(tempfile.gettempdir()) / f"kitescope-{os.geteuid()}" / short
    return [
        path for path in (near, far) if len(os.fsencode(path)) <= _LONGEST and not _MISREAD & {*str(path)}
    ]


def private_socket(folder: Path, name: str) -> Path | None:
    """The first of the candidates that can be listened on and that no other user can reach."""
    for path in candidates(folder, name):
        if _is_private(path.parent) and _takes_sockets(path.parent):
            return path
    return None


def uri_of(address: str) -> str:
    """What a client is given: ``unix:/PATH`` as it is, ``HOST:PORT`` with its scheme."""
    return address if address.startswith(_SCHEME) else f"http://{address}"


def local_path(uri: str) -> Path | None:
    """The data folder of Milvus Lite that a URI like ``~/x.db`` names; None where it names a server."""
    if not uri.endswith(".db") or "://" in uri or uri.startswith(_SCHEME):
        return None
    # Not pathlib: it raises for a user that does not exist, and resolve() would follow links.
    return Path(os.path.abspath(os.path.expanduser(uri)))  # noqa: PTH100, PTH111


def socket_of(uri: str) -> Path | None:
    """The socket of a ``unix:`` URI."""
    path = uri.removeprefix(_SCHEME)
    return Path(f"/{path.lstrip('/')}") if path != uri and path.startswith("/") else None


def _is_private(folder: Path) -> bool:
    """Whether it is a folder of this user alone; it is made where it is missing."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        # lstat: in the folder for temporary files, somebody else may have put a link there.
        about = folder.lstat()
        if not stat.S_ISDIR(about.st_mode) or about.st_uid != os.geteuid():
            return False
        folder.chmod(0o700)
    except OSError:
        return False
    return True


def _takes_sockets(folder: Path) -> bool:
    """Whether its file system knows sockets: some network and shared folders do not."""
    # A name of its own each time: another thread may try as well, or one of our pid was killed at it.
    trial = folder / f"{secrets.token_hex(3)}.sock"
    try:
        with socket.socket(socket.AF_UNIX) as probe:
            probe.bind(os.fspath(trial))
    except OSError:
        return False
    finally:
        with suppress(OSError):
            trial.unlink()
    return True

"""From a host's name to an open connection, each within its time and with a reason when it fails."""

from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from ipaddress import ip_address
from pathlib import Path

from tui.core.errors import EngineUnreachable

_MARKS = ("/.dockerenv", "/run/.containerenv")


def resolve(host: str, port: int, timeout: float) -> list[str]:
    """The addresses of a host.

    Raises:
        EngineUnreachable: it has none, or nobody said so within ``timeout`` seconds.
    """
    # getaddrinfo knows no timeout, so it is given one by being left behind in its thread.
    pool = ThreadPoolExecutor(1)
    try:
        asked = pool.submit(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
        found = asked.result(timeout)
    except FutureTimeout as error:
        raise EngineUnreachable(
            f"The name {host} was not resolved in time", "Check the name server, or use an address"
        ) from error
    except OSError as error:
        raise EngineUnreachable(
            f"The name {host} has no address ({error.strerror or error})", "Correct the host in the URI"
        ) from error
    finally:
        pool.shutdown(wait=False)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def connect(host: str, port: int, timeout: float, what: str = "Milvus") -> socket.socket:
    """An open TCP connection, whose calls keep the same ``timeout`` in seconds.

    Args:
        what: who should listen there.

    Raises:
        EngineUnreachable: nobody takes it.
    """
    where = f"{host}:{port}"
    try:
        return socket.create_connection((host, port), timeout)
    except TimeoutError as error:
        raise EngineUnreachable(
            f"{where} does not answer",
            _also("Check the address, and whether a firewall is in between", host, what),
        ) from error
    except OSError as error:
        raise EngineUnreachable(
            f"{where}: {(error.strerror or str(error)).lower()}",
            _also(f"See that {what} is running there, and that the port is right", host, what),
        ) from error


def _also(remedy: str, host: str, what: str) -> str:
    """The remedy, and what else it may be where localhost is not the machine that the user thinks of."""
    if not (is_local(host) and in_container()):
        return remedy
    return (
        f"{remedy}. This is a container, and {host} means the container itself: for a {what} outside of it "
        "use host.docker.internal, the host's address or the service's name"
    )


def is_local(host: str) -> bool:
    """Whether the host is this machine, by its name or address."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def in_container() -> bool:
    """Whether this process runs in a container of Docker, Podman or Kubernetes."""
    if any(Path(mark).exists() for mark in _MARKS):
        return True
    try:
        groups = Path("/proc/1/cgroup").read_text()
    except OSError:
        return False
    return any(word in groups for word in ("docker", "kubepods", "libpod", "containerd"))

"""The real Milvus standalone server, from the ``milvus`` wheel.

The wheel's own wrapper shifts ports, orphans its child and does not notice its death, so the unpacked
binary is started directly, with a written configuration. It calls itself ``v2.3.5-lite``, and is none.
"""

from __future__ import annotations

import lzma
import os
import re
import shutil
import socket
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock

from tests.engines.servers import MilvusServer, free_port, wait_until
from tests.engines.tls import Certificates

TlsMode = Literal["none", "one-way", "two-way"]
ROOT_PASSWORD = "Milvus"  # what a fresh Milvus gives its root


def _package() -> Path:
    from importlib.util import find_spec

    spec = find_spec("milvus")
    assert spec is not None and spec.origin is not None, "pip install 'kitescope[dev]'"
    return Path(spec.origin).parent / "data"


def unpacked_binary() -> Path:
    """The server's binary with its libraries beside it, unpacked once per environment (10 s, 250 MB)."""
    home = Path(sys.prefix) if os.access(sys.prefix, os.W_OK) else Path(tempfile.gettempdir())
    target = home / "milvus-standalone-2.3.5"
    with FileLock(home / "milvus-standalone-2.3.5.lock"):
        if not (target / "milvus").exists():
            part = target.with_suffix(".part")
            shutil.rmtree(part, ignore_errors=True)
            part.mkdir(mode=0o700)
            for packed in (_package() / "bin").glob("*.lzma"):
                unpacked = part / packed.stem
                with lzma.open(packed) as source, unpacked.open("wb") as sink:
                    shutil.copyfileobj(source, sink)
                unpacked.chmod(0o755)
            part.rename(target)
    return target / "milvus"


class MilvusStandalone(MilvusServer):
    """Milvus 2.3.5 in one process, with its embedded etcd, all ports fixed at construction.

    Args:
        directory: for configuration, data and logs.
        auth: authorization is on; root's password is ``Milvus``.
        tls: one-way or two-way TLS on the client port.
        certificates: needed when ``tls`` is on.
    """

    is_lite = False
    start_seconds = 120.0  # after a crash, etcd's lease of 30 s must run out first

    def __init__(
        self,
        directory: Path,
        *,
        auth: bool = False,
        tls: TlsMode = "none",
        certificates: Certificates | None = None,
    ) -> None:
        super().__init__(directory)
        assert tls == "none" or certificates is not None
        self.auth, self.tls, self.certificates = auth, tls, certificates
        self._ports: dict[str, int] = {"proxy_port": self.port}
        self._etcd_peer, self._metrics = free_port(), free_port()
        self._written = False

    @property
    def uri(self) -> str:
        scheme = "http" if self.tls == "none" else "https"
        return f"{scheme}://127.0.0.1:{self.port}"

    def client_kwargs(self) -> dict[str, Any]:
        kwargs: dict[str, Any] = {"uri": self.uri}
        if self.auth:
            kwargs |= {"user": "root", "password": ROOT_PASSWORD}
        if self.tls != "none":
            assert self.certificates is not None
            kwargs |= {"secure": True, "server_name": self.certificates.server_name}
        if self.tls == "one-way" and self.certificates is not None:
            kwargs |= {"server_pem_path": str(self.certificates.ca)}
        if self.tls == "two-way" and self.certificates is not None:
            kwargs |= {
                "ca_pem_path": str(self.certificates.ca),
                "client_pem_path": str(self.certificates.client_pem),
                "client_key_path": str(self.certificates.client_key),
            }
        return kwargs

    def command(self) -> Sequence[str]:
        if not self._written:
            self._write_configuration()
            self._written = True
        return [str(unpacked_binary()), "run", "standalone"]

    def environment(self) -> Mapping[str, str]:
        return {
            "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
            "HOME": str(self.directory),
            "DEPLOY_MODE": "STANDALONE",
            "METRICS_PORT": str(self._metrics),
            "MILVUS_RUN_DIR": str(self.directory / "run"),
            "MILVUSCONF": str(self.directory / "configs"),
            "ETCD_CONFIG_PATH": str(self.directory / "configs" / "etcd.yaml"),
            "LD_LIBRARY_PATH": str(unpacked_binary().parent),
        }

    def answers(self) -> bool:
        # A refused connection makes pymilvus log three tracebacks: ask the socket first.
        with socket.create_connection(("127.0.0.1", self.port), timeout=1):
            pass
        client = self.client(timeout=5)
        try:
            for name in client.list_collections(timeout=5):
                if "Loaded" in str(client.get_load_state(name, timeout=5)["state"]).replace("NotLoad", ""):
                    _strong_count(client, name)
            _probe(client)
        finally:
            client.close()
        return True

    def create_user(self, name: str, password: str, role: str = "") -> None:
        """A user without any right, unless a role is given, such as ``admin``."""
        client = self.client(timeout=30)
        # A test that is run again finds its user there.
        if name not in client.list_users(timeout=30):
            client.create_user(name, password, timeout=30)
        if role:
            client.grant_role(name, role, timeout=30)
        # The proxy learns of new users a moment later.
        wait_until(lambda: name in client.list_users(timeout=30), 60, "the new user is known")
        client.close()

    # -- configuration --------------------------------------------------------------------------
    def _value(self, name: str, kind: str | None, default: str | None) -> str:
        storage = self.directory / "data"
        known: dict[str, str] = {
            "etcd_log_path": str(self.directory / "etcd.log"),
            "etcd_log_level": "warn",
            "etcd_data_dir": str(storage / "etcd.data"),
            "local_storage_dir": str(storage),
            "rocksmq_data_dir": str(storage / "rocksmq"),
            "system_log_path": "",
            "authorization_enabled": str(self.auth).lower(),
            "tls_mode": str(("none", "one-way", "two-way").index(self.tls)),
        }
        if self.certificates is not None:
            known |= {
                "server_pem_path": str(self.certificates.server_pem),
                "server_key_path": str(self.certificates.server_key),
                "ca_pem_path": str(self.certificates.ca),
            }
        if name.endswith("_port") and kind == "int":
            return str(self._ports.setdefault(name, free_port()))
        return known.get(name, default or "")

    def _write_configuration(self) -> None:
        configs = self.directory / "configs"
        configs.mkdir(exist_ok=True)
        (self.directory / "data").mkdir(exist_ok=True)
        template = (_package() / "config.yaml.template").read_text()
        pattern = re.compile(r"\{\{\s*(\w+)(?:\((\w+)\))?(?::\s*(\S+?))?\s*\}\}")
        text = pattern.sub(lambda m: self._value(m[1], m[2], m[3]), template)
        text = re.sub(r"^(    level: )info( #.*debug, info.*)$", r"\1warn\2", text, flags=re.M)
        (configs / "milvus.yaml").write_text(text)
        shutil.copy(_package() / "glog.conf", configs / "glog.conf")
        client = f"http://127.0.0.1:{self._ports['etcd_port']}"
        peer = f"http://127.0.0.1:{self._etcd_peer}"
        (configs / "etcd.yaml").write_text(
            f"name: default\ndata-dir: {self.directory / 'data' / 'etcd.data'}\n"
            f"listen-client-urls: {client}\nadvertise-client-urls: {client}\n"
            f"listen-peer-urls: {peer}\ninitial-advertise-peer-urls: {peer}\n"
            f"initial-cluster: default={peer}\nlog-level: warn\nunsafe-no-fsync: true\n"
        )


def _strong_count(client: Any, name: str) -> int:
    rows = client.query(name, filter="", output_fields=["count(*)"], consistency_level="Strong", timeout=10)
    return int(rows[0]["count(*)"])


def _probe(client: Any) -> None:
    """Ready means that a strongly consistent query answers, not what the health page says."""
    name = "kitescope_ready_probe"
    client.drop_collection(name, timeout=10)
    client.create_collection(name, dimension=2, consistency_level="Strong", timeout=10)
    try:
        _strong_count(client, name)
    finally:
        client.drop_collection(name, timeout=10)

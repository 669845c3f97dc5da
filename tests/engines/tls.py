"""Certificates for the TLS servers of the tests, made afresh by trustme."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from pathlib import Path

import trustme

SERVER_NAME = "milvus.test"


@dataclass(frozen=True)
class Certificates:
    """One authority, one server and one client certificate, and the CA of a stranger. All PEM files."""

    ca: Path
    server_pem: Path
    server_key: Path
    client_pem: Path
    client_key: Path
    other_ca: Path
    server_name: str = SERVER_NAME


def make_certificates(directory: Path, *, expired: bool = False) -> Certificates:
    """Write a set of certificates into ``directory``.

    Args:
        directory: made when missing.
        expired: the server's certificate ended yesterday.
    """
    directory.mkdir(parents=True, exist_ok=True)
    ca, stranger = trustme.CA(), trustme.CA()
    until = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1) if expired else None
    server = ca.issue_cert(SERVER_NAME, "localhost", "127.0.0.1", not_after=until)
    client = ca.issue_cert("kitescope-client")
    made = Certificates(
        *(
            directory / f"{name}.pem"
            for name in ("ca", "server", "server-key", "client", "client-key", "other-ca")
        )
    )
    ca.cert_pem.write_to_path(made.ca)
    stranger.cert_pem.write_to_path(made.other_ca)
    for leaf, pem, key in (
        (server, made.server_pem, made.server_key),
        (client, made.client_pem, made.client_key),
    ):
        pem.write_bytes(b"".join(blob.bytes() for blob in leaf.cert_chain_pems))
        leaf.private_key_pem.write_to_path(key)
        key.chmod(0o600)
    return made

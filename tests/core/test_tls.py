"""What can be wrong between a client and a TLS port: each has a message and a remedy of its own."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.engines.servers import free_port
from tests.engines.tls import SERVER_NAME, Certificates, make_certificates
from tui.core.connecting import network, tls
from tui.core.errors import EngineUnreachable, InvalidInput, KitescopeError

Greet = Callable[[socket.socket], object]


@contextmanager
def server(greet: Greet) -> Iterator[int]:
    """A port of localhost whose connections are each handed to ``greet``."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    taken, _ = listener.accept()
                except OSError:
                    return
                with taken, suppress(OSError):
                    greet(taken)

        threading.Thread(target=serve, daemon=True).start()
        yield listener.getsockname()[1]
        # Closing alone would leave the thread in accept().
        listener.shutdown(socket.SHUT_RDWR)


def in_tls(certificates: Certificates, *, two_way: bool = False) -> Greet:
    """Greets in TLS as Milvus does, once it is content with the client."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.server_pem, certificates.server_key)
    context.set_alpn_protocols(["h2"])
    if two_way:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(certificates.ca)

    def greet(taken: socket.socket) -> None:
        taken.settimeout(10)
        with context.wrap_socket(taken, server_side=True) as secured:
            secured.sendall(b"hello")
            secured.recv(1)

    return greet


def in_plain_text(taken: socket.socket) -> None:
    taken.settimeout(10)
    taken.recv(1)
    taken.sendall(b"\0\0\0\4\0\0\0\0\0\0\0\0\0")  # HTTP/2's first frame


def one_way(certificates: Certificates, **over: str) -> dict[str, str]:
    return {"server_pem_path": str(certificates.ca), "server_name": certificates.server_name, **over}


def two_way(certificates: Certificates, **over: str) -> dict[str, str]:
    return {
        "ca_pem_path": str(certificates.ca),
        "client_pem_path": str(certificates.client_pem),
        "client_key_path": str(certificates.client_key),
        "server_name": certificates.server_name,
        **over,
    }


def fails(port: int, values: dict[str, str], timeout: float = 30) -> KitescopeError:
    with pytest.raises(KitescopeError) as caught:
        tls.shake_hands("127.0.0.1", port, values, timeout)
    assert caught.value.remedy
    return caught.value


def test_it_says_whose_certificate_until_when(certificates: Certificates) -> None:
    for mutual, values in ((False, one_way(certificates)), (True, two_way(certificates))):
        with server(in_tls(certificates, two_way=mutual)) as port:
            said = tls.shake_hands("127.0.0.1", port, values, 30)
            assert "TLSv1.3, certificate until 3000-01-01" in said
            assert SERVER_NAME in said and "issued by" in said and "trustme" in said
            assert tls.speaks_tls("127.0.0.1", port, 30)


def test_each_mistake_with_a_certificate_is_told_apart(certificates: Certificates) -> None:
    with server(in_tls(certificates)) as port:
        name = fails(port, one_way(certificates, server_name="other.test"))
        stranger = fails(port, one_way(certificates, server_pem_path=str(certificates.other_ca)))
        unknown = fails(port, {"server_name": SERVER_NAME})
        ca_alone = fails(port, {"ca_pem_path": str(certificates.ca)})
        not_pem = fails(port, one_way(certificates, server_pem_path=__file__))
        missing = fails(port, one_way(certificates, server_pem_path="/nowhere.pem"))
    assert "is for milvus.test, localhost, 127.0.0.1, and not for other.test" in name.what
    assert "--milvus-server-name" in name.remedy
    assert f"is not in {certificates.other_ca}" in stranger.what and "trustme" in stranger.what
    assert "is not known to this machine" in unknown.what and "--milvus-server-pem-path" in unknown.remedy
    assert "for two-way TLS only" in ca_alone.remedy
    assert "is no file of certificates" in not_pem.what
    assert "does not exist: /nowhere.pem" in missing.what
    errors = (name, stranger, unknown, ca_alone, not_pem, missing)
    assert all(isinstance(error, InvalidInput) for error in errors)


def test_an_expired_certificate_says_when(tmp_path: Path) -> None:
    expired = make_certificates(tmp_path, expired=True)
    with server(in_tls(expired)) as port:
        error = fails(port, one_way(expired))
    assert isinstance(error, EngineUnreachable)
    assert "has expired on 20" in error.what and "clock" in error.remedy


def test_a_server_that_wants_a_certificate_of_ours(certificates: Certificates, tmp_path: Path) -> None:
    strangers = make_certificates(tmp_path)
    with server(in_tls(certificates, two_way=True)) as port:
        none = fails(port, one_way(certificates))
        another = fails(
            port,
            two_way(
                certificates,
                client_pem_path=str(strangers.client_pem),
                client_key_path=str(strangers.client_key),
            ),
        )
        key = fails(port, two_way(certificates, client_key_path=str(certificates.server_key)))
        assert tls.speaks_tls("127.0.0.1", port, 30)
    assert "wants a certificate of yours" in none.what and "client pem" in none.remedy
    assert "does not accept your certificate" in another.what
    assert "cannot be used with" in key.what and str(certificates.server_key) in key.what


def test_plain_text_silence_and_nobody(certificates: Certificates) -> None:
    with server(in_plain_text) as port:
        plain = fails(port, one_way(certificates))
        assert not tls.speaks_tls("127.0.0.1", port, 30)
    assert "answers in plain text, not in TLS" in plain.what and "http://" in plain.remedy
    gate = threading.Event()
    with server(lambda _taken: gate.wait(60)) as port:
        silent = fails(port, one_way(certificates), timeout=0.5)
        gate.set()
    assert "does not answer the TLS handshake" in silent.what
    assert "refused" in fails(free_port(), one_way(certificates)).what


def test_in_a_container_localhost_has_a_second_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    for inside in (True, False):
        monkeypatch.setattr(network, "in_container", lambda inside=inside: inside)
        with pytest.raises(EngineUnreachable) as caught:
            network.connect("localhost", free_port(), 5)
        assert "See that Milvus is running there" in caught.value.remedy
        assert ("host.docker.internal" in caught.value.remedy) is inside

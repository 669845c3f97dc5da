"""The process of our Milvus Lite servers, beside milvus_lite's own."""

from __future__ import annotations

import socket
from pathlib import Path

from milvus_lite.adapter.grpc.server import start_server_in_thread

from tests.engines.servers import MilvusLite

_SETTINGS, _PING, _GOAWAY, _ACK = 4, 6, 7, 1


def _frame(kind: int, payload: bytes = b"") -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, 0]) + bytes(4) + payload


def hangs_up(port: int, pings: int = 20) -> str:
    """Ping a server over HTTP/2 as gRPC's keepalive does; why it hung up, or nothing when it did not."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        answers = connection.makefile("rb")
        connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + _frame(_SETTINGS))
        for number in range(pings):
            connection.sendall(_frame(_PING, number.to_bytes(8, "big")))
            while True:
                head = answers.read(9)
                payload = answers.read(int.from_bytes(head[:3], "big"))
                if head[3] == _GOAWAY:
                    return payload[8:].decode()
                if head[3] == _PING and head[4] & _ACK:
                    break
    return ""


def test_clients_that_ask_whether_it_lives_are_not_hung_up_on(
    tmp_path: Path, milvus_lite: MilvusLite
) -> None:
    server, database, port = start_server_in_thread(str(tmp_path / "stock"))
    try:
        assert hangs_up(port) == "too_many_pings", "milvus_lite mended it: our own process is not needed"
    finally:
        server.stop(0).wait()
        database.close()
    assert hangs_up(milvus_lite.port) == ""

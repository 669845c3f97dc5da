"""The process of a Milvus Lite server: ``python -m tui.core.services.lite_main --data-dir D --address A``.

It is milvus_lite's own server with settings for which milvus_lite's command has no options, columns where
that one handles number after number (``lite_columns``, ``lite_inserts``), and no waiting where one drops
(``lite_dropping``). Without the settings it hangs up on every pymilvus client that is silent or waits for
half a minute ("too_many_pings"), and the call that is under way is lost.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import MutableMapping
from concurrent.futures import ThreadPoolExecutor

from tui.core.services import lite_columns, lite_dropping, lite_inserts

_MESSAGE_BYTES = 256 << 20  # as milvus_lite's own command sets it
_OPTIONS = [
    ("grpc.max_receive_message_length", _MESSAGE_BYTES),
    ("grpc.max_send_message_length", _MESSAGE_BYTES),
    # pymilvus asks every ten seconds whether the connection lives, also between calls. That is no abuse.
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 1000),
    ("grpc.http2.max_ping_strikes", 0),
    # Otherwise a second server may listen on the same port, and each gets some of the calls.
    ("grpc.so_reuseport", 0),
]


def main() -> None:
    """Serve one data folder until a signal ends the process; what was acknowledged survives any of them."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data-dir", required=True)
    parser.add_argument("--address", required=True, help="HOST:PORT, or unix:/PATH")
    given = parser.parse_args()
    os.umask(0o077)
    _without_surprises(os.environ)
    serve(given.data_dir, given.address)


def _without_surprises(environment: MutableMapping[str, str]) -> None:
    """Keep pymilvus, which milvus_lite imports, from reading some project's ``.env`` and failing over it."""
    environment["PYTHON_DOTENV_DISABLED"] = "1"
    for name in [name for name in environment if name.startswith("MILVUS_")]:
        del environment[name]


def serve(data_dir: str, address: str) -> None:
    """Open the data folder, listen, and never return.

    Raises:
        milvus_lite.exceptions.DataDirLockedError: another process has the folder open.
        RuntimeError: the address cannot be listened on.
    """
    import grpc
    from milvus_lite.adapter.grpc.server import DEFAULT_MAX_WORKERS
    from milvus_lite.adapter.grpc.servicer import MilvusServicer
    from milvus_lite.db import MilvusLite
    from pymilvus.grpc_gen import milvus_pb2_grpc

    lite_columns.apply()
    lite_inserts.apply()
    lite_dropping.apply()
    # The folder first: its lock keeps a second server from taking the address of one that runs.
    database = MilvusLite(data_dir)
    server = grpc.server(ThreadPoolExecutor(DEFAULT_MAX_WORKERS), options=_OPTIONS)
    milvus_pb2_grpc.add_MilvusServiceServicer_to_server(MilvusServicer(database), server)
    server.add_insecure_port(address)
    server.start()
    try:
        server.wait_for_termination()
    except KeyboardInterrupt:
        server.stop(grace=5).wait()
        database.close()


if __name__ == "__main__":
    main()

"""What the processes of a fleet say to each other: messages in frames, vectors as raw bytes behind them."""

from __future__ import annotations

import struct
from typing import IO

import msgspec

from tui.core.vision.images import Patch

_LENGTHS = struct.Struct("<II")


class Start(msgspec.Struct, frozen=True, tag=True):
    """Load this model. The first message to a member."""

    model: str
    device: str
    precision: str
    workers: int
    batch_size: int | None
    decode: str = "auto"


class Picture(msgspec.Struct, frozen=True, array_like=True):
    """A file, or one box in it."""

    path: str
    box: Patch | None


class Chunk(msgspec.Struct, frozen=True, tag=True):
    """Embed these together."""

    number: int
    pictures: tuple[Picture, ...]


class Stop(msgspec.Struct, frozen=True, tag=True):
    """Finish the chunk that is under way, drop the others, and end."""


class Loading(msgspec.Struct, frozen=True, tag=True):
    """Bytes of the model's weights that are here."""

    done: int
    total: int | None


class Ready(msgspec.Struct, frozen=True, tag=True):
    """The model is loaded."""

    dim: int
    supports_prompts: bool
    batch_size: int
    notice: str


class Failed(msgspec.Struct, frozen=True, tag=True):
    """The model cannot be loaded, or fails on everything."""

    what: str
    remedy: str


class Embedded(msgspec.Struct, frozen=True, tag=True):
    """A chunk's outcome: places in it whose vectors the payload holds, and places without one, and why.

    ``batch_size`` is how many the next chunks should hold.
    """

    number: int
    places: tuple[int, ...]
    skipped: tuple[tuple[int, str], ...]
    batch_size: int


Question = Start | Chunk | Stop
Answer = Loading | Ready | Failed | Embedded


def write(stream: IO[bytes], message: Question | Answer, payload: bytes = b"") -> None:
    """Send one message.

    Raises:
        OSError: nobody reads any more.
    """
    head = msgspec.msgpack.encode(message)
    stream.write(_LENGTHS.pack(len(head), len(payload)) + head)
    if payload:
        stream.write(payload)
    stream.flush()


def read_question(stream: IO[bytes]) -> Question | None:
    """The next message to a member; None when the other end is gone."""
    frame = _frame(stream)
    return None if frame is None else msgspec.msgpack.decode(frame[0], type=Question)


def read_answer(stream: IO[bytes]) -> tuple[Answer, bytes] | None:
    """The next message from a member and its payload; None when it is gone, or broke off in the middle."""
    frame = _frame(stream)
    return None if frame is None else (msgspec.msgpack.decode(frame[0], type=Answer), frame[1])


def _frame(stream: IO[bytes]) -> tuple[bytes, bytes] | None:
    lengths = stream.read(_LENGTHS.size)
    if len(lengths) < _LENGTHS.size:
        return None
    head_length, payload_length = _LENGTHS.unpack(lengths)
    head, payload = stream.read(head_length), stream.read(payload_length)
    return (head, payload) if len(head) == head_length and len(payload) == payload_length else None

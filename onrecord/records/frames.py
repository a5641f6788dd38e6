"""The journal's format: what a segment holds, and how it is read back.

A segment is a magic line and then frames. A frame is its payload's length and CRC-32 (both
little-endian, 4 bytes), then the payload: a MessagePack array whose first item says what it is.

    start    a call starts
    end      it ends, and refers to the start by id
    source   the source code of a version, for whoever compares it with a later one
    lost     how many calls could not be written before this frame
    erased   bytes that were something else until somebody asked for their removal

Arrays only ever grow at their end, and fields that are missing have a default: an older segment
can be read. A kind of frame that a version 1 reader does not know needs a new magic line.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

import msgspec

from onrecord.messages import Usage
from onrecord.records.record import Kind, State, question_key

Body = msgspec.Raw
"""An input or output: MessagePack of plain values, packed once and never looked into here."""


class Start(msgspec.Struct, frozen=True, tag="start", array_like=True, gc=False):
    """A call started. The fields are those of Record; an empty `key` is the one that `key_of`
    makes of the others."""

    id: str
    run: str
    parent: str | None
    kind: Kind
    name: str
    key: str
    started_ns: int
    input: Body
    release: str | None = None
    session: str | None = None
    user: str | None = None
    tags: tuple[str, ...] = ()
    tenant: str | None = None
    version: str = ""


class End(msgspec.Struct, frozen=True, tag="end", array_like=True, gc=False):
    """The call `id` ended. The fields are those of Record."""

    id: str
    ended_ns: int
    output: Body
    error: str | None = None
    usage: Usage | None = None
    cost: int | None = 0
    state: State = "done"
    source: str | None = None
    redacted: bool = False


class Source(msgspec.Struct, frozen=True, tag="source", array_like=True):
    """The source code that a version stands for, written once a process."""

    version: str
    text: str


class Lost(msgspec.Struct, frozen=True, tag="lost", array_like=True):
    """`calls` calls before this frame have no record, or an unfinished one."""

    calls: int


class Erased(msgspec.Struct, frozen=True, tag="erased", array_like=True):
    """Nothing any more. The filling keeps the frames behind it where they are."""

    filling: bytes
    more: bytes = b""


Frame = Start | End | Source | Lost | Erased

MAGIC = b"onrecord journal 2\n"
READABLE = (MAGIC, b"onrecord journal 1\n")
NOTHING: Body = msgspec.Raw(b"\xc0")
"""The body None."""


def key_of(start: Start) -> str:
    """The key of a call."""
    if start.key:
        return start.key
    return question_key(start.kind, start.name, start.version, bytes(start.input), None)


def framed(frame: Frame) -> bytes:
    """The bytes of one frame."""
    payload = _encode(frame)
    return _head(len(payload), _crc32(payload)) + payload


def read_frames(data: bytes, offset: int) -> Iterator[tuple[Frame, int]]:
    """The whole frames from `offset` on, each with the offset behind it.

    Ends before the first frame that is cut off or does not match its checksum: behind a torn frame
    nothing can be trusted. A whole frame of a kind that is not known is passed over.
    """
    size, head, view = len(data), HEAD.size, memoryview(data)
    while offset + head <= size:
        length, checksum = _unpack_head(data, offset)
        end = offset + head + length
        payload = view[offset + head : end]
        if end > size or _crc32(payload) != checksum:
            return
        try:
            frame = _decode(payload)
        except msgspec.MsgspecError:  # whole, and nothing we know: what follows is none the worse
            offset = end
            continue
        yield frame, end
        offset = end


def erased(length: int) -> bytes:
    """A frame of exactly `length` bytes that holds nothing; `length` is that of a real frame."""
    # The head of a MessagePack string grows with it, so there is a length that one filling misses.
    room = length - len(framed(Erased(b"")))
    for filling in range(room, max(room - 8, -1), -1):
        for more in range(4):
            frame = framed(Erased(bytes(filling), bytes(more)))
            if len(frame) == length:
                return frame
    raise ValueError(f"no frame is {length} bytes long")


HEAD = struct.Struct("<II")
"""Length and CRC-32 of the payload behind it."""
_head, _unpack_head, _crc32 = HEAD.pack, HEAD.unpack_from, zlib.crc32
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Frame).decode

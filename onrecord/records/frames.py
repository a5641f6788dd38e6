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

A damaged frame is passed over where the next one is certain: where its own length says that it
begins, or else where a call's frame begins whose checksum is right and whose id holds the 40 random
bits of the process that wrote the segment. Text in a body that looks like a frame is not taken for
one: whoever wrote it would have to know these bits.
"""

from __future__ import annotations

import functools
import re
import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from onrecord.messages import Usage
from onrecord.records.record import Kind, Record, State, question_key, simplified, unpacked

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


def sound(frame: Frame) -> Frame:
    """The frame with whole characters only: half a surrogate pair, of which file names may hold
    some, has no bytes."""
    return msgspec.structs.replace(
        frame,
        **{
            name: simplified(value)
            for name, value in msgspec.structs.asdict(frame).items()
            if isinstance(value, str)
        },
    )


def framed(frame: Frame) -> bytes:
    """The bytes of one frame."""
    payload = _encode(frame)
    return _head(len(payload), _crc32(payload)) + payload


class Gap(NamedTuple):
    """The bytes from `begin` up to `end`, which hold no frame; behind them is one."""

    begin: int
    end: int


def read_frames(data: bytes, offset: int, writer: str = "") -> Iterator[tuple[Frame | Gap, int]]:
    """The whole frames from `offset` on, each with the offset behind it.

    `writer`: who wrote the segment, by its name; without it, less is found behind damage. Damaged
    frames come as a Gap. What is left behind the last frame comes not at all: it was torn, or is
    damaged, or is still being written. A whole frame of a kind that is not known is passed over.
    """
    size, head, view = len(data), HEAD.size, memoryview(data)
    while offset + head <= size:
        length, checksum = _unpack_head(data, offset)
        end = offset + head + length
        payload = view[offset + head : end]
        if end > size or _crc32(payload) != checksum or not length:
            if (found := _next_frame(data, offset, writer)) is None:
                return
            yield Gap(offset, found), found
            offset = found
            continue
        try:
            frame = _decode(payload)
        except msgspec.MsgspecError:  # whole, and nothing we know: what follows is none the worse
            offset = end
            continue
        except RecursionError:  # it was packed with fewer calls around it than there are here
            frame = Lost(1)
        yield frame, end
        offset = end


def is_torn(data: bytes, offset: int) -> bool:
    """Whether what is left from `offset` on is one frame that was cut off, or never written.

    Else it is damaged. After a power cut, a file may end in zeros that nobody wrote.
    """
    rest = data[offset:]
    if len(rest) <= HEAD.size or not any(rest):
        return True
    length, _ = _unpack_head(rest)
    if HEAD.size + length <= len(rest):
        return False
    return len(rest) < HEAD.size + _TOLD or _BEGINNING.match(rest, HEAD.size) is not None


def version_of(beginning: bytes) -> int | None:
    """The version of the journal that begins like this; None for something else."""
    found = _VERSION.match(beginning)
    return None if found is None else int(found[1])


def _next_frame(data: bytes, damaged: int, writer: str) -> int | None:
    """Where the first frame begins behind the one at `damaged` that cannot be read."""
    length: int = _unpack_head(data, damaged)[0]
    behind = damaged + HEAD.size + length
    if length and _is_frame(data, behind):
        return behind
    if _WRITER.fullmatch(writer) is None:
        return None
    for found in _calls_of(writer[12:22]).finditer(data, damaged + HEAD.size + 1):
        for array in (1, 3):  # bytes that the beginning of an array takes, short or long
            begin = found.start() - array - HEAD.size
            if begin > damaged and _is_frame(data, begin):
                return begin
    return None


def _is_frame(data: bytes, offset: int) -> bool:
    if offset + HEAD.size > len(data):
        return False
    length, checksum = _unpack_head(data, offset)
    payload = memoryview(data)[offset + HEAD.size : offset + HEAD.size + length]
    if len(payload) != length or _crc32(payload) != checksum:
        return False
    try:
        _decode(payload)
    except msgspec.MsgspecError:
        return False
    return True


@functools.lru_cache(maxsize=8)
def _calls_of(process: str) -> re.Pattern[bytes]:
    """What stands in the payloads that tell of calls of a process: a tag, an id."""
    return re.compile(
        rb"(?:\xa5start|\xa3end)\xd9\x20[0-9a-f]{12}" + process.encode() + rb"[0-9a-f]{10}"
    )


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
_BEGINNING = re.compile(
    rb"(?:[\x90-\x9f]|\xdc..)[\xa3-\xa6](?:start|end|source|lost|erased)", re.DOTALL
)
_TOLD = 8  # bytes of a payload that say what it is: an array, a text of up to six characters
_WRITER = re.compile("[0-9a-f]{32}")
_VERSION: re.Pattern[bytes] = re.compile(rb"onrecord journal (\d{1,9})\n")


def joined(start: Start, end: End | None) -> Record:
    """The record of a call from its two frames; without an end the call is still open."""
    record = Record(
        id=start.id,
        run=start.run,
        parent=start.parent,
        kind=start.kind,
        name=start.name,
        input=unpacked(bytes(start.input)),
        key=key_of(start),
        started_ns=start.started_ns,
        release=start.release,
        session=start.session,
        user=start.user,
        tags=start.tags,
        tenant=start.tenant,
        version=start.version,
    )
    if end is None:
        return record
    return msgspec.structs.replace(
        record,
        output=unpacked(bytes(end.output)),
        error=end.error,
        ended_ns=end.ended_ns,
        usage=end.usage or Usage(),
        cost=end.cost,
        state=end.state,
        source=end.source,
        redacted=end.redacted,
    )

"""The journal: what this process did, written before control returns.

Each process appends to a segment of its own in `.onrecord/journal/`. A segment is a magic line and
then frames; a frame is its payload's length and CRC-32 (both little-endian, 4 bytes), then the
payload: a MessagePack array whose first item says what it is.

    start   written when a call starts
    end     written when it ends, and refers to the start by id

A plain `write` puts a frame into the operating system's cache before it returns, so `kill -9` loses
nothing that ended. A power cut can: there is no fsync. A writer holds a lock on its segment for as
long as it lives; a reader that gets the lock knows that the writer is gone.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import struct
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from onrecord.messages import Usage
from onrecord.records.record import Kind, new_id, plain, simplified


class Start(msgspec.Struct, frozen=True, tag="start", array_like=True):
    """A call started. The fields are those of Record."""

    id: str
    run: str
    parent: str | None
    kind: Kind
    name: str
    key: str
    started_ns: int
    input: Any
    release: str | None = None
    session: str | None = None
    user: str | None = None
    tags: tuple[str, ...] = ()


class End(msgspec.Struct, frozen=True, tag="end", array_like=True):
    """The call `id` ended. The fields are those of Record."""

    id: str
    ended_ns: int
    output: Any
    error: str | None
    usage: Usage
    cost: int | None


Frame = Start | End


class Journal:
    """The writing end: one a process and home. Safe to use from any thread.

    A journal that cannot be written (read-only or full disk) never fails the call it records: it
    says so once in the log and counts what it had to drop in `dropped`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.dropped = 0
        self._lock = threading.Lock()
        self._file: int | None = None
        self._size = 0
        os.register_at_fork(after_in_child=self._begin_anew)

    def append(self, frame: Frame) -> None:
        """Write one frame; it is in the operating system's hands when this returns."""
        data = _framed(_encoded(frame))
        with self._lock:
            try:
                self._write(data)
            except OSError as error:
                self._drop(error)

    def close(self) -> None:
        """End this process's segment; the next `append` starts another."""
        with self._lock:
            if self._file is not None:
                os.close(self._file)
                self._file = None

    def _begin_anew(self) -> None:
        # A child shares its parent's file and the lock on it: keeping it open would make a dead
        # parent look alive, and writing to it would break "one writer a segment".
        self._lock = threading.Lock()
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _write(self, data: bytes) -> None:
        if self._file is None:
            self._file, self._size = _open_segment(self.folder), len(MAGIC)
        if os.write(self._file, data) != len(data):  # a full disk may take only the beginning
            os.ftruncate(self._file, self._size)
            raise OSError(errno.ENOSPC, "No space left on device")
        self._size += len(data)

    def _drop(self, error: OSError) -> None:
        self.dropped += 1
        if self.dropped == 1:
            _log.warning(
                "records are not being kept: %s (%s). Calls go on without a record.",
                error.strerror or error,
                self.folder,
            )


def segments(folder: Path) -> list[Path]:
    """The segments of a journal folder, oldest first."""
    return sorted(folder.glob("*.journal"))


def read_frames(data: bytes, offset: int) -> Iterator[tuple[Frame, int]]:
    """The whole frames from `offset` on, each with the offset behind it.

    Ends before the first frame that is cut off or does not match its checksum: behind a torn frame
    nothing can be trusted.
    """
    while offset + _HEAD.size <= len(data):
        length, checksum = _HEAD.unpack_from(data, offset)
        end = offset + _HEAD.size + length
        payload = data[offset + _HEAD.size : end]
        if len(payload) < length or zlib.crc32(payload) != checksum:
            return
        try:
            frame = _DECODER.decode(payload)
        except msgspec.MsgspecError:
            return
        yield frame, end
        offset = end


def writer_is_gone(path: Path) -> bool:
    """Whether the process that wrote this segment has ended."""
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True


MAGIC = b"onrecord journal 1\n"

_HEAD = struct.Struct("<II")
_DECODER: msgspec.msgpack.Decoder[Frame] = msgspec.msgpack.Decoder(Start | End)
_encode = msgspec.msgpack.Encoder(enc_hook=plain).encode
_log = logging.getLogger("onrecord")


def _encoded(frame: Frame) -> bytes:
    try:
        return _encode(frame)
    except Exception:  # a value that MessagePack cannot hold must not fail the call it was part of
        part = "input" if isinstance(frame, Start) else "output"
        return _encode(msgspec.structs.replace(frame, **{part: simplified(getattr(frame, part))}))


def _framed(payload: bytes) -> bytes:
    return _HEAD.pack(len(payload), zlib.crc32(payload)) + payload


def _open_segment(folder: Path) -> int:
    folder.mkdir(parents=True, exist_ok=True)
    # The name appears only with the lock held: a reader must never take a segment that is just
    # being born for one whose writer is gone.
    name = f"{new_id()}.journal"
    being_born = folder / f".{name}"
    file = os.open(being_born, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        if os.write(file, MAGIC) != len(MAGIC):
            raise OSError(errno.ENOSPC, "No space left on device")
        being_born.rename(folder / name)
    except OSError:
        os.close(file)
        being_born.unlink(missing_ok=True)
        raise
    return file

"""The journal: what this process did, written before control returns.

Each process appends to segments of its own in `.onrecord/journal/`, called
`WRITER.NUMBER.journal`; `frames.py` has their format. A plain `write` puts a frame into the
operating system's cache before it returns, so `kill -9` loses nothing that ended. A power cut can,
unless `fsync` is set: then every frame waits for the disk.

A writer holds a lock on its last segment for as long as it lives; a reader that gets the lock of a
writer's last segment knows that the writer is gone. When a segment is full, the next one is
begun before the lock on the full one is let go.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import re
import threading
import time
import zlib
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import msgspec

from onrecord.records.frames import HEAD, MAGIC, End, Frame, Lost, Start, framed, sound
from onrecord.records.record import new_id
from onrecord.records.whole_file import sync_folder
from onrecord.settings import make_home


class Journal:
    """The writing end: one a process and home. Safe to use from any thread.

    A journal that cannot be written (full or read-only disk, or `room` bytes taken up by all
    segments together) never fails the call it records: it counts in `lost` the calls that have no
    record, or an unfinished one. The log is told once when that begins, and once when no call was
    lost for a while: on a disk that is nearly full, frames of some calls still find room.
    """

    def __init__(self, folder: Path, *, room: int = 1 << 30, fsync: bool = False) -> None:
        self.folder = folder
        self.lost = 0
        self._room = room
        self.fsync = fsync
        # A signal's handler that makes a call may interrupt its own thread in here.
        self._lock = threading.RLock()
        self._writer, self._number = new_id(), 0
        self._writing = False
        self._held_back: list[tuple[bytes, Frame]] = []  # what came meanwhile is written behind it
        self._file: int | None = None
        self._size = 0  # of the segment
        self._look_at = 0  # the size at which to look again how much the folder takes up
        self._untold = 0  # lost calls that no frame tells of yet
        self._bad_time = 0  # lost calls since the log was told that some are
        self._lost_at = 0.0  # when the last one was
        self._wait_until = 0.0  # no attempt before, after one has failed
        os.register_at_fork(after_in_child=self._begin_anew)

    def append(self, frame: Frame) -> bool:
        """Write one frame; it is in the operating system's hands when this returns True.

        False: it could not be written, and the call that it is part of, if it is part of one, is
        counted as lost.
        """
        try:
            payload = _encode(frame)  # as `framed` does: every call waits for this
        except UnicodeEncodeError:  # half a surrogate pair in a name or an error's message
            payload = _encode(sound(frame))
        data = _head(len(payload), _crc32(payload)) + payload
        with self._lock:
            if self._writing:  # this is a signal's handler, and has interrupted its own thread
                self._held_back.append((data, frame))
                return True
            self._writing = True
            try:
                written = self._write(data, frame)
                while self._held_back:
                    self._write(*self._held_back.pop(0))
            finally:
                self._writing = False
        return written

    def _write(self, data: bytes, frame: Frame) -> bool:
        length = len(data)
        try:
            if self._size + length > self._look_at:
                self._prepare(length)
            if os.write(self._file, data) != length:  # type: ignore[arg-type]  # prepared
                self._cut_off()
            self._size += length
            if self.fsync:
                os.fsync(self._file)  # type: ignore[arg-type]  # as above
        except OSError as error:
            self._lose(error, isinstance(frame, Start | End))
            return False
        return True

    def close(self) -> None:
        """End this process's segments; the next `append` begins another."""
        with self._lock:
            while self._held_back:
                self._write(*self._held_back.pop(0))
            if self._untold:
                self._wait_until = 0.0  # the last chance to say so
                with suppress(OSError):
                    self._prepare(0)
            if self._bad_time:
                _log.warning("%d calls have no record (%s)", self._bad_time, self.folder)
                self._bad_time = 0
            self._let_go()

    def _begin_anew(self) -> None:
        # A child shares its parent's file and the lock on it: keeping it open would make a dead
        # parent look alive, and writing to it would break "one writer a segment".
        self._lock = threading.RLock()
        self._writing = False
        self._held_back.clear()
        self._let_go()
        self.lost = self._untold = self._bad_time = 0

    def _let_go(self) -> None:
        if self._file is not None:
            os.close(self._file)
        self._file, self._size, self._look_at = None, 0, 0
        self._writer, self._number = new_id(), 0

    def _prepare(self, size: int) -> None:
        """Make sure that `size` bytes may be written: room, and a segment that is not full."""
        if time.monotonic() < self._wait_until:
            raise _NO_ROOM
        left = self._room - sum(each.size for each in segments(self.folder))
        if size + _SPARE > left:
            raise _NO_ROOM
        full = min(_SEGMENT, self._room // 4)
        gone = self._file is not None and os.fstat(self._file).st_nlink == 0  # deleted by hand
        if self._file is None or gone or self._size + size > full:
            self._begin_segment()
        step = min(_SOON if self._bad_time else _STEP, self._room // 16, left - size - _SPARE)
        self._look_at = max(min(self._size + size + step, full), self._size + size)
        if self._untold:
            assert self._file is not None
            told = framed(Lost(self._untold))
            if os.write(self._file, told) != len(told):
                self._cut_off()
            self._size += len(told)
            self._untold = 0
        if self._bad_time and time.monotonic() - self._lost_at > _CALM:
            _log.warning(
                "records are kept again; %d call%s (%s)",
                self._bad_time,
                " has none" if self._bad_time == 1 else "s have none",
                self.folder,
            )
            self._bad_time = 0

    def _begin_segment(self) -> None:
        full = self._file
        self._number += 1
        self._file = _open_segment(self.folder, f"{self._writer}.{self._number:06}", self.fsync)
        self._size = len(MAGIC)
        if full is not None:
            os.close(full)

    def _cut_off(self) -> None:
        """A full disk may take only the beginning of a frame."""
        assert self._file is not None
        os.ftruncate(self._file, self._size)
        raise OSError(errno.ENOSPC, "No space left on device")

    def _lose(self, error: OSError, call: bool) -> None:
        self.lost += call
        self._untold += call
        self._bad_time += call
        self._look_at = 0
        self._lost_at = time.monotonic()
        if self._lost_at >= self._wait_until:
            self._wait_until = self._lost_at + _PAUSE
        if call and self._bad_time == 1:
            _log.warning(
                "records are not being kept: %s (%s). Calls go on without a record.",
                error.strerror or error,
                self.folder,
            )


class Segment(NamedTuple):
    """A segment's file. `writer` and `number` order those of one process."""

    path: Path
    writer: str
    number: int
    size: int


def segments(folder: Path) -> list[Segment]:
    """The segments of a journal folder, oldest writer first."""
    found = []
    with suppress(FileNotFoundError), os.scandir(folder) as entries:
        for entry in entries:
            if (named := _NAME.fullmatch(entry.name)) is not None:
                with suppress(FileNotFoundError):  # it has just been folded
                    size = entry.stat().st_size
                    found.append(Segment(Path(entry.path), named[1], int(named[2] or 0), size))
    return sorted(found, key=lambda each: (each.writer, each.number))


def is_being_written(path: Path) -> bool:
    """Whether a living process may still append to this segment."""
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return True
        return False


_NAME = re.compile(r"([^.]+)(?:\.([0-9]{1,12}))?\.journal")
_encode = msgspec.msgpack.Encoder().encode
_head, _crc32 = HEAD.pack, zlib.crc32
_SEGMENT = 8 << 20
_STEP = 1 << 20
_SPARE = 100  # for a magic line, and a frame that says what was lost
_PAUSE = 0.25
_CALM = 60.0  # seconds without a loss, before it is said that records are kept again
_SOON = 1 << 14  # what may be written until that is looked at
_NO_ROOM = OSError(errno.ENOSPC, "the journal has taken up the room it may (setting journal_mb)")
_log = logging.getLogger("onrecord")


def _open_segment(folder: Path, name: str, fsync: bool) -> int:
    make_home(folder.parent)
    folder.mkdir(exist_ok=True)
    # The name appears only with the lock held: a reader must never take a segment that is just
    # being born for one whose writer is gone.
    being_born = folder / f".{name}.journal"
    file = os.open(being_born, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        if os.write(file, MAGIC) != len(MAGIC):
            raise OSError(errno.ENOSPC, "No space left on device")
        being_born.rename(folder / f"{name}.journal")
        if fsync:
            sync_folder(folder)
    except OSError:
        os.close(file)
        being_born.unlink(missing_ok=True)
        raise
    return file

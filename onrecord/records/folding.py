"""Folding: from the journal's segments into the store's tables, each record exactly once.

    segment -> frames -> rows -> one transaction with the position up to which it was read

Taking in a frame twice changes nothing, and position and rows are committed together. One process
folds at a time (a lock beside the segments). A segment whose writer has gone on or is gone is put
aside when it is in: from those the store is rebuilt should its file ever break, and the oldest
make room. Calls that a writer left open when it went become *interrupted*.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import sqlalchemy as sa

from onrecord.messages import Usage
from onrecord.records.database import insert, insert_new, is_postgresql
from onrecord.records.frames import (
    MAGIC,
    READABLE,
    End,
    Frame,
    Lost,
    Source,
    Start,
    key_of,
    read_frames,
)
from onrecord.records.journal import Segment, is_being_written, segments
from onrecord.records.record import Record, pack
from onrecord.records.schema import (
    BODY,
    BODY_USE,
    INLINE,
    LOSS,
    RECORD,
    REFERENCE,
    SEGMENT,
    SOURCE,
    TAG,
)


class Folding:
    """Folds the segments of one journal folder. `room`: bytes that folded segments may take."""

    def __init__(self, engine: sa.Engine, journal: Path, room: int) -> None:
        self._engine = engine
        self._journal = journal
        self._room = room

    def fold(self, *, wait: bool = True, stopped: Callable[[], bool] = lambda: False) -> int:
        """Take in what the segments hold and the store does not yet; how many frames.

        `wait`: for another process that folds just now; else that is left to it.
        """
        if not segments(self._journal):
            return 0
        with folding_lock(self._journal, wait=wait) as held:
            if not held:
                return 0
            frames = 0
            found = segments(self._journal)
            for at, segment in enumerate(found):
                if stopped():
                    break
                last = at + 1 == len(found) or found[at + 1].writer != segment.writer
                with contextlib.suppress(FileNotFoundError):  # erased by hand
                    frames += self._segment(segment, last, stopped)
            if frames > _MANY and not is_postgresql(self._engine):
                with self._engine.begin() as connection:  # or its plans are guesses
                    connection.exec_driver_sql("ANALYZE")
            return frames

    def _segment(self, segment: Segment, last: bool, stopped: Callable[[], bool]) -> int:
        # Asked before reading: a writer that ends in between is taken to be alive, and its
        # segment is finished by the next fold.
        writing = last and is_being_written(segment.path)
        if last and not writing:
            # It may have gone on to a segment that was not there when we looked.
            last = segments_of(self._journal, segment.writer)[-1].number == segment.number
        frames, finished = self._take_in(segment, writing, stopped)
        if writing or not finished:
            return frames
        if last:
            with self._engine.begin() as connection:
                _interrupt(connection, segment.writer)
        self._put_aside(segment)
        return frames

    def _take_in(
        self, segment: Segment, writing: bool, stopped: Callable[[], bool]
    ) -> tuple[int, bool]:
        """How many frames were taken in, and whether that is all there is."""
        with self._engine.connect() as connection:
            begin = _position(connection, segment.path.name)
            connection.rollback()
        with segment.path.open("rb") as file:
            magic = file.read(len(MAGIC))
            if magic not in READABLE:
                return 0, self._unreadable(segment, magic)
            begin = begin or len(MAGIC)
            file.seek(begin)
            data = file.read()
        frames = 0
        reader, position = read_frames(data, 0), 0
        while batch := _batch(reader):
            if stopped():
                return frames, False
            position = batch[-1][1]
            with self._engine.begin() as connection:
                take_in(connection, [frame for frame, _ in batch], segment.writer)
                _remember(connection, segment.path.name, begin + position)
            frames += len(batch)
        if (torn := len(data) - position) and not writing:
            self._torn(segment, torn)
        return frames, True

    def _unreadable(self, segment: Segment, magic: bytes) -> bool:
        if magic.startswith(b"onrecord journal") and magic.endswith(b"\n"):
            _log.warning(
                "a newer Onrecord wrote %s; its records stay there until this one is upgraded",
                segment.path,
            )
            return False
        self._torn(segment, segment.size)
        return True

    def _torn(self, segment: Segment, size: int) -> None:
        """Count bytes that no frame can be read from."""
        _log.warning("%d bytes at the end of %s are torn and passed over", size, segment.path)
        with self._engine.begin() as connection:
            _lose(connection, segment.writer, torn=size)

    def _put_aside(self, segment: Segment) -> None:
        folded = self._journal / "folded"
        folded.mkdir(exist_ok=True)
        segment.path.rename(folded / segment.path.name)
        with self._engine.begin() as connection:
            connection.execute(sa.delete(SEGMENT).where(SEGMENT.c.name == segment.path.name))
        kept = segments(folded)
        taken = sum(each.size for each in kept)
        while kept and taken > self._room:
            oldest = kept.pop(0)
            oldest.path.unlink(missing_ok=True)
            taken -= oldest.size


def segments_of(journal: Path, writer: str) -> list[Segment]:
    """The segments of one writer, oldest first."""
    return [each for each in segments(journal) if each.writer == writer]


@contextlib.contextmanager
def folding_lock(journal: Path, *, wait: bool) -> Iterator[bool]:
    """Whether this is the process that may fold now; waits for the one that does, if asked to."""
    journal.mkdir(parents=True, exist_ok=True)
    file = os.open(journal / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        held = _lock(file, wait)
        try:
            yield held
        finally:
            if held:  # said aloud: a forked child that shares this file must not keep it locked
                fcntl.flock(file, fcntl.LOCK_UN)
    finally:
        os.close(file)


def take_in(connection: sa.Connection, frames: Iterable[Frame], writer: str) -> None:
    """Bring frames into the tables. A call that starts and ends among them is one row."""
    rows: dict[str, Row] = {}
    later: list[End] = []  # of calls that started in an earlier batch
    bodies = Bodies()
    for frame in frames:
        if isinstance(frame, Start):
            rows[frame.id] = _started(frame, writer, bodies)
        elif isinstance(frame, End):
            if (row := rows.get(frame.id)) is not None:
                row.update(_ended(frame, bodies))
            else:
                later.append(frame)
        elif isinstance(frame, Source):
            source = {"version": frame.version, "text": frame.text}
            connection.execute(insert(connection, SOURCE).on_conflict_do_nothing(), source)
        elif isinstance(frame, Lost):
            _lose(connection, writer, calls=frame.calls)
    put(connection, list(rows.values()))
    if later:
        known = _known(connection, [end.id for end in later])  # the others have been erased
        ends = [{"ended": end.id, **_ended(end, bodies)} for end in later if end.id in known]
        if ends:
            connection.execute(_END, _storable(connection, ends))
    bodies.write(connection)


def put(connection: sa.Connection, rows: list[Row]) -> None:
    """Write the rows of records, and their tags; those that are there already stay as they are."""
    if not rows:
        return
    rows = _storable(connection, rows)
    insert_new(connection, RECORD, rows)
    tags = [
        {"tag": tag, "record": row["id"]}
        for row in rows
        if row["tags"] is not None
        for tag in msgspec.msgpack.decode(row["tags"])
    ]
    if tags:
        tags = _storable(connection, tags)
        connection.execute(insert(connection, TAG).on_conflict_do_nothing(), tags)


class Bodies:
    """The long inputs and outputs of a batch: each once, and who uses them."""

    def __init__(self) -> None:
        self._contents: dict[bytes, bytes] = {}
        self._uses: list[Row] = []

    def kept(self, packed: bytes, record: str) -> bytes:
        """What the record's row holds of a packed body."""
        if len(packed) <= INLINE:
            return packed
        hash = hashlib.blake2b(packed, digest_size=16).digest()
        self._contents[hash] = packed
        self._uses.append({"hash": hash, "record": record})
        return REFERENCE + hash

    def write(self, connection: sa.Connection) -> None:
        """Write them."""
        if self._contents:
            contents = [{"hash": each, "content": body} for each, body in self._contents.items()]
            insert_new(connection, BODY, contents)
            insert_new(connection, BODY_USE, self._uses)


def row_of(record: Record, bodies: Bodies) -> Row:
    """The row of a record that was made elsewhere."""
    state = "interrupted" if record.state == "open" else record.state
    start = Start(
        id=record.id,
        run=record.run,
        parent=record.parent,
        kind=record.kind,
        name=record.name,
        key=record.key,
        started_ns=record.started_ns,
        input=msgspec.Raw(pack(record.input)),
        release=record.release,
        session=record.session,
        user=record.user,
        tags=record.tags,
        tenant=record.tenant,
        version=record.version,
    )
    end = End(
        id=record.id,
        ended_ns=record.ended_ns,
        output=msgspec.Raw(pack(record.output)),
        error=record.error,
        usage=record.usage,
        cost=record.cost,
        state=state,
        source=record.source,
        redacted=record.redacted,
    )
    return _started(start, "", bodies) | _ended(end, bodies)


Row = dict[str, Any]

_BATCH = 10_000
_BATCH_BYTES = 16_000_000
_MANY = 5000
_NOTHING_USED = Usage()
_MOST_TOKENS = 10**12
_pack = msgspec.msgpack.Encoder().encode
_END = (
    sa.update(RECORD)
    .where(RECORD.c.id == sa.bindparam("ended"))
    .values(
        {
            name: sa.bindparam(name)
            for name in (
                "ended_ns",
                "output",
                "error",
                "input_tokens",
                "output_tokens",
                "cached_tokens",
                "reasoning_tokens",
                "usage",
                "cost",
                "state",
                "source",
                "redacted",
            )
        }
    )
)
_log = logging.getLogger("onrecord")


def _batch(reader: Iterator[tuple[Frame, int]]) -> list[tuple[Frame, int]]:
    """The next frames, few enough that nobody waits long for their transaction."""
    batch: list[tuple[Frame, int]] = []
    for each in reader:
        batch.append(each)
        if len(batch) == _BATCH or each[1] - batch[0][1] > _BATCH_BYTES:
            break
    return batch


def _started(frame: Start, writer: str, bodies: Bodies) -> Row:
    return {
        "id": frame.id,
        "run": frame.run,
        "parent": frame.parent,
        "kind": frame.kind,
        "name": frame.name,
        "version": frame.version,
        "key": key_of(frame),
        "state": "open",
        "input": bodies.kept(bytes(frame.input), frame.id),
        "output": None,
        "error": None,
        "started_ns": frame.started_ns,
        "ended_ns": 0,
        "input_tokens": 0,
        "output_tokens": 0,
        "cached_tokens": 0,
        "reasoning_tokens": 0,
        "usage": None,
        "cost": 0,
        "release": frame.release,
        "session": frame.session,
        "user": frame.user,
        "tenant": frame.tenant,
        "tags": _pack(frame.tags) if frame.tags else None,
        "source": None,
        "redacted": False,
        "writer": writer,
    }


def _ended(frame: End, bodies: Bodies) -> Row:
    usage = frame.usage or _NOTHING_USED
    if max(msgspec.structs.astuple(usage)) > _MOST_TOKENS:  # nobody counted these
        usage = _NOTHING_USED
    return {
        "ended_ns": frame.ended_ns,
        "output": bodies.kept(bytes(frame.output), frame.id),
        "error": frame.error,
        "input_tokens": usage.input,
        "output_tokens": usage.output,
        "cached_tokens": usage.cached,
        "reasoning_tokens": usage.reasoning,
        "usage": _pack(usage) if usage != _NOTHING_USED else None,
        "cost": frame.cost,
        # Older journals know no state: there an error said that a call had failed.
        "state": "failed" if frame.error is not None and frame.state == "done" else frame.state,
        "source": frame.source,
        "redacted": frame.redacted,
    }


def _storable(connection: sa.Connection, rows: list[Row]) -> list[Row]:
    """PostgreSQL's texts hold every character but one."""
    if is_postgresql(connection):
        for row in rows:
            for name, value in row.items():
                if isinstance(value, str) and "\0" in value:
                    row[name] = value.replace("\0", "\ufffd")
    return rows


def _known(connection: sa.Connection, ids: list[str]) -> set[str]:
    found: set[str] = set()
    for at in range(0, len(ids), 500):  # SQLite bounds the number of variables
        query = sa.select(RECORD.c.id).where(RECORD.c.id.in_(ids[at : at + 500]))
        found.update(connection.scalars(query))
    return found


def _interrupt(connection: sa.Connection, writer: str) -> None:
    connection.execute(
        sa.update(RECORD)
        .where(RECORD.c.writer == writer, RECORD.c.state == "open")
        .values(state="interrupted")
    )


def _position(connection: sa.Connection, segment: str) -> int | None:
    position = connection.scalar(sa.select(SEGMENT.c.position).where(SEGMENT.c.name == segment))
    return None if position is None else int(position)


def _remember(connection: sa.Connection, segment: str, position: int) -> None:
    row = insert(connection, SEGMENT).values(name=segment, position=position)
    connection.execute(
        row.on_conflict_do_update(index_elements=["name"], set_={"position": position})
    )


def _lose(connection: sa.Connection, writer: str, *, calls: int = 0, torn: int = 0) -> None:
    row = insert(connection, LOSS).values(writer=writer, calls=calls, bytes=torn)
    more = {"calls": LOSS.c.calls + calls, "bytes": LOSS.c.bytes + torn}
    connection.execute(row.on_conflict_do_update(index_elements=["writer"], set_=more))


def _lock(file: int, wait: bool) -> bool:
    until = time.monotonic() + _LONGEST_WAIT
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            if not wait or time.monotonic() > until:
                return False
            time.sleep(0.02)
        else:
            return True


_LONGEST_WAIT = 60.0

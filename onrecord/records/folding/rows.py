"""Filing: frames become rows of the store's tables.

A call that starts and ends in one batch is one row, written once. Bodies that are long are kept
once, with who uses them. Taking in a frame twice changes nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

import msgspec
import sqlalchemy as sa

from onrecord.messages import Usage
from onrecord.records.database.engine import insert, insert_new, is_postgresql
from onrecord.records.database.schema import BODY, BODY_USE, INLINE, RECORD, REFERENCE, SOURCE, TAG
from onrecord.records.folding import losses, skew
from onrecord.records.frames import End, Frame, Lost, Source, Start, key_of
from onrecord.records.record import Record, pack


def take_in(connection: sa.Connection, frames: Iterable[Frame], writer: str) -> None:
    """Bring frames into the tables. A call that starts and ends among them is one row.

    Rows are written in the order of their keys: of two machines that write the same ones, neither
    then waits for the other while that waits for it.
    """
    rows: dict[str, Row] = {}
    sources: dict[str, Row] = {}
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
            sources.setdefault(frame.version, {"version": frame.version, "text": frame.text})
        elif isinstance(frame, Lost):
            losses.lose(connection, writer, calls=frame.calls)
    insert_new(connection, SOURCE, _storable(connection, _in_order(sources)))
    put(connection, _in_order(rows))
    if later:
        there = known(connection, [end.id for end in later])  # the others have been erased
        ends = [{"ended": end.id, **_ended(end, bodies)} for end in later if end.id in there]
        if ends:
            connection.execute(_END, _storable(connection, ends))
    bodies.write(connection)


def put(connection: sa.Connection, rows: list[Row]) -> None:
    """Write the rows of records, and their tags; those that are there already stay as they are."""
    if not rows:
        return
    rows = _storable(connection, rows)
    insert_new(connection, RECORD, rows)
    skew.note(connection, [(row["id"], row["started_ns"]) for row in rows])
    tags = {
        (tag, row["id"]): {"tag": tag, "record": row["id"]}
        for row in rows
        if row["tags"] is not None
        for tag in msgspec.msgpack.decode(row["tags"])
    }
    if tags:
        ordered = _storable(connection, _in_order(tags))
        connection.execute(insert(connection, TAG).on_conflict_do_nothing(), ordered)


def known(connection: sa.Connection, ids: list[str]) -> set[str]:
    """Those of these ids that have a record."""
    found: set[str] = set()
    for at in range(0, len(ids), 500):  # SQLite bounds the number of variables
        query = sa.select(RECORD.c.id).where(RECORD.c.id.in_(ids[at : at + 500]))
        found.update(connection.scalars(query))
    return found


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
            contents = [
                {"hash": hash, "content": body} for hash, body in sorted(self._contents.items())
            ]
            insert_new(connection, BODY, contents)
            uses = sorted(self._uses, key=lambda use: (use["hash"], use["record"]))
            insert_new(connection, BODY_USE, uses)


def row_of(record: Record, bodies: Bodies) -> Row:
    """The row of a record that was made elsewhere."""
    state = "interrupted" if record.state == "open" else record.state
    # Traces of others may have circles; what is its own run or parent has nobody above it.
    outermost = record.id in (record.run, record.parent)
    start = Start(
        id=record.id,
        run=record.run,
        parent=None if outermost else record.parent,
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


def _in_order(rows: dict[Any, Row]) -> list[Row]:
    return [rows[key] for key in sorted(rows)]


def _storable(connection: sa.Connection, rows: list[Row]) -> list[Row]:
    """PostgreSQL's texts hold every character but one."""
    if is_postgresql(connection):
        for row in rows:
            for name, value in row.items():
                if isinstance(value, str) and "\0" in value:
                    row[name] = value.replace("\0", "\ufffd")
    return rows

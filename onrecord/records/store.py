"""The store: every record of a project, in one queryable place.

Segments of the journal are folded into it, each record exactly once: the rows of a fold and the
offset up to which the segment was read are committed in one transaction, and taking in a frame
twice changes nothing. A segment whose writer is gone is removed after its last frame is in; calls
that it left open become *interrupted*.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects.sqlite import insert

from onrecord.errors import NewerVersionError, StorageError, UnknownNameError
from onrecord.messages import Usage
from onrecord.records.journal import MAGIC, End, Start, read_frames, segments, writer_is_gone
from onrecord.records.record import Record, content_key, plain


class Store:
    """The records under one `.onrecord/` folder.

    Opening it folds what the journal holds; `fold()` again for what came since. Raises StorageError
    where the folder cannot be read or written.
    """

    def __init__(self, home: Path) -> None:
        self._journal = home / "journal"
        self._path = home / "records.db"
        self.torn = 0
        """Bytes at the end of segments that were cut off or damaged, and passed over."""
        try:
            home.mkdir(parents=True, exist_ok=True)
            self._engine = _engine(self._path)
            self._prepare()
            self.fold()
        except (sa.exc.DBAPIError, OSError) as error:
            raise _storage_error(error, self._path) from None

    def fold(self) -> int:
        """Take in what the journal's segments hold and the store does not yet; how many frames."""
        return sum(self._fold_segment(path) for path in segments(self._journal))

    def runs(self, limit: int = 20) -> list[Record]:
        """The outermost calls, newest first."""
        return self._records(
            sa.select(_RECORD).where(_RECORD.c.parent.is_(None)).order_by(_RECORD.c.id.desc()),
            limit,
        )

    def run(self, id: str) -> list[Record]:
        """Every record of the run that the call `id` belongs to, in the order they started.

        `id` may be shortened to any beginning that fits one record only. Raises UnknownNameError.
        """
        begins = _RECORD.c.id.startswith(id, autoescape=True)
        with self._engine.connect() as connection:
            found = connection.scalars(sa.select(_RECORD.c.run).where(begins).distinct().limit(2))
            runs = list(found)
        if len(runs) != 1:
            problem = "no record has" if not runs else "more than one run has"
            raise UnknownNameError(
                f"{problem} an id that begins with '{id}'",
                where=str(self._path),
                cure="`onrecord records` lists the runs and their ids.",
            )
        of_run = sa.select(_RECORD).where(_RECORD.c.run == runs[0]).order_by(_RECORD.c.id)
        return self._records(of_run)

    def close(self) -> None:
        """Let go of the database."""
        self._engine.dispose()

    def _prepare(self) -> None:
        with self._engine.begin() as connection:
            version = connection.exec_driver_sql("PRAGMA user_version").scalar_one()
            if version > _VERSION:
                raise NewerVersionError(
                    f"the records were written by a newer Onrecord (format {version}, "
                    f"this one knows {_VERSION})",
                    where=str(self._path),
                    cure="Upgrade with `pip install -U onrecord`.",
                )
            if version < _VERSION:
                _METADATA.create_all(connection)
                connection.exec_driver_sql(f"PRAGMA user_version = {_VERSION}")

    def _fold_segment(self, path: Path) -> int:
        try:
            # Asked before reading: a writer that ends in between is taken to be alive, and its
            # segment is finished by the next fold.
            gone = writer_is_gone(path)
            data = path.read_bytes()
        except FileNotFoundError:  # another process has just folded it
            return 0
        frames = 0
        with self._engine.begin() as connection:
            end = self._offset(connection, path.name)
            for frame, behind in read_frames(data, end):
                end = behind
                _take_in(connection, frame, path.name)
                frames += 1
            if gone:
                self.torn += len(data) - end
                _interrupt(connection, path.name)
            else:
                _remember(connection, path.name, end)
        if gone:
            path.unlink(missing_ok=True)
        return frames

    def _offset(self, connection: sa.Connection, segment: str) -> int:
        offset = connection.scalar(sa.select(_SEGMENT.c.offset).where(_SEGMENT.c.name == segment))
        return len(MAGIC) if offset is None else int(offset)

    def _records(self, query: sa.Select[Any], limit: int | None = None) -> list[Record]:
        try:
            with self._engine.connect() as connection:
                rows = connection.execute(query.limit(limit)).mappings().all()
                bodies = _bodies(connection, rows)
        except sa.exc.DBAPIError as error:
            raise _storage_error(error, self._path) from None
        return [_record(row, bodies) for row in rows]


_VERSION = 1
_METADATA = sa.MetaData()
_RECORD = sa.Table(
    "record",
    _METADATA,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("run", sa.String(32), nullable=False, index=True),
    sa.Column("parent", sa.String(32)),
    sa.Column("kind", sa.String, nullable=False),
    sa.Column("name", sa.String, nullable=False),
    sa.Column("state", sa.String, nullable=False),
    sa.Column("key", sa.String(32), nullable=False, index=True),
    sa.Column("input", sa.String(32), nullable=False),
    sa.Column("output", sa.String(32)),
    sa.Column("error", sa.String),
    sa.Column("started_ns", sa.BigInteger, nullable=False),
    sa.Column("ended_ns", sa.BigInteger, nullable=False),
    sa.Column("usage", sa.String, nullable=False),
    sa.Column("cost", sa.BigInteger),
    sa.Column("release", sa.String),
    sa.Column("session", sa.String),
    sa.Column("user", sa.String),
    sa.Column("tags", sa.String, nullable=False),
    sa.Column("segment", sa.String, nullable=False),
)
# Inputs and outputs, each kept once: `record.input` and `record.output` are hashes.
_BODY = sa.Table(
    "body",
    _METADATA,
    sa.Column("hash", sa.String(32), primary_key=True),
    sa.Column("json", sa.LargeBinary, nullable=False),
)
_SEGMENT = sa.Table(
    "segment",
    _METADATA,
    sa.Column("name", sa.String, primary_key=True),
    sa.Column("offset", sa.BigInteger, nullable=False),
)
sa.Index("record_roots", _RECORD.c.id, sqlite_where=_RECORD.c.parent.is_(None))


def _engine(path: Path) -> sa.Engine:
    engine = sa.create_engine(
        sa.URL.create("sqlite", database=str(path)), connect_args={"timeout": 30}
    )

    @sa.event.listens_for(engine, "connect")
    def _(connection: Any, record: Any) -> None:
        connection.isolation_level = None  # the driver's own BEGIN comes too late for a safe fold
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")

    @sa.event.listens_for(engine, "begin")
    def _(connection: sa.Connection) -> None:
        # Whoever reads in order to write must hold the write lock from the start: two folds of one
        # segment would otherwise both begin at its old offset.
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


def _take_in(connection: sa.Connection, frame: Start | End, segment: str) -> None:
    if isinstance(frame, End):
        connection.execute(
            sa.update(_RECORD)
            .where(_RECORD.c.id == frame.id)
            .values(
                output=_keep_body(connection, frame.output),
                error=frame.error,
                ended_ns=frame.ended_ns,
                usage=msgspec.json.encode(frame.usage).decode(),
                cost=frame.cost,
                state="done" if frame.error is None else "failed",
            )
        )
        return
    connection.execute(
        insert(_RECORD)
        .values(
            id=frame.id,
            run=frame.run,
            parent=frame.parent,
            kind=frame.kind,
            name=frame.name,
            state="open",
            key=frame.key,
            input=_keep_body(connection, frame.input),
            started_ns=frame.started_ns,
            ended_ns=0,
            usage="{}",
            cost=0,
            release=frame.release,
            session=frame.session,
            user=frame.user,
            tags=msgspec.json.encode(frame.tags).decode(),
            segment=segment,
        )
        .on_conflict_do_nothing()
    )


def _keep_body(connection: sa.Connection, value: Any) -> str:
    key = content_key(value)
    body = msgspec.json.encode(plain(value))
    connection.execute(insert(_BODY).values(hash=key, json=body).on_conflict_do_nothing())
    return key


def _interrupt(connection: sa.Connection, segment: str) -> None:
    connection.execute(
        sa.update(_RECORD)
        .where(_RECORD.c.segment == segment, _RECORD.c.state == "open")
        .values(state="interrupted")
    )
    connection.execute(sa.delete(_SEGMENT).where(_SEGMENT.c.name == segment))


def _remember(connection: sa.Connection, segment: str, offset: int) -> None:
    row = insert(_SEGMENT).values(name=segment, offset=offset)
    connection.execute(row.on_conflict_do_update(index_elements=["name"], set_={"offset": offset}))


def _bodies(connection: sa.Connection, rows: Sequence[Any]) -> dict[str, Any]:
    hashes = {row[column] for row in rows for column in ("input", "output")} - {None}
    query = sa.select(_BODY.c.hash, _BODY.c.json)
    found: dict[str, Any] = {}
    for some in _batches(sorted(hashes), 500):  # SQLite bounds the number of variables
        for hash, body in connection.execute(query.where(_BODY.c.hash.in_(some))):
            found[hash] = msgspec.json.decode(body)
    return found


def _batches(items: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def _record(row: Any, bodies: dict[str, Any]) -> Record:
    return Record(
        id=row["id"],
        run=row["run"],
        parent=row["parent"],
        kind=row["kind"],
        name=row["name"],
        input=bodies[row["input"]],
        key=row["key"],
        started_ns=row["started_ns"],
        output=bodies.get(row["output"]),
        error=row["error"],
        ended_ns=row["ended_ns"],
        usage=msgspec.json.decode(row["usage"], type=Usage),
        cost=row["cost"],
        state=row["state"],
        release=row["release"],
        session=row["session"],
        user=row["user"],
        tags=tuple(msgspec.json.decode(row["tags"])),
    )


def _storage_error(error: Exception, path: Path) -> StorageError:
    reason = getattr(error, "orig", None) or getattr(error, "strerror", None) or error
    damaged = "not a database" in str(reason) or "malformed" in str(reason)
    cure = "Check that the disk is not full and that you may write there."
    if damaged:
        cure = "The file is damaged: move it away, and a new one is begun."
    return StorageError(
        f"the records cannot be read or written: {reason}", where=str(path), cure=cure
    )

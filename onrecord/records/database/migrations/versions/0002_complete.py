"""The complete record: MessagePack, short bodies in the row, who uses the long ones, tags as rows.

The tables and the encodings are written out here as they were on that day: `schema.py` goes on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa
from alembic import op

from onrecord.records.record import pack

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Make the new tables beside the old ones, copy what is there, drop the old ones."""
    connection = op.get_bind()
    for name in _OLD:
        op.rename_table(name, f"{name}_0001")
        if connection.dialect.name == "postgresql":  # keys have names of their own there
            op.execute(f"ALTER INDEX {name}_pkey RENAME TO {name}_0001_pkey")
    _tables().create_all(connection, checkfirst=False)
    if connection.dialect.name == "postgresql":
        _ledger().create_all(connection)  # it may have made them already
    old = sa.MetaData()
    old.reflect(connection, only=[f"{name}_0001" for name in _OLD])
    _copy(connection, old)
    for name in _OLD:
        op.drop_table(f"{name}_0001")
    if connection.dialect.name == "sqlite":
        op.execute("PRAGMA user_version = 2")  # the first Onrecord says that it is too old


_OLD = ("record", "body", "segment")
_BATCH = 1000
_INLINE = 1024
_REFERENCE = b"\xc1"
_COUNTS = ("input", "output", "cached", "reasoning")
_SAME = (
    *("id", "run", "parent", "kind", "name", "key", "state", "error", "started_ns", "ended_ns"),
    *("cost", "release", "session", "user"),
)

Row = dict[str, Any]


def _copy(connection: sa.Connection, old: sa.MetaData) -> None:
    new = _tables().tables
    for rows in _pages(connection, old.tables["record_0001"]):
        bodies = _read_bodies(connection, old.tables["body_0001"], rows)
        long: dict[bytes, bytes] = {}
        uses: dict[tuple[bytes, str], Row] = {}
        made = [_row(row) for row in rows]
        for row, into in zip(rows, made, strict=True):
            for name in ("input", "output"):
                packed = bodies.get(row[name], b"\xc0")
                if row[name] is not None and len(packed) > _INLINE:
                    hash = hashlib.blake2b(packed, digest_size=16).digest()
                    long[hash] = packed
                    uses[hash, row["id"]] = {"hash": hash, "record": row["id"]}
                    packed = _REFERENCE + hash
                into[name] = packed if row[name] is not None else None
        connection.execute(sa.insert(new["record"]), made)
        _keep_bodies(connection, new["body"], long)
        tags = [
            {"tag": tag, "record": row["id"]} for row in rows for tag in set(_tags(row["tags"]))
        ]
        for table, some in (("body_use", list(uses.values())), ("tag", tags)):
            if some:
                connection.execute(sa.insert(new[table]), some)
    segment, position = old.tables["segment_0001"], new["segment"]
    connection.execute(
        sa.insert(position).from_select(
            ["name", "position"], sa.select(segment.c.name, segment.c.offset)
        )
    )


def _pages(connection: sa.Connection, record: sa.Table) -> Iterator[Sequence[Any]]:
    last = ""
    while True:
        page = sa.select(record).where(record.c.id > last).order_by(record.c.id).limit(_BATCH)
        rows = connection.execute(page).mappings().all()
        if not rows:
            return
        yield rows
        last = rows[-1]["id"]


def _read_bodies(
    connection: sa.Connection, body: sa.Table, rows: Sequence[Any]
) -> dict[str, bytes]:
    hashes = sorted({row[name] for row in rows for name in ("input", "output")} - {None})
    found: dict[str, bytes] = {}
    for at in range(0, len(hashes), 500):  # SQLite bounds the number of variables
        some = sa.select(body).where(body.c.hash.in_(hashes[at : at + 500]))
        found.update((hash, _packed(json)) for hash, json in connection.execute(some))
    return found


def _packed(json: bytes) -> bytes:
    try:
        return pack(msgspec.json.decode(json))
    except msgspec.DecodeError:  # a damaged body must not keep all others from being read
        return pack("<damaged>")


def _keep_bodies(connection: sa.Connection, body: sa.Table, long: dict[bytes, bytes]) -> None:
    hashes = list(long)
    for at in range(0, len(hashes), 500):
        there = sa.select(body.c.hash).where(body.c.hash.in_(hashes[at : at + 500]))
        for hash in connection.scalars(there):
            long.pop(bytes(hash))
    if long:
        rows = [{"hash": hash, "content": content} for hash, content in long.items()]
        connection.execute(sa.insert(body), rows)


def _row(row: Any) -> Row:
    usage = msgspec.json.decode(row["usage"])
    tags = _tags(row["tags"])
    return {
        **{name: row[name] for name in _SAME},
        **{f"{name}_tokens": usage.get(name, 0) for name in _COUNTS},
        "usage": pack(usage) if any(usage.values()) else None,
        "tags": pack(tags) if tags else None,
        "version": "",
        "tenant": None,
        "source": None,
        "redacted": False,
        "writer": row["segment"].removesuffix(".journal"),
    }


def _tags(json: str) -> list[str]:
    return msgspec.json.decode(json, type=list[str])


def _tables() -> sa.MetaData:
    tables = sa.MetaData()
    _add_records(tables)
    _add_what_belongs_to_records(tables)
    _add_progress(tables)
    return tables


def _add_records(tables: sa.MetaData) -> None:
    record = sa.Table(
        "record",
        tables,
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("run", sa.String(32), nullable=False),
        sa.Column("parent", sa.String(32)),
        sa.Column("kind", sa.String, nullable=False),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("version", sa.String, nullable=False),
        sa.Column("key", sa.String(32), nullable=False),
        sa.Column("state", sa.String, nullable=False),
        sa.Column("input", sa.LargeBinary, nullable=False),
        sa.Column("output", sa.LargeBinary),
        sa.Column("error", sa.String),
        sa.Column("started_ns", sa.BigInteger, nullable=False),
        sa.Column("ended_ns", sa.BigInteger, nullable=False),
        *(sa.Column(f"{name}_tokens", sa.BigInteger, nullable=False) for name in _COUNTS),
        sa.Column("usage", sa.LargeBinary),
        sa.Column("cost", sa.BigInteger),
        sa.Column("release", sa.String),
        sa.Column("session", sa.String),
        sa.Column("user", sa.String),
        sa.Column("tenant", sa.String),
        sa.Column("tags", sa.LargeBinary),
        sa.Column("source", sa.String(32)),
        sa.Column("redacted", sa.Boolean, nullable=False),
        sa.Column("writer", sa.String, nullable=False),
    )
    c = record.c
    common = ("embed", "flow", "model", "search", "step", "tool")
    for name, columns, where in (
        ("record_run", (c.run, c.id), None),
        ("record_name", (c.name, c.id), None),
        ("record_rare_kind", (c.kind, c.id), sa.and_(*(c.kind != kind for kind in common))),
        ("record_root", (c.id,), c.parent.is_(None)),
        ("record_not_done", (c.state, c.id), c.state != "done"),
        ("record_open", (c.writer,), c.state == "open"),
        ("record_answer", (c.key, c.id), c.kind == "model"),
        ("record_user", (c.user, c.id), c.user.is_not(None)),
        ("record_session", (c.session, c.id), c.session.is_not(None)),
        ("record_tenant", (c.tenant, c.id), c.tenant.is_not(None)),
        ("record_release", (c.release, c.id), c.release.is_not(None)),
    ):
        sa.Index(name, *columns, sqlite_where=where, postgresql_where=where)


def _add_what_belongs_to_records(tables: sa.MetaData) -> None:
    sa.Table(
        "body",
        tables,
        sa.Column("hash", sa.LargeBinary, primary_key=True),
        sa.Column("content", sa.LargeBinary, nullable=False),
    )
    sa.Table(
        "body_use",
        tables,
        sa.Column("hash", sa.LargeBinary, primary_key=True),
        sa.Column("record", sa.String(32), primary_key=True, index=True),
    )
    sa.Table(
        "tag",
        tables,
        sa.Column("tag", sa.String, primary_key=True),
        sa.Column("record", sa.String(32), primary_key=True, index=True),
    )
    sa.Table(
        "vector",
        tables,
        sa.Column("record", sa.String(32), primary_key=True),
        sa.Column("embedder", sa.String(32), primary_key=True),
        sa.Column("space", sa.String(32), nullable=False, index=True),
        sa.Column("vector", sa.LargeBinary, nullable=False),
    )
    sa.Table(
        "exported",
        tables,
        sa.Column("target", sa.String, primary_key=True),
        sa.Column("record", sa.String(32), primary_key=True, index=True),
        sa.Column("at_ns", sa.BigInteger, nullable=False),
        sa.Column("failed", sa.String),
    )


def _add_progress(tables: sa.MetaData) -> None:
    """What was folded of the journal, what of it was lost, and the texts of versions."""
    sa.Table(
        "source",
        tables,
        sa.Column("version", sa.String, primary_key=True),
        sa.Column("text", sa.String, nullable=False),
    )
    sa.Table(
        "segment",
        tables,
        sa.Column("name", sa.String, primary_key=True),
        sa.Column("position", sa.BigInteger, nullable=False),
    )
    sa.Table(
        "loss",
        tables,
        sa.Column("writer", sa.String, primary_key=True),
        sa.Column("calls", sa.BigInteger, nullable=False),
        sa.Column("bytes", sa.BigInteger, nullable=False),
    )


def _ledger() -> sa.MetaData:
    tables = sa.MetaData()
    sums = (
        *("cost", "tokens", "calls", "reserved_cost", "reserved_tokens", "reserved_calls"),
        *("over_cost", "over_tokens", "unpriced"),
    )
    sa.Table(
        "budget",
        tables,
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("key", sa.String, nullable=False),
        sa.Column("period", sa.String, nullable=False),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in sums),
    )
    sa.Table(
        "reservation",
        tables,
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("budget", sa.String(32), primary_key=True, index=True),
        sa.Column("cost", sa.BigInteger, nullable=False),
        sa.Column("tokens", sa.BigInteger, nullable=False),
        sa.Column("made_ns", sa.BigInteger, nullable=False),
        sa.Column("writer", sa.String, nullable=False),
    )
    return tables

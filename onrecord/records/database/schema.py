"""The store's tables, the same in SQLite and PostgreSQL. `migrations/` brings older stores here."""

from __future__ import annotations

import sqlalchemy as sa

METADATA = sa.MetaData()

# Inputs and outputs are MessagePack. What is longer than INLINE bytes is kept once, in `body`, and
# the record holds REFERENCE and the hash: no MessagePack begins with that byte.
INLINE = 1024
REFERENCE = b"\xc1"

RECORD = sa.Table(
    "record",
    METADATA,
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
    sa.Column("input_tokens", sa.BigInteger, nullable=False),
    sa.Column("output_tokens", sa.BigInteger, nullable=False),
    sa.Column("cached_tokens", sa.BigInteger, nullable=False),
    sa.Column("reasoning_tokens", sa.BigInteger, nullable=False),
    sa.Column("usage", sa.LargeBinary),  # MessagePack; NULL where every count is 0
    sa.Column("cost", sa.BigInteger),
    sa.Column("release", sa.String),
    sa.Column("session", sa.String),
    sa.Column("user", sa.String),
    sa.Column("tenant", sa.String),
    sa.Column("tags", sa.LargeBinary),  # MessagePack; NULL where there are none
    sa.Column("source", sa.String(32)),
    sa.Column("redacted", sa.Boolean, nullable=False),
    sa.Column("writer", sa.String, nullable=False),
)
BODY = sa.Table(
    "body",
    METADATA,
    sa.Column("hash", sa.LargeBinary, primary_key=True),
    sa.Column("content", sa.LargeBinary, nullable=False),
)
# Which records hold a body: the last one that is erased takes it along.
BODY_USE = sa.Table(
    "body_use",
    METADATA,
    sa.Column("hash", sa.LargeBinary, primary_key=True),
    sa.Column("record", sa.String(32), primary_key=True, index=True),
)
TAG = sa.Table(
    "tag",
    METADATA,
    sa.Column("tag", sa.String, primary_key=True),
    sa.Column("record", sa.String(32), primary_key=True, index=True),
)
# The source code that a version stands for.
SOURCE = sa.Table(
    "source",
    METADATA,
    sa.Column("version", sa.String, primary_key=True),
    sa.Column("text", sa.String, nullable=False),
)
# How far each segment is folded.
SEGMENT = sa.Table(
    "segment",
    METADATA,
    sa.Column("name", sa.String, primary_key=True),
    sa.Column("position", sa.BigInteger, nullable=False),
)
# What journals could not keep: calls that were not written, bytes that were torn.
LOSS = sa.Table(
    "loss",
    METADATA,
    sa.Column("writer", sa.String, primary_key=True),
    sa.Column("calls", sa.BigInteger, nullable=False),
    sa.Column("bytes", sa.BigInteger, nullable=False),
)
# Between which times the ids are that are far from the times of their calls (skew.py), for each
# hour in which such calls started; in milliseconds.
SKEW = sa.Table(
    "skew",
    METADATA,
    sa.Column("hour", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("first", sa.BigInteger, nullable=False),
    sa.Column("last", sa.BigInteger, nullable=False),
)

# What similar questions are found by (models/wrappers/similar.py). `space` tells apart what must
# never be compared: questions with other instructions, to other models.
VECTOR = sa.Table(
    "vector",
    METADATA,
    sa.Column("record", sa.String(32), primary_key=True),
    sa.Column("embedder", sa.String(32), primary_key=True),
    sa.Column("space", sa.String(32), nullable=False, index=True),
    sa.Column("vector", sa.LargeBinary, nullable=False),
)

# What each target of an export has taken, or will not take (exchange/exported.py).
EXPORTED = sa.Table(
    "exported",
    METADATA,
    sa.Column("target", sa.String, primary_key=True),
    sa.Column("record", sa.String(32), primary_key=True, index=True),
    sa.Column("at_ns", sa.BigInteger, nullable=False),
    sa.Column("failed", sa.String),  # the target's reason; NULL: it has the record
)

_id, _c = RECORD.c.id, RECORD.c


def _index(name: str, *columns: sa.Column[object], where: sa.ColumnElement[bool]) -> None:
    sa.Index(name, *columns, sqlite_where=where, postgresql_where=where)


sa.Index("record_run", _c.run, _id)
sa.Index("record_name", _c.name, _id)
# The newest of a common kind are found soon in any case; an index on them would only slow folding.
COMMON = frozenset(("flow", "step", "model", "embed", "search", "tool"))
RARE = [_c.kind != kind for kind in sorted(COMMON)]
_index("record_rare_kind", _c.kind, _id, where=sa.and_(*RARE))
_index("record_root", _id, where=_c.parent.is_(None))
_index("record_not_done", _c.state, _id, where=_c.state != "done")
# Words of errors are looked for here; PostgreSQL's indexes do not take long texts.
sa.Index("record_error", _id, _c.error, sqlite_where=_c.state != "done").ddl_if(dialect="sqlite")
_index("record_open", _c.writer, where=_c.state == "open")
_index("record_answer", _c.key, _id, where=_c.kind == "model")
_index("record_user", _c.user, _id, where=_c.user.is_not(None))
_index("record_session", _c.session, _id, where=_c.session.is_not(None))
_index("record_tenant", _c.tenant, _id, where=_c.tenant.is_not(None))
_index("record_release", _c.release, _id, where=_c.release.is_not(None))

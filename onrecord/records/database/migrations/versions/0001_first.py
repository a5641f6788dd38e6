"""The tables of the first release: JSON, and bodies under their hash."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make them."""
    op.create_table(
        "record",
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
    op.create_table(
        "body",
        sa.Column("hash", sa.String(32), primary_key=True),
        sa.Column("json", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "segment",
        sa.Column("name", sa.String, primary_key=True),
        sa.Column("offset", sa.BigInteger, nullable=False),
    )
    no_parent = sa.text("parent IS NULL")
    op.create_index(
        "record_roots", "record", ["id"], sqlite_where=no_parent, postgresql_where=no_parent
    )

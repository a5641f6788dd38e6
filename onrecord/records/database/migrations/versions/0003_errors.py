"""Words of errors are found in an index, and times among ids that are off.

The index spares a look at the rows of all other failures. Not in PostgreSQL: its indexes do not
take long texts.
"""

from __future__ import annotations

import contextlib

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

CLOSE, FAR = 60_000, 2**49  # milliseconds
HOUR = 3_600_000_000_000


def upgrade() -> None:
    """Make the index and the table; no row of a record changes."""
    connection = op.get_bind()
    op.create_table(
        "skew",
        sa.Column("hour", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("first", sa.BigInteger, nullable=False),
        sa.Column("last", sa.BigInteger, nullable=False),
    )
    for hour, (first, last) in _astray(connection).items():
        row = sa.text("INSERT INTO skew VALUES (:hour, :first, :last)")
        connection.execute(row, {"hour": hour, "first": first, "last": last})
    if connection.dialect.name == "sqlite":
        where = sa.text("state != 'done'")
        op.create_index("record_error", "record", ["id", "error"], sqlite_where=where)
        op.execute("ANALYZE record")  # or it is not chosen


def _astray(connection: sa.Connection) -> dict[int, tuple[int, int]]:
    """By hour of their starts: between which times the ids are that are far from these."""
    hours: dict[int, tuple[int, int]] = {}
    for id, started_ns in connection.execute(sa.text("SELECT id, started_ns FROM record")):
        first, last = -FAR, FAR  # an id of somebody's own making may stand anywhere
        with contextlib.suppress(ValueError):
            ms = int(id[:12], 16)
            if abs(ms - int(started_ns) // 1_000_000) <= CLOSE:
                continue
            if len(id) >= 12:
                first = last = ms
        hour = int(started_ns) // HOUR
        before = hours.get(hour, (first, last))
        hours[hour] = (min(first, before[0]), max(last, before[1]))
    return hours

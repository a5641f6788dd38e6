"""Words of errors are found in an index, and times among ids that are off.

The index spares a look at the rows of all other failures. Not in PostgreSQL: its indexes do not
take long texts.
"""

from __future__ import annotations

from collections.abc import Iterator

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

CLOSE, FAR = 60_000, 2**49  # milliseconds


def upgrade() -> None:
    """Make the index and the table; no row of a record changes."""
    connection = op.get_bind()
    op.create_table(
        "skew",
        sa.Column("side", sa.String, primary_key=True),
        sa.Column("ms", sa.BigInteger, nullable=False),
    )
    distances = list(_distances(connection))
    for side, ms in (("ahead", max(distances, default=0)), ("behind", -min(distances, default=0))):
        if ms > CLOSE:
            row = sa.text("INSERT INTO skew (side, ms) VALUES (:side, :ms)")
            connection.execute(row, {"side": side, "ms": ms})
    if connection.dialect.name == "sqlite":
        where = sa.text("state != 'done'")
        op.create_index("record_error", "record", ["id", "error"], sqlite_where=where)
        op.execute("ANALYZE record")  # or it is not chosen


def _distances(connection: sa.Connection) -> Iterator[int]:
    """How far, in milliseconds, the times of ids are ahead of those of the starts."""
    rows = connection.execute(sa.text("SELECT id, started_ns FROM record"))
    for id, started_ns in rows:
        try:
            yield int(id[:12].ljust(12, "0"), 16) - int(started_ns) // 1_000_000
        except ValueError:  # an id of somebody's own making: it may stand anywhere
            yield FAR
            yield -FAR

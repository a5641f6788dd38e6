"""What the journal could not keep: calls that were not written, bytes that cannot be read.

The table `loss` has a row for each writer that lost calls or left a torn tail, and one for each
damaged place, called `SEGMENT:OFFSET`: a place is counted once, however often it is read.
"""

from __future__ import annotations

import msgspec
import sqlalchemy as sa

from onrecord.records.database.engine import insert
from onrecord.records.database.schema import LOSS


class Damage(msgspec.Struct, frozen=True):
    """`size` bytes of a segment, from the byte `begin` on, that no frame could be read from."""

    segment: str
    begin: int
    size: int


def lose(connection: sa.Connection, writer: str, *, calls: int = 0, torn: int = 0) -> None:
    """Add to what a writer could not keep: calls, and bytes at its end that were cut off."""
    row = insert(connection, LOSS).values(writer=writer, calls=calls, bytes=torn)
    more = {"calls": LOSS.c.calls + calls, "bytes": LOSS.c.bytes + torn}
    connection.execute(row.on_conflict_do_update(index_elements=["writer"], set_=more))


def pass_over(connection: sa.Connection, damage: Damage) -> None:
    """Count a damaged place."""
    place = f"{damage.segment}:{damage.begin}"
    row = insert(connection, LOSS).values(writer=place, calls=0, bytes=damage.size)
    connection.execute(
        row.on_conflict_do_update(index_elements=["writer"], set_={"bytes": damage.size})
    )


def lost(connection: sa.Connection) -> int:
    """Calls that have no record, or an unfinished one."""
    return int(connection.scalar(sa.select(sa.func.sum(LOSS.c.calls))) or 0)


def torn(connection: sa.Connection) -> int:
    """Bytes that were passed over, at the ends of segments and within."""
    return int(connection.scalar(sa.select(sa.func.sum(LOSS.c.bytes))) or 0)


def damaged(connection: sa.Connection) -> list[Damage]:
    """The damaged places, by segment."""
    places = sa.select(LOSS.c.writer, LOSS.c.bytes).where(LOSS.c.writer.contains(":"))
    found = []
    for place, size in connection.execute(places):
        segment, _, begin = place.rpartition(":")
        found.append(Damage(segment, int(begin), int(size)))
    return sorted(found, key=lambda each: (each.segment, each.begin))

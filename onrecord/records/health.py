"""How the store and its journal are, for whoever runs them."""

from __future__ import annotations

import msgspec
import sqlalchemy as sa

from onrecord.records.database import FILE
from onrecord.records.journal import is_being_written, segments
from onrecord.records.looking import connected, location
from onrecord.records.schema import RECORD, SEGMENT
from onrecord.records.store import Store


class Health(msgspec.Struct, frozen=True):
    """How a store is. Sizes in bytes, times in nanoseconds since 1970.

    `waiting` bytes of the journal are not in the store yet. `lost` calls have no record, or an
    unfinished one; `torn` bytes were passed over. `damaged` are files that were put aside.
    """

    where: str
    journal: str
    records: int
    runs: int
    under_way: int
    oldest_ns: int | None
    newest_ns: int | None
    size: int | None
    segments: int
    writers: int
    waiting: int
    folded_segments: int
    journal_size: int
    lost: int
    torn: int
    damaged: tuple[str, ...]


def health(store: Store) -> Health:
    """How the store and its journal are. What the journal holds is not folded first."""
    c = RECORD.c
    counted = sa.select(
        sa.func.count(),
        sa.func.min(c.id),
        sa.func.max(c.id),  # ids ascend with time
    )
    with connected(store) as connection:
        records, oldest, newest = connection.execute(counted).one()
        runs = connection.scalar(sa.select(sa.func.count()).where(c.parent.is_(None)))
        under_way = connection.scalar(sa.select(sa.func.count()).where(c.state == "open"))
        ends = sa.select(c.id, c.started_ns).where(c.id.in_([oldest, newest]))
        times = {row.id: row.started_ns for row in connection.execute(ends)}
        read = {row.name: row.position for row in connection.execute(sa.select(SEGMENT))}
    journal = store.home / "journal"
    writing, folded = segments(journal), segments(journal / "folded")
    file = store.home / FILE
    return Health(
        where=location(store),
        journal=str(journal),
        records=records,
        runs=runs or 0,
        under_way=under_way or 0,
        oldest_ns=times.get(oldest),
        newest_ns=times.get(newest),
        size=file.stat().st_size if file.exists() and not store.engine.url.host else None,
        segments=len(writing),
        writers=len({each.writer for each in writing if is_being_written(each.path)}),
        waiting=sum(max(each.size - read.get(each.path.name, 0), 0) for each in writing),
        folded_segments=len(folded),
        journal_size=sum(each.size for each in (*writing, *folded)),
        lost=store.lost,
        torn=store.torn,
        damaged=tuple(sorted(str(each) for each in store.home.glob(f"{FILE}.damaged-*[0-9]"))),
    )

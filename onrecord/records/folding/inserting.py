"""Taking: records that were made elsewhere come into the store, a batch in a transaction."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import sqlalchemy as sa

from onrecord.errors import UsageError
from onrecord.records.database.engine import is_refused, location, reason_of, write
from onrecord.records.database.schema import RECORD
from onrecord.records.folding.rows import Bodies, put, row_of
from onrecord.records.record import Record
from onrecord.records.views.wording import shortened


class _Refused(NamedTuple):
    """A record that the database refuses: which of those given, from 1 on, and what it said."""

    number: int
    record: Record
    reason: str


def take(engine: sa.Engine, records: Iterable[Record]) -> int:
    """Bring in records; how many are new. Known ones stay as they are.

    Raises UsageError for records that the database refuses; all others are in then.
    """
    new = 0
    refused: list[_Refused] = []
    for first, batch in _batches(records):
        try:
            new += _take(engine, batch)
        except Exception as error:
            if not is_refused(error):
                raise
            for number, record in enumerate(batch, first):
                try:
                    new += _take(engine, [record])
                except Exception as said:
                    if not is_refused(said):
                        raise
                    refused.append(_Refused(number, record, reason_of(said)))
    if refused:
        raise _told(engine, refused)
    return new


def _told(engine: sa.Engine, refused: list[_Refused]) -> UsageError:
    first = refused[0]
    what = f"the database refuses record {first.number:,} of those given"
    if len(refused) > 1:
        what = f"the database refuses {len(refused):,} of the records given, first {first.number:,}"
    id = shortened(first.record.id, 80)
    return UsageError(
        f"{what} (id {id}, {first.record.kind}): {shortened(first.reason, 200)}",
        where=location(engine),
        cure="All others are in: mend what is refused and bring it in by itself, or leave it out.",
    )


def _take(engine: sa.Engine, records: list[Record]) -> int:
    given: dict[str, Record] = {}
    for each in records:
        given.setdefault(each.id, each)

    def work(connection: sa.Connection) -> int:
        known = sa.select(RECORD.c.id).where(RECORD.c.id.in_(given))
        new = sorted(given.keys() - set(connection.scalars(known)))
        bodies = Bodies()
        put(connection, [row_of(given[id], bodies) for id in new])
        bodies.write(connection)
        return len(new)

    return write(engine, work)


def _batches(records: Iterable[Record]) -> Iterator[tuple[int, list[Record]]]:
    """The records, a thousand at a time, each batch with the number of its first one."""
    first, batch = 1, list[Record]()
    for record in records:
        batch.append(record)
        if len(batch) == _BATCH:
            yield first, batch
            first, batch = first + _BATCH, []
    if batch:
        yield first, batch


_BATCH = 1000

"""Looking at the records from a terminal: a page of runs, a run without its bodies."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

import sqlalchemy as sa

from onrecord.records import reading
from onrecord.records.call import RESUMED
from onrecord.records.database.engine import reading as reading_from
from onrecord.records.database.engine import told_errors
from onrecord.records.database.schema import RECORD, TAG
from onrecord.records.query import Query
from onrecord.records.record import Record
from onrecord.records.store import Store


def page(
    store: Store, query: Query, *, calls: bool, limit: int, before: str | None = None
) -> list[Record]:
    """The newest runs that a query finds by their outermost call, or with `calls` single calls.

    Without inputs and outputs. `before` is the id of the last one seen.
    """
    with connected(store) as connection:
        return reading.select(
            connection, query, limit=limit, before=before, roots=not calls, bodies=False
        )


def latest_attempts(store: Store, runs: Iterable[Record]) -> dict[str, Record]:
    """The last go at each of the runs that were resumed, by run: how the run really is."""
    ids = [run.id for run in runs if run.state != "done"]
    query = (
        sa.select(RECORD.c.id)
        .join(TAG, TAG.c.record == RECORD.c.id)
        .where(TAG.c.tag == RESUMED, RECORD.c.run.in_(ids), RECORD.c.parent == RECORD.c.run)
    )
    with connected(store) as connection:
        found = tuple(connection.scalars(query)) if ids else ()
        attempts = Query(ids=found)
        if not found:
            return {}
        newest_last = reading.select(
            connection, attempts, limit=None, newest_first=False, bodies=False
        )
    return {record.run: record for record in newest_last}


def whole(store: Store, ids: Sequence[str], *, bodies: bool = True) -> dict[str, Record]:
    """The records of these ids, by id; those that there are."""
    found: dict[str, Record] = {}
    with connected(store) as connection:
        for at in range(0, len(ids), _SOME):
            query = Query(ids=tuple(ids[at : at + _SOME]))
            some = reading.select(connection, query, limit=None, bodies=bodies)
            found.update((record.id, record) for record in some)
    return found


@contextmanager
def connected(store: Store) -> Iterator[sa.Connection]:
    """A connection that reads. Raises StorageError where the database cannot be read."""
    with told_errors(store.engine), reading_from(store.engine) as connection:
        yield connection


_SOME = 500

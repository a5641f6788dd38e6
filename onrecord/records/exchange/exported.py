"""What each target has taken: so that the next export sends exactly what is missing there.

A row says that a target has acknowledged a record, or why it will not have it. It is written after
the target's answer: a process that dies in between sends the same records again, with the same
ids. Loads SQLAlchemy, so it is imported where it is needed.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Iterator

import sqlalchemy as sa

from onrecord.records.database.engine import insert, reading, storage_error
from onrecord.records.database.schema import EXPORTED, RECORD
from onrecord.records.query import Query
from onrecord.records.reading import matching, select
from onrecord.records.record import Record
from onrecord.records.store import Store


def pending(
    store: Store, target: str, query: Query, *, again: bool = False, page: int = 500
) -> Iterator[list[Record]]:
    """The ended records of a query that a target has not acknowledged, oldest first, in pages.

    Those that it refused are among them only with `again`. Each page is read when it is asked for.
    """
    last = ""
    while ids := _missing(store.engine, target, query, again, last, page):
        last = ids[-1]
        with _errors(store.engine), reading(store.engine) as connection:
            yield select(connection, Query(ids=tuple(ids)), limit=None, newest_first=False)


def count_pending(store: Store, target: str, query: Query, *, again: bool = False) -> int:
    """How many records `pending` would give."""
    with _errors(store.engine), reading(store.engine) as connection:
        found = sa.select(sa.func.count()).select_from(RECORD)
        return int(connection.scalar(found.where(*_wanted(connection, target, query, again))) or 0)


def count_aside(store: Store, target: str, query: Query) -> int:
    """How many records of a query are put aside, because the target refused them."""
    e = EXPORTED.c
    refused = sa.select(e.record).where(e.target == target, e.failed.is_not(None))
    with _errors(store.engine), reading(store.engine) as connection:
        found = sa.select(sa.func.count()).select_from(RECORD)
        conditions = [*matching(connection, query), RECORD.c.id.in_(refused)]
        return int(connection.scalar(found.where(*conditions)) or 0)


def remember(store: Store, target: str, ids: Iterable[str], *, failed: str | None = None) -> None:
    """Note that a target has records, or why it will not have them."""
    now = time.time_ns()
    rows = [{"target": target, "record": id, "at_ns": now, "failed": failed} for id in ids]
    if not rows:
        return
    with _errors(store.engine), store.engine.begin() as connection:
        new = insert(connection, EXPORTED)
        changes = {"at_ns": new.excluded.at_ns, "failed": new.excluded.failed}
        keys = ["target", "record"]
        connection.execute(new.on_conflict_do_update(index_elements=keys, set_=changes), rows)


def _missing(
    engine: sa.Engine, target: str, query: Query, again: bool, last: str, page: int
) -> list[str]:
    with _errors(engine), reading(engine) as connection:
        conditions = _wanted(connection, target, query, again)
        found = sa.select(RECORD.c.id).where(*conditions, RECORD.c.id > last)
        return list(connection.scalars(found.order_by(RECORD.c.id).limit(page)))


def _wanted(
    connection: sa.Connection, target: str, query: Query, again: bool
) -> list[sa.ColumnElement[bool]]:
    e = EXPORTED.c
    settled = sa.select(sa.literal(1)).where(e.target == target, e.record == RECORD.c.id)
    if again:
        settled = settled.where(e.failed.is_(None))
    ended = RECORD.c.state != "open"
    return [*matching(connection, query), ended, ~settled.exists()]


@contextlib.contextmanager
def _errors(engine: sa.Engine) -> Iterator[None]:
    try:
        yield
    except (sa.exc.DBAPIError, OSError) as error:
        raise storage_error(error, engine) from None

"""Looking at the records from a terminal: a page of runs, what is new, how the store is."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

import msgspec
import sqlalchemy as sa

from onrecord.records import reading
from onrecord.records.database import FILE, storage_error
from onrecord.records.database import reading as reading_from
from onrecord.records.journal import is_being_written, segments
from onrecord.records.query import Query
from onrecord.records.record import Record
from onrecord.records.recording import RESUMED
from onrecord.records.schema import RECORD, SEGMENT, TAG
from onrecord.records.store import Store


def page(
    store: Store, query: Query, *, calls: bool, limit: int, before: str | None = None
) -> list[Record]:
    """The newest runs that a query finds by their outermost call, or with `calls` single calls.

    Without inputs and outputs. `before` is the id of the last one seen.
    """
    with _connected(store) as connection:
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
    with _connected(store) as connection:
        found = tuple(connection.scalars(query)) if ids else ()
        attempts = Query(ids=found)
        if not found:
            return {}
        newest_last = reading.select(
            connection, attempts, limit=None, newest_first=False, bodies=False
        )
    return {record.run: record for record in newest_last}


def with_bodies(store: Store, ids: Sequence[str]) -> dict[str, Record]:
    """Whole records, by id; those that there are."""
    found: dict[str, Record] = {}
    for at in range(0, len(ids), _SOME):
        some = store.records(Query(ids=tuple(ids[at : at + _SOME])), _SOME)
        found.update((record.id, record) for record in some)
    return found


class Watch:
    """What happens in all processes of a project, as it happens.

    `news()` folds and gives what has ended since the last time, and what has been under way for
    `long` seconds, each once. What reaches the store more than a minute after its start is seen
    only if it was seen while it was under way.
    """

    def __init__(self, store: Store, query: Query, long: float = 2.0) -> None:
        self._store = store
        self._query = query
        # A call that is under way does not show yet how it will end.
        self._any_end = msgspec.structs.replace(query, states=(), error=None, text=None)
        self._long_ns = int(long * 1e9)
        self._told: dict[str, int] = {}  # ended calls that were told, and when they started
        self._lasting: set[str] = set()  # calls that were told to be under way
        self._forgot_at = time.monotonic()
        store.fold()
        # What has ended already is no news; what is under way will be.
        under_way = msgspec.structs.replace(self._any_end, states=("open",))
        self._open = {each.id for each in page(store, under_way, calls=True, limit=_MOST_OPEN)}
        for record in self._recent(set()):
            if record.state != "open":
                self._told[record.id] = record.started_ns

    def news(self) -> list[Record]:
        """The calls that ended since the last time, in that order, and then those that last."""
        self._store.fold(wait=False)
        now = time.time_ns()
        known, self._open = self._open, set()
        ended: list[Record] = []
        lasting: list[Record] = []
        for record in (*self._recent(known), *self._those(self._any_end, known)):
            if record.id in self._told or record.id in self._open:
                continue
            if record.state != "open":
                self._told[record.id] = record.started_ns
                self._lasting.discard(record.id)
                ended.append(record)
                continue
            self._open.add(record.id)
            if record.id not in self._lasting and now - record.started_ns >= self._long_ns:
                self._lasting.add(record.id)
                lasting.append(record)
        self._forget(now)
        ended.sort(key=lambda each: (each.ended_ns, each.id))
        return [*self._asked_for(ended), *self._asked_for(lasting)]

    def _recent(self, known: set[str]) -> Iterator[Record]:
        """Calls that started lately, newest first, up to a page in which all are known."""
        since = max(time.time_ns() - _LATELY_NS, self._query.since_ns or 0)
        query = msgspec.structs.replace(self._any_end, since_ns=since)
        before: str | None = None
        while True:
            found = page(self._store, query, calls=True, limit=_SOME, before=before)
            yield from found
            if len(found) < _SOME or all(r.id in self._told or r.id in known for r in found):
                return
            before = found[-1].id

    def _asked_for(self, records: list[Record]) -> list[Record]:
        if self._any_end == self._query:
            return records
        found = {each.id for each in self._those(self._query, {each.id for each in records})}
        return [each for each in records if each.id in found]

    def _those(self, query: Query, ids: set[str]) -> Iterator[Record]:
        some = sorted(ids)
        for at in range(0, len(some), _SOME):
            those = msgspec.structs.replace(query, ids=tuple(some[at : at + _SOME]))
            yield from page(self._store, those, calls=True, limit=_SOME)

    def _forget(self, now: int) -> None:
        if time.monotonic() - self._forgot_at > _LATELY_NS / 1e9:
            self._forgot_at = time.monotonic()
            horizon = now - 2 * _LATELY_NS
            self._told = {id: began for id, began in self._told.items() if began > horizon}


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
    with _connected(store) as connection:
        records, oldest, newest = connection.execute(counted).one()
        runs = connection.scalar(sa.select(sa.func.count()).where(c.parent.is_(None)))
        under_way = connection.scalar(sa.select(sa.func.count()).where(c.state == "open"))
        ends = sa.select(c.id, c.started_ns).where(c.id.in_([oldest, newest]))
        times = dict(connection.execute(ends).tuples().all())
        read = dict(
            connection.execute(sa.select(SEGMENT.c.name, SEGMENT.c.position)).tuples().all()
        )
    journal = store.home / "journal"
    writing, folded = segments(journal), segments(journal / "folded")
    file = store.home / FILE
    return Health(
        where=store.engine.url.render_as_string() if store.engine.url.host else str(file),
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


@contextmanager
def _connected(store: Store) -> Iterator[sa.Connection]:
    try:
        with reading_from(store.engine) as connection:
            yield connection
    except sa.exc.DBAPIError as error:
        raise storage_error(error, store.engine) from None


_SOME = 500
_MOST_OPEN = 1000
_LATELY_NS = 60 * 10**9

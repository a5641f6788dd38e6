"""Watching: what happens in all processes of a project, as it happens."""

from __future__ import annotations

import time
from collections.abc import Iterator

import msgspec

from onrecord.records.query import Query
from onrecord.records.record import Record
from onrecord.records.store import Store
from onrecord.records.views.listing import page


class Watch:
    """What happens in all processes of a project, as it happens.

    `news()` folds and gives what has ended since the last time, and what has been under way for
    `long` seconds, each once. What reaches the store more than a minute after its start is seen
    only if it was seen while it was under way. `from_the_first`: what has ended already is news,
    too; for a store that was not there when somebody began to watch.
    """

    def __init__(
        self, store: Store, query: Query, long: float = 2.0, *, from_the_first: bool = False
    ) -> None:
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
        for record in () if from_the_first else self._recent(set()):
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


_SOME = 500
_MOST_OPEN = 1000
_LATELY_NS = 60 * 10**9

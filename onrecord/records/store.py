"""The store: every record of a project, in one queryable place.

SQLite in `.onrecord/`, or PostgreSQL (setting `store`): same tables, same code. What the journal
holds is folded in when a store is opened, and by a thread of every process that records
(`folding/`). A SQLite file that broke is moved aside and built anew from the
segments that are still there (`database/opening.py`).
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa

from onrecord.errors import UnknownNameError, UsageError
from onrecord.records import reading
from onrecord.records.database.engine import insert, location, told_errors, write
from onrecord.records.database.engine import reading as reading_from
from onrecord.records.database.opening import Database
from onrecord.records.database.place import tell_read_only
from onrecord.records.database.schema import RECORD, SOURCE, VECTOR
from onrecord.records.erasing import erase as erasing
from onrecord.records.folding import losses
from onrecord.records.folding.fold import Folding, folding_lock, waiting
from onrecord.records.folding.inserting import take
from onrecord.records.folding.losses import Damage
from onrecord.records.folding.rows import known
from onrecord.records.query import Query, Receipt, Total, query_of
from onrecord.records.record import Kind, Record
from onrecord.settings import Settings

T = TypeVar("T")
_EVERY = Query()


class Store:
    """The records of a project. `Store.open()` is the way to that of the settings.

    Opening it folds what the journal holds; `fold()` again for what came since. Safe to use from
    any thread. On a read-only disk, or where the permission to write is missing, it can be read,
    without what is in the journal only (`read_only`; the log says so). Raises StorageError where
    the folder or the database cannot be read or, being writable, not be written.
    """

    def __init__(
        self,
        home: Path,
        url: str = "",
        *,
        keep_days: float | None = None,
        journal_mb: float = 1024.0,
        fsync: bool = False,
        fold: bool = True,
    ) -> None:
        self.home = home
        self._journal = home / "journal"
        self._keep_days = keep_days
        self._room = int(journal_mb * 1e6) // 2
        self._fsync = fsync
        self._database = Database(home, url, fsync=fsync)
        self._safely(self._database.begin)
        if fold:
            self.fold()

    @classmethod
    def open(cls, settings: Settings | None = None, *, fold: bool = True) -> Store:
        """The store of the project that the working folder belongs to; `settings` are another
        project's. Raises UsageError, StorageError."""
        settings = Settings.load() if settings is None else settings
        if not isinstance(settings, Settings):
            raise UsageError(
                f"a store is opened by its settings, and {settings!r:.120} are none",
                cure="Write Store.open(on.Settings.load(Path(folder))): the folder of the project.",
            )
        return cls(
            settings.home,
            settings.store,
            keep_days=settings.keep_days,
            journal_mb=settings.journal_mb,
            fsync=settings.fsync,
            fold=fold,
        )

    @property
    def engine(self) -> sa.Engine:
        """The database; its transactions begin as those of a writer."""
        return self._database.engine

    @property
    def read_only(self) -> bool:
        """Whether nothing can be written here: no folding, no erasing."""
        return self._database.read_only

    @property
    def full(self) -> bool:
        """Whether that is for want of room on the disk; what is erased makes room."""
        return self._database.full

    def fold(self, *, wait: bool = True, stopped: Callable[[], bool] = lambda: False) -> int:
        """Take in what the journal's segments hold and the store does not yet; how many frames.

        `wait`: for another process that folds just now. Once a day it erases what is older than
        `keep_days`.
        """
        return self._safely(lambda: self._fold(wait, stopped))

    def runs(self, limit: int = 20, before: str | None = None) -> list[Record]:
        """The outermost calls, newest first; `before` is the id of the last one seen.

        Raises UsageError for a page that cannot be.
        """
        _check_page(limit, before)
        return self._read(
            lambda c: reading.select(c, Query(), limit=limit, before=before, roots=True)
        )

    def run(self, id: str, *, bodies: bool = True) -> list[Record]:
        """Every record of the run that the call `id` belongs to, in the order they started.

        `id` may be shortened to any beginning that fits one run only. Without `bodies`, inputs and
        outputs are None: a run of 100,000 calls opens at once. Raises UnknownNameError.
        """
        query = Query(run=self.run_of(id))
        return self._read(
            lambda c: reading.select(c, query, limit=None, newest_first=False, bodies=bodies)
        )

    def run_of(self, beginning: str) -> str:
        """The id of the run that the call belongs to whose id begins like this.

        Raises UnknownNameError where there is none, or more than one run.
        """
        runs = self._read(lambda c: reading.runs_of(c, beginning))
        if len(runs) != 1 or not beginning:
            raise self._unknown("more than one run has" if runs else "no record has", beginning)
        return runs[0]

    def record(self, id: str) -> Record:
        """One record, by its whole id. Raises UnknownNameError."""
        found = self.records(Query(ids=(id,)), 1)
        if not found:
            raise self._unknown("no record has", id)
        return found[0]

    def records(
        self, query: Query = _EVERY, limit: int = 100, before: str | None = None, **fields: Any
    ) -> list[Record]:
        """The records of a query, newest first; `before` is the id of the last one seen. `fields`
        are those of the query, as keywords; they win.

        Raises UsageError for a page that cannot be, and for what is no query.
        """
        query = query_of(query, fields)
        _check_page(limit, before)
        return self._read(lambda c: reading.select(c, query, limit=limit, before=before))

    def each(self, query: Query = _EVERY) -> Iterator[Record]:
        """All records of a query, oldest first, read a page at a time."""
        query = query_of(query)
        last: str | None = None
        while page := self._page(query, last):
            yield from page
            last = page[-1].id

    def _page(self, query: Query, after: str | None) -> list[Record]:
        return self._read(
            lambda c: reading.select(c, query, limit=1000, after=after, newest_first=False)
        )

    def find(
        self,
        key: str,
        kind: Kind,
        *,
        user: str | None = None,
        tenant: str | None = None,
        everyone: bool = False,
        since_ns: int = 0,
    ) -> Record | None:
        """The newest call of this key that was made, has ended well and is whole on record.

        Only those of the same user and tenant (None is one of its own), unless `everyone`.
        """
        c = RECORD.c
        conditions = [*_WHOLE, c.key == key, c.kind == kind, c.started_ns >= since_ns]
        if not everyone:
            conditions += _of(user, tenant)
        newest = sa.select(c.id).where(*conditions).order_by(c.id.desc()).limit(1)
        id = self._read(lambda connection: connection.scalar(newest))
        return None if id is None else self.record(id)

    def totals(self, query: Query = _EVERY, by: Sequence[str] = ("model",)) -> list[Total]:
        """Calls, times, tokens and costs of a query's records, grouped; the dearest first."""
        query = query_of(query)
        return self._read(lambda c: reading.totals(c, query, by))

    def source(self, version: str) -> str | None:
        """The source code that a version of a flow or step stands for, where it is kept."""
        query = sa.select(SOURCE.c.text).where(SOURCE.c.version == version)
        return self._read(lambda c: c.scalar(query))

    def without_vector(self, embedder: str, model: str, version: str, limit: int) -> list[Record]:
        """Answers of a model, newest first, whose question this embedder has not embedded yet."""
        c = RECORD.c
        there = sa.select(VECTOR.c.record).where(
            VECTOR.c.record == c.id, VECTOR.c.embedder == embedder
        )
        conditions = (*_ANSWERS, c.name == model, c.version == version, ~there.exists())
        newest = sa.select(c.id).where(*conditions).order_by(c.id.desc()).limit(limit)
        ids = self._read(lambda connection: tuple(connection.scalars(newest)))
        return self.records(Query(ids=ids), limit) if ids else []

    def add_vectors(self, rows: list[dict[str, Any]]) -> None:
        """Keep vectors of questions: rows of the table `vector`."""

        def work(connection: sa.Connection) -> None:
            there = known(connection, [row["record"] for row in rows])  # others have been erased
            if kept := [row for row in rows if row["record"] in there]:
                connection.execute(insert(connection, VECTOR).on_conflict_do_nothing(), kept)

        with told_errors(self.engine):
            write(self.engine, work)

    def vectors(
        self, space: str, since_ns: int, whose: tuple[str | None, str | None] | None
    ) -> list[tuple[str, bytes]]:
        """The answers of a space with their questions' vectors; `whose`: user and tenant."""
        c = RECORD.c
        conditions = [*_ANSWERS, VECTOR.c.space == space, c.started_ns >= since_ns]
        if whose is not None:
            conditions += _of(*whose)
        joined = RECORD.join(VECTOR, VECTOR.c.record == c.id)
        query = sa.select(c.id, VECTOR.c.vector).select_from(joined).where(*conditions)
        rows = self._read(lambda connection: connection.execute(query).all())
        return [(row[0], bytes(row[1])) for row in rows]

    def take(self, records: Iterable[Record]) -> int:
        """Bring in records that were made elsewhere; how many are new. Known ones stay.

        Raises UsageError for records that the database refuses; all others are in then.
        """
        with told_errors(self.engine):
            return take(self.engine, records)

    def erase(self, query: Query) -> Receipt:
        """Remove the records of a query: rows, bodies, and the journal's frames. For good.

        Raises UsageError for a query that names nothing: it would mean everything.
        """
        query = query_of(query)
        self.fold()
        if self.full and query != _EVERY:
            self._database.make_room(self.waiting)
            self.fold()
        with told_errors(self.engine), folding_lock(self._journal, wait=True):
            self._folding().fold_held()  # what was recorded while this waited for its turn
            return erasing.erase(self.engine, self._journal, self.home, query)

    @property
    def lost(self) -> int:
        """Calls that went on without a record, or with an unfinished one (full disk, no room)."""
        return self._read(losses.lost)

    @property
    def torn(self) -> int:
        """Bytes of segments that were cut off or damaged, and passed over."""
        return self._read(losses.torn)

    @property
    def damage(self) -> list[Damage]:
        """The damaged places in segments. These are kept, with the folded ones."""
        return self._read(losses.damaged)

    @property
    def waiting(self) -> int:
        """Bytes of the journal that are not in the store yet."""
        return self._read(lambda c: waiting(c, self._journal))

    def close(self) -> None:
        """Let go of the database."""
        self.engine.dispose()

    def _fold(self, wait: bool, stopped: Callable[[], bool]) -> int:
        if self.read_only and not (self.full and self._database.write_again(self.waiting)):
            if not self.full:  # that has been said
                tell_read_only(self.home, self.waiting)
            return 0
        frames = self._folding().fold(wait=wait, stopped=stopped)
        if self._keep_days is not None and self._is_time_to_erase(self._keep_days):
            old = Query(until_ns=time.time_ns() - int(self._keep_days * 86400e9))
            with folding_lock(self._journal, wait=False) as held:
                if held:
                    erasing.erase(self.engine, self._journal, self.home, old)
                    (self.home / _ERASED).touch()
        return frames

    def _folding(self) -> Folding:
        return Folding(self.engine, self._journal, self._room, fsync=self._fsync)

    def _is_time_to_erase(self, keep_days: float) -> bool:
        """Once a day: to forget on the disk, too, the database is rewritten."""
        last = self.home / _ERASED
        every = min(keep_days / 4, 1.0) * 86400
        return not (last.exists() and time.time() - last.stat().st_mtime < every)

    def _unknown(self, problem: str, id: str) -> UnknownNameError:
        return UnknownNameError(
            f"{problem} an id that begins with '{id}'",
            where=location(self.engine),
            cure="`onrecord records` lists the runs and their ids.",
        )

    def _read(self, ask: Callable[[sa.Connection], T]) -> T:
        def once() -> T:
            with reading_from(self.engine) as connection:
                return ask(connection)

        return self._safely(once)

    def _safely(self, work: Callable[[], T]) -> T:
        return self._database.safely(work, lambda: self._folding().fold())


def _check_page(limit: int, before: str | None) -> None:
    whole = isinstance(limit, int) and not isinstance(limit, bool)
    if not (whole and 0 < limit <= _LONGEST_PAGE):
        raise UsageError(
            f"a page cannot have {limit!r:.40} records", cure=f"From 1 to {_LONGEST_PAGE:,}."
        )
    if before is not None and not _ID.fullmatch(str(before)):
        raise UsageError(f"before={before!r} is no id", cure="Pass the id of the last record seen.")


_LONGEST_PAGE = 10_000_000
_ERASED = "erased-by-age"  # touched when that was done
_ID = re.compile("[0-9a-f]{32}")
_WHOLE = (RECORD.c.state == "done", RECORD.c.source.is_(None), RECORD.c.redacted.is_(False))
_ANSWERS = (*_WHOLE, RECORD.c.kind == "model")


def _of(user: str | None, tenant: str | None) -> list[sa.ColumnElement[bool]]:
    c = RECORD.c
    return [c.user.is_not_distinct_from(user), c.tenant.is_not_distinct_from(tenant)]

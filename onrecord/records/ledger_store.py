"""Budgets that processes share: a row of sums for each key and period, and one for each call under
way.

A budget's row is read, judged by the same arithmetic as a budget in memory (`ledger.Tally`) and
written back while it is locked, so spent plus reserved cannot pass a limit. What was reserved or
settled is committed before the caller goes on. All that a process asks for at once goes into one
transaction, on the ledger's own thread: the event loop never waits for a disk.

In SQLite the ledger has a file of its own, `ledger.db` beside the records: the fold of a long
journal keeps the records locked for seconds, and a call should not wait for it. As everywhere here,
`kill -9` loses nothing that was committed, and a power cut can take the last transactions.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import functools
import logging
import os
import random
import threading
import time
import weakref
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Generic, TypeVar

import sqlalchemy as sa

from onrecord.errors import LimitError, StorageError
from onrecord.records.database.engine import is_postgresql, open_engine, storage_error
from onrecord.records.ledger import when_done
from onrecord.records.ledger_page import TABLES, Claim, Page, row_id
from onrecord.records.limits import MOST, Asked, Bill, Spent, Worst
from onrecord.records.record import new_id
from onrecord.settings import Settings, make_home

T = TypeVar("T")

FILE = "ledger.db"


class Accounts:
    """The stored budgets of one database, as one process uses them."""

    def __init__(self, engine: sa.Engine) -> None:
        self.engine = engine
        self._prepared = False
        self.begin_anew()
        os.register_at_fork(after_in_child=functools.partial(_fork, weakref.ref(self)))

    async def reserve(self, asked: Sequence[Asked], worst: Worst) -> Claim:
        """Reserve in all of these budgets, or in none.

        Raises LimitError where it does not fit, StorageError where the store does not answer.
        Cancelled meanwhile, it reserves nothing.
        """
        worst = Worst(_countable(worst.cost), _countable(worst.tokens) or 0)
        claim = Claim(new_id(), tuple(asked), worst)
        answer = self._submit(_Reserving(claim))
        try:
            refused = await when_done(answer)
        except asyncio.CancelledError:
            answer.add_done_callback(functools.partial(self._give_back, claim))
            raise
        if refused is not None:
            raise refused
        return claim

    def settle(self, claim: Claim, bill: Bill) -> Future[None]:
        """Book what a call took; it is on its way when this returns, and done with the future.

        Never fails: where the store does, the log says so, and the worst case stays spent.
        """
        took = Bill(_countable(bill.cost), _countable(bill.tokens), bill.calls)
        return self._submit(_Settling(claim, took))

    def spent(self, asked: Asked) -> Spent:
        """The sums of a budget by now. Blocks. Raises StorageError."""
        return self._submit(_Reading(asked)).result()

    def _give_back(self, claim: Claim, reserved: Future[LimitError | None]) -> None:
        if reserved.exception() is None and reserved.result() is None:
            self.settle(claim, Bill(0, 0, calls=0))

    def begin_anew(self) -> None:
        """Let go of what a forked child cannot use of its parent's: connections, thread, lock."""
        self.engine.dispose(close=False)
        self._lock = threading.Lock()
        self._waiting: list[_Work[Any]] = []
        self._thread = ThreadPoolExecutor(1, "onrecord-ledger")

    def _submit(self, work: _Work[T]) -> Future[T]:
        with self._lock:
            self._waiting.append(work)
        try:
            self._thread.submit(self._drain)
        except RuntimeError:  # the interpreter is shutting down, and its threads take no more work
            self._drain()
        return work.answer

    def _drain(self) -> None:
        # Each work asks for a drain, and the first drain does them all.
        with self._lock:
            works, self._waiting = self._waiting[:_BATCH], self._waiting[_BATCH:]
        if not works:
            return
        failure: Exception | None = None
        try:
            self._transact(works)
        except Exception as error:
            failure = error
            if isinstance(error, sa.exc.SQLAlchemyError | OSError):
                failure = storage_error(error, self.engine)
        for work in works:
            work.end(failure)

    def _transact(self, works: Sequence[_Work[Any]]) -> None:
        for attempt in range(_ATTEMPTS):
            try:
                with _turn(self.engine):
                    if self._write(works):
                        return
            except sa.exc.DBAPIError as error:
                if attempt == _ATTEMPTS - 1 or not _passes(error):
                    raise
                time.sleep(random.uniform(0, 0.02 * 2**attempt))
        raise StorageError("the ledger's rows vanish as they are written", where=FILE)

    def _write(self, works: Sequence[_Work[Any]]) -> bool:
        """Do all works, or, where the row of a budget is missing, make that: False."""
        if not self._prepared:
            _make_tables(self.engine)
            self._prepared = True
        rows = {row_id(asked): asked for work in works for asked in work.asked}
        with self.engine.begin() as connection:
            page = Page(connection, sorted(rows))
            # A transaction of its own: whoever waits for a new row must not hold an old one.
            if missing := rows.keys() - page.tallies.keys():
                page.open({id: rows[id] for id in sorted(missing)})
                return False
            for work in works:
                work.do(page)
            page.write()
            for work in works:
                work.look(page)
        return True


def accounts_of(engine: sa.Engine | None) -> Accounts:
    """The accounts of the store with this engine; of the project's store where it is None.

    One for each database and process, so that calls share transactions. Raises StorageError.
    """
    place = _place(engine)
    known = _known.get(str(place))
    if known is None:
        if len(_known) >= _KEPT:
            _known.pop(next(iter(_known)), None)
        try:
            own = _sqlite(place) if isinstance(place, Path) else open_engine(Path(), place)
        except OSError as error:
            raise StorageError(
                f"the ledger cannot be opened: {error.strerror}",
                where=str(place),
                cure="Check that the disk is not full and that you may write there.",
            ) from None
        known = _known.setdefault(str(place), Accounts(own))
    return known


class _Work(Generic[T]):
    """One thing to do in a transaction. Done again from the start where that fails and passes."""

    def __init__(self, *asked: Asked) -> None:
        self.asked = asked
        self.answer: Future[T] = Future()
        self.result: T

    def do(self, page: Page) -> None:
        """Change the page."""

    def look(self, page: Page) -> None:
        """Look at what has been written."""

    def end(self, failure: Exception | None) -> None:
        """Answer; the transaction is committed, or has failed."""
        if failure is not None:
            self.answer.set_exception(failure)
        else:
            self.answer.set_result(self.result)


class _Reserving(_Work[LimitError | None]):
    def __init__(self, claim: Claim) -> None:
        super().__init__(*claim.asked)
        self._claim = claim

    def do(self, page: Page) -> None:
        self.result = page.refused(self._claim)
        if self.result is None:
            page.reserve(self._claim)


class _Settling(_Work[None]):
    def __init__(self, claim: Claim, bill: Bill) -> None:
        super().__init__(*claim.asked)
        self._claim = claim
        self._bill = bill
        self.result = None

    def do(self, page: Page) -> None:
        page.settle(self._claim, self._bill)

    def end(self, failure: Exception | None) -> None:
        if failure is not None:
            _log.warning(
                "a call stays booked at its worst case, %s: %s", self._claim.worst, failure
            )
        self.answer.set_result(None)


class _Reading(_Work[Spent]):
    def look(self, page: Page) -> None:
        self.result = page.spent(row_id(self.asked[0]))


_KEPT = 16  # databases that one process keeps open
_BATCH = 500  # works in a transaction: it must stay short, others wait for it
_ATTEMPTS = 8
_PASSING = {"40001", "40P01"}  # PostgreSQL's serialization failure and deadlock
_MAKING = 0x6C6564676572  # the number of the lock under which PostgreSQL's tables are made
_known: dict[str, Accounts] = {}
_log = logging.getLogger("onrecord")


def _countable(amount: int | None) -> int | None:
    """A larger one passes every limit as surely, and fits into a row."""
    return None if amount is None else min(amount, MOST + 1)


def _fork(accounts: weakref.ref[Accounts]) -> None:
    if (inherited := accounts()) is not None:
        inherited.begin_anew()


def _place(engine: sa.Engine | None) -> Path | str:
    """The ledger's file, or PostgreSQL's address, equal for equal databases."""
    if engine is None:
        settings = Settings.load()
        if not settings.store:
            return settings.home.absolute() / FILE
        engine = open_engine(settings.home, settings.store)
    if not is_postgresql(engine):
        return Path(engine.url.database or FILE).absolute().with_name(FILE)
    return engine.url.render_as_string(hide_password=False)


def _sqlite(path: Path) -> sa.Engine:
    make_home(path.parent)
    url = sa.URL.create("sqlite", database=str(path))
    engine = sa.create_engine(url, connect_args={"timeout": 30})

    @sa.event.listens_for(engine, "connect")
    def _(connection: Any, record: Any) -> None:
        connection.isolation_level = None  # transactions begin where the ledger says so
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")

    @sa.event.listens_for(engine, "begin")
    def _(connection: sa.Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


def _make_tables(engine: sa.Engine) -> None:
    with engine.begin() as connection:
        if is_postgresql(connection):  # where two cannot create one table at once
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_MAKING)))
        TABLES.create_all(connection)


@contextlib.contextmanager
def _turn(engine: sa.Engine) -> Iterator[None]:
    """SQLite's writers wait for each other by trying again, and one of eight busy processes may
    never be lucky; here they stand in a line. PostgreSQL has its own."""
    if is_postgresql(engine):
        yield
        return
    with Path(f"{engine.url.database}.lock").open("ab") as file:
        with contextlib.suppress(OSError):  # a file system without such locks
            # Unlike flock's, this lock is not passed on to a child that is forked meanwhile.
            fcntl.lockf(file, fcntl.LOCK_EX)
        yield


def _passes(error: sa.exc.DBAPIError) -> bool:
    """Whether another attempt may succeed, and this one has surely changed nothing."""
    said = str(error.orig)
    busy = isinstance(error, sa.exc.OperationalError) and ("locked" in said or "busy" in said)
    return busy or getattr(error.orig, "sqlstate", None) in _PASSING

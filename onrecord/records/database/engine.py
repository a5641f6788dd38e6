"""The store's database: SQLite in the project's folder, or PostgreSQL; opened and brought up to
date."""

from __future__ import annotations

import contextlib
import errno
import functools
import importlib.util
import operator
import os
import sqlite3
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from onrecord.errors import MissingExtraError, SettingsError, StorageError

T = TypeVar("T")
FILE = "records.db"


def open_engine(home: Path, url: str, *, read_only: bool = False, fsync: bool = False) -> sa.Engine:
    """The engine of a store: `url` for PostgreSQL, SQLite under `home` where it is empty.

    `read_only`: open SQLite's file without writing anything beside it. `fsync`: what is committed
    there survives a power cut. A forked child gets connections of its own. Raises SettingsError
    for an address that is none, MissingExtraError without the driver.
    """
    engine = _postgresql(url) if url else _sqlite(home / FILE, read_only, fsync)
    _part_at_forks()
    _engines.add(engine)
    return engine


def _postgresql(url: str) -> sa.Engine:
    try:
        address = sa.make_url(url)
    except sa.exc.ArgumentError:
        address = None
    if address is None or address.get_backend_name() not in ("postgresql", "postgres"):
        raise SettingsError(
            "the setting 'store' is not the address of a database",
            cure="Write postgresql://user:password@host/database, or leave it empty for SQLite.",
        )
    if importlib.util.find_spec("psycopg") is None:
        raise MissingExtraError(
            "PostgreSQL needs a driver", cure="Install it with `pip install 'onrecord[postgres]'`."
        )
    address = address.set(drivername="postgresql+psycopg")
    return sa.create_engine(address, pool_pre_ping=True, connect_args={"connect_timeout": 10})


@contextlib.contextmanager
def reading(engine: sa.Engine) -> Iterator[sa.Connection]:
    """A connection that sees one state of the database, and stands in nobody's way."""
    with engine.connect() as connection:
        if is_postgresql(connection):  # else each statement there sees a state of its own
            connection = connection.execution_options(isolation_level="REPEATABLE READ")
        yield connection.execution_options(onrecord_reading=True)


def write(engine: sa.Engine, work: Callable[[sa.Connection], T]) -> T:
    """Do it in one transaction, beside other writers and never beside an erasure.

    In PostgreSQL, where two writers may wait for each other, it is then done again.
    """
    for left in reversed(range(_TRIES)):
        try:
            with engine.begin() as connection:
                if is_postgresql(connection):
                    connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock_shared({_ERASURE})")
                return work(connection)
        except sa.exc.OperationalError as error:
            if not left or getattr(error.orig, "sqlstate", None) != _DEADLOCK:
                raise
    raise AssertionError("unreachable")


def lock_out_writers(connection: sa.Connection) -> None:
    """Let nobody else write records until this transaction ends, whatever machine they are on.

    A record that is just being written may hold a body that nobody else holds any more. SQLite's
    transactions begin as those of the only writer.
    """
    if is_postgresql(connection):
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_ERASURE})")


def insert(connection: sa.Connection, table: sa.Table) -> Any:
    """An INSERT that knows `on_conflict_do_nothing`, in the connection's dialect."""
    return (postgresql if is_postgresql(connection) else sqlite).insert(table)


def insert_new(connection: sa.Connection, table: sa.Table, rows: list[dict[str, Any]]) -> None:
    """Insert many rows, each with every column; those whose key is there already are left alone.

    SQLAlchemy writes the statement, and the driver takes the values as they are: for a hundred
    thousand rows, what SQLAlchemy does to every value takes longer than the database.
    """
    if not rows:
        return
    text, order = _statement(connection.dialect, table)
    values = [order(row) for row in rows] if order is not None else rows
    connection.exec_driver_sql(text, values)


@functools.lru_cache(maxsize=64)
def _statement(dialect: sa.Dialect, table: sa.Table) -> tuple[str, Callable[[Any], Any] | None]:
    """An INSERT in a dialect's words, and how a row becomes its values; None: as it is."""
    kind = postgresql if dialect.name == "postgresql" else sqlite
    compiled = kind.insert(table).on_conflict_do_nothing().compile(dialect=dialect)
    order = getattr(compiled, "positiontup", None)
    return str(compiled), operator.itemgetter(*order) if order else None


def is_postgresql(connection: sa.Connection | sa.Engine) -> bool:
    """Whether this is PostgreSQL; SQLite otherwise."""
    return connection.dialect.name == "postgresql"


def location(engine: sa.Engine) -> str:
    """Where the records are: a file, or the address of a database without its password."""
    if is_postgresql(engine):
        return engine.url.render_as_string(hide_password=True)
    return str(engine.url.database)


def is_damaged(error: BaseException) -> bool:
    """Whether an error says that the database file itself is broken."""
    said = str(getattr(error, "orig", None) or error)
    return "not a database" in said or "malformed" in said


def is_full(error: BaseException) -> bool:
    """Whether an error says that nothing can be written for want of room.

    SQLite says that something is wrong with the disk where it cannot make the file as large as it
    needs that it shares with others beside the database.
    """
    reason = getattr(error, "orig", None) or error
    if isinstance(reason, OSError):
        return reason.errno in (errno.ENOSPC, errno.EDQUOT)
    code: int = getattr(reason, "sqlite_errorcode", 0)
    return code & 0xFF == sqlite3.SQLITE_FULL or code == sqlite3.SQLITE_IOERR_SHMSIZE


def is_gone(error: BaseException) -> bool:
    """Whether an error says that the tables are not there: the file was removed meanwhile."""
    return "no such table" in str(getattr(error, "orig", ""))


def is_refused(error: BaseException) -> bool:
    """Whether a database, or its driver, refuses the values it is to keep, and would do so again.

    Not where it cannot be reached, is locked, full or damaged, or forbids it to this user.
    """
    if not isinstance(error, sa.exc.DBAPIError):
        # What a driver says while it packs a value; anything else is a slip of our own.
        reason = error.orig if isinstance(error, sa.exc.StatementError) else error
        return isinstance(reason, OverflowError | ValueError)
    if (state := getattr(error.orig, "sqlstate", None)) is not None:
        return str(state)[:2] in _REFUSED_STATES
    if (code := getattr(error.orig, "sqlite_errorcode", None)) is not None:
        return code & 0xFF in _REFUSED_CODES
    # Else the driver said it: a NUL in a text, a value of a type that it does not know.
    return isinstance(error, sa.exc.DataError) or "binding parameter" in str(error.orig)


def reason_of(error: BaseException) -> str:
    """What a database or disk said, on one line."""
    reason = getattr(error, "orig", None) or getattr(error, "strerror", None) or error
    return " ".join(str(reason).split())


def storage_error(error: BaseException, engine: sa.Engine) -> StorageError:
    """What went wrong with the store, in one sentence and without the password."""
    cure = "Check that the server runs and that the address, user and password are right."
    if not is_postgresql(engine):
        cure = "Check that the disk is not full and that you may write there."
        if is_damaged(error):
            cure = "The file is damaged: the next command moves it aside and begins a new one."
    what = f"the records cannot be read or written: {reason_of(error)}"
    return StorageError(what, where=location(engine), cure=cure)


@contextlib.contextmanager
def told_errors(engine: sa.Engine) -> Iterator[None]:
    """What a database or disk says becomes a StorageError."""
    try:
        yield
    except (sa.exc.DBAPIError, OSError) as error:
        raise storage_error(error, engine) from None


_ERASURE = 7204002  # the number of PostgreSQL's lock
_TRIES = 6
_DEADLOCK = "40P01"  # two transactions waited for each other, and this one was broken off
# A value that does not fit, breaks a rule of the tables, or passes a bound of the database.
_REFUSED_STATES = ("22", "23", "54")
_REFUSED_CODES = (
    sqlite3.SQLITE_TOOBIG,
    sqlite3.SQLITE_CONSTRAINT,
    sqlite3.SQLITE_MISMATCH,
    sqlite3.SQLITE_RANGE,
)
_engines: weakref.WeakSet[sa.Engine] = weakref.WeakSet()
_inherited: list[sa.Pool] = []


@functools.cache
def _part_at_forks() -> None:
    os.register_at_fork(after_in_child=_part)


def _part() -> None:
    """A child must not speak through its parent's connections, nor close them."""
    for engine in list(_engines):
        _inherited.append(engine.pool)
        engine.dispose(close=False)


def _sqlite(path: Path, read_only: bool, fsync: bool) -> sa.Engine:
    how: dict[str, Any] = {"connect_args": {"timeout": 60}}
    if read_only:
        how = {"creator": lambda: _connect_to_read(path)}
    engine = sa.create_engine(sa.URL.create("sqlite", database=str(path)), **how)
    synchronous = "FULL" if fsync else "NORMAL"

    @sa.event.listens_for(engine, "connect")
    def connected(connection: Any, record: Any) -> None:
        connection.isolation_level = None  # the driver's own BEGIN comes too late for a safe fold
        if not read_only:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute(f"PRAGMA synchronous = {synchronous}")
            connection.execute("PRAGMA secure_delete = ON")
            connection.execute("PRAGMA cache_size = -32000")
            connection.execute("PRAGMA wal_autocheckpoint = 16384")
            connection.execute("PRAGMA analysis_limit = 400")
        record.info["file"] = file_at(path)

    @sa.event.listens_for(engine, "checkout")
    def taken_up(connection: Any, record: Any, proxy: Any) -> None:
        if record.info.get("file") != file_at(path):
            raise sa.exc.DisconnectionError("another process has replaced the file")

    @sa.event.listens_for(engine, "begin")
    def begun(connection: sa.Connection) -> None:
        # Whoever reads in order to write must hold the write lock from the start: two folds of one
        # segment would otherwise both begin at its old offset.
        mode = "" if connection.get_execution_options().get("onrecord_reading") else "IMMEDIATE"
        connection.exec_driver_sql(f"BEGIN {mode}")

    return engine


def file_at(path: Path) -> tuple[int, int] | None:
    """Which file it is, whatever its name: None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _connect_to_read(path: Path) -> sqlite3.Connection:
    """A connection that writes nothing, the files beside the database included.

    What other processes have written and not yet brought into the file is seen where SQLite can
    share their files beside it. Else nobody has it open, or nothing can be shared: then the file
    is read as it stands.
    """
    address = path.absolute().as_uri()
    if path.with_name(f"{path.name}-wal").exists():
        shared = _connection(f"{address}?mode=ro")
        try:
            shared.execute("SELECT count(*) FROM sqlite_master")
        except sqlite3.OperationalError:
            shared.close()
        else:
            return shared
    return _connection(f"{address}?immutable=1")


def _connection(address: str) -> sqlite3.Connection:
    return sqlite3.connect(address, uri=True, timeout=60, check_same_thread=False)

"""The store's database: SQLite in the project's folder, or PostgreSQL; opened and brought up to
date."""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import operator
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from onrecord.errors import MissingExtraError, SettingsError, StorageError

FILE = "records.db"


def open_engine(home: Path, url: str) -> sa.Engine:
    """The engine of a store: `url` for PostgreSQL, SQLite under `home` where it is empty.

    Raises SettingsError for an address that is none, MissingExtraError without the driver.
    """
    if not url:
        return _sqlite(home / FILE)
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
        yield connection.execution_options(onrecord_reading=True)


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


def is_damaged(error: BaseException) -> bool:
    """Whether an error says that the database file itself is broken."""
    said = str(getattr(error, "orig", None) or error)
    return "not a database" in said or "malformed" in said


def storage_error(error: BaseException, engine: sa.Engine) -> StorageError:
    """What went wrong with the store, in one sentence and without the password."""
    reason = getattr(error, "orig", None) or getattr(error, "strerror", None) or error
    where = engine.url.render_as_string(hide_password=True)
    cure = "Check that the server runs and that the address, user and password are right."
    if not is_postgresql(engine):
        where = str(engine.url.database)
        cure = "Check that the disk is not full and that you may write there."
        if is_damaged(error):
            cure = "The file is damaged: the next command moves it aside and begins a new one."
    said = " ".join(str(reason).split())
    return StorageError(f"the records cannot be read or written: {said}", where=where, cure=cure)


def _sqlite(path: Path) -> sa.Engine:
    engine = sa.create_engine(
        sa.URL.create("sqlite", database=str(path)), connect_args={"timeout": 60}
    )

    @sa.event.listens_for(engine, "connect")
    def _(connection: Any, record: Any) -> None:
        connection.isolation_level = None  # the driver's own BEGIN comes too late for a safe fold
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA secure_delete = ON")
        connection.execute("PRAGMA cache_size = -32000")
        connection.execute("PRAGMA wal_autocheckpoint = 16384")
        connection.execute("PRAGMA analysis_limit = 400")

    @sa.event.listens_for(engine, "begin")
    def _(connection: sa.Connection) -> None:
        # Whoever reads in order to write must hold the write lock from the start: two folds of one
        # segment would otherwise both begin at its old offset.
        mode = "" if connection.get_execution_options().get("onrecord_reading") else "IMMEDIATE"
        connection.exec_driver_sql(f"BEGIN {mode}")

    return engine

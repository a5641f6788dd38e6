"""The second wall in PostgreSQL: a transaction that only reads, of a role that may do little.

Each query gets a connection of its own, in a READ ONLY transaction with a time limit, and is run
as a cursor over the extended protocol: the server itself takes one statement there, and of a cursor
only a query. The server cuts long values before it sends them.

Which tables may be read is the role's affair. A superuser may read every table and the server's
files whatever the transaction is, so such a session is refused: connect as a role that may read
what the model may, or name one by `role`.

What this does not cover. Any role may look at the server's catalogs (the names of tables, columns
and roles), and `SET ROLE` can be taken back by a query; against both there is the first wall only.
A login role of its own is the stronger way. The server may use its memory for what one statement
needs, and functions that others wrote run as they were written.
"""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Iterator, Sequence
from typing import Any

import sqlalchemy as sa

from onrecord.errors import MissingExtraError, OnrecordError, StorageError, UsageError
from onrecord.programs.tools.sql_access import schema
from onrecord.programs.tools.sql_access.answer import CELL, Bounds, Rows, shown
from onrecord.programs.tools.sql_access.parsing import Dialect
from onrecord.programs.tools.sql_access.sqlite import too_slow


class PostgreSQL:
    """A database, and what of it may be read. Raises UsageError or StorageError."""

    dialect: Dialect = "postgresql"

    def __init__(self, url: sa.URL, wanted: Sequence[str] | None, role: str | None) -> None:
        if importlib.util.find_spec("psycopg") is None:
            raise MissingExtraError(
                "PostgreSQL needs a driver",
                cure="Install it with `pip install 'onrecord[postgres]'`.",
            )
        address = url.set(drivername="postgresql+psycopg")
        self._role = role
        self._engine = sa.create_engine(
            address, poolclass=sa.NullPool, connect_args={"connect_timeout": 10}
        )
        try:
            with self._session(_LOOKING) as connection:
                _check_role(connection, role)
            self.allowed, self.tables = schema.readable(self._engine, wanted)
        except sa.exc.DBAPIError as error:
            raise self._out_of_reach(error) from None

    def ask(self, statement: str, bounds: Bounds) -> str:
        """The rows of a statement as text. Raises UsageError, DeadlineError or StorageError."""
        import psycopg

        try:
            with self._session(bounds.seconds) as connection:
                driver: Any = connection.connection.driver_connection
                with driver.cursor(name="onrecord_shape") as cursor:
                    cursor.execute(statement)
                    shape = list(cursor.description or ())
                with driver.cursor(name="onrecord_rows") as cursor:
                    cursor.execute(_bounded(statement, shape))
                    rows = cursor.fetchmany(bounds.rows + 1)
                return shown(Rows([each.name for each in shape], rows), bounds)
        except sa.exc.DBAPIError as error:  # of the connection; a query's are the driver's own
            raise self._out_of_reach(error) from None
        except psycopg.errors.QueryCanceled:
            raise too_slow(bounds.seconds) from None
        except psycopg.OperationalError as error:
            raise self._out_of_reach(error) from None
        except psycopg.Error as error:
            raise _words(error) from None

    @contextlib.contextmanager
    def _session(self, seconds: float) -> Iterator[sa.Connection]:
        """A connection in a transaction that only reads, and is undone at its end."""
        with self._engine.connect() as plain:
            connection = plain.execution_options(
                postgresql_readonly=True, isolation_level="REPEATABLE READ"
            )
            milliseconds = max(1, round(seconds * 1000))
            settings = {
                "statement_timeout": milliseconds,
                "lock_timeout": milliseconds,
                "idle_in_transaction_session_timeout": milliseconds + 60_000,
                "standard_conforming_strings": "on",
                "max_parallel_workers_per_gather": 0,
            }
            begun = [f"SET LOCAL {name} = {value}" for name, value in settings.items()]
            if self._role is not None:
                name = connection.dialect.identifier_preparer.quote_identifier(self._role)
                begun.append(f"SET LOCAL ROLE {name}")
            as_it_is = {"no_parameters": True}
            connection.exec_driver_sql("; ".join(begun), execution_options=as_it_is)
            yield connection

    def _out_of_reach(self, error: Exception) -> OnrecordError:
        reason = getattr(error, "orig", None) or error
        return StorageError(
            f"the database does not answer: {' '.join(str(reason).split())[:300]}",
            where=self._engine.url.render_as_string(hide_password=True),
            cure="Check that the server runs and that address, user and role are right.",
        )


def _check_role(connection: sa.Connection, role: str | None) -> None:
    """Raises UsageError where whoever asks may do more than read tables."""
    mighty = connection.exec_driver_sql(_MIGHTY).scalar()
    if mighty:
        who = f"the role '{role}'" if role else "the user of this address"
        raise UsageError(
            f"{who} is a superuser or may read the server's files: nothing would hold a query back",
            cure="Make one that may only read (CREATE ROLE reader; GRANT SELECT ON orders TO"
            " reader) and connect as it, or name it: role='reader'.",
        )


def _bounded(statement: str, shape: Sequence[Any]) -> str:
    """The statement with every long value cut by the server, in the order of its rows."""
    names = [f"c{number}" for number in range(1, len(shape) + 1)]
    cut = [
        name if column.type_code in _SHORT else f"pg_catalog.left({name}::text, {CELL + 1})"
        for name, column in zip(names, shape, strict=True)
    ]
    if not names:
        return statement  # a query without columns
    return f"SELECT {', '.join(cut)} FROM (\n{statement}\n) AS answer({', '.join(names)})"


def _words(error: Any) -> UsageError:
    said = error.diag.message_primary or str(error)
    hint = error.diag.message_hint or ""
    return UsageError(f"the database refuses it: {' '.join(said.split())}", cure=hint)


_LOOKING = 30.0  # seconds
# Types whose values are never long: boolean, integers, floats, numeric, dates and times, uuid.
_SHORT = frozenset((16, 20, 21, 23, 26, 700, 701, 1700, 1082, 1083, 1114, 1184, 1266, 2950))
_MIGHTY = """
    SELECT rolsuper OR pg_has_role(current_user, 'pg_read_server_files', 'MEMBER')
        OR pg_has_role(current_user, 'pg_write_server_files', 'MEMBER')
        OR pg_has_role(current_user, 'pg_execute_server_program', 'MEMBER')
    FROM pg_roles WHERE rolname = current_user
"""

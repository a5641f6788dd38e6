"""The second wall in SQLite: a connection that can read the allowed tables, and nothing else.

The file is opened with `mode=ro`; `query_only` is set; SQLite's authorizer, which is asked while a
statement is compiled, lets by only reads of allowed tables and calls of known functions. A progress
handler ends a query whose time is over, and limits of SQLite's bound the size of a value.

What this does not cover. Sorting more than fits its cache is done in temporary files, as long as
the time lasts. A call of one function on a value of the largest size is not interrupted in its
middle. A view may be read where the tables it reads may not; should the first wall fail, a query
can count the rows of those tables, and one that names a common table expression as that view gets
at the columns it reads, in all rows.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from onrecord.arguments import closest
from onrecord.errors import DeadlineError, UsageError
from onrecord.programs.tools.sql_access import functions, schema
from onrecord.programs.tools.sql_access.answer import Bounds, Rows, shown
from onrecord.programs.tools.sql_access.parsing import Dialect

Event = tuple[int, str | None, str | None, str | None]
"""What SQLite asks leave for: the action, its two arguments, and the view it is done for."""


class SQLite:
    """A file, and what of it may be read. Raises UsageError where there is none."""

    dialect: Dialect = "sqlite"

    def __init__(self, url: sa.URL, wanted: Sequence[str] | None) -> None:
        name = url.database or ""
        if name in ("", ":memory:") or name.startswith("file:"):
            raise UsageError(
                "the tool for SQL reads a file of SQLite's", cure="Write sqlite:///shop.db."
            )
        self._path = Path(name).absolute()
        if not self._path.is_file():
            raise UsageError(f"there is no database at {self._path}", cure="Look at its path.")
        engine = sa.create_engine("sqlite://", creator=self._connect, poolclass=sa.NullPool)
        with _told(self._path):
            with contextlib.closing(self._connect()) as connection:
                kinds = dict(connection.execute(_KINDS).fetchall())
            virtual = [each for each, kind in kinds.items() if kind == "virtual"]
            inner = [each for each in kinds if each.startswith(_prefixes(virtual))]
            self.allowed, self.tables = schema.readable(engine, wanted, inner)
            names = {each.name for each in self.allowed.tables}
            self._virtual = [each for each in virtual if each in names]
            prefixes = _prefixes(self._virtual)
            self._names = _lowered(names, (each for each in inner if each.startswith(prefixes)))
            views = [each for each in names if kinds.get(each) == "view"]
            self._views = frozenset(event for view in views for event in self._events(view))
            through = (one for action, one, *_ in self._views if action == sqlite3.SQLITE_READ)
            self._closed = _lowered(kinds) - self._names - _lowered(map(str, through))

    def ask(self, statement: str, bounds: Bounds) -> str:
        """The rows of a statement as text. Raises UsageError or DeadlineError."""
        deadline = time.monotonic() + bounds.seconds
        with _told(self._path), contextlib.closing(self._connect()) as connection:
            for table in (*self._virtual, *_TABLES_OF_FUNCTIONS):
                # Made when they are first named, by a statement that the authorizer would not pass.
                connection.execute(f"SELECT 1 FROM {_quoted(table)} LIMIT 0")
            connection.set_authorizer(self._authorized)
            connection.set_progress_handler(lambda: time.monotonic() > deadline, _STEPS)
            try:
                cursor = connection.execute(statement)
                columns = [each[0] for each in cursor.description or ()]
                return shown(Rows(columns, cursor), bounds)
            except (sqlite3.Error, sqlite3.Warning) as error:
                if getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_INTERRUPT:
                    raise too_slow(bounds.seconds) from None
                raise UsageError(*self._words(error)) from None

    def _connect(self) -> sqlite3.Connection:
        address = f"{self._path.as_uri()}?mode=ro"
        connection = sqlite3.connect(address, uri=True, timeout=1, check_same_thread=False)
        connection.isolation_level = None
        # A text that is no UTF-8 is shown with signs in place of what is none.
        connection.text_factory = lambda text: text.decode("utf-8", "replace")
        for pragma in ("query_only = ON", "trusted_schema = OFF", "cell_size_check = ON"):
            connection.execute(f"PRAGMA {pragma}")
        for limit, value in _LIMITS:
            connection.setlimit(limit, value)
        return connection

    def _events(self, view: str) -> list[Event]:
        """What SQLite asks for while it compiles a read of a view: what the view may do."""
        seen: list[Event] = []

        def note(action: int, one: str | None, two: str | None, _: Any, inside: str | None) -> int:
            seen.append((action, one, two, inside))
            return sqlite3.SQLITE_OK

        with contextlib.closing(self._connect()) as connection:
            connection.set_authorizer(note)
            with contextlib.suppress(sqlite3.Error):  # a broken view: nothing is to be read there
                connection.execute(f"EXPLAIN SELECT * FROM {_quoted(view)}").close()
        return [each for each in seen if each[0] in _OF_VIEWS and each[3] is not None]

    def _authorized(
        self, action: int, one: str | None, two: str | None, _: str | None, inside: str | None
    ) -> int:
        """Whether SQLite may do what a statement asks of it."""
        of_a_view = (action, one, two, inside) in self._views
        if of_a_view or action in (sqlite3.SQLITE_SELECT, sqlite3.SQLITE_RECURSIVE):
            may = True
        elif action == sqlite3.SQLITE_READ and two == "":
            # No column is read. It is the name of a common table expression too, or of a table
            # that a view reads, and SQLite does not say which view.
            may = not (str(one).lower() in self._closed or str(one).lower().startswith(_INNER))
        elif action == sqlite3.SQLITE_READ:
            may = str(one).lower() in self._names or one in _TABLES_OF_FUNCTIONS
        elif action == sqlite3.SQLITE_FUNCTION:
            may = str(two).lower() in _FUNCTIONS
        else:  # a full-text index asks whether it has changed
            may = action == sqlite3.SQLITE_PRAGMA and (one, two) == ("data_version", None)
        return sqlite3.SQLITE_OK if may else sqlite3.SQLITE_DENY

    def _words(self, error: Exception) -> tuple[str]:
        said = str(error)
        missing = said.partition("no such column: ")[2].rpartition(".")[2]
        columns = {each for table in self.tables for each in table.columns}
        near = closest(missing, columns) if missing else ""
        return (f"the database refuses it: {said}. {near}".strip(),)


def _prefixes(virtual: Sequence[str]) -> tuple[str, ...]:
    """How the tables begin that hold the index of a virtual table."""
    return tuple(f"{each}_" for each in virtual)


def _lowered(*several: Iterable[str]) -> frozenset[str]:
    return frozenset(each.lower() for names in several for each in names)


def _quoted(name: str) -> str:
    doubled = name.replace('"', '""')
    return f'"{doubled}"'


def too_slow(seconds: float) -> DeadlineError:
    """A query whose time was over."""
    return DeadlineError(
        f"the query was stopped after {seconds:g} s", cure="Ask for less, or filter by a key."
    )


@contextlib.contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, sa.exc.DBAPIError) as error:
        said = getattr(error, "orig", None) or error
        raise UsageError(
            f"the database cannot be read: {said}", where=os.fspath(path), cure="Look at the file."
        ) from None


_STEPS = 1_000  # of SQLite's virtual machine, between two looks at the clock
_LIMITS = (
    (sqlite3.SQLITE_LIMIT_LENGTH, 5_000_000),
    (sqlite3.SQLITE_LIMIT_COLUMN, 200),
    (sqlite3.SQLITE_LIMIT_ATTACHED, 0),
    (sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 1_000),
    (sqlite3.SQLITE_LIMIT_COMPOUND_SELECT, 50),
    (sqlite3.SQLITE_LIMIT_EXPR_DEPTH, 500),
    (sqlite3.SQLITE_LIMIT_TRIGGER_DEPTH, 0),
    (sqlite3.SQLITE_LIMIT_WORKER_THREADS, 0),
)
_OF_VIEWS = (sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION)
_INNER = ("sqlite_", "pragma_")
_TABLES_OF_FUNCTIONS = ("json_each", "json_tree")
_FUNCTIONS = functions.SQLITE | {"->", "->>", "current_date", "current_time", "current_timestamp"}
_KINDS = """
    SELECT name, CASE WHEN sql LIKE 'CREATE VIRTUAL%' THEN 'virtual' ELSE type END
    FROM sqlite_master WHERE type IN ('table', 'view')
"""

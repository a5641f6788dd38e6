"""Running the migrations of an older store: all in one transaction, and on a copy's safety.

Alembic is told to use the transaction that is begun here. It would not begin one itself for
SQLite, and a step that fails half-way must leave the store as it was.
"""

from __future__ import annotations

import contextlib
import logging
import shutil
import sqlite3
import threading
import time
from pathlib import Path

import sqlalchemy as sa

from onrecord.errors import OnrecordError, StorageError
from onrecord.records.database.engine import is_damaged, is_postgresql

ALEMBIC = sa.Table(
    "alembic_version",
    sa.MetaData(),
    sa.Column("version_num", sa.String(32), nullable=False),
    sa.PrimaryKeyConstraint("version_num", name="alembic_version_pkc"),
)
"""Where the revision is kept, as Alembic makes it: a new store is made without loading Alembic."""


def found_revision(connection: sa.Connection) -> str | None:
    """The revision that a database is at; None where there is no store yet."""
    inspector = sa.inspect(connection)
    if inspector.has_table(ALEMBIC.name):
        found = connection.scalar(sa.select(ALEMBIC.c.version_num))
        return None if found is None else str(found)
    # The first stores knew no migrations, and no PostgreSQL.
    first = not is_postgresql(connection) and inspector.has_table("record")
    return "0001" if first else None


def take_turns(connection: sa.Connection) -> None:
    """Wait for other processes that make or upgrade these tables, until the transaction ends.

    SQLite's transactions begin as those of a writer, so there it is nothing.
    """
    if is_postgresql(connection):
        connection.exec_driver_sql("SELECT pg_advisory_xact_lock(7204001)")


def stay_away(connection: sa.Connection) -> None:
    """Make the first Onrecord, which looks at SQLite's `user_version`, say that it is too old."""
    if not is_postgresql(connection):
        connection.exec_driver_sql("PRAGMA user_version = 2")


def upgrade(engine: sa.Engine, to: str) -> None:
    """Bring an older store to the revision `to`, whatever other processes are doing.

    Of a SQLite store a copy is kept beside it. Raises StorageError; then nothing has changed.
    """
    begun = time.monotonic()
    while True:
        try:
            _take_steps(engine, to)
            return
        except sa.exc.OperationalError as error:
            # Another process upgrades, and a long journal takes longer than SQLite's patience.
            if not _is_locked(error) or time.monotonic() - begun > _PATIENCE:
                raise _failed(error, engine) from error
        except sa.exc.DBAPIError as error:
            if is_damaged(error):
                raise
            raise _failed(error, engine) from error
        except OnrecordError:
            raise
        except Exception as error:  # whatever is wrong with a migration: the store is as it was
            raise _failed(error, engine) from error


_PATIENCE = 900.0  # seconds
_one_at_a_time = threading.Lock()  # Alembic's `op` is one for all threads
_log = logging.getLogger("onrecord")


def _take_steps(engine: sa.Engine, to: str) -> None:
    with _one_at_a_time, engine.begin() as connection:
        take_turns(connection)
        found = found_revision(connection)
        if found == to:
            return
        if not is_postgresql(connection) and found is not None:
            _keep_copy(Path(str(engine.url.database)), found)
        _migrate(connection, found, to)


def _migrate(connection: sa.Connection, found: str | None, to: str) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    folder = str(Path(__file__).parent / "migrations")
    config.set_main_option("script_location", folder.replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    if found == "0001":  # it was made before there were migrations
        command.stamp(config, found)
    command.upgrade(config, to)


def _keep_copy(path: Path, found: str) -> None:
    """Copy the store as it is: this transaction has changed nothing yet, and nobody else can."""
    copy = path.with_name(f"{path.name}.before-{int(found) + 1:04}")
    part = copy.with_name(f"{copy.name}.part")
    part.unlink(missing_ok=True)
    try:
        with (
            contextlib.closing(sqlite3.connect(path)) as source,
            contextlib.closing(sqlite3.connect(part)) as target,
        ):
            source.backup(target)
        shutil.copymode(path, part)
        part.replace(copy)
    except sqlite3.Error as error:
        raise sa.exc.DatabaseError(None, None, error) from error
    finally:
        part.unlink(missing_ok=True)
    _log.warning(
        "the records are brought to the format of this Onrecord; as they were, they are kept in %s",
        copy,
    )


def _is_locked(error: sa.exc.OperationalError) -> bool:
    return "locked" in str(error.orig)


def _failed(error: Exception, engine: sa.Engine) -> StorageError:
    said = " ".join(str(getattr(error, "orig", None) or error).split())
    where, cure = engine.url.render_as_string(), "Check the server's disk and the user's rights."
    if not is_postgresql(engine):
        where = str(engine.url.database)
        cure = (
            "Check that the disk has room for two more copies of the file. To begin with what the "
            "journal still holds, move the file away."
        )
    return StorageError(
        f"the records could not be brought to the format of this Onrecord, and are unchanged: "
        f"{said}",
        where=where,
        cure=f"{cure} Else go back to the Onrecord that you had.",
    )

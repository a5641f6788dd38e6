"""Bringing a store's tables up to date.

A new store is made as it is today, at once. An older one goes through `migrations/` (Alembic), one
step after the other, all in one transaction. A newer one is left alone.

In PostgreSQL the ledger's tables stand beside those of the records and are made with them; in
SQLite the ledger has a file of its own, and makes them there.
"""

from __future__ import annotations

import sqlalchemy as sa

from onrecord.errors import NewerVersionError, StorageError
from onrecord.records.database.engine import is_postgresql, reading
from onrecord.records.database.migrating import (
    ALEMBIC,
    found_revision,
    stay_away,
    take_turns,
    upgrade,
)
from onrecord.records.database.schema import METADATA
from onrecord.records.ledger_page import TABLES as LEDGER

HEAD = "0003"
"""The newest migration: what the tables of `schema.py` look like."""


def prepare(engine: sa.Engine) -> None:
    """Make or upgrade the tables.

    Raises NewerVersionError for a store that is newer than this, StorageError for a database that
    is somebody else's and for an upgrade that did not succeed: then nothing has changed.
    """
    with reading(engine) as connection:
        found = found_revision(connection)
    if found is None:
        found = _make(engine)
    if found == HEAD:
        return
    if not (len(found) == 4 and found.isdecimal()):
        raise _somebody_elses(engine)
    if found > HEAD:
        raise NewerVersionError(
            f"the records were written by a newer Onrecord (format {found}, this one knows {HEAD})",
            where=engine.url.render_as_string(),
            cure="Upgrade with `pip install -U onrecord`.",
        )
    upgrade(engine, HEAD)


def _make(engine: sa.Engine) -> str:
    """Make the tables as they are today; the revision that is there when this is done."""
    for attempt in range(_ATTEMPTS):
        try:
            return _made(engine)
        except (sa.exc.ProgrammingError, sa.exc.IntegrityError):
            # The ledger makes its own tables, too: PostgreSQL lets one of the two fail.
            if attempt == _ATTEMPTS - 1:
                raise
    raise AssertionError("unreachable")


def _made(engine: sa.Engine) -> str:
    with engine.begin() as connection:
        take_turns(connection)
        if (found := found_revision(connection)) is not None:
            return found
        if is_postgresql(connection):
            if set(sa.inspect(connection).get_table_names()) & METADATA.tables.keys():
                raise _somebody_elses(engine)
            LEDGER.create_all(connection)
        METADATA.create_all(connection)
        ALEMBIC.create(connection, checkfirst=True)
        connection.execute(sa.insert(ALEMBIC).values(version_num=HEAD))
        stay_away(connection)
    return HEAD


def _somebody_elses(engine: sa.Engine) -> StorageError:
    return StorageError(
        "this database holds tables of another application",
        where=engine.url.render_as_string(),
        cure="Give the records a database of their own (setting 'store').",
    )


_ATTEMPTS = 5

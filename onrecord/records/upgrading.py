"""Bringing a store's tables up to date.

A new store is made as it is today, at once. An older one goes through `migrations/` (Alembic), one
step after the other, each in a transaction. A newer one is left alone.
"""

from __future__ import annotations

import sqlalchemy as sa

from onrecord.errors import NewerVersionError
from onrecord.records.schema import METADATA

HEAD = "0002"
"""The newest migration: what the tables of `schema.py` look like."""


def prepare(engine: sa.Engine) -> None:
    """Make or upgrade the tables. Raises NewerVersionError for a store that is newer than this."""
    found = _version(engine)
    if found == HEAD:
        return
    if found is None:
        _make(engine)
    elif found > HEAD:
        raise NewerVersionError(
            f"the records were written by a newer Onrecord (format {found}, this one knows {HEAD})",
            where=engine.url.render_as_string(),
            cure="Upgrade with `pip install -U onrecord`.",
        )
    else:
        from onrecord.records.migrating import upgrade

        upgrade(engine, found, HEAD)


_ALEMBIC = sa.Table("alembic_version", sa.MetaData(), sa.Column("version_num", sa.String(32)))


def _version(engine: sa.Engine) -> str | None:
    """The migration that a database is at; None for an empty one."""
    with engine.connect() as connection:
        names = set(sa.inspect(connection).get_table_names())
        if _ALEMBIC.name in names:
            found = connection.scalar(sa.select(_ALEMBIC.c.version_num))
            return str(found) if found is not None else None
        # The first stores knew no migrations.
        return "0001" if "record" in names else None


def _make(engine: sa.Engine) -> None:
    with engine.begin() as connection:
        if connection.dialect.name == "postgresql":  # several processes may begin at once
            connection.exec_driver_sql("SELECT pg_advisory_xact_lock(7204001)")
        METADATA.create_all(connection)
        _ALEMBIC.create(connection, checkfirst=True)
        if connection.scalar(sa.select(_ALEMBIC.c.version_num)) is None:
            connection.execute(sa.insert(_ALEMBIC).values(version_num=HEAD))

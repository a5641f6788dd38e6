"""The place of a store: what stands there, and whether it can be written."""

from __future__ import annotations

import functools
import logging
import os
import shutil
import time
from collections.abc import Collection
from pathlib import Path

import sqlalchemy as sa

from onrecord.errors import StorageError
from onrecord.records.database.engine import FILE, is_postgresql, location, reading
from onrecord.records.database.migrating import found_revision
from onrecord.records.database.upgrading import HEAD
from onrecord.records.journal import segments


def is_writable(path: Path) -> bool:
    """Whether this process may write there; what does not exist is no obstacle."""
    try:
        right = os.W_OK | (os.X_OK if path.is_dir() else 0)
        return not path.exists() or os.access(path, right)
    except PermissionError:  # above it; whoever opens it says so
        return True


def check_file(path: Path) -> None:
    """Raises StorageError where something else than a file stands in a database's place."""
    if path.is_file() or not (path.exists() or path.is_symlink()):
        return
    if path.is_dir():
        what, cure = "a folder stands in the place of the records' database", "Move it away."
    elif path.is_symlink() and not path.exists():
        what = f"the records' database is a link to {path.readlink()}, which is not there"
        cure = "Bring that back (is its disk mounted?), or remove the link to begin anew."
    else:
        what, cure = "what stands in the place of the records' database is no file", "Move it away."
    raise StorageError(
        what, where=str(path), cure=f"{cure} Until then the journal holds what is recorded."
    )


def check_ours(engine: sa.Engine) -> None:
    """Raises StorageError for the SQLite database of another application."""
    if is_postgresql(engine):
        return
    tables = sa.text("SELECT name FROM sqlite_master WHERE type = 'table'")
    with reading(engine) as connection:
        names = set(connection.scalars(tables))
    if names and names.isdisjoint(("record", "alembic_version")):
        raise StorageError(
            "this database holds tables of another application",
            where=location(engine),
            cure="Move it away: the records make a file of their own. Until then the journal holds "
            "what is recorded.",
        )


def check_readable(engine: sa.Engine, path: Path) -> None:
    """Raises StorageError where a SQLite store cannot be read without writing first."""
    what = "there is no store of records yet"
    cure = "To see what it holds, look at a copy of the folder."
    if path.exists():
        with reading(engine) as connection:
            found = found_revision(connection)
        if found is not None and found >= HEAD:
            return
        what = f"the records are those of an older Onrecord (format {found})"
        if found is None:  # it was begun, and there was no room for the first table
            what = "the store of records has nothing in it yet"
            cure = "Make room on its disk, or let it be written."
    raise StorageError(
        f"{what}, and this folder cannot be written", where=str(path.parent), cure=cure
    )


def put_aside(path: Path) -> Path:
    """Rename a SQLite file that broke, with what stands beside it; its new name."""
    name = f"{path.name}.damaged-{time.strftime('%Y%m%d-%H%M%S')}"
    aside, number = path.with_name(name), 1
    while aside.exists():  # another one broke this very second
        number += 1
        aside = path.with_name(f"{name}-{number}")
    for ending in ("", "-wal", "-shm"):
        found = path.with_name(f"{path.name}{ending}")
        if found.exists():
            found.rename(f"{aside}{ending}")
    return aside


def bring_back(journal: Path) -> int:
    """Let the segments that were folded be folded once more; how many there are."""
    found = segments(journal / "folded")
    for each in found:
        each.path.rename(journal / each.path.name)
    return len(found)


def let_go(journal: Path, kept: Collection[str]) -> int:
    """Delete the folded segments but those called `kept`; how many bytes that were."""
    gone = [each for each in segments(journal / "folded") if each.path.name not in kept]
    for each in gone:
        each.path.unlink(missing_ok=True)
    return sum(each.size for each in gone)


def no_room(home: Path) -> StorageError:
    """What to say where nothing can be erased before there is room on the disk."""
    copies = [
        each.name
        for each in sorted(home.glob(f"{FILE}.*-*"))
        if not each.name.endswith(("-wal", "-shm"))
    ]
    what = f"{', '.join(copies)}, which are copies, or something else" if copies else "something"
    return StorageError(
        "the disk is full, and to erase records needs room on it",
        where=str(home),
        cure=f"Delete {what}, and erase again.",
    )


def has_room(home: Path, waiting: int) -> bool:
    """Whether a database can be written there, and take in `waiting` bytes of the journal."""
    # They stand in the file beside the database first, and then in the database.
    return shutil.disk_usage(home).free > _ROOM + 2 * waiting


@functools.lru_cache(maxsize=1024)  # once a process
def tell_full(home: Path) -> None:
    """Say in the log that records are read only, for the disk is full."""
    _log.warning(
        "the records can be read and not written: the disk of %s is full. What is not in the store "
        "yet is left out.",
        home,
    )


@functools.lru_cache(maxsize=1024)  # once a process
def tell_read_only(home: Path, waiting: int) -> None:
    """Say in the log that records are read only; `waiting` bytes of the journal are left out."""
    left_out = (
        f" {waiting:,} bytes of the journal are not in the store yet, and left out: look at a copy "
        "of the folder to see them."
    )
    _log.warning(
        "the records can be read and not written: %s is on a read-only disk, or not yours to write."
        "%s",
        home,
        left_out if waiting else "",
    )


_ROOM = 1_000_000  # bytes
_log = logging.getLogger("onrecord")

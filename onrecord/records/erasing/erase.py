"""Erasing: removing records for good, wherever their words are, and saying what was removed.

The frames in the journal's segments (also of processes that are alive), cases of datasets that came
from the records, then rows, tags and bodies that nobody else uses; at last the database's files are
rewritten. Rows go after the rest, for they alone say what the rest is: an erasure that was
interrupted is finished by the next one. What cannot be reached is named in the receipt.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from pathlib import Path

import sqlalchemy as sa

from onrecord.errors import StorageError, UsageError
from onrecord.records import whole_file
from onrecord.records.database.engine import FILE, is_postgresql, lock_out_writers, reading
from onrecord.records.database.schema import BODY, BODY_USE, EXPORTED, RECORD, TAG, VECTOR
from onrecord.records.erasing.holes import remember_holes
from onrecord.records.erasing.wiping import expect_ends, wipe
from onrecord.records.folding import losses
from onrecord.records.folding.refused import clear, refused, refused_of
from onrecord.records.journal import Segment, segments
from onrecord.records.query import Query, Receipt
from onrecord.records.reading import matching


def erase(engine: sa.Engine, journal: Path, home: Path, query: Query) -> Receipt:
    """Erase the records of a query. The journal is folded, and its lock is held.

    Raises UsageError for a query that names nothing, StorageError for a dataset that cannot be
    rewritten: the rows are still there then.
    """
    if query == Query():
        raise UsageError(
            "this would erase every record",
            cure="Say which: a user, a session, a time (--until), a run …",
        )
    ids, under_way = _doomed(engine, query)
    put_aside = refused_of(journal, query)
    ids |= put_aside
    frames = cases = bodies = 0
    to_rewrite = journal / ".rewrite"  # stands there until the database's files are rewritten
    if ids:
        expect_ends(journal, under_way | put_aside)
        frames = sum(wipe(each, ids) for each in _segments(journal))
        clear(journal)
        datasets = sorted((home / "datasets").glob("*.jsonl"))
        cases = sum(_erase_cases(path, ids) for path in datasets)
        to_rewrite.touch()
        bodies = _erase_rows(engine, ids)
    unfinished: tuple[str, ...] = ()
    if to_rewrite.exists():
        by_age = query == Query(until_ns=query.until_ns)
        unfinished = _rewrite(engine, wait_for_it=not by_age)
        if not unfinished:
            to_rewrite.unlink(missing_ok=True)
    remaining = (
        *unfinished,
        *_speaking(len(under_way)),
        *_elsewhere(engine),
        *_copies(engine, home),
        *_damaged(engine, journal),
        *_refused(journal, query),
    )
    return Receipt(time.time_ns(), query, len(ids), bodies, frames, cases, remaining)


def _doomed(engine: sa.Engine, query: Query) -> tuple[set[str], set[str]]:
    """The ids of a query's records, and of those that have not ended."""
    c = RECORD.c
    with reading(engine) as connection:
        rows = connection.execute(
            sa.select(c.id, c.state).where(*matching(connection, query, by_id=False))
        ).all()
    return {row.id for row in rows}, {row.id for row in rows if row.state == "open"}


def _erase_rows(engine: sa.Engine, ids: AbstractSet[str]) -> int:
    """Remove records from the tables; how many bodies went with them."""
    bodies = 0
    with engine.begin() as connection:
        lock_out_writers(connection)
        remember_holes(connection, ids)
        for some in _some(sorted(ids)):
            used = sa.select(BODY_USE.c.hash).where(BODY_USE.c.record.in_(some)).distinct()
            hashes = list(connection.scalars(used))
            for table in (BODY_USE, TAG, EXPORTED, VECTOR):
                connection.execute(sa.delete(table).where(table.c.record.in_(some)))
            connection.execute(sa.delete(RECORD).where(RECORD.c.id.in_(some)))
            still_used = sa.select(BODY_USE.c.hash).where(BODY_USE.c.hash == BODY.c.hash).exists()
            for hashes_ in _some(hashes):
                gone = sa.delete(BODY).where(BODY.c.hash.in_(hashes_), ~still_used)
                bodies += connection.execute(gone).rowcount
    return bodies


def _segments(journal: Path) -> Iterator[Segment]:
    for folder in (journal, journal / "folded", journal / "refused"):
        yield from segments(folder)


def _erase_cases(path: Path, ids: AbstractSet[str]) -> int:
    """Remove from a dataset the cases that were made from erased records."""
    try:
        with whole_file.alone(path):
            # Cut as bytes: as text, characters that JSON takes for none would count as ends of
            # lines.
            lines = path.read_bytes().splitlines(keepends=True)
            kept = [line for line in lines if not _comes_from(line, ids)]
            if len(kept) < len(lines):
                whole_file.write_bytes(path, b"".join(kept))
    except OSError as error:
        raise StorageError(
            f"cases cannot be erased from the dataset: {error.strerror or error}",
            where=str(path),
            cure="Make it readable and writable and erase again: the store still has the records.",
        ) from None
    return len(lines) - len(kept)


def _comes_from(line: bytes, ids: AbstractSet[str]) -> bool:
    """Whether a case was made from one of these records, or expects what one of them said."""
    try:
        provenance = json.loads(line).get("provenance")
    except (ValueError, AttributeError, RecursionError):
        return False
    if not isinstance(provenance, dict):
        return False
    return any(str(provenance.get(name)) in ids for name in ("record", "feedback"))


def _rewrite(engine: sa.Engine, *, wait_for_it: bool) -> tuple[str, ...]:
    """Make the database forget, on the disk too; what is unfinished about that.

    `wait_for_it`: PostgreSQL may be closed to everybody else meanwhile.
    """
    if not is_postgresql(engine):
        return _rewrite_sqlite(engine)
    if wait_for_it:
        return _rewrite_postgresql(engine)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql(f"VACUUM {', '.join(_TABLES)}")
    return (f"the files of PostgreSQL's tables: {_VACUUM_FULL}",)


def _rewrite_sqlite(engine: sa.Engine) -> tuple[str, ...]:
    connection = engine.raw_connection()
    try:
        cursor = connection.cursor()
        cursor.execute("PRAGMA busy_timeout")
        (patience,) = cursor.fetchone() or (0,)
        cursor.execute(f"PRAGMA busy_timeout = {_PATIENCE_MS}")
        try:
            cursor.execute("VACUUM")
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            busy, *_ = cursor.fetchone() or (0,)
        except sqlite3.DatabaseError as error:
            return (f"{FILE}, which could not be rewritten ({error}): {_AGAIN}",)
        finally:
            cursor.execute(f"PRAGMA busy_timeout = {patience}")
    finally:
        connection.close()
    return (f"{FILE}-wal, for somebody is reading the database: {_AGAIN}",) if busy else ()


def _rewrite_postgresql(engine: sa.Engine) -> tuple[str, ...]:
    # A plain VACUUM would leave the bytes in the tables' files until new rows need the room.
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        before = _files(connection)
        connection.exec_driver_sql(f"SET lock_timeout = {_PATIENCE_MS}")
        try:
            connection.exec_driver_sql(f"VACUUM FULL {', '.join(_TABLES)}")
        except sa.exc.DBAPIError as error:
            reason = " ".join(str(error.orig).split())
            return (f"the files of PostgreSQL's tables ({reason}): {_VACUUM_FULL}",)
        finally:
            connection.exec_driver_sql("RESET lock_timeout")
        if before & _files(connection):  # who does not own a table is only warned
            return (f"the files of PostgreSQL's tables (not the owner): {_VACUUM_FULL}",)
    return ()


def _files(connection: sa.Connection) -> set[int]:
    """The numbers of the files that the tables are in."""
    files = sa.select(*(sa.func.pg_relation_filenode(name) for name in _TABLES))
    return {int(each) for each in connection.execute(files).one()}


def _speaking(calls: int) -> Iterator[str]:
    if calls:
        yield (
            f"calls that were under way ({calls:,}): what they say at their end is wiped when it "
            "is folded, and calls that they make from now on are kept"
        )


def _elsewhere(engine: sa.Engine) -> Iterator[str]:
    if is_postgresql(engine):
        yield "PostgreSQL's write-ahead log and backups, until they are recycled"
        yield "the journals of other machines that share the database"
    else:
        yield "backups of .onrecord/"
    yield "what was exported before, and cassettes"
    yield "the keys of budgets, should they name the user"


def _copies(engine: sa.Engine, home: Path) -> Iterator[str]:
    """Older copies of the database, which only a person can say are no longer needed."""
    found = [*home.glob(f"{FILE}.before-*"), *home.glob(f"{FILE}.damaged-*")]
    if is_postgresql(engine):  # what was kept before the records moved there
        found += home.glob(FILE)
    for path in sorted(found):
        yield f"the copy {path.name}: delete it"


def _damaged(engine: sa.Engine, journal: Path) -> Iterator[str]:
    """Segments with damaged places: nobody can tell whose words these hold."""
    with reading(engine) as connection:
        names = sorted({each.segment for each in losses.damaged(connection)})
    for path in (folder / name for name in names for folder in (journal, journal / "folded")):
        if path.exists():
            yield f"the damaged bytes of {path.relative_to(journal.parent)}: delete the file"


def _refused(journal: Path, query: Query) -> Iterator[str]:
    """Files of what the database would not take: where it had to be asked, nobody looked there."""
    unasked = query.states or query.error is not None or query.text is not None
    for each in refused(journal) if unasked else ():
        path = Path(each.path).relative_to(journal.parent)
        yield f"what the database refused, in {path}: delete it"


def _some(items: list[str] | list[bytes], size: int = 500) -> Iterator[list[str] | list[bytes]]:
    for at in range(0, len(items), size):
        yield items[at : at + size]


_TABLES = ("record", "body", "body_use", "tag", "vector", "exported")
_PATIENCE_MS = 5000  # for those who read or write just now
_AGAIN = "erase again when nobody has it open"
_VACUUM_FULL = "`VACUUM FULL` by their owner rewrites them"

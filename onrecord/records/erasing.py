"""Erasing: removing records for good, wherever their words are, and saying what was removed.

Rows, bodies that nobody else uses, tags, the frames in the journal's segments (also of processes
that are alive: an erased frame keeps its length), cases of datasets that came from the records.
What cannot be reached is named in the receipt.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import sqlalchemy as sa

from onrecord.errors import UsageError
from onrecord.records.database import is_postgresql
from onrecord.records.frames import MAGIC, End, Start, erased, read_frames
from onrecord.records.journal import segments
from onrecord.records.query import Query, Receipt
from onrecord.records.reading import matching
from onrecord.records.schema import BODY, BODY_USE, EXPORTED, RECORD, TAG, VECTOR


def erase(engine: sa.Engine, journal: Path, home: Path, query: Query) -> Receipt:
    """Erase the records of a query. The journal is folded, and its lock is held."""
    if query == Query():
        raise UsageError(
            "this would erase every record",
            cure="Say which: a user, a session, a time (--until), a run …",
        )
    ids, bodies = _erase_rows(engine, query)
    frames = sum(_erase_frames(path, ids) for path in _segments(journal)) if ids else 0
    cases = sum(_erase_cases(path, ids) for path in sorted((home / "datasets").glob("*.jsonl")))
    remaining = (*_rewrite(engine), *_copies(home)) if ids else ()
    return Receipt(time.time_ns(), query, len(ids), bodies, frames, cases, remaining)


def _erase_rows(engine: sa.Engine, query: Query) -> tuple[set[str], int]:
    c = RECORD.c
    with engine.begin() as connection:
        doomed = sa.select(c.id).where(*matching(connection, query, by_id=False))
        ids = set(connection.scalars(doomed))
        bodies = 0
        for some in _some(sorted(ids)):
            used = sa.select(BODY_USE.c.hash).where(BODY_USE.c.record.in_(some)).distinct()
            hashes = list(connection.scalars(used))
            connection.execute(sa.delete(BODY_USE).where(BODY_USE.c.record.in_(some)))
            connection.execute(sa.delete(TAG).where(TAG.c.record.in_(some)))
            connection.execute(sa.delete(EXPORTED).where(EXPORTED.c.record.in_(some)))
            connection.execute(sa.delete(VECTOR).where(VECTOR.c.record.in_(some)))
            connection.execute(sa.delete(RECORD).where(c.id.in_(some)))
            still_used = sa.select(BODY_USE.c.hash).where(BODY_USE.c.hash == BODY.c.hash).exists()
            for hashes_ in _some(hashes):
                gone = sa.delete(BODY).where(BODY.c.hash.in_(hashes_), ~still_used)
                bodies += connection.execute(gone).rowcount
    return ids, bodies


def _segments(journal: Path) -> Iterator[Path]:
    for folder in (journal, journal / "folded"):
        yield from (segment.path for segment in segments(folder))


def _erase_frames(path: Path, ids: set[str]) -> int:
    """Overwrite the frames of records in a segment, in place: its writer only ever appends."""
    data = path.read_bytes()
    begin, count = len(MAGIC), 0
    file = os.open(path, os.O_WRONLY)
    try:
        for frame, end in read_frames(data, begin):
            if isinstance(frame, Start | End) and frame.id in ids:
                os.pwrite(file, erased(end - begin), begin)
                count += 1
            begin = end
        if count:
            os.fsync(file)
    finally:
        os.close(file)
    return count


def _erase_cases(path: Path, ids: set[str]) -> int:
    """Remove from a dataset the cases that were made from erased records."""
    # Cut as bytes: as text, characters that JSON takes for none would count as ends of lines.
    lines = path.read_bytes().splitlines(keepends=True)
    kept = [line for line in lines if not _comes_from(line, ids)]
    if len(kept) < len(lines):
        beside = path.with_suffix(".jsonl.part")
        beside.write_bytes(b"".join(kept))
        beside.replace(path)
    return len(lines) - len(kept)


def _comes_from(line: bytes, ids: set[str]) -> bool:
    """Whether a case was made from one of these records, or expects what one of them said."""
    try:
        provenance = json.loads(line).get("provenance")
    except (ValueError, AttributeError, RecursionError):
        return False
    if not isinstance(provenance, dict):
        return False
    return not ids.isdisjoint(str(provenance.get(name)) for name in ("record", "feedback"))


def _rewrite(engine: sa.Engine) -> tuple[str, ...]:
    """Make the database forget, on the disk too; what it cannot promise."""
    connection = engine.raw_connection()
    try:
        cursor = connection.cursor()
        if is_postgresql(engine):
            connection.commit()
            connection.driver_connection.autocommit = True  # type: ignore[union-attr]  # psycopg's own attribute; VACUUM refuses a transaction
            cursor.execute("VACUUM record, body, body_use, tag, vector")
            connection.driver_connection.autocommit = False  # type: ignore[union-attr]  # as above
            return (
                "PostgreSQL's write-ahead log and backups, until they are recycled",
                "the journals of other machines that share the database",
                "what was exported before, and cassettes",
                "the keys of budgets, should they name the user",
            )
        cursor.execute("VACUUM")
        cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    finally:
        connection.close()
    return (
        "backups of .onrecord/",
        "what was exported before, and cassettes",
        "the keys of budgets, should they name the user",
    )


def _copies(home: Path) -> tuple[str, ...]:
    """Older copies of the database, which only a person can say are no longer needed."""
    found = (*home.glob("records.db.before-*"), *home.glob("records.db.damaged-*"))
    return tuple(f"the copy {path.name}: delete it" for path in sorted(found))


def _some(items: list[str] | list[bytes], size: int = 500) -> Iterator[list[str] | list[bytes]]:
    for at in range(0, len(items), size):
        yield items[at : at + size]

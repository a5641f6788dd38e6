"""How the store and its journal are, for whoever runs them."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import msgspec
import sqlalchemy as sa

from onrecord.errors import StorageError
from onrecord.records.database.engine import FILE, location
from onrecord.records.database.schema import RECORD
from onrecord.records.folding.fold import has_writer, newer_version
from onrecord.records.folding.losses import Damage
from onrecord.records.folding.refused import Refused, refused
from onrecord.records.journal import Segment, segments
from onrecord.records.store import Store
from onrecord.records.views.listing import connected


class Newer(msgspec.Struct, frozen=True):
    """A segment that a newer Onrecord wrote, and the version of its journal."""

    path: str
    version: int


class Health(msgspec.Struct, frozen=True):
    """How a store is. Sizes in bytes, times in nanoseconds since 1970.

    `waiting` bytes of the journal are not in the store yet; those of `newer` segments are among
    them. `lost` calls have no record, or an unfinished one; `torn` bytes were passed over, those of
    `damage` within segments among them. `damaged` are files that were put aside, `refused` files of
    what the database would not take. `notes` say in sentences what somebody should know, and do.
    """

    where: str
    journal: str
    records: int
    runs: int
    under_way: int
    oldest_ns: int | None
    newest_ns: int | None
    size: int | None
    segments: int
    writers: int
    waiting: int
    folded_segments: int
    journal_size: int
    lost: int
    torn: int
    damaged: tuple[str, ...]
    damage: tuple[Damage, ...] = ()
    newer: tuple[Newer, ...] = ()
    read_only: bool = False
    refused: tuple[Refused, ...] = ()
    notes: tuple[str, ...] = ()


def health(store: Store) -> Health:
    """How the store and its journal are, once the store has taken in what it can."""
    notes = _fold(store)
    c = RECORD.c
    counted = sa.select(
        sa.func.count(),
        sa.func.min(c.id),
        sa.func.max(c.id),  # ids ascend with time
    )
    with connected(store) as connection:
        records, oldest, newest = connection.execute(counted).one()
        runs = connection.scalar(sa.select(sa.func.count()).where(c.parent.is_(None)))
        under_way = connection.scalar(sa.select(sa.func.count()).where(c.state == "open"))
        ends = sa.select(c.id, c.started_ns).where(c.id.in_([oldest, newest]))
        times = {row.id: row.started_ns for row in connection.execute(ends)}
    journal = store.home / "journal"
    writing, folded = segments(journal), segments(journal / "folded")
    file = store.home / FILE
    damage, newer = tuple(store.damage), tuple(_newer(writing))
    notes += [_damage_note(each, journal) for each in damage]
    notes += [_newer_note(each) for each in newer]
    put_aside = tuple(refused(journal))
    notes += [_refused_note(each) for each in put_aside]
    return Health(
        where=location(store.engine),
        journal=str(journal),
        records=records,
        runs=runs or 0,
        under_way=under_way or 0,
        oldest_ns=times.get(oldest),
        newest_ns=times.get(newest),
        size=file.stat().st_size if file.exists() and not store.engine.url.host else None,
        segments=len(writing),
        writers=len({each.writer for each in writing if has_writer(each)}),
        waiting=store.waiting,
        folded_segments=len(folded),
        journal_size=sum(each.size for each in (*writing, *folded)),
        lost=store.lost,
        torn=store.torn,
        damaged=tuple(sorted(str(each) for each in store.home.glob(f"{FILE}.damaged-*[0-9]"))),
        damage=damage,
        newer=newer,
        read_only=store.read_only,
        refused=put_aside,
        notes=tuple(notes),
    )


def _fold(store: Store) -> list[str]:
    """Take in what waits, or calls would be counted as under way that ended long ago."""
    try:
        store.fold()
    except StorageError as error:
        return [f"What waits in the journal is not counted: {error}"]
    if store.full:
        return [
            "The records can be read and not written: the disk is full. What waits in the journal "
            "is not among them."
        ]
    if store.read_only:
        return [
            "The records can be read and not written: a read-only disk, or not yours to write. "
            "What waits in the journal is not among them."
        ]
    return []


def _newer(found: list[Segment]) -> list[Newer]:
    newer = []
    for each in found:
        with suppress(FileNotFoundError):  # it has just been folded
            if (version := newer_version(each.path)) is not None:
                newer.append(Newer(str(each.path), version))
    return newer


def _damage_note(damage: Damage, journal: Path) -> str:
    path = journal / "folded" / damage.segment
    kept = f"The file is kept: {path}" if path.exists() else "The file is gone"
    return (
        f"{damage.size:,} bytes of {damage.segment}, from byte {damage.begin:,} on, are damaged "
        f"and could not be read. {kept}."
    )


def _newer_note(newer: Newer) -> str:
    return (
        f"{newer.path} was written by a newer Onrecord (journal version {newer.version}). It waits "
        "there: upgrade with `pip install -U onrecord`."
    )


def _refused_note(refused: Refused) -> str:
    return (
        f"The database refused what {refused.calls:,} calls recorded; the log said why. It is kept "
        f"in {refused.path}: moved into the journal's folder it is tried again."
    )

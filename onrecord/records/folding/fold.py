"""Folding: from the journal's segments into the store's tables, each record exactly once.

    segment -> frames -> rows -> one transaction with the position up to which it was read

Taking in a frame twice changes nothing, and position and rows are committed together. One process
folds at a time (a lock beside the segments). A segment whose writer has gone on or is gone is put
aside when it is in: from those the store is rebuilt should its file ever break, and the oldest
make room; a damaged one is kept. Calls that a writer left open when it went become *interrupted*.
What the database refuses is put aside by itself (refused.py), and stops nothing.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import logging
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import sqlalchemy as sa

from onrecord.errors import StorageError
from onrecord.records.database.engine import insert, is_postgresql, is_refused, write
from onrecord.records.database.schema import RECORD, SEGMENT
from onrecord.records.erasing.wiping import wipe_ends
from onrecord.records.folding import losses
from onrecord.records.folding.losses import Damage
from onrecord.records.folding.refused import Refusal, put_aside, refused_calls, take_what_fits
from onrecord.records.folding.rows import take_in
from onrecord.records.frames import (
    MAGIC,
    READABLE,
    Frame,
    Gap,
    is_torn,
    read_frames,
    version_of,
)
from onrecord.records.journal import Segment, is_being_written, segments
from onrecord.records.whole_file import sync_folder
from onrecord.settings import make_home


class Folding:
    """Folds the segments of one journal folder.

    `room`: bytes that folded segments may take. `fsync`: a segment that is put aside stays there
    after a power cut.
    """

    def __init__(self, engine: sa.Engine, journal: Path, room: int, *, fsync: bool = False) -> None:
        self._engine = engine
        self._journal = journal
        self._room = room
        self._fsync = fsync
        self._done = False  # whether segments were put aside

    def fold(self, *, wait: bool = True, stopped: Callable[[], bool] = lambda: False) -> int:
        """Take in what the segments hold and the store does not yet; how many frames.

        `wait`: for another process that folds just now; else that is left to it. Raises
        StorageError where that takes too long.
        """
        if not segments(self._journal):
            return 0
        with folding_lock(self._journal, wait=wait) as held:
            return self.fold_held(stopped) if held else 0

    def fold_held(self, stopped: Callable[[], bool] = lambda: False) -> int:
        """`fold`, for whoever holds the lock already."""
        frames = self._fold(stopped)
        if self._done:
            self._make_room()
        if frames > _MANY and not is_postgresql(self._engine):
            with self._engine.begin() as connection:  # or its plans are guesses
                connection.exec_driver_sql("ANALYZE")
        return frames

    def _fold(self, stopped: Callable[[], bool]) -> int:
        found = segments(self._journal)
        # Asked before reading: a writer that ends in between is taken to be alive, and its
        # segment is finished by the next fold.
        writing = {each.path for each in _last(found).values() if has_writer(each)}
        # One that is not may have gone on to a segment that was not there when we looked.
        last = {each.path for each in _last(segments(self._journal)).values()}
        frames = 0
        for segment in found:
            if stopped():
                break
            with contextlib.suppress(FileNotFoundError):  # erased by hand
                alive = segment.path in writing
                frames += self._segment(segment, alive, segment.path in last, stopped)
        return frames

    def _segment(
        self, segment: Segment, writing: bool, last: bool, stopped: Callable[[], bool]
    ) -> int:
        frames, finished = self._take_in_whole(segment, writing, stopped)
        if writing or not finished:
            return frames
        if last:
            with self._engine.begin() as connection:
                _interrupt(connection, segment.writer)
        folded = self._journal / "folded"
        folded.mkdir(exist_ok=True)
        segment.path.rename(folded / segment.path.name)
        self._done = True
        return frames

    def _take_in_whole(
        self, segment: Segment, writing: bool, stopped: Callable[[], bool]
    ) -> tuple[int, bool]:
        """How many frames were taken in, and whether that is all there is."""
        for _ in range(_REPLACED):
            with contextlib.suppress(_Elsewhere):
                return self._take_in(segment, writing, stopped)
        return 0, False  # the next fold goes on

    def _take_in(
        self, segment: Segment, writing: bool, stopped: Callable[[], bool]
    ) -> tuple[int, bool]:
        """Raises _Elsewhere."""
        with self._engine.connect() as connection:
            known = _position(connection, segment.path.name)
            connection.rollback()
        with segment.path.open("rb") as file:
            magic = file.read(len(MAGIC))
            if magic not in READABLE and (version := newer_version(segment.path)) is not None:
                _tell_newer(segment.path, version)
                return 0, False
            # Behind a first line that is damaged there may be frames all the same.
            begin = known or (len(MAGIC) if magic in READABLE else 0)
            file.seek(begin)
            data = file.read()
        frames, position = 0, 0
        reader = read_frames(data, 0, segment.writer)
        while batch := _batch(reader):
            if stopped():
                return frames, False
            position = batch[-1][1]
            gaps = [each for each, _ in batch if isinstance(each, Gap)]
            whole = [each for each, _ in batch if not isinstance(each, Gap)]
            wipe_ends(self._journal, segment, whole)  # while they are still to be read again
            damage = [_damage(segment, begin, gap) for gap in gaps]
            self._write(segment, whole, damage, (known, begin + position))
            known = begin + position
            frames += len(whole)
        if position < len(data) and not writing:
            self._leave_rest(segment, begin, data, position)
        return frames, True

    def _write(
        self,
        segment: Segment,
        frames: list[Frame],
        damage: list[Damage],
        span: tuple[int | None, int],
    ) -> None:
        """Bring a batch into the store, with the position behind it.

        `span`: the position that the store has, and that one. Raises _Elsewhere.
        """
        known_position, position = span

        def write_all(connection: sa.Connection) -> None:
            _check_position(connection, segment.path.name, known_position)
            take_in(connection, frames, segment.writer)
            self._go_on(connection, segment, damage, position)

        def write_what_fits(connection: sa.Connection) -> tuple[list[Refusal], Path | None]:
            _check_position(connection, segment.path.name, known_position)
            refusals = take_what_fits(connection, frames, segment.writer, known)
            path = put_aside(self._journal, segment, refusals) if refusals else None
            self._go_on(connection, segment, damage, position)
            return refusals, path

        known = refused_calls(self._journal, segment.writer)
        if known or not _fits(self._engine, write_all):
            refusals, path = write(self._engine, write_what_fits)
            if refusals:
                _tell_refused(refusals, path)
        for each in damage:
            _tell_damaged(segment, each)

    def _go_on(
        self, connection: sa.Connection, segment: Segment, damage: list[Damage], position: int
    ) -> None:
        for each in damage:
            losses.pass_over(connection, each)
        _remember(connection, segment.path.name, position)

    def _leave_rest(self, segment: Segment, begin: int, data: bytes, position: int) -> None:
        """Count the bytes behind the last frame, which no frame can be read from."""
        size = len(data) - position
        if is_torn(data, position):
            _log.warning("%d bytes at the end of %s are torn and passed over", size, segment.path)
            with self._engine.begin() as connection:
                losses.lose(connection, segment.writer, torn=size)
            return
        damage = Damage(segment.path.name, begin + position, size)
        with self._engine.begin() as connection:
            losses.pass_over(connection, damage)
        _log.warning(
            "the rest of %s, %d bytes from byte %d on, could not be read: it is damaged. %s",
            segment.path,
            size,
            damage.begin,
            _KEPT,
        )

    def _make_room(self) -> None:
        """Forget the positions in segments that were put aside; the oldest of them make room."""
        folded = self._journal / "folded"
        found = segments(folded)
        done = [each.path.name for each in found]  # those of a fold that was killed, too
        with self._engine.begin() as connection:
            for at in range(0, len(done), 500):  # SQLite bounds the number of variables
                some = SEGMENT.c.name.in_(done[at : at + 500])
                connection.execute(sa.delete(SEGMENT).where(some))
            damaged = {each.segment for each in losses.damaged(connection)}
        kept = [each for each in found if each.path.name not in damaged]
        taken = sum(each.size for each in kept)
        while kept and taken > self._room:
            oldest = kept.pop(0)
            oldest.path.unlink(missing_ok=True)
            taken -= oldest.size
        if self._fsync:
            for folder in (folded, self._journal):
                sync_folder(folder)


def newer_version(segment: Path) -> int | None:
    """The version of a segment that a newer Onrecord wrote; None for any other."""
    with segment.open("rb") as file:
        beginning = file.read(len(MAGIC) + 9)
    return None if beginning.startswith(READABLE) else version_of(beginning)


def has_writer(segment: Segment) -> bool:
    """Whether a living process may still append to it."""
    with contextlib.suppress(FileNotFoundError):  # just folded, or erased by hand
        return is_being_written(segment.path)
    return False


def waiting(connection: sa.Connection, journal: Path) -> int:
    """How many bytes of the journal are not in the store yet."""
    read = {row.name: row.position for row in connection.execute(sa.select(SEGMENT))}
    return sum(
        max(each.size - read.get(each.path.name, len(MAGIC)), 0) for each in segments(journal)
    )


@contextlib.contextmanager
def folding_lock(journal: Path, *, wait: bool) -> Iterator[bool]:
    """Whether this is the process that may fold now; waits for the one that does, if asked to.

    Raises StorageError where it has waited too long: nobody goes on without the lock unknowingly.
    """
    make_home(journal.parent)
    journal.mkdir(exist_ok=True)
    file = os.open(journal / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        held = _lock(file, wait)
        if wait and not held:
            raise StorageError(
                f"another process has been folding for {_LONGEST_WAIT:g} s",
                where=str(journal),
                cure="Try again when it has ended. If it hangs or was stopped, end it.",
            )
        try:
            yield held
        finally:
            if held:  # said aloud: a forked child that shares this file must not keep it locked
                fcntl.flock(file, fcntl.LOCK_UN)
    finally:
        os.close(file)


class _Elsewhere(Exception):
    """The store does not stand where a batch begins: its file has been replaced meanwhile."""


_log = logging.getLogger("onrecord")
_REPLACED = 5  # times in a row that a file may be replaced under a fold
_BATCH = 10_000
_BATCH_BYTES = 16_000_000
_MANY = 5000
_KEPT = "The file is kept with the folded segments."


def _fits(engine: sa.Engine, work: Callable[[sa.Connection], object]) -> bool:
    """Do it in one transaction; False where the database refuses a value, and nothing is done."""
    try:
        write(engine, work)
    except Exception as error:
        if not is_refused(error):
            raise
        return False
    return True


def _last(found: list[Segment]) -> dict[str, Segment]:
    """The last segment of each writer."""
    return {each.writer: each for each in found}


def _tell_refused(refusals: list[Refusal], path: Path | None) -> None:
    _log.warning(
        "the database refuses what %d calls recorded, the first because: %s. It is put aside in "
        "%s; all other records are in.",
        len(refusals),
        refusals[0].reason,
        path,
    )


def _damage(segment: Segment, begin: int, gap: Gap) -> Damage:
    return Damage(segment.path.name, begin + gap.begin, gap.end - gap.begin)


def _tell_damaged(segment: Segment, damage: Damage) -> None:
    _log.warning(
        "%d bytes of %s, from byte %d on, are damaged and passed over. %s",
        damage.size,
        segment.path,
        damage.begin,
        _KEPT,
    )


@functools.lru_cache(maxsize=1024)  # once a process: it is looked at again at every fold
def _tell_newer(path: Path, version: int) -> None:
    _log.warning(
        "a newer Onrecord wrote %s (journal version %d); its records stay there until this one is "
        "upgraded",
        path,
        version,
    )


def _batch(reader: Iterator[tuple[Frame | Gap, int]]) -> list[tuple[Frame | Gap, int]]:
    """The next frames, few enough that nobody waits long for their transaction."""
    batch: list[tuple[Frame | Gap, int]] = []
    for each in reader:
        batch.append(each)
        if len(batch) == _BATCH or each[1] - batch[0][1] > _BATCH_BYTES:
            break
    return batch


def _interrupt(connection: sa.Connection, writer: str) -> None:
    connection.execute(
        sa.update(RECORD)
        .where(RECORD.c.writer == writer, RECORD.c.state == "open")
        .values(state="interrupted")
    )


def _position(connection: sa.Connection, segment: str) -> int | None:
    position = connection.scalar(sa.select(SEGMENT.c.position).where(SEGMENT.c.name == segment))
    return None if position is None else int(position)


def _check_position(connection: sa.Connection, segment: str, known: int | None) -> None:
    # Each transaction may be in another file than the one before (see `taken_up` in database.py).
    if _position(connection, segment) != known:
        raise _Elsewhere


def _remember(connection: sa.Connection, segment: str, position: int) -> None:
    row = insert(connection, SEGMENT).values(name=segment, position=position)
    connection.execute(
        row.on_conflict_do_update(index_elements=["name"], set_={"position": position})
    )


def _lock(file: int, wait: bool) -> bool:
    until = time.monotonic() + _LONGEST_WAIT
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            if not wait or time.monotonic() > until:
                return False
            time.sleep(0.02)
        else:
            return True


_LONGEST_WAIT = 60.0

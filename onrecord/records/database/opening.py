"""Tending: a store's database is opened, built anew where it broke or is gone, and only read where
nothing can be written.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import sqlalchemy as sa

from onrecord.records.database.engine import (
    FILE,
    file_at,
    is_damaged,
    is_full,
    is_gone,
    is_postgresql,
    open_engine,
    reading,
    storage_error,
    told_errors,
)
from onrecord.records.database.migrating import found_revision
from onrecord.records.database.place import (
    bring_back,
    check_file,
    check_ours,
    check_readable,
    has_room,
    is_writable,
    let_go,
    no_room,
    put_aside,
    tell_full,
)
from onrecord.records.database.upgrading import prepare
from onrecord.records.folding import losses
from onrecord.records.folding.fold import folding_lock
from onrecord.settings import make_home

T = TypeVar("T")


class Database:
    """The database of the store of a project.

    `engine` is another one after the file was replaced. `read_only`: nothing can be written;
    `full`: for want of room on the disk.
    """

    def __init__(self, home: Path, url: str, *, fsync: bool) -> None:
        self._home, self._url, self._fsync = home, url, fsync
        self._journal = home / "journal"
        self._file = home / FILE
        self.read_only = not (is_writable(home) and (url or is_writable(self._file)))
        self.full = False
        self._gives_way = False  # while what met a full disk is done again, without writing
        self.engine = self._open()

    def begin(self) -> None:
        """Make sure that the tables are there, as they are today."""
        if not self._url:
            check_file(self._file)
        if not self.read_only:
            make_home(self._home)
        elif not self._url:
            check_readable(self.engine, self._file)
        check_ours(self.engine)
        if not (self._url or self.read_only or self._is_there()):
            self._make()
        else:
            prepare(self.engine)

    def safely(self, work: Callable[[], T], anew: Callable[[], object]) -> T:
        """Do it; where the SQLite file is damaged or gone it is replaced, where the disk is full it
        is only read, and it is done again.

        `anew` brings into a new file what the journal holds. Raises StorageError.
        """
        before = file_at(self._file)
        try:
            return work()
        except (sa.exc.DBAPIError, OSError) as error:
            if is_postgresql(self.engine):
                raise storage_error(error, self.engine) from None
            if is_full(error) and not self.read_only and self._file.exists():
                self._only_read(error)
                self._gives_way = True
                try:
                    with told_errors(self.engine):
                        return work()
                finally:
                    self._gives_way = False
            if not (is_damaged(error) or is_gone(error)) or self.read_only:
                raise storage_error(error, self.engine) from None
            damaged = is_damaged(error)
        with told_errors(self.engine):
            self._replace(before if damaged else None)
            anew()
            return work()

    def write_again(self, waiting: int) -> bool:
        """Whether there is room on a disk that was full, so that it can be written again.

        `waiting`: bytes of the journal that are to be folded.
        """
        if self._gives_way or not (self.full and has_room(self._home, waiting)):
            return False
        self._reopen(read_only=False)
        return True

    def make_room(self, waiting: int) -> None:
        """Of a full disk: what the journal keeps in case the database should break goes.

        `waiting`: bytes of the journal that are to be folded then. Raises StorageError where that
        is not enough.
        """
        with told_errors(self.engine):
            with reading(self.engine) as connection:
                kept = {each.segment for each in losses.damaged(connection)}
            with folding_lock(self._journal, wait=True):
                freed = let_go(self._journal, kept)
        _log.warning("%d bytes of folded segments were deleted to make room for erasing", freed)
        if not self.write_again(waiting):
            raise no_room(self._home)

    def _open(self) -> sa.Engine:
        return open_engine(self._home, self._url, read_only=self.read_only, fsync=self._fsync)

    def _reopen(self, *, read_only: bool) -> None:
        self.engine.dispose()
        self.read_only = self.full = read_only
        self.engine = self._open()

    def _only_read(self, error: Exception) -> None:
        """Raises StorageError where that is not possible either."""
        said = storage_error(error, self.engine)
        self._reopen(read_only=True)
        try:
            check_readable(self.engine, self._file)
        except (sa.exc.DBAPIError, OSError):
            self._reopen(read_only=False)
            raise said from None
        tell_full(self._home)

    def _make(self) -> None:
        """A store that is made anew gets what the journal still holds of the one before it.

        Nobody folds meanwhile: who did would go on in the new one where the old one stood.
        """
        with folding_lock(self._journal, wait=True):
            count = 0 if self._is_there() else bring_back(self._journal)
            prepare(self.engine)
        if count:
            _log.warning(
                "%s was not there, or empty: it is built anew from %d segments of the journal; "
                "what that no longer held is gone.",
                self._file,
                count,
            )

    def _is_there(self) -> bool:
        with reading(self.engine) as connection:
            return found_revision(connection) is not None

    def _replace(self, broken: tuple[int, int] | None) -> None:
        """Begin a new file, in the place of the `broken` one if it still stands there."""
        self.engine.dispose()
        with folding_lock(self._journal, wait=True):
            # Another process may have done it while this one waited.
            if broken is not None and broken == file_at(self._file):
                aside = put_aside(self._file)
                bring_back(self._journal)
                _log.warning(
                    "the records' database was damaged. It is kept as %s, and built anew from the "
                    "journal: what the journal no longer held is in the damaged file only.",
                    aside,
                )
        self.begin()


_log = logging.getLogger("onrecord")

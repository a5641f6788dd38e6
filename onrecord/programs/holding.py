"""Holding a run: one process goes on with it at a time, on this machine and on all that share a
PostgreSQL store."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING

from onrecord.errors import ResumeError, StorageError
from onrecord.settings import Settings

if TYPE_CHECKING:
    import sqlalchemy as sa

    from onrecord.records.store import Store


class Hold:
    """A run in the hands of this process, until `release`. Raises ResumeError, StorageError."""

    def __init__(self, settings: Settings, run: str) -> None:
        self._here = _FileLock(settings.home / "resuming" / run)
        self._everywhere: _StoreLock | None = None
        if settings.store:
            try:
                self._everywhere = _StoreLock(settings, run)
            except BaseException:
                self._here.release()
                raise

    def publish(self) -> None:
        """Show other machines what this one has recorded: the store is what they know of the run.

        Should this machine die now, they find the run under way, and leave it alone until its
        journal has been taken in. Raises StorageError.
        """
        if self._everywhere is not None:
            self._everywhere.publish()

    def release(self) -> None:
        """Let go of it."""
        try:
            if self._everywhere is not None:
                self._everywhere.release()
        finally:
            self._here.release()


class _FileLock:
    """A lock on a file that is there for as long as it is held. Raises ResumeError."""

    def __init__(self, path: Path) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        while True:
            # A file object: it is closed, and the lock with it, even if nobody comes to release it.
            self._file = path.open("ab")
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                self._file.close()
                raise _taken(path.name) from None
            # Whoever held it until now may have removed the file that we opened.
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(path.stat(), os.fstat(self._file.fileno())):
                    return
            self._file.close()

    def release(self) -> None:
        """Let go of it."""
        self._path.unlink(missing_ok=True)
        fcntl.flock(self._file, fcntl.LOCK_UN)  # said aloud: a forked child may share the file
        self._file.close()


class _StoreLock:
    """A lock in PostgreSQL, held by a connection of its own. Raises ResumeError, StorageError."""

    def __init__(self, settings: Settings, run: str) -> None:
        from onrecord.records.database.engine import told_errors
        from onrecord.records.store import Store

        self._run = run
        self._store: Store = Store.open(settings, fold=False)
        try:
            with told_errors(self._store.engine):
                self._connection = self._store.engine.connect()
                # No transaction stays open for as long as the flow takes.
                self._connection.execution_options(isolation_level="AUTOCOMMIT")
                if not self._connection.scalar(self._said("pg_try_advisory_lock")):
                    raise _taken(run)
        except BaseException:
            self._store.close()
            raise

    def publish(self) -> None:
        """Fold what this machine has recorded into the store."""
        self._store.fold()

    def release(self) -> None:
        """Let go of it, after whoever comes next can see what was done."""
        import sqlalchemy as sa

        try:
            self.publish()
        except StorageError as error:
            _log.warning(
                "run %s: other machines cannot go on with it until this one's journal has been "
                "taken in (`onrecord records` does that): %s",
                self._run,
                error,
            )
        finally:
            try:
                with contextlib.suppress(sa.exc.SQLAlchemyError):  # a lost connection holds no lock
                    self._connection.scalar(self._said("pg_advisory_unlock"))
            finally:
                with contextlib.suppress(sa.exc.SQLAlchemyError):
                    self._connection.close()
                self._store.close()

    def _said(self, function: str) -> sa.Select[tuple[bool]]:
        import sqlalchemy as sa

        hashed = hashlib.blake2b(f"onrecord run {self._run}".encode(), digest_size=8).digest()
        key = sa.literal(int.from_bytes(hashed, signed=True), sa.BigInteger)
        return sa.select(getattr(sa.func, function)(key))


def _taken(run: str) -> ResumeError:
    return ResumeError(
        "another process goes on with the run just now",
        where=f"run {run}",
        cure="Wait until it is done.",
    )


_log = logging.getLogger("onrecord")

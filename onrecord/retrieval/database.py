"""A collection's file: one SQLite database (WAL), the system of record.

    file      a file that was ingested, by its path, with the hash of its content
    document  a loaded text with its title and metadata; many a file where rows are documents
    chunk     a span of a document, with the hashes of the vectors of itself and its sentences
    words     the chunks' titles and texts, and FTS5's index of their words (rowid = chunk.id)
    vector    vectors by the hash of embedder version and text, with how often they are used
    setting   embedder, versions, and the generation: a new one with every change

Everything else in the collection's folder is derived from this file and can be made again. What is
read from the tables and written to them is in `catalog.py`.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from onrecord.errors import NewerVersionError, StorageError


class Database:
    """One connection to a collection's database. Safe to use from any thread, one at a time."""

    def __init__(self, path: Path, *, create: bool) -> None:
        self.path = path
        self._lock = threading.RLock()
        with self._explained():
            self._connection = _connect(path, create)
            self._prepare()

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._connection.close()

    def interrupt(self) -> None:
        """Stop the query under way in another thread; it raises StorageError there."""
        self._connection.interrupt()

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A consistent view: nothing another process commits is seen until the block ends."""
        with self._transaction("BEGIN") as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction: all of the block or nothing of it; its StorageError says so."""
        try:
            with self._transaction("BEGIN IMMEDIATE") as connection:
                yield connection
        except StorageError as error:
            what = f"{error.what}; nothing was changed"
            raise StorageError(what, where=error.where, cure=error.cure) from error

    def wipe_removed(self) -> None:
        """Leave nothing of removed texts in the database or its write-ahead log.

        FTS5 only marks what is deleted until its segments are merged; SQLite leaves stale copies in
        the slack of pages it has rebalanced, even with `secure_delete`, and old pages in its log.
        Takes time in proportion to the whole collection, and as much free disk space.
        """
        try:
            # Not `writing`: by now something was changed.
            with self._transaction("BEGIN IMMEDIATE") as connection:
                connection.execute("INSERT INTO words(words) VALUES ('optimize')")
                connection.execute(_SET_UNWIPED, ("no",))
            with self._lock, self._explained():
                self._connection.execute("VACUUM")
        except StorageError as error:
            with suppress(StorageError), self.writing() as connection:
                connection.execute(_SET_UNWIPED, ("yes",))
            raise StorageError(
                "the collection is up to date, but traces of removed texts are still in its file: "
                f"it could not be rewritten ({error.what})",
                where=str(self.path),
                cure="Free some space and run the command again.",
            ) from error

    def checkpoint(self) -> None:
        """Move the write-ahead log into the database and empty it, as far as that is possible now.

        What is in the log is safe there, so a full disk or a reader in the way is no error.
        """
        with self._lock, suppress(sqlite3.Error):
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[sqlite3.Connection]:
        with self._lock, self._explained():
            self._connection.execute(begin)
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise storage_error(error, self.path) from error

    def _prepare(self) -> None:
        version = self._connection.execute("PRAGMA user_version").fetchone()[0]
        if version > _VERSION:
            raise NewerVersionError(
                f"the collection was written by a newer Onrecord (format {version}, this one "
                f"knows {_VERSION})",
                where=str(self.path.parent),
                cure="Upgrade with `pip install -U onrecord`.",
            )
        if version == 0:
            self._connection.executescript(_SCHEMA)


def storage_error(error: sqlite3.Error | OSError, path: Path) -> StorageError:
    """What went wrong with the file at `path`, in words."""
    text = str(error)
    for sign, (what, cure) in _EXPLANATIONS.items():
        if sign in text:
            return StorageError(what, where=str(path), cure=cure)
    return StorageError(f"the collection cannot be used: {text}", where=str(path))


DATABASE = "collection.db"

_VERSION = 1
_SET_UNWIPED = "INSERT OR REPLACE INTO setting VALUES ('unwiped', ?)"
_SCHEMA = f"""
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS setting(name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS file(
    id INTEGER PRIMARY KEY,
    path TEXT NOT NULL UNIQUE,
    hash BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS document(
    number INTEGER PRIMARY KEY,
    file INTEGER NOT NULL REFERENCES file,
    id TEXT NOT NULL UNIQUE,
    title TEXT NOT NULL,
    format TEXT NOT NULL,
    metadata TEXT NOT NULL,
    hash BLOB NOT NULL,
    text TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS document_file ON document(file);
CREATE TABLE IF NOT EXISTS chunk(
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    document INTEGER NOT NULL REFERENCES document,
    start INTEGER NOT NULL,
    end INTEGER NOT NULL,
    vector BLOB NOT NULL,
    spans BLOB NOT NULL,
    sentences BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS chunk_document ON chunk(document);
CREATE TABLE IF NOT EXISTS vector(
    hash BLOB PRIMARY KEY,
    uses INTEGER NOT NULL,
    data BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS vector_unused ON vector(uses) WHERE uses <= 0;
CREATE VIRTUAL TABLE IF NOT EXISTS words USING fts5(title, text, tokenize = 'porter unicode61');
PRAGMA user_version = {_VERSION};
COMMIT;
"""
_EXPLANATIONS = {
    "disk is full": (
        "the disk is full",
        "Free some space and run the command again.",
    ),
    "No space left": (
        "the disk is full",
        "Free some space and run the command again.",
    ),
    "readonly": (
        "the collection cannot be written: the disk or folder is read-only",
        "Choose another place with ONRECORD_HOME, or change the permissions.",
    ),
    "Read-only": (
        "the collection cannot be written: the disk or folder is read-only",
        "Choose another place with ONRECORD_HOME, or change the permissions.",
    ),
    "unable to open": (
        "the collection cannot be opened",
        "Check that the folder exists and that you may write there.",
    ),
    "Permission denied": (
        "the collection cannot be opened: permission denied",
        "Choose another place with ONRECORD_HOME, or change the permissions.",
    ),
    "malformed": (
        "the collection's database is damaged",
        "Remove the folder and ingest again.",
    ),
    "not a database": (
        "the collection's database is damaged",
        "Remove the folder and ingest again.",
    ),
    "locked": (
        "another process has been writing to the collection for half a minute",
        "Try again when it has finished.",
    ),
}


def _connect(path: Path, create: bool) -> sqlite3.Connection:
    connection = _opened(path, "mode=rwc" if create else "mode=rw")
    try:
        connection.execute("PRAGMA journal_mode = WAL")
    except sqlite3.OperationalError:
        if create:
            raise
        # A read-only disk: nobody can be writing, so the file can be read without a lock.
        connection.close()
        return _opened(path, "immutable=1")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("PRAGMA secure_delete = ON")
    connection.execute("PRAGMA foreign_keys = ON")
    return connection


def _opened(path: Path, how: str) -> sqlite3.Connection:
    return sqlite3.connect(
        f"{path.absolute().as_uri()}?{how}",
        uri=True,
        timeout=30,
        isolation_level=None,
        check_same_thread=False,
    )

"""What a collection holds: one SQLite database (WAL), the system of record.

    file      a file that was ingested, by its path, with the hash of its content
    document  a loaded text with its title and metadata; many a file where rows are documents
    chunk     a span of a document, with the hashes of the vectors of itself and its sentences
    words     the chunks' titles and texts, and FTS5's index of their words (rowid = chunk.id)
    vector    vectors by the hash of embedder version and text, with how often they are used
    setting   embedder, splitter, and the generation: a new one with every change

Everything else in the collection's folder is derived from this file and can be made again.
"""

from __future__ import annotations

import itertools
import sqlite3
import threading
from array import array
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec

from onrecord.errors import NewerVersionError, StorageError
from onrecord.retrieval.document import Chunk, Document


class StoredChunk(msgspec.Struct, frozen=True):
    """A chunk and its sentences (`spans`, in the chunk's text), each with the hash of its vector
    (16 bytes)."""

    chunk: Chunk
    vector: bytes
    spans: tuple[tuple[int, int], ...]
    sentences: tuple[bytes, ...]


class StoredText(msgspec.Struct, frozen=True):
    """A chunk with what a search result needs; `spans` are its sentences, in its text."""

    document_id: str
    title: str
    text: str
    start: int
    end: int
    spans: list[tuple[int, int]]
    metadata: dict[str, Any]


class StoredFile(msgspec.Struct, frozen=True):
    """A file that was ingested."""

    id: int
    path: str
    hash: bytes


class Catalog:
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
        """A transaction: all of the block or nothing of it."""
        with self._transaction("BEGIN IMMEDIATE") as connection:
            yield connection

    def settings(self) -> dict[str, str]:
        """The settings of the collection: `embedder`, `splitter`, `generation`, …"""
        with self.reading() as connection:
            return settings(connection)

    def wipe_removed(self) -> None:
        """Leave nothing of removed texts in the database or its write-ahead log.

        FTS5 only marks what is deleted until its segments are merged; SQLite leaves stale copies in
        the slack of pages it has rebalanced, even with `secure_delete`, and old pages in its log.
        Takes time in proportion to the whole collection, and as much free disk space.
        """
        try:
            with self.writing() as connection:
                connection.execute("INSERT INTO words(words) VALUES ('optimize')")
                set_setting(connection, "unwiped", "no")
            with self._lock, self._explained():
                self._connection.execute("VACUUM")
        except StorageError as error:
            with suppress(StorageError), self.writing() as connection:
                set_setting(connection, "unwiped", "yes")
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
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

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


# Reading. Each takes the connection of a `reading()` or `writing()` block.


def settings(connection: sqlite3.Connection) -> dict[str, str]:
    """The settings of the collection."""
    return dict(connection.execute("SELECT name, value FROM setting"))


def files_under(connection: sqlite3.Connection, path: str) -> list[StoredFile]:
    """The ingested file `path`, or those in the folder `path`."""
    rows = connection.execute(
        "SELECT id, path, hash FROM file WHERE path = ? OR substr(path, 1, ?) = ?",
        (path, len(path) + 1, path.rstrip("/") + "/"),
    )
    return [StoredFile(*row) for row in rows]


def files(connection: sqlite3.Connection) -> list[StoredFile]:
    """Every ingested file."""
    return [StoredFile(*row) for row in connection.execute("SELECT id, path, hash FROM file")]


def file_at(connection: sqlite3.Connection, path: str) -> StoredFile | None:
    """The ingested file `path`, if there is one."""
    row = connection.execute("SELECT id, path, hash FROM file WHERE path = ?", (path,)).fetchone()
    return None if row is None else StoredFile(*row)


def owner_of(connection: sqlite3.Connection, id: str) -> str | None:
    """The path of the file that the document `id` came from, if there is such a document."""
    row = connection.execute(
        "SELECT file.path FROM document JOIN file ON file.id = document.file WHERE document.id = ?",
        (id,),
    ).fetchone()
    return None if row is None else str(row[0])


def count_chunks(connection: sqlite3.Connection) -> int:
    """How many chunks there are."""
    return int(connection.execute("SELECT count(*) FROM chunk").fetchone()[0])


def documents_of(connection: sqlite3.Connection, file: int) -> dict[str, bytes]:
    """The hashes of a file's documents by their ids."""
    return dict(connection.execute("SELECT id, hash FROM document WHERE file = ?", (file,)))


def document(connection: sqlite3.Connection, id: str) -> Document | None:
    """A document by its id."""
    row = connection.execute(f"{_DOCUMENT} WHERE id = ?", (id,)).fetchone()
    return None if row is None else _document(row)


def documents_in(connection: sqlite3.Connection, file: int) -> list[Document]:
    """The documents of a file."""
    return [_document(row) for row in connection.execute(f"{_DOCUMENT} WHERE file = ?", (file,))]


def chunk_ids(connection: sqlite3.Connection) -> list[int]:
    """The ids of all chunks, ascending: the order of everything that is derived from them."""
    return [row[0] for row in connection.execute("SELECT id FROM chunk ORDER BY id")]


def texts(connection: sqlite3.Connection, ids: Sequence[int]) -> list[StoredText]:
    """The chunks with these ids, in their order."""
    found: dict[int, StoredText] = {}
    for some in batches(ids):
        rows = connection.execute(
            "SELECT chunk.id, document.id, document.title, words.text, chunk.start, chunk.end,"
            " chunk.spans, document.metadata FROM chunk"
            " JOIN document ON document.number = chunk.document"
            f" JOIN words ON words.rowid = chunk.id WHERE chunk.id IN ({_marks(some)})",
            some,
        )
        for id, document, title, text, start, end, spans, metadata in rows:
            found[id] = StoredText(
                document,
                title,
                text,
                start,
                end,
                split_spans(spans),
                msgspec.json.decode(metadata),
            )
    return [found[id] for id in ids]


def chunk_vectors(connection: sqlite3.Connection) -> bytes:
    """The vectors of all chunks, one behind the other, in the order of `chunk_ids`."""
    rows = connection.execute(
        "SELECT data FROM chunk JOIN vector ON vector.hash = chunk.vector ORDER BY chunk.id"
    )
    return b"".join(row[0] for row in rows)


def sentence_vectors(connection: sqlite3.Connection) -> tuple[bytes, list[int]]:
    """The vectors of all chunks' sentences, and how many sentences each chunk has."""
    lists = [
        split_hashes(row[0])
        for row in connection.execute("SELECT sentences FROM chunk ORDER BY id")
    ]
    wanted = [hash for hashes in lists for hash in hashes]
    data: dict[bytes, bytes] = {}
    for some in batches(list(set(wanted))):
        data.update(
            connection.execute(
                f"SELECT hash, data FROM vector WHERE hash IN ({_marks(some)})", some
            )
        )
    return b"".join(data[hash] for hash in wanted), [len(hashes) for hashes in lists]


def unknown_vectors(connection: sqlite3.Connection, hashes: Iterable[bytes]) -> set[bytes]:
    """Those of `hashes` that have no vector yet."""
    wanted = set(hashes)
    for some in batches(list(wanted)):
        found = connection.execute(
            f"SELECT hash FROM vector WHERE hash IN ({_marks(some)})",
            some,
        )
        wanted.difference_update(hash for (hash,) in found)
    return wanted


# Writing. Each takes the connection of a `writing()` block.


def set_setting(connection: sqlite3.Connection, name: str, value: str) -> None:
    """Set one setting of the collection."""
    connection.execute("INSERT OR REPLACE INTO setting VALUES (?, ?)", (name, value))


def put_file(connection: sqlite3.Connection, path: str, hash: bytes) -> int:
    """Note that a file with this content was ingested; its id."""
    row = connection.execute(
        "INSERT INTO file(path, hash) VALUES (?, ?)"
        " ON CONFLICT(path) DO UPDATE SET hash = excluded.hash RETURNING id",
        (path, hash),
    ).fetchone()
    return int(row[0])


def remove_file(connection: sqlite3.Connection, file: int) -> int:
    """Remove a file and its documents; how many documents there were."""
    ids = list(documents_of(connection, file))
    for id in ids:
        remove_document(connection, id)
    connection.execute("DELETE FROM file WHERE id = ?", (file,))
    return len(ids)


def put_document(
    connection: sqlite3.Connection,
    file: int,
    document: Document,
    hash: bytes,
    chunks: Sequence[StoredChunk],
) -> None:
    """Add a document with its chunks; whatever had its id before is replaced."""
    remove_document(connection, document.id)
    number = connection.execute(
        "INSERT INTO document(file, id, title, text, format, metadata, hash)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            file,
            document.id,
            document.title,
            document.text,
            document.format,
            msgspec.json.encode(document.metadata).decode(),
            hash,
        ),
    ).lastrowid
    for chunk in chunks:
        row = (
            number,
            chunk.chunk.start,
            chunk.chunk.end,
            chunk.vector,
            join_spans(chunk.spans),
            b"".join(chunk.sentences),
        )
        id = connection.execute(
            "INSERT INTO chunk(document, start, end, vector, spans, sentences)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            row,
        ).lastrowid
        words = (id, document.title, chunk.chunk.text)
        connection.execute("INSERT INTO words(rowid, title, text) VALUES (?, ?, ?)", words)
        _count_uses(connection, (chunk.vector, *chunk.sentences), 1)


def remove_document(connection: sqlite3.Connection, id: str) -> None:
    """Remove a document and its chunks, if there is one with this id."""
    rows = connection.execute(
        "SELECT chunk.id, vector, sentences FROM chunk"
        " JOIN document ON document.number = chunk.document WHERE document.id = ?",
        (id,),
    ).fetchall()
    for chunk, vector, sentences in rows:
        connection.execute("DELETE FROM words WHERE rowid = ?", (chunk,))
        connection.execute("DELETE FROM chunk WHERE id = ?", (chunk,))
        _count_uses(connection, (vector, *split_hashes(sentences)), -1)
    connection.execute("DELETE FROM document WHERE id = ?", (id,))


def put_vectors(connection: sqlite3.Connection, vectors: Iterable[tuple[bytes, bytes]]) -> None:
    """Keep vectors (hash, little-endian float16). Nobody sees them until a chunk uses them."""
    connection.executemany(
        "INSERT OR IGNORE INTO vector(hash, data, uses) VALUES (?, ?, 0)", vectors
    )


def remove_unused_vectors(connection: sqlite3.Connection) -> None:
    """Remove the vectors that no chunk uses."""
    connection.execute("DELETE FROM vector WHERE uses <= 0")


def storage_error(error: sqlite3.Error | OSError, path: Path) -> StorageError:
    """What went wrong with the file at `path`, in words."""
    text = str(error)
    for sign, (what, cure) in _EXPLANATIONS.items():
        if sign in text:
            return StorageError(what, where=str(path), cure=cure)
    return StorageError(f"the collection cannot be used: {text}", where=str(path))


def batches(items: Sequence[Any], size: int = 500) -> Iterator[Sequence[Any]]:
    """Runs of at most `size` items: SQLite bounds the number of variables of a statement."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


def split_hashes(joined: bytes) -> list[bytes]:
    """The 16-byte hashes that stand one behind the other in `joined`."""
    return [joined[start : start + 16] for start in range(0, len(joined), 16)]


def join_spans(spans: Iterable[tuple[int, int]]) -> bytes:
    """Spans as 4-byte numbers, starts and ends in turn."""
    return array("I", itertools.chain.from_iterable(spans)).tobytes()


def split_spans(joined: bytes) -> list[tuple[int, int]]:
    """The spans that `join_spans` has joined."""
    numbers = array("I", joined)
    return list(zip(numbers[::2], numbers[1::2], strict=True))


DATABASE = "collection.db"

_VERSION = 1
_DOCUMENT = "SELECT id, title, text, format, metadata FROM document"
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
        "the disk is full; nothing was changed",
        "Free some space and run the command again.",
    ),
    "No space left": (
        "the disk is full; nothing was changed",
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


def _count_uses(connection: sqlite3.Connection, hashes: Iterable[bytes], by: int) -> None:
    connection.executemany(
        "UPDATE vector SET uses = uses + ? WHERE hash = ?", [(by, hash) for hash in hashes]
    )


def _document(row: tuple[str, str, str, str, str]) -> Document:
    id, title, text, format, metadata = row
    return Document(id, title, text, format, msgspec.json.decode(metadata))


def _marks(items: Sequence[Any]) -> str:
    return ",".join("?" * len(items))

"""What a collection holds: what is read from the tables of its database, and written to them.

Each function takes the connection of a `reading()` or a `writing()` block (`database.py`, which has
the tables), so that several see one state, or change it all or not at all.
"""

from __future__ import annotations

import itertools
import sqlite3
from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec

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


# Reading


def settings(connection: sqlite3.Connection) -> dict[str, str]:
    """The settings of the collection."""
    return dict(connection.execute("SELECT name, value FROM setting"))


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


# Writing


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


_DOCUMENT = "SELECT id, title, text, format, metadata FROM document"


def _count_uses(connection: sqlite3.Connection, hashes: Iterable[bytes], by: int) -> None:
    connection.executemany(
        "UPDATE vector SET uses = uses + ? WHERE hash = ?", [(by, hash) for hash in hashes]
    )


def _document(row: tuple[str, str, str, str, str]) -> Document:
    id, title, text, format, metadata = row
    return Document(id, title, text, format, msgspec.json.decode(metadata))


def _marks(items: Sequence[Any]) -> str:
    return ",".join("?" * len(items))

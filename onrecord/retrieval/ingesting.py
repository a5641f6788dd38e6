"""Ingest: from files to a collection that can be searched.

    scan     which files are there, which are new, changed, gone        (content hashes)
    prepare  load the changed ones, split what changed in them          (into a spool file)
    embed    the texts nobody has embedded yet, window by window        (vectors are kept at once)
    write    all of it in one transaction                               (or nothing)

Only the vectors are kept before the end: they are addressed by their text's hash and nobody sees
them until a chunk uses them, so an interrupted ingest changes nothing, and the next one does not
embed again what this one did.
"""

from __future__ import annotations

import asyncio
import hashlib
import sqlite3
import struct
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import msgspec
import numpy as np

from onrecord.errors import EmptyDocumentError, LoadError, UsageError
from onrecord.messages import Progress
from onrecord.models.calling import embed
from onrecord.models.model import Embedder
from onrecord.retrieval import catalog
from onrecord.retrieval.catalog import StoredChunk, StoredFile
from onrecord.retrieval.database import Database
from onrecord.retrieval.document import Document, Failure, Splitter
from onrecord.retrieval.loading.load import failure
from onrecord.sentences import sentence_spans


class Ingested(msgspec.Struct, frozen=True):
    """What an ingest did. `added` to `unchanged` count documents, `embedded` counts texts (chunks
    and their sentences) that were given to the embedder, `chunks` is how many there are now."""

    added: int
    changed: int
    removed: int
    unchanged: int
    failed: tuple[Failure, ...]
    chunks: int
    embedded: int
    seconds: float


class Source(msgspec.Struct, frozen=True):
    """Something documents come from: a file, or a list of documents under a name.

    `path` is the name it is kept under, `place` where it is, for a person. `hash` changes whenever
    `load` could give other documents. `size` is in bytes.
    """

    path: str
    hash: bytes
    size: int
    load: Callable[[], Iterable[Document | Failure]]
    place: str = ""


class Plan(msgspec.Struct, frozen=True):
    """What an ingest is to do: take in `sources`, remove `gone`, and report `failed`."""

    sources: tuple[Source, ...]
    gone: tuple[StoredFile, ...] = ()
    failed: tuple[Failure, ...] = ()


class Ingest:
    """One ingest into one collection, under its lock. `run` may be called once."""

    def __init__(
        self,
        store: Database,
        embedder: Embedder,
        splitter: Splitter,
        report: Callable[[Progress], None],
    ) -> None:
        self._report = report
        self._store = store
        self._embedder = embedder
        self._splitter = splitter
        self._versions = versions(embedder, splitter)
        self._salt = f"{embedder.name} {embedder.version}\0".encode()
        self._stop = threading.Event()
        self._pending: dict[bytes, str] = {}
        self._owners: dict[str, str] = {}
        self._failed: list[Failure] = []
        self._added = self._changed = self._removed = self._unchanged = self._embedded = 0

    async def run(self, plan: Plan) -> Ingested:
        """Carry out the plan: all of it, or, where this raises or is cancelled, nothing."""
        started = time.monotonic()
        self._failed.extend(plan.failed)
        changed = await asyncio.to_thread(self._only_changed, plan.sources)
        scope = {source.path for source in changed} | {file.path for file in plan.gone}
        try:
            with tempfile.TemporaryFile() as spool:
                await self._prepare_all(changed, scope, spool)
                chunks = await asyncio.to_thread(self._write, spool, changed, plan.gone)
        except BaseException:
            self._stop.set()
            raise
        return Ingested(
            added=self._added,
            changed=self._changed,
            removed=self._removed,
            unchanged=self._unchanged,
            failed=tuple(self._failed),
            chunks=chunks,
            embedded=self._embedded,
            seconds=round(time.monotonic() - started, 3),
        )

    # Scan

    def _only_changed(self, sources: Sequence[Source]) -> list[Source]:
        changed = []
        with self._store.reading() as connection:
            for source in sources:
                stored = catalog.file_at(connection, source.path)
                if stored is not None and stored.hash == source.hash:
                    self._unchanged += len(catalog.documents_of(connection, stored.id))
                else:
                    changed.append(source)
        return changed

    # Prepare and embed

    async def _prepare_all(
        self, sources: Sequence[Source], scope: set[str], spool: IO[bytes]
    ) -> None:
        """Embedding takes nearly all the time, so it goes on in its threads while the next texts
        are loaded and split; being more than one window ahead would only take memory."""
        total = sum(source.size for source in sources)
        done = 0
        embedding: asyncio.Task[None] | None = None
        try:
            for source in sources:
                frames = self._frames(source, scope)
                while await asyncio.to_thread(self._spool_window, frames, spool):
                    if len(self._pending) >= _WINDOW or source is sources[-1]:
                        if embedding is not None:
                            await embedding
                        embedding = asyncio.create_task(self._embed(self._take_pending()))
                done += source.size
                self._report(Progress("embedding", done, total))
            if embedding is not None:
                await embedding
        finally:
            if embedding is not None:
                embedding.cancel()
        self._report(Progress("writing", total, total))

    def _spool_window(self, frames: Iterator[Put | Closed], spool: IO[bytes]) -> bool:
        """Spool frames of a source until a window of texts is there; whether there were any."""
        frame = None
        for frame in frames:
            data = msgspec.msgpack.encode(frame)
            spool.write(_LENGTH.pack(len(data)) + data)
            if len(self._pending) >= _WINDOW:
                break
        return frame is not None

    def _frames(self, source: Source, scope: set[str]) -> Iterator[Put | Closed]:
        """Load a source and split what changed in it."""
        stored = self._stored_documents(source.path)
        failures, kept, complete = len(self._failed), [], True
        try:
            for item in source.load():
                self._check_stop()
                if isinstance(item, Failure):
                    self._failed.append(item)
                elif self._claim(item, source, scope):
                    kept.append(item.id)
                    hash = self._document_hash(item)
                    if stored.get(item.id) == hash:
                        self._unchanged += 1
                    else:
                        replaces = item.id in stored
                        yield Put(source.path, item, hash, replaces, self._split(item))
        except (LoadError, UsageError) as error:
            self._failed.append(failure(Path(source.place or source.path), error))
            # An empty file is read to its end: what it held before is gone. Otherwise, what was
            # read before is better than nothing.
            complete = isinstance(error, EmptyDocumentError)
        # Without its hash, the source is read again by the next ingest, and its failures are
        # reported again.
        hash = source.hash if len(self._failed) == failures else b""
        yield Closed(source.path, hash, tuple(kept), complete)

    def _stored_documents(self, path: str) -> dict[str, bytes]:
        with self._store.reading() as connection:
            stored = catalog.file_at(connection, path)
            return {} if stored is None else catalog.documents_of(connection, stored.id)

    def _claim(self, document: Document, source: Source, scope: set[str]) -> bool:
        """Whether the document may have its id: an id names one document of a collection."""
        owner = self._owners.get(document.id)
        if owner is None:
            with self._store.reading() as connection:
                owner = catalog.owner_of(connection, document.id)
            if owner == source.path or owner in scope:  # about to be written anew, or to go
                owner = None
        if owner is not None:
            reason = f"the id '{document.id}' is taken by another document ({owner})"
            self._failed.append(Failure(source.place or source.path, reason))
            return False
        self._owners[document.id] = source.path
        return True

    def _split(self, document: Document) -> tuple[StoredChunk, ...]:
        stored = []
        for chunk in self._splitter.split(document):
            self._check_stop()
            spans = sentence_spans(chunk.text)
            texts = [chunk.text, *(chunk.text[start:end] for start, end in spans)]
            hashes = [self._hash(text) for text in texts]
            self._pending.update(zip(hashes, texts, strict=True))
            stored.append(StoredChunk(chunk, hashes[0], tuple(spans), tuple(hashes[1:])))
        return tuple(stored)

    def _take_pending(self) -> dict[bytes, str]:
        taken, self._pending = self._pending, {}
        return taken

    async def _embed(self, texts: dict[bytes, str]) -> None:
        new = await asyncio.to_thread(self._without_vector, texts)
        if not new:
            return
        vectors = await self._recorded_embed(new)
        self._embedded += len(new)
        await asyncio.to_thread(self._keep_vectors, list(new), vectors)

    async def _recorded_embed(self, texts: dict[bytes, str]) -> Any:
        # How many, not which: what is removed from a collection must be in no record of it either.
        embedder = self._embedder
        return await embed(embedder, list(texts.values()), shown={"texts": len(texts)})

    def _without_vector(self, texts: dict[bytes, str]) -> dict[bytes, str]:
        with self._store.reading() as connection:
            unknown = catalog.unknown_vectors(connection, texts)
        return {hash: text for hash, text in texts.items() if hash in unknown}

    def _keep_vectors(self, hashes: Sequence[bytes], vectors: Any) -> None:
        halves = vectors.astype(np.float16)
        with self._store.writing() as connection:
            catalog.put_vectors(
                connection, ((h, v.tobytes()) for h, v in zip(hashes, halves, strict=True))
            )

    def _document_hash(self, document: Document) -> bytes:
        data = self._versions.encode() + msgspec.msgpack.encode(document)
        return hashlib.blake2b(data, digest_size=16).digest()

    def _hash(self, text: str) -> bytes:
        return hashlib.blake2b(
            self._salt + text.encode("utf-8", "replace"), digest_size=16
        ).digest()

    # Write

    def _write(
        self, spool: IO[bytes], sources: Sequence[Source], gone: Sequence[StoredFile]
    ) -> int:
        with self._store.writing() as connection:
            for file in gone:
                self._removed += catalog.remove_file(connection, file.id)
            for frame in _unspool(spool):
                self._check_stop()
                if isinstance(frame, Put):
                    self._put(connection, frame)
                else:
                    self._close(connection, frame)
            catalog.remove_unused_vectors(connection)
            if sources or gone:
                self._renew(connection)
            if self._removed or self._changed:
                catalog.set_setting(connection, "unwiped", "yes")
            unwiped = catalog.settings(connection).get("unwiped") == "yes"
            chunks = catalog.count_chunks(connection)
            self._check_stop()
        if unwiped:
            self._store.wipe_removed()
        self._store.checkpoint()
        return chunks

    def _put(self, connection: sqlite3.Connection, put: Put) -> None:
        file = catalog.put_file(connection, put.path, b"")
        catalog.put_document(connection, file, put.document, put.hash, put.chunks)
        self._changed += put.replaces
        self._added += not put.replaces

    def _close(self, connection: sqlite3.Connection, closed: Closed) -> None:
        if not closed.complete:
            return
        file = catalog.put_file(connection, closed.path, closed.hash)
        for id in catalog.documents_of(connection, file).keys() - set(closed.kept):
            catalog.remove_document(connection, id)
            self._removed += 1

    def _renew(self, connection: sqlite3.Connection) -> None:
        values = {
            "embedder": self._embedder.name,
            "dimensions": str(self._embedder.dimensions),
            "versions": self._versions,
            "generation": str(time.time_ns()),
        }
        for name, value in values.items():
            catalog.set_setting(connection, name, value)

    def _check_stop(self) -> None:
        # A cancelled task cannot stop a thread; the thread has to look.
        if self._stop.is_set():
            raise _Stopped


def versions(embedder: Embedder, splitter: Splitter) -> str:
    """What besides a text decides its chunks and vectors."""
    return f"{embedder.name} {embedder.version} {splitter.version}"


class Put(msgspec.Struct, frozen=True, tag=True):
    """A document that is new or changed, split, on its way to the database."""

    path: str
    document: Document
    hash: bytes
    replaces: bool
    chunks: tuple[StoredChunk, ...]


class Closed(msgspec.Struct, frozen=True, tag=True):
    """The end of a source: the ids of all documents that it holds now. Not `complete` when it could
    not be read to its end."""

    path: str
    hash: bytes
    kept: tuple[str, ...]
    complete: bool


class _Stopped(Exception):
    """The ingest was cancelled while a thread worked for it."""


# How many texts are sorted by length and embedded at a time: enough that batches of equal lengths
# come about, few enough that the bar moves.
_WINDOW = 2048
_LENGTH = struct.Struct("<Q")


def _unspool(spool: IO[bytes]) -> Iterator[Put | Closed]:
    spool.seek(0)
    decoder = msgspec.msgpack.Decoder(Put | Closed)
    while head := spool.read(_LENGTH.size):
        yield decoder.decode(spool.read(_LENGTH.unpack(head)[0]))

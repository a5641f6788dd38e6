"""What an ingest has to do: which files there are under the paths, and which are gone."""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from onrecord.errors import EmptyDocumentError, LoadError, UsageError
from onrecord.retrieval import catalog
from onrecord.retrieval.catalog import StoredFile
from onrecord.retrieval.database import Database
from onrecord.retrieval.document import Document, Failure, Fields
from onrecord.retrieval.ingesting import Plan, Source
from onrecord.retrieval.loading.encoding import open_bytes
from onrecord.retrieval.loading.load import failure, load
from onrecord.retrieval.loading.walk import find_files


class Scan(msgspec.Struct, frozen=True):
    """How files are named and read. `root` is the folder that document ids are relative to, `salt`
    whatever else than a file's content decides its chunks, `largest` a bound in bytes."""

    fields: Fields
    root: Path
    salt: bytes
    largest: int


def check_paths(paths: Iterable[Path]) -> None:
    """Raises UsageError for a path where nothing is."""
    for path in paths:
        find_files(_located(path))


def plan_paths(store: Database, paths: Iterable[Path], scan: Scan) -> Plan:
    """The plan that brings the collection up to date with files and folders.

    Raises UsageError for a path where nothing is and from which nothing was ingested.
    """
    sources: dict[str, Source] = {}
    failed: list[Failure] = []
    known: dict[str, StoredFile] = {}
    for path in paths:
        path = _located(path)
        with store.reading() as connection:
            files = catalog.files(connection)
        below = [file for file in files if _is_under(_place(file, scan.root), _named(path))]
        known.update((file.path, file) for file in below)
        for found in _found(path, gone_is_fine=bool(below)):
            source = _source(found, scan) if isinstance(found, Path) else found
            if isinstance(source, Source):
                sources[source.path] = source
            else:
                failed.append(source)
    gone = [file for file in known.values() if file.path not in sources]
    # What cannot be looked into may still be there.
    unseen = [failure.path for failure in failed]
    gone = [
        file
        for file in gone
        if not any(_is_under(_place(file, scan.root), path) for path in unseen)
    ]
    return Plan(tuple(sources.values()), tuple(gone), tuple(failed))


def plan_documents(source: str, documents: Iterable[Document], salt: str) -> Plan:
    """The plan that brings the collection up to date with documents made in Python."""
    made = list(documents)
    data = salt.encode() + msgspec.msgpack.encode(made)
    hash = hashlib.blake2b(data, digest_size=16).digest()
    return Plan((Source(f"{_ADDED}{source}", hash, len(data), lambda: made),))


def plan_stored(store: Database, plan: Plan, salt: bytes) -> Plan:
    """`plan`, and every other document of the collection once more, from the database: a new
    embedder or splitter concerns them all, those of a file that can no longer be read too."""
    with store.reading() as connection:
        files = {file.path: file for file in catalog.files(connection)}
    sources = []
    for source in plan.sources:
        file = files.pop(source.path, None)
        if file is not None:
            load_it = functools.partial(_loaded_or_stored, source, store, file.id)
            source = msgspec.structs.replace(source, load=load_it)
        sources.append(source)
    gone = {file.path for file in plan.gone}
    again = [
        Source(file.path, salt + file.hash, 1, functools.partial(_stored, store, file.id))
        for file in files.values()
        if file.path not in gone
    ]
    return Plan((*sources, *again), plan.gone, plan.failed)


def _found(path: Path, gone_is_fine: bool) -> Iterable[Path | Failure]:
    if gone_is_fine and not path.exists():
        return ()
    return find_files(path)


def _source(path: Path, scan: Scan) -> Source | Failure:
    """The file as a source, with the hash of its content. Reads all of it."""
    digest = hashlib.blake2b(scan.salt, digest_size=16)
    try:
        with open_bytes(path) as file:
            size = os.fstat(file.fileno()).st_size
            if size <= scan.largest:
                while block := file.read(1 << 20):
                    digest.update(block)
        if size > scan.largest:
            limit = f"the limit is {scan.largest / 1e6:.0f} MB"
            reason = f"too large: {size / 1e6:.0f} MB, {limit}. Split it, or raise `max_file_mb`"
            return failure(path, reason)
    except (LoadError, OSError) as error:
        return failure(path, error)
    # Relative to the project where it is inside, so that a project can be moved.
    inside = path.is_relative_to(scan.root)
    name = _named(path.relative_to(scan.root) if inside else path)
    load_it = functools.partial(load, path, scan.fields, name)
    return Source(name, digest.digest(), size, load_it, place=_named(path))


def _located(path: Path) -> Path:
    """The one spelling of a path. Links keep their names: who ingests a link means the link."""
    return Path(os.path.normpath(path.expanduser().absolute()))


def _place(file: StoredFile, root: Path) -> str:
    """Where an ingested file is, or was; the documents of an `add` are nowhere."""
    return "" if file.path.startswith(_ADDED) else _named(root / file.path)


def _named(path: Path) -> str:
    """A path as text, also one whose bytes are no UTF-8."""
    return os.fsencode(path).decode("utf-8", "replace")


def _is_under(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def _loaded_or_stored(source: Source, store: Database, file: int) -> Iterator[Document | Failure]:
    """What can be read of a source, and of what cannot, what was read before."""
    read = set()
    try:
        for item in source.load():
            if isinstance(item, Document):
                read.add(item.id)
            yield item
    except EmptyDocumentError:  # read to its end: what it held before is gone
        raise
    except (LoadError, UsageError) as error:
        yield failure(Path(source.place), error)
        yield from (document for document in _stored(store, file) if document.id not in read)


def _stored(store: Database, file: int) -> list[Document]:
    with store.reading() as connection:
        return catalog.documents_in(connection, file)


_ADDED = "documents:"

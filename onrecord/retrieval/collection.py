"""A collection: documents, their chunks and their indexes, in one folder under `.onrecord/`.

docs = on.Collection.open("handbook")
docs.ingest.run("docs/")
passages = docs.search.run("How many days of leave?", k=6)
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

import filelock
import msgspec

from onrecord.calling import Operation, emit
from onrecord.errors import UnknownNameError, UsageError
from onrecord.messages import Passage, Progress
from onrecord.models.model import Embedder
from onrecord.models.names import embedder as embedder_named
from onrecord.progress import shown
from onrecord.records.call import call
from onrecord.records.record import content_key
from onrecord.retrieval import catalog
from onrecord.retrieval.database import DATABASE, Database, storage_error
from onrecord.retrieval.document import Document, Fields, Splitter
from onrecord.retrieval.ingesting import Ingest, Ingested, Plan, versions
from onrecord.retrieval.scanning import Scan, check_paths, plan_documents, plan_paths, plan_stored
from onrecord.retrieval.searching import Found, Query, Searcher, check
from onrecord.retrieval.splitting.structure import Structure
from onrecord.settings import Settings, make_home


class Collection:
    """Documents that can be searched. `Collection.open(name)` is the way to one."""

    def __init__(self, folder: Path, embedder: Embedder, splitter: Splitter | None = None) -> None:
        self.name = folder.name
        self.folder = folder
        self.embedder = embedder
        self.splitter = splitter or Structure(embedder)
        self._searcher: Searcher | None = None

    @classmethod
    def open(
        cls,
        name: str | None = None,
        *,
        home: str | Path | None = None,
        embedder: str | Embedder | None = None,
        splitter: Splitter | None = None,
    ) -> Collection:
        """Open a collection; the first `ingest` makes it.

        `name` and `home` default to the settings (`default`, `.onrecord/`). `embedder` defaults to
        the one the collection was filled with, else to the settings' (`embedded:minilm`).
        Raises UsageError for a name that cannot be a folder's, NewerVersionError for a collection
        that a newer Onrecord wrote.
        """
        settings = Settings.load()
        name = settings.collection if name is None else name
        if not _NAME.fullmatch(name):
            raise UsageError(
                f"'{name}' cannot be the name of a collection",
                cure="A name has letters, digits, '-', '_' and '.', and begins with a letter or "
                "digit.",
            )
        # Without `..`, as the files' paths are: their ids are relative to a folder above this one.
        base = Path(os.path.normpath(Path(home or settings.home).absolute()))
        folder = base / "collections" / name
        filled_with = _embedder_of(folder)
        return cls(folder, embedder_named(embedder or filled_with or settings.embedder), splitter)

    @Operation
    async def ingest(
        self,
        *paths: str | Path,
        text: str | None = None,
        id: str | None = None,
        title: str | None = None,
    ) -> Ingested:
        """Bring the collection up to date with files and folders: all of it, or nothing.

        New and changed documents are added, those that are gone from `paths` are removed, and what
        is unchanged costs a hash. `text`, `id` and `title` name the fields of rows (CSV, JSON, JSON
        Lines). A file that cannot be read is in `failed`, with the reason; the rest goes on.
        Raises UsageError where a path does not exist, StorageError where the disk says no.
        """
        if not paths:
            raise UsageError("there is nothing to ingest", cure="Name a file or a folder.")
        fields = Fields(text, id, title)
        with call("ingest", self.name, {"paths": paths, "fields": fields}) as this:
            if not (self.folder / DATABASE).exists():
                # A mistyped path leaves no empty collection behind.
                await asyncio.to_thread(check_paths, map(Path, paths))
            async with self._writing() as store:
                salt = f"{versions(self.embedder, self.splitter)} {fields}".encode()
                largest = int(Settings.load().max_file_mb * 1e6)
                scan = Scan(fields, self._root, salt, largest)
                plan = await asyncio.to_thread(plan_paths, store, map(Path, paths), scan)
                this.output = result = await self._carry_out(plan, store)
                return result

    @Operation
    async def add(self, documents: Iterable[Document], source: str) -> Ingested:
        """Bring the collection up to date with documents made in Python, kept under a name.

        Documents that an earlier `add` of this `source` brought and this one does not are removed.
        """
        with call("ingest", self.name, {"source": source}) as this:
            async with self._writing() as store:
                plan = plan_documents(source, documents, versions(self.embedder, self.splitter))
                this.output = result = await self._carry_out(plan, store)
                return result

    @Operation
    async def search(
        self,
        question: str,
        k: int = 6,
        *,
        where: str | None = None,
        min_score: float = 0.0,
        deadline: float | None = None,
    ) -> list[Passage]:
        """The `k` passages that fit a question best, best first.

        `where` filters by metadata (`status = "Final" and created >= 2020-01-01`). There are never
        fewer than `k` passages when `k` chunks pass the filter and reach `min_score` (in [0, 1]).
        `deadline` is in seconds. Raises UsageError, FilterError or DeadlineError.
        """
        query = Query(question, k, where, min_score)
        check(query)
        version = await asyncio.to_thread(self._search_version)
        with call("search", self.name, query, version=version) as this:
            if (known := this.recall()) is not None:
                found = msgspec.convert(known.output, Found)
            else:
                found = await self._opened().search(query, deadline)
            this.output = found
            return list(found.passages)

    @property
    def version(self) -> str:
        """Changes with every ingest that changes something; "" as long as nothing was ingested."""
        if not (self.folder / DATABASE).exists():
            return ""
        return self._opened().settings().get("generation", "")

    def document(self, id: str) -> Document:
        """A document by its id. Raises UnknownNameError."""
        with self._opened().store.reading() as connection:
            document = catalog.document(connection, id)
        if document is None:
            raise UnknownNameError(f"there is no document '{id}'", where=f"collection {self.name}")
        return document

    def close(self) -> None:
        """Let go of the collection's files."""
        if self._searcher is not None:
            self._searcher.close()
            self._searcher = None

    @property
    def _root(self) -> Path:
        # <root>/.onrecord/collections/<name>
        return self.folder.parents[2]

    @asynccontextmanager
    async def _writing(self) -> AsyncIterator[Database]:
        """The collection's database, for one writer at a time, whichever process asks."""
        try:
            make_home(self.folder.parent.parent)
            self.folder.mkdir(parents=True, exist_ok=True)
            async with _locked(self.folder / "ingest.lock"):
                store = Database(self.folder / DATABASE, create=True)
                try:
                    yield store
                finally:
                    store.close()
        except OSError as error:
            raise storage_error(error, self.folder) from error

    async def _carry_out(self, plan: Plan, store: Database) -> Ingested:
        with store.reading() as connection:
            made_with = catalog.settings(connection).get("versions")
        now = versions(self.embedder, self.splitter)
        if made_with is not None and made_with != now:
            plan = plan_stored(store, plan, now.encode())
        with shown() as report:
            result = await Ingest(store, self.embedder, self.splitter, report).run(plan)
            # A graph takes about as long as embedding a tenth of the chunks: a large ingest builds
            # it, a small one leaves that to a process that lives on.
            large = 10 * result.embedded >= result.chunks
            report(Progress("indexing", 0, 0))
            await asyncio.to_thread(self._opened().prepare, graph=large)
            return result

    def _search_version(self) -> str:
        """Changes with everything that a search depends on; "" as long as nothing was ingested."""
        filled = (self.folder / DATABASE).exists()
        return content_key(self._opened().settings()) if filled else ""

    def _opened(self) -> Searcher:
        if self._searcher is None:
            self._searcher = Searcher(self.folder, self.embedder)
        return self._searcher


_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@asynccontextmanager
async def _locked(path: Path) -> AsyncIterator[None]:
    lock = filelock.FileLock(path, thread_local=False)
    while True:
        try:
            lock.acquire(blocking=False)
            break
        except filelock.Timeout:
            emit(Progress("waiting for another ingest", 0, 0))
            await asyncio.sleep(0.1)
    try:
        yield
    finally:
        lock.release()


def _embedder_of(folder: Path) -> str | None:
    path = folder / DATABASE
    if not path.exists():
        return None
    store = Database(path, create=False)
    try:
        with store.reading() as connection:
            return catalog.settings(connection).get("embedder")
    finally:
        store.close()

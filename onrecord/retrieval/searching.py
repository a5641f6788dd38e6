"""Search: from a question to the passages that fit it best.

    filter   `where` -> the chunks that may be found at all
    find     the best chunks by words (FTS5), and the best by meaning (vectors); both lists together
             are the candidates
    score    every candidate by its words and its meaning, as a whole and in its best sentence
    order    best score first, `k` of them

All of it reads one snapshot of the database, so a search never sees half an ingest.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import threading
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from onrecord.errors import DeadlineError, UsageError
from onrecord.messages import Passage
from onrecord.models.calling import embed
from onrecord.models.model import Embedder
from onrecord.retrieval import catalog
from onrecord.retrieval.catalog import StoredText
from onrecord.retrieval.database import DATABASE, Database
from onrecord.retrieval.filter_sql import to_sql
from onrecord.retrieval.filters import FIELDS_SQL, parse
from onrecord.retrieval.lexical import Lexicon, Terms, coverage
from onrecord.retrieval.planner import Planned, open_index
from onrecord.retrieval.ranking import fused, order
from onrecord.retrieval.sentence_vectors import open_sentences
from onrecord.retrieval.vectors import Strategy

Rows = NDArray[np.int64]
Vector = NDArray[np.float32]


class Query(msgspec.Struct, frozen=True):
    """What is asked of a search; see `Collection.search`."""

    question: str
    k: int
    where: str | None
    min_score: float


class Found(msgspec.Struct, frozen=True):
    """What a search found, and how."""

    passages: tuple[Passage, ...]
    strategy: Strategy


class Searcher:
    """The reading end of a collection: its database and what is derived from it, kept open."""

    def __init__(self, folder: Path, embedder: Embedder) -> None:
        if not (folder / DATABASE).exists():
            raise _unfilled(f"there is no collection '{folder.name}' yet", folder)
        self.name = folder.name
        self.store = Database(folder / DATABASE, create=False)
        self._folder = folder
        self._embedder = embedder
        self._lock = threading.Lock()
        self._view: View | None = None
        self._at_work: threading.Event | None = None

    def close(self) -> None:
        """Let go of the files."""
        self.store.close()

    async def search(self, query: Query, deadline: float | None) -> Found:
        """Search. Raises FilterError, DeadlineError or StorageError."""
        stop = threading.Event()
        try:
            async with asyncio.timeout(deadline):
                vectors = await embed(self._embedder, [query.question])
                return await asyncio.to_thread(self._search, query, vectors[0], stop)
        except asyncio.CancelledError:
            # A thread is not cancelled with its task: it would keep the next search waiting.
            self._abandon(stop)
            raise
        except TimeoutError:
            self._abandon(stop)
            raise DeadlineError(
                f"the search was not done within {deadline} s",
                where=f"collection {self.name}",
                cure="Allow more time, or filter with `where`.",
            ) from None

    def prepare(self, *, graph: bool) -> None:
        """Make or load what is derived from the database, so that the next search need not.

        With `graph`, also the HNSW graph, if exact search was measured to be slow: minutes for a
        million chunks.
        """
        with self._lock, self.store.reading() as connection:
            index = self._current(connection).index
        if graph and index.wants_graph:
            index.build_graph(os.cpu_count() or 1)

    def settings(self) -> dict[str, str]:
        """The settings of the collection: embedder, versions, generation."""
        with self.store.reading() as connection:
            return catalog.settings(connection)

    def _abandon(self, stop: threading.Event) -> None:
        """Stop a search nobody waits for: the query it is in, or its turn, if still to come."""
        stop.set()
        if self._at_work is stop:
            self.store.interrupt()

    def _search(self, query: Query, vector: Vector, stop: threading.Event) -> Found:
        with self._lock, self.store.reading() as connection:
            self._at_work = stop
            if stop.is_set():
                return Found((), Strategy("exact", "abandoned"))
            view = self._current(connection)
            if not len(view.ids):
                raise _unfilled(f"the collection '{self.name}' holds nothing yet", self._folder)
            allowed = view.allowed(query.where) if query.where else None
            within = None if allowed is None else view.ids[allowed]
            terms = view.lexicon.terms(query.question)
            width = max(_CANDIDATES, query.k)
            by_words = view.lexicon.find(terms, width, within)
            nearest = view.index.search(vector, width, allowed)
            rows = np.union1d(view.rows(by_words), nearest.rows)
            texts = catalog.texts(connection, view.ids[rows].tolist())
            scores = view.scored(rows, texts, terms, vector)
            best = order(scores, rows.tolist())
            best = best[scores[best] >= query.min_score][: query.k]
            passages = tuple(_passage(texts[at], float(scores[at])) for at in best)
            return Found(passages, nearest.strategy)

    def _current(self, connection: sqlite3.Connection) -> View:
        """The view of the generation that this snapshot of the database shows."""
        settings = catalog.settings(connection)
        if self._view is None or self._view.generation != settings.get("generation"):
            self._check_version(settings)
            self._view = View(connection, self._folder, settings)
            if self._view.index.wants_graph:
                self._build_later(self._view.index)
        return self._view

    def _build_later(self, index: Planned) -> None:
        """Build the graph beside the searches, in a process that lives on; a command does not."""
        timer = threading.Timer(_LIVES_ON_SECONDS, index.build_graph)
        timer.daemon = True
        timer.start()

    def _check_version(self, settings: dict[str, str]) -> None:
        now = f"{self._embedder.name} {self._embedder.version} "
        made_with = settings.get("versions", now)
        if not made_with.startswith(now):
            raise UsageError(
                f"the collection '{self.name}' was embedded by {made_with.split()[0]} in another "
                f"version than {now.strip()}",
                where=str(self._folder),
                cure="Run `onrecord ingest` on it once more: it embeds everything anew.",
            )


class View:
    """One generation of a collection, ready to be searched; row i of all arrays is chunk ids[i]."""

    def __init__(
        self, connection: sqlite3.Connection, folder: Path, settings: dict[str, str]
    ) -> None:
        self.generation = settings.get("generation")
        self.ids: Rows = np.array(catalog.chunk_ids(connection), np.int64)
        self.lexicon = Lexicon(connection)
        self._connection = connection
        self._dimensions = int(settings.get("dimensions", 0))
        state = f"{self.generation} {len(self.ids)}"
        self.index = open_index(folder, state, self._chunk_vectors)
        self.sentences = open_sentences(folder, state, self._sentence_vectors)
        self.allowed = lru_cache(maxsize=_FILTERS)(self._allowed)

    def rows(self, ids: Sequence[int]) -> Rows:
        """The rows of chunks, in the order of `ids`."""
        return np.searchsorted(self.ids, np.array(ids, np.int64))

    def scored(
        self, rows: Rows, texts: Sequence[StoredText], terms: Terms, vector: Vector
    ) -> NDArray[np.float64]:
        """The scores of candidates, shape (len(rows),), in [0, 1]."""
        covered = [coverage(terms, text.title, text.text, text.spans) for text in texts]
        cosines, offsets = self.sentences.cosines(vector, rows)
        return fused(
            np.array([each.passage for each in covered]),
            self.index.exact.scored(vector, rows),
            np.array([share for each in covered for share in each.sentences]),
            cosines,
            np.diff(offsets),
        )

    def _allowed(self, where: str) -> Rows:
        """The rows of the chunks whose documents pass a filter, ascending."""
        fields: dict[str, list[str]] = {}
        for name, kind in self._connection.execute(FIELDS_SQL):
            fields.setdefault(name, []).append(kind)
        condition, parameters = to_sql(parse(where, fields))
        found = self._connection.execute(
            "SELECT id FROM chunk WHERE document IN"
            f" (SELECT number FROM document WHERE {condition}) ORDER BY id",
            parameters,
        )
        return self.rows([id for (id,) in found])

    def _chunk_vectors(self) -> NDArray[np.float32]:
        joined = catalog.chunk_vectors(self._connection)
        return _unpacked(joined, self._dimensions)

    def _sentence_vectors(self) -> tuple[NDArray[np.float32], Rows]:
        joined, counts = catalog.sentence_vectors(self._connection)
        return _unpacked(joined, self._dimensions), np.array(counts, np.int64)


# How many chunks of each list are scored in full: the right one is seldom further down.
_CANDIDATES = 100
_FILTERS = 32
_LIVES_ON_SECONDS = 10.0


def check(query: Query) -> None:
    """Raises UsageError for a query that asks for nothing, or for too much."""
    if not query.question.strip():
        raise UsageError("the question is empty", cure="Ask something.")
    if query.k < 1:
        raise UsageError(f"k is {query.k}", cure="Ask for at least one passage.")
    if not 0 <= query.min_score <= 1:
        raise UsageError(f"min_score is {query.min_score}", cure="Scores are between 0 and 1.")


def _unfilled(what: str, folder: Path) -> UsageError:
    return UsageError(what, where=str(folder), cure="Fill it with `onrecord ingest PATH`.")


def _passage(text: StoredText, score: float) -> Passage:
    return Passage(
        document_id=text.document_id,
        title=text.title,
        text=text.text,
        start=text.start,
        end=text.end,
        score=round(score, 6),
        metadata=text.metadata,
    )


def _unpacked(joined: bytes, dimensions: int) -> NDArray[np.float32]:
    """Vectors that were kept as float16, at length one again, shape (n, dimensions)."""
    vectors = np.frombuffer(joined, np.float16).astype(np.float32).reshape(-1, max(dimensions, 1))
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    lengths[lengths == 0] = 1
    unit: NDArray[np.float32] = vectors / lengths
    return unit

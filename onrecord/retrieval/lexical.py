"""Search by words: safe queries on SQLite's FTS5, and how well a chunk covers a question.

FTS5 finds the candidates. What they are worth is worked out here, from their text, because the
score has to mean the same for a chunk that FTS5 found and for one that only the vectors found.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from onrecord.words import rarity, stem, words

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Terms:
    """The words of one question as a collection sees them.

    `weights`: stem to inverse document frequency, for every stem of the question, also for those
    that no chunk holds: they make a full coverage impossible, as they should. `match`: an FTS5
    query, empty where nothing can match. `average_words`: mean length of a chunk with its title.
    """

    weights: dict[str, float]
    match: str
    average_words: float
    total: float = field(init=False)
    _roots: _Roots = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "total", sum(self.weights.values()))
        object.__setattr__(self, "_roots", _Roots(self.weights))

    def hits(self, text: str) -> tuple[list[str], int]:
        """The question's stems in a text, in order and repeated; and how many words it has."""
        found = words(text)
        return list(filter(None, map(self._roots.__getitem__, found))), len(found)


class Lexicon:
    """The words of one FTS5 table (`tokenize='porter unicode61'`) through one connection.

    Keeps the frequencies it has looked up until the table's size changes. Not safe across threads.
    """

    def __init__(self, connection: sqlite3.Connection, table: str = "words") -> None:
        if not table.isidentifier():
            raise ValueError(f"not a table name: {table!r}")
        self._connection, self._table = connection, table
        self._vocabulary = f"{table}_vocabulary"
        self._frequencies: dict[str, int] = {}
        self._size: tuple[int, int] | None = None
        connection.execute(
            f"CREATE VIRTUAL TABLE IF NOT EXISTS temp.{self._vocabulary}"
            f" USING fts5vocab(main, {table}, row)"
        )

    def terms(self, question: str) -> Terms:
        """What to look for. Any text is safe: operators, quotes and marks are no words.

        Of a long question count the rarest `MOST_TERMS` of its first `MOST_READ` different words.
        """
        chunks, total_words = self._table_size()
        asked = words(question)
        spelled: dict[str, str] = {}
        for word in [word for word in asked if word not in _ASKING] or asked:
            spelled.setdefault(stem(word), word)
            if len(spelled) == MOST_READ:
                break
        frequency = {root: self._frequency(root) for root in spelled}
        known = sorted((root for root in spelled if frequency[root]), key=frequency.__getitem__)
        unknown = [root for root in spelled if not frequency[root]]
        kept = known[:MOST_TERMS] + unknown[:MOST_TERMS]
        searched = _worth_searching(known[:MOST_TERMS], frequency, chunks)
        return Terms(
            weights={root: rarity(frequency[root], chunks) for root in kept},
            match=" OR ".join(f'"{spelled[root]}"' for root in searched),
            average_words=max(total_words / max(chunks, 1), 1.0),
        )

    def find(self, terms: Terms, limit: int, within: Rows | None = None) -> list[int]:
        """Row ids of the best `limit` chunks by FTS5's own BM25, best first.

        `within`: row ids, shape (n,); no other chunk is found.
        """
        if not terms.match:
            return []
        sql = f"SELECT rowid FROM {self._table} WHERE {self._table} MATCH ?"
        parameters: list[str | int] = [terms.match]
        if within is not None:
            # The plus keeps SQLite from running the whole match once for every row id.
            sql += " AND +rowid IN (SELECT value FROM json_each(?))"
            parameters.append(json.dumps(within.tolist()))
        found = self._connection.execute(f"{sql} ORDER BY rank LIMIT ?", [*parameters, limit])
        return [row[0] for row in found]

    def _frequency(self, root: str) -> int:
        """In how many chunks a stem occurs."""
        if root not in self._frequencies:
            row = self._connection.execute(
                f"SELECT doc FROM temp.{self._vocabulary} WHERE term = ?", (root,)
            ).fetchone()
            self._frequencies[root] = row[0] if row else 0
        return self._frequencies[root]

    def _table_size(self) -> tuple[int, int]:
        """Chunks and words, from the record that FTS5 keeps for its own BM25: no scan."""
        row = self._connection.execute(
            f"SELECT block FROM {self._table}_data WHERE id = {_AVERAGES}"
        ).fetchone()
        chunks, *columns = _varints(row[0]) if row and row[0] else [0]
        size = (chunks, sum(columns))
        if size != self._size:
            self._frequencies.clear()
            self._size = size
        return size


@dataclass(frozen=True)
class Coverage:
    """Of one chunk: `passage` in [0, 1], and a number in [0, 1] for each of its `sentences`."""

    passage: float
    sentences: list[float]


def coverage(terms: Terms, title: str, text: str, sentences: Sequence[tuple[int, int]]) -> Coverage:
    """How well one chunk covers the question's words, as a whole and sentence by sentence.

    The whole: BM25 (Robertson and Zaragoza, "The Probabilistic Relevance Framework", 2009) over
    the text and its title, divided by its limit for a text that repeats every word of the question
    for ever. A sentence: the share of the question's words, by weight, that it or the title holds.
    """
    if not terms.total:
        return Coverage(0.0, [0.0] * len(sentences))
    weights = terms.weights
    titled, length = terms.hits(title)
    counts = Counter(titled)
    shares = []
    for start, end in sentences:
        found, number = terms.hits(text[start:end])
        counts.update(found)
        length += number
        shares.append(sum(weights[root] for root in {*found, *titled}) / terms.total)
    patience = K1 * (1 - B + B * length / terms.average_words)
    whole = sum(weights[root] * count / (count + patience) for root, count in counts.items())
    return Coverage(whole / terms.total, shares)


class _Roots(dict[str, str | None]):
    """Word to its stem where the question has that stem, else None. Learns as it is asked."""

    def __init__(self, stems: dict[str, float]) -> None:
        super().__init__()
        self._stems = stems
        # A stem begins as its word does, so most words need not be stemmed to be told apart.
        self._beginnings = frozenset(root[:2] for root in stems)

    def __missing__(self, word: str) -> str | None:
        root = stem(word) if word[:2] in self._beginnings else None
        self[word] = found = root if root in self._stems else None
        return found


def _worth_searching(rarest: Sequence[str], frequency: dict[str, int], chunks: int) -> list[str]:
    """Words to find candidates by: the rarest within the budget, and none that most chunks hold."""
    chosen: list[str] = []
    budget = MOST_POSTINGS
    for root in rarest:
        budget -= frequency[root]
        if chosen and (budget < 0 or 2 * frequency[root] > chunks):
            break
        chosen.append(root)
    return chosen


def _varints(block: bytes) -> list[int]:
    """SQLite's integers of variable length: seven bits a byte, the high bit set on all but the
    last."""
    numbers, number = [], 0
    for byte in block:
        number = number << 7 | byte & 0x7F
        if byte < 0x80:
            numbers.append(number)
            number = 0
    return numbers


# The values of FTS5's bm25(), and of most textbooks.
K1, B = 1.2, 0.75

# Bounds on work, not on quality: a question has about ten words.
MOST_READ = 1_000
MOST_TERMS = 64
# Chunks that FTS5 scores for one question: about 4 ms. What it leaves out still counts in
# `coverage`, and the vectors find candidates too.
MOST_POSTINGS = 5_000

# Words that ask, not words that are asked about: what answers "how do I ..." need not hold them,
# and in some collections they are rare enough to weigh much.
_ASKING = frozenset(
    "who whom whose what which when where why how do does did i me my we us our you your can could"
    " should would is are was were am".split()
)

# The row of FTS5's shadow table that holds the number of rows and the words in each column.
_AVERAGES = 1

"""Search by words: safe full-text queries on SQLite's FTS5, and how well a passage covers a question.

FTS5 finds the candidates. What they are worth is worked out here, from their text, because the score has to
mean the same for a passage that FTS5 found and for one that only the vectors found.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from onrecord.words import rarity, stem, words


@dataclass(frozen=True)
class Terms:
    """The words of one question as this collection sees them.

    ``weights``: stem to inverse document frequency, for every stem of the question, also those that no
    chunk holds (they make a full coverage impossible, as they should). ``match``: an FTS5 query, empty where nothing
    could match. ``average_words``: mean words of a chunk with its title.
    """

    weights: dict[str, float]
    match: str
    average_words: float
    total: float
    # Words already met in candidates: their stem where the question has it, else None.
    met: dict[str, str | None] = field(default_factory=dict, repr=False, compare=False)
    beginnings: frozenset[str] = field(default=frozenset(), repr=False, compare=False)

    def hits(self, text: str) -> tuple[list[str], int]:
        """The question's stems in a text, in order and with repetitions; and the number of its words."""
        met, found = self.met, words(text)
        for word in found:
            if word not in met:
                # Stemming keeps the beginning of a word, so most words need none.
                maybe = word[:2] in self.beginnings
                met[word] = root if maybe and (root := stem(word)) in self.weights else None
        return [root for word in found if (root := met[word]) is not None], len(found)


class Lexicon:
    """The words of one FTS5 table (``tokenize='porter unicode61'``) through one connection.

    Keeps the frequencies it has looked up until the table's size changes; not safe across threads, like
    the connection itself.
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

        Of a long question the rarest ``MOST_TERMS`` words count, out of its first ``MOST_READ``.
        """
        chunks, total_words = self._table_size()
        spelled: dict[str, str] = {}
        for word in words(question[:MOST_CHARACTERS]):
            if len(spelled) == MOST_READ:
                break
            spelled.setdefault(stem(word), word)
        frequency = {root: self._frequency(root) for root in spelled}
        known = sorted((root for root in spelled if frequency[root]), key=frequency.__getitem__)
        unknown = [root for root in spelled if not frequency[root]]
        kept = known[:MOST_TERMS] + unknown[:MOST_TERMS]
        weights = {root: rarity(frequency[root], chunks) for root in kept}
        searched = _worth_searching(known[:MOST_TERMS], frequency, chunks)
        return Terms(
            weights=weights,
            match=" OR ".join(f'"{spelled[root]}"' for root in searched),
            average_words=max(total_words / chunks, 1.0) if chunks else 1.0,
            total=sum(weights.values()),
            beginnings=frozenset(root[:2] for root in kept),
        )

    def find(self, terms: Terms, limit: int) -> list[int]:
        """Row ids of the best ``limit`` chunks by FTS5's own BM25, best first."""
        if not terms.match:
            return []
        rows = self._connection.execute(
            f"SELECT rowid FROM {self._table} WHERE {self._table} MATCH ? ORDER BY rank LIMIT ?",  # noqa: S608
            (terms.match, limit),
        )
        return [row[0] for row in rows]

    def _frequency(self, root: str) -> int:
        """In how many chunks a stem occurs."""
        if root not in self._frequencies:
            row = self._connection.execute(
                f"SELECT doc FROM temp.{self._vocabulary} WHERE term = ?",  # noqa: S608
                (root,),
            ).fetchone()
            self._frequencies[root] = row[0] if row else 0
        return self._frequencies[root]

    def _table_size(self) -> tuple[int, int]:
        """Chunks and words, from the record that FTS5 keeps for its own BM25: no scan."""
        row = self._connection.execute(
            f"SELECT block FROM {self._table}_data WHERE id = {_AVERAGES}"  # noqa: S608
        ).fetchone()
        numbers = _varints(row[0]) if row and row[0] else [0]
        size = (numbers[0], sum(numbers[1:]))
        if size != self._size:
            self._frequencies.clear()
            self._size = size
        return size


def coverage(terms: Terms, title: str, text: str, sentences: Sequence[tuple[int, int]]) -> Coverage:
    """How well one chunk covers the question's words, as a whole and sentence by sentence.

    The whole: BM25 (Robertson and Zaragoza, "The Probabilistic Relevance Framework", 2009) over the text and
    its title, divided by what a text repeating every word of the question for ever would reach. A sentence:
    the share of the question's words, by weight, that it or the title holds. Both in [0, 1].
    """
    if not terms.total:
        return Coverage(0.0, [0.0] * len(sentences))
    titled, length = terms.hits(title)
    counts = Counter(titled)
    in_sentences = []
    for start, end in sentences:
        found, number = terms.hits(text[start:end])
        counts.update(found)
        length += number
        held = set(found).union(titled)
        in_sentences.append(sum(terms.weights[root] for root in held) / terms.total)
    patience = K1 * (1 - B + B * length / terms.average_words)
    whole = sum(terms.weights[root] * n / (n + patience) for root, n in counts.items())
    return Coverage(whole / terms.total, in_sentences)


@dataclass(frozen=True)
class Coverage:
    """Of one chunk: ``passage`` in [0, 1], and one number in [0, 1] for each of its ``sentences``."""

    passage: float
    sentences: list[float]


def _worth_searching(rarest: Sequence[str], frequency: dict[str, int], chunks: int) -> list[str]:
    """Words to find candidates by: rarest first, within the budget; words of most chunks find nothing."""
    chosen: list[str] = []
    budget = MOST_POSTINGS
    for root in rarest:
        budget -= frequency[root]
        if chosen and (budget < 0 or 2 * frequency[root] > chunks):
            break
        chosen.append(root)
    return chosen


def _varints(block: bytes) -> list[int]:
    """SQLite's variable-length integers: seven bits a byte, high bit set on all but the last."""
    numbers, number = [], 0
    for byte in block:
        number = number << 7 | byte & 0x7F
        if byte < 0x80:
            numbers.append(number)
            number = 0
    return numbers


# The values of FTS5's bm25(), and of most text books.
K1, B = 1.2, 0.75

# Bounds on work, not on quality: a question has about ten words.
MOST_CHARACTERS = 100_000
MOST_READ = 1_000
MOST_TERMS = 64
# Chunks that FTS5 scores for one question: about 10 ms. Words beyond it still count in `coverage`.
MOST_POSTINGS = 10_000

# The row of FTS5's shadow table with the number of rows and the words in each column.
_AVERAGES = 1

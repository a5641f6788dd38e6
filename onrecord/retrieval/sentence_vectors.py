"""Vectors of every sentence of every chunk, kept in bytes: what candidates are scored again with.

A sentence is stored as whole numbers in -127..127 with one scale of its own. Its cosine with a
query is then off by .0003 on average (.0024 at most, of two million measured) on sentence
embeddings (a residual of length .007 points anywhere in 384 dimensions), far below what separates
two sentences, for a quarter of the memory. Not exact: a score, not a verdict.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from onrecord.retrieval import sidefiles

Vectors = NDArray[np.float32]
Rows = NDArray[np.int64]


class SentenceVectors:
    """The sentence vectors of n chunks: `codes` (m, d) int8, `scales` (m,) float32, `offsets` (n +
    1,).

    The sentences of chunk i are the rows `offsets[i]` to `offsets[i + 1]`. Thread-safe; never
    changes.
    """

    def __init__(self, codes: NDArray[np.int8], scales: Vectors, offsets: Rows) -> None:
        self.codes, self.scales, self.offsets = codes, scales, offsets

    @classmethod
    def of(cls, vectors: Vectors, counts: Rows) -> Self:
        """Pack (m, d) float32 vectors of unit length, chunk after chunk; `counts` (n,) sentences a
        chunk.
        """
        offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        if offsets[-1] != len(vectors):
            raise ValueError(f"{offsets[-1]} sentences counted, {len(vectors)} vectors given")
        codes = np.empty(vectors.shape, np.int8)
        scales = np.empty(len(vectors), np.float32)
        for at in range(0, len(vectors), _BLOCK):
            block = vectors[at : at + _BLOCK]
            scale = np.abs(block).max(axis=1) / 127
            scale[scale == 0] = 1
            codes[at : at + _BLOCK] = np.rint(block / scale[:, None])
            scales[at : at + _BLOCK] = scale
        return cls(codes, scales, offsets)

    def cosines(self, query: Vectors, chunks: Rows) -> tuple[Vectors, Rows]:
        """Cosines of a unit query (d,) with every sentence of these chunks, in [-1, 1].

        Returns them flat, chunk after chunk in the order given, and the offsets (len(chunks) + 1,)
        where each chunk's begin. A chunk without sentences has none.
        """
        starts = self.offsets[chunks]
        counts = self.offsets[np.asarray(chunks) + 1] - starts
        offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        # Row numbers without a loop: count up through all sentences, jumping where a chunk begins.
        rows = np.arange(offsets[-1]) + np.repeat(starts - offsets[:-1], counts)
        raw = self.codes[rows].astype(np.float32) @ np.asarray(query, np.float32)
        return np.clip(raw * self.scales[rows], -1, 1), offsets

    def best(self, query: Vectors, chunks: Rows) -> tuple[Vectors, Rows]:
        """The cosine of each chunk's best sentence, and which of its sentences that is,
        (len(chunks),) each.

        A chunk without sentences gets -1 and -1.
        """
        flat, offsets = self.cosines(query, chunks)
        best = np.full(len(offsets) - 1, -1, np.float32)
        which = np.full(len(offsets) - 1, -1, np.int64)
        some = np.flatnonzero(np.diff(offsets))
        if not len(some):
            return best, which
        best[some] = np.maximum.reduceat(flat, offsets[some])
        owner = np.repeat(np.arange(len(best)), np.diff(offsets))
        hits = np.flatnonzero(flat == best[owner])
        chunk, first = np.unique(owner[hits], return_index=True)
        which[chunk] = hits[first] - offsets[chunk]
        return best, which

    def save(self, path: Path, state: str) -> None:
        """Write the side file. Raises OSError."""
        arrays: dict[str, sidefiles.Array] = {
            "codes": self.codes,
            "scales": self.scales,
            "offsets": self.offsets,
        }
        sidefiles.write(path, _KIND, state, arrays)

    @classmethod
    def load(cls, path: Path, state: str) -> Self | None:
        """What was saved for this state, memory-mapped; None to pack it anew."""
        arrays = sidefiles.read(path, _KIND, state)
        return None if arrays is None else cls(**arrays)


def open_sentences(
    folder: Path, state: str, sentences: Callable[[], tuple[Vectors, Rows]]
) -> SentenceVectors:
    """The sentence vectors of a collection in this state, from the side file or else from
    `sentences()`.

    `sentences()` returns vectors (m, d) and counts (n,) as `SentenceVectors.of` takes them. When
    the side file cannot be written, they live in memory.
    """
    path = folder / _FILE
    loaded = SentenceVectors.load(path, state)
    if loaded is not None:
        return loaded
    packed = SentenceVectors.of(*sentences())
    # Derived data: the next open derives it again. `open_index` reports that the disk takes no
    # files.
    with suppress(OSError):
        packed.save(path, state)
    return packed


_KIND, _FILE = "sentences", "sentences.bin"
_BLOCK = 8_192  # rows

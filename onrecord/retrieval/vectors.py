"""Nearest vectors by cosine: exactly, or by a graph once exact search has become slow.

Exact search of a large matrix runs in two passes. Every row is also kept in bytes, and a first
pass scores the bytes; only the best few are scored again with the float32 vectors. The answer is
nevertheless exact, by a bound and not by luck. Write a row as x = x' + e and the query as q = q' +
f, primes marking what the bytes say. Then

    |x.q - x'.q'|  =  |e.q + x'.f|  <=  max|e| |q| + max|x'| |f|  =  slack      (Cauchy-Schwarz)

so a row that the first pass ranks behind the last candidate has a cosine of at most (last
candidate's byte score) + slack. When the k-th best float32 score exceeds that, no row outside the
candidates can belong to the answer; until it does, the candidates are widened, at last to all
rows. On sentence embeddings 16 to 48 candidates suffice.

The query is rounded too, so the byte scores are sums of integers: FAISS's float and integer kernels
agree on them.

Under a filter the answer is always exact: HNSW with a selector loses rows there (recall .35 at a 1
% filter). HNSW: Malkov and Yashunin, "Efficient and robust approximate nearest neighbor search
using Hierarchical Navigable Small World graphs", IEEE TPAMI 42(4), 2020.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol, Self

import msgspec
import numpy as np
from numpy.typing import NDArray

from onrecord.retrieval import sidefiles

Vectors = NDArray[np.float32]
Rows = NDArray[np.int64]


class Strategy(msgspec.Struct, frozen=True):
    """How a search was made, and why that way; it goes into the record of the search."""

    name: Literal["exact", "hnsw"]
    reason: str


class Nearest(NamedTuple):
    """What a search found: `rows` (m,) and their `cosines` (m,) in [-1, 1], best first.

    m is k, or the number of rows searched where that is less. Equal cosines: lower row first.
    """

    rows: Rows
    cosines: Vectors
    strategy: Strategy


class VectorIndex(Protocol):
    """Whatever finds the nearest rows of a matrix of n vectors; rows are numbered 0 to n - 1."""

    def search(self, query: Vectors, k: int, rows: Rows | None = None) -> Nearest:
        """The k rows nearest to `query` (d,), which need not be of unit length.

        `rows`: search only these, ascending and without repetition, (r,) integers or (n,)
        booleans; exact always.
        """


class Exact:
    """Exact search over (n, d) float32 vectors of unit length. Thread-safe; never changes.

    Memory: what was given (or mapped from the side file), and a quarter of it for the bytes.
    """

    def __init__(self, vectors: Vectors, packed: Packed | None = None) -> None:
        self.vectors = np.ascontiguousarray(vectors, np.float32)
        large = len(self.vectors) >= TWO_PASSES_FROM
        self.packed = packed or (Packed.of(self.vectors) if large else None)

    def search(self, query: Vectors, k: int, rows: Rows | None = None) -> Nearest:
        """See `VectorIndex.search`."""
        unit = _unit(query, self.vectors.shape[1])
        rows = np.flatnonzero(rows) if rows is not None and rows.dtype == np.bool_ else rows
        searched = len(self.vectors) if rows is None else len(rows)
        k = min(max(k, 0), searched)
        strategy = _exactly(searched, rows is not None)
        # Gathering few rows is cheaper than a pass over the bytes of all: 0.07 us a row against
        # 1.3 ms.
        if self.packed is None or k == 0 or (rows is not None and searched <= GATHER_UP_TO):
            return Nearest(*self._all(unit, k, rows), strategy)
        return Nearest(*self._two_passes(self.packed, unit, k, rows), strategy)

    def scored(self, unit: Vectors, rows: Rows) -> Vectors:
        """Cosines of these rows with a query of unit length, (len(rows),), in [-1, 1]."""
        # Not `@`: BLAS wakes all its threads for it, and on a busy machine waits for the last one.
        cosines: Vectors = np.vecdot(self.vectors[rows], unit)
        return np.clip(cosines, -1, 1)

    def save(self, path: Path, state: str) -> None:
        """Write the side file of this index. Raises OSError."""
        arrays: dict[str, sidefiles.Array] = {"vectors": self.vectors}
        if self.packed is not None:
            arrays |= {"codes": self.packed.codes, "bounds": self.packed.bounds}
        sidefiles.write(path, _KIND, state, arrays)

    @classmethod
    def load(cls, path: Path, state: str) -> Self | None:
        """The index that was saved for this state, its vectors memory-mapped; None to build it
        anew.
        """
        arrays = sidefiles.read(path, _KIND, state)
        if arrays is None:
            return None
        packed = Packed(arrays["codes"], arrays["bounds"]) if "codes" in arrays else None
        return cls(arrays["vectors"], packed)

    def _all(self, unit: Vectors, k: int, rows: Rows | None) -> tuple[Rows, Vectors]:
        if rows is None:
            return _best(np.arange(len(self.vectors)), np.vecdot(self.vectors, unit), k)
        blocks = [rows[at : at + _BLOCK] for at in range(0, len(rows), _BLOCK)]
        cosines = [self.scored(unit, block) for block in blocks] or [np.empty(0, np.float32)]
        return _best(rows.astype(np.int64, copy=False), np.concatenate(cosines), k)

    def _two_passes(
        self, packed: Packed, unit: Vectors, k: int, rows: Rows | None
    ) -> tuple[Rows, Vectors]:
        searched = len(self.vectors) if rows is None else len(rows)
        width = max(_CANDIDATES, 4 * k)
        while width < searched // 4:
            candidates, ceiling = packed.best(unit, width, rows)
            cosines = self.scored(unit, candidates)
            if np.partition(cosines, -k)[-k] > ceiling:
                return _best(candidates, cosines, k)
            width *= 4
        return self._all(unit, k, rows)


class Packed:
    """The byte form of (n, d) vectors: row = step * (code - 128) + residual.

    `codes` (n, d) uint8; `bounds` (3,) float64: step, longest residual, longest row of the byte
    form.
    """

    def __init__(self, codes: NDArray[np.uint8], bounds: NDArray[np.float64]) -> None:
        faiss = _faiss()
        self.codes, self.bounds = codes, bounds
        self.step, self._residual, self._length = (float(bound) for bound in bounds)
        # One step for all dimensions: a step for each would halve the residual but not the slack,
        # as the query then rounds worse, and the graph could not share the bytes. "Direct signed"
        # stores code - 128.
        signed = faiss.ScalarQuantizer.QT_8bit_direct_signed
        self.scan = faiss.IndexScalarQuantizer(codes.shape[1], signed, faiss.METRIC_INNER_PRODUCT)
        self.scan.add_sa_codes(codes)

    @classmethod
    def of(cls, vectors: Vectors) -> Self:
        """Pack vectors, any length, in one pass over blocks of them."""
        largest = max((float(np.abs(block).max()) for block in _blocks(vectors)), default=0.0)
        step = np.float32(largest / 127 or 1.0)
        codes = np.empty(vectors.shape, np.uint8)
        residual = length = 0.0
        for at, block in enumerate(_blocks(vectors)):
            rounded = np.clip(np.rint(block / step), -127, 127)
            codes[at * _BLOCK : at * _BLOCK + len(block)] = rounded + 128
            residual = max(residual, float(np.linalg.norm(block - rounded * step, axis=1).max()))
            length = max(length, float(np.linalg.norm(rounded * step, axis=1).max()))
        return cls(codes, np.array([step, residual, length]))

    def best(self, unit: Vectors, width: int, rows: Rows | None) -> tuple[Rows, float]:
        """The `width` rows with the best byte scores, and the ceiling no other row's cosine
        exceeds.
        """
        rounded, scale = self.rounded(unit)
        selected = {} if rows is None else {"params": self._selecting(rows)}
        with _one_thread():
            scores, found = self.scan.search(rounded[None], width, **selected)
        worth = self.step * float(scale)
        ceiling = float(scores[0, -1]) * worth + self._slack(unit, rounded * scale)
        return found[0], ceiling

    def rounded(self, unit: Vectors) -> tuple[Vectors, np.float32]:
        """A query as whole numbers in -127..127, and what one of them is worth."""
        scale = np.float32(float(np.abs(unit).max()) / 127 or 1.0)
        return np.clip(np.rint(unit / scale), -127, 127), scale

    def _slack(self, unit: Vectors, rounded: Vectors) -> float:
        """How far a cosine can be from its byte score; the last term is float32 arithmetic."""
        missed = float(np.linalg.norm(unit - rounded))
        arithmetic = 4 * len(unit) * float(np.finfo(np.float32).eps)
        return self._residual + self._length * missed + arithmetic

    def _selecting(self, rows: Rows) -> Any:
        faiss = _faiss()
        chosen = np.zeros(len(self.codes), np.bool_)
        chosen[rows] = True
        bitmap = faiss.IDSelectorBitmap(np.packbits(chosen, bitorder="little"))
        return faiss.SearchParameters(sel=bitmap)


class HNSW:
    """Approximate search by a graph over the bytes of an `Exact`; scores are exact, recall is not.

    With a filter, or with a k that the graph is not made for, the exact index answers instead.
    """

    def __init__(self, exact: Exact, graph: Any) -> None:
        if exact.packed is None:
            raise ValueError(f"a graph needs at least {TWO_PASSES_FROM} vectors")
        self.exact, self.packed, self._graph = exact, exact.packed, graph
        # The graph was saved, or is kept, without vectors of its own: it walks over the bytes of
        # `exact`.
        self._graph.own_fields = False
        self._graph.storage = self.packed.scan

    @classmethod
    def build(cls, exact: Exact, threads: int = 1) -> Self:
        """Build the graph; about a millisecond a vector at 100,000. Blocks; holds no lock
        meanwhile.
        """
        faiss = _faiss()
        packed = exact.packed or Packed.of(exact.vectors)
        exact.packed = packed
        graph = _empty_graph(packed.codes.shape[1])
        with _threads(threads):
            for codes in _blocks(packed.codes):
                graph.add(codes.astype(np.float32) - 128)
        bare = faiss.serialize_index(graph, faiss.IO_FLAG_SKIP_STORAGE)
        return cls(exact, faiss.deserialize_index(bare, faiss.IO_FLAG_SKIP_STORAGE))

    def search(self, query: Vectors, k: int, rows: Rows | None = None) -> Nearest:
        """See `VectorIndex.search`."""
        effort = max(_EFFORT, 3 * k)
        if rows is not None or not 0 < k <= effort < len(self.packed.codes) // 16:
            return self.exact.search(query, k, rows)
        faiss = _faiss()
        unit = _unit(query, self.exact.vectors.shape[1])
        rounded, _ = self.packed.rounded(unit)
        parameters = faiss.SearchParametersHNSW(efSearch=effort)
        with _one_thread():
            _, found = self._graph.search(rounded[None], 2 * k + 12, params=parameters)
        reached = found[0][found[0] >= 0]
        if len(reached) < min(k, len(self.exact.vectors)):
            return self.exact.search(query, k)
        best = _best(reached, self.exact.scored(unit, reached), k)
        return Nearest(*best, Strategy("hnsw", f"graph over {len(self.packed.codes):,} vectors"))

    def save(self, path: Path, state: str) -> None:
        """Write the side file of the graph (without vectors). Raises OSError."""
        faiss = _faiss()
        graph = faiss.serialize_index(self._graph, faiss.IO_FLAG_SKIP_STORAGE)
        sidefiles.write(path, _GRAPH_KIND, state, {"graph": graph})

    @classmethod
    def load(cls, path: Path, state: str, exact: Exact) -> Self | None:
        """The graph that was saved for this state over these vectors; None to build it anew."""
        if exact.packed is None:
            return None
        arrays = sidefiles.read(path, _GRAPH_KIND, state)
        if arrays is None:
            return None
        faiss = _faiss()
        graph = faiss.deserialize_index(np.array(arrays["graph"]), faiss.IO_FLAG_SKIP_STORAGE)
        fits = (graph.ntotal, graph.d) == exact.vectors.shape
        return cls(exact, graph) if fits else None


def _empty_graph(dimensions: int) -> Any:
    faiss = _faiss()
    signed = faiss.ScalarQuantizer.QT_8bit_direct_signed
    graph = faiss.IndexHNSWSQ(dimensions, signed, _NEIGHBOURS, faiss.METRIC_INNER_PRODUCT)
    graph.hnsw.efConstruction = _BUILD_EFFORT
    return graph


def _best(rows: Rows, cosines: Vectors, k: int) -> tuple[Rows, Vectors]:
    """The k best of them, best first; equal cosines by row, also where the cut falls."""
    if 0 < k < len(rows):
        kept = np.flatnonzero(cosines >= np.partition(cosines, -k)[-k])
        rows, cosines = rows[kept], cosines[kept]
    order = np.lexsort((rows, -cosines))[:k]
    return rows[order], np.clip(cosines[order], -1, 1)


def _unit(query: Vectors, dimensions: int) -> Vectors:
    """The query at length one, float32; a query of zeros stays zero."""
    vector = np.asarray(query, np.float64).reshape(-1)
    if len(vector) != dimensions or not np.isfinite(vector).all():
        raise ValueError(f"a query of {dimensions} finite numbers is needed, got {query.shape}")
    length = float(np.linalg.norm(vector))
    return (vector / (length or 1.0)).astype(np.float32)


def _exactly(searched: int, filtered: bool) -> Strategy:
    whose = "that the filter left" if filtered else "of the collection"
    return Strategy("exact", f"all {searched:,} vectors {whose}")


def _blocks(array: NDArray[Any]) -> Iterator[NDArray[Any]]:
    return (array[at : at + _BLOCK] for at in range(0, len(array), _BLOCK))


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """Let FAISS use this many threads for calls of this thread (OpenMP keeps the number per
    thread).
    """
    faiss = _faiss()
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(count)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


def _one_thread() -> Any:
    # One query is not split anyway, but the team that stands by stalls for a whole scheduler tick
    # (8 ms was measured against 1.3) when another process has the other core.
    return _threads(1)


def _faiss() -> Any:
    # Late: 150 ms and 40 MB that a small collection never needs. By name: it ships no types.
    return importlib.import_module("faiss")


# Below this one float32 pass takes under a millisecond, and the bytes would not earn the import of
# FAISS.
TWO_PASSES_FROM = 20_000
GATHER_UP_TO = 4_096

_KIND, _GRAPH_KIND = "vectors", "hnsw"
_BLOCK = 4_096  # rows: 6 MB of float32 at 384 dimensions, inside a cache
_CANDIDATES = 64
# Recall@10 of .994 on 100,000 sentence embeddings in 0.25 to 0.4 ms; the other settings that were
# tried are in benchmarks/search.py.
_NEIGHBOURS, _BUILD_EFFORT, _EFFORT = 32, 200, 192

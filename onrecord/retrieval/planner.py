"""Which index answers: exact search, until this machine takes too long over it; then the graph.

The decision is measured, not configured: at each open, exact search over these vectors is timed on
this machine. Above `SLOW_MS` a graph is worth building; once there is one, it is kept until exact
search takes less than `FAST_MS`, so that a collection near the border does not build and discard
graphs in turn. The file of the graph is the memory of that decision, also when its content belongs
to a state of the collection that has passed.

Nothing is built behind the caller's back: `Planned.wants_graph` says that a graph is worth its
minutes and `Planned.build_graph()` spends them, in whatever thread calls it; exact search answers
until it is done.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from onrecord.retrieval.vectors import HNSW, Exact, Nearest, Rows, Strategy, Vectors


class Planned:
    """A `VectorIndex` that answers by the better of exact search and the graph, and says which and
    why.

    `exact_ms` is what exact search of one query took here, the best of a few, in milliseconds.
    """

    def __init__(self, exact: Exact, folder: Path, state: str, note: str = "") -> None:
        self.exact, self.exact_ms = exact, _measured(exact)
        self._folder, self._state, self._note = folder, state, note
        chosen_before = (folder / _GRAPH_FILE).exists()
        self._slow = self.exact_ms > (FAST_MS if chosen_before else SLOW_MS)
        self._graph = HNSW.load(folder / _GRAPH_FILE, state, exact) if self._slow else None

    def search(self, query: Vectors, k: int, rows: Rows | None = None) -> Nearest:
        """See `VectorIndex.search`. Exact always when `rows` is given."""
        # Read once: build_graph may finish in another thread meanwhile.
        index = self._graph or self.exact
        found = index.search(query, k, rows)
        return found._replace(strategy=self._explained(found.strategy, rows is not None))

    @property
    def wants_graph(self) -> bool:
        """Whether exact search is slow here and there is no graph yet."""
        return self._slow and self._graph is None and self.exact.packed is not None

    def build_graph(self, threads: int = 1) -> None:
        """Build the graph, answer by it from then on, and save it. Minutes for a million vectors.

        Safe to call from any thread while others search. When it cannot be saved, it is used in
        this process all the same, and the strategy of every search says so.
        """
        self._graph = HNSW.build(self.exact, threads)
        path = self._folder / _GRAPH_FILE
        try:
            self._graph.save(path, self._state)
        except OSError as error:
            self._note += _not_written(path, error)

    def _explained(self, strategy: Strategy, filtered: bool) -> Strategy:
        cost = f"exact search of all takes {self.exact_ms:.2f} ms here"
        if filtered:
            why = "a filter is always searched exactly"
        elif strategy.name == "hnsw":
            why = f"{cost}, the graph less"
        elif not self._slow:
            why = f"{cost}, under the {SLOW_MS:g} ms where the graph takes over"
        else:
            why = f"{cost}, and " + ("k is large" if self._graph else "the graph is not built yet")
        return Strategy(strategy.name, f"{strategy.reason}: {why}{self._note}")


def open_index(folder: Path, state: str, vectors: Callable[[], Vectors]) -> Planned:
    """The index of a collection in this state, from its side files or else from `vectors()`.

    `state` names the generation of the collection (any string that differs when the vectors do);
    `vectors()` returns all of them, (n, d) float32 of unit length, and is called only when no side
    file can be trusted. Side files are replaced when they can be written; when they cannot, the
    index lives in memory and the strategy of every search says so.
    """
    path = folder / _VECTORS_FILE
    loaded = Exact.load(path, state)
    if loaded is not None:
        return Planned(loaded, folder, state)
    exact = Exact(vectors())
    try:
        exact.save(path, state)
    except OSError as error:
        return Planned(exact, folder, state, _not_written(path, error))
    return Planned(exact, folder, state)


def _not_written(path: Path, error: OSError) -> str:
    return f"; kept in memory, {path.name} not written: {error.strerror or error}"


def _measured(exact: Exact) -> float:
    """Milliseconds of one exact search: the least of a few, since a busy machine only ever adds."""
    if not len(exact.vectors):
        return 0.0
    times = []
    for query in exact.vectors[:: max(1, len(exact.vectors) // _TRIALS)][:_TRIALS]:
        started = time.perf_counter()
        exact.search(query, _TRIAL_K)
        times.append(time.perf_counter() - started)
    return min(times) * 1000


# An embedding of the question takes 4 to 8 ms: an exact search shorter than that is not what a
# caller waits for.
SLOW_MS, FAST_MS = 4.0, 2.0

_VECTORS_FILE, _GRAPH_FILE = "vectors.bin", "hnsw.bin"
_TRIALS, _TRIAL_K = 5, 10

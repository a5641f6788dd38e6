"""Vectors: exact means exact, the graph is close to it, and no damaged side file is believed."""

import os
import random
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onrecord.retrieval import planner, sidefiles, vectors
from onrecord.retrieval.planner import open_index
from onrecord.retrieval.sentence_vectors import SentenceVectors, open_sentences
from onrecord.retrieval.vectors import HNSW, Exact, Packed


def unit(array):
    lengths = np.linalg.norm(array, axis=1, keepdims=True)
    return (array / np.maximum(lengths, 1e-9)).astype(np.float32)


def clustered(count, dimensions=64, seed=0):
    """Unit vectors in clusters, with dimensions of unequal weight, as embeddings have them."""
    rng = np.random.default_rng(seed)
    weights = np.arange(1, dimensions + 1) ** -0.3
    centres = rng.standard_normal((max(count // 50, 1), dimensions))
    noise = rng.standard_normal((count, dimensions))
    return unit((centres[rng.integers(0, len(centres), count)] + 0.7 * noise) * weights)


def assert_nearest(found, matrix, query, k, rows=None):
    """`found` has the cosines of the best, up to rounding, and rows that have them."""
    rows = np.arange(len(matrix)) if rows is None else rows
    true = (matrix[rows].astype(np.float64) @ query) / (np.linalg.norm(query) or 1)
    expected = np.sort(true)[::-1][:k]
    assert found.rows.dtype == np.int64 and len(set(found.rows)) == len(found.rows)
    assert set(found.rows) <= set(rows.tolist())
    np.testing.assert_allclose(found.cosines, expected, atol=1e-6)
    by_row = dict(zip(rows.tolist(), true, strict=True))
    np.testing.assert_allclose([by_row[row] for row in found.rows], expected, atol=1e-6)
    assert (np.abs(found.cosines) <= 1).all()


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "collection"
    path.mkdir()
    return path


@pytest.fixture
def two_passes(monkeypatch):
    """Let small matrices take the way of large ones."""
    monkeypatch.setattr(vectors, "TWO_PASSES_FROM", 1)
    monkeypatch.setattr(vectors, "GATHER_UP_TO", 40)


@pytest.mark.parametrize("count", [0, 1, 5, 300])
def test_one_pass(count):
    matrix, query = clustered(count), clustered(3, seed=9)[0] * 7
    for k in (-1, 0, 1, 10, 1000):
        assert_nearest(Exact(matrix).search(query, k), matrix, query, max(k, 0))


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 3000),
    st.sampled_from([1, 7, 16, 64]),
    st.sampled_from([1, 3, 10, 50]),
    st.sampled_from(["clustered", "equal", "few", "zeros", "long", "one axis"]),
    st.integers(0, 10),
)
def test_two_passes_are_exact(count, dimensions, k, shape, seed):
    rng = np.random.default_rng(seed)
    matrix = clustered(count, dimensions, seed)
    if shape == "equal":
        matrix[:] = matrix[0]
    elif shape == "few":
        matrix = matrix[rng.integers(0, min(count, 5), count)]
    elif shape == "zeros":
        matrix[rng.random(count) < 0.9] = 0
    elif shape == "long":
        matrix *= rng.random((count, 1), np.float32)
    elif shape == "one axis":
        matrix[rng.integers(count)] = np.eye(dimensions)[0]
    index = Exact(matrix, Packed.of(matrix))
    query = rng.standard_normal(dimensions).astype(np.float32)
    assert_nearest(index.search(query, k), matrix, query, k)
    rows = np.flatnonzero(rng.random(count) < 0.5)
    assert_nearest(index.search(query, k, rows), matrix, query, k, rows)


def test_filters(two_passes):
    matrix = clustered(5000)
    index, rng = Exact(matrix), np.random.default_rng(1)
    for share in (0, 0.0005, 0.01, 0.3, 1):
        mask = rng.random(len(matrix)) < share
        rows = np.flatnonzero(mask)
        for query in clustered(5, seed=3):
            found = index.search(query, 10, rows)
            assert_nearest(found, matrix, query, 10, rows)
            assert found.strategy.name == "exact"
            np.testing.assert_array_equal(index.search(query, 10, mask).rows, found.rows)


def test_ceiling_bounds_every_other_row():
    matrix = clustered(3000)
    packed = Packed.of(matrix)
    for query in clustered(50, seed=5):
        found, ceiling = packed.best(query, 64, None)
        others = np.delete(matrix.astype(np.float64) @ query, found)
        assert others.max() <= ceiling < others.max() + 0.2


def test_equal_cosines_come_in_the_order_of_rows():
    matrix = np.repeat(clustered(100), 30, axis=0)
    found = Exact(matrix, Packed.of(matrix)).search(matrix[300], 30)
    assert found.rows.tolist() == list(range(300, 330))


def test_queries_that_are_none():
    index = Exact(clustered(10, 8))
    assert len(index.search(np.zeros(8, np.float32), 3).rows) == 3
    for wrong in (np.ones(7), np.full(8, np.nan), np.full(8, np.inf)):
        with pytest.raises(ValueError, match="8 finite numbers"):
            index.search(wrong.astype(np.float32), 3)


def test_searches_from_many_threads_agree(two_passes):
    matrix = clustered(5000)
    index, queries = Exact(matrix), clustered(8, seed=4)
    answers = [None] * len(queries)

    def search(at):
        for _ in range(20):
            answers[at] = index.search(queries[at], 10)

    threads = [threading.Thread(target=search, args=(at,)) for at in range(len(queries))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for query, answer in zip(queries, answers, strict=True):
        assert_nearest(answer, matrix, query, 10)


# --- the graph ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def graph():
    matrix = clustered(8000)
    return HNSW.build(Exact(matrix, Packed.of(matrix)), threads=2)


def test_graph_recall(graph):
    queries = clustered(100, seed=0)
    hits = 0
    for query in queries:
        exact, found = graph.exact.search(query, 10), graph.search(query, 10)
        assert found.strategy.name == "hnsw"
        hits += len(set(exact.rows) & set(found.rows))
        true = graph.exact.vectors[found.rows].astype(np.float64) @ query
        np.testing.assert_allclose(found.cosines, true, atol=1e-6)
    assert hits >= 0.97 * 10 * len(queries)


def test_graph_leaves_filters_and_large_k_to_exact_search(graph):
    query, rows = clustered(1, seed=8)[0], np.arange(0, 8000, 3)
    found = graph.search(query, 10, rows)
    assert found.strategy.name == "exact"
    assert_nearest(found, graph.exact.vectors, query, 10, rows)
    assert graph.search(query, 5000).strategy.name == "exact"
    assert len(graph.search(query, 5000).rows) == 5000


def test_graph_survives_the_disk(graph, folder):
    graph.save(folder / "g", "s")
    loaded = HNSW.load(folder / "g", "s", graph.exact)
    query = clustered(1, seed=8)[0]
    np.testing.assert_array_equal(loaded.search(query, 10).rows, graph.search(query, 10).rows)
    assert HNSW.load(folder / "g", "other", graph.exact) is None
    fewer = graph.exact.vectors[:-1]
    assert HNSW.load(folder / "g", "s", Exact(fewer, Packed.of(fewer))) is None


# --- the plan -----------------------------------------------------------------------------------


def never():
    raise AssertionError("the side file should have been enough")


def test_open_builds_once(folder, two_passes):
    matrix, query = clustered(500), clustered(1, seed=2)[0]
    first = open_index(folder, "1", lambda: matrix)
    again = open_index(folder, "1", never)
    np.testing.assert_array_equal(first.search(query, 5).rows, again.search(query, 5).rows)
    other = open_index(folder, "2", lambda: matrix[:100])
    assert_nearest(other.search(query, 5), matrix[:100], query, 5)
    assert "under the 4 ms where the graph takes over" in other.search(query, 5).strategy.reason
    assert [path.name for path in folder.iterdir()] == ["vectors.bin"]


def test_graph_takes_over_when_exact_search_is_slow(folder, two_passes, monkeypatch):
    matrix, query = clustered(4000), clustered(1, seed=2)[0]
    monkeypatch.setattr(planner, "_measured", lambda exact: 5.0)
    index = open_index(folder, "1", lambda: matrix)
    assert index.wants_graph
    assert "not built yet" in index.search(query, 5).strategy.reason
    index.build_graph()
    assert not index.wants_graph
    assert index.search(query, 5).strategy.name == "hnsw"
    assert index.search(query, 5, np.arange(99)).strategy.name == "exact"
    # Between the two borders what was chosen stays, also over another state of the collection.
    monkeypatch.setattr(planner, "_measured", lambda exact: 3.0)
    assert open_index(folder, "1", never).search(query, 5).strategy.name == "hnsw"
    assert open_index(folder, "2", lambda: matrix).wants_graph
    (folder / "hnsw.bin").unlink()
    assert not open_index(folder, "2", never).wants_graph
    monkeypatch.setattr(planner, "_measured", lambda exact: 1.0)
    index.build_graph()
    assert open_index(folder, "2", never).search(query, 5).strategy.name == "exact"


def test_a_damaged_graph_is_not_used(folder, two_passes, monkeypatch):
    monkeypatch.setattr(planner, "_measured", lambda exact: 5.0)
    matrix = clustered(4000)
    open_index(folder, "1", lambda: matrix).build_graph()
    damage(folder / "hnsw.bin", -100)
    index = open_index(folder, "1", never)
    assert index.wants_graph and index.search(matrix[0], 5).strategy.name == "exact"


def test_a_disk_that_takes_no_files(folder, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(sidefiles, "write", full)
    matrix = clustered(50)
    index = open_index(folder, "1", lambda: matrix)
    reason = index.search(matrix[0], 5).strategy.reason
    assert "kept in memory" in reason and "No space left" in reason
    sentences = open_sentences(folder, "1", lambda: (matrix, np.full(10, 5)))
    assert len(sentences.cosines(matrix[0], np.array([3]))[0]) == 5


def test_an_empty_collection(folder):
    for source in (lambda: np.empty((0, 16), np.float32), never):
        found = open_index(folder, "1", source).search(np.ones(16, np.float32), 5)
        assert len(found.rows) == len(found.cosines) == 0


# --- sentences ----------------------------------------------------------------------------------


def test_sentences(folder):
    rng = np.random.default_rng(0)
    counts = rng.integers(0, 9, 300)
    matrix, query = clustered(counts.sum(), 384), clustered(1, 384, seed=1)[0]
    store = open_sentences(folder, "1", lambda: (matrix, counts))
    store = open_sentences(folder, "1", never)
    chunks = rng.permutation(300)[:200]
    flat, offsets = store.cosines(query, chunks)
    best, which = store.best(query, chunks)
    starts = np.concatenate([[0], np.cumsum(counts)])
    for at, chunk in enumerate(chunks):
        mine = flat[offsets[at] : offsets[at + 1]]
        true = matrix[starts[chunk] : starts[chunk + 1]] @ query
        np.testing.assert_allclose(mine, true, atol=0.004)
        if len(mine):
            assert (best[at], which[at]) == (mine.max(), mine.argmax())
        else:
            assert (best[at], which[at]) == (-1, -1)


def test_sentences_of_nothing():
    store = SentenceVectors.of(np.zeros((0, 4), np.float32), np.zeros(3, np.int64))
    assert store.best(np.ones(4, np.float32), np.array([0, 2]))[1].tolist() == [-1, -1]
    assert store.best(np.ones(4, np.float32), np.empty(0, np.int64))[0].shape == (0,)
    zeros = SentenceVectors.of(np.zeros((2, 4), np.float32), np.array([2]))
    assert zeros.cosines(np.ones(4, np.float32), np.array([0]))[0].tolist() == [0, 0]
    with pytest.raises(ValueError, match="3 sentences counted, 2 vectors given"):
        SentenceVectors.of(np.zeros((2, 4), np.float32), np.array([3]))


# --- side files ---------------------------------------------------------------------------------


def damage(path, at):
    content = bytearray(path.read_bytes())
    content[at] ^= 0x10
    path.write_bytes(content)


ARRAYS = {
    "a": np.arange(12, dtype=np.float32).reshape(3, 4),
    "b": np.arange(5, dtype=np.int64),
    "empty": np.empty((0, 7), np.int8),
}


def same(read):
    return read is not None and all(
        read[name].dtype == array.dtype and np.array_equal(read[name], array)
        for name, array in ARRAYS.items()
    )


def test_side_file_round_trip(folder):
    path = folder / "f"
    sidefiles.write(path, "kind", "state é", ARRAYS)
    read = sidefiles.read(path, "kind", "state é")
    assert same(read) and not read["a"].flags.writeable
    assert read["a"].ctypes.data % 64 == 0
    assert sidefiles.read(path, "other", "state é") is None
    assert sidefiles.read(path, "kind", "state") is None
    assert sidefiles.read(folder / "missing", "kind", "state é") is None
    assert sidefiles.read(folder, "kind", "state é") is None
    assert [each.name for each in folder.iterdir()] == ["f"]


def test_every_damage_is_found(folder):
    path = folder / "f"
    sidefiles.write(path, "kind", "s", ARRAYS)
    whole = path.read_bytes()
    for at in range(len(whole)):
        path.write_bytes(whole)
        damage(path, at)
        read = sidefiles.read(path, "kind", "s")
        # A flipped bit between two arrays means nothing, and may stay unseen.
        assert read is None or same(read)
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        read = sidefiles.read(path, "kind", "s")
        # Behind the last array with content nothing can be missed.
        assert read is None or (same(read) and len(whole) - length < 64)
    rng = random.Random(0)
    for _ in range(300):
        path.write_bytes(whole[: rng.choice([0, 8, 12, 16])] + rng.randbytes(rng.randrange(400)))
        assert sidefiles.read(path, "kind", "s") is None


def test_a_failed_write_leaves_the_old_file_and_no_debris(folder, monkeypatch):
    path = folder / "f"
    sidefiles.write(path, "kind", "old", ARRAYS)

    def full(_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left"):
            sidefiles.write(path, "kind", "new", ARRAYS)
    assert same(sidefiles.read(path, "kind", "old"))
    assert [each.name for each in folder.iterdir()] == ["f"]


def test_readers_keep_what_they_opened(folder):
    path = folder / "f"
    sidefiles.write(path, "kind", "1", ARRAYS)
    read = sidefiles.read(path, "kind", "1")
    sidefiles.write(path, "kind", "2", {"a": np.zeros(3, np.float32)})
    assert same(read)

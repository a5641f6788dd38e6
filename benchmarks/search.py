"""How long a search takes and how many of the nearest it finds, beside what else one could use.

python benchmarks/search.py [SIZE ...]        sizes default to 1000 10000 100000

The vectors: sentences of `shared/data` embedded by `embedded:minilm`, and, where more are needed,
mixtures of two of them with noise; the queries: SQuAD questions. Not uniform noise, which has no
near neighbours and flatters nobody in particular. Every index answers every query in turn, so that
a busy moment of the machine hits all alike; p50 and p95 are of single queries. Recall@10 is
against float64 brute force. The filter keeps 1 % of the rows, drawn at random. Peers that are not
installed are named and left out. Writes results/search-DATE.json.

Tried for exact search over 100,000 x 384 (medians in ms on two busy cores with AVX512-VNNI):
    1.3     kept: FAISS scalar quantizer, signed bytes, one thread, rescored under a bound
    1.4     the same in ONNX Runtime's MatMulInteger, constant weights; needs a model file, holds
            the weights twice, and leaves the selection to us (0.2 more); weights as input: 5.4
    1.5     the same bytes in two halves on two threads: no gain, stalls when a core is busy
    1.7     uniform bytes;  2.5 to 3.9: bytes with a range per dimension, which read floats
    2.8     float16, up to 7 on one thread;  7 to 14: 6 bit
    3.9     numpy, up to 11 when the other core is busy;  16 to 52: FAISS flat
A step for each dimension instead of one for all: as many candidates. Clipping the largest values:
the few clipped rows set the bound; on Gaussian clusters half of the queries were widened to all
rows. A prefix of principal components, with Cauchy-Schwarz for the rest, leaves 5 % of the rows
at 128 of 384 components and 0.2 % at 192 (counted, not timed): as float32 that is more memory to
read than the bytes, as bytes it may yet halve the time. FAISS or BLAS with their usual threads for
one query: 8 ms as soon as another process has the second core, however few the rows;
`numpy.vecdot` takes 0.2 ms for 10,000 rows where `@` then takes 8 to 16. HNSW (recall, ms, at a
search effort of 256): 16 neighbours, build effort 80: .980, 0.31; 32 and 100: .986, 0.37; 32 and
200 at an effort of 192: .994, 0.38.
"""

from __future__ import annotations

import asyncio
import datetime
import importlib
import json
import os
import platform
import random
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onrecord.retrieval.vectors import HNSW, Exact, Packed

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
DATA = Path(os.environ.get("ONRECORD_BENCH_DATA", ROOT.parent / "shared" / "data"))
SIZES, SENTENCES, QUERIES, K, SHARE = (1_000, 10_000, 100_000), 12_000, 100, 10, 0.01
CORES = os.cpu_count() or 1

Vectors = NDArray[np.float32]
Rows = NDArray[np.int64]
# Searches one query; its argument says whether to search under the filter.
Search = Callable[[Vectors, bool], Any]
Row = dict[str, Any]


def main() -> None:
    sizes = [int(size) for size in sys.argv[1:]] or list(SIZES)
    if not DATA.is_dir():
        print("No data: set ONRECORD_BENCH_DATA to the folder of the data. Nothing measured.")
        return
    report: Row = {
        "date": datetime.date.today().isoformat(),
        "machine": f"{platform.machine()}, {CORES} cores",
        "vectors": [],
        "collection": asyncio.run(collection()),
    }
    show([report["collection"]])
    base, queries = asyncio.run(embedded())
    for size in sizes:
        rows = measure(grown(base, size), queries)
        report["vectors"] += rows
        show(rows)
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"search-{report['date']}.json"
    path.write_text(json.dumps(report, indent=1) + "\n")
    print(f"written: {path.relative_to(ROOT)}")


# --- the vectors ----------------------------------------------------------------------------------


async def embedded() -> tuple[Vectors, Vectors]:
    """Sentences and questions, embedded; kept in ONRECORD_BENCH_CACHE when it is set."""
    from onrecord.models.minilm import MiniLM
    from onrecord.sentences import sentence_spans

    kept = os.environ.get("ONRECORD_BENCH_CACHE")
    path = Path(kept) / "search-vectors.npz" if kept else None
    if path and path.exists():
        arrays = np.load(path)
        return arrays["base"], arrays["queries"]
    sentences = [text[a:b] for text in texts() for a, b in sentence_spans(text) if b - a > 20]
    chosen = np.random.default_rng(0).permutation(len(sentences))[:SENTENCES]
    model = MiniLM()
    base = await model.embed([sentences[at] for at in chosen])
    queries = await model.embed([question["question"] for question in questions()])
    if path:
        np.savez(path, base=base, queries=queries)
    return base, queries


def texts() -> Iterator[str]:
    for folder in ("squad2/paragraphs.jsonl", "cranfield/documents.jsonl"):
        for line in (DATA / folder).read_text("utf-8").splitlines():
            yield json.loads(line)["text"]
    for path in sorted((DATA / "peps").glob("*.rst")):
        yield path.read_text("utf-8")


def questions() -> list[Row]:
    lines = (DATA / "squad2" / "questions.jsonl").read_text("utf-8").splitlines()
    return [json.loads(line) for line in lines[:: len(lines) // QUERIES]][:QUERIES]


def grown(base: Vectors, size: int) -> Vectors:
    """`size` unit vectors: the base, then mixtures near one of its rows."""
    rng = np.random.default_rng(size)
    more = max(0, size - len(base))
    near, far = base[np.arange(more) % len(base)], base[rng.integers(0, len(base), more)]
    noise = rng.standard_normal((more, base.shape[1])) / np.sqrt(base.shape[1])
    mixed = near + 0.35 * far + 0.25 * noise
    mixed /= np.linalg.norm(mixed, axis=1, keepdims=True)
    return np.concatenate([base[:size], mixed]).astype(np.float32)


# --- the indexes: each takes (vectors, rows that pass the filter, a folder), gives a search
# --------


def ours_exact(vectors: Vectors, rows: Rows, folder: Path) -> Search:
    index = Exact(vectors)
    return lambda query, filtered: index.search(query, K, rows if filtered else None).rows


def ours_hnsw(vectors: Vectors, rows: Rows, folder: Path) -> Search:
    index = HNSW.build(Exact(vectors, Packed.of(vectors)), CORES)
    return lambda query, filtered: index.search(query, K, rows if filtered else None).rows


def numpy_exact(vectors: Vectors, rows: Rows, folder: Path) -> Search:
    def search(query: Vectors, filtered: bool) -> Any:
        cosines = vectors[rows] @ query if filtered else vectors @ query
        best = np.argpartition(cosines, -K)[-K:]
        return rows[best] if filtered else best

    return search


def faiss_flat(vectors: Vectors, rows: Rows, folder: Path) -> Search:
    faiss: Any = importlib.import_module("faiss")
    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(vectors)
    chosen = faiss.SearchParameters(sel=faiss.IDSelectorBatch(rows))
    return lambda query, filtered: asked(index, query, chosen if filtered else None)


def faiss_hnsw(vectors: Vectors, rows: Rows, folder: Path) -> Search:
    faiss: Any = importlib.import_module("faiss")
    index = faiss.IndexHNSWFlat(vectors.shape[1], 32, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction = 200
    index.add(vectors)
    every = faiss.SearchParametersHNSW(efSearch=192)
    chosen = faiss.SearchParametersHNSW(efSearch=192, sel=faiss.IDSelectorBatch(rows))
    return lambda query, filtered: asked(index, query, chosen if filtered else every)


def asked(index: Any, query: Vectors, parameters: Any) -> Any:
    _, found = index.search(query[None], K, params=parameters)
    return found[0]


def hnswlib(vectors: Vectors, rows: Rows, folder: Path) -> Search:
    index = importlib.import_module("hnswlib").Index("ip", vectors.shape[1])
    index.init_index(len(vectors), M=32, ef_construction=200)
    index.add_items(vectors)
    index.set_ef(192)
    index.set_num_threads(1)
    kept = set(rows.tolist())

    def search(query: Vectors, filtered: bool) -> Any:
        if filtered:
            return index.knn_query(query, K, filter=kept.__contains__)[0][0]
        return index.knn_query(query, K)[0][0]

    return search


def chroma(vectors: Vectors, rows: Rows, folder: Path) -> Search:
    client = importlib.import_module("chromadb").PersistentClient(str(folder / "chroma"))
    table = client.create_collection(
        "bench", embedding_function=None, metadata={"hnsw:space": "cosine"}
    )
    kept = np.isin(np.arange(len(vectors)), rows)
    for at in range(0, len(vectors), 5_000):
        ids = range(at, min(at + 5_000, len(vectors)))
        table.add(
            ids=[str(id) for id in ids],
            embeddings=vectors[at : at + 5_000],
            metadatas=[{"kept": bool(kept[id])} for id in ids],
        )

    def search(query: Vectors, filtered: bool) -> Any:
        where = {"kept": True} if filtered else None
        found = table.query(query_embeddings=[query], n_results=K, where=where, include=[])
        return [int(id) for id in found["ids"][0]]

    return search


def lancedb(vectors: Vectors, rows: Rows, folder: Path) -> Search:
    arrow: Any = importlib.import_module("pyarrow")
    kept = np.isin(np.arange(len(vectors)), rows)
    listed = arrow.FixedSizeListArray.from_arrays(arrow.array(vectors.ravel()), vectors.shape[1])
    columns = {"vector": listed, "id": np.arange(len(vectors)), "kept": kept}
    database = importlib.import_module("lancedb").connect(folder / "lance")
    table = database.create_table("bench", arrow.table(columns))

    def search(query: Vectors, filtered: bool) -> Any:
        asked = table.search(query).distance_type("cosine").limit(K).select(["id", "_distance"])
        if filtered:
            asked = asked.where("kept", prefilter=True)
        return asked.to_arrow()["id"].to_pylist()

    return search


INDEXES: dict[str, Callable[[Vectors, Rows, Path], Search]] = {
    "onrecord exact": ours_exact,
    "onrecord hnsw": ours_hnsw,
    "numpy float32": numpy_exact,
    "FAISS flat": faiss_flat,
    "FAISS HNSW": faiss_hnsw,
    "hnswlib": hnswlib,
    "Chroma": chroma,
    "LanceDB (no index)": lancedb,
}


# --- measuring ------------------------------------------------------------------------------------


def measure(vectors: Vectors, queries: Vectors) -> list[Row]:
    """One row an index, with and without the filter."""
    rng = np.random.default_rng(1)
    rows = np.sort(rng.choice(len(vectors), max(K, int(SHARE * len(vectors))), replace=False))
    truth = queries.astype(np.float64) @ vectors.T
    # ignore_cleanup_errors: Chroma keeps its database open until the process ends.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        searches, built = built_indexes(vectors, rows, Path(folder))
        return [
            {
                "n": len(vectors),
                "filter": filtered,
                "index": name,
                "build_s": built[name],
                **figures,
            }
            for filtered in (False, True)
            for name, figures in timed(searches, queries, truth, rows, filtered).items()
        ]


def built_indexes(
    vectors: Vectors, rows: Rows, folder: Path
) -> tuple[dict[str, Search], dict[str, float]]:
    searches: dict[str, Search] = {}
    seconds: dict[str, float] = {}
    for name, build in INDEXES.items():
        started = time.perf_counter()
        try:
            searches[name] = build(vectors, rows, folder)
        except ImportError as error:
            print(f"left out, not installed: {name} ({error.name})")
            continue
        seconds[name] = round(time.perf_counter() - started, 2)
    return searches, seconds


def timed(
    searches: dict[str, Search], queries: Vectors, truth: Any, rows: Rows, filtered: bool
) -> dict[str, Row]:
    times: dict[str, list[float]] = {name: [] for name in searches}
    hits = dict.fromkeys(searches, 0.0)
    for search in searches.values():
        search(queries[0], filtered)
    names, shuffled = list(searches), random.Random(0)
    for query, cosines in zip(queries, truth, strict=True):
        # Some leave the caches cold behind them, or threads that still run: no fixed neighbours.
        shuffled.shuffle(names)
        # The worst cosine that is right; rounding of float32 is not an error.
        least = np.partition(cosines[rows] if filtered else cosines, -K)[-K] - 1e-6
        for name in names:
            started = time.perf_counter()
            found = np.asarray(attempt(searches[name], query, filtered), np.int64)
            times[name].append((time.perf_counter() - started) * 1000)
            found = np.unique(found[found >= 0])
            right = cosines[found] >= least
            hits[name] += float((right & (np.isin(found, rows) | (not filtered))).sum()) / K
    return {
        name: {
            "p50_ms": round(float(np.median(taken)), 3),
            "p95_ms": round(float(np.quantile(taken, 0.95)), 3),
            "recall": round(hits[name] / len(queries), 4),
        }
        for name, taken in times.items()
    }


def attempt(search: Search, query: Vectors, filtered: bool) -> Any:
    try:
        return search(query, filtered)
    except RuntimeError:  # hnswlib finds fewer than K under a filter, and says so in this way
        return []


def show(rows: list[Row]) -> None:
    for row in rows:
        if "index" not in row:
            print("  ".join(f"{key} {value}" for key, value in row.items()))
            continue
        line = f"{row['n']:>8,}  {'1 % filter' if row['filter'] else 'all rows':10}"
        line += f"  {row['index']:20} p50 {row['p50_ms']:8.3f} ms  p95 {row['p95_ms']:8.3f} ms"
        print(f"{line}  recall@{K} {row['recall']:.3f}  built in {row['build_s']:.1f} s")


# --- the whole search, as a user calls it ---------------------------------------------------------


async def collection() -> Row:
    """`Collection.search` over the SQuAD paragraphs, and how much of it embedding takes."""
    import onrecord as on
    from onrecord.retrieval.document import Document

    lines = (DATA / "squad2" / "paragraphs.jsonl").read_text("utf-8").splitlines()
    documents = [
        Document(f"{at}", f"paragraph {at}", json.loads(line)["text"], metadata={"number": at})
        for at, line in enumerate(lines)
    ]
    where = f"number < {int(SHARE * len(documents))}"
    times: dict[str, list[float]] = {"embed": [], "search": [], "filtered": []}
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        docs = on.Collection.open("bench", home=folder)
        await docs.add(documents, "squad")
        await docs.search("What does the first search cost?", k=K)
        for question in questions():
            text = question["question"]
            calls: dict[str, Callable[[], Awaitable[Any]]] = {
                "embed": partial(docs.embedder.embed, [text]),
                "search": partial(docs.search, text, k=K),
                "filtered": partial(docs.search, text, k=K, where=where),
            }
            for name, call in calls.items():
                started = time.perf_counter()
                await call()
                times[name].append((time.perf_counter() - started) * 1000)
        docs.close()
    figures = {f"{name}_p50_ms": round(float(np.median(taken)), 2) for name, taken in times.items()}
    return {"documents": len(documents), **figures}


if __name__ == "__main__":
    main()

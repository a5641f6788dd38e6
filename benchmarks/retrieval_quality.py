"""Does search find the right text? Ours beside each of its arms, and beside fixed rank fusion.

SQuAD 2.0 dev: the 5,928 answerable questions, asked of all 1,204 paragraphs; right is the paragraph
that a question was written for. hit@1, hit@5, MRR@10.
Cranfield: 225 questions, 1,400 abstracts, graded judgements. nDCG@10 (gain = grade, 0 below 1).

Ours is `Collection.search` as it comes. The arms rank whole paragraphs by themselves:

    BM25, words as they are   rank_bm25's BM25Okapi on lower-case words (where it is installed)
    BM25, FTS5 porter         SQLite's bm25() over title and text, all words of the question OR-ed
    vectors                   cosine of the embedder's vectors of question and paragraph
    fixed RRF                 reciprocal ranks (60) of the two arms before, 100 of each

No constant was tuned on these questions, but the form of the score was chosen having seen its
results on them among other data (see `onrecord/retrieval/ranking.py`).

Data: ../shared/data, or ONRECORD_BENCH_DATA.

    python -m benchmarks.retrieval_quality [--quick]        (every 10th question)
"""

from __future__ import annotations

import asyncio
import importlib
import json
import math
import os
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import onrecord as on
from onrecord.models.model import Embedder
from onrecord.words import words

Row = dict[str, Any]
Ranking = list[str]


class Task(NamedTuple):
    """Texts, questions, and for each question the grades of the texts that are right."""

    name: str
    file: Path
    questions: list[str]
    right: list[dict[str, int]]
    measures: tuple[str, ...]


async def main(arguments: Sequence[str]) -> int:
    folder = Path(os.environ.get("ONRECORD_BENCH_DATA", _ROOT.parent / "shared" / "data"))
    if not (folder / "squad2").is_dir() or not (folder / "cranfield").is_dir():
        print(f"retrieval_quality: skipped, {folder} is not there (set ONRECORD_BENCH_DATA).")
        return 0
    step = 10 if "--quick" in arguments else 1
    report: dict[str, Any] = {"date": date.today().isoformat(), "every": step}
    for task in (squad(folder / "squad2", step), cranfield(folder / "cranfield")):
        report[task.name] = await measured(task)
    path = _ROOT / "benchmarks" / "results" / f"retrieval_quality-{report['date']}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(report, indent=1) + "\n")
    print(f"written to {path.relative_to(_ROOT)}")
    return 0


def squad(folder: Path, step: int) -> Task:
    asked = [row for row in rows(folder / "questions.jsonl") if row["answers"]][::step]
    return Task(
        "squad2",
        folder / "paragraphs.jsonl",
        [row["question"] for row in asked],
        [{row["paragraph"]: 1} for row in asked],
        ("hit@1", "hit@5", "MRR@10"),
    )


def cranfield(folder: Path) -> Task:
    asked = list(rows(folder / "questions.jsonl"))
    grades: dict[str, dict[str, int]] = {row["id"]: {} for row in asked}
    for line in (folder / "qrels.txt").read_text().splitlines():
        question, _, document, grade = line.split()
        if int(grade) > 0:
            grades[question][document] = int(grade)
    return Task(
        "cranfield",
        folder / "documents.jsonl",
        [row["question"] for row in asked],
        [grades[row["id"]] for row in asked],
        ("nDCG@10",),
    )


async def measured(task: Task) -> dict[str, dict[str, float]]:
    """Ranks with every arm and prints the table; arm to measure to value."""
    texts = list(rows(task.file))
    print(f"\n{task.name}: {len(texts):,} texts, {len(task.questions):,} questions")
    print(f"{'':28}" + "".join(f"{measure:>9}" for measure in task.measures) + f"{'ms/q':>9}")
    scores: dict[str, dict[str, float]] = {}

    def scored(arm: str, rankings: Sequence[Ranking], seconds: float) -> None:
        found = {measure: _MEASURES[measure](rankings, task.right) for measure in task.measures}
        scores[arm] = {**found, "ms": 1e3 * seconds / len(rankings)}
        cells = "".join(f"{value:9.4f}" for value in found.values())
        print(f"{arm:28}{cells}{scores[arm]['ms']:9.1f}", flush=True)

    for arm, rank in word_arms(texts):
        started = time.perf_counter()
        by_words = [rank(question) for question in task.questions]
        scored(arm, by_words, time.perf_counter() - started)
    with tempfile.TemporaryDirectory() as home:
        docs = on.Collection.open(task.name, home=home)
        started = time.perf_counter()
        by_meaning = await vector_arm(texts, task.questions, docs.embedder)
        scored("vectors (time: all texts)", by_meaning, time.perf_counter() - started)
        pairs = zip(by_words, by_meaning, strict=True)
        scored("fixed RRF", [best(reciprocal_ranks([*pair])) for pair in pairs], 0.0)
        await docs.ingest(task.file, text="text", id="id", title="title")
        started = time.perf_counter()
        ours = [await searched(docs, question) for question in task.questions]
        scored("ours", ours, time.perf_counter() - started)
        docs.close()
    return scores


def word_arms(texts: Sequence[Row]) -> Iterable[tuple[str, Callable[[str], Ranking]]]:
    names = [row["id"] for row in texts]
    try:
        okapi = importlib.import_module("rank_bm25").BM25Okapi(
            [words(f"{row['title']} {row['text']}") for row in texts]
        )
        yield (
            "BM25, words as they are",
            lambda question: ranked(okapi.get_scores(words(question)), names),
        )
    except ImportError:
        print("(rank_bm25 is not installed)")
    table = sqlite3.connect(":memory:")
    table.execute("CREATE VIRTUAL TABLE t USING fts5(title, text, tokenize='porter unicode61')")
    table.executemany(
        "INSERT INTO t(rowid, title, text) VALUES (?, ?, ?)",
        [(number, row["title"], row["text"]) for number, row in enumerate(texts)],
    )

    def fts5(question: str) -> Ranking:
        match = " OR ".join(f'"{word}"' for word in dict.fromkeys(words(question)))
        sql = "SELECT rowid FROM t WHERE t MATCH ? ORDER BY rank LIMIT ?"
        return [names[number] for (number,) in table.execute(sql, (match or '""', _DEPTH))]

    yield "BM25, FTS5 porter", fts5


async def vector_arm(
    texts: Sequence[Row], questions: Sequence[str], embedder: Embedder
) -> list[Ranking]:
    names = [row["id"] for row in texts]
    vectors = await embedder.embed([row["text"] for row in texts])
    asked = await embedder.embed(questions)
    return [ranked(vectors @ question, names) for question in asked]


async def searched(docs: on.Collection, question: str) -> Ranking:
    """Documents by their best passage; a document may have several of the passages."""
    passages = await docs.search(question, k=50)
    return list(dict.fromkeys(passage.document_id for passage in passages))


def ranked(scores: Any, names: Sequence[str]) -> Ranking:
    return [names[at] for at in np.argsort(-np.asarray(scores), kind="stable")[:_DEPTH]]


def best(scores: Mapping[str, float]) -> Ranking:
    return sorted(scores, key=lambda name: -scores[name])


def hits(at: int) -> Callable[[Sequence[Ranking], Sequence[Mapping[str, int]]], float]:
    def hit(rankings: Sequence[Ranking], right: Sequence[Mapping[str, int]]) -> float:
        pairs = zip(rankings, right, strict=True)
        return float(np.mean([any(name in good for name in found[:at]) for found, good in pairs]))

    return hit


def mrr(rankings: Sequence[Ranking], right: Sequence[Mapping[str, int]]) -> float:
    """Mean of one over the rank of the first right text, 0 below the tenth."""
    values = [
        next((1 / rank for rank, name in enumerate(found[:10], start=1) if name in good), 0.0)
        for found, good in zip(rankings, right, strict=True)
    ]
    return float(np.mean(values))


def ndcg(rankings: Sequence[Ranking], right: Sequence[Mapping[str, int]]) -> float:
    """Jarvelin and Kekalainen, ACM TOIS 20(4), 2002, with the grade as the gain."""

    def gain(grades: Iterable[int]) -> float:
        return sum(grade / math.log2(rank + 1) for rank, grade in enumerate(grades, start=1))

    values = [
        gain(good.get(name, 0) for name in found[:10])
        / gain(sorted(good.values(), reverse=True)[:10])
        for found, good in zip(rankings, right, strict=True)
        if good
    ]
    return float(np.mean(values))


def rows(path: Path) -> Iterable[Row]:
    for line in path.read_text(encoding="utf-8").splitlines():
        yield json.loads(line)


_MEASURES: dict[str, Callable[[Sequence[Ranking], Sequence[Mapping[str, int]]], float]] = {
    "hit@1": hits(1),
    "hit@5": hits(5),
    "MRR@10": mrr,
    "nDCG@10": ndcg,
}
_DEPTH = 100
_ROOT = Path(__file__).parent.parent


def reciprocal_ranks(rankings: Sequence[Sequence[Any]], constant: int = 60) -> dict[Any, float]:
    """Reciprocal-rank fusion: item to the sum over rankings of 1 / (constant + rank), ranks from 1.

    Cormack, Clarke and Buettcher, SIGIR 2009.
    """
    fused_ranks: dict[Any, float] = {}
    for ranking in rankings:
        for rank, item in enumerate(ranking, start=1):
            fused_ranks[item] = fused_ranks.get(item, 0.0) + 1.0 / (constant + rank)
    return fused_ranks


if __name__ == "__main__":
    sys.exit(asyncio.run(main(sys.argv[1:])))

"""`docs/measured.md`, made of the newest result of each benchmark: python -m benchmarks.measured

A test compares the page with what this makes, so no number in it can be anything but measured.
"""

# ruff: noqa: E501 (the lines of the page are prose)

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

from benchmarks.reporting import FOLDER, ROOT

PAGE = ROOT / "docs" / "measured.md"
Cells = tuple[object, ...]


def page() -> str:
    """The page as Markdown."""
    parts = [_HEAD, *(_section(name, *section) for name, section in _SECTIONS.items())]
    return "\n".join(parts)


def newest(name: str) -> dict[str, Any]:
    """The newest result of a benchmark."""
    path = max(FOLDER.glob(f"{name}-????-??-??.json"))
    result: dict[str, Any] = {"date": path.stem[-10:], **json.loads(path.read_text())}
    return result


def _section(
    name: str, title: str, text: str, header: Cells, rows: Callable[[Any], Iterable[Cells]]
) -> str:
    result = newest(name)
    lines = [header, ("---",) * len(header), *rows(result)]
    table = "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)
    source = f"`make bench ONLY={name}`, {result['date']}"
    return f"## {title}\n\n{text}\n\n{table}\n\n{source}\n"


def _retrieval(result: Any) -> Iterable[Cells]:
    cranfield = result["cranfield"]
    for arm, scores in result["squad2"].items():
        figures = (f"{scores[key]:.3f}" for key in ("hit@1", "hit@5", "MRR@10"))
        yield (arm.split(" (")[0], *figures, f"{cranfield[arm]['nDCG@10']:.3f}")


def _answers(result: Any) -> Iterable[Cells]:
    for key in (
        "holds a gold answer",
        "holds, refusals counted",
        "AUROC, answerable",
        "refused, answerable",
        "refused, unanswerable",
        "refused, CLINC",
    ):
        yield key, f"{result[key]:.3f}"
    for key in ("characters, mean", "characters, median", "words, mean"):
        yield key, f"{result[key]:.0f}"


def _vectors(result: Any) -> Iterable[Cells]:
    rows = {(row["n"], row["filter"], row["index"]): row for row in result["vectors"]}
    for index in dict.fromkeys(row["index"] for row in result["vectors"]):
        cells: list[object] = [index]
        for n, filtered in ((10_000, False), (100_000, False), (100_000, True)):
            row = rows[n, filtered, index]
            cells += [f"{row['p50_ms']:.2f} / {row['p95_ms']:.2f}", f"{row['recall']:.3f}"]
        yield tuple(cells)
    whole = result["collection"]
    yield (
        f"whole `Collection.search`, {whole['documents']:,} documents",
        f"p50 {whole['search_p50_ms']:.1f} ms",
        "",
        f"of it embedding {whole['embed_p50_ms']:.1f} ms",
        "",
        f"filtered {whole['filtered_p50_ms']:.1f} ms",
        "",
    )


def _chunking(result: Any) -> Iterable[Cells]:
    for row in result["results"]:
        scores = row["scores"]["5 chunks"]
        figures = (f"{scores[key]:.3f}" for key in ("recall", "precision", "iou"))
        yield (row["splitter"], row["retrieval"], row["chunks"], *figures)


def _embedding(result: Any) -> Iterable[Cells]:
    for row in result["rows"]:
        speed = f"{row['texts_per_second']:.0f}"
        yield row["name"], speed, f"{row['hit1']:.3f}", f"{row['hit5']:.3f}"


def _ingest(result: Any) -> Iterable[Cells]:
    for row in result["rows"]:
        again = row["nothing changed, seconds"]
        yield row["what"], row["files/s"], row["chunks/s"], row["texts/s"], row["peak MiB"], again


def _startup(result: Any) -> Iterable[Cells]:
    for row in result["rows"]:
        yield row["what"], row["median ms"], row["worst ms"]


_HEAD = """# Measured

Made by `python -m benchmarks.measured` out of `benchmarks/results/`; every figure is printed by a command of this
repository, on a machine with two cores, with the peers measured in the same run. `make bench` measures anew.

Public data is for measuring; no constant was fitted to it. But its results were seen while rules were chosen (how many
sentences are quoted, which signs make an answer doubtful), and CLINC helped to set the threshold of refusal: take the
figures on SQuAD and CLINC as somewhat optimistic.
"""
_SECTIONS: dict[str, tuple[str, str, Cells, Callable[[Any], Iterable[Cells]]]] = {
    "retrieval_quality": (
        "Finding the right passage",
        "SQuAD 2.0 dev: 5,928 questions, the right paragraph among 1,204. Cranfield: 225 questions, 1,400 abstracts. "
        "On Cranfield ours is above each single arm and below fixed reciprocal-rank fusion.",
        ("arm", "SQuAD hit@1", "hit@5", "MRR@10", "Cranfield nDCG@10"),
        _retrieval,
    ),
    "answers": (
        "Quoted answers",
        "`embedded:extractive` on SQuAD 2.0 dev, asked of all 1,204 paragraphs at once: how often the quotation holds a "
        "gold answer, how long it is, how well the score tells answerable from unanswerable questions (AUROC; .5 is "
        "chance), and how often it refuses. CLINC's requests are about nothing in the collection. The weak spot: "
        "questions that a passage is about and does not answer are seldom refused.",
        ("what", "figure"),
        _answers,
    ),
    "search": (
        "Vector search",
        "384 dimensions, k = 10; p50 / p95 in milliseconds of one query, and recall@10 against brute force.",
        ("index", "10k, ms", "recall", "100k, ms", "recall", "100k, 1 % filter, ms", "recall"),
        _vectors,
    ),
    "chunking": (
        "Splitting",
        "Three long texts, 276 questions with the exact spans that answer them; the best five chunks, by characters.",
        ("splitter", "retrieval", "chunks", "recall", "precision", "IoU"),
        _chunking,
    ),
    "embedding": (
        "The embedded encoder",
        "Throughput on paragraphs, and vectors alone on SQuAD 2.0 dev.",
        ("encoder", "texts/s", "hit@1", "hit@5"),
        _embedding,
    ),
    "ingest": (
        "Ingest",
        "Python Enhancement Proposals. We embed sentences as well as chunks, so a chunk costs more texts than Chroma's.",
        ("what", "files/s", "chunks/s", "texts/s", "peak MiB", "nothing changed, s"),
        _ingest,
    ),
    "startup": (
        "Start-up",
        "Fresh processes; imports without the interpreter's own start.",
        ("what", "median ms", "worst ms"),
        _startup,
    ),
}


if __name__ == "__main__":
    PAGE.write_text(page())
    print(f"written: {PAGE.relative_to(ROOT)}")

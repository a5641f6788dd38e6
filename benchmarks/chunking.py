"""How well chunks hold what a question asks for: every splitter on the same texts and questions.

Data: ../shared/data/chunking (brandonstarxel/chunking_evaluation, MIT): three texts and 276
questions with the exact character spans that answer them. All texts are searched together.
Measured by characters, over the union of the chunks retrieved (after Chroma's "Evaluating Chunking
Strategies for Retrieval", 2024):

    recall     of the answering characters, how many were retrieved
    precision  of the retrieved characters, how many answer
    IoU        answering and retrieved / answering or retrieved

Larger chunks win at a fixed number of chunks, because they are more text. So three budgets: 5
chunks; as many chunks as hold the answer ("needed"); as many as make 1,000 tokens.

    python -m benchmarks.chunking [--quick]        (run from the repository)
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from onrecord.calling import run
from onrecord.models.minilm import MiniLM
from onrecord.retrieval.collection import Collection
from onrecord.retrieval.document import Chunk, Document, Splitter
from onrecord.retrieval.splitting import (
    FixedTokens,
    Recursive,
    Sections,
    Semantic,
    Sentences,
    Structure,
)

Span = tuple[int, int]


class Question(NamedTuple):
    """A question, the text that answers it, and the spans that do."""

    words: str
    document: str
    spans: list[Span]


class Retrieved(NamedTuple):
    """A chunk that a search returned."""

    document: str
    start: int
    end: int


class Score(NamedTuple):
    """Means over the questions, in [0, 1]; `error` is the standard error of the recall."""

    recall: float
    precision: float
    iou: float
    error: float


def main(arguments: Sequence[str]) -> int:
    folder = Path(os.environ.get("ONRECORD_BENCH_DATA", _ROOT.parent / "shared" / "data"))
    if not (folder / "chunking" / "questions.jsonl").is_file():
        print(f"chunking: skipped, there is no {folder / 'chunking'} (set ONRECORD_BENCH_DATA).")
        return 0
    documents, questions = read(folder / "chunking")
    embedder = MiniLM()
    vectors = run(embedder.embed([question.words for question in questions]))
    results = []
    print(_HEADER)
    for label, splitter in splitters(embedder, quick="--quick" in arguments):
        results.append(by_vectors(label, splitter, embedder, documents, questions, vectors))
        print(line(results[-1]), flush=True)
    for label, splitter in splitters(embedder, quick=True):
        if not isinstance(splitter, Peer):
            results.append(by_search(label, splitter, embedder, documents, questions))
            print(line(results[-1]), flush=True)
    path = _ROOT / "benchmarks" / "results" / f"chunking-{date.today().isoformat()}.json"
    path.parent.mkdir(exist_ok=True)
    report = {"questions": len(questions), "embedder": embedder.version, "results": results}
    path.write_text(json.dumps(report, indent=1) + "\n")
    print(f"written to {path.relative_to(_ROOT)}")
    return 0


def splitters(embedder: MiniLM, *, quick: bool) -> Iterator[tuple[str, Splitter]]:
    """Each splitter as it comes, then at other sizes: these show the trend, and chose nothing."""
    yield "structure", Structure(embedder)
    yield "fixed 127", FixedTokens(embedder)
    yield "fixed 127, overlap 32", FixedTokens(embedder, overlap=32)
    yield "sentences 5", Sentences(embedder)
    yield "recursive 127", Recursive(embedder)
    yield "sections", Sections(embedder)
    yield "semantic", Semantic(embedder)
    yield from peers(embedder)
    if quick:
        return
    for target in (64, 96, 160, 200):
        yield f"structure, target {target}", Structure(embedder, target=target)
    for size in (64, 200, 254):
        yield f"fixed {size}", FixedTokens(embedder, size=size)
    for size in (64, 200):
        yield f"recursive {size}", Recursive(embedder, size=size)
    for count in (1, 3, 8):
        yield f"sentences {count}", Sentences(embedder, count=count)


class Peer:
    """The library semantic-text-splitter behind our protocol."""

    version = "semantic-text-splitter"

    def __init__(self, cut: Callable[[str], Iterable[tuple[int, str]]]) -> None:
        self._cut = cut

    def split(self, document: Document) -> Iterator[Chunk]:
        """The chunks of a document."""
        for start, text in self._cut(document.text):
            yield Chunk(start, start + len(text), text)


def peers(embedder: MiniLM) -> Iterator[tuple[str, Splitter]]:
    try:
        from semantic_text_splitter import MarkdownSplitter, TextSplitter
    except ImportError:
        return
    for kind in (TextSplitter, MarkdownSplitter):
        cut = kind.from_callback(lambda text: len(embedder.tokens(text)), 127)
        yield f"(peer) {kind.__name__} 127", Peer(cut.chunk_indices)


def read(folder: Path) -> tuple[list[Document], list[Question]]:
    questions = []
    for row in (folder / "questions.jsonl").read_text("utf-8").splitlines():
        fields = json.loads(row)
        spans = [(span["start_index"], span["end_index"]) for span in fields["references"]]
        questions.append(Question(fields["question"], fields["corpus"], spans))
    paths = sorted(folder.glob("*.md"))
    # Offsets count the characters of the file as it is, line ends included.
    texts = {path.stem: path.read_bytes().decode("utf-8") for path in paths}
    return [Document(name, name, text, "markdown") for name, text in texts.items()], questions


def by_vectors(
    label: str,
    splitter: Splitter,
    embedder: MiniLM,
    documents: Sequence[Document],
    questions: Sequence[Question],
    vectors: NDArray[np.float32],
) -> dict[str, Any]:
    """Chunks ranked by the vectors alone, at the three budgets."""
    started = time.perf_counter()
    chunks = [(doc.id, chunk) for doc in documents for chunk in splitter.split(doc)]
    seconds = time.perf_counter() - started
    tokens = np.array([len(embedder.tokens(chunk.text)) for _, chunk in chunks])
    similarities = vectors @ run(embedder.embed([chunk.text for _, chunk in chunks])).T
    found: dict[str, list[list[Retrieved]]] = {"5 chunks": [], "needed": [], "1,000 tokens": []}
    for question, row in zip(questions, similarities, strict=True):
        order = np.argsort(-row, kind="stable")
        ranked = [Retrieved(chunks[at][0], chunks[at][1].start, chunks[at][1].end) for at in order]
        within = int(np.searchsorted(np.cumsum(tokens[order]), 1000, side="right"))
        found["5 chunks"].append(ranked[:5])
        found["needed"].append(ranked[: sum(_answers(chunk, question) for chunk in ranked)])
        found["1,000 tokens"].append(ranked[:within])
    scores = {budget: score(questions, lists)._asdict() for budget, lists in found.items()}
    sizes = {"chunks": len(chunks), "mean_tokens": float(tokens.mean()), "seconds": seconds}
    return {"splitter": label, "retrieval": "vectors", **sizes, "scores": scores}


def by_search(
    label: str,
    splitter: Splitter,
    embedder: MiniLM,
    documents: Sequence[Document],
    questions: Sequence[Question],
) -> dict[str, Any]:
    """The first five passages of a collection's own hybrid search."""
    with tempfile.TemporaryDirectory() as home:
        docs = Collection.open("chunking", home=home, embedder=embedder, splitter=splitter)
        chunks = docs.add.run(documents, "benchmark").chunks
        found = [
            [Retrieved(p.document_id, p.start, p.end) for p in docs.search.run(q.words, k=5)]
            for q in questions
        ]
    scores = {"5 chunks": score(questions, found)._asdict()}
    return {"splitter": label, "retrieval": "search", "chunks": chunks, "scores": scores}


def score(questions: Sequence[Question], found: Sequence[Sequence[Retrieved]]) -> Score:
    rows = []
    for question, chunks in zip(questions, found, strict=True):
        asked = {at for start, end in question.spans for at in range(start, end)}
        got = {(c.document, at) for c in chunks for at in range(c.start, c.end)}
        hit = len(got & {(question.document, at) for at in asked})
        either = len(got) + len(asked) - hit
        rows.append((hit / len(asked), hit / max(len(got), 1), hit / either))
    table = np.array(rows)
    recall, precision, iou = (float(value) for value in table.mean(axis=0))
    return Score(recall, precision, iou, float(table[:, 0].std() / np.sqrt(len(table))))


def _answers(chunk: Retrieved, question: Question) -> bool:
    return chunk.document == question.document and any(
        chunk.start < end and start < chunk.end for start, end in question.spans
    )


def line(result: dict[str, Any]) -> str:
    cells = [f"{result['splitter']:28s} {result['retrieval']:8s} {result['chunks']:6d}"]
    cells.append(f"{result['mean_tokens']:6.0f}" if "mean_tokens" in result else " " * 6)
    for value in result["scores"].values():
        cells.append(" ".join(f"{100 * value[key]:6.1f}" for key in ("recall", "precision", "iou")))
    return "  ".join(cells)


_ROOT = Path(__file__).resolve().parent.parent
_HEADER = (
    "recall, precision and IoU in %, with 5 chunks, with as many as needed, with 1,000 tokens\n"
    f"{'splitter':28s} {'by':8s} chunks  tokens "
    f"{'5 chunks':>16s} {'needed':>20s} {'1,000 tokens':>24s}"
)

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

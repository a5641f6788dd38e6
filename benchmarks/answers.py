"""How good is a quoted answer? `embedded:extractive` behind `Collection.search`, open-domain.

SQuAD 2.0 dev, asked of all 1,204 paragraphs at once:

    holds       of the 5,928 answerable questions, how many quotations hold a gold answer (case
                aside), were nothing refused; and with the refusals, which hold nothing
    length      of the quotation, in characters and words
    AUROC       of the score, answerable against unanswerable: .5 is chance. The 5,945 unanswerable
                questions were written to look answerable by the same paragraphs
    refused     answerable (wrongly), unanswerable, and CLINC's requests to an assistant, which the
                collection is not about (rightly)

The refusal's threshold was made on other data (CLINC's requests among them, so their rate is not
independent); the rest was chosen having seen these questions: see `onrecord/models/extractive.py`.
Data: ../shared/data, or ONRECORD_BENCH_DATA.

    python -m benchmarks.answers [--quick]        (every 10th question)
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

import onrecord as on
from onrecord.models import extractive
from onrecord.models.extractive import best_quotation
from onrecord.models.model import Embedder


class Answer(NamedTuple):
    """What became of one question; the quotation as if nothing were refused."""

    refused: bool
    score: float
    quotation: str
    seconds: float


class Remembering:
    """An embedder that embeds a text once: each sentence is read for a hundred questions here."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self._known: dict[str, NDArray[np.float32]] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._embedder, name)

    async def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Vectors of `texts`, as the embedder's."""
        new = [text for text in dict.fromkeys(texts) if text not in self._known]
        if new:
            self._known.update(zip(new, await self._embedder.embed(new), strict=True))
        return np.stack([self._known[text] for text in texts])


async def main(arguments: Sequence[str]) -> int:
    folder = Path(os.environ.get("ONRECORD_BENCH_DATA", _ROOT.parent / "shared" / "data"))
    if not (folder / "squad2").is_dir():
        print(f"answers: skipped, there is no {folder / 'squad2'} (set ONRECORD_BENCH_DATA).")
        return 0
    step = 10 if "--quick" in arguments else 1
    questions = list(rows(folder / "squad2" / "questions.jsonl"))[::step]
    requests = [row["text"] for row in rows(folder / "intents" / "validation.jsonl")][::step]
    with tempfile.TemporaryDirectory() as home:
        docs = on.Collection.open("squad2", home=home)
        await docs.ingest(
            folder / "squad2" / "paragraphs.jsonl", text="text", id="id", title="title"
        )
        embedder = Remembering(docs.embedder)
        await embedder.embed([row["question"] for row in questions])
        answers = [await answered(docs, row["question"], embedder) for row in questions]
        others = [await answered(docs, request, embedder) for request in requests]
        docs.close()
    report = {"date": date.today().isoformat(), "every": step, **measured(questions, answers)}
    report["refused, CLINC"] = share(answer.refused for answer in others)
    for name, value in report.items():
        print(f"{name:34}{value:>10.4f}" if isinstance(value, float) else f"{name:34}{value:>10}")
    path = _ROOT / "benchmarks" / "results" / f"answers-{report['date']}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(report, indent=1) + "\n")
    print(f"written to {path.relative_to(_ROOT)}")
    return 0


async def answered(docs: on.Collection, question: str, embedder: Any) -> Answer:
    passages = await docs.search(question, k=6)
    started = time.perf_counter()
    found = await best_quotation(question, passages, embedder)
    seconds = time.perf_counter() - started
    refused, score = found.refused, found.score
    if refused:
        found = await unrefused(question, passages, embedder)
    quoted = (passages[span.passage].text[span.start : span.end] for span in found.spans)
    return Answer(refused, score, "\n".join(quoted), seconds)


async def unrefused(
    question: str, passages: Sequence[on.Passage], embedder: Any
) -> extractive.Quotation:
    """The quotation there would be without a threshold."""
    least, extractive.LEAST_EVIDENCE = extractive.LEAST_EVIDENCE, 0.0
    try:
        return await best_quotation(question, passages, embedder)
    finally:
        extractive.LEAST_EVIDENCE = least


def measured(questions: Sequence[dict[str, Any]], answers: Sequence[Answer]) -> dict[str, Any]:
    pairs = [
        (row["answers"], answer)
        for row, answer in zip(questions, answers, strict=True)
        if row["answers"]
    ]
    impossible = [
        answer for row, answer in zip(questions, answers, strict=True) if not row["answers"]
    ]
    possible = [answer for _, answer in pairs]
    held = [holds(answer.quotation, gold) for gold, answer in pairs]
    lengths = [len(answer.quotation) for answer in possible]
    return {
        "answerable questions": len(possible),
        "unanswerable questions": len(impossible),
        "holds a gold answer": share(held),
        "holds, refusals counted": share(
            good and not answer.refused for good, answer in zip(held, possible, strict=True)
        ),
        "characters, mean": float(np.mean(lengths)),
        "characters, median": float(np.median(lengths)),
        "words, mean": float(np.mean([len(answer.quotation.split()) for answer in possible])),
        "AUROC, answerable": auroc(
            [answer.score for answer in possible], [answer.score for answer in impossible]
        ),
        "refused, answerable": share(answer.refused for answer in possible),
        "refused, unanswerable": share(answer.refused for answer in impossible),
        "ms a quotation, sentences known": 1e3 * float(np.median([a.seconds for a in answers])),
    }


def holds(quotation: str, gold: Sequence[str]) -> bool:
    return any(answer.lower() in quotation.lower() for answer in gold)


def auroc(higher: Sequence[float], lower: Sequence[float]) -> float:
    """How often a value of `higher` is above one of `lower`, ties half (Mann-Whitney)."""
    ranks = rankdata([*higher, *lower])[: len(higher)].sum()
    return float((ranks - len(higher) * (len(higher) + 1) / 2) / (len(higher) * len(lower)))


def share(values: Iterable[bool]) -> float:
    return float(np.mean([*values]))


def rows(path: Path) -> Iterable[dict[str, Any]]:
    for line in path.read_text(encoding="utf-8").splitlines():
        yield json.loads(line)


_ROOT = Path(__file__).parent.parent

if __name__ == "__main__":
    sys.exit(asyncio.run(main(sys.argv[1:])))

"""The demonstration: ask the documentation of Python's standard library; measure the answers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib import resources
from pathlib import Path

import msgspec

import onrecord
from onrecord.calling import Operation
from onrecord.messages import Progress
from onrecord.programs.answering import answer
from onrecord.progress import shown
from onrecord.retrieval.collection import Collection
from onrecord.retrieval.document import Document
from onrecord.retrieval.ingesting import Ingested
from onrecord.retrieval.loading.docstrings import standard_library


class Question(msgspec.Struct, frozen=True):
    """A question with the ids of the documents that answer it; none if nothing does."""

    question: str
    objects: tuple[str, ...]


class Scores(msgspec.Struct, frozen=True):
    """How well the collection answers a set of questions; each rate is in [0, 1].

    `hit_at_1` and `hit_at_5`: how often a document that answers is the first, or among the first
    five. `refused_rightly`: of the questions without an answer; `refused_wrongly`: of the others.
    """

    answerable: int
    unanswerable: int
    hit_at_1: float
    hit_at_5: float
    refused_rightly: float
    refused_wrongly: float


@Operation
async def ingest_documentation(docs: Collection) -> Ingested:
    """Fill a collection with the standard library's docstrings and Onrecord's own pages."""
    return await docs.add([*standard_library(), *own_pages()], source="documentation")


def own_pages() -> Iterator[Document]:
    """Onrecord's documentation: its pages, as far as they are installed."""
    package = Path(onrecord.__path__[0])
    for folder in (package / "data" / "docs", package.parent / "docs"):
        for path in sorted(folder.glob("*.md")):
            text = path.read_text(encoding="utf-8")
            title = text.splitlines()[0].lstrip("# ")
            yield Document(f"onrecord/{path.name}", title, text, "markdown", {"kind": "page"})


def questions() -> list[Question]:
    """The question set written for this corpus, before anything was measured on it.

    Two rules were made after its first results were seen: that words which only ask ("how do I")
    are not searched for, and that "I" is no name. So it is a demonstration, no held-out test.
    """
    text = (resources.files("onrecord") / "data" / "demo" / "questions.jsonl").read_bytes()
    return [msgspec.json.decode(line, type=Question) for line in text.splitlines()]


@Operation
async def measure(docs: Collection, questions: Sequence[Question]) -> Scores:
    """Ask every question, and compare what was found and refused with what should have been."""
    first = five = rightly = wrongly = 0
    answerable = sum(bool(question.objects) for question in questions)
    with shown() as report:
        for number, asked in enumerate(questions):
            report(Progress("asking", number, len(questions)))
            passages = await docs.search(asked.question, 6)
            cited = await answer.using("embedded:extractive")(asked.question, passages)
            found = [passage.document_id in asked.objects for passage in passages[:5]]
            first += any(found[:1])
            five += any(found)
            wrongly += cited.refused and bool(asked.objects)
            rightly += cited.refused and not asked.objects
    unanswerable = len(questions) - answerable
    return Scores(
        answerable=answerable,
        unanswerable=unanswerable,
        hit_at_1=first / max(answerable, 1),
        hit_at_5=five / max(answerable, 1),
        refused_rightly=rightly / max(unanswerable, 1),
        refused_wrongly=wrongly / max(answerable, 1),
    )

"""answer: a question about one text, out of that text, with quotations that stand in it."""

from __future__ import annotations

import asyncio
from collections import Counter

import msgspec
import numpy as np

from onrecord.errors import UsageError
from onrecord.messages import Passage
from onrecord.models.extractive import best_quotation
from onrecord.models.model import Embedder, Model
from onrecord.models.transformers.reader import HFReader
from onrecord.programs.answering import answer as answer_from
from onrecord.programs.flow import flow
from onrecord.programs.tasks.heads import read, reader_of
from onrecord.programs.tasks.long_inputs import room
from onrecord.programs.tasks.results import AnswerResult, Evidence
from onrecord.programs.tasks.spelling import OptionError
from onrecord.programs.tasks.texts import checked, vectors_of
from onrecord.programs.tasks.ways import Embedded, Headed, way_of
from onrecord.retrieval.document import Chunk, Document
from onrecord.retrieval.lexical import Terms, coverage
from onrecord.retrieval.ranking import fused, order
from onrecord.retrieval.splitting.structure import Structure
from onrecord.sentences import sentence_spans
from onrecord.words import rarity, stems, words


class Answering(msgspec.Struct, frozen=True, kw_only=True):
    """Answers a question from one text, and from nothing else.

    The text is cut into passages as a collection's documents are, and the model is given those
    that fit the question best, up to `window` tokens. An hf: model that was fine-tuned to mark
    answers reads all of the text. Without a model the answer is the best quotation, or a refusal.
    """

    question: str = ""
    model: str | Model | None = None
    embedder: str | Embedder | None = None
    window: int | None = None
    max_tokens: int | None = None

    @flow
    async def answer(self, text: str, question: str | None = None) -> AnswerResult:
        """The answer to a question (default: the task's). Raises UsageError, ModelError."""
        asked = self.question if question is None else question
        if isinstance(asked, str) and not asked.strip():
            raise OptionError("there is no question", cure="Ask one: {question}.")
        checked(text)
        checked(asked, "question")
        if (reader := await reader_of(self.model)) is not None:
            return await self._marked(reader, text, asked)
        way = await way_of(self.model, self.embedder, self.max_tokens)
        if isinstance(way, Headed):
            raise UsageError("this model labels texts and answers nothing", where=way.name)
        if isinstance(way, Embedded):
            passages = await passages_of(asked, text, way.embedder)
            return await _quoted(asked, passages[:MOST_QUOTED_FROM], way.embedder)
        encoder = (await way_of("embedded:extractive", self.embedder)).embedder  # type: ignore[union-attr]  # this name is always Embedded
        passages = await passages_of(asked, text, encoder)
        most, kept, size = room(way, self.window), list[Passage](), 0
        for passage in passages:
            size += way.count(passage.text)
            if kept and size > most:
                break
            kept.append(passage)
        cited = await answer_from.using(way.model)(asked, kept)
        evidence = tuple(Evidence(each.quote, each.start, each.end) for each in cited.citations)
        left = len(passages) - len(kept)
        note = f"The {left} of {len(passages)} passages that fit least were not read." * (left > 0)
        note = " ".join(filter(None, [cited.reason, note]))
        return AnswerResult(cited.value, None, evidence, way.name, cited.refused, note)

    async def _marked(self, reader: HFReader, text: str, question: str) -> AnswerResult:
        if self.window is not None:
            raise UsageError(
                "a model that was fine-tuned to mark answers reads all of the text",
                where=reader.name,
                cure="Leave the window out.",
            )
        found = await read(reader, question, text)
        sure = round(found.confidence, 6)
        note = ""
        if found.windows > 1:
            note = f"The text was read in {found.windows} windows that overlap."
        if found.start is None or found.end is None:
            note = f"The model marks no answer in the text. {note}".strip()
            return AnswerResult(None, sure, (), reader.name, True, note)
        quote = text[found.start : found.end]
        evidence = Evidence(quote, found.start, found.end, sure)
        return AnswerResult(quote, sure, (evidence,), reader.name, False, note)


async def passages_of(question: str, text: str, embedder: Embedder) -> list[Passage]:
    """The passages of a text, those that fit the question best first, scored as a search of a
    collection with this one text would (ranking.py)."""
    chunks = await asyncio.to_thread(_chunks, text, embedder)
    spans = [sentence_spans(chunk.text) for chunk in chunks]
    sentences = [
        chunk.text[slice(*span)] for chunk, some in zip(chunks, spans, strict=True) for span in some
    ]
    texts = [question, *(chunk.text for chunk in chunks), *sentences]
    vectors = await vectors_of(embedder, texts, "texts")
    cosines = vectors[1:] @ vectors[0]
    terms = _terms(question, chunks)
    covered = [
        coverage(terms, "", chunk.text, some) for chunk, some in zip(chunks, spans, strict=True)
    ]
    scores = fused(
        np.array([each.passage for each in covered]),
        cosines[: len(chunks)],
        np.array([share for each in covered for share in each.sentences]),
        cosines[len(chunks) :],
        [len(some) for some in spans],
    )
    return [
        Passage(
            "text",
            "The text",
            chunks[at].text,
            chunks[at].start,
            chunks[at].end,
            round(float(scores[at]), 6),
        )
        for at in order(scores, list(range(len(chunks))))
    ]


def _chunks(text: str, embedder: Embedder) -> list[Chunk]:
    return list(Structure(embedder).split(Document("text", "The text", text)))


def _terms(question: str, chunks: list[Chunk]) -> Terms:
    """The question's words as a collection of these chunks would see them."""
    asked = set(stems(question))
    holders: Counter[str] = Counter()
    length = 0
    for chunk in chunks:
        length += len(words(chunk.text))
        holders.update(asked & set(stems(chunk.text)))
    weights = {root: rarity(holders[root], len(chunks)) for root in sorted(asked)}
    return Terms(weights, "", max(length / max(len(chunks), 1), 1.0))


async def _quoted(question: str, passages: list[Passage], embedder: Embedder) -> AnswerResult:
    found = await best_quotation(question, passages, embedder)
    name = "embedded:extractive"
    if found.refused:
        return AnswerResult(None, round(found.score, 6), (), name, True, found.reason)
    evidence = []
    for span in found.spans:
        passage = passages[span.passage]
        quote = passage.text[span.start : span.end]
        start = passage.start + span.start
        evidence.append(Evidence(quote, start, start + len(quote), passage.score))
    text = " ".join(" ".join(each.quote.split()) for each in evidence)
    return AnswerResult(text, round(min(found.score, 1.0), 6), tuple(evidence), name)


# As many as `onrecord ask` answers from.
MOST_QUOTED_FROM = 6

"""`embedded:extractive`: the sentences of the passages that answer a question best, or a refusal.

No model writes here: an answer is quoted, whole sentences with their offsets, so it cannot say what no document says.

Which sentences: those that hold the question's words and mean the same, in a passage the search scored high,
preferably with the kind of thing the question asks for (a date, a number, a name). Whether to answer at all:
by the evidence, on a scale that is the same for every question and collection, less a part for each sign that
the passages speak of something else.

The limits: it compares, it does not read. A question that no passage is about is refused reliably; one
that a passage is about but does not answer mostly is not. The signs and the kinds know English only.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from onrecord.messages import Passage
from onrecord.models.model import Embedder
from onrecord.sentences import sentence_spans
from onrecord.words import rarity, stem, stems, words


class Span(msgspec.Struct, frozen=True):
    """Whole sentences of one passage: ``passages[passage].text[start:end]``, in characters."""

    passage: int
    start: int
    end: int


class Quotation(msgspec.Struct, frozen=True):
    """What answers a question best, the best span first; or no span, ``refused``, and the ``reason``.

    ``score`` in [0, 1] is the evidence that the passages answer the question, also of a refusal.
    """

    spans: tuple[Span, ...] = ()
    score: float = 0.0
    refused: bool = False
    reason: str = ""


async def best_quotation(
    question: str, passages: Sequence[Passage], embedder: Embedder
) -> Quotation:
    """The quotation for a question out of the passages of a search, best passage first.

    Embeds the question and the passages' sentences, in one call. Expects of a passage's score what a search
    gives: [0, 1], the same meaning for every question.
    """
    if not words(question):
        return _refusal("The question has no words.")
    sentences = _candidates(question, passages)
    if not sentences:
        return _refusal("The search found no passage.")
    vectors = await embedder.embed([question, *(sentence.text for sentence in sentences)])
    return quotation(question, passages, sentences, vectors[1:] @ vectors[0])


@dataclass(frozen=True)
class Sentence:
    """One sentence of ``passages[passage]``, and the stems in it."""

    passage: int
    start: int
    end: int
    text: str
    stems: frozenset[str]


def quotation(
    question: str,
    passages: Sequence[Passage],
    sentences: Sequence[Sentence],
    cosines: NDArray[np.floating],
) -> Quotation:
    """`best_quotation` without the embedder. ``cosines``: question and sentence, shape (len(sentences),)."""
    meaning = np.clip(np.asarray(cosines, dtype=np.float64), 0.0, 1.0)
    found = np.array([passages[sentence.passage].score for sentence in sentences])
    quality = (2 * found + meaning + _word_shares(question, sentences)) / 4
    quality *= np.where(_holding_answer(question, sentences), 1.0, LACKS_KIND)
    best = int(np.argmax(quality))
    doubts = _doubts(question, passages, sentences[best])
    score = float((passages[0].score + meaning[best]) / 2 * DOUBTED ** len(doubts))
    if score < LEAST_EVIDENCE:
        return Quotation(score=score, refused=True, reason=_reason(score, doubts))
    ranked = [int(i) for i in np.argsort(-quality, kind="stable")[:MOST_QUOTED]]
    chosen = [i for i in ranked if quality[i] >= AS_GOOD * quality[best]]
    return Quotation(spans=_joined(chosen, sentences), score=min(score, 1.0))


def _candidates(question: str, passages: Sequence[Passage]) -> list[Sentence]:
    """Every sentence; of very many, those that share most words with the question."""
    sentences = [
        Sentence(index, start, end, text, frozenset(stems(text)))
        for index, passage in enumerate(passages)
        for start, end in sentence_spans(passage.text)
        if words(text := passage.text[start:end])
    ]
    if len(sentences) <= MOST_READ:
        return sentences
    asked = frozenset(stems(question))
    kept = sorted(range(len(sentences)), key=lambda i: -len(asked & sentences[i].stems))[:MOST_READ]
    return [sentences[i] for i in sorted(kept)]


def _word_shares(question: str, sentences: Sequence[Sentence]) -> NDArray[np.float64]:
    """The share of the question's words that each sentence holds, shape (n,), in [0, 1].

    Words that few of these sentences hold weigh more: they tell the sentences apart, and need no word list.
    """
    asked = frozenset(stems(question))
    holders = Counter(root for sentence in sentences for root in asked & sentence.stems)
    weights = {root: rarity(holders[root], len(sentences)) for root in asked}
    total = sum(weights.values())
    shares = [sum(weights[root] for root in asked & sentence.stems) for sentence in sentences]
    return np.array(shares) / total


def _holding_answer(question: str, sentences: Sequence[Sentence]) -> list[bool]:
    """Whether each sentence holds what the question asks for, beyond what the question itself says."""
    kind = next((kind for asks, kind in _KINDS if asks.search(question)), None)
    if kind is None:
        return [True] * len(sentences)
    said = frozenset(words(question))
    return [
        any(not said.issuperset(words(match.group())) for match in kind.finditer(sentence.text))
        for sentence in sentences
    ]


def _doubts(question: str, passages: Sequence[Passage], best: Sentence) -> list[str]:
    """Signs that the passages speak of something else, in words."""
    doubts = []
    asked, said = set(words(question)), set(words(best.text))
    if bool(asked & _NEGATIONS) != bool(said & _NEGATIONS):
        doubts.append("only one of the question and the closest sentence is negated")
    known = {root for passage in passages for root in stems(f"{passage.title}\n{passage.text}")}
    missing = [name for name in _named(question) if not known.issuperset(stems(name))]
    if missing:
        doubts.append(f"no passage mentions {' or '.join(missing)}")
    return doubts


def _named(question: str) -> Iterable[str]:
    """Names and numbers in a question; its first word has a capital anyway."""
    return dict.fromkeys(match.group() for match in _NAMED.finditer(question) if match.start())


def _joined(chosen: Sequence[int], sentences: Sequence[Sentence]) -> tuple[Span, ...]:
    """Spans of the chosen sentences, best first; neighbours become one span."""
    taken = set(chosen)
    for index in chosen:
        while _leads_on(sentences, index):
            index += 1
            taken.add(index)
    runs: dict[int, Span] = {}
    for index in chosen:
        first = last = index
        while _neighbours(sentences, first - 1) and first - 1 in taken:
            first -= 1
        while _neighbours(sentences, last) and last + 1 in taken:
            last += 1
        begin, finish = sentences[first], sentences[last]
        runs.setdefault(first, Span(begin.passage, begin.start, finish.end))
    return tuple(runs.values())


def _leads_on(sentences: Sequence[Sentence], index: int) -> bool:
    """A heading, a question or "as follows:" says nothing without the sentence behind it."""
    return _neighbours(sentences, index) and bool(_LEADING.search(sentences[index].text))


def _neighbours(sentences: Sequence[Sentence], index: int) -> bool:
    """Whether this sentence and the next candidate are of one passage."""
    inside = 0 <= index < len(sentences) - 1
    return inside and sentences[index].passage == sentences[index + 1].passage


def _reason(score: float, doubts: Sequence[str]) -> str:
    weak = f"The evidence in the passages is too weak ({score:.2f}, needed {LEAST_EVIDENCE:.2f})"
    return f"{weak}: {'; '.join(doubts)}." if doubts else f"{weak}."


def _refusal(reason: str) -> Quotation:
    return Quotation(refused=True, reason=reason)

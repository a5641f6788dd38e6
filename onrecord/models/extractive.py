"""`embedded:extractive`: the sentences of the passages that answer a question best, or a refusal.

No model writes here. An answer is quoted, whole sentences with their offsets, so it says nothing
that no document says.

Which sentences: those that hold the question's words and mean the same, in a passage that the
search scored high. Whether to answer at all: by the evidence, on a scale that is the same for
every question and collection, less a part for each sign that the passages speak of something else.

The limits: it compares, it does not read. A question that no passage is about is refused nearly
always; one that a passage is about but does not answer mostly is not. The signs are English.
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
from onrecord.models.calling import embed
from onrecord.models.model import Embedder
from onrecord.sentences import sentence_spans
from onrecord.words import rarity, stems, words


class Span(msgspec.Struct, frozen=True):
    """Whole sentences of one passage: `passages[passage].text[start:end]`, in characters."""

    passage: int
    start: int
    end: int


class Quotation(msgspec.Struct, frozen=True):
    """What answers a question best: spans, the best first. Or none: `refused`, with the `reason`.

    `score` in [0, 1] is the evidence that the passages answer the question, also of a refusal.
    """

    spans: tuple[Span, ...] = ()
    score: float = 0.0
    refused: bool = False
    reason: str = ""


async def best_quotation(
    question: str, passages: Sequence[Passage], embedder: Embedder
) -> Quotation:
    """The quotation for a question out of the passages of a search, best passage first.

    Embeds the question and the passages' sentences, in one call. A passage's score must be what a
    search gives: in [0, 1], with the same meaning for every question.
    """
    if not words(question):
        return _refusal("The question has no words.")
    sentences = _candidates(question, passages)
    if not sentences:
        return _refusal("The search found no passage.")
    texts = [question, *(sentence.text for sentence in sentences)]
    # How many, not which: the passages stand on the record of the question already.
    vectors = await embed(embedder, texts, shown={"texts": len(texts)})
    return quotation(question, passages, sentences, vectors[1:] @ vectors[0])


@dataclass(frozen=True)
class Sentence:
    """Sentence `number` of `passages[passage]`, and the stems in it."""

    passage: int
    number: int
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
    """`best_quotation` without the embedder.

    `cosines`: of the question and each of the sentences, shape (n,).
    """
    meaning = np.clip(np.asarray(cosines, dtype=np.float64), 0.0, 1.0)
    found = np.array([passages[sentence.passage].score for sentence in sentences])
    quality = (2 * found + meaning + _word_shares(question, sentences)) / 4
    best = int(np.argmax(quality))
    doubts = _doubts(question, passages, sentences[best])
    score = float((passages[0].score + meaning[best]) / 2 * DOUBTED ** len(doubts))
    if score < LEAST_EVIDENCE:
        return Quotation(score=score, refused=True, reason=_reason(score, doubts))
    ranked = [int(i) for i in np.argsort(-quality, kind="stable")]
    # Two documents that say the same thing, word for word, are quoted once.
    once = {sentences[i].text: i for i in reversed(ranked) if quality[i] >= AS_GOOD * quality[best]}
    chosen = [i for i in ranked if once.get(sentences[i].text) == i][:MOST_QUOTED]
    return Quotation(spans=_joined(chosen, sentences), score=min(score, 1.0))


def _candidates(question: str, passages: Sequence[Passage]) -> list[Sentence]:
    """Every sentence; of very many, those that share most words with the question."""
    sentences = [
        Sentence(index, number, start, end, text, frozenset(stems(text)))
        for index, passage in enumerate(passages)
        for number, (start, end) in enumerate(sentence_spans(passage.text))
        if words(text := passage.text[start:end])
    ]
    if len(sentences) <= MOST_READ:
        return sentences
    asked = frozenset(stems(question))
    kept = sorted(range(len(sentences)), key=lambda i: -len(asked & sentences[i].stems))[:MOST_READ]
    return [sentences[i] for i in sorted(kept)]


def _word_shares(question: str, sentences: Sequence[Sentence]) -> NDArray[np.float64]:
    """The share of the question's words that each sentence holds, shape (n,), in [0, 1].

    Words that few of these sentences hold weigh more: they tell the sentences apart, without a list
    of words that do not count.
    """
    asked = frozenset(stems(question))
    holders = Counter(root for sentence in sentences for root in asked & sentence.stems)
    weights = {root: rarity(holders[root], len(sentences)) for root in asked}
    total = sum(weights.values())
    shares = [sum(weights[root] for root in asked & sentence.stems) for sentence in sentences]
    return np.array(shares) / total


def _doubts(question: str, passages: Sequence[Passage], best: Sentence) -> list[str]:
    """Signs that the passages speak of something else, in words."""
    doubts = []
    asked, said = set(words(question)), set(words(best.text))
    if asked & _NEGATIONS and not said & _NEGATIONS:
        doubts.append("the question is negated and the closest sentence is not")
    known = {root for passage in passages for root in stems(f"{passage.title}\n{passage.text}")}
    missing = [name for name in _named(question) if not known.issuperset(stems(name))]
    if missing:
        doubts.append(f"no passage mentions {' or '.join(missing)}")
    return doubts


def _named(question: str) -> Iterable[str]:
    """Names and numbers in a question; its first word has a capital anyway."""
    return dict.fromkeys(match.group() for match in _NAMED.finditer(question) if match.start())


def _joined(chosen: Sequence[int], sentences: Sequence[Sentence]) -> tuple[Span, ...]:
    """Spans of the chosen sentences, the best first; neighbours become one span."""
    taken = set(chosen)
    # A heading, a question or "as follows:" says nothing without the sentence behind it.
    leading = (i for i in chosen if _touch(sentences, i) and _LEADING.search(sentences[i].text))
    taken.update([i + 1 for i in leading])
    spans: dict[int, Span] = {}
    for index in chosen:
        first = last = index
        while first - 1 in taken and _touch(sentences, first - 1):
            first -= 1
        while last + 1 in taken and _touch(sentences, last):
            last += 1
        span = Span(sentences[first].passage, sentences[first].start, sentences[last].end)
        spans.setdefault(first, span)
    return tuple(spans.values())


def _touch(sentences: Sequence[Sentence], index: int) -> bool:
    """Whether this sentence and the next one of the list also follow each other in the text."""
    if not 0 <= index < len(sentences) - 1:
        return False
    one, next_one = sentences[index], sentences[index + 1]
    return one.passage == next_one.passage and one.number + 1 == next_one.number


def _reason(score: float, doubts: Sequence[str]) -> str:
    weak = f"The evidence in the passages is too weak ({score:.2f}, needed {LEAST_EVIDENCE:.2f})"
    return f"{weak}: {'; '.join(doubts)}." if doubts else f"{weak}."


def _refusal(reason: str) -> Quotation:
    return Quotation(refused=True, reason=reason)


# Needed to answer. At this value wrong refusals of questions that a collection is about (PEPs asked
# with their titles, the standard library's documentation with its summary lines) are as frequent as
# answers to what it is not about (CLINC's small talk): 5 % each. Made without the questions that
# `benchmarks/answers.py` measures with.
LEAST_EVIDENCE = 0.39

# Judgements, round values that no search made; their effect on SQuAD 2.0 was known when they were
# chosen. From .9 to .7 the first changes little there.
DOUBTED = 0.8  # the evidence left by each doubt
# A sentence of this share of the best one's quality is quoted with it. Trades length for answers:
# on SQuAD 1.0 quotes 186 characters (81 % hold the answer), .95 227 (86 %), .9 274 (89 %).
AS_GOOD = 0.95
MOST_QUOTED = 3

# Bounds the time: some two seconds of embedding. Six passages have about thirty sentences.
MOST_READ = 256

_NAMED = re.compile(r"\b(?!I\b)(?:[A-Z][\w'’-]*|\d[\w.,]*\w|\d)")
_NEGATIONS = frozenset(
    "no not never t without nobody nothing neither nor cannot unlike except fail failed".split()
)
_LEADING = re.compile(r"[?:]\W*\Z|\A#|\n[=\-~^\"*#+_]{2,}\s*\Z")

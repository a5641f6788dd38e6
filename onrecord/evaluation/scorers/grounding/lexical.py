"""Claims beside sources without a model that judges: words, vectors, numbers, names, denials.

A claim is compared with every sentence of the sources, and every two neighbouring ones: the share
of its content words that stand there, the rare ones weighing more, and the cosine of the two
vectors. Of the nearest, it is then asked whether something tells against it: another number of the
same thing, a denial on one side, an opposite, another name in the same sentence. What is near and
has all numbers and names of the claim supports it. The thresholds were set beforehand and fitted to
nothing.

What this is: a check of wording. It finds figures and names that are made up, and sentences that
come from nowhere. It does not read: a claim that needs two distant sentences, arithmetic or
knowledge counts as unsupported, a swap of roles ("A paid B") as supported, a paraphrase without a
shared word depends on the vectors alone. The words are English. A model that judges (`model=`)
reads; calibrate it against people.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from onrecord.evaluation.scorers.grounding.claims import Asked, Checked
from onrecord.evaluation.scorers.grounding.facts import Facts, content, facts_of, opposites
from onrecord.messages import Passage
from onrecord.models.calling import embed
from onrecord.models.model import Embedder
from onrecord.models.names import embedder as embedder_named
from onrecord.sentences import sentence_spans
from onrecord.words import rarity, words

COVERED = 0.6
"""The share of a claim's content words, by rarity, from which on a text says the same."""
RELATED = 0.4
"""From here on it speaks of the same."""
ALIKE = 0.7
"""The cosine from which on a text says the same in other words, where RELATED words are shared."""
NEAR = 0.5
"""The cosine from which on it may speak of the same."""
REST = 0.7
"""How much of the rest has to agree before what differs is a contradiction."""


class Window(NamedTuple):
    """One or two neighbouring sentences of a source, and what stands in them. `sentences`: the
    places of their vectors."""

    text: str
    stems: frozenset[str]
    facts: Facts
    sentences: tuple[int, ...]


class Near(NamedTuple):
    """A window beside a claim."""

    window: Window
    covered: float
    cosine: float


async def checked(asked: Asked, embedder: str | Embedder | None) -> list[Checked]:
    """Each claim, with a verdict. `embedder` None: by words alone. Raises its errors."""
    sentences = [
        [each.text[start:end] for start, end in sentence_spans(each.text)] for each in asked.sources
    ]
    every = [text for texts in sentences for text in texts]
    if not every:
        return [Checked(claim, "unsupported", "the sources are empty") for claim in asked.claims]
    cosines = await _cosines(asked.claims, every, embedder)
    sources = Sources(asked.sources, sentences)
    return [
        _checked(claim, sources, cosines[at] if cosines is not None else None)
        for at, claim in enumerate(asked.claims)
    ]


class Sources:
    """The sentences of the sources, and how rare a word is among them."""

    def __init__(self, passages: Sequence[Passage], sentences: Sequence[Sequence[str]]) -> None:
        self.windows = list(_windows(sentences))
        self.words = frozenset(
            word for each in passages for word in words(f"{each.title}\n{each.text}")
        )
        alone = [each.stems for each in self.windows if len(each.sentences) == 1]
        self._texts = len(alone)
        self._counts = Counter(stem for stems in alone for stem in stems)

    def covered(self, claim: frozenset[str], by: frozenset[str]) -> float:
        """The share of a claim's stems that are there, by their rarity; 1 of none."""
        whole = sum(map(self._weight, claim))
        return sum(self._weight(stem) for stem in claim & by) / whole if whole else 1.0

    def strangers(self, facts: Facts) -> list[str]:
        """The names of a claim that no source has, in order."""
        return sorted(
            name
            for name in facts.names
            if any(len(word) > 1 and word not in self.words for word in words(name))
        )

    def _weight(self, stem: str) -> float:
        return rarity(self._counts[stem], self._texts)


async def _cosines(
    claims: Sequence[str], sentences: Sequence[str], embedder: str | Embedder | None
) -> Any:
    """Shape (claims, sentences)."""
    if embedder is None:
        return None
    texts = list(dict.fromkeys([*claims, *sentences]))
    place = {text: at for at, text in enumerate(texts)}
    vectors = await embed(embedder_named(embedder), texts, shown={"sentences": len(texts)})
    return (
        vectors[[place[each] for each in claims]] @ vectors[[place[each] for each in sentences]].T
    )


def _windows(sources: Sequence[Sequence[str]]) -> Iterator[Window]:
    first = 0
    for sentences in sources:
        for at, sentence in enumerate(sentences):
            yield Window(sentence, content(sentence), facts_of(sentence), (first + at,))
            if at + 1 < len(sentences):
                both = f"{sentence} {sentences[at + 1]}"
                yield Window(both, content(both), facts_of(both), (first + at, first + at + 1))
        first += len(sentences)


def _checked(claim: str, sources: Sources, cosines: Any) -> Checked:
    stems, facts = content(claim), facts_of(claim)
    nearest = sorted(_near(stems, sources, cosines), key=lambda each: -(each.covered + each.cosine))
    against = {
        each.window: told for each in nearest if (told := _against(stems, facts, each, sources))
    }
    # Two sentences support nothing that one of them speaks against.
    bad = {place for window in against for place in window.sentences if len(window.sentences) == 1}
    for each in nearest:
        clean = each.window not in against and not bad & set(each.window.sentences)
        if clean and _says(each) and not _lacks(facts, each.window, sources):
            return Checked(claim, "supported", f"“{each.window.text[:200]}”")
    for each in nearest[:_LOOKED_AT]:
        if each.window in against:
            return Checked(claim, "contradicted", against[each.window])
    best = nearest[0]
    if best.covered < RELATED and best.cosine < NEAR:
        return Checked(claim, "unsupported", "nothing in the sources is near it")
    lacks = _lacks(facts, best.window, sources)
    told = f"not there: {', '.join(lacks)}" if lacks else "the sources do not say all of it"
    return Checked(claim, "unsupported", f"{told}; nearest: “{best.window.text[:120]}”")


def _near(stems: frozenset[str], sources: Sources, cosines: Any) -> Iterator[Near]:
    for window in sources.windows:
        cosine = max(float(cosines[at]) for at in window.sentences) if cosines is not None else 0.0
        yield Near(window, sources.covered(stems, window.stems), cosine)


def _says(near: Near) -> bool:
    """Whether its words, or its meaning, are those of the claim."""
    return near.covered >= COVERED or (near.cosine >= ALIKE and near.covered >= RELATED)


def _lacks(facts: Facts, window: Window, sources: Sources) -> list[str]:
    """The numbers of a claim that a window lacks, and the names that no source has."""
    numbers = [f"{each:g}" for each in sorted(facts.numbers - window.facts.numbers)]
    return [*numbers, *sources.strangers(facts)]


def _against(stems: frozenset[str], facts: Facts, near: Near, sources: Sources) -> str:
    """What in a window tells against a claim, in words; "" where nothing does."""
    window = near.window
    shown = f"“{window.text[:200]}”"
    if not (near.covered >= RELATED or near.cosine >= NEAR):
        return ""
    for number, thing in sorted(facts.counted):
        others = {value for value, same in window.facts.counted if same == thing}
        if others and number not in window.facts.numbers:
            told = ", ".join(f"{each:g}" for each in sorted(others))
            return f"{told} and not {number:g}: {shown}"
    pair = opposites(stems, window.stems)
    rest = stems - {pair[0]} if pair else stems
    if pair and sources.covered(rest, window.stems) >= REST:
        return f"the opposite: {shown}"
    strangers = sources.strangers(facts)
    named = window.facts.names - facts.names
    rest = stems - frozenset(stem for name in strangers for stem in content(name))
    if strangers and named and rest and sources.covered(rest, window.stems) >= REST:
        return f"{', '.join(sorted(named))} and not {', '.join(strangers)}: {shown}"
    alone = len(window.sentences) == 1
    if alone and facts.denies != window.facts.denies and near.covered >= REST:
        return f"one of the two denies it: {shown}"
    return ""


_LOOKED_AT = 3  # so many of the nearest windows can contradict a claim

"""Claims beside sources without a model that judges: words, vectors, numbers, names, denials.

A claim is compared with every sentence of the sources, every two neighbouring ones, and every row
of a table with its head: the share of its content words that stand there, the rare ones weighing
more, and the cosine of the two vectors. Of the nearest, it is then asked whether something tells
against it: another number or unit of the same thing, the other side of a bound ("at least",
"after"), a denial on one side, an opposite, another name in the same sentence. What is near and has
all numbers and names of the claim supports it. The thresholds were set beforehand and fitted to
nothing.

What this is: a check of wording. It finds figures and names that are made up, and sentences that
come from nowhere. It does not read: a claim that needs two distant sentences, arithmetic or
knowledge counts as unsupported, a swap of roles ("A paid B") as supported, and so does what is
added to a supported sentence in a few words; a paraphrase without a shared word depends on the
vectors alone. The words are English. A model that judges (`model=`) reads; calibrate it against
people.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from onrecord.evaluation.scorers.grounding.claims import Asked, Checked
from onrecord.evaluation.scorers.grounding.facts import (
    Facts,
    clauses_of,
    content,
    denies,
    facts_of,
    opposites,
    other_unit,
)
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
NEARER = 0.2
"""By how much more a sentence is like a claim than another one, before it alone decides."""
REST = 0.7
"""How much of the rest has to agree before what differs is a contradiction."""


class Claim(NamedTuple):
    """A claim, and what stands in it."""

    text: str
    stems: frozenset[str]
    facts: Facts


class Window(NamedTuple):
    """One or two neighbouring sentences of a source, or a row of a table with its head, and what
    stands in them. `sentences`: the places of their vectors. `about`: of a row what its first cell
    says; it supports nothing about other rows."""

    text: str
    stems: frozenset[str]
    facts: Facts
    sentences: tuple[int, ...]
    about: frozenset[str] = frozenset()


class Near(NamedTuple):
    """A window beside a claim."""

    window: Window
    covered: float
    cosine: float

    @property
    def likeness(self) -> float:
        """Both together, 0 to 2."""
        return self.covered + self.cosine


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
        _checked(
            Claim(claim, content(claim), facts_of(claim)),
            sources,
            cosines[at] if cosines is not None else None,
        )
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
        head = 0  # of the table that a row is in: its first one, and else the sentence before
        for at, sentence in enumerate(sentences):
            about = content(sentence.split("|")[1]) if _is_row(sentence) else frozenset()
            yield Window(sentence, content(sentence), facts_of(sentence), (first + at,), about)
            in_table = at > 0 and _is_row(sentence) and _is_row(sentences[at - 1])
            head = head if in_table else at
            before = head if in_table else at - 1
            if before >= 0:
                both, places = f"{sentences[before]} {sentence}", (first + before, first + at)
                yield Window(both, content(both), facts_of(both), places, about)
        first += len(sentences)


def _is_row(sentence: str) -> bool:
    return sentence.startswith("|")


def _checked(claim: Claim, sources: Sources, cosines: Any) -> Checked:
    nearest = sorted(_near(claim.stems, sources, cosines), key=lambda each: -each.likeness)
    against = {each.window: told for each in nearest if (told := _against(claim, each, sources))}
    # Two sentences support nothing that one of them speaks against.
    bad = {place for window in against for place in window.sentences if len(window.sentences) == 1}
    clean = [
        each
        for each in nearest
        if each.window not in against and not bad & set(each.window.sentences)
    ]
    support = next((each for each in clean if _supports(claim, each, sources)), None)
    contrary = next((each for each in nearest[:_LOOKED_AT] if each.window in against), None)
    # A sentence about something much like it supports no claim that the one about it contradicts.
    nearer = support and contrary and contrary.likeness > support.likeness + NEARER
    if support is not None and not nearer:
        return Checked(claim.text, "supported", f"“{support.window.text[:200]}”")
    if contrary is not None:
        return Checked(claim.text, "contradicted", against[contrary.window])
    best = nearest[0]
    if best.covered < RELATED and best.cosine < NEAR:
        return Checked(claim.text, "unsupported", "nothing in the sources is near it")
    lacks = _lacks(claim.facts, best.window, sources)
    told = f"not there: {', '.join(lacks)}" if lacks else "the sources do not say all of it"
    return Checked(claim.text, "unsupported", f"{told}; nearest: “{best.window.text[:120]}”")


def _near(stems: frozenset[str], sources: Sources, cosines: Any) -> Iterator[Near]:
    for window in sources.windows:
        cosine = max(float(cosines[at]) for at in window.sentences) if cosines is not None else 0.0
        yield Near(window, sources.covered(stems, window.stems), cosine)


def _supports(claim: Claim, near: Near, sources: Sources) -> bool:
    """Whether its words, or its meaning, are those of the claim, with all facts."""
    window = near.window
    says = near.covered >= COVERED or (near.cosine >= ALIKE and near.covered >= RELATED)
    is_about = not window.about or bool(window.about & claim.stems)
    lacks = bool(_lacks(claim.facts, window, sources))
    return says and is_about and not lacks and not _is_turned(claim, window, sources)


def _lacks(facts: Facts, window: Window, sources: Sources) -> list[str]:
    """The numbers of a claim that a window lacks, and the names that no source has."""
    numbers = [_shown(each) for each in sorted(facts.numbers - window.facts.numbers)]
    return [*numbers, *sources.strangers(facts)]


def _against(claim: Claim, near: Near, sources: Sources) -> str:
    """What in a window tells against a claim, in words; "" where nothing does."""
    window, (_, stems, facts) = near.window, claim
    shown = f"“{window.text[:200]}”"
    if told := _named_otherwise(claim, window, sources):
        return f"{told}: {shown}"
    if not (near.covered >= RELATED or near.cosine >= NEAR):
        return ""
    if told := _counted_otherwise(facts, window.facts):
        return f"{told}: {shown}"
    pair = opposites(stems, window.stems)
    rest = stems - {pair[0]} if pair else stems
    if pair and sources.covered(rest, window.stems) >= REST:
        return f"the opposite: {shown}"
    if near.covered >= REST and _is_turned(claim, window, sources):
        return f"one of the two denies it: {shown}"
    return ""


def _named_otherwise(claim: Claim, window: Window, sources: Sources) -> str:
    """Another name in a sentence that says the rest of the claim, in words."""
    strangers = sources.strangers(claim.facts)
    named = window.facts.names - claim.facts.names
    if not strangers or not named or len(window.sentences) > 1:
        return ""
    rest = claim.stems - frozenset(stem for name in strangers for stem in content(name))
    if len(rest) < 2 or sources.covered(rest, window.stems) < REST:
        return ""
    return f"{', '.join(sorted(named))} and not {', '.join(strangers)}"


def _counted_otherwise(claim: Facts, window: Facts) -> str:
    """Another number of the same thing, another unit, or the other side of a bound, in words."""
    for number, thing in sorted(claim.counted):
        others = {value for value, same in window.counted if same == thing} - claim.numbers
        if others and number not in window.numbers:
            return f"{', '.join(map(_shown, sorted(others)))} and not {_shown(number)}"
        if (unit := other_unit(number, thing, window.counted)) is not None:
            return f"{_shown(number)} {unit} and not {_shown(number)} {thing}"
    for side, thing in sorted(claim.bounds - window.bounds):
        if (_OTHER_SIDE[side], thing) in window.bounds:
            return f"{_SIDES[_OTHER_SIDE[side]]} and not {_SIDES[side]} {thing}"
    return ""


def _is_turned(claim: Claim, window: Window, sources: Sources) -> bool:
    """Whether a sentence denies a claim, or the claim denies the sentence: the part of the sentence
    that has most of the claim decides."""
    if len(window.sentences) > 1 or claim.facts.denies == window.facts.denies:
        return False
    nearest = max(
        clauses_of(window.text),
        key=lambda each: sources.covered(claim.stems, content(each)),
        default="",
    )
    return denies(nearest) != claim.facts.denies


def _shown(number: float) -> str:
    return f"{number:.12g}"


_OTHER_SIDE = {"<": ">", ">": "<"}
_SIDES = {"<": "up to or before", ">": "over or after"}
_LOOKED_AT = 3  # so many of the nearest windows can contradict a claim

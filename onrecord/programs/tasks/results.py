"""What tasks give: frozen values with what was found, how sure that is, and what shows it."""

from __future__ import annotations

from typing import Any

import msgspec

from onrecord.citations import cite
from onrecord.messages import Passage


class Evidence(msgspec.Struct, frozen=True):
    """Words of the text that show a result: `quote == text[start:end]` exactly, in characters.

    `score`: what the choice of these words went by (each result says what it is); None where a
    model chose them.
    """

    quote: str
    start: int
    end: int
    score: float | None = None

    def moved(self, by: int) -> Evidence:
        """The same words, in a text whose part this one was found in: it begins `by` characters
        into that text."""
        return Evidence(self.quote, self.start + by, self.end + by, self.score)


class LabelResult(msgspec.Struct, frozen=True):
    """A text's label (classify, sentiment).

    `scores` are what the labels were compared by, the best first, and `confidence` is that of the
    label, in [0, 1]:

        a generating model      none, and no confidence: what a model says of its own certainty is
                                no measurement. Of a text that was read in parts: the shares of it
                                that were given each label, which are no certainty either
        hf: with a head         the head's probabilities
        examples                the fitted head's probabilities; `note` tells its accuracy
        label descriptions      the labels' shares (a softmax of the cosines, see `zero_shot`): they
                                rank and they add up to 1, and are calibrated to nothing
    """

    label: str
    confidence: float | None
    scores: dict[str, float]
    evidence: tuple[Evidence, ...]
    model: str
    note: str = ""

    @property
    def value(self) -> str:
        """The label."""
        return self.label


class TextResult(msgspec.Struct, frozen=True):
    """A text that was made of another (summarize, translate, generate).

    `confidence` is None: nobody can say honestly how right a text is. `evidence` of an extractive
    summary are its sentences, in their order, with their centrality as a share of the highest one.
    """

    text: str
    confidence: float | None
    evidence: tuple[Evidence, ...]
    model: str
    note: str = ""

    @property
    def value(self) -> str:
        """The text."""
        return self.text


class AnswerResult(msgspec.Struct, frozen=True):
    """An answer out of a text, or a refusal: then `text` is None and `note` says why.

    `evidence` are quotations that were found in the text character by character. `confidence`: of
    `embedded:extractive`, the evidence score that it refuses by (below .39), which is no
    probability; of a model None.
    """

    text: str | None
    confidence: float | None
    evidence: tuple[Evidence, ...]
    model: str
    refused: bool = False
    note: str = ""

    @property
    def value(self) -> str | None:
        """The answer."""
        return self.text


class ValueResult(msgspec.Struct, frozen=True):
    """Values out of a text (extract).

    `evidence`: where values stand in the text word for word; `note` names those that do not, which
    a model may have worded anew, worked out, or made up.
    """

    value: Any
    confidence: float | None
    evidence: tuple[Evidence, ...]
    model: str
    note: str = ""


class SimilarResult(msgspec.Struct, frozen=True):
    """Which candidate means most the same as the text.

    `scores`: of each candidate, in the order they were given: the cosine of the two vectors, in
    [-1, 1], or what a generating model judged, in [0, 1]. `label` is the best candidate. There is
    no `confidence`: a similarity is no probability.
    """

    label: str
    score: float
    scores: tuple[float, ...]
    model: str
    confidence: float | None = None
    evidence: tuple[Evidence, ...] = ()
    note: str = ""

    @property
    def value(self) -> float:
        """The score of the best candidate."""
        return self.score


TaskResult = LabelResult | TextResult | AnswerResult | ValueResult | SimilarResult


def quoted(quotes: list[str], text: str) -> tuple[tuple[Evidence, ...], list[str]]:
    """Quotations as evidence, each once, and those that the text does not hold."""
    whole = [Passage("", "", text, 0, len(text), 1.0)]
    found: dict[Evidence, None] = {}
    missing = []
    for quote in quotes:
        citation = cite(quote, whole)
        if citation is None:
            missing.append(quote)
        else:
            found[Evidence(citation.quote, citation.start, citation.end)] = None
    return tuple(found), missing


def dropped(missing: list[str]) -> str:
    """A sentence about quotations that were dropped, or nothing."""
    if not missing:
        return ""
    listed = ", ".join(f"“{quote[:80]}”" for quote in missing[:3])
    return f"Dropped, because the text does not hold these words: {listed}."


def joined(*notes: str) -> str:
    """Notes as one; those that say nothing are left out."""
    return " ".join(filter(None, notes))

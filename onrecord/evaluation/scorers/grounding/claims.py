"""What an answer claims, sentence by sentence, and what became of each claim."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from onrecord.evaluation.scorers.sources import passages_of
from onrecord.evaluation.trial import Trial
from onrecord.messages import Passage
from onrecord.sentences import sentence_spans
from onrecord.words import words

Verdict = Literal["supported", "contradicted", "unsupported"]


class Checked(msgspec.Struct, frozen=True):
    """A claim beside the sources. `why`: the words that show it, or what they lack."""

    claim: str
    verdict: Verdict
    why: str = ""

    def __str__(self) -> str:
        why = f" ({self.why})" if self.why else ""
        return f"{self.verdict}: {self.claim}{why}"


class Asked(msgspec.Struct, frozen=True):
    """The claims of an answer, and the sources that it should follow from."""

    claims: tuple[str, ...]
    sources: tuple[Passage, ...]


def asked_of(trial: Trial, step: str | None = None) -> Asked | str:
    """What is to be checked of a trial; in words, why there is nothing to check."""
    if trial.refused:
        return "it refused, and claims nothing"
    sources = passages_of(trial, step)
    if sources is None:
        return "no search is on record, and the case names no sources"
    claims = tuple(each for text in _texts(trial.answer) for each in claims_of(text))
    if not claims:
        return "it claims nothing"
    return Asked(claims, tuple(sources))


def claims_of(text: str) -> list[str]:
    """The sentences of a text that claim something: no questions, no headings, nothing without a
    word."""
    claims = []
    for start, end in sentence_spans(text):
        sentence = text[start:end]
        claim = _MARKER.sub("", _NOTES.sub("", sentence)).strip()
        is_heading = sentence.startswith("#") or claim.endswith(":")
        if words(claim) and not claim.endswith("?") and not is_heading:
            claims.append(" ".join(claim.split()))
    return claims


def share(checked: Sequence[Checked], verdict: Verdict) -> float:
    """The share of the claims that got this verdict."""
    return sum(each.verdict == verdict for each in checked) / len(checked)


def _texts(answer: Any) -> list[str]:
    """The texts in an answer; of an object, those of its fields."""
    if isinstance(answer, str):
        return [answer]
    if isinstance(answer, dict):
        return [text for each in answer.values() for text in _texts(each)]
    if isinstance(answer, list | tuple):
        return [text for each in answer for text in _texts(each)]
    return []


_NOTES = re.compile(r"\s*\[\d{1,3}(?:\s*,\s*\d{1,3})*\]")
_MARKER = re.compile(r"^(?:[-*+•–]|\d{1,3}[.)])\s+")

"""Does a stated probability mean what it says, and does it tell right from wrong?"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from itertools import groupby

import msgspec

from onrecord.errors import UsageError
from onrecord.evaluation.measuring.checking import floats, same_length, shares


class Bin(msgspec.Struct, frozen=True):
    """The cases with a probability above `low` (the first bin: from 0 on) up to `high`."""

    low: float
    high: float
    count: int
    confidence: float
    accuracy: float


def reliability(
    probabilities: Sequence[float], outcomes: Sequence[bool | int], bins: int = 10
) -> list[Bin]:
    """Mean probability beside the share that came true, in `bins` bins of equal width.

    `outcomes`: 1 or True where it came true. Bins without cases are left out. It is what a
    reliability diagram shows (DeGroot and Fienberg, 1983). Raises UsageError for lists that make
    no pairs, what is no probability, an outcome other than 0 and 1, and no bins.
    """
    pairs = _pairs(probabilities, outcomes)
    if bins < 1:
        raise UsageError(f"{bins} bins hold nothing", cure="Give 1 or more.")
    edges = [at / bins for at in range(1, bins)]
    held: dict[int, list[tuple[float, int]]] = {}
    for pair in pairs:
        held.setdefault(bisect_left(edges, pair[0]), []).append(pair)
    return [
        Bin(
            low=at / bins,
            high=(at + 1) / bins,
            count=len(held[at]),
            confidence=sum(each for each, _ in held[at]) / len(held[at]),
            accuracy=sum(each for _, each in held[at]) / len(held[at]),
        )
        for at in sorted(held)
    ]


def expected_calibration_error(
    probabilities: Sequence[float], outcomes: Sequence[bool | int], bins: int = 10
) -> float:
    """ECE: the mean distance of probability and truth over the bins, by their size. 0 is best, 1
    worst.

    Naeini, Cooper and Hauskrecht (AAAI 2015), as in Guo et al., "On Calibration of Modern Neural
    Networks" (ICML 2017). It depends on `bins`, and of few cases it is too high: with 100 cases
    even a perfect forecaster has some 0.1. Arguments and errors as in `reliability`.
    """
    table = reliability(probabilities, outcomes, bins)
    gaps = (each.count * abs(each.confidence - each.accuracy) for each in table)
    return sum(gaps) / len(probabilities)


def brier(probabilities: Sequence[float], outcomes: Sequence[bool | int]) -> float:
    """The mean squared distance of a probability and what came true (1 or 0). 0 is best, 1 worst;
    always saying 0.5 scores 0.25.

    Brier, "Verification of forecasts expressed in terms of probability" (1950), in the form for
    one event, which is half of his. Arguments and errors as in `reliability`.
    """
    pairs = _pairs(probabilities, outcomes)
    return math.fsum((probability - outcome) ** 2 for probability, outcome in pairs) / len(pairs)


def auroc(scores: Sequence[float], outcomes: Sequence[bool | int]) -> float:
    """The chance that a case that came true has the higher score of two; equal scores count half.

    The area under the ROC curve: 1 is best, 0.5 says nothing, below it is turned round. Hanley and
    McNeil, "The meaning and use of the area under a receiver operating characteristic curve"
    (Radiology, 1982). Scores are any numbers. Raises UsageError for lists that make no pairs, for
    a score that is no number, and where all outcomes are equal, as there is nothing to tell apart.
    """
    same_length(scores, outcomes, "scores and outcomes")
    pairs = sorted(zip(floats(scores, "score"), _binary(outcomes), strict=True))
    if any(math.isnan(score) for score, _ in pairs):
        raise UsageError("a score is no number (NaN)", cure="Leave out cases without a score.")
    positive = sum(outcome for _, outcome in pairs)
    negative = len(pairs) - positive
    if not positive or not negative:
        raise UsageError(
            f"all outcomes are {int(not negative)}: there is nothing to tell apart",
            cure="Give cases of both kinds.",
        )
    below, won = 0, 0.0
    for _, tied in groupby(pairs, key=lambda pair: pair[0]):
        outcomes_here = [outcome for _, outcome in tied]
        right = sum(outcomes_here)
        wrong = len(outcomes_here) - right
        won += right * (below + wrong / 2)
        below += wrong
    return won / (positive * negative)


def _pairs(
    probabilities: Sequence[float], outcomes: Sequence[bool | int]
) -> list[tuple[float, int]]:
    same_length(probabilities, outcomes, "probabilities and outcomes")
    return list(zip(shares(probabilities, "probability"), _binary(outcomes), strict=True))


def _binary(outcomes: Sequence[bool | int]) -> list[int]:
    for place, outcome in enumerate(outcomes):
        if outcome not in (0, 1):
            raise UsageError(f"the outcome {outcome!r} is neither 0 nor 1", where=f"item {place}")
    return [int(outcome) for outcome in outcomes]

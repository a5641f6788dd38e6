"""Was the right thing found, and how far up?

Each function takes one ranking, the best first, and what is relevant to its question: ids, or
grades by id. A grade of 0 or below is not relevant. An id that is found again further down earns
nothing there, but takes up its rank. Manning, Raghavan and Schütze, "Introduction to Information
Retrieval" (2008), chapter 8.

All raise UsageError where nothing is relevant: there is nothing to find, and no number says how
well it was found. Such questions are left out of a mean, or measured as refusals.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Hashable, Mapping, Sequence
from numbers import Integral
from typing import Any

from onrecord.errors import UsageError
from onrecord.evaluation.measuring.checking import same_length

Relevant = Collection[Hashable] | Mapping[Hashable, float]


def hit_at_k(found: Sequence[Hashable], relevant: Relevant, k: int) -> float:
    """1.0 where something relevant is among the first k, else 0.0."""
    return float(any(_gains(found, relevant, k)))


def recall_at_k(found: Sequence[Hashable], relevant: Relevant, k: int) -> float:
    """The share of all that is relevant that is among the first k. From 0 to 1."""
    return sum(gain > 0 for gain in _gains(found, relevant, k)) / len(_grades(relevant))


def precision_at_k(found: Sequence[Hashable], relevant: Relevant, k: int) -> float:
    """The share of the first k ranks that hold something relevant. From 0 to 1.

    It is divided by k also where fewer were found (as trec_eval does): finding less is no merit.
    """
    _check_rank(k)
    return sum(gain > 0 for gain in _gains(found, relevant, k)) / k


def reciprocal_rank(found: Sequence[Hashable], relevant: Relevant, k: int | None = None) -> float:
    """1 / the rank of the first that is relevant (among the first k), 0.0 where none is."""
    gains = _gains(found, relevant, k)
    return next((1 / rank for rank, gain in enumerate(gains, 1) if gain > 0), 0.0)


def mean_reciprocal_rank(
    found: Sequence[Sequence[Hashable]], relevant: Sequence[Relevant], k: int | None = None
) -> float:
    """MRR: the mean of `reciprocal_rank` over questions. Voorhees, TREC-8 (1999)."""
    count = same_length(found, relevant, "rankings and relevant ids")
    pairs = zip(found, relevant, strict=True)
    return sum(reciprocal_rank(one, other, k) for one, other in pairs) / count


def average_precision(found: Sequence[Hashable], relevant: Relevant, k: int | None = None) -> float:
    """The mean, over all that is relevant, of the precision at its rank; 0 for what is not found.
    Its mean over questions is MAP. From 0 to 1."""
    right, total = 0, 0.0
    for rank, gain in enumerate(_gains(found, relevant, k), 1):
        if gain > 0:
            right += 1
            total += right / rank
    return total / len(_grades(relevant))


def ndcg_at_k(
    found: Sequence[Hashable],
    relevant: Relevant,
    k: int | None = None,
    *,
    exponential: bool = False,
) -> float:
    """Normalised discounted cumulative gain of the first k (None: of all). From 0 to 1.

    A gain is the grade (ids without grades: 1), with `exponential` 2^grade - 1 (Burges et al.,
    ICML 2005), divided by log2(rank + 1) and summed; divided by the sum of the best possible
    ranking of all that is relevant. Järvelin and Kekäläinen, "Cumulated gain-based evaluation of IR
    techniques" (TOIS 2002), with the discount as it is usual today, which also cuts rank 2.
    """
    gains = _gains(found, relevant, k)
    best = sorted(_grades(relevant).values(), reverse=True)
    return _discounted(gains, exponential) / _discounted(best[:k], exponential)


def _gains(found: Sequence[Hashable], relevant: Relevant, k: int | None) -> list[float]:
    """The grade at each rank; 0 for what is not relevant, or was there before."""
    if isinstance(found, str):
        raise UsageError("the ranking is a text", cure="Give a list of ids, the best first.")
    if k is not None:
        _check_rank(k)
    left = _grades(relevant)
    try:
        return [left.pop(each, 0.0) for each in found[:k]]
    except TypeError as error:
        raise UsageError(f"an id in the ranking is no plain value: {error}") from error


def _check_rank(k: Any) -> None:
    if isinstance(k, bool) or not isinstance(k, Integral):
        raise UsageError(f"k={k!r:.40} is no whole number", cure="Give a k of 1 or more.")
    if int(k) < 1:
        raise UsageError(f"the first {k} are none", cure="Give a k of 1 or more.")


def _grades(relevant: Relevant) -> dict[Hashable, float]:
    """What is relevant, with its grade."""
    if isinstance(relevant, str):
        raise UsageError("what is relevant is a text", cure="Give ids, or grades by id.")
    try:
        graded = relevant if isinstance(relevant, Mapping) else dict.fromkeys(relevant, 1.0)
        grades = {each: float(grade) for each, grade in graded.items() if not grade <= 0}
    except (TypeError, ValueError) as error:
        raise UsageError(f"what is relevant is neither ids nor grades by id: {error}") from error
    if not all(map(math.isfinite, grades.values())):
        raise UsageError("a grade is not finite", cure="Give grades such as 0, 1, 2.")
    if not grades:
        raise UsageError("nothing is relevant", cure="Leave out questions that nothing answers.")
    return grades


def _discounted(gains: Sequence[float], exponential: bool) -> float:
    return sum(
        (2.0**gain - 1 if exponential else gain) / math.log2(rank + 1)
        for rank, gain in enumerate(gains, 1)
    )

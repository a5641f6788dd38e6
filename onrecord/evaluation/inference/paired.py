"""Tests of two answers to the same cases: is there a difference, and is it small enough?"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import msgspec
import numpy as np

from onrecord.errors import UsageError
from onrecord.evaluation.inference.bounded import Means
from onrecord.evaluation.inference.intervals import (
    Interval,
    normal_below,
    normal_quantile,
    student_quantile,
)
from onrecord.evaluation.inference.resampling import Clusters
from onrecord.evaluation.inference.samples import Numbers, between, cluster_sums, pairs


class McNemar(msgspec.Struct, frozen=True):
    """How many cases only `a` got right, only `b`, both and neither; and p of no difference."""

    p: float
    only_a: int
    only_b: int
    both: int
    neither: int


class Equivalence(msgspec.Struct, frozen=True):
    """Whether a difference is inside (-margin, margin): `p` is the larger of the two tests'.

    `interval` is what that rests on: its level is 0.90 for tests at 5 %, and it lies inside the
    margin just where p is below 5 %.
    """

    p: float
    equivalent: bool
    margin: float
    interval: Interval


def mcnemar(a: Sequence[bool | float], b: Sequence[bool | float]) -> McNemar:
    """The exact test of two answers to the same cases, each right (1, True) or wrong (0, False).

    Only the cases count where the two differ: were there no difference, each of them would be a
    coin's toss. p is two-sided, twice the smaller tail of the binomial distribution. The cases must
    be independent; of repeated ones give one answer each, or use `paired_permutation` with
    clusters. Raises UsageError for scores that make no pairs, or other values than 0 and 1.

    McNemar, "Note on the sampling error of the difference between correlated proportions"
    (Psychometrika 1947); of classifiers: Dietterich, "Approximate statistical tests for comparing
    supervised classification learning algorithms" (Neural Computation 1998).
    """
    first, second = pairs(a, b)
    if not (_rights(first) and _rights(second)):
        raise UsageError(
            "a score is neither 0 nor 1",
            cure="McNemar's test is for right and wrong; for other scores use paired_permutation.",
        )
    only_a = int((first > second).sum())
    only_b = int((first < second).sum())
    both = int((first * second).sum())
    return McNemar(
        p=coin_p(min(only_a, only_b), only_a + only_b),
        only_a=only_a,
        only_b=only_b,
        both=both,
        neither=len(first) - only_a - only_b - both,
    )


def coin_p(fewer: int, tosses: int) -> float:
    """The two-sided p of so uneven a number of heads, or a more uneven one, of a fair coin."""
    from scipy.special import bdtr

    return min(1.0, 2 * float(bdtr(fewer, tosses, 0.5)))


def tost(
    a: Sequence[float],
    b: Sequence[float],
    margin: float,
    *,
    level: float = 0.95,
    clusters: Clusters = None,
) -> Equivalence:
    """Whether the mean of `a` equals that of `b` within `margin`, on the same cases.

    Two one-sided tests: that `a` is not worse by the margin or more, and not better by it. Both
    must hold at 1 - `level`, which is where the interval of level 2 `level` - 1 (0.90) lies inside
    the margin. `margin` has the scores' unit and is chosen before looking.

    - Rates (all scores 0 or 1, no clusters): Tango's score test, good from some 25 cases on.
    - Other scores in [0, 1]: the bound of a mean between -1 and 1 (`bounded_mean`), whatever the
      spread: a share of cases that none of these is like may still drop to 0. So a margin of 0.02
      takes 149 cases even where all scores are equal.
    - Scores outside: Student's t of the differences, which supposes that their mean is about
      normal. Cases that hardly differ show nothing of a rare one that differs much, and what that
      could be no bound says: look at many cases, and at the largest differences. Where all are the
      same nothing is shown, and p is 1. The degrees of freedom are the number of cases, or of
      `clusters` (as in `paired_bootstrap`), less one.

    Raises UsageError for scores that make no pairs, a margin of 0 or less (of rates also 1 or
    more), a level outside (0.5, 1), one cluster alone.

    Schuirmann, "A comparison of the two one-sided tests procedure and the power approach"
    (J. Pharmacokinetics and Biopharmaceutics 1987); scores in [0, 1]: Learned-Miller and Thomas
    (2019, arXiv:1905.06208); rates: Tango, "Equivalence test and confidence
    interval for the difference in proportions for the paired-sample design" (Statistics in Medicine
    1998).
    """
    first, second = pairs(a, b)
    level = between(level, "level of a test of equivalence", 0.5, 1.0)
    shares = are_shares(first) and are_shares(second)
    rates = clusters is None and _rights(first) and _rights(second)
    what = "margin of rates" if rates else "margin"
    margin = between(margin, what, 0.0, 1.0 if rates else math.inf)
    differences = first - second
    if np.ptp(differences) == 0:
        return _without_spread(differences, margin, level, clusters, shares)
    if rates:
        return _of_rates(
            int((differences > 0).sum()),
            int((differences < 0).sum()),
            len(differences),
            margin,
            level,
        )
    if shares:
        return _of_shares(differences, margin, level, clusters)
    return _of_means(differences, margin, level, clusters)


def are_shares(scores: Numbers) -> bool:
    """Whether all scores lie in [0, 1]."""
    return bool(((scores >= 0) & (scores <= 1)).all())


def _rights(scores: Numbers) -> bool:
    return bool(((scores == 0) | (scores == 1)).all())


def _of_shares(
    differences: Numbers, margin: float, level: float, clusters: Clusters
) -> Equivalence:
    means = Means(differences, -1.0, 1.0, clusters)
    _check_several(means.cases)
    p = max(means.p_at_most(-margin), means.p_at_least(margin))
    low, high = means.low(1 - level), means.high(1 - level)
    mean = float(differences.mean())
    interval = Interval(mean, low, high, round(2 * level - 1, 12), means.cases)
    return Equivalence(p, low > -margin and high < margin, margin, interval)


def _of_means(differences: Numbers, margin: float, level: float, clusters: Clusters) -> Equivalence:
    """Student's t of the mean; the error of clusters of one is the usual one of a mean."""
    from scipy.special import stdtr

    mean, count = float(differences.mean()), len(differences)
    away = differences - mean
    if clusters is not None:
        away = cluster_sums(away, clusters)
    units = len(away)
    _check_several(units)
    error = math.sqrt(units / (units - 1) * float(away @ away)) / count
    if error == 0:
        return _without_spread(differences, margin, level, clusters, shares=False)
    not_worse = float(stdtr(units - 1, -(mean + margin) / error))
    not_better = float(stdtr(units - 1, (mean - margin) / error))
    half = student_quantile(level, units - 1) * error
    interval = Interval(mean, mean - half, mean + half, round(2 * level - 1, 12), units)
    p = max(not_worse, not_better)
    return Equivalence(p, p < 1 - level, margin, interval)


def _check_several(clusters: int) -> None:
    if clusters < 2:
        raise UsageError(
            "one cluster alone does not show how clusters differ",
            cure="Give the scores of at least two.",
        )


def _of_rates(gained: int, lost: int, count: int, margin: float, level: float) -> Equivalence:
    def score(difference: float) -> float:
        """How far the rates are from that difference, in standard errors under it (Tango)."""
        linear = (2 * count - gained + lost) * difference - gained - lost
        constant = -lost * difference * (1 - difference)
        root = math.sqrt(linear * linear - 8 * count * constant)
        share_lost = (root - linear) / (4 * count)
        variance = count * (2 * share_lost + difference * (1 - difference))
        away = gained - lost - count * difference
        return away / math.sqrt(variance) if variance > 0 else math.copysign(math.inf, away)

    mean, z = (gained - lost) / count, normal_quantile(level)
    low = _falls_to(z, score, -1.0, mean)
    high = _falls_to(-z, score, mean, 1.0)
    p = max(normal_below(-score(-margin)), normal_below(score(margin)))
    interval = Interval(mean, low, high, round(2 * level - 1, 12), count)
    return Equivalence(p, p < 1 - level, margin, interval)


def _falls_to(target: float, function: Callable[[float], float], low: float, high: float) -> float:
    """Where a falling function reaches `target`, between `low` and `high`, to 1e-15 of it."""
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if function(middle) > target else (low, middle)
    return (low + high) / 2


def _without_spread(
    differences: Numbers, margin: float, level: float, clusters: Clusters, shares: bool
) -> Equivalence:
    mean = float(differences.mean())
    units = len(differences) if clusters is None else len(set(clusters))
    left = margin - abs(mean)
    p = max(0.0, 1 - left) ** units if shares and left > 0 else 1.0
    most = unseen_share(units, level) if shares else 0.0
    interval = Interval(mean, mean - most, mean + most, round(2 * level - 1, 12), units)
    return Equivalence(p, p < 1 - level, margin, interval)


def unseen_share(cases: int, level: float) -> float:
    """The largest share of cases like none of these `cases` that is not ruled out (about 3 / n).

    Clopper and Pearson (Biometrika 1934); "the rule of three".
    """
    return float(1 - (1 - level) ** (1 / cases))

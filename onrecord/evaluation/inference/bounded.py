"""The mean of scores between two bounds, allowing for scores at a bound that were not seen.

The spread of the cases at hand shows nothing of a rare case unlike them: fifty scores of 1.0 and
one of 0.999 hardly vary, and still one case in thirty may score 0. So one case is added that
scored as bad as a score can be, and the cases are weighed by chance, all weights being equally
likely (Dirichlet's distribution): the mean so weighed is at least its 5 % quantile, at 95 %. Of
scores that are all at one bound that is the bound of Clopper and Pearson.

Learned-Miller and Thomas, "A new confidence interval for the mean of a bounded random variable"
(2019, arXiv:1905.06208), who found it valid for all distributions they tried, and conjecture that
it is for all. The simulations of tests/evaluation/test_statistics.py are those that matter here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from onrecord.errors import UsageError
from onrecord.evaluation.inference.intervals import Interval
from onrecord.evaluation.inference.resampling import Clusters
from onrecord.evaluation.inference.samples import (
    Numbers,
    cluster_sums,
    level_of,
    numbers,
    whole,
)


def bounded_mean(
    values: Sequence[float],
    *,
    low: float = 0.0,
    high: float = 1.0,
    seed: int = 0,
    level: float = 0.95,
    clusters: Clusters = None,
) -> Interval:
    """The interval of the mean of scores that cannot lie outside of [low, high].

    Unlike that of `bootstrap` it has a width also where all scores are equal, and holds the truth
    as often as it says for few cases and skewed scores; it is the wider one, the more so the fewer
    cases. `clusters` as in `bootstrap`. Equal values and an equal seed give an equal interval.
    Raises UsageError for no values, a value outside of the bounds, a level outside (0, 1).
    """
    given, level = numbers(values), level_of(level)
    if low >= high or given.min() < low or given.max() > high:
        raise UsageError(
            f"the values are not all between {low:g} and {high:g}",
            cure="Give low= and high=, what a score can be at least and at most, or use bootstrap.",
        )
    means = Means(given, low, high, clusters, seed)
    tail = (1 - level) / 2
    return Interval(float(given.mean()), means.low(tail), means.high(tail), level, means.cases)


class Means:
    """What the mean may be, at least and at most: draws of it, with a case at either bound added.

    `cases` is on how many independent ones it rests.
    """

    def __init__(
        self, values: Numbers, low: float, high: float, clusters: Clusters, seed: int = 0
    ) -> None:
        ones = np.ones_like(values)
        sums, sizes = values, ones
        if clusters is not None:
            sums, sizes = cluster_sums(values, clusters), cluster_sums(ones, clusters)
        self.cases = len(sums)
        random = np.random.Generator(np.random.SFC64(whole(seed, "a seed", 0)))
        total, weight = _weighed(np.column_stack([sums, sizes]), (high - low) / _STEPS, random)
        unseen = random.standard_exponential(len(total)) * float(sizes.mean())
        self._least = np.sort((total + unseen * low) / (weight + unseen))
        self._most = np.sort((total + unseen * high) / (weight + unseen))
        self._draws = len(total)

    def low(self, tail: float) -> float:
        """What the mean is at least, but for a chance of `tail`."""
        return float(self._least[self._rank(tail)])

    def high(self, tail: float) -> float:
        """What the mean is at most, but for a chance of `tail`."""
        return float(self._most[-1 - self._rank(tail)])

    def p_at_most(self, mean: float) -> float:
        """How likely such cases are where the truth is `mean` or less. Below `tail` just where
        `low(tail)` is above."""
        return (1 + int(np.searchsorted(self._least, mean, "right"))) / (1 + self._draws)

    def p_at_least(self, mean: float) -> float:
        """The same where the truth is `mean` or more."""
        above = self._draws - int(np.searchsorted(self._most, mean, "left"))
        return (1 + above) / (1 + self._draws)

    def _rank(self, tail: float) -> int:
        return max(0, math.ceil(tail * (1 + self._draws) - 1e-9) - 2)


def _weighed(rows: Numbers, step: float, random: np.random.Generator) -> tuple[Numbers, Numbers]:
    """The sum of the rows, (cases, 2), weighed by chance: draws of each column."""
    distinct, times = np.unique(rows, axis=0, return_counts=True)
    if len(distinct) > _STEPS:  # so many are told apart no finer than that
        rounded = np.column_stack([np.round(rows[:, 0] / step) * step, rows[:, 1]])
        distinct, times = np.unique(rounded, axis=0, return_counts=True)
    draws = max(_FEWEST, min(_MOST, _WEIGHTS // len(distinct))) - 1
    at_once = max(1, _AT_ONCE // len(distinct))
    sums = np.concatenate(
        [
            # Equal rows share the sum of their weights: exponential ones add to a gamma.
            random.standard_gamma(times, (min(at_once, draws - done), len(times))) @ distinct
            for done in range(0, draws, at_once)
        ]
    )
    return sums[:, 0], sums[:, 1]


_STEPS = 4_096
_FEWEST, _MOST = 2_000, 10_000  # draws, less one
_WEIGHTS, _AT_ONCE = 20_000_000, 60_000

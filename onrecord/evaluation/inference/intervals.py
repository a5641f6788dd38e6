"""An estimate and the interval that it is in."""

from __future__ import annotations

import math

import msgspec

from onrecord.errors import UsageError
from onrecord.evaluation.inference.samples import level_of, whole


class Interval(msgspec.Struct, frozen=True):
    """A mean, a rate or a difference of two, and the interval around it.

    `level` is how often such intervals hold the truth: 0.95 for a 95 % interval. `cases` is on how
    many independent ones it rests (clusters, where whole clusters were drawn), 0 where that is not
    known.
    """

    mean: float
    low: float
    high: float
    level: float = 0.95
    cases: int = 0

    @property
    def within_noise(self) -> bool:
        """Whether no difference at all is inside the interval."""
        return self.low <= 0.0 <= self.high

    @property
    def is_a_point(self) -> bool:
        """Whether it has no width: all cases were alike, or there was one, which does not show how
        cases differ."""
        return self.low == self.high


def wilson(successes: int, n: int, level: float = 0.95) -> Interval:
    """The interval of a rate: `successes` of `n` independent cases.

    It stays inside [0, 1] and has a width also where all cases, or none, succeed; about right from
    some ten cases on. Raises UsageError for more successes than cases, or no case.

    Wilson, "Probable inference, the law of succession, and statistical inference" (JASA 1927);
    recommended for few cases by Brown, Cai and DasGupta, "Interval estimation for a binomial
    proportion" (Statistical Science 2001).
    """
    n, successes = whole(n, "cases"), whole(successes, "successes", 0)
    if successes > n:
        raise UsageError(f"{successes} of {n} cases cannot succeed", cure="Give successes, then n.")
    z = normal_quantile((1 + level_of(level)) / 2)
    rate = successes / n
    centre = (rate + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(rate * (1 - rate) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    # At the ends the bound is the end itself, which rounding would miss by the last digit.
    low = 0.0 if successes == 0 else centre - half
    high = 1.0 if successes == n else centre + half
    return Interval(rate, low, high, level, n)


def normal_quantile(share: float) -> float:
    """The number below which that share of the standard normal distribution lies."""
    from scipy.special import ndtri

    return float(ndtri(share))


def normal_below(number: float) -> float:
    """The share of the standard normal distribution below a number."""
    from scipy.special import ndtr

    return float(ndtr(number))


def student_quantile(share: float, freedom: float) -> float:
    """The same quantile of Student's t distribution with `freedom` degrees of freedom."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, share))

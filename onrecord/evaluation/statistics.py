"""How sure a difference is that was measured on some cases."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from onrecord.errors import UsageError


class Interval(msgspec.Struct, frozen=True):
    """A difference of two means, and the interval that it is in, `level` of the time."""

    value: float
    low: float
    high: float
    level: float = 0.95

    @property
    def within_noise(self) -> bool:
        """Whether no difference at all is inside the interval."""
        return self.low <= 0.0 <= self.high


def paired_bootstrap(
    first: Sequence[float],
    second: Sequence[float],
    *,
    level: float = 0.95,
    draws: int = 10_000,
    seed: int = 0,
) -> Interval:
    """The mean of `first` minus that of `second`, scores of the same cases in the same order.

    The cases are drawn with replacement, both scores of a case together, `draws` times; the
    interval is that of the percentiles of the differences. Equal scores and an equal seed give an
    equal interval. It speaks of other cases like these ones, not of asking again, and of fewer than
    some twenty cases it is too narrow. Raises UsageError for scores that make no pairs.

    Efron and Tibshirani, "An Introduction to the Bootstrap" (1993), chapter 13; paired, to compare
    systems: Koehn, "Statistical Significance Tests for Machine Translation Evaluation" (EMNLP
    2004).
    """
    differences = np.asarray(first, np.float64) - np.asarray(second, np.float64)
    if len(first) != len(second) or not len(first):
        raise UsageError(
            f"{len(first)} and {len(second)} scores make no pairs",
            cure="Give the scores of the same cases, at least of one.",
        )
    random, count = np.random.default_rng(seed), len(differences)
    at_once = max(1, _NUMBERS // count)
    means = [
        differences[random.integers(count, size=(min(at_once, draws - done), count))].mean(axis=1)
        for done in range(0, draws, at_once)
    ]
    outside = 100 * (1 - level) / 2
    low, high = np.percentile(np.concatenate(means), [outside, 100 - outside])
    return Interval(float(differences.mean()), float(low), float(high), level)


_NUMBERS = 2_000_000  # drawn at once: 16 MB

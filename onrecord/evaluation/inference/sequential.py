"""A comparison that may be looked at after every outcome, as a canary is.

An interval of a fixed number of cases promises nothing to who looks at it again and again until it
says what is hoped for. A confidence sequence does: the chance that any of all its intervals, at any
time, misses the truth is at most 5 %.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np

from onrecord.errors import UsageError
from onrecord.evaluation.inference.intervals import Interval
from onrecord.evaluation.inference.samples import Numbers, between, level_of
from onrecord.evaluation.inference.verdicts import Better, verdict

Decision = Literal["better", "worse", "equivalent", "undecided"]


class SequentialComparison:
    """Outcomes of `a` and of `b` as they come, and at any time what they show of a's mean less b's.

    Outcomes lie in [0, 1]: rights and wrongs, thumbs, scores. They come as pairs (both answered the
    same request) or as two streams with whatever share of the requests. Of streams, what came from
    each since the last time makes one difference of means, so slow changes of the traffic, which
    change both, do no harm. It must be chance which stream a request goes to.

        comparison = SequentialComparison(margin=0.02)
        comparison.add(a=1.0)       # the canary's
        comparison.add(b=0.0)       # what is in production
        comparison.verdict          # "better" | "worse" | "equivalent" | "undecided"

    The chance ever to say "better" or "worse" where there is no difference is at most 1 - `level`,
    however often one looks, and so it is to ever say "equivalent" where they differ by `margin` or
    more. The price: a decision takes some two to three times the cases of a test that looks once.
    Raises UsageError for outcomes outside [0, 1], a level outside (0, 1), a margin outside (0, 1).

    Waudby-Smith and Ramdas, "Estimating means of bounded random variables by betting" (Journal of
    the Royal Statistical Society B 2024), theorem 2: the predictable plug-in empirical Bernstein
    confidence sequence.
    """

    def __init__(
        self, *, margin: float | None = None, better: Better = "higher", level: float = 0.95
    ) -> None:
        if margin is not None:
            between(margin, "margin", 0.0, 1.0)
        self.margin = margin
        self.better = better
        self._sequence = ConfidenceSequence(level=level)
        self._waiting_a, self._waiting_b = _Waiting(), _Waiting()

    def add(self, *, a: float | None = None, b: float | None = None) -> None:
        """One outcome of `a`, of `b`, or of both for the same request."""
        new_a = None if a is None else _outcome(a)
        new_b = None if b is None else _outcome(b)
        if new_a is not None and new_b is not None:
            self._sequence.add((1 + new_a - new_b) / 2)
            return
        if new_a is not None:
            self._waiting_a.add(new_a)
        if new_b is not None:
            self._waiting_b.add(new_b)
        if self._waiting_a.count and self._waiting_b.count:
            self._sequence.add((1 + self._waiting_a.taken() - self._waiting_b.taken()) / 2)

    @property
    def interval(self) -> Interval:
        """Where the difference is, at this moment; `cases` is how many differences were made."""
        low, high = self._sequence.bounds
        return Interval(
            mean=2 * float(self._sequence.mean) - 1,
            low=2 * float(low) - 1,
            high=2 * float(high) - 1,
            level=self._sequence.level,
            cases=self._sequence.count,
        )

    @property
    def verdict(self) -> Decision:
        """What the outcomes show so far; the rule is that of the function `verdict`."""
        found = verdict(self.interval, self.margin, self.better)
        return "undecided" if found == "inconclusive" else found


class ConfidenceSequence:
    """The mean of outcomes in [0, 1], one after another, with bounds that hold at all times.

    `add` takes one outcome, or an array of them (streams,), which is many sequences at once, for
    simulations; `mean` and `bounds` then have that shape too. The outcomes need not be independent:
    what is bounded is the mean of what was to be expected of each, given those before it.

    Source: see `SequentialComparison`.
    """

    def __init__(self, *, level: float = 0.95) -> None:
        self.level = level_of(level)
        self.count = 0
        self._surprise = math.log(2 / (1 - level))
        self._sum: Numbers = np.array(0.5)  # a first guess of the mean and of the variance
        self._squares: Numbers = np.array(0.25)
        self._stakes: Numbers = np.array(0.0)
        self._staked: Numbers = np.array(0.0)
        self._doubt: Numbers = np.array(0.0)

    def add(self, outcome: float | Numbers) -> None:
        """One more outcome, in [0, 1]."""
        self.count += 1
        # The stake is settled before the outcome is seen; that is why looking does no harm.
        mean, variance = self._sum / self.count, self._squares / self.count
        stake = np.sqrt(
            2 * self._surprise / (variance * self.count * math.log(1 + self.count))
        ).clip(max=_MOST)
        self._stakes = self._stakes + stake
        self._staked = self._staked + stake * outcome
        self._doubt = self._doubt + (outcome - mean) ** 2 * (-np.log1p(-stake) - stake)
        self._sum = self._sum + outcome
        self._squares = self._squares + (outcome - self._sum / (self.count + 1)) ** 2

    @property
    def mean(self) -> Numbers:
        """The weighted mean that the bounds are around; 1/2 before the first outcome."""
        return self._staked / self._stakes if self.count else np.array(0.5)

    @property
    def bounds(self) -> tuple[Numbers, Numbers]:
        """The lowest and the highest mean that is not ruled out now."""
        if not self.count:
            return np.array(0.0), np.array(1.0)
        half = (self._surprise + self._doubt) / self._stakes
        return np.maximum(self.mean - half, 0.0), np.minimum(self.mean + half, 1.0)


class _Waiting:
    """Outcomes of one stream since the last difference was made."""

    def __init__(self) -> None:
        self.sum, self.count = 0.0, 0

    def add(self, outcome: float) -> None:
        self.sum, self.count = self.sum + outcome, self.count + 1

    def taken(self) -> float:
        """Their mean; then there are none."""
        mean, self.sum, self.count = self.sum / self.count, 0.0, 0
        return mean


_MOST = 0.5  # of the stake, as the paper advises


def _outcome(outcome: float) -> float:
    if not 0.0 <= outcome <= 1.0:
        raise UsageError(
            f"{outcome!r} is no outcome in [0, 1]",
            cure="Scale the scores to the range from 0 to 1.",
        )
    return float(outcome)

"""From what a judge says to what people would: rates with intervals, from few labels.

A label is a verdict of a person on an answer that the judge has judged, too. Two ways lead from
labels to the rate of answers that people would pass.

- The labels were drawn from the very answers that are to be rated: at random, or at random among
  those the judge passes and among those it fails, in whatever numbers (`Double`). Then the rate is
  q · p1 + (1 - q) · p0: the share q that the judge passes, and what people pass of either group.
  Tenenbein, "A double sampling scheme for estimating from binomial data with misclassifications"
  (JASA 1970); the true and false rates: Begg and Greenes, "Assessment of diagnostic tests when
  disease verification is subject to selection bias" (Biometrics 1983).
- The labels come from elsewhere, an earlier experiment (`Carried`): only the judge's TPR and TNR
  are carried over, and the rate is (q + TNR - 1) / (TPR + TNR - 1). Rogan and Gladen, "Estimating
  prevalence from the results of a screening test" (American Journal of Epidemiology 1978). It
  supposes that the judge errs as often as it did there, among good answers and among bad ones.

Either interval is drawn: each of the counted shares from its beta distribution after Jeffreys'
prior, so that the uncertainty of all of them is in it; between the 2.5 % and the 97.5 % of what
comes out. `benchmarks/judges.py` prints how often such intervals hold the truth.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import msgspec
import numpy as np

from onrecord.evaluation.inference.samples import Numbers
from onrecord.evaluation.statistics import Interval

DRAWS = 10_000


class Confusion(msgspec.Struct, frozen=True):
    """How often the judge (first word) and people (second word) said what, in labels."""

    pass_pass: float
    pass_fail: float
    fail_pass: float
    fail_fail: float

    @property
    def labels(self) -> int:
        """All of them."""
        return round(self.pass_pass + self.pass_fail + self.fail_pass + self.fail_fail)

    def times(self, factor: float) -> Confusion:
        """So many times as many."""
        return Confusion(*(each * factor for each in msgspec.structs.astuple(self)))

    def __add__(self, other: Confusion) -> Confusion:
        mine, theirs = msgspec.structs.astuple(self), msgspec.structs.astuple(other)
        return Confusion(*(a + b for a, b in zip(mine, theirs, strict=True)))


class Counts(NamedTuple):
    """Passes and fails, of independent answers; parts of one where cases were repeated."""

    passed: float
    failed: float

    @property
    def share(self) -> float:
        """The share that passed; one half of none."""
        total = self.passed + self.failed
        return self.passed / total if total else 0.5

    def times(self, factor: float) -> Counts:
        """The same share of fewer, or more."""
        return Counts(self.passed * factor, self.failed * factor)

    def drawn(self, random: np.random.Generator, size: int) -> Numbers:
        """What the true share may be."""
        return random.beta(self.passed + 0.5, self.failed + 0.5, size)


class Judged(NamedTuple):
    """Values of the rates that belong together: numbers, or draws of them."""

    rate: Numbers
    tpr: Numbers
    tnr: Numbers

    @property
    def kappa(self) -> Numbers:
        """Cohen's (1960): the agreement beyond that of two who guess."""
        rate, tpr, tnr = self
        judged = rate * tpr + (1 - rate) * (1 - tnr)
        agreed = rate * tpr + (1 - rate) * tnr
        chance = judged * rate + (1 - judged) * (1 - rate)
        return (agreed - chance) / np.maximum(1 - chance, _TINY)


class Known(Protocol):
    """What labels say of a judge."""

    def drawn(self, random: np.random.Generator, size: int) -> Judged:
        """What its rates may truly be."""

    def plain(self) -> Judged:
        """The rates as they were counted."""


class Double(NamedTuple):
    """Labels drawn from the answers that are rated. `judged`: what the judge says of all of them;
    `passed`, `failed`: what people say of those that it passes, and fails."""

    judged: Counts
    passed: Counts
    failed: Counts

    def drawn(self, random: np.random.Generator, size: int) -> Judged:
        """What its rates may truly be."""
        return self._rates(*(each.drawn(random, size) for each in self))

    def plain(self) -> Judged:
        """The rates as they were counted."""
        return self._rates(*(np.array(each.share) for each in self))

    @staticmethod
    def _rates(share: Numbers, passed: Numbers, failed: Numbers) -> Judged:
        rate = share * passed + (1 - share) * failed
        return Judged(
            rate,
            np.minimum(share * passed / np.maximum(rate, _TINY), 1.0),
            np.minimum((1 - share) * (1 - failed) / np.maximum(1 - rate, _TINY), 1.0),
        )


class Alone(NamedTuple):
    """Labels that stand for themselves. `labelled`: what people say of all; `good`, `bad`: what the
    judge says of those that people pass, and fails of those that they fail."""

    labelled: Counts
    good: Counts
    bad: Counts

    @classmethod
    def of(cls, counted: Confusion, factor: float = 1.0) -> Alone:
        """From the counts; `factor` below 1 where cases are repeated."""
        good = Counts(counted.pass_pass, counted.fail_pass)
        bad = Counts(counted.fail_fail, counted.pass_fail)
        labelled = Counts(sum(good), sum(bad))
        return cls(labelled.times(factor), good.times(factor), bad.times(factor))

    def drawn(self, random: np.random.Generator, size: int) -> Judged:
        """What its rates may truly be."""
        return Judged(*(each.drawn(random, size) for each in self))

    def plain(self) -> Judged:
        """The rates as they were counted."""
        return Judged(*(np.array(each.share) for each in self))


class Carried(NamedTuple):
    """The rates of a judge, carried over to other answers, of which it passes `judged`."""

    known: Known
    judged: Counts

    def drawn(self, random: np.random.Generator, size: int) -> Judged:
        """What its rates may truly be."""
        return self._rates(self.judged.drawn(random, size), self.known.drawn(random, size))

    def plain(self) -> Judged:
        """The rates as they were counted."""
        return self._rates(np.array(self.judged.share), self.known.plain())

    @staticmethod
    def _rates(share: Numbers, known: Judged) -> Judged:
        # A judge that is no better than chance says nothing: the rate is then at either end.
        beyond = np.maximum(known.tpr + known.tnr - 1, _TINY)
        rate = np.clip((share + known.tnr - 1) / beyond, 0.0, 1.0)
        return Judged(rate, known.tpr, known.tnr)


class Among(NamedTuple):
    """The rate among all answers, where what was not answered is no pass."""

    known: Known
    answered: Counts

    def drawn(self, random: np.random.Generator, size: int) -> Judged:
        """What its rates may truly be."""
        known = self.known.drawn(random, size)
        if not self.answered.failed:
            return known
        return known._replace(rate=known.rate * self.answered.drawn(random, size))

    def plain(self) -> Judged:
        """The rates as they were counted."""
        known = self.known.plain()
        return known._replace(rate=known.rate * self.answered.share)


def independent(said: Sequence[tuple[str, bool]]) -> Counts:
    """Passes and fails, by case. Of repeated cases, of as many independent answers as tell as much:
    between the number of cases and that of answers, by the spread of the cases' means (Kish's
    design effect, "Survey Sampling", 1965)."""
    count = len(said)
    passes = sum(each for _, each in said)
    sums: dict[str, list[bool]] = {}
    for case, each in said:
        sums.setdefault(case, []).append(each)
    cases = len(sums)
    if cases == count:
        return Counts(passes, count - passes)
    share = passes / count
    away = sum((sum(each) - share * len(each)) ** 2 for each in sums.values()) / count**2
    variance = away * cases / max(cases - 1, 1)
    worth = share * (1 - share) / variance if variance else cases
    worth = min(max(worth, cases), count)
    return Counts(share * worth, (1 - share) * worth)


def measured(known: Known, name: str, cases: int, level: float = 0.95) -> Interval:
    """One of the rates ("rate", "tpr", "tnr", "kappa") with its interval."""
    drawn = getattr(known.drawn(np.random.default_rng(0), DRAWS), name)
    return around(float(getattr(known.plain(), name)), drawn, cases, level)


def around(point: float, drawn: Numbers, cases: int, level: float = 0.95) -> Interval:
    """The interval that holds the middle of what was drawn, and the point."""
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return Interval(point, min(float(low), point), max(float(high), point), level, cases)


_TINY = 1e-12

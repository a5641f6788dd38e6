"""Intervals and p-values from drawing the cases again: bootstrap and random signs.

A resample of n cases is n draws with replacement. Its mean depends only on how often each distinct
value was drawn, so where few values are distinct (rights and wrongs, ratings) those counts are
drawn, from the multinomial distribution; elsewhere the cases are, some resamples at a time. Both
are exact and need tens of megabytes at most.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence

import numpy as np

from onrecord.evaluation.inference.intervals import Interval, normal_below, student_quantile
from onrecord.evaluation.inference.samples import (
    Numbers,
    cluster_numbers,
    cluster_sums,
    level_of,
    numbers,
    pairs,
    whole,
)

Statistic = Callable[[Numbers], float]
Clusters = Sequence[Hashable] | None


def bootstrap(
    values: Sequence[float],
    statistic: Statistic | None = None,
    *,
    resamples: int = 10_000,
    seed: int = 0,
    level: float = 0.95,
    clusters: Clusters = None,
) -> Interval:
    """The interval of the mean of `values`, or of another `statistic` of them.

    `statistic` takes an array (n,) and gives a number, such as `numpy.median`; it then stands in
    the field `mean`, and takes its own time `resamples` times. `clusters` names for each value what
    it belongs to (its source, or its case where cases are repeated): whole clusters are then drawn,
    for values of one cluster tell less than as many of different ones.

    The interval is that of the percentiles, for a mean expanded to what Student's t asks of so few
    cases, and for few cases still an approximation: it lies inside of what was seen, which of fewer
    than six cases is too narrow. It knows only the spread it sees: values that
    are all equal give no width, and rare ones that are not among them are not allowed for. For
    scores that have bounds `bounded_mean` does. Equal values and an equal seed give an equal
    interval. Raises UsageError for no values, what is not a finite number, or a level outside (0,
    1).

    Efron and Tibshirani, "An Introduction to the Bootstrap" (1993), chapter 13; expanded:
    Hesterberg, "What teachers should know about the bootstrap" (The American Statistician 2015);
    clusters: Davison and Hinkley, "Bootstrap Methods and their Application" (1997), section 3.8,
    and for evaluations Miller, "Adding error bars to evals" (2024, arXiv:2411.00640).
    """
    given = numbers(values)
    resamples, level = whole(resamples, "resamples"), level_of(level)
    random, clusters = _generator(seed), _of_several(clusters, len(given))
    if statistic is None:
        return _of_mean(given, clusters, resamples, level, random)
    found = [float(statistic(each)) for each in _samples(given, clusters, resamples, random)]
    units = len(given) if clusters is None else len(set(clusters))
    return _percentiles(float(statistic(given)), np.array(found), level, (1 - level) / 2, units)


def paired_bootstrap(
    a: Sequence[float],
    b: Sequence[float],
    *,
    resamples: int = 10_000,
    seed: int = 0,
    level: float = 0.95,
    clusters: Clusters = None,
) -> Interval:
    """The mean of `a` minus that of `b`, scores of the same cases in the same order.

    The cases are drawn with replacement, both scores of a case together; everything else is as in
    `bootstrap`. What makes a case hard is hard for both, so this is narrower than
    `unpaired_bootstrap`. It speaks of other cases like these ones, not of asking these again.

    Cases answered several times: give every answer, and the case as its cluster. Where all cases
    have equally many answers that is the same as averaging within each case first (`case_means`);
    where they have not, every answer counts the same here, and every case there.

    Raises UsageError for scores that make no pairs, or what `bootstrap` refuses. Koehn,
    "Statistical significance tests for machine translation evaluation" (EMNLP 2004).
    """
    first, second = pairs(a, b)
    resamples, level = whole(resamples, "resamples"), level_of(level)
    clusters = _of_several(clusters, len(first))
    return _of_mean(first - second, clusters, resamples, level, _generator(seed))


def unpaired_bootstrap(
    a: Sequence[float],
    b: Sequence[float],
    *,
    resamples: int = 10_000,
    seed: int = 0,
    level: float = 0.95,
) -> Interval:
    """The mean of `a` minus that of `b`, scores of different cases: both are drawn on their own.

    Right for two sets of cases; of the same cases it wastes what pairing knows. `cases` is the
    smaller number. Raises UsageError for what `bootstrap` refuses. Efron and Tibshirani (1993),
    chapter 8; expanded with Welch's degrees of freedom (Biometrika 1947).
    """
    first, second = numbers(a, "scores of a"), numbers(b, "scores of b")
    resamples, level = whole(resamples, "resamples"), level_of(level)
    random = _generator(seed)
    found = _means(first[:, None], resamples, random) - _means(second[:, None], resamples, random)
    # The variance of each mean as it is estimated, and as the resamples show it.
    sizes = np.array([len(first), len(second)])
    drawn = np.array([first.var() / len(first), second.var() / len(second)])
    true = drawn * sizes / np.maximum(sizes - 1, 1)
    spread = float((true**2 / np.maximum(sizes - 1, 1)).sum())
    freedom = float(true.sum() ** 2 / spread) if spread else float(max(sizes.sum() - 2, 1))
    ratio = float(np.sqrt(true.sum() / drawn.sum())) if drawn.sum() else 1.0
    tail = _tail(level, freedom, ratio)
    return _percentiles(float(first.mean() - second.mean()), found, level, tail, int(sizes.min()))


def paired_permutation(
    a: Sequence[float],
    b: Sequence[float],
    *,
    resamples: int = 10_000,
    seed: int = 0,
    clusters: Clusters = None,
) -> float:
    """The two-sided p-value of no difference between `a` and `b`, scores of the same cases.

    Were there none, which score is whose would be a coin's choice, case by case (cluster by cluster
    where `clusters` are named): how often do coins give a difference as large as the one seen? Both
    the one seen and `resamples` tosses count, so p is never 0. Raises UsageError as
    `paired_bootstrap` does.

    Fisher, "The Design of Experiments" (1935), section 21; of systems that answer the same cases:
    Yeh, "More accurate tests for the statistical significance of result differences" (COLING 2000);
    never 0: Phipson and Smyth, "Permutation p-values should never be zero" (2010).
    """
    first, second = pairs(a, b)
    resamples = whole(resamples, "resamples")
    differences = first - second
    if clusters is not None:
        differences = cluster_sums(differences, clusters)
    sizes = np.abs(differences[differences != 0])
    if not len(sizes):
        return 1.0
    # Sums that are equal but for rounding are equal.
    seen = abs(float(differences.sum())) - 1e-9 * float(sizes.sum())
    tossed = _tossed(sizes, resamples, _generator(seed))
    return (1 + int((np.abs(tossed) >= seen).sum())) / (1 + resamples)


def case_means(values: Sequence[float], cases: Sequence[Hashable]) -> dict[Hashable, float]:
    """The mean value of each case that was answered several times, by case, as first seen.

    For tests that want one number for each case (`mcnemar`, `tost` of rates). Raises UsageError
    for what is not a finite number, or not a case for each value.
    """
    given = numbers(values)
    means = cluster_sums(given, cases) / cluster_sums(np.ones_like(given), cases)
    return dict(zip(dict.fromkeys(cases), means.tolist(), strict=True))


def _of_several(clusters: Clusters, count: int) -> Clusters:
    """No clusters where each value is one of its own: that is the same, and much faster."""
    if clusters is None or cluster_numbers(clusters, count)[-1] + 1 == count:
        return None
    return clusters


def _of_mean(
    values: Numbers, clusters: Clusters, resamples: int, level: float, random: np.random.Generator
) -> Interval:
    units = _units(values, clusters)
    count = len(units)
    tail = _tail(level, count - 1, np.sqrt(count / max(count - 1, 1)))
    found = _means(units, resamples, random)
    return _percentiles(float(values.mean()), found, level, tail, count)


def _units(values: Numbers, clusters: Clusters) -> Numbers:
    """What is drawn: a row for each value, or for each cluster its sum and its size."""
    if clusters is None:
        return values[:, None]
    sums, sizes = cluster_sums(values, clusters), cluster_sums(np.ones_like(values), clusters)
    if (sizes == sizes[0]).all():
        return (sums / sizes)[:, None]
    return np.column_stack([sums, sizes])


def _means(units: Numbers, resamples: int, random: np.random.Generator) -> Numbers:
    """The mean of each resample: shape (resamples,)."""
    count = len(units)
    distinct, times = np.unique(units, axis=0, return_counts=True)
    if len(distinct) * _DRAWS <= count:
        sums = np.concatenate(
            [
                random.multinomial(count, times / count, some) @ distinct
                for some in _portions(resamples, len(distinct))
            ]
        )
    else:
        sums = np.concatenate(
            [
                np.column_stack([column.take(drawn, mode="clip").sum(axis=1) for column in units.T])
                for drawn in _drawn(count, resamples, random)
            ]
        )
    means: Numbers = sums[:, 0] / (sums[:, 1] if units.shape[1] == 2 else count)
    return means


def _tossed(sizes: Numbers, resamples: int, random: np.random.Generator) -> Numbers:
    """The sum of `sizes`, each with a sign of chance: shape (resamples,)."""
    distinct, times = np.unique(sizes, return_counts=True)
    if len(distinct) * _DRAWS <= len(sizes):
        positive = [
            random.binomial(times, 0.5, (some, len(times))) @ distinct
            for some in _portions(resamples, len(times))
        ]
    else:
        positive = [
            _bits(some, len(sizes), random) @ sizes for some in _portions(resamples, len(sizes))
        ]
    sums: Numbers = 2 * np.concatenate(positive) - sizes.sum()
    return sums


def _bits(rows: int, width: int, random: np.random.Generator) -> Numbers:
    drawn = np.frombuffer(random.bytes(rows * width // 8 + 1), np.uint8)
    return np.unpackbits(drawn, count=rows * width).reshape(rows, width).astype(np.float64)


def _samples(
    values: Numbers, clusters: Clusters, resamples: int, random: np.random.Generator
) -> Iterator[Numbers]:
    """Whole resamples, one by one, for a statistic that is not a mean."""
    members: list[Numbers] | None = None
    if clusters is not None:
        numbered = cluster_numbers(clusters, len(values))
        order = np.argsort(numbered, kind="stable")
        members = np.split(values[order], np.bincount(numbered).cumsum()[:-1])
    count = len(values) if members is None else len(members)
    for drawn in _drawn(count, resamples, random):
        for each in drawn:
            yield values[each] if members is None else np.concatenate([members[i] for i in each])


def _drawn(
    count: int, resamples: int, random: np.random.Generator
) -> Iterator[np.ndarray[tuple[int, int], np.dtype[np.int64]]]:
    for some in _portions(resamples, count):
        yield random.integers(count, size=(some, count))


def _portions(resamples: int, width: int) -> Iterator[int]:
    """How many resamples of `width` numbers are made at once."""
    at_once = max(1, _NUMBERS // width)
    for done in range(0, resamples, at_once):
        yield min(at_once, resamples - done)


def _percentiles(
    estimate: float, found: Numbers, level: float, tail: float, units: int
) -> Interval:
    low, high = np.quantile(found, [tail, 1 - tail])
    return Interval(estimate, float(low), float(high), level, units)


def _tail(level: float, freedom: float, ratio: float) -> float:
    """The share to leave out at each end, so that few cases give what Student's t would."""
    if freedom < 1:
        return 0.0
    return normal_below(-ratio * student_quantile((1 + level) / 2, freedom))


def _generator(seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.SFC64(whole(seed, "a seed", 0)))


_NUMBERS = 60_000  # at once: they stay in the processor's own memory, which is what is fast
_DRAWS = 30  # draws that take as long as one count of the multinomial distribution

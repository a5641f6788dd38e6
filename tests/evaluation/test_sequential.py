"""A comparison that is looked at all the time: false alarms, power, streams."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from onrecord.evaluation.statistics import ConfidenceSequence, SequentialComparison

RUNS = 10_000
Draw = Callable[[np.random.Generator], np.ndarray]


def watched(draw: Draw, truth: float, steps: int, runs: int = RUNS) -> tuple[float, np.ndarray]:
    """The share of runs whose bounds ever miss `truth`, and of each run when they first miss 1/2.

    A run is one A/B comparison, looked at after each of `steps` outcomes in [0, 1].
    """
    random = np.random.default_rng(0)
    sequence = ConfidenceSequence()
    missed, first = np.zeros(runs, bool), np.full(runs, np.inf)
    for step in range(1, steps + 1):
        sequence.add(draw(random))
        low, high = sequence.bounds
        missed |= (truth < low) | (truth > high)
        first[((low > 0.5) | (high < 0.5)) & np.isinf(first)] = step
    return float(missed.mean()), first


def rights(share_a: float, share_b: float, runs: int = RUNS) -> Draw:
    def draw(random: np.random.Generator) -> np.ndarray:
        a, b = random.random(runs) < share_a, random.random(runs) < share_b
        return (1 + a.astype(float) - b) / 2

    return draw


def against_nineteen(random: np.random.Generator) -> np.ndarray:
    """A canary's answer against the mean of the nineteen others meanwhile."""
    return (1 + (random.random(RUNS) < 0.9) - random.binomial(19, 0.9, RUNS) / 19) / 2


def skewed(random: np.random.Generator) -> np.ndarray:
    return (1 + random.beta(0.3, 3, RUNS) - random.beta(0.3, 3, RUNS)) / 2


@pytest.mark.parametrize(
    "draw",
    [rights(0.5, 0.5), rights(0.98, 0.98), against_nineteen, skewed],
    ids=["even", "rare", "canary", "skewed"],
)
def test_false_alarms_with_continuous_peeking(draw: Draw) -> None:
    ever, _ = watched(draw, 0.5, 1_000)
    assert ever <= 0.05


def test_peeking_at_an_ordinary_interval_is_a_false_alarm() -> None:
    random = np.random.default_rng(1)
    differences = (random.random((1_000, 1_000)) < 0.5) * 1.0 - (
        random.random((1_000, 1_000)) < 0.5
    )
    counts = np.arange(1, 1_001)
    means = differences.cumsum(axis=1) / counts
    errors = np.sqrt((differences**2).cumsum(axis=1) / counts - means**2) / np.sqrt(counts)
    alarmed = (np.abs(means) > 1.96 * errors)[:, 30:].any(axis=1)
    assert alarmed.mean() > 0.2  # what the sequence is for


def test_the_truth_is_inside_at_all_times() -> None:
    missed, _ = watched(rights(0.9, 0.8), 0.55, 1_000)
    assert missed <= 0.05


def test_a_difference_is_found() -> None:
    _, first = watched(rights(0.9, 0.8, 1_000), 0.5, 2_000, 1_000)
    assert np.isfinite(first).mean() > 0.99
    # One look at a number of cases that is fixed before takes 196 for a power of 80 %.
    assert np.quantile(first, 0.8) < 3 * 196


def told(comparison: SequentialComparison, a: float, b: float, most: int = 20_000) -> int:
    """After how many pairs it was decided."""
    random = np.random.default_rng(2)
    for step in range(1, most):
        comparison.add(a=random.random() < a, b=random.random() < b)
        if comparison.verdict != "undecided":
            return step
    raise AssertionError("never decided")


def test_the_words() -> None:
    better, worse = SequentialComparison(), SequentialComparison()
    told(better, 0.9, 0.6), told(worse, 0.6, 0.9)
    assert (better.verdict, worse.verdict) == ("better", "worse")
    assert better.interval.low > 0 and worse.interval.high < 0
    fewer = SequentialComparison(better="lower")
    told(fewer, 0.6, 0.9)
    assert fewer.verdict == "better"
    alike = SequentialComparison(margin=0.1)
    told(alike, 0.95, 0.95)
    assert alike.verdict == "equivalent"


def test_nothing_is_known_before_the_first_pair() -> None:
    comparison = SequentialComparison(margin=0.5)
    assert (comparison.verdict, comparison.interval.cases) == ("undecided", 0)
    assert (comparison.interval.low, comparison.interval.high) == (-1.0, 1.0)
    comparison.add(a=1.0)
    comparison.add(a=0.0)
    assert comparison.interval.cases == 0  # nothing to compare them with yet
    comparison.add(b=1.0)
    assert comparison.interval.cases == 1
    assert comparison.interval.mean == pytest.approx(-0.5)


def test_two_streams_are_pairs_of_means() -> None:
    streams, sequence = SequentialComparison(), ConfidenceSequence()
    random = np.random.default_rng(3)
    for _ in range(200):
        others = random.random(19)
        canary = random.random()
        for each in others:
            streams.add(b=each)
        streams.add(a=canary)
        sequence.add((1 + canary - others.mean()) / 2)
    low, high = sequence.bounds
    found = streams.interval
    assert found.cases == 200
    assert (found.low, found.high) == pytest.approx((2 * low - 1, 2 * high - 1))


def test_slow_changes_of_the_traffic_are_no_difference() -> None:
    random = np.random.default_rng(4)
    comparison = SequentialComparison()
    for step in range(6_000):
        share = 0.95 - 0.6 * step / 6_000
        outcome = float(random.random() < share)
        if random.random() < 0.05:
            comparison.add(a=outcome)
        else:
            comparison.add(b=outcome)
        assert comparison.verdict == "undecided"


def test_one_run_is_as_it_is_among_many() -> None:
    outcomes = np.random.default_rng(5).random((50, 3))
    many, one = ConfidenceSequence(), ConfidenceSequence()
    for row in outcomes:
        many.add(row)
        one.add(float(row[1]))
    assert float(one.bounds[0]) == pytest.approx(float(many.bounds[0][1]))
    assert float(one.mean) == pytest.approx(float(many.mean[1]))

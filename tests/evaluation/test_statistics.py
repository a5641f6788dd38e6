"""Intervals, tests of pairs, and verdicts: against scipy, published examples and simulation."""

from __future__ import annotations

import itertools
import math
import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from onrecord.errors import UsageError
from onrecord.evaluation.statistics import (
    Interval,
    SequentialComparison,
    benjamini_hochberg,
    bootstrap,
    bounded_mean,
    case_means,
    cases_needed,
    cases_to_decide,
    holm,
    mcnemar,
    paired_bootstrap,
    paired_comparison,
    paired_permutation,
    power,
    tost,
    unpaired_bootstrap,
    verdict,
    wilson,
)

P_VALUES = st.lists(st.floats(0, 1), min_size=1, max_size=30)


def test_a_difference_that_is_there_and_one_that_is_not() -> None:
    random = np.random.default_rng(0)
    first = random.random(200)
    worse = paired_bootstrap(first - random.normal(0.05, 0.1, 200), first)
    assert worse.high < 0 and not worse.within_noise
    same = paired_bootstrap(first + random.normal(0, 0.1, 200), first)
    assert same.within_noise


def test_the_paired_interval_is_that_of_student() -> None:
    random = np.random.default_rng(1)
    for count in (15, 300):
        a, b = random.normal(0.6, 0.2, count), random.normal(0.5, 0.2, count)
        expected = stats.ttest_rel(a, b).confidence_interval(0.95)
        found = paired_bootstrap(a, b)
        assert found.mean == pytest.approx(float((a - b).mean()))
        assert found.cases == count
        width = expected.high - expected.low
        assert found.low == pytest.approx(expected.low, abs=0.06 * width)
        assert found.high == pytest.approx(expected.high, abs=0.06 * width)


def test_the_interval_of_many_cases_is_that_of_scipy() -> None:
    values = np.random.default_rng(2).exponential(size=400)
    theirs = stats.bootstrap(
        (values,), np.mean, method="percentile", rng=np.random.default_rng(0)
    ).confidence_interval
    ours = bootstrap(values)
    width = theirs.high - theirs.low
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.03 * width)


def test_counts_and_draws_give_the_same_interval() -> None:
    random = np.random.default_rng(3)
    few = random.integers(0, 5, 2_000) / 4.0
    many = few + random.random(2_000) * 1e-9  # no two alike, so the cases are drawn
    counted, drawn = bootstrap(few), bootstrap(many)
    assert counted.mean == pytest.approx(drawn.mean)
    width = counted.high - counted.low
    assert (counted.low, counted.high) == pytest.approx((drawn.low, drawn.high), abs=0.03 * width)
    assert counted != drawn


def test_equal_scores_and_seed_give_an_equal_interval() -> None:
    one, other = list(np.random.default_rng(4).random((2, 50)))
    assert paired_bootstrap(one, other) == paired_bootstrap(one, other)
    assert paired_bootstrap(one, other) != paired_bootstrap(one, other, seed=1)
    wider = paired_bootstrap(one, other, level=0.99)
    assert wider.low < paired_bootstrap(one, other).low
    assert paired_bootstrap(one, one).within_noise
    assert paired_permutation(one, other) == paired_permutation(one, other)


def covered(draw: Callable[[np.random.Generator], Interval], truth: float, runs: int) -> float:
    """How often the interval of a simulated experiment holds the truth."""
    random = np.random.default_rng(5)
    found = [draw(random) for _ in range(runs)]
    return float(np.mean([each.low <= truth <= each.high for each in found]))


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    def normal(random: np.random.Generator) -> Interval:
        return bootstrap(random.normal(0.3, 1, 12), resamples=1_000)

    def rights(random: np.random.Generator) -> Interval:
        return bootstrap(random.random(777) < 0.3, resamples=1_000, level=0.9)

    # Of twelve cases plain percentiles would hold it 92 %: 0.92 is outside of these bounds.
    assert covered(normal, 0.3, 2_000) == pytest.approx(0.95, abs=0.015)
    assert covered(rights, 0.3, 2_000) == pytest.approx(0.90, abs=0.02)


def test_whole_clusters_are_drawn() -> None:
    sizes = [1 + at % 9 for at in range(50)]
    clusters = [at for at, size in enumerate(sizes) for _ in range(size)]

    def sample(random: np.random.Generator) -> np.ndarray:
        return np.repeat(random.normal(0.5, 1, 50), sizes) + random.normal(0, 0.5, sum(sizes))

    def clustered(random: np.random.Generator) -> Interval:
        return bootstrap(sample(random), clusters=clusters, resamples=1_000)

    def blind(random: np.random.Generator) -> Interval:
        return bootstrap(sample(random), resamples=1_000)

    assert covered(clustered, 0.5, 1_000) == pytest.approx(0.94, abs=0.02)
    assert covered(blind, 0.5, 500) < 0.75
    assert clustered(np.random.default_rng(0)).cases == 50


def test_repeats_of_a_case_are_as_its_mean() -> None:
    random = np.random.default_rng(6)
    a, b = random.random(120), random.random(120)
    cases = [f"case {at % 40}" for at in range(120)]
    clustered = paired_bootstrap(a, b, clusters=cases)
    means = paired_bootstrap(
        list(case_means(a, cases).values()), list(case_means(b, cases).values())
    )
    assert (clustered.mean, clustered.low, clustered.high) == pytest.approx(
        (means.mean, means.low, means.high)
    )
    assert case_means([1, 0, 1, 1], ["y", "x", "y", "x"]) == {"y": 1.0, "x": 0.5}


def test_another_statistic_than_the_mean() -> None:
    values = np.random.default_rng(7).normal(3, 1, 400)
    found = bootstrap(values, np.median, resamples=2_000)
    assert found.mean == np.median(values)
    theirs = stats.bootstrap(
        (values,), np.median, method="percentile", n_resamples=2_000, rng=np.random.default_rng(0)
    ).confidence_interval
    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high), abs=0.01)
    twice, each = np.repeat(values[:60], 2), list(range(60))
    clusters = [at for at in each for _ in range(2)]
    assert bootstrap(twice, np.mean, clusters=clusters).high == pytest.approx(
        float(np.quantile([np.mean(values[:60][drawn]) for drawn in DRAWN], 0.975)), abs=0.03
    )


DRAWN = np.random.default_rng(8).integers(60, size=(10_000, 60))


def test_the_unpaired_interval_is_that_of_welch_and_wider() -> None:
    random = np.random.default_rng(9)
    hard = random.random(60)
    a, b = hard + random.normal(0.05, 0.05, 60), hard + random.normal(0, 0.05, 60)
    expected = stats.ttest_ind(a, b[:25], equal_var=False).confidence_interval(0.95)
    found = unpaired_bootstrap(a, b[:25])
    width = expected.high - expected.low
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=0.05 * width)
    unpaired, paired = unpaired_bootstrap(a, b), paired_bootstrap(a, b)
    assert unpaired.within_noise and not paired.within_noise
    theory = math.sqrt((a.var() + b.var()) / (a - b).var())
    assert (unpaired.high - unpaired.low) / (paired.high - paired.low) == pytest.approx(
        theory, rel=0.05
    )


def test_memory_stays_small() -> None:
    a, b = np.random.default_rng(10).random((2, 12_000))
    tracemalloc.start()
    paired_bootstrap(a, b, resamples=2_000)
    paired_permutation(a, b, resamples=2_000)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20e6


# Newcombe, "Two-sided confidence intervals for the single proportion" (1998), table I, method 3.
@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_as_published(successes: int, n: int, low: float, high: float) -> None:
    found = wilson(successes, n)
    assert (found.low, found.high) == pytest.approx((low, high), abs=5e-5)
    assert found.mean == successes / n and found.cases == n


@given(st.integers(1, 2_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_is_that_of_scipy(counts: tuple[int, int]) -> None:
    theirs = stats.binomtest(*counts).proportion_ci(0.9, method="wilson")
    found = wilson(*counts, level=0.9)
    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high), abs=1e-12)
    assert 0 <= found.low <= found.mean <= found.high <= 1


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=80))
def test_mcnemar_is_the_test_of_a_coin(outcomes: list[tuple[bool, bool]]) -> None:
    a, b = zip(*outcomes, strict=True)
    found = mcnemar(a, b)
    assert found.only_a == outcomes.count((True, False))
    assert found.only_b == outcomes.count((False, True))
    assert (found.both, found.neither) == (
        outcomes.count((True, True)),
        outcomes.count((False, False)),
    )
    differ = found.only_a + found.only_b
    expected = stats.binomtest(found.only_a, differ).pvalue if differ else 1.0
    assert found.p == pytest.approx(expected)
    assert mcnemar(b, a).p == found.p


def test_signs_of_chance_are_all_signs() -> None:
    a = np.array([0.9, 0.4, 0.8, 0.7, 0.95, 0.3, 0.6, 0.85])
    b = np.array([0.5, 0.5, 0.4, 0.65, 0.6, 0.2, 0.6, 0.5])
    d = a - b
    sums = [abs(float(np.dot(signs, d))) for signs in itertools.product([1, -1], repeat=len(d))]
    exact = np.mean(np.array(sums) >= abs(d.sum()) - 1e-12)
    assert paired_permutation(a, b, resamples=100_000) == pytest.approx(exact, rel=0.05)
    theirs = stats.permutation_test((a, b), lambda x, y: np.mean(x - y), permutation_type="samples")
    assert exact == pytest.approx(theirs.pvalue)


def test_of_rights_and_wrongs_signs_of_chance_are_mcnemar() -> None:
    random = np.random.default_rng(11)
    a, b = random.random(400) < 0.6, random.random(400) < 0.55
    assert paired_permutation(a, b) == pytest.approx(mcnemar(a, b).p, abs=0.02)
    assert paired_permutation(a, a) == 1.0


def test_clusters_toss_one_coin() -> None:
    random = np.random.default_rng(12)
    means = random.normal(0.3, 1, 12)
    a, clusters = np.repeat(means, 10), [at for at in range(12) for _ in range(10)]
    zeros = np.zeros(120)
    honest = paired_permutation(a, zeros, clusters=clusters)
    assert honest == pytest.approx(paired_permutation(means, np.zeros(12)), abs=0.02)
    assert paired_permutation(a, zeros) < honest


def test_equivalence_of_means_is_two_tests_of_student() -> None:
    random = np.random.default_rng(13)
    b = random.random(60)
    a = b + random.normal(0.01, 0.1, 60)
    found = tost(a, b, 0.05)
    over = stats.ttest_1samp(a - b, -0.05, alternative="greater").pvalue
    under = stats.ttest_1samp(a - b, 0.05, alternative="less").pvalue
    assert found.p == pytest.approx(max(over, under))
    theirs = stats.ttest_rel(a, b).confidence_interval(0.9)
    assert (found.interval.low, found.interval.high) == pytest.approx((theirs.low, theirs.high))
    assert found.interval.level == 0.9
    assert tost(a, b, 0.05, clusters=range(60)).p == pytest.approx(found.p)
    assert not tost(a, b, 0.005).equivalent


def test_equivalence_of_clusters_of_equal_size_is_that_of_their_means() -> None:
    random = np.random.default_rng(14)
    cases = [at % 20 for at in range(80)]
    a = np.tile(random.normal(0.5, 0.1, 20), 4) + random.normal(0, 0.02, 80)
    b = np.full(80, 0.5)
    means = tost(list(case_means(a, cases).values()), np.full(20, 0.5), 0.1)
    assert tost(a, b, 0.1, clusters=cases).p == pytest.approx(means.p)


def test_equivalence_of_rates_as_published() -> None:
    # Bentur and others: airway responses of 21 children; the interval of Tango as given by
    # Fagerland, Lydersen and Laake, "Recommended tests and confidence intervals for paired
    # binomial proportions" (Statistics in Medicine 2014).
    a = [1] * 1 + [1] * 1 + [0] * 7 + [0] * 12
    b = [1] * 1 + [0] * 1 + [1] * 7 + [0] * 12
    found = tost(a, b, 0.5, level=0.975).interval
    assert (found.low, found.high) == pytest.approx((-0.517, -0.026), abs=6e-4)


def test_the_interval_of_equivalence_and_its_p_agree() -> None:
    random = np.random.default_rng(15)
    verdicts = set()
    for _ in range(200):
        both = random.random(80) < 0.7
        a, b = both ^ (random.random(80) < 0.06), both ^ (random.random(80) < 0.06)
        margin = float(random.uniform(0.02, 0.2))
        found = tost(a, b, margin)
        inside = -margin < found.interval.low and found.interval.high < margin
        assert found.equivalent == inside == (found.p < 0.05)
        verdicts.add(inside)
    assert verdicts == {True, False}


def test_rates_that_differ_by_the_margin_are_rarely_called_equivalent() -> None:
    random = np.random.default_rng(16)
    kinds = random.choice(3, p=[0.80, 0.06, 0.14], size=(4_000, 150))  # alike, only a, only b
    wrongly = [tost(each == 1, each == 2, 0.08).equivalent for each in kinds]
    assert np.mean(wrongly) < 0.06


def test_few_cases_alike_are_not_equivalence() -> None:
    assert not tost([1] * 5, [1] * 5, 0.02).equivalent
    assert not tost([0.5] * 148, [0.5] * 148, 0.02).equivalent
    assert tost([0.5] * 149, [0.5] * 149, 0.02).equivalent
    assert tost([1] * 149, [1] * 149, 0.02).p == pytest.approx(0.98**149)
    assert tost([0.5] * 5, [0.5] * 5, 2.0).equivalent  # seconds, say
    assert not tost([70.0] * 500, [70.0] * 500, 1).equivalent  # how far could they be apart?


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.7]) == [1.0, 1.0]


@given(P_VALUES)
def test_benjamini_hochberg_is_that_of_scipy(p_values: list[float]) -> None:
    assert benjamini_hochberg(p_values) == pytest.approx(
        list(stats.false_discovery_control(p_values))
    )


@given(P_VALUES)
def test_holm_lies_between_the_p_value_and_bonferroni(p_values: list[float]) -> None:
    for p, adjusted in zip(p_values, holm(p_values), strict=True):
        assert p <= adjusted <= min(1.0, p * len(p_values))
    order = np.argsort(p_values, kind="stable")
    assert (np.diff(np.array(holm(p_values))[order]) >= 0).all()


@pytest.mark.parametrize(
    ("low", "high", "margin", "better", "expected"),
    [
        (0.01, 0.05, None, "higher", "better"),
        (0.01, 0.05, None, "lower", "worse"),
        (-0.05, -0.01, None, "higher", "worse"),
        (-0.05, -0.01, 0.02, "lower", "better"),
        (-0.01, 0.05, None, "higher", "inconclusive"),
        (-0.01, 0.05, 0.02, "higher", "inconclusive"),
        (-0.01, 0.015, 0.02, "higher", "equivalent"),
        (0.005, 0.015, 0.02, "higher", "equivalent"),
        (0.005, 0.025, 0.02, "higher", "better"),
        (0.0, 0.0, None, "higher", "inconclusive"),
    ],
)
def test_the_word_for_an_interval(
    low: float, high: float, margin: float | None, better: str, expected: str
) -> None:
    found = Interval((low + high) / 2, low, high)
    assert verdict(found, margin, better) == expected  # type: ignore[arg-type]  # strings of a table


def test_few_cases_decide_nothing() -> None:
    assert verdict(paired_bootstrap([1.0], [0.0])) == "inconclusive"
    assert verdict(paired_bootstrap([1.0] * 5, [0.0] * 5)) == "inconclusive"
    assert verdict(paired_bootstrap([1.0] * 6, [0.0] * 6)) == "better"
    assert verdict(paired_bootstrap([1] * 148, [1] * 148), 0.02) == "inconclusive"
    assert verdict(paired_bootstrap([1] * 149, [1] * 149), 0.02) == "equivalent"
    assert verdict(Interval(0.03, 0.01, 0.05, 0.95), p=0.06) == "inconclusive"


def test_false_alarms_of_few_rights_and_wrongs() -> None:
    random = np.random.default_rng(17)
    kinds = random.choice(3, p=[0.8, 0.1, 0.1], size=(1_000, 20))
    words = [paired_comparison(each == 1, each == 2).verdict for each in kinds]
    assert np.mean([word != "inconclusive" for word in words]) <= 0.05


def test_a_comparison_at_once() -> None:
    random = np.random.default_rng(18)
    b = random.random(300)
    found = paired_comparison(b - 0.02 + random.normal(0, 0.05, 300), b, margin=0.005)
    assert found.verdict == "worse" and found.p < 0.01 and found.needed is None
    assert found.equivalence is not None and not found.equivalence.equivalent
    alike = paired_comparison(b + random.normal(0, 0.05, 300), b, margin=0.02)
    assert alike.verdict == "equivalent"
    unsure = paired_comparison(b + random.normal(0.003, 0.05, 300), b, margin=0.002)
    assert unsure.verdict == "inconclusive"
    assert unsure.needed is not None and unsure.needed > 300
    lower = paired_comparison(b - 0.02 + random.normal(0, 0.05, 300), b, better="lower")
    assert lower.verdict == "better" and lower.equivalence is None
    rights = paired_comparison(b > 0.3, b > 0.5, clusters=[at // 3 for at in range(300)])
    assert rights.difference.cases == 100


def test_how_many_cases_would_decide() -> None:
    d = np.random.default_rng(19).normal(0.02, 0.4, 200)
    found = paired_bootstrap(d, np.zeros(200))
    expected = cases_needed(found.mean, sd=float(d.std(ddof=1)))
    assert cases_to_decide(found) == pytest.approx(expected, rel=0.05)
    # No difference seen: the smaller of the two errors is half of 1 - power, on each side.
    even = Interval(0.0, -0.04, 0.04, 0.95, 500)
    sd = 0.04 / stats.norm.ppf(0.975) * math.sqrt(500)
    needed = ((stats.norm.ppf(0.95) + stats.norm.ppf(0.9)) * sd / 0.02) ** 2
    assert cases_to_decide(even, 0.02) == math.ceil(needed)
    assert cases_to_decide(even) is None
    assert cases_to_decide(Interval(0.0, 0.0, 0.0, 0.95, 10), 0.02) == 149
    # Those cases do decide, about as often as asked.
    random = np.random.default_rng(20)
    draws = random.normal(0, sd, (300, math.ceil(needed)))
    zeros = np.zeros(draws.shape[1])
    assert np.mean([tost(each, zeros, 0.02).equivalent for each in draws]) == pytest.approx(
        0.8, abs=0.07
    )


NAN = float("nan")


@pytest.mark.parametrize(
    ("refused", "message"),
    [
        (lambda: paired_bootstrap([], []), "0 and 0 scores make no pairs"),
        (lambda: paired_bootstrap([1.0], [1.0, 0.0]), "1 and 2 scores make no pairs"),
        (lambda: paired_permutation([1.0], []), "make no pairs"),
        (lambda: bootstrap([]), "there are no values"),
        (lambda: bootstrap([1.0, NAN]), "nan, number 2 of the values, is not a finite number"),
        (lambda: mcnemar([1, 0], [1, None]), "None, number 2 of the scores of b"),  # type: ignore[list-item]  # what a reader may pass
        (lambda: bootstrap(["1", "2"]), "'1', number 1"),  # type: ignore[list-item]  # the same
        (lambda: bootstrap([[1.0], [2.0, 3.0]]), "not one row of numbers"),  # type: ignore[list-item]  # the same
        (lambda: bootstrap([1.0], level=1.0), "1.0 is no level"),
        (lambda: bootstrap([1.0], level=NAN), "nan is no level"),
        (lambda: bootstrap([1.0], resamples=0), "0 is no number of resamples"),
        (lambda: bootstrap([1.0], seed=-1), "-1 is no number of a seed"),
        (lambda: bootstrap([1.0, 2.0], clusters=["x"]), "1 clusters are named for 2 values"),
        (lambda: bootstrap([1.0], clusters=[["x"]]), "a cluster has no name"),  # type: ignore[list-item]  # the same
        (lambda: wilson(3, 2), "3 of 2 cases cannot succeed"),
        (lambda: wilson(0, 0), "0 is no number of cases"),
        (lambda: wilson(math.nan, 3), "nan is no number of successes"),
        (lambda: wilson(1, math.inf), "inf is no number of cases"),
        (lambda: wilson("1", 3), "'1' is no number of successes"),  # type: ignore[arg-type]  # the same
        (lambda: mcnemar([0.5], [1.0]), "neither 0 nor 1"),
        (lambda: tost([1, 0], [0, 1], 0), "0 is no margin"),
        (lambda: tost([1, 0], [0, 1], 1), "1 is no margin of rates"),
        (lambda: tost([1, 0], [0, 1], 0.1, level=0.4), "no level of a test of equivalence"),
        (lambda: tost([1, 0], [0, 1], 0.1, clusters=["x", "x"]), "one cluster alone"),
        (lambda: holm([]), "there are no p-values"),
        (lambda: benjamini_hochberg([0.5, 1.5]), "1.5 is no p-value"),
        (lambda: verdict(Interval(0, 0, 0), -0.1), "-0.1 is no margin"),
        (lambda: verdict(Interval(0, 0, 0), better="up"), "better is 'up'"),  # type: ignore[arg-type]  # the same
        (lambda: cases_to_decide(Interval(0.1, 0, 0.2)), "does not say on how many cases"),
        (lambda: power(0.1, 50), "which test is meant"),
        (lambda: power(0.1, 50, sd=1, discordant=0.2), "which test is meant"),
        (lambda: power(0.1, 1, sd=1), "1 is no number of cases"),
        (lambda: power(0.1, 50, sd=0), "no standard deviation"),
        (lambda: power(0.3, 50, discordant=0.2), "more than the cases that differ"),
        (lambda: cases_needed(0, sd=1), "no number of cases shows a difference of 0"),
        (lambda: cases_needed(1e-6, sd=1), "takes more than 100,000,000 cases"),
        (lambda: SequentialComparison().add(a=1.5), "1.5 is no outcome"),
        (lambda: SequentialComparison().add(b=NAN), "nan is no outcome"),
        (lambda: SequentialComparison(level=0), "0 is no level"),
        (lambda: SequentialComparison(margin=0), "0 is no margin"),
    ],
)
def test_what_cannot_be_is_refused(refused: Callable[[], object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        refused()


def test_clusters_of_one_are_no_clusters() -> None:
    values = np.random.default_rng(0).random(40).tolist()
    names = [f"c{at}" for at in range(40)]
    for statistic in (None, np.median):
        alone = bootstrap(values, statistic, resamples=500, clusters=names)
        assert alone == bootstrap(values, statistic, resamples=500)
    assert paired_bootstrap(values, values[::-1], clusters=names) == paired_bootstrap(
        values, values[::-1]
    )
    with pytest.raises(UsageError, match="clusters are named for"):
        bootstrap(values, np.median, clusters=names[1:])


def test_one_score_that_differs_by_a_hair_is_no_equivalence() -> None:
    for count in (3, 5, 20, 50, 130):
        a = [1.0] * (count - 1) + [0.999]
        assert not tost(a, [1.0] * count, 0.02).equivalent
        found = paired_comparison(a, [1.0] * count, margin=0.02)
        assert found.verdict == "inconclusive"
        assert verdict(found.difference, 0.02) == "inconclusive"
    assert tost([1.0] * 199 + [0.999], [1.0] * 200, 0.02).equivalent


@pytest.mark.parametrize("count", [20, 100, 300])
def test_scores_that_differ_by_the_margin_are_rarely_called_equivalent(count: int) -> None:
    random = np.random.default_rng(21)

    def once() -> bool:
        """One case in fifty drops to 0, all others hardly change."""
        before = random.beta(5, 2, count)
        after = np.clip(before + random.normal(0, 0.002, count), 0, 1)
        after[random.random(count) < 0.02] = 0
        return tost(after, before, 0.02 * 5 / 7).equivalent

    assert np.mean([once() for _ in range(80)]) <= 0.05


def test_repeats_of_a_case_do_not_make_it_equivalent() -> None:
    cases = [at // 10 for at in range(500)]
    a = np.random.default_rng(22).normal(0.5, 0.002, 500)
    assert tost(a, [0.5] * 500, 0.02).equivalent
    assert not tost(a, [0.5] * 500, 0.02, clusters=cases).equivalent


def test_the_interval_of_equivalent_scores_and_its_p_agree() -> None:
    random = np.random.default_rng(23)
    verdicts = set()
    for _ in range(60):
        a = np.clip(0.5 + random.normal(0, 0.1, 150), 0, 1)
        margin = float(random.uniform(0.02, 0.08))
        found = tost(a, [0.5] * 150, margin)
        inside = -margin < found.interval.low and found.interval.high < margin
        assert found.equivalent == inside == (found.p < 0.05)
        verdicts.add(found.equivalent)
    assert verdicts == {True, False}


@pytest.mark.parametrize("count", [5, 10, 20, 30])
def test_means_between_bounds_hold_the_truth(count: int) -> None:
    random = np.random.default_rng(24)

    def held() -> bool:
        scores = np.where(random.random(count) < 0.95, 1.0, random.random(count))
        found = bounded_mean(scores)
        return found.low <= 0.975 <= found.high

    assert np.mean([held() for _ in range(150)]) >= 0.95


def test_a_bounded_mean_is_that_of_clopper_and_pearson_where_all_are_alike() -> None:
    found = bounded_mean([1.0] * 20)
    assert found.high == 1.0 and found.low == pytest.approx(0.025 ** (1 / 20), abs=0.01)
    assert bounded_mean([1.0] * 26 + [0.999]).low < 0.9
    assert bounded_mean([85] * 20, low=0, high=100).low == pytest.approx(100 * 0.85 * 0.83, abs=1)
    assert bounded_mean([0.2, 0.4], seed=1) == bounded_mean([0.2, 0.4], seed=1)
    with pytest.raises(UsageError, match="not all between 0 and 1"):
        bounded_mean([85.0])


def test_a_bounded_mean_of_many_cases_is_that_of_the_bootstrap() -> None:
    scores = np.random.default_rng(25).beta(2, 1, 20_000)
    wide, narrow = bounded_mean(scores), bootstrap(scores, resamples=1_000)
    assert wide.low == pytest.approx(narrow.low, abs=1e-3)
    assert wide.high == pytest.approx(narrow.high, abs=1e-3)
    clusters = [at // 2 for at in range(20_000)]
    twice, once = bounded_mean(np.repeat(scores[:200], 2), clusters=clusters[:400]), scores[:200]
    assert (twice.cases, twice.low) == (200, pytest.approx(bounded_mean(once).low))

"""How many cases it takes: against scipy, published numbers, sums over all outcomes, simulation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from onrecord.evaluation.statistics import (
    cases_needed,
    mcnemar,
    minimum_detectable_effect,
    power,
)


def test_power_of_means_as_published() -> None:
    # Paired, two-sided, alpha .05, power .80: Cohen (1988) and G*Power give 34, 199 and 15.
    assert [cases_needed(d, sd=1) for d in (0.5, 0.2, 0.8)] == [34, 199, 15]
    assert power(0.5, 34, sd=1) == pytest.approx(0.8077775, abs=1e-6)


@given(
    st.floats(0.01, 3), st.integers(2, 200), st.floats(0.1, 5), st.sampled_from([0.9, 0.95, 0.99])
)
def test_power_of_means_is_that_of_scipy(
    effect: float, cases: int, sd: float, level: float
) -> None:
    bound = stats.t.ppf((1 + level) / 2, cases - 1)
    expected = stats.nct.sf(bound, cases - 1, effect * np.sqrt(cases) / sd)
    found = power(effect, cases, sd=sd, level=level)
    assert expected - 1e-6 <= found <= 1.0  # and the wrong side, which is little
    assert found == pytest.approx(power(-effect, cases, sd=sd, level=level))


def test_power_of_means_far_out() -> None:
    for cases in (2, 3, 10, 1_000, 10**8):
        found = [power(effect, cases, sd=1) for effect in (1e-9, 0.1, 1, 3, 10, 100, 1e9)]
        assert all(0.04 < each <= 1 for each in found) and found == sorted(found)


def test_power_of_means_where_scipy_has_no_number() -> None:
    assert power(2.0, 108, sd=0.5625) == 1.0


def test_power_of_rates_is_the_sum_over_all_outcomes() -> None:
    cases, effect, discordant = 25, 0.25, 0.45
    shares = [(discordant + effect) / 2, (discordant - effect) / 2, 1 - discordant]
    total = 0.0
    for a in range(cases + 1):
        for b in range(cases + 1 - a):
            p = stats.binomtest(a, a + b).pvalue if a + b else 1.0
            if p <= 0.05:
                total += stats.multinomial.pmf([a, b, cases - a - b], cases, shares)
    assert power(effect, cases, discordant=discordant) == pytest.approx(total, abs=1e-9)


def test_power_of_rates_in_simulation() -> None:
    kinds = np.random.default_rng(0).choice(3, p=[0.75, 0.17, 0.08], size=(4_000, 200))
    shown = [mcnemar(each == 1, each == 2).p <= 0.05 for each in kinds]
    assert power(0.09, 200, discordant=0.25) == pytest.approx(np.mean(shown), abs=0.025)


def test_no_effect_is_shown_as_often_as_a_false_alarm_is_allowed() -> None:
    assert power(0.0, 50, sd=1) == pytest.approx(0.05, abs=1e-6)
    assert 0.03 < power(0.0, 2_000, discordant=0.3) <= 0.05


@pytest.mark.parametrize("spread", [{"sd": 0.4}, {"discordant": 0.2}])
@pytest.mark.parametrize("cases", [100, 1_000, 20_000])
def test_the_smallest_effect_is_shown_with_the_power_asked_for(
    spread: dict[str, float], cases: int
) -> None:
    effect = minimum_detectable_effect(cases, power=0.9, **spread)
    assert effect is not None
    assert power(effect, cases, **spread) == pytest.approx(0.9, abs=1e-6)
    assert cases_needed(effect, power=0.9, **spread) == pytest.approx(cases, rel=0.02)


def test_what_no_effect_would_show() -> None:
    assert minimum_detectable_effect(5, discordant=0.3) is None
    assert power(0.3, 5, discordant=0.3) == 0.0


def test_cases_for_rates_and_means_agree_where_there_are_many() -> None:
    # Rights and wrongs that differ in 20 % of cases have the spread sqrt(.2 - .02 ** 2).
    rates, means = cases_needed(0.02, discordant=0.2), cases_needed(0.02, sd=0.1996**0.5)
    assert means < rates == pytest.approx(means, rel=0.03)  # the exact test is the careful one

"""Before measuring: how many cases it takes to see a difference, and which can be seen."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from onrecord.errors import UsageError
from onrecord.evaluation.inference.intervals import student_quantile
from onrecord.evaluation.inference.samples import Numbers, between, level_of, whole


def power(
    effect: float,
    cases: int,
    *,
    sd: float | None = None,
    discordant: float | None = None,
    level: float = 0.95,
) -> float:
    """How likely `cases` cases show a difference in means that is truly `effect`.

    Give one of two: `sd`, the standard deviation of the differences case by case, for scores; or
    `discordant`, the share of cases where one is right and the other wrong, for rights and wrongs.
    Both are read off an earlier comparison. Scores: the two-sided paired t-test (noncentral t, so
    differences about normal). Rights and wrongs: the exact test of McNemar, its power summed over
    how many cases may differ; as that test is, it is careful for few.

    Raises UsageError for neither or both, an effect that is larger than `discordant`, fewer than 2
    cases, an sd of 0 or less, a level outside (0, 1).

    Cohen, "Statistical Power Analysis for the Behavioral Sciences" (1988), chapter 2; Miettinen,
    "The matched pairs design in the case of all-or-none responses" (Biometrics 1968); of NLP: Card
    et al., "With little power comes great responsibility" (EMNLP 2020).
    """
    return _test(sd, discordant, level)(effect, whole(cases, "cases", 2))


def minimum_detectable_effect(
    cases: int,
    *,
    sd: float | None = None,
    discordant: float | None = None,
    power: float = 0.8,
    level: float = 0.95,
) -> float | None:
    """The smallest true difference that `cases` cases show with the probability `power`.

    The other arguments are those of `power`. None where not even the largest would be shown: of
    rights and wrongs it is `discordant`, all differing cases going one way.
    """
    test, cases = _test(sd, discordant, level), whole(cases, "cases", 2)
    _power_asked(power, level)
    if discordant is not None:
        most = discordant
        if test(most, cases) < power:
            return None
    else:
        most = float(sd or 0)
        while test(most, cases) < power:
            most *= 2
    low, high = 0.0, most
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if test(middle, cases) < power else (low, middle)
    return high


def cases_needed(
    effect: float,
    *,
    sd: float | None = None,
    discordant: float | None = None,
    power: float = 0.8,
    level: float = 0.95,
) -> int:
    """How many cases show a true difference of `effect` with the probability `power`.

    The other arguments are those of `power`. Where nearly all cases differ, the power of the exact
    test goes up and down from one number of cases to the next; then some fewer may do as well.
    Raises UsageError also for an effect of 0, which no
    number of cases shows, and where it takes more than a hundred million.
    """
    test = _test(sd, discordant, level)
    _power_asked(power, level)
    if effect == 0:
        raise UsageError(
            "no number of cases shows a difference of 0",
            cure="Give the smallest difference that would matter; that two are equal is for tost.",
        )
    enough = 2
    while test(effect, enough) < power:
        enough *= 2
        if enough > _MOST:
            raise UsageError(
                f"a difference of {effect:g} takes more than {_MOST:,} cases",
                cure="Ask for a larger difference.",
            )
    short = enough // 2
    while enough - short > 1:
        middle = (short + enough) // 2
        short, enough = (middle, enough) if test(effect, middle) < power else (short, middle)
    return enough


_Test = Callable[[float, int], float]
_MOST = 100_000_000


def _test(sd: float | None, discordant: float | None, level: float) -> _Test:
    """The power of the test that is meant, by effect and number of cases."""
    alpha = 1 - level_of(level)
    if (sd is None) == (discordant is None):
        raise UsageError(
            "which test is meant is not said",
            cure="Give sd= for scores, or discordant= for rights and wrongs; one of them.",
        )
    if sd is not None:
        spread = between(sd, "standard deviation", 0.0, math.inf)
        return lambda effect, cases: _of_means(_finite(effect), cases, spread, alpha)
    share = between(discordant or 0.0, "share of cases that differ", 0.0, 1.0, closed=True)
    return lambda effect, cases: _of_rates(_finite(effect), cases, share, alpha)


def _of_means(effect: float, cases: int, sd: float, alpha: float) -> float:
    from scipy.special import nctdtr

    freedom = cases - 1
    away = min(abs(effect) * math.sqrt(cases) / sd, 1e6)  # further than scipy computes it
    bound = student_quantile(1 - alpha / 2, freedom)
    # The wrong side is below 1e-6 from 5 on, and soon further out than scipy computes it.
    wrong_side = float(nctdtr(freedom, away, -bound)) if away < 5 else 0.0
    # Far out it is below what a float holds, where scipy sometimes gives NaN.
    return 1 - float(np.nan_to_num(nctdtr(freedom, away, bound))) + wrong_side


def _of_rates(effect: float, cases: int, discordant: float, alpha: float) -> float:
    from scipy.special import bdtr, gammaln, xlog1py, xlogy

    if abs(effect) > discordant:
        raise UsageError(
            f"a difference of {effect:g} is more than the cases that differ, {discordant:g}",
            cure="The effect is at most `discordant`, where all of them go one way.",
        )
    # Of how many cases may differ, all that are not out of the question.
    about, far = cases * discordant, 10 * math.sqrt(cases * discordant * (1 - discordant)) + 10
    differ = np.arange(max(0, int(about - far)), min(cases, int(about + far)) + 1)
    log_odds = gammaln(cases + 1) - gammaln(differ + 1) - gammaln(cases - differ + 1)
    log_odds += xlogy(differ, discordant) + xlog1py(cases - differ, -discordant)
    fewest = _fewest(differ, alpha)
    share = (discordant + abs(effect)) / (2 * discordant)  # of them in favour of the better
    shown = np.where(
        fewest < 0,
        0.0,
        bdtr(np.maximum(fewest, 0), differ, share) + bdtr(np.maximum(fewest, 0), differ, 1 - share),
    )
    return min(1.0, float(np.exp(log_odds) @ shown))


def _fewest(tosses: np.ndarray[tuple[int], np.dtype[np.int64]], alpha: float) -> Numbers:
    """The most heads of the rarer side at which a fair coin is refuted; -1 where at none."""
    from scipy.special import bdtr, bdtrik

    guess = np.floor(np.nan_to_num(bdtrik(alpha / 2, tosses, 0.5), nan=-1.0))
    found = np.full(len(tosses), -1.0)
    for heads in (guess - 1, guess, guess + 1):  # the inverse may be one off
        refuted = (heads >= 0) & (bdtr(np.maximum(heads, 0), tosses, 0.5) <= alpha / 2)
        found = np.where(refuted, heads, found)
    return found


def _finite(effect: float) -> float:
    return between(effect, "effect", -math.inf, math.inf)


def _power_asked(power: float, level: float) -> None:
    between(power, "power", 1 - level, 1.0)

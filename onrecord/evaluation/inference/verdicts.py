"""What a difference means, in one word, and how many cases would settle it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import msgspec
import numpy as np

from onrecord.errors import UsageError
from onrecord.evaluation.inference.intervals import Interval, normal_below, normal_quantile
from onrecord.evaluation.inference.paired import (
    Equivalence,
    are_shares,
    mcnemar,
    tost,
    unseen_share,
)
from onrecord.evaluation.inference.resampling import (
    Clusters,
    paired_bootstrap,
    paired_permutation,
)
from onrecord.evaluation.inference.samples import between, pairs

Better = Literal["higher", "lower"]
Verdict = Literal["better", "worse", "equivalent", "inconclusive"]


class PairedComparison(msgspec.Struct, frozen=True):
    """Two sets of scores of the same cases: how far apart, how sure, and what that means.

    `p` is of no difference; `equivalence` is None without a margin; `needed` is how many cases
    would likely decide, None where it is decided, or no number would.
    """

    difference: Interval
    p: float
    equivalence: Equivalence | None
    verdict: Verdict
    needed: int | None


def paired_comparison(
    a: Sequence[float],
    b: Sequence[float],
    *,
    margin: float | None = None,
    better: Better = "higher",
    level: float = 0.95,
    seed: int = 0,
    clusters: Clusters = None,
) -> PairedComparison:
    """Everything about the difference of `a` to `b`, scores of the same cases, at once.

    The interval is `paired_bootstrap`; p that of `mcnemar` where all scores are 0 or 1 and there
    are no clusters, else of `paired_permutation`; with a margin, equivalence is `tost`; the word is
    that of `verdict` given all three. Raises UsageError for what these refuse.
    """
    difference = paired_bootstrap(a, b, seed=seed, level=level, clusters=clusters)
    rights = clusters is None and bool(np.isin(np.concatenate([a, b]), (0, 1)).all())
    p = mcnemar(a, b).p if rights else paired_permutation(a, b, seed=seed, clusters=clusters)
    equivalence = None if margin is None else tost(a, b, margin, level=level, clusters=clusters)
    word = verdict(difference, margin, better, p=p, equivalence=equivalence)
    needed = None
    if word == "inconclusive":
        bounded = not rights and all(map(are_shares, pairs(a, b)))
        needed = cases_to_decide(difference, margin, bounded=bounded)
    return PairedComparison(difference, p, equivalence, word, needed)


def verdict(
    difference: Interval,
    margin: float | None = None,
    better: Better = "higher",
    *,
    p: float | None = None,
    equivalence: Equivalence | None = None,
) -> Verdict:
    """A difference in one word: "better", "worse", "equivalent" or "inconclusive". In this order:

    1. "equivalent": a margin is given, and `equivalence` (what `tost` found) says so; without it,
       the interval lies inside (-margin, margin), and there are so many cases that a share as large
       as what is left of the margin would have shown (149 for 0.02, of scores in [0, 1]). Better
       give it: an interval knows nothing of rare cases. This comes first: a margin says what does
       not matter, so a difference that is real but certainly smaller is equivalent.
    2. "better" or "worse": the interval leaves out 0; where `p` is given it is also at most 1 -
       level, which is the careful one of the two for few cases.
    3. "inconclusive": the cases do not tell. It does not mean that there is no difference.

    Of an interval that says on how few `cases` it rests, 2 needs as many as could decide if all
    went one way (6 at the level 0.95: 2 ^ (1 - 6) < 0.05). `better` says whether higher or lower
    scores are better. Raises UsageError for a margin of 0 or less, or another `better`.
    """
    if better not in ("higher", "lower"):
        raise UsageError(f"better is {better!r}", cure='It is "higher" or "lower".')
    if margin is not None:
        margin = between(margin, "margin", 0.0, math.inf)
        inside = -margin < difference.low and difference.high < margin
        if equivalence is not None:
            inside = equivalence.equivalent
        elif inside and difference.cases:
            unseen = unseen_share(difference.cases, difference.level)
            inside = abs(difference.mean) + unseen < margin
        if inside:
            return "equivalent"
    if difference.within_noise or (p is not None and p > 1 - difference.level):
        return "inconclusive"
    if 0 < difference.cases < _fewest(difference.level):
        return "inconclusive"
    return "better" if (difference.low > 0) == (better == "higher") else "worse"


def cases_to_decide(
    difference: Interval,
    margin: float | None = None,
    *,
    power: float = 0.8,
    bounded: bool = False,
) -> int | None:
    """About how many cases like these would decide, in all, with the probability `power`.

    It supposes that the difference and the spread stay as they look now, so it is a first estimate,
    and for few cases a rough one: a difference that looks large by luck asks for too few. With a
    margin it is what the easier of the two takes: that there is a difference, or that it is inside
    the margin; the second takes more of scores in [0, 1] that are not only 0 and 1 (`bounded`). Of
    clusters it is a number of clusters. None where no number would: the difference is exactly 0 and
    no margin is given.

    Raises UsageError for an interval that does not say on how many cases it rests, a margin of 0 or
    less, a power outside (0, 1). Normal approximation: Cohen (1988); of equivalence: Julious,
    "Sample sizes for clinical trials with normal data" (Statistics in Medicine 2004).
    """
    between(power, "power", 0.0, 1.0)
    if not difference.cases:
        raise UsageError(
            "the interval does not say on how many cases it rests",
            cure="Give one of paired_bootstrap or bootstrap, which does.",
        )
    level, mean = difference.level, abs(difference.mean)
    two_sided = normal_quantile((1 + level) / 2)
    sd = (difference.high - difference.low) / 2 / two_sided * math.sqrt(difference.cases)
    found: list[int] = []
    if mean:
        found.append(math.ceil(((two_sided + normal_quantile(power)) * sd / mean) ** 2))
    if margin is not None and mean < between(margin, "margin", 0.0, math.inf):
        if sd:
            found.append(_for_equivalence(mean, sd, margin, level, power, bounded))
        elif margin - mean < 1:
            found.append(math.ceil(math.log(1 - level) / math.log(1 - (margin - mean))))
    return max(min(found), _fewest(level)) if found else None


def _for_equivalence(
    mean: float, sd: float, margin: float, level: float, power: float, bounded: bool
) -> int:
    """The cases at which two one-sided tests find what is truly `mean` inside the margin, or where
    scores are bounded, inside what the share that none of the cases shows leaves of it."""
    one_sided = normal_quantile(level)

    def reached(cases: int) -> bool:
        error = sd / math.sqrt(cases)
        left = margin - unseen_share(cases, level) if bounded else margin
        below = normal_below((left - mean) / error - one_sided)
        above = normal_below((left + mean) / error - one_sided)
        return below + above - 1 >= power

    enough = 1
    while not reached(enough):
        enough *= 2
    short = enough // 2
    while enough - short > 1:
        middle = (short + enough) // 2
        short, enough = (short, middle) if reached(middle) else (middle, enough)
    return enough


def _fewest(level: float) -> int:
    """The cases of which, all going one way, a coin would not do that too often."""
    return math.ceil(1 + math.log2(1 / (1 - level)))

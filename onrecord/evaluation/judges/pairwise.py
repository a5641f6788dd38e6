"""Two answers to one case, compared in both orders."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Literal

import msgspec

from onrecord.errors import UsageError
from onrecord.evaluation.experiments.pairing import matched
from onrecord.evaluation.judges.asking import Place
from onrecord.evaluation.judges.many import many
from onrecord.evaluation.scoring import failure, is_its_own
from onrecord.evaluation.statistics import Interval, bounded_mean
from onrecord.evaluation.trial import Trial
from onrecord.records.call import call
from onrecord.records.record import plain

if TYPE_CHECKING:
    from onrecord.evaluation.experiments.report import Report
    from onrecord.evaluation.judges.judge import Judge

Ask = Callable[[Trial, Trial], Awaitable[tuple[Place, str]]]


class Preference(msgspec.Struct, frozen=True, kw_only=True):
    """Which of two answers to a case is better: "a", "b" or a tie.

    `consistent`: both orders said the same; where they do not, it is a tie. `places`: what was said
    with `a` first, then with `b` first; `reasons` alike. Both are empty where nobody was asked,
    because an application had failed. `error`: why there is no verdict (then None).
    """

    case: str
    repeat: int = 0
    verdict: Literal["a", "b", "tie"] | None
    consistent: bool = True
    places: tuple[Place, ...] = ()
    reasons: tuple[str, ...] = ()
    error: str | None = None


class Preferences(msgspec.Struct, frozen=True, kw_only=True):
    """How often the answers of one report were preferred to those of another.

    `rate`: the share of pairs that `after` won, a tie as half of one, with its interval: above 0.5
    it is better. `inconsistent` ties are those where the verdict changed with the order; `errors`
    have none and do not count. `first`: of the single verdicts that were no tie, the share that
    went to the answer shown first: far from 0.5, the judge goes by place.
    """

    judge: str
    version: str
    pairs: tuple[Preference, ...]
    wins: int
    losses: int
    ties: int
    inconsistent: int
    errors: int
    rate: Interval
    first: float | None
    only_before: int = 0
    only_after: int = 0

    def __str__(self) -> str:
        low, high = 100 * self.rate.low, 100 * self.rate.high
        said = (
            f"after wins {100 * self.rate.mean:.1f} % [{low:.1f}, {high:.1f}]: {self.wins:,} won, "
            f"{self.losses:,} lost, {self.ties:,} ties, which count half ({self.inconsistent:,} "
            "because the verdict changed with the order)"
        )
        return said + (f", {self.errors:,} without a verdict" if self.errors else "")


async def preference(ask: Ask, a: Trial, b: Trial) -> Preference:
    """The verdict of both orders; what fails as the model answers is an `error` of it. Raises
    UsageError, LimitError."""
    if a.error is not None or b.error is not None:
        both = a.error is not None and b.error is not None
        return Preference(
            case=a.case,
            repeat=a.repeat,
            verdict="tie" if both else "b" if a.error is not None else "a",
        )
    # Both to their end: a failure of one must not leave the other running.
    answers = await asyncio.gather(ask(a, b), ask(b, a), return_exceptions=True)
    failed = [each for each in answers if isinstance(each, BaseException)]
    if failed:
        worst = next((each for each in failed if _ends_all(each)), None)
        if worst is not None:
            raise worst
        return _without(a, failed[0])
    (one, why), (two, why_two) = [each for each in answers if not isinstance(each, BaseException)]
    consistent = two == _OTHER[one]
    return Preference(
        case=a.case,
        repeat=a.repeat,
        verdict=_WINS[one] if consistent else "tie",
        consistent=consistent,
        places=(one, two),
        reasons=(why, why_two),
    )


def _ends_all(error: BaseException) -> bool:
    return isinstance(error, UsageError) or not is_its_own(error)


def _without(a: Trial, error: BaseException) -> Preference:
    return Preference(case=a.case, repeat=a.repeat, verdict=None, error=failure(error))


async def preferences(
    judge: Judge, before: Report, after: Report, intersection: bool, concurrent: int
) -> Preferences:
    """Every pair of two reports, on one record."""
    pairs = matched(before, after, intersection=intersection)
    asked = {"judge": plain(judge.card), "before": before.run, "after": after.run}
    with call("flow", "compare by judge", asked, version=judge.version) as this:

        async def ask(pair: tuple[Trial, Trial]) -> Preference:
            try:
                return await judge.prefer(*pair)
            except UsageError as error:  # of one pair: another one may fit
                return _without(pair[0], error)

        found = await many(ask, pairs, judge.name, concurrent)
        result = _summary(judge, found, len(before) - len(pairs), len(after) - len(pairs))
        this.output = result
    return result


def _summary(
    judge: Judge, pairs: Sequence[Preference], only_before: int, only_after: int
) -> Preferences:
    decided = [each for each in pairs if each.verdict is not None]
    if not decided:
        raise UsageError(
            f"the judge has a verdict on none of {len(pairs):,} pairs",
            where=judge.name,
            cure=f"The first error: {pairs[0].error}",
        )
    places = [place for each in pairs for place in each.places if place != "tie"]
    verdicts = [each.verdict for each in decided]
    return Preferences(
        judge=judge.name,
        version=judge.version,
        pairs=tuple(pairs),
        wins=verdicts.count("b"),
        losses=verdicts.count("a"),
        ties=verdicts.count("tie"),
        inconsistent=sum(not each.consistent for each in decided),
        errors=len(pairs) - len(decided),
        rate=_rate(decided),
        first=places.count("first") / len(places) if places else None,
        only_before=only_before,
        only_after=only_after,
    )


def _rate(pairs: Sequence[Preference]) -> Interval:
    """The mean of 1 for a win, ½ for a tie, 0 for a loss. Its interval has a width also where all
    pairs went one way; of cases that are repeated, whole cases are drawn."""
    values = [_WORTH[each.verdict or "tie"] for each in pairs]
    cases = [each.case for each in pairs]
    repeated = len(set(cases)) < len(cases)
    return bounded_mean(values, clusters=cases if repeated else None)


_OTHER: dict[Place, Place] = {"first": "second", "second": "first", "tie": "tie"}
_WINS: dict[Place, Literal["a", "b", "tie"]] = {"first": "a", "second": "b", "tie": "tie"}
_WORTH = {"a": 0.0, "tie": 0.5, "b": 1.0}

"""A measure: what one score comes to over all trials."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Literal

import msgspec

from onrecord.evaluation.scoring import ERROR, LOWEST, Better, Facts
from onrecord.evaluation.statistics import Interval, bootstrap, bounded_mean, wilson
from onrecord.evaluation.trial import Score, Trial, Value

MeasureKind = Literal["rate", "mean", "labels", "overall"]


class Measure(msgspec.Struct, frozen=True, omit_defaults=True):
    """One score over all trials.

    `count`: the trials that it was made of. `failed`: those of them in which the application failed
    and that count the scorer's `worst`. `missing`: those that it does not apply to, or that failed
    and count nothing. `errors`: those in which the scorer itself failed. `mixed`: what the scorer
    gave where that was not always of one kind, and how often. `lowest`: what a failed trial
    counts where that is below 0, because some trial got so little. Of labels there is no
    `interval`, but how often each was given. What is "overall" is no mean over trials.
    """

    name: str
    kind: MeasureKind
    count: int
    failed: int = 0
    missing: int = 0
    errors: int = 0
    better: Better = "higher"
    interval: Interval | None = None
    labels: dict[str, int] = {}
    mixed: dict[str, int] = {}
    lowest: float = 0.0

    @property
    def note(self) -> str:
        """What is odd about it: kinds that are mixed, for no number is made of all of them; and
        what a failure counts where that is not 0."""
        said = []
        if self.mixed:
            kinds = " and ".join(
                f"{count:,} {kind if count > 1 else kind.removesuffix('s')}"
                for kind, count in self.mixed.items()
            )
            end = "the labels are counted" if self.kind == "labels" else "a flag counts 1 or 0"
            said.append(f"the scorer gave {kinds}: {end}")
        if self.lowest:
            said.append(f"a failed trial counts {self.lowest:.4g}, the lowest that any got")
        return "; ".join(said)

    @property
    def mean(self) -> float | None:
        """The mean; None of labels, and where nothing was scored."""
        return self.interval.mean if self.interval is not None else None


def given_by(facts: Facts, names: Iterable[str], trials: Iterable[Trial]) -> list[str]:
    """Which of the measures are a scorer's. What one of several measures raised, or that it does
    not apply, stands under its own name, which is then no measure beside the others."""
    given = [each for each in names if facts.gave(each)]
    if len(given) > 1 and facts.name in given:
        own = (each.scores[facts.name] for each in trials if facts.name in each.scores)
        if all(each.value is None for each in own):
            given.remove(facts.name)
    return given or [facts.name]


def number(trial: Trial, name: str, worst: float | None) -> float | None:
    """The number that a trial counts in a measure; None where it counts nothing."""
    if name == ERROR:
        return float(trial.error is not None)
    score = trial.scores.get(name)
    if score is None or score.value is None:
        return worst if trial.error is not None else None
    return None if isinstance(score.value, str) else float(score.value)


def worst_in(name: str, facts: Facts, trials: Iterable[Trial]) -> float | None:
    """What a failed trial counts in a measure, beside these trials."""
    worst = facts.worst_of(name)
    if worst != LOWEST:
        return worst
    given = (number(each, name, None) for each in trials)
    return min((0.0, *(each for each in given if each is not None)))


def rate_of_errors(trials: Sequence[Trial], seed: int) -> Measure:
    """In how many trials the application failed."""
    failed = [(each.case, float(each.error is not None)) for each in trials]
    interval = _interval(failed, seed, is_rate=True)
    return Measure(ERROR, "rate", len(trials), better="lower", interval=interval)


def measured(name: str, facts: Facts, trials: Sequence[Trial], seed: int) -> Measure:
    """What a score comes to over trials; `facts` are those of its scorer."""
    answered = [each.scores for each in trials if each.error is None]
    scores = [each.get(name, _NONE) for each in answered]
    given = [each.value for each in scores if each.value is not None]
    # What a scorer of several measures raised stands under its own name.
    own = scores if name == facts.name else [each.get(facts.name, _NONE) for each in answered]
    errors = sum(
        one.error is not None or other.error is not None
        for one, other in zip(scores, own, strict=True)
    )
    if any(isinstance(each, str) for each in given):
        return _labels(name, given, len(trials), errors)
    worst = worst_in(name, facts, trials)
    is_rate = all(isinstance(each, bool) for each in given)
    if not given:  # every trial failed: all of them count 0, which is a rate
        is_rate = worst in (0, 1)
    numbers = [(each.case, number(each, name, worst)) for each in trials]
    counted = [(case, value) for case, value in numbers if value is not None]
    failed = len(counted) - len(given)
    return Measure(
        name,
        "rate" if is_rate else "mean",
        len(counted),
        failed=failed,
        missing=len(trials) - len(counted) - errors,
        errors=errors,
        better=facts.better_of(name),
        interval=_interval(counted, seed, is_rate),
        mixed=_mixed(given),
        lowest=worst if failed and worst and facts.worst_of(name) == LOWEST else 0.0,
    )


def _labels(name: str, given: Sequence[Value], trials: int, errors: int) -> Measure:
    labels = Counter(map(str, given))  # a number among labels is one of them
    return Measure(
        name,
        "labels",
        labels.total(),
        missing=trials - labels.total() - errors,
        errors=errors,
        better=None,
        labels=dict(sorted(labels.items(), key=lambda item: (-item[1], item[0]))),
        mixed=_mixed(given),
    )


def _mixed(given: Sequence[Value]) -> dict[str, int]:
    """How often each kind was given, where there were several."""
    kinds: Counter[str] = Counter()
    for each, count in Counter(map(type, given)).items():
        is_flag, is_label = issubclass(each, bool), issubclass(each, str)
        kinds["flags" if is_flag else "labels" if is_label else "numbers"] += count
    return dict(sorted(kinds.items())) if len(kinds) > 1 else {}


def _interval(counted: Sequence[tuple[str, float]], seed: int, is_rate: bool) -> Interval | None:
    """Of what cases count: Wilson's of a rate whose cases were answered once; else that of a mean
    between 0 and 1 where all lie there, or a bootstrap. Whole cases are drawn."""
    if not counted:
        return None
    cases, values = [case for case, _ in counted], [value for _, value in counted]
    repeated = len(set(cases)) < len(cases)
    clusters = cases if repeated else None
    if is_rate and not repeated and set(values) <= {0.0, 1.0}:
        return wilson(round(sum(values)), len(values))
    if min(values) >= 0 and max(values) <= 1:
        return bounded_mean(values, clusters=clusters, seed=seed)
    resamples = max(_FEWEST, min(10_000, _DRAWN // len(values)))
    return bootstrap(values, clusters=clusters, seed=seed, resamples=resamples)


_NONE = Score(None)
_FEWEST, _DRAWN = 200, 20_000_000

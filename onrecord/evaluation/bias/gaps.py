"""Group-wise gaps: does a measure differ between the groups that cases speak of?"""

from __future__ import annotations

import math
from itertools import combinations
from typing import Any

import msgspec

from onrecord.errors import UsageError
from onrecord.evaluation.experiments.report import Report
from onrecord.evaluation.statistics import (
    Interval,
    bootstrap,
    bounded_mean,
    unpaired_bootstrap,
)

Cases = dict[str, list[float]]
"""What each case of a group counts, once for each repeat."""


class Gap(msgspec.Struct, frozen=True):
    """How far apart groups are in one measure.

    `groups`: the mean of each, with its interval at `level`. `highest`, `lowest`: the two that are
    farthest apart, and `difference` the first minus the second: its interval is widened
    (Bonferroni) for the choice among all pairs, so that it is no artefact of having looked for the
    largest. `trials`: how many of each group counted.
    """

    measure: str
    by: str
    groups: dict[str, Interval]
    highest: str
    lowest: str
    difference: Interval
    trials: dict[str, int]

    @property
    def within_noise(self) -> bool:
        """Whether no difference at all is inside the interval."""
        return self.difference.within_noise

    def __str__(self) -> str:
        said = self.difference
        noise = "; it may be noise" if self.within_noise else ""
        return (
            f"{self.measure} by {self.by}: {self.highest} {self.groups[self.highest].mean:.3g},"
            f" {self.lowest} {self.groups[self.lowest].mean:.3g}; the gap is {said.mean:.3g}"
            f" [{said.low:.3g}, {said.high:.3g}]{noise}"
        )


def gaps(
    report: Report, measure: str, by: str, *, level: float = 0.95, seed: int = 0, least: int = 2
) -> Gap:
    """The largest gap of a measure between the groups that the cases' metadata name under `by`.

    Cases without it, and groups of fewer than `least` cases, are left out. The cases of groups are
    taken as independent; repeats of a case are kept together. Where all values lie between 0 and 1
    an interval has a width also where they are equal (`bounded_mean`, and from two of them that of
    the difference: Zou and Donner, Statistics in Medicine 2008); others are bootstrapped. Raises
    UsageError for an unknown measure, one of labels, or fewer than two groups.
    """
    facts = report.measure(measure)
    if facts.labels:
        raise UsageError(f"'{measure}' counts labels: there is no mean to compare")
    values = _values(report, measure, by)
    kept = {group: cases for group, cases in sorted(values.items()) if len(cases) >= least}
    if len(kept) < 2:
        raise UsageError(
            f"there are {len(kept)} groups with {least} cases and more under '{by}'",
            cure="Name a field of the cases' metadata in which they differ.",
        )
    every = [value for cases in kept.values() for each in cases.values() for value in each]
    bounded = min(every) >= 0 and max(every) <= 1
    groups = {group: _mean(cases, bounded, level, seed) for group, cases in kept.items()}
    highest = max(groups, key=lambda group: groups[group].mean)
    lowest = min(groups, key=lambda group: groups[group].mean)
    if highest == lowest:  # all are equal
        highest, lowest = list(groups)[:2]
    pairs = len(list(combinations(groups, 2)))
    apart = _bounded_difference if bounded else _difference
    difference = apart(kept[highest], kept[lowest], 1 - (1 - level) / pairs, seed)
    trials = {group: sum(map(len, cases.values())) for group, cases in kept.items()}
    return Gap(measure, by, groups, highest, lowest, difference, trials)


def _mean(cases: Cases, bounded: bool, level: float, seed: int) -> Interval:
    values = [value for each in cases.values() for value in each]
    names = [case for case, each in cases.items() for _ in each]
    clusters = names if len(names) > len(cases) else None
    if bounded:
        return bounded_mean(values, clusters=clusters, level=level, seed=seed)
    return bootstrap(values, clusters=clusters, level=level, seed=seed)


def _bounded_difference(one: Cases, other: Cases, level: float, seed: int) -> Interval:
    """From the intervals of two independent means, each with the uncertainty on its own side."""
    high, low = (_mean(each, True, level, seed) for each in (one, other))
    said = high.mean - low.mean
    return Interval(
        said,
        said - math.hypot(high.mean - high.low, low.high - low.mean),
        said + math.hypot(high.high - high.mean, low.mean - low.low),
        level,
        min(high.cases, low.cases),
    )


def _difference(one: Cases, other: Cases, level: float, seed: int) -> Interval:
    high, low = ([sum(each) / len(each) for each in cases.values()] for cases in (one, other))
    return unpaired_bootstrap(high, low, level=level, seed=seed)


def _values(report: Report, measure: str, by: str) -> dict[str, Cases]:
    """The numbers of each case, by group."""
    found: dict[str, Cases] = {}
    for trial, value in report.counted(measure):
        group: Any = trial.metadata.get(by)
        if group is not None:
            found.setdefault(str(group), {}).setdefault(trial.case, []).append(value)
    return found

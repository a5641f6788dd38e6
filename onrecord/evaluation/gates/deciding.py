"""Whether the expression of a gate holds for a report, and why."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

from onrecord.evaluation.experiments.changes import Change, Margin, compare, margin_of
from onrecord.evaluation.experiments.report import ERROR, Measure, Report
from onrecord.evaluation.gates.expression import (
    Calculated,
    Changed,
    Compared,
    Denied,
    Detail,
    Fact,
    Measured,
    Number,
    Part,
    Several,
    Truth,
    no_measure,
    not_comparable,
)
from onrecord.evaluation.gates.reasons import of_changes, of_passing
from onrecord.evaluation.statistics import Interval


class Held(NamedTuple):
    """Whether a part holds; None where that cannot be known. `undecided`: that it does not hold
    rests on changes that the cases could not decide."""

    holds: bool | None
    undecided: tuple[Change, ...] = ()


class _Unknown(Exception):
    """A value that nobody knows: no gate is passed on it."""


class Deciding:
    """One expression over one report, and why it holds or not: `reasons`."""

    def __init__(
        self,
        gate: Part,
        report: Report,
        baseline: Report | None,
        intersection: bool,
        margin: Margin = None,
    ) -> None:
        self.reasons: list[str] = []
        self._gate = gate
        self._report = report
        self._baseline = baseline
        self._intersection = intersection
        self._default = margin
        self._forgiven = {  # measures whose errors the gate speaks of itself
            each.of.name
            for each in gate.parts()
            if isinstance(each, Detail) and each.which == "errors"
        }

    def passed(self) -> bool:
        """Whether all of it holds, and is known to. Raises UsageError for a name of no measure."""
        held = self._held(self._gate).holds is True
        return self._is_whole() and held

    def _is_whole(self) -> bool:
        """Whether every trial was answered, or the gate speaks itself of those that were not: of
        the others nobody knows what would have come out."""
        left = self._report.unanswered
        facts = [each.name for each in self._gate.parts() if isinstance(each, Fact)]
        if not left or _LEFT in facts:
            return True
        self.reasons.append(
            f"it is not known: {left:,} of {left + len(self._report):,} trials were not answered; "
            f"the experiment goes on with --resume, and `{_LEFT} <= {left}` would allow it"
        )
        return False

    def _held(self, part: Part) -> Held:
        """All parts of `and` and `or` are looked at, so that all reasons are told."""
        match part:
            case Several(each, needs_all):
                return _together([self._held(one) for one in each], needs_all)
            case Denied(denied):
                held = self._held(denied)
                self.reasons += of_passing(part.said, held.undecided)
                return Held(None if held.holds is None else not held.holds)
            case Compared(sides, tests):
                return Held(self._compared(part, sides, tests))
            case Changed():
                return self._changed(part)
            case Truth(value):
                return Held(value)
        raise TypeError(part)

    def _compared(
        self,
        part: Part,
        sides: tuple[Part, ...],
        tests: tuple[Callable[[float, float], bool], ...],
    ) -> bool | None:
        try:
            values = [self._number(each) for each in sides]
        except _Unknown as error:
            self.reasons.append(f"{part.said}: {error}")
            return None
        held = all(
            test(one, other)
            for test, one, other in zip(tests, values[:-1], values[1:], strict=True)
        )
        said = ", ".join(
            f"{each.said} is {value:.4g}{self._of(each)}"
            for each, value in zip(sides, values, strict=True)
            if not isinstance(each, Number)
        )
        why = f" ({said})" if said else ""
        self.reasons.append(f"{part.said}: {'holds' if held else 'does not hold'}{why}")
        return held

    def _of(self, part: Part) -> str:
        """Of how many trials a number is, where that is not all of them."""
        if isinstance(part, Detail) and part.which == "errors":
            return ""
        measures = self._report.measures
        named = [each.name for each in part.parts() if isinstance(each, Measured)]
        counts = dict.fromkeys(measures[each].count for each in named if each in measures)
        return "".join(
            f", of {count:,} of {len(self._report):,}"
            for count in counts
            if count < len(self._report)
        )

    def _number(self, part: Part) -> float:
        """What it comes to. Raises _Unknown, UsageError."""
        try:
            value = self._value(part)
        except (ZeroDivisionError, OverflowError):
            value = math.nan
        if not math.isfinite(value):
            raise _Unknown(f"`{part.said}` is no number: it divides by zero, or is too large")
        return value

    def _value(self, part: Part) -> float:
        match part:
            case Number(value):
                return value
            case Calculated(by, left, right):
                return by(self._number(left), self._number(right))
            case Fact(name):
                if (fact := _fact(self._report, name)) is None:
                    raise _Unknown(f"'{name}' is not known")
                return fact
            case Measured():
                return self._known(part).mean
            case Detail("errors", of):
                return float(self._errors(of))
            case Detail(end, of):
                interval = self._known(of)
                if interval.is_a_point:
                    raise _Unknown(f"'{of.name}' has no interval")
                return interval.low if end == "low" else interval.high
        raise TypeError(part)

    def _known(self, part: Measured) -> Interval:
        measure = self._measure(part)
        if unknown := self._not_scored(measure):
            raise _Unknown(unknown)
        if measure.interval is None:
            raise _Unknown(f"'{measure.name}' is not known")
        return measure.interval

    def _measure(self, part: Measured) -> Measure:
        measures = self._report.measures
        if part.name not in measures:
            raise no_measure(part, list(measures), "There are")
        return measures[part.name]

    def _errors(self, part: Measured) -> int:
        """In how many trials a scorer failed. One of several measures fails in all of them."""
        measures = self._report.measures
        if part.name not in measures:
            inside = [each for name, each in measures.items() if name.startswith(f"{part.name}.")]
            if inside:
                return max(each.errors for each in inside)
        return self._measure(part).errors

    def _not_scored(self, measure: Measure) -> str:
        """Why a measure is not known whose scorer failed, where the gate does not allow for it."""
        name = measure.name
        if not measure.errors or (name in self._forgiven and measure.count):
            return ""
        said = name if name.isidentifier() else f'"{name}"'
        allow = f"; `errors({said}) <= {measure.errors}` would allow it" if measure.count else ""
        return (
            f"'{name}' is not known: {measure.errors:,} of {len(self._report):,} could not be "
            f"scored{allow}"
        )

    def _changed(self, part: Changed) -> Held:
        baseline = self._baseline
        assert baseline is not None  # `gate` looks whether one is spoken of
        names = [self._measure(each).name for each in part.measures]
        if unknown := self._unknown(names, baseline):
            self.reasons += [f"{part.said}: {each}" for each in unknown]
            return Held(None)
        of = names or [each for each in self._report.measures if each != ERROR]
        try:
            margins = self._margins(part, of)
        except _Unknown as error:
            self.reasons.append(f"{part.said}: {error}")
            return Held(None)
        changes = compare(baseline, self._report, margin=margins, intersection=self._intersection)
        for each in part.measures:
            if each.name not in changes.measures:
                raise not_comparable(each, list(changes.measures))
        looked_at = [changes.measures[each] for each in of if each in changes.measures]
        if not looked_at:
            self.reasons.append(f"{part.said}: the reports have no measure in common")
            return Held(None)
        self.reasons += of_changes(changes, looked_at)
        return _verdict(part.word, looked_at)

    def _margins(self, part: Changed, names: list[str]) -> Margin:
        """The margin of each measure: the comparison's own, else the one that all were given.
        Raises _Unknown, UsageError."""
        if part.margin is not None:
            return dict.fromkeys(names, self._number(part.margin))
        given = {each: margin_of(self._default, each) for each in names}
        return {each: own for each, own in given.items() if own is not None} or None

    def _unknown(self, names: list[str], baseline: Report) -> list[str]:
        """Why some of these measures, else of all that scorers gave, cannot be compared here."""
        measures = self._report.measures
        looked_at = names or [each for each in measures if each != ERROR]
        failed = [self._not_scored(measures[each]) for each in looked_at]
        empty = [each for each in names or self._lost(baseline) if _is_empty(measures.get(each))]
        return [*filter(None, failed), *(f"'{each}' is not known" for each in empty)]

    def _lost(self, baseline: Report) -> list[str]:
        """The baseline's measures that the same scorers may no longer give."""
        return [
            name
            for name in baseline.measures
            if name != ERROR and any(baseline.counted(name))
            if any(each.gave(name) for each in self._report.scorers)
        ]


def _is_empty(measure: Measure | None) -> bool:
    """Whether there is nothing of it, and its scorer did not fail."""
    return measure is None or not (measure.interval or measure.labels or measure.errors)


def _verdict(word: str, changes: list[Change]) -> Held:
    verdicts = {each.verdict for each in changes}
    if "worse" in verdicts if word == "worse" else verdicts == {word}:
        return Held(True)
    is_sure = word != "worse" and not verdicts <= {word, "inconclusive"}
    unsure = tuple(each for each in changes if each.verdict == "inconclusive")
    return Held(False, () if is_sure else unsure)


def _fact(report: Report, name: str) -> float | None:
    match name:
        case "p50" | "p95":
            return report.latency(int(name[1:]) / 100)
        case "cost":
            return None if report.cost is None else report.cost / 1e6
        case "cases":
            return report.cases
        case "unanswered":
            return report.unanswered
    return len(report)


def _together(found: list[Held], needs_all: bool) -> Held:
    """Of several with `and`, else `or`: what one of them settles, the others need not be known."""
    settles = not needs_all  # one that does not hold settles `and`
    if settled := [each for each in found if each.holds is settles]:
        is_sure = settles or any(not each.undecided for each in settled)
        return Held(settles, () if is_sure else _undecided(settled))
    if any(each.holds is None for each in found):
        return Held(None)
    return Held(needs_all, _undecided(found))


def _undecided(found: list[Held]) -> tuple[Change, ...]:
    return tuple(change for each in found for change in each.undecided)


_LEFT = "unanswered"
"""The fact of a gate that says itself how many trials may lack."""

"""Changes: two reports on the same cases, case by case."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from onrecord.errors import UsageError
from onrecord.evaluation.experiments.pairing import check_same, shared_cases
from onrecord.evaluation.experiments.report import ERROR, Measure, MeasureKind, Report, Subject
from onrecord.evaluation.inference.verdicts import PairedComparison, Verdict, paired_comparison
from onrecord.evaluation.scoring import Better
from onrecord.evaluation.statistics import Interval, holm

Margin = float | dict[str, float] | None


class Change(msgspec.Struct, frozen=True):
    """How a measure changed, over the cases that both reports scored.

    `difference`: after minus before. `verdict` says what it means; of a measure that is neither
    better high nor low, only whether it is equivalent. `needed`: about how many cases would decide,
    where these do not; None where no number would. `p` is that of no difference, of this measure by
    itself; `adjusted` allows for all the measures that were looked at together (Holm), that of
    errors not counted. `broke`: the cases that passed before and do not now, `mended` those the
    other way round: a case passes at 0.5 and above (below, where lower is better), of measures
    between 0 and 1 that are better one way; one that is better lower and reaches neither end
    (seconds, dollars) has no such line to cross.
    """

    name: str
    kind: MeasureKind
    cases: int
    before: float
    after: float
    difference: Interval
    p: float
    verdict: Verdict
    adjusted: float
    needed: int | None = None
    broke: tuple[str, ...] = ()
    mended: tuple[str, ...] = ()

    @property
    def words(self) -> str:
        """The verdict in words: "inconclusive: about 1,200 cases would decide (these are 50)"."""
        if self.verdict == "inconclusive" and self.needed is not None:
            return (
                f"inconclusive: about {self.needed:,} cases would decide (these are {self.cases:,})"
            )
        if self.is_nothing:
            return "inconclusive: no case differs; only with a margin can that be equivalent"
        return self.verdict

    @property
    def amount(self) -> str:
        """The difference and its interval: "+10.0 points [+1.2, +18.8]"."""
        one, two, three = self.difference.mean, self.difference.low, self.difference.high
        if self.kind == "rate":
            return f"{100 * one:+.1f} points [{100 * two:+.1f}, {100 * three:+.1f}]"
        return f"{one:+.3g} [{two:+.3g}, {three:+.3g}]"

    def __str__(self) -> str:
        return f"{self.amount}: {self.words}"

    @property
    def is_nothing(self) -> bool:
        """Whether no case differs, which without a margin means nothing."""
        found = self.difference
        return self.verdict == "inconclusive" and found.mean == found.low == found.high == 0

    @property
    def is_undecided(self) -> bool:
        """Whether there is a difference, and the cases are too few to say what it means."""
        return self.verdict == "inconclusive" and not self.is_nothing

    @property
    def is_lonely(self) -> bool:
        """Whether it is better or worse by itself, and no longer sure when all the measures that
        were looked at are allowed for."""
        return self.verdict in ("better", "worse") and self.adjusted > 1 - self.difference.level


class Side(msgspec.Struct, frozen=True):
    """Which report was compared: `file` where it was read from one, `run` where it is on record;
    `started_ns` is when its experiment began, 0 where that is not known."""

    application: Subject
    dataset: Subject
    run: str = ""
    started_ns: int = 0
    file: str = ""


class Changes(msgspec.Struct, frozen=True):
    """What changed from one report to another, on the cases that both have.

    `before` and `after` name the two in short, `baseline` says all that is known of the first.
    `is_same`: they are one report, so that nothing can have changed.
    `only_before`, `only_after`: how many cases the other one lacks; they count nothing here.
    `notes`: what else is to be known of a measure, by its name: that fewer cases were scored in
    both than there are, or that it was measured with two rulers.
    """

    before: str
    after: str
    cases: int
    measures: dict[str, Change]
    margin: Margin = None
    only_before: int = 0
    only_after: int = 0
    notes: dict[str, tuple[str, ...]] = {}
    baseline: Side | None = None
    is_same: bool = False

    def document(self) -> dict[str, Any]:
        """It as plain JSON values."""
        document: dict[str, Any] = msgspec.to_builtins(self)
        return document

    def __str__(self) -> str:
        from onrecord.evaluation.reports.table import changes_text

        return changes_text(self)


def compare(
    before: Report | str | Path,
    after: Report | str | Path,
    *,
    margin: Margin = None,
    level: float = 0.95,
    seed: int = 0,
    intersection: bool = False,
) -> Changes:
    """What changed from `before` to `after`, paired case by case, a verdict for each measure.

    Each is a report, or what `Report.open` takes: a run's id, or the path of a saved one.
    Cases are paired by their id; the repeats of a case count as their mean. Cases that only one of
    them has are an error, or with `intersection` left out and counted. `margin`: one for
    all measures, or one for each by its name. With `margin` a difference that is certainly smaller
    is "equivalent". Verdicts are of each measure by itself; `adjusted` says which of them stand
    when several were looked at. What is no mean over trials is not compared. Raises UsageError
    where the reports are not of the same cases, or one asked or expected something else under an
    equal id. What makes a measure hard to compare is in `notes`.
    """
    given = before
    before, after = report_of(before), report_of(after)
    check_margin(margin, after, [each for each in after.measures if each in before.measures])
    for name in margin if isinstance(margin, dict) else ():
        if name not in before.measures:
            after.measure(name)  # raises, with the names that there are
    shared = shared_cases(before, after)
    if not intersection:
        check_same(before, after, shared)
    found = _adjusted(dict(_changed(before, after, margin, level, seed)))
    return Changes(
        before=_called(before),
        after=_called(after),
        cases=len(shared),
        measures=found,
        margin=margin,
        only_before=before.cases - len(shared),
        only_after=after.cases - len(shared),
        notes=_notes(before, after, found, len(shared)),
        baseline=Side(
            before.application, before.dataset, before.run, before.started_ns, _file(given)
        ),
        is_same=before is after or (before.run != "" and before.run == after.run),
    )


def from_file(changes: Changes, given: str) -> Changes:
    """The same, where the baseline that it has was opened by what may be a path."""
    if changes.baseline is None:
        return changes
    side = msgspec.structs.replace(changes.baseline, file=_file(given))
    return msgspec.structs.replace(changes, baseline=side)


def _file(given: Report | str | Path) -> str:
    """The path that a report is named by; empty of a run's id."""
    if isinstance(given, Report):
        return ""
    try:
        return str(given) if Path(given).is_file() else ""
    except OSError:  # it is too long for a name
        return ""


def report_of(given: Report | str | Path) -> Report:
    """A report, also by its run's id or path. Raises UsageError, and what `Report.open` does."""
    if isinstance(given, Report):
        return given
    if isinstance(given, str | Path) and str(given):
        return Report.open(str(given))
    raise UsageError(
        f"{given!r:.80} is no report",
        cure="Give what evaluate returned, a run's id, or the path of a saved report.",
    )


def check_margin(margin: object, report: Report, names: Iterable[str]) -> None:
    """Raises UsageError for a margin that a comparison of these measures of a report cannot
    take."""
    for each in margin.values() if isinstance(margin, dict) else (margin,):
        if each is not None and (
            isinstance(each, bool) or not isinstance(each, int | float) or not each > 0
        ):
            raise UsageError(f"{each!r:.40} is no margin", cure=_MARGINS)
    for name in names:
        own = margin_of(margin, name)
        if own is not None and own >= 1 and report.measures[name].kind == "rate":
            raise UsageError(f"{own!r:.40} is no margin of '{name}', a rate", cure=_MARGINS)


def _notes(
    before: Report, after: Report, found: Mapping[str, Change], cases: int
) -> dict[str, tuple[str, ...]]:
    """What makes measures hard to compare; also of those that are not compared at all."""
    notes: dict[str, tuple[str, ...]] = {}
    for name, new in after.measures.items():
        if (old := before.measures.get(name)) is None:
            continue
        said = list(_rulers(name, before, after))
        if old.kind != new.kind and not (_nothing_given(old) or _nothing_given(new)):
            said.append(f"was a {_KINDS[old.kind]}, and now is a {_KINDS[new.kind]}")
        said += dict.fromkeys(filter(None, _odd(name, before, after)))
        if name in found and found[name].cases < cases:
            said.append(
                f"compared on {found[name].cases:,} of the {cases:,} cases: the others were not "
                "scored in both"
            )
        elif name not in found and "overall" not in (old.kind, new.kind):
            said.append("not compared: no case has a number in both")
        if said:
            notes[name] = tuple(said)
    return notes


def _odd(name: str, before: Report, after: Report) -> Iterator[str]:
    """What is odd about a measure in each; a failure counts what it does beside the other."""
    for one, other in ((before, after), (after, before)):
        measure = one.measures[name]
        lowest = one.lowest(name, beside=other) if measure.failed else 0.0
        yield msgspec.structs.replace(measure, lowest=lowest).note


def _rulers(name: str, before: Report, after: Report) -> Iterable[str]:
    """That the scorer of a measure is not the same in both."""
    old = next((each for each in before.scorers if each.gave(name)), None)
    new = next((each for each in after.scorers if each.gave(name)), None)
    if old is None or new is None:
        return
    if old.version != new.version:
        yield "another version of the scorer: measured with different rulers"
    if old.better_of(name) != new.better_of(name):
        yield f"better was {old.better_of(name)}, and now is {new.better_of(name)}"


def _nothing_given(measure: Measure) -> bool:
    return measure.failed == measure.count and measure.kind != "labels"


_KINDS = {"rate": "rate", "mean": "mean of numbers", "labels": "set of labels", "overall": "whole"}


def margin_of(margin: Any, name: str) -> float | None:
    """The margin of a measure, where there is one. One for all that is in seconds, say, is
    none of the failures."""
    if isinstance(margin, dict):
        return margin.get(name)
    return None if name == ERROR and margin is not None and margin >= 1 else margin


_MARGINS = "It is above 0, in the unit of the measure: 0.02 is two points of a rate."


def _adjusted(found: dict[str, Change]) -> dict[str, Change]:
    """With the p-values that allow for how many were looked at."""
    names = [name for name in found if name != ERROR]
    allowed: Iterable[float] = holm([found[name].p for name in names]) if names else ()
    given = dict(zip(names, allowed, strict=True))
    return {
        name: msgspec.structs.replace(each, adjusted=given.get(name, each.p))
        for name, each in found.items()
    }


def _by_case(report: Report, name: str, beside: Report) -> dict[str, float]:
    """What each case scored, the mean of its repeats; a failure counts the scorer's worst, or the
    lowest that any trial of either report got."""
    values: dict[str, list[float]] = {}
    for trial, value in report.counted(name, beside):
        values.setdefault(trial.case, []).append(value)
    return {case: sum(each) / len(each) for case, each in values.items()}


def _changed(
    before: Report, after: Report, margin: Margin, level: float, seed: int
) -> Iterator[tuple[str, Change]]:
    for name, measure in after.measures.items():
        theirs = before.measures.get(name)
        if theirs is None or theirs.mean is None or measure.mean is None:
            continue
        old, new = _by_case(before, name, after), _by_case(after, name, before)
        change = _change(measure, old, new, margin_of(margin, name), level, seed)
        if change is not None:
            yield name, change


def _change(
    measure: Measure,
    before: Mapping[str, float],
    after: Mapping[str, float],
    margin: float | None,
    level: float,
    seed: int,
) -> Change | None:
    cases = [case for case in before if case in after]
    if not cases:
        return None
    old, new = [before[case] for case in cases], [after[case] for case in cases]
    compared = paired_comparison(
        new, old, margin=margin, better=measure.better or "higher", level=level, seed=seed
    )
    broke, mended = _flips(cases, old, new, measure.better)
    return Change(
        name=measure.name,
        kind=measure.kind,
        cases=len(cases),
        before=sum(old) / len(old),
        after=sum(new) / len(new),
        difference=compared.difference,
        p=compared.p,
        verdict=_verdict(compared, measure.better),
        adjusted=compared.p,
        needed=compared.needed,
        broke=broke,
        mended=mended,
    )


def _verdict(compared: PairedComparison, better: Better) -> Verdict:
    if better is None and compared.verdict in ("better", "worse"):
        return "inconclusive"
    return compared.verdict


def _flips(
    cases: list[str], old: list[float], new: list[float], better: Better
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    values = {*old, *new}
    if better is None or not all(0 <= each <= 1 for each in values):
        return (), ()
    if better == "lower" and not values & {0.0, 1.0}:  # seconds, dollars: amounts, and no shares
        return (), ()
    fell = [case for case, a, b in zip(cases, old, new, strict=True) if a >= 0.5 > b]
    rose = [case for case, a, b in zip(cases, old, new, strict=True) if b >= 0.5 > a]
    broke, mended = (rose, fell) if better == "lower" else (fell, rose)
    return tuple(broke), tuple(mended)


def _called(report: Report) -> str:
    return report.run or f"{report.application.name} {report.application.version[:12]}"

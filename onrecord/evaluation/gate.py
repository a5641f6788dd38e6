"""Gates: whether a report is good enough, as one expression, with the reasons in words.

    f1 >= 0.8 and (better(baseline, f1) or equivalent(baseline, f1, margin=0.02))
    low(exact_match) > 0.7 and error == 0 and p95 < 2 and cost <= 1.50

    NAME                  a measure's mean, quoted where it has blanks; `error`: the failures' rate
    low(NAME)             the lower end of its interval; high(NAME) the upper one
    errors(NAME)          of how many trials its scorer failed
    p50, p95              seconds within which so many trials were answered
    cost, cases, trials   US dollars; how many
    unanswered            how many trials an interrupted experiment lacks
    worse(baseline, NAME …, margin=0.02)   some measure (of those named, else any of a
                          scorer) is worse than in another report, not equivalent in the margin
    better(…), equivalent(…)               all of them are; equivalent needs a margin, its own or
                                           that of `gate`

`not worse(baseline)` holds also where the cases are too few to tell, and the reasons then say so:
the strict form is `better(baseline, NAME) or equivalent(baseline, NAME, margin=…)`.

A measure whose scorer failed on some trials is not known: those that are left may be the easy ones.
A gate that names `errors(NAME)` says itself how many it takes: `errors(f1) <= 2 and f1 > 0.8`.

The language is Python's comparisons, `and`, `or`, `not`, numbers and + - * /. Nothing else is run:
no attributes, no other functions. What cannot be known (a measure without a value, an unknown cost,
the interval of a single case) passes no gate, nor does a report of an experiment that was
interrupted, unless the gate names `unanswered`. No scorer may have the name of one of these words.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from onrecord.errors import StorageError, UnknownNameError, UsageError
from onrecord.evaluation.experiments.changes import Margin, check_margin, report_of
from onrecord.evaluation.experiments.report import ERROR, Report
from onrecord.evaluation.experiments.stored import run_of
from onrecord.evaluation.gates.deciding import Deciding
from onrecord.evaluation.gates.expression import (
    Changed,
    Measured,
    Number,
    Part,
    no_measure,
    not_comparable,
    parsed,
)
from onrecord.evaluation.scoring import Facts
from onrecord.records.call import Call, call


class Verdict(msgspec.Struct, frozen=True):
    """Whether a report passed a gate, and what each test in it came to."""

    gate: str
    passed: bool
    reasons: tuple[str, ...]

    def __bool__(self) -> bool:
        return self.passed


def gate(
    expression: str,
    report: Report | str | Path,
    baseline: Report | str | Path | None = None,
    *,
    intersection: bool = False,
    margin: Margin = None,
) -> Verdict:
    """Put a report to the test; it and the baseline also by a run's id, or a path. `margin`: that
    of comparisons that name none; one for all measures, or one for each by its name.

    Raises UsageError, with the column, for an expression that cannot be read, that names no
    measure, or that asks for a baseline where none was given; where the baseline is of other cases,
    unless those they share are meant (`intersection`)."""
    expression, read = _read(expression, baseline is not None, margin)
    theirs = None if baseline is None else report_of(baseline)
    deciding = Deciding(read, report_of(report), theirs, intersection, margin)
    passed = deciding.passed()
    return Verdict(expression, passed, tuple(dict.fromkeys(deciding.reasons)))


def check(
    expression: str,
    scorers: Sequence[Facts],
    baseline: Report | None = None,
    margin: Margin = None,
) -> None:
    """Raises UsageError for a gate that cannot be decided, before anything is spent on a report by
    these scorers: one that cannot be read, or that names a measure that none of them gives.

    Of a scorer that gives several ("scorer.key"), the keys are known only after it; but for what is
    compared, the baseline has to have them now."""
    _, read = _read(expression, baseline is not None, margin)
    names = [ERROR, *(each.name for each in scorers)]
    for part in read.parts():
        if isinstance(part, Measured) and not (
            part.name == ERROR or any(each.gave(part.name) for each in scorers)
        ):
            raise no_measure(part, names, "There will be")
        if isinstance(part, Changed) and baseline is not None:
            _check_changed(part, scorers, baseline)


def _check_changed(part: Changed, scorers: Sequence[Facts], baseline: Report) -> None:
    comparable = [each for each in baseline.measures if any(baseline.counted(each))]
    for each in part.measures:
        if each.name not in comparable:
            raise not_comparable(each, comparable)
    if isinstance(part.margin, Number):
        given = [each for each in comparable if any(facts.gave(each) for facts in scorers)]
        names = [each.name for each in part.measures] or given
        check_margin(dict.fromkeys(names, part.margin.value), baseline, names)


def keep(verdict: Verdict, report: Report) -> None:
    """Put a verdict on record: a score named "gate" in the experiment's run, beside its trials,
    with `gate`, `passed` and `reasons`. Nothing where nothing is recorded. Raises StorageError."""
    if not report.run:
        return
    try:
        run = run_of(report.run)
    except UnknownNameError:
        raise StorageError(
            "the verdict cannot be put on record, for the experiment is not there",
            where=f"run {report.run}",
            cure="Nothing was lost of what was printed; the log says why it was not kept.",
        ) from None
    this = call("score", RECORDED, {"gate": verdict.gate})
    if isinstance(this, Call):
        this.start = msgspec.structs.replace(this.start, run=run, parent=report.run)
    with this:
        this.output = verdict


def _read(expression: str, has_baseline: bool, margin: Margin) -> tuple[str, Part]:
    """The expression in one line, and its parts."""
    if not isinstance(expression, str):
        raise UsageError(
            f"{expression!r:.80} is no gate",
            cure='The expression comes first: gate("f1 >= 0.8", report).',
        )
    expression = expression.strip().replace("\n", " ")
    read = parsed(expression)
    for each in read.parts():
        if isinstance(each, Changed) and each.word == "equivalent" and not (each.margin or margin):
            raise each.error(
                "needs a margin",
                "Write equivalent(baseline, margin=0.02), or give one for all with --margin.",
            )
    if not has_baseline and any(isinstance(each, Changed) for each in read.parts()):
        raise UsageError(
            "the gate speaks of a baseline, and none was given",
            where=expression,
            cure="Name one with --baseline: a run of `onrecord experiments list`, or a file.",
        )
    return expression, read


RECORDED = "gate"
"""What a verdict is called on record."""

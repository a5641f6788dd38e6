"""Which trials are looked at first: the worst of each measure that have something wrong at all."""

from __future__ import annotations

from collections.abc import Iterator

from onrecord.evaluation.experiments.report import ERROR, Measure, Report, number
from onrecord.evaluation.trial import Trial


def worst(report: Report, most: int, *, failures: bool) -> Iterator[tuple[str, list[Trial]]]:
    """The worst trials by each measure in turn, `most` of them in all, none twice.

    What scored as well as can be is none of them. `failures`: whether the trials in which the
    application failed are among them.
    """
    told: set[tuple[str, int]] = set()
    for measure in report.measures.values():
        if measure.name == ERROR or measure.better is None or measure.kind not in ("rate", "mean"):
            continue
        best = _best(report, measure)
        found = []
        for trial in report.worst(measure.name, len(report)):
            place = trial.case, trial.repeat
            if len(told) == most or place in told:
                continue
            is_wrong = number(trial, measure.name, None) != best
            if failures if trial.error is not None else is_wrong:
                told.add(place)
                found.append(trial)
        if found:
            yield measure.name, found


def _best(report: Report, measure: Measure) -> float | None:
    """The best that there is: of shares 1, or 0 where lower is better; else that any trial got."""
    values = [each for trial in report if (each := number(trial, measure.name, None)) is not None]
    if not values:
        return None
    is_share = min(values) >= 0 and max(values) <= 1
    if measure.better == "lower":
        return 0.0 if is_share else min(values)
    return 1.0 if is_share else max(values)

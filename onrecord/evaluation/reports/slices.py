"""Which slices a report shows by itself: the values of each field of the metadata that has few."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from onrecord.evaluation.experiments.report import Report

MOST = 12
"""A field with more values than that is no way to slice, but by a filter of one's own."""


def fields(report: Report) -> list[str]:
    """The fields that have at least two values and not too many, of texts, truths or numbers."""
    values: dict[str, set[str]] = {}
    for trial in report:
        for name, value in trial.metadata.items():
            if isinstance(value, str | bool | int | float):
                values.setdefault(name, set()).add(str(value))
    cases = report.cases
    return [name for name, each in values.items() if 2 <= len(each) <= MOST and len(each) < cases]


def parts(report: Report, field: str) -> Iterator[tuple[str, Report]]:
    """The report of each value of a field, the largest part first; of trials without it, none."""
    of: dict[str, list[int]] = {}
    for at, trial in enumerate(report):
        if field in trial.metadata:
            of.setdefault(str(trial.metadata[field]), []).append(at)
    for value in sorted(of, key=lambda each: (-len(of[each]), each)):
        part = tuple(report.trials[at] for at in of[value])
        yield (
            value,
            msgspec.structs.replace(report, trials=part, overall={}, slice_of=f"{field} = {value}"),
        )

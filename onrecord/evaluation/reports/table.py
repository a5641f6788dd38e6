"""A report in a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from onrecord.evaluation.experiments.changes import Changes
from onrecord.evaluation.experiments.report import Report
from onrecord.evaluation.reports.wording import facts, heading, lines, number
from onrecord.records.views.wording import shortened

_HEADS = ("measure", "mean", "95 % interval", "trials")


def text(report: Report) -> str:
    """A report as text: what it is of, a line for each measure, what it took."""
    rows = [_HEADS, *((shortened(name, 40), *rest) for name, *rest in lines(report))]
    widths = [max(len(row[at]) for row in rows) for at in range(3)]
    told = [
        f"{name:<{widths[0]}}  {mean:>{widths[1]}}  {interval:<{widths[2]}}  {trials}".rstrip()
        for name, mean, interval, trials in rows
    ]
    run = f"   run {report.run}" if report.run else ""
    return "\n".join([f"{shortened(heading(report), 90)}{run}", *told, facts(report)])


def changes_text(changes: Changes) -> str:
    """What changed as text: a line for each measure, then the cases that broke."""
    rows = [("measure", "before", "after", "difference")]
    for each in changes.measures.values():
        before, after = number(each.before, each.kind), number(each.after, each.kind)
        rows.append((shortened(each.name, 40), before, after, str(each)))
    widths = [max(len(row[at]) for row in rows) for at in range(3)]
    told = [f"{changes.cases:,} cases: {changes.before} → {changes.after}"]
    for name, before, after, rest in rows:
        told.append(f"{name:<{widths[0]}}  {before:>{widths[1]}}  {after:>{widths[2]}}  {rest}")
    for each in changes.measures.values():
        for word, cases in (("broke", each.broke), ("mended", each.mended)):
            if cases:
                told.append(f"{each.name}: {len(cases):,} {word}: {_some(cases)}")
    for number_left, which in ((changes.only_before, "before"), (changes.only_after, "after")):
        if number_left:
            told.append(f"{number_left:,} cases are only in the report {which}: left out")
    return "\n".join(told)


def _some(cases: Sequence[str], most: int = 8) -> str:
    more = f" and {len(cases) - most:,} more" if len(cases) > most else ""
    return ", ".join(shortened(each, 24) for each in cases[:most]) + more

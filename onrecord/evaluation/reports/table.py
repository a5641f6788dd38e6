"""A report in a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from onrecord.evaluation.experiments.changes import Change, Changes
from onrecord.evaluation.experiments.report import Report
from onrecord.evaluation.reports import changed
from onrecord.evaluation.reports.wording import (
    cases,
    facts,
    heading,
    lines,
    notes,
    number,
    p_value,
)
from onrecord.records.views.wording import shortened

_HEADS = ("measure", "mean", "95 % interval", "trials")


def text(report: Report) -> str:
    """A report as text: what it is of, a line for each measure, what it took."""
    rows = [(shortened(name, 40), *rest) for name, *rest in lines(report)]
    rows = [_HEADS, *rows] if rows else []  # without scorers there is nothing to head
    widths = [max((len(row[at]) for row in rows), default=0) for at in range(3)]
    told = [
        f"{name:<{widths[0]}}  {mean:>{widths[1]}}  {interval:<{widths[2]}}  {trials}".rstrip()
        for name, mean, interval, trials in rows
    ]
    every = [shortened(heading(report), 80), *told, *notes(report), facts(report)]
    if report.run:
        every.append(f"run {report.run}")
    return "\n".join(every)


def changes_text(changes: Changes) -> str:
    """What changed as text: a line for each measure, what is to be said of them, then the cases
    that broke or were mended."""
    heads = ("measure", "before", "after", "difference", "p", "")
    rows = [heads, *map(_row, changes.measures.values())]
    widths = [max(len(row[at]) for row in rows) for at in range(5)]
    told = [f"{cases(changes.cases)}: {changes.before} → {changes.after}"]
    if changes.baseline is not None:
        told.append(f"before: {changed.side(changes.baseline)}")
    for name, before, after, difference, p, verdict in rows:
        told.append(
            f"{name:<{widths[0]}}  {before:>{widths[1]}}  {after:>{widths[2]}}  "
            f"{difference:<{widths[3]}}  {p:>{widths[4]}}  {verdict}".rstrip()
        )
    for names, word, flipped in changed.flips(changes):
        told.append(f"{names}: {len(flipped):,} {word}: {_some(flipped)}")
    for number_left, which in ((changes.only_before, "before"), (changes.only_after, "after")):
        if number_left:
            told.append(f"only in the report {which}, left out: {cases(number_left)}")
    return "\n".join([*told, *changed.said(changes)])


def _row(change: Change) -> tuple[str, ...]:
    before, after = number(change.before, change.kind), number(change.after, change.kind)
    name, p = shortened(change.name, 40), p_value(change.p)
    if change.is_nothing:
        return name, before, after, "none", p, ""
    return name, before, after, change.amount, p, changed.verdict(change)


def _some(ids: Sequence[str], most: int = 8) -> str:
    more = f" and {len(ids) - most:,} more" if len(ids) > most else ""
    return ", ".join(shortened(each, 24) for each in ids[:most]) + more

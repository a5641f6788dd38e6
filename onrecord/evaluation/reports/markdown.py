"""A report as Markdown, for a pull request: the measures, what changed, what broke, the gate."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from onrecord.evaluation.experiments.changes import Changes
from onrecord.evaluation.experiments.report import Report
from onrecord.evaluation.gate import Verdict
from onrecord.evaluation.reports import changed
from onrecord.evaluation.reports.wording import (
    facts,
    heading,
    lines,
    number,
    p_value,
    remarks,
    unfinished,
    versions,
)
from onrecord.records import whole_file
from onrecord.records.views.wording import shortened

_SHOWN = 10


def markdown(report: Report, changes: Changes | None = None, verdict: Verdict | None = None) -> str:
    """A summary that fits into a comment. What cases and applications say is shown as code, so that
    none of it becomes a link, a heading or HTML."""
    told = [f"### {_plain(heading(report))}", ""]
    if verdict is not None:
        told += [f"**Gate {'passed' if verdict else 'not passed'}:** {_code(verdict.gate)}", ""]
        told += [f"- {_plain(each)}" for each in verdict.reasons] + [""]
    if rows := lines(report):
        told += [*_table(("measure", "mean", "95 % interval", "trials"), rows), ""]
    told += [_plain(facts(report)), ""]
    for note in (*unfinished(report), *remarks(report)):
        told += [_plain(note), ""]
    if changes is not None:
        told += _changed(changes)
    if failures := report.failures:
        told += [f"{len(failures):,} failed:", ""]
        for trial in failures[:_SHOWN]:
            told.append(f"- {_code(trial.case)}: {_code(shortened(trial.error or '', 120))}")
        if len(failures) > _SHOWN:
            told.append(f"- and {len(failures) - _SHOWN:,} more")
    run = f"run {report.run} · " if report.run else ""
    told += ["", f"<sub>{_plain(run + versions(report))}</sub>"]
    return "\n".join(told).rstrip() + "\n"


def write_markdown(
    path: str | Path,
    report: Report,
    changes: Changes | None = None,
    verdict: Verdict | None = None,
) -> Path:
    """Write it to a file, at once or not at all. Raises StorageError."""
    return whole_file.save(path, markdown(report, changes, verdict), "the report")


def _changed(changes: Changes) -> list[str]:
    rows = [
        (
            each.name,
            number(each.before, each.kind),
            number(each.after, each.kind),
            each.amount,
            p_value(each.p),
            changed.verdict(each),
        )
        for each in changes.measures.values()
    ]
    told = _table(("measure", "before", "after", "difference", "p", "verdict"), rows)
    if changes.baseline is not None:
        told = [f"Against {_plain(changed.side(changes.baseline))}:", "", *told]
    told += ["", *(f"- {_plain(each)}" for each in changed.said(changes)), ""]
    for names, how, cases in changed.flips(changes):
        some = ", ".join(_code(shortened(case, 40)) for case in cases[:_SHOWN])
        more = f" and {len(cases) - _SHOWN:,} more" if len(cases) > _SHOWN else ""
        told += [f"{_plain(names)}: {len(cases):,} {how}: {some}{more}", ""]
    return told


def _table(heads: tuple[str, ...], rows: Sequence[Iterable[str]]) -> list[str]:
    told = [f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}"]
    told += [f"| {' | '.join(_plain(cell) for cell in row)} |" for row in rows]
    return told


def _code(text: str) -> str:
    """A text as code, whatever it holds."""
    flat = shortened(text, 400).replace("|", "\\|")
    fence = "`" * (1 + max((len(run) for run in _runs(flat)), default=0))
    space = " " if "`" in flat[:1] + flat[-1:] else ""
    return f"{fence}{space}{flat}{space}{fence}"


def _runs(text: str) -> list[str]:
    """The backticks that stand together."""
    return ["`" * len(run) for run in "".join(c if c == "`" else " " for c in text).split()]


def _plain(text: str) -> str:
    return plain(text, 1000)


def plain(text: str, limit: int) -> str:
    """A text in one line that Markdown shows as it is; an address in it becomes no link."""
    shown = "".join(f"\\{each}" if each in _SIGNS else each for each in shortened(text, limit))
    return _ADDRESS.sub(r"\1\\\2", shown)


_SIGNS = frozenset("\\`*_{}[]<>#|~!@&$")
_ADDRESS = re.compile(r"(?i)\b(https?|ftp|mailto|xmpp|www)([:.])")

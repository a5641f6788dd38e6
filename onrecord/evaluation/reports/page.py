"""A report as one HTML page that loads nothing and runs nothing: inline SVG, no script.

Inputs and outputs are texts from anywhere: they are escaped, and a policy in the page forbids
whatever would still try to run.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from onrecord.errors import OnrecordError
from onrecord.evaluation.experiments.report import ERROR, Measure, Report
from onrecord.evaluation.experiments.steps import (
    Step,
    first_wrong_of,
    never_called,
    recorded,
    steps_of,
)
from onrecord.evaluation.reports import changed
from onrecord.evaluation.reports.chart import Axis, axis, bars, histogram, whisker
from onrecord.evaluation.reports.frame import COLOURS, document
from onrecord.evaluation.reports.slices import fields, parts
from onrecord.evaluation.reports.wording import (
    facts,
    heading,
    kind_of,
    lines,
    notes,
    number,
    p_value,
    span,
    versions,
)
from onrecord.evaluation.reports.worst import worst
from onrecord.evaluation.trial import Score, Trial
from onrecord.notebook import body, escaped, fragment, words
from onrecord.records import whole_file
from onrecord.records.record import Record
from onrecord.records.views.wording import dollars, duration, shortened

if TYPE_CHECKING:
    from onrecord.evaluation.experiments.changes import Change, Changes
    from onrecord.evaluation.gate import Verdict

WORST, FLIPS, STEPS = 10, 20, 40
"""So many of the worst trials, of the flips of a measure, and of the steps of a trial are shown."""


def write_page(
    path: str | Path,
    report: Report,
    changes: Changes | None = None,
    verdict: Verdict | None = None,
) -> Path:
    """Write the page to a file, at once or not at all. Raises StorageError."""
    return whole_file.save(path, page(report, changes, verdict), "the page")


def page(report: Report, changes: Changes | None = None, verdict: Verdict | None = None) -> str:
    """The whole page: the gate, measures, what changed, slices, failures, the worst trials, what it
    took. The steps of the trials that it shows are taken from the records, where they are here."""
    shown = _Shown(report, changes)
    sections = [
        ("Gate", _gate(verdict) if verdict is not None else ""),
        ("Measures", _measures(report)),
        ("Against the baseline", _changes(changes, shown) if changes is not None else ""),
        ("Slices", "".join(_slices(report))),
        ("Failures", _trials(report.failures, WORST, shown)),
        ("Worst trials", "".join(_worst(shown))),
        ("Time and cost", _took(report)),
    ]
    whole = "".join(f"<h2>{title}</h2>\n{inside}\n" for title, inside in sections if inside)
    title = shortened(heading(report), 120)
    run = f" · run <code>{escaped(report.run)}</code>" if report.run else ""
    return document(
        title,
        _STYLE,
        f"<h1>{escaped(title)}</h1><p>{escaped(facts(report))}{run}</p>\n"
        f"{''.join(words(each, 'bad') for each in notes(report))}{whole}"
        f"<footer>{escaped(versions(report))}</footer>",
    )


class _Shown:
    """Which trials the page shows, and the records inside of them."""

    def __init__(self, report: Report, changes: Changes | None) -> None:
        self.report = report
        self.worst = tuple(worst(report, WORST, failures=False))
        self.trials: dict[str, Trial] = {each.case: each for each in reversed(report.trials)}
        flipped = [
            self.trials[case]
            for each in (changes.measures.values() if changes is not None else ())
            for case in (*each.broke[:FLIPS], *each.mended[:FLIPS])
            if case in self.trials
        ]
        bad = [trial for _, trials in self.worst for trial in trials]
        self._records = _records((*report.failures[:WORST], *bad, *flipped))

    def steps(self, trial: Trial) -> list[Step]:
        """The steps of one of them; none where they are not on record here."""
        return steps_of(trial, trial.steps or self._records.get(trial.record, ()))


def _records(trials: Sequence[Trial]) -> Mapping[str, tuple[Record, ...]]:
    """What is on record of them: nothing of a report that was made on another machine."""
    try:
        return recorded(trials)
    except OnrecordError:
        return {}


def _gate(verdict: Verdict) -> str:
    word, look = ("holds", "better") if verdict else ("does not hold", "worse")
    reasons = "".join(f"<li>{escaped(each)}</li>" for each in verdict.reasons)
    gate = f'<code>{escaped(verdict.gate)}</code> <b class="{look}">{word}</b>'
    return f"<p>{gate}</p><ul>{reasons}</ul>"


def section(report: Report) -> str:
    """The measures alone, for a notebook."""
    rows = "".join(
        f"<tr><td>{escaped(each.name)}</td><td>{each.mean}</td><td>{each.interval}</td>"
        f"<td>{each.trials}</td></tr>"
        for each in lines(report)
    )
    table = rows and f"<table><tr><th>measure<th>mean<th>95 % interval<th>trials</tr>{rows}</table>"
    return fragment(words(heading(report), "said"), table, words(facts(report), "small"))


def _measures(report: Report) -> str:
    shown = [each for each in report.measures.values() if each.name != ERROR or each.mean]
    on = axis([each.interval for each in shown if each.interval and _within_one(each)])
    rows = []
    for line, measure in zip(lines(report), shown, strict=True):
        chart = ""
        if measure.interval is not None:
            own = on if _within_one(measure) else _axis_of(report, measure)
            chart = whisker(measure.interval, own, f"{line.mean}, {line.interval}")
        rows.append(
            f'<tr><th scope="row">{escaped(line.name)}</th><td class="n">{line.mean}</td>'
            f'<td>{chart}</td><td class="i">{escaped(line.interval)}</td>'
            f'<td class="said">{escaped(line.trials)}</td></tr>'
        )
    if not rows:  # without scorers there is nothing to head
        return ""
    heads = _heads("measure", "mean", "", "95 % interval", "trials")
    spread = "".join(
        bars(each.labels, each.name)
        if each.kind == "labels"
        else histogram([value for _, value in report.counted(each.name)], each.name, each.interval)
        for each in shown
        if each.kind in ("labels", "mean")
    )
    return f'{_table(heads, rows)}<div class="charts">{spread}</div>'


def _axis_of(report: Report, measure: Measure) -> Axis:
    """An axis as long as the scores are spread."""
    values = [value for _, value in report.counted(measure.name)]
    ends = [measure.interval] if measure.interval is not None else []
    low = min([*values, *(each.low for each in ends)])
    return Axis(low, max([*values, *(each.high for each in ends)]))


def _within_one(measure: Measure) -> bool:
    return measure.interval is not None and 0 <= measure.interval.low <= measure.interval.high <= 1


def _slices(report: Report) -> Iterator[str]:
    told = [each for each in report.measures.values() if each.mean is not None]
    shown = [each for each in told if each.name != ERROR or each.mean][:4]
    axes = {each.name: _axis_of(report, each) for each in shown if not _within_one(each)}
    for field in fields(report):
        rows = []
        for value, part in parts(report, field):
            cells = "".join(_slice_cell(part, measure, axes) for measure in shown)
            rows.append(
                f'<tr><th scope="row">{escaped(shortened(value, 60))}</th>'
                f'<td class="n">{part.cases:,}</td>{cells}</tr>'
            )
        heads = _heads(field, "cases", *(each.name for each in shown))
        yield _table(heads, rows)


def _slice_cell(part: Report, whole: Measure, axes: Mapping[str, Axis]) -> str:
    measure = part.measures.get(whole.name)
    if measure is None or measure.interval is None:
        return "<td>–</td>"
    on = Axis(0.0, 1.0) if _within_one(whole) else axes[whole.name]
    mean = number(measure.mean, kind_of(whole))
    said = f"{mean}, {span(measure.interval, kind_of(whole))}"
    return f"<td>{mean} {whisker(measure.interval, on, said)}</td>"


def _changes(changes: Changes, shown: _Shown) -> str:
    found = list(changes.measures.values())
    of_shares = [each.difference for each in found if _is_share(each)]
    rows = []
    for each in found:
        on = axis(of_shares if _is_share(each) else [each.difference], zero=True)
        look = "inconclusive" if each.is_lonely else "" if each.is_nothing else each.verdict
        chart = whisker(each.difference, on, each.amount, look)
        rows.append(
            f'<tr><th scope="row">{escaped(each.name)}</th>'
            f'<td class="n">{number(each.before, each.kind)}</td>'
            f'<td class="n">{number(each.after, each.kind)}</td>'
            f'<td>{chart}</td><td class="i">{each.amount}</td><td class="n">{p_value(each.p)}</td>'
            f'<td class="n">{p_value(each.adjusted)}</td>'
            f'<td class="said {look}">{escaped(changed.verdict(each))}</td></tr>'
        )
    heads = _heads("measure", "before", "after", "", "difference", "p", "p of all", "verdict")
    told = words(
        "p: of no difference, by this measure alone. p of all: when all measures but that of "
        "errors are allowed for (Holm).",
        "small",
    )
    told += "".join(words(each) for each in changed.said(changes))
    against = (
        words(f"against {changed.side(changes.baseline)}", "small") if changes.baseline else ""
    )
    flipped = "".join(_flips(*each, shown) for each in changed.flips(changes))
    return f"{against}{_table(heads, rows)}{told}{flipped}"


def _is_share(change: Change) -> bool:
    return change.kind == "rate" or max(abs(change.before), abs(change.after)) <= 1


def _flips(names: str, how: str, cases: Sequence[str], shown: _Shown) -> str:
    trials = [shown.trials[each] for each in cases if each in shown.trials]
    opened = " open" if how == "broke" else ""
    return (
        f'<details class="flips"{opened}><summary><strong>{escaped(names)}: {len(cases):,} {how}'
        f"</strong></summary>{_trials(trials, FLIPS, shown)}</details>"
    )


def _worst(shown: _Shown) -> Iterator[str]:
    for name, trials in shown.worst:
        yield f"<h3>by {escaped(name)}</h3>{_trials(trials, WORST, shown)}"


def _trials(trials: Sequence[Trial], most: int, shown: _Shown) -> str:
    told = "".join(_trial(each, shown) for each in trials[:most])
    more = f"<p>… {len(trials) - most:,} more</p>" if len(trials) > most else ""
    return told + more


def _trial(trial: Trial, shown: _Shown) -> str:
    scores = " · ".join(
        f"{name} {_value(score)}" for name, score in trial.scores.items() if score.value is not None
    )
    repeat = f" (repeat {trial.repeat + 1})" if shown.report.repeats > 1 else ""
    beside = escaped(shortened(scores or trial.error or "", 300))
    said = f"{escaped(shortened(trial.input, 110))} <small>{beside}</small>"
    reasons = "".join(
        words(f"{name}: {score.reason or score.error}", "small")
        for name, score in trial.scores.items()
        if score.reason or score.error
    )
    parts = [("input", trial.input), ("expected", trial.expected), ("output", trial.output)]
    inside = "".join(
        f"<h4>{label}</h4>{body(value)}" for label, value in parts if value is not None
    )
    if trial.error is not None:
        inside += words(f"✗ {trial.error}", "bad")
    case = shortened(trial.case, 200)
    where = f"case {case}{repeat} · {duration(trial.seconds)} · {dollars(trial.cost)}"
    if trial.record:
        where += f" · record {trial.record}"
    inside += reasons + _steps(shown.steps(trial), trial) + words(where, "small")
    return f"<details><summary>{said}</summary>{inside}</details>"


def _steps(found: Sequence[Step], trial: Trial) -> str:
    """What was called inside, in its order, each with its verdict; and what never was."""
    if not found:
        return ""
    wrong = first_wrong_of(found)
    told = "".join(_step(each, each is wrong) for each in found[:STEPS])
    more = words(f"… {len(found) - STEPS:,} more", "small") if len(found) > STEPS else ""
    for name, close in never_called(trial, (each.record for each in found)):
        guess = f"; did you mean '{close}'?" if close else ""
        more += words(f"✗ nothing was called '{name}', as the case's steps say{guess}", "bad")
    return f"<h4>steps</h4><ol>{told}</ol>{more}"


def _step(step: Step, is_first_wrong: bool) -> str:
    mark, look = _MARKS[step.state]
    record = step.record
    first = ' <b class="bad">the first that went wrong</b>' if is_first_wrong else ""
    expected = f"<h4>expected</h4>{body(step.expected, 1000)}" if step.state == "wrong" else ""
    failed = words(f"✗ {record.error}", "bad") if record.error is not None else ""
    said = failed or f"<h4>output</h4>{body(record.output, 1000)}"
    return (
        f'<li class="d{min(step.depth, 6)}"><details><summary><span class="{look}">{mark}</span> '
        f"{escaped(record.kind)} {escaped(shortened(record.name, 80))} "
        f"<small>{duration(record.seconds)}</small>{first}</summary>"
        f"<h4>input</h4>{body(record.input, 1000)}{said}{expected}"
        f"{words(f'record {record.id}', 'small')}</details></li>"
    )


_MARKS = {
    "": ("·", "small"),
    "right": ("✓", "better"),
    "wrong": ("✗", "bad"),
    "failed": ("✗", "bad"),
}


def _value(score: Score) -> str:
    if isinstance(score.value, bool):
        return "✓" if score.value else "✗"
    return score.value if isinstance(score.value, str) else f"{score.value:.3g}"


def _took(report: Report) -> str:
    times = [each.seconds * 1000 for each in report]
    chart = histogram(times, "milliseconds for a trial")
    costs = [each.cost / 1e6 for each in report if each.cost]
    if costs:
        chart += histogram(costs, "US dollars for a trial")
    usage = report.usage
    tokens = f"{usage.input:,} tokens in, {usage.output:,} out" if usage.input else ""
    return f'<div class="charts">{chart}</div>{words(tokens, "small") if tokens else ""}'


def _table(heads: str, rows: Iterable[str]) -> str:
    """A table that scrolls by itself where the page is narrow."""
    return f'<div class="wide"><table>{heads}<tbody>{"".join(rows)}</tbody></table></div>'


def _heads(*names: str) -> str:
    cells = "".join(f'<th scope="col">{escaped(each)}</th>' for each in names)
    return f"<thead><tr>{cells}</tr></thead>"


_STYLE = (
    COLOURS
    + """
h1{font-size:1.6rem;margin:0}h2{font-size:1.15rem;margin:2.2rem 0 .6rem}
h3{font-size:1rem;margin:1.2rem 0 .4rem}h4{font-size:.8rem;margin:.6rem 0 0;color:var(--dim)}
table{border-collapse:collapse;margin:.5rem 0 1rem}th{text-align:left;font-weight:600}
thead th{color:var(--dim);font-size:.85rem;font-weight:500}
td,th{padding:.25rem .9rem .25rem 0;border-bottom:1px solid var(--line);vertical-align:middle}
.n{text-align:right}.n,.i{font-variant-numeric:tabular-nums;white-space:nowrap}
.whisker{width:150px;height:15px;vertical-align:middle}
.axis{stroke:var(--line)}.zero{stroke:var(--dim);stroke-dasharray:2 2}
.reach{stroke:var(--mark);stroke-width:2.5}.whisker circle{fill:var(--mark)}
.whisker.worse .reach{stroke:var(--bad)}.whisker.worse circle{fill:var(--bad)}
.whisker.better .reach{stroke:var(--good)}.whisker.better circle{fill:var(--good)}
.worse,.bad{color:var(--bad)}.better{color:var(--good)}.inconclusive{color:var(--warn)}
.charts{display:flex;flex-wrap:wrap;gap:1.5rem}.histogram{margin:0}
.histogram svg{width:300px;height:74px}.histogram rect{fill:var(--mark)}
.histogram text{font-size:10px;fill:var(--dim)}figcaption{font-size:.85rem;color:var(--dim)}
details.flips{border:0;margin-top:.8rem}details.flips details{margin-left:1rem}
details{border-bottom:1px solid var(--line);padding:.35rem 0}summary{cursor:pointer}
small,.small,footer{color:var(--dim);font-size:.82rem}footer{margin-top:2.5rem}
pre{background:var(--soft);padding:.5rem .7rem;border-radius:5px;white-space:pre-wrap;
overflow-wrap:anywhere;max-height:24em;overflow:auto;font-size:.85rem;margin:.2rem 0}
.text{white-space:pre-wrap;overflow-wrap:anywhere;unicode-bidi:isolate}
.wide{overflow-x:auto}.said{min-width:12rem}.bars{margin:0;max-width:100%}
.mean line{stroke:var(--ink);stroke-width:2.5}.mean circle{fill:var(--ink)}
.bars table{margin:0}.bar{width:120px;height:10px}.bar rect{fill:var(--mark)}
ol{list-style:none;margin:.2rem 0;padding:0}li details{border:0;padding:.1rem 0}
.d1{margin-left:1rem}.d2{margin-left:2rem}.d3{margin-left:3rem}.d4{margin-left:4rem}
.d5{margin-left:5rem}.d6{margin-left:6rem}code{overflow-wrap:anywhere}
"""
)

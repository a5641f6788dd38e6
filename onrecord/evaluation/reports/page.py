"""A report as one HTML page that loads nothing and runs nothing: inline SVG, no script.

Inputs and outputs are texts from anywhere: they are escaped, and a policy in the page forbids
whatever would still try to run.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from onrecord.errors import StorageError
from onrecord.evaluation.experiments.report import ERROR, Measure, Report
from onrecord.evaluation.experiments.report import number as number_of
from onrecord.evaluation.reports.chart import Axis, axis, histogram, whisker
from onrecord.evaluation.reports.slices import fields, parts
from onrecord.evaluation.reports.wording import facts, heading, lines, number, span
from onrecord.evaluation.trial import Score, Trial
from onrecord.notebook import body, escaped, fragment, words
from onrecord.records import whole_file
from onrecord.records.views.wording import dollars, duration, shortened

if TYPE_CHECKING:
    from onrecord.evaluation.experiments.changes import Change, Changes

WORST, FLIPS = 10, 20
"""So many of the worst trials, and of the flips of a measure, are shown."""


def write_page(path: str | Path, report: Report, changes: Changes | None = None) -> Path:
    """Write the page to a file, at once or not at all. Raises StorageError."""
    place = Path(path)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        whole_file.write(place, page(report, changes))
    except OSError as error:
        raise StorageError(
            f"the page cannot be written: {error.strerror or error}", where=str(place)
        ) from None
    return place


def page(report: Report, changes: Changes | None = None) -> str:
    """The whole page: measures, what changed, slices, failures, the worst trials, what it took."""
    sections = [
        ("Measures", _measures(report)),
        ("Against the baseline", _changes(changes, report) if changes is not None else ""),
        ("Slices", "".join(_slices(report))),
        ("Failures", "".join(_trial(each, report) for each in report.failures[:WORST])),
        ("Worst trials", "".join(_worst(report))),
        ("Time and cost", _took(report)),
    ]
    said = "".join(f"<h2>{title}</h2>\n{inside}\n" for title, inside in sections if inside)
    title = escaped(shortened(heading(report), 120))
    run = f" · run <code>{escaped(report.run)}</code>" if report.run else ""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
        f"style-src '{_hash(_STYLE)}'\">"
        f"<title>{title}</title><style>{_STYLE}</style></head>\n"
        f"<body><h1>{title}</h1><p>{escaped(facts(report))}{run}</p>\n{said}"
        f"<footer>{_versions(report)}</footer></body></html>\n"
    )


def section(report: Report) -> str:
    """The measures alone, for a notebook."""
    rows = "".join(
        f"<tr><td>{escaped(each.name)}</td><td>{each.mean}</td><td>{each.interval}</td>"
        f"<td>{each.trials}</td></tr>"
        for each in lines(report)
    )
    table = f"<table><tr><th>measure<th>mean<th>95 % interval<th>trials</tr>{rows}</table>"
    return fragment(words(heading(report), "said"), table, words(facts(report), "small"))


def _measures(report: Report) -> str:
    shown = [each for each in report.measures.values() if each.name != ERROR or each.mean]
    on = axis([each.interval for each in shown if each.interval and _within_one(each)])
    rows = []
    for line, measure in zip(lines(report), shown, strict=True):
        chart = ""
        if measure.interval is not None:
            own = on if _within_one(measure) else axis([measure.interval])
            chart = whisker(measure.interval, own, f"{line.mean}, {line.interval}")
        rows.append(
            f'<tr><th scope="row">{escaped(line.name)}</th><td class="n">{line.mean}</td>'
            f'<td>{chart}</td><td class="i">{escaped(line.interval)}</td>'
            f"<td>{escaped(line.trials)}</td></tr>"
        )
    heads = _heads("measure", "mean", "", "95 % interval", "trials")
    table = f"<table>{heads}<tbody>{''.join(rows)}</tbody></table>"
    spread = "".join(
        histogram(_numbers(report, each.name), each.name) for each in shown if each.kind == "mean"
    )
    return f'{table}<div class="charts">{spread}</div>'


def _within_one(measure: Measure) -> bool:
    return measure.interval is not None and 0 <= measure.interval.low <= measure.interval.high <= 1


def _numbers(report: Report, name: str) -> list[float]:
    found = (number_of(trial, name, None) for trial in report)
    return [each for each in found if each is not None]


def _slices(report: Report) -> Iterator[str]:
    told = [each for each in report.measures.values() if each.mean is not None]
    shown = [each for each in told if each.name != ERROR or each.mean][:4]
    for field in fields(report):
        rows = []
        for value, part in parts(report, field):
            cells = "".join(_slice_cell(part, measure) for measure in shown)
            rows.append(
                f'<tr><th scope="row">{escaped(shortened(value, 60))}</th>'
                f'<td class="n">{part.cases:,}</td>{cells}</tr>'
            )
        heads = _heads(field, "cases", *(each.name for each in shown))
        yield f"<table>{heads}<tbody>{''.join(rows)}</tbody></table>"


def _slice_cell(part: Report, whole: Measure) -> str:
    measure = part.measures.get(whole.name)
    if measure is None or measure.interval is None:
        return "<td>–</td>"
    on = Axis(0.0, 1.0) if _within_one(whole) else axis([measure.interval])
    mean = number(measure.mean, whole.kind)
    said = f"{mean}, {span(measure.interval, whole.kind)}"
    return f"<td>{mean} {whisker(measure.interval, on, said)}</td>"


def _changes(changes: Changes, report: Report) -> str:
    found = list(changes.measures.values())
    on = axis([each.difference for each in found], zero=True)
    rows = "".join(
        f'<tr><th scope="row">{escaped(each.name)}</th>'
        f'<td class="n">{number(each.before, each.kind)}</td>'
        f'<td class="n">{number(each.after, each.kind)}</td>'
        f"<td>{whisker(each.difference, on, str(each), each.verdict)}</td>"
        f'<td class="{each.verdict}">{escaped(each.words)}</td></tr>'
        for each in found
    )
    heads = _heads("measure", "before", "after", "difference", "verdict")
    trials = {each.case: each for each in reversed(report.trials)}
    flips, told = "", set()
    for each in found:
        if (each.broke, each.mended) not in told:  # measures of one kind often flip together
            told.add((each.broke, each.mended))
            flips += _flips(each, trials, report)
    return f"<table>{heads}<tbody>{rows}</tbody></table>{flips}"


def _flips(change: Change, trials: dict[str, Trial], report: Report) -> str:
    said = []
    for word, cases in (("broke", change.broke), ("mended", change.mended)):
        if cases:
            shown = "".join(_trial(trials[each], report) for each in cases[:FLIPS])
            more = f"<p>… {len(cases) - FLIPS:,} more</p>" if len(cases) > FLIPS else ""
            name = escaped(change.name)
            opened = " open" if word == "broke" else ""
            said.append(
                f'<details class="flips"{opened}><summary><strong>{name}: {len(cases):,} {word}'
                f"</strong></summary>{shown}{more}</details>"
            )
    return "".join(said)


def _worst(report: Report) -> Iterator[str]:
    told: set[tuple[str, int]] = set()
    for measure in report.measures.values():
        if measure.mean is None or measure.name == ERROR or measure.better is None:
            continue
        for trial in report.worst(measure.name, WORST):
            place = trial.case, trial.repeat
            if trial.error is None and place not in told and len(told) < WORST:
                told.add(place)
                yield _trial(trial, report)


def _trial(trial: Trial, report: Report) -> str:
    scores = " · ".join(
        f"{name} {_value(score)}" for name, score in trial.scores.items() if score.value is not None
    )
    repeat = f" (repeat {trial.repeat + 1})" if report.repeats > 1 else ""
    beside = escaped(scores or trial.error or "")
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
    where = f"case {trial.case}{repeat} · {duration(trial.seconds)} · {dollars(trial.cost)}"
    if trial.record:
        where += f" · record {trial.record}"
    return f"<details><summary>{said}</summary>{inside}{reasons}{words(where, 'small')}</details>"


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


def _versions(report: Report) -> str:
    said = [
        f"application {report.application.name} {report.application.version[:12]}",
        f"dataset {report.dataset.name} {report.dataset.version[:12]}",
        *(f"scorer {each.name} {each.version[:12]}" for each in report.scorers),
        f"seed {report.seed}",
    ]
    return escaped(" · ".join(said))


def _heads(*names: str) -> str:
    cells = "".join(f'<th scope="col">{escaped(each)}</th>' for each in names)
    return f"<thead><tr>{cells}</tr></thead>"


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


_STYLE = """
:root{color-scheme:light dark;--ink:#1c1c1c;--dim:#606060;--line:#d4d4d4;--paper:#fff;
--mark:#2f6fdb;--good:#1d7f45;--bad:#c2342e;--warn:#a86a00;--soft:#f3f4f6}
@media (prefers-color-scheme:dark){:root{--ink:#ececec;--dim:#a4a4a4;--line:#3d3d3d;
--paper:#151515;
--mark:#7aa9f7;--good:#5fc98b;--bad:#f0837d;--warn:#e0ad55;--soft:#202225}}
body{margin:2rem auto;max-width:66rem;padding:0 1rem;font:15px/1.5 system-ui,sans-serif;
color:var(--ink);background:var(--paper)}
h1{font-size:1.6rem;margin:0}h2{font-size:1.15rem;margin:2.2rem 0 .6rem}
h3{font-size:1rem;margin:1.2rem 0 .4rem}h4{font-size:.8rem;margin:.6rem 0 0;color:var(--dim)}
table{border-collapse:collapse;margin:.5rem 0 1rem}th{text-align:left;font-weight:600}
thead th{color:var(--dim);font-size:.85rem;font-weight:500}
td,th{padding:.25rem .9rem .25rem 0;border-bottom:1px solid var(--line);vertical-align:middle}
.n{text-align:right}.n,.i{font-variant-numeric:tabular-nums;white-space:nowrap}
.whisker{width:180px;height:18px;vertical-align:middle}
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
"""

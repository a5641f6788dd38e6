"""How the numbers of a report are said: rates in per cent, means in three digits, intervals."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from onrecord.evaluation.experiments.report import Measure, Report
from onrecord.evaluation.meant import doubts
from onrecord.evaluation.statistics import Interval
from onrecord.records.views.wording import dollars, duration, shortened


class Line(NamedTuple):
    """A measure in words: its name, its mean, its interval, and what was left out of it."""

    name: str
    mean: str
    interval: str
    trials: str


def lines(report: Report) -> list[Line]:
    """Every measure of a report, in words; the rate of errors only where there were some."""
    measures = report.measures.values()
    return [_line(each) for each in measures if each.name != "error" or each.mean]


def kind_of(measure: Measure) -> str:
    """As what its numbers are shown: the corrected rate of a judge is no mean over trials, but a
    rate all the same."""
    corrected = measure.kind == "overall" and measure.name.endswith(".corrected")
    return "rate" if corrected else measure.kind


def p_value(p: float) -> str:
    """A p-value in three digits."""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def versions(report: Report) -> str:
    """What this was made with, so that it can be told from another: the versions of the
    application, the cases and each scorer, a judge's among them."""
    said = [
        f"application {report.application.name} {report.application.version[:12]}",
        f"dataset {report.dataset.name or 'cases'} {report.dataset.version[:12]}",
        *(f"scorer {each.name} {each.version[:12]}" for each in report.scorers),
        f"seed {report.seed}",
    ]
    return " · ".join(each.strip() for each in said)


def number(value: float | None, kind: str) -> str:
    """A mean: 0.6 is "60.0 %" as a rate, and "0.600" else; "–" where there is none."""
    if value is None:
        return "–"
    if kind == "rate":
        return f"{100 * value:.1f} %"
    if value and (abs(value) >= 10_000 or abs(value) < 0.001):
        return f"{value:.3g}"
    return f"{value:.3f}" if abs(value) < 100 else f"{value:,.1f}"


def span(interval: Interval | None, kind: str) -> str:
    """The two ends of an interval."""
    if interval is None:
        return ""
    if interval.is_a_point:
        return "one case tells none" if interval.cases == 1 else "none: all are alike"
    if kind == "rate":
        return f"{100 * interval.low:.1f} – {100 * interval.high:.1f} %"
    return f"{number(interval.low, kind)} – {number(interval.high, kind)}"


def heading(report: Report) -> str:
    """What was evaluated, on what."""
    where = f" where {report.slice_of}" if report.slice_of else ""
    return f"{report.application.name} on {report.dataset.name or 'cases'}{where}"


def cases(count: int) -> str:
    """So many cases."""
    return "1 case" if count == 1 else f"{count:,} cases"


def facts(report: Report) -> str:
    """How much there was, how long it took, what it cost: one line."""
    said = [cases(report.cases)]
    if report.repeats > 1:
        said.append(f"{len(report):,} trials")
    if failed := len(report.failures):
        said.append(f"{failed:,} failed")
    p50, p95 = report.latency(0.5), report.latency(0.95)
    if p50 is not None and p95 is not None:
        said.append(f"p50 {duration(p50)}, p95 {duration(p95)}")
    said.append("no cost" if report.cost == 0 else dollars(report.cost))
    if report.scoring_cost != 0:
        said.append(f"scoring {dollars(report.scoring_cost)}")
    if report.seconds or not report.unanswered:  # nobody knows how long an interrupted one took
        said.append(duration(report.seconds))
    return " · ".join(said)


def notes(report: Report) -> list[str]:
    """What whoever reads the measures has to know besides: that trials are missing, why the
    application and scorers failed, what is odd about a measure or in a case."""
    return [*unfinished(report), *_failed(report), *remarks(report)]


def remarks(report: Report) -> list[str]:
    """The same of measures and cases alone."""
    return [
        *unscorable(report),
        *unscored(report),
        *not_kept(report),
        *slips(report),
        *odd(report),
    ]


def not_kept(report: Report) -> list[str]:
    """Of which cases the output is not here, though its scores are."""
    if not (found := report.not_kept):
        return []
    some = ", ".join(f"{shortened(each.case, 40)} ({each.not_kept:,} bytes)" for each in found[:3])
    more = f" and {len(found) - 3:,} more" if len(found) > 3 else ""
    what = "output was" if len(found) == 1 else "outputs were"
    return [f"{len(found):,} {what} too large to be kept (max_body_mb): {some}{more}"]


def odd(report: Report) -> list[str]:
    """What is odd about a measure: that its scorer gave values of several kinds."""
    return [f"{name}: {each.note}" for name, each in report.measures.items() if each.note]


def slips(report: Report) -> list[str]:
    """What cases name and nothing was called, though something else much like it was."""
    found = doubts(report.trials)
    some = [f"“{name}” ({count:,}), and “{close}” was" for name, close, count in found[:_SLIPS]]
    more = f" and {len(found) - _SLIPS:,} more" if len(found) > _SLIPS else ""
    if not found:
        return []
    return [f"perhaps misspelt in the cases, for it was not found: {'; '.join(some)}{more}"]


def unscored(report: Report) -> list[str]:
    """Why measures are of no trial at all, where their scorers say one reason for it."""
    by: dict[str, list[str]] = {}
    answered = [each for each in report if each.error is None]
    for name, measure in report.measures.items():
        if not measure.missing or measure.count or measure.errors:
            continue
        reasons = {each.scores[name].reason for each in answered if name in each.scores}
        if len(reasons) == 1 and (reason := reasons.pop()):
            by.setdefault(reason, []).append(name)
    return [f"{', '.join(names)}: never scored: {reason}" for reason, names in by.items()]


def unfinished(report: Report) -> list[str]:
    """That an experiment was interrupted, and what it was at."""
    if not report.unanswered:
        return []
    of = "" if report.slice_of else f" of {report.unanswered + len(report):,}"
    said = f"interrupted: {report.unanswered:,}{of} were not answered"
    if report.begun:
        begun = ", ".join(shortened(each, 40) for each in report.begun[:_LABELS])
        more = f" and {len(report.begun) - _LABELS:,} more" if len(report.begun) > _LABELS else ""
        said += f"; begun and not ended: {begun}{more}"
    return [said]


def unscorable(report: Report) -> list[str]:
    """Why scorers failed, each with its most frequent error."""
    errors: dict[str, list[str]] = {}
    for trial in report:
        for name, score in trial.scores.items():
            if score.error is not None and trial.error is None:
                errors.setdefault(name, []).append(score.error)
    return [f"{name}: {_most(each, 'not scorable')}" for name, each in errors.items()]


def _failed(report: Report) -> list[str]:
    errors = [each.error or "" for each in report.failures]
    return [_most(errors, "failed")] if errors else []


def _most(errors: Sequence[str], what: str) -> str:
    """How many failed, and the error that most of them had."""
    ((error, count),) = Counter(errors).most_common(1)
    like = "" if count == len(errors) else f", {count:,} of them"
    return f"{len(errors):,} {what}{like}: {_sentences(error)}"


def _sentences(text: str) -> str:
    """The beginning of a text in one line, to the end of a sentence: half a cure helps nobody."""
    flat = shortened(text, 4 * _LONGEST)
    if len(flat) <= _LONGEST:
        return flat
    end = max(flat.rfind(f"{sign} ", 0, _LONGEST) for sign in ".!?")
    return f"{flat[: end + 1]} …" if end > _LONGEST // 4 else shortened(flat, _LONGEST)


def _line(measure: Measure) -> Line:
    trials = f"{measure.count:,}"
    left_out = [
        f"{number:,} {why}"
        for number, why in (
            (measure.failed, "failed"),
            (measure.missing, "not scored"),
            (measure.errors, "not scorable: the scorer failed"),
        )
        if number
    ]
    if left_out:
        trials += f" ({', '.join(left_out)})"
    if measure.labels:
        told = list(measure.labels.items())
        shares = ", ".join(f"{shortened(name, 40)} {count:,}" for name, count in told[:_LABELS])
        if len(told) > _LABELS:
            shares += f" and {len(told) - _LABELS:,} more"
        return Line(measure.name, "", "", f"{trials}: {shares}")
    kind = kind_of(measure)
    mean, interval = number(measure.mean, kind), span(measure.interval, kind)
    return Line(measure.name, mean, interval, trials)


_LONGEST, _SLIPS = 400, 3
_LABELS = 8
"""So many labels, or cases, are named before "and 22 more"."""

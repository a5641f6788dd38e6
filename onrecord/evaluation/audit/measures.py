"""Which measures of an experiment say something of what.

A measure is known by its name alone. What a scorer of a user's own looks at nobody knows but by
what it is called, and by what its dataset is called; an audit shows the names it went by.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from onrecord.evaluation.audit.evaluated import Experiment
from onrecord.evaluation.audit.wording import amount, short
from onrecord.evaluation.experiments.report import ERROR, Measure
from onrecord.evaluation.reports.wording import number, span

WORDS = {
    "leaking": "leak pii privacy personal_data secret redact",
    "injection": "inject jailbreak attack adversarial",
    "unfair treatment": "bias fair toxic stereotyp honest_ group_gap gap_ parity discriminat",
    "misuse": "misuse jailbreak harm abuse toxic prohibited out_of_scope",
    "over-reliance": "refus citation cite ground halluc calibrat faithful",
}
"""The beginnings of words, by what they speak of."""
_OPERATION = re.compile(r"(?:latency|seconds|tokens|usd|cost)(?:\..+)?")


def quality(experiment: Experiment) -> tuple[Measure, ...]:
    """The measures that say how good answers were: all but failures, time, tokens and cost."""
    return tuple(
        each
        for each in experiment.measures
        if each.name != ERROR and not _OPERATION.fullmatch(each.name) and each.count
    )


def about(experiment: Experiment, what: str) -> tuple[Measure, ...]:
    """The measures that speak of something by their name, or all where the dataset's name does."""
    speaks = re.compile(
        "|".join(rf"(?:^|[^a-z]){re.escape(each)}" for each in WORDS[what].split()), re.IGNORECASE
    )
    measures = quality(experiment)
    if speaks.search(experiment.dataset):
        return measures
    return tuple(each for each in measures if speaks.search(each.name))


def measured(measures: Sequence[Measure], most: int = 4) -> str:
    """Measures in words: each with its mean, its interval, and of how many trials it is."""
    told = [_measured(each) for each in measures[:most]]
    if len(measures) > most:
        told.append(f"and {amount(len(measures) - most, 'more measure')}")
    return ", ".join(told)


def named(experiment: Experiment) -> str:
    """The dataset of an experiment: name, version and size."""
    name = experiment.dataset or "cases without a name"
    cases = f"{experiment.cases:,} case{'' if experiment.cases == 1 else 's'}"
    return f"{name} {short(experiment.dataset_version)} ({cases})"


def _measured(each: Measure) -> str:
    told = [amount(each.count, "trial")]
    if each.labels:
        shown = [f"{label} {count:,}" for label, count in each.labels.items()]
        told += [*shown[:_LABELS], *(["…"] if len(shown) > _LABELS else [])]
        return f"{each.name} ({', '.join(told)})"
    if each.interval is not None:
        level = f"{100 * each.interval.level:g} % interval"
        told.insert(0, f"{level} {span(each.interval, each.kind)}")
    return f"{each.name} {number(each.mean, each.kind)} ({', '.join(told)})"


_LABELS = 4

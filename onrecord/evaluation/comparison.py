"""What a comparison found: of each model what it answered, how good, fast and dear that was."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np

from onrecord.evaluation.statistics import Interval, Verdict, paired_comparison
from onrecord.messages import Usage
from onrecord.records.record import plain
from onrecord.records.views.drawing import padded, wide
from onrecord.records.views.wording import dollars, duration, flat

Scores = dict[str, tuple[float, ...]]


class Outcome(msgspec.Struct, frozen=True):
    """One case, as one model answered it.

    `seconds` is how long the answer took, its repairs included and waiting in line not; `cost` is
    in integer micro-dollars, None where it is not known. Without an answer `error` says why.
    `record` is the record that holds all requests made for it; `reused` that it was made before.
    """

    case: str
    prediction: Any = None
    seconds: float = 0.0
    cost: int | None = 0
    usage: Usage = Usage()
    error: str | None = None
    record: str = ""
    reused: bool = False


class ModelResult(msgspec.Struct, frozen=True, dict=True):
    """What one model did, asked in one way.

    `scores`: by scorer, one number for each case that expects something, in the cases' order; no
    answer counts what `Comparison.worst` says. `memory`: bytes by which this process grew at its
    peak, None for a model that runs elsewhere; `warm_up`: seconds of a first answer that is not
    counted, for it loads the model into this process, None where there was none.
    """

    model: str
    ask: str
    outcomes: tuple[Outcome, ...]
    scores: Scores
    memory: int | None = None
    warm_up: float | None = None

    @property
    def answered(self) -> tuple[Outcome, ...]:
        """The cases that got an answer."""
        return tuple(each for each in self.outcomes if each.error is None)

    @property
    def failures(self) -> int:
        """How many cases got none."""
        return len(self.outcomes) - len(self.answered)

    @functools.cached_property
    def quality(self) -> dict[str, float]:
        """The mean of each scorer; of a model that never answered there is none."""
        if not self.answered:
            return {}
        return {name: float(np.mean(each)) for name, each in self.scores.items() if each}

    def latency(self, percent: float) -> float | None:
        """A percentile of the seconds of answers, linear between two of them."""
        seconds = [each.seconds for each in self.answered]
        return float(np.percentile(seconds, percent)) if seconds else None

    @property
    def cost(self) -> int:
        """Micro-dollars of all calls whose price is known, those without an answer included."""
        return sum(each.cost or 0 for each in self.outcomes)

    @property
    def unpriced(self) -> int:
        """Of how many cases the cost is not known."""
        return sum(each.cost is None for each in self.outcomes)

    @property
    def usage(self) -> Usage:
        """The tokens of all calls."""
        return sum((each.usage for each in self.outcomes), Usage())


class Difference(msgspec.Struct, frozen=True):
    """How far one model is from the best one, on the same cases.

    `verdict`: "worse", "better", or "inconclusive" where these cases do not tell, because the
    interval holds 0 or they are too few (`onrecord.evaluation.statistics.verdict`).
    """

    model: str
    ask: str
    scorer: str
    interval: Interval
    verdict: Verdict


class Comparison(msgspec.Struct, frozen=True, dict=True):
    """Models side by side, in the order they were given; `run` is the run that holds every request.

    `scorers` are the names, the one that decides first. `concurrent`: how many cases were asked at
    once, which the latencies are those of. `worst`: by scorer, what a case without an answer
    counts.
    """

    dataset: str
    version: str
    cases: int
    scored: int
    scorers: tuple[str, ...]
    concurrent: int
    results: tuple[ModelResult, ...]
    run: str = ""
    worst: dict[str, float] = {}

    @property
    def best(self) -> ModelResult | None:
        """The one with the highest mean of the first scorer; of equal ones the first."""
        known = [each for each in self.results if each.quality]
        if not known:
            return None
        return max(known, key=lambda each: each.quality[self.scorers[0]])

    @functools.cached_property
    def differences(self) -> tuple[Difference, ...]:
        """Of each other model to the best one, by each scorer: paired bootstrap intervals.

        All intervals of a scorer hold together 95 % of the time (Bonferroni: with k models each has
        the level 1 - .05 / (k - 1)). The best one was chosen on these very cases, so its lead is on
        the high side.
        """
        best = self.best
        others = [each for each in self.results if each.quality and each is not best]
        if best is None or not others:
            return ()
        level = 1 - 0.05 / len(others)
        return tuple(
            _difference(each, best, scorer, level) for each in others for scorer in self.scorers
        )

    @property
    def ties(self) -> tuple[ModelResult, ...]:
        """The models that are as good as the best one by the first scorer, where there are any; it
        is among them."""
        if (best := self.best) is None:
            return ()
        scorer = self.scorers[0]
        equal = [each for each in self.results if each.quality.get(scorer) == best.quality[scorer]]
        return tuple(equal) if len(equal) > 1 else ()

    @property
    def notes(self) -> tuple[str, ...]:
        """What the numbers do not say by themselves, one sentence each."""
        return tuple(_notes(self))

    def label(self, each: ModelResult | Difference) -> str:
        """A model's name, and how it was asked where there is more than one way."""
        several = len({result.ask for result in self.results}) > 1
        return f"{each.ask} · {each.model}" if several else each.model

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Column heads and rows for a person. Columns that would say nothing are left out."""
        columns = [
            ("model", [self.label(each) for each in self.results]),
            *(
                (_head(scorer), [_score(each, scorer) for each in self.results])
                for scorer in self.scorers
                if self.scored
            ),
            ("p50", [_seconds(each.latency(50)) for each in self.results]),
            ("p95", [_seconds(each.latency(95)) for each in self.results]),
            ("cost", [_cost(each) for each in self.results]),
            ("tokens", [_tokens(each.usage) for each in self.results]),
        ]
        if any(each.failures for each in self.results):
            columns.append(("failed", [f"{each.failures:,}" for each in self.results]))
        if any(each.memory is not None for each in self.results):
            columns.append(("memory", [_memory(each.memory) for each in self.results]))
        heads, cells = [head for head, _ in columns], [cells for _, cells in columns]
        return heads, [list(row) for row in zip(*cells, strict=True)]

    def difference_table(self) -> tuple[list[str], list[list[str]]]:
        """Column heads and rows of the differences to the best model; no rows without any."""
        rows = [
            [
                self.label(each),
                _head(each.scorer),
                f"{each.interval.mean:+.3f}",
                f"{each.interval.low:+.3f}",
                f"{each.interval.high:+.3f}",
                each.verdict,
            ]
            for each in self.differences
        ]
        return ["beside the best", "by", "difference", "from", "to", ""], rows

    def text(self) -> str:
        """Both tables and the notes, for a person."""
        heads, rows = self.table()
        lines = [*_laid_out(heads, rows, left=1), ""]
        heads, rows = self.difference_table()
        if rows:
            lines += [self.heading, *_laid_out(heads, rows, left=2), ""]
        lines.append(self.summary)
        return "\n".join([*lines, *(f"note: {flat(note)}" for note in self.notes)])

    @property
    def heading(self) -> str:
        """What stands above the table of differences; empty where no model answered."""
        if self.best is None:
            return ""
        cases = f"case{'s' * (self.scored != 1)}"
        name = self.label(self.best)
        if self.ties:  # the notes name all of them
            return f"no single one is best. Beside {name}, on the same {self.scored:,} {cases}:"
        return f"best: {name}. Beside it, on the same {self.scored:,} {cases}:"

    @property
    def summary(self) -> str:
        """One line: how many cases, and where their requests can be read."""
        count = f"{self.cases:,} case{'s' * (self.cases != 1)}, {self.concurrent} at once"
        return f"{count}. Every request: onrecord records show {self.run}"

    def document(self) -> dict[str, Any]:
        """Everything as plain values, for JSON; costs in dollars. `best` is None where several are
        equally good."""
        best = None if self.ties else self.best
        found: dict[str, Any] = plain(
            {
                "dataset": {"name": self.dataset, "version": self.version, "cases": self.cases},
                "scorers": self.scorers,
                "worst": self.worst,
                "concurrent": self.concurrent,
                "models": [_document(each) for each in self.results],
                "best": None if best is None else {"model": best.model, "ask": best.ask},
                "differences": [
                    {
                        **{name: getattr(each, name) for name in ("model", "ask", "scorer")},
                        "value": each.interval.mean,
                        "low": each.interval.low,
                        "high": each.interval.high,
                        "level": each.interval.level,
                        "verdict": each.verdict,
                    }
                    for each in self.differences
                ],
                "notes": self.notes,
                "run": self.run,
            }
        )
        return found


def _difference(one: ModelResult, best: ModelResult, scorer: str, level: float) -> Difference:
    found = paired_comparison(one.scores[scorer], best.scores[scorer], level=level)
    return Difference(one.model, one.ask, scorer, found.difference, found.verdict)


def _notes(comparison: Comparison) -> Iterator[str]:
    yield from _on_scores(comparison)
    local = [each for each in comparison.results if each.memory is not None]
    if len(local) > 1:
        yield (
            f"the memory of {comparison.label(local[0])}, the first in this process, includes the "
            "libraries that it needed"
        )
    for each in comparison.results:
        yield from _on_result(comparison.label(each), each, comparison.worst)


def _on_scores(comparison: Comparison) -> Iterator[str]:
    results, cases = comparison.results, comparison.cases
    if not comparison.scored:
        yield "no case says what is expected, so nothing is scored"
    elif comparison.scored < cases:
        yield f"{comparison.scored:,} of {cases:,} cases say what is expected; only they are scored"
    if 0 < comparison.scored < _FEW and len(results) > 1:
        yield (
            f"{comparison.scored} cases are few: intervals of fewer than {_FEW} are rough, and a "
            "p95 of them is about the slowest answer"
        )
    if comparison.ties:
        names = ", ".join(map(comparison.label, comparison.ties))
        yield (
            f"{names} are equally good by {_head(comparison.scorers[0])}; the first is taken for "
            "the best"
        )


def _on_result(name: str, each: ModelResult, worst: dict[str, float]) -> Iterator[str]:
    cases = len(each.outcomes)
    if each.failures:
        first = next(one.error for one in each.outcomes if one.error is not None)
        counts = f"; they count {_counting(worst)}" if each.answered else ""
        yield f"{name}: {each.failures:,} of {cases:,} cases without an answer{counts}. " + (
            f"The first: {first}"
        )
    if reused := sum(one.reused for one in each.outcomes):
        yield (
            f"{name}: {reused:,} of {cases:,} answers were on record; their times and costs are "
            "those of then"
        )
    if each.unpriced:
        yield f"{name}: the cost of {each.unpriced:,} of {cases:,} cases is not known"


def _counting(worst: dict[str, float]) -> str:
    """What cases without an answer count."""
    if not any(worst.values()):
        return "0"
    return ", ".join(f"{value:.4g} by {_head(name)}" for name, value in worst.items())


def _document(each: ModelResult) -> dict[str, Any]:
    return {
        "model": each.model,
        "ask": each.ask,
        "quality": each.quality,
        "p50_seconds": each.latency(50),
        "p95_seconds": each.latency(95),
        "cost_usd": None if each.unpriced else each.cost / 1e6,
        "known_cost_usd": each.cost / 1e6,
        "usage": each.usage,
        "failed": each.failures,
        "memory_bytes": each.memory,
        "warm_up_seconds": each.warm_up,
        "cases": [
            {
                **{name: getattr(one, name) for name in ("case", "prediction", "error", "record")},
                "seconds": one.seconds,
                "cost_usd": None if one.cost is None else one.cost / 1e6,
                "reused": one.reused,
            }
            for one in each.outcomes
        ],
        "scores": each.scores,
    }


def _laid_out(heads: list[str], rows: list[list[str]], *, left: int) -> Iterator[str]:
    """Lines of a table: `left` columns of names, then columns of numbers."""
    rows = [[flat(cell) for cell in row] for row in rows]
    widths = [max(wide(row[at]) for row in [heads, *rows]) for at in range(len(heads))]
    for row in [heads, *rows]:
        cells = (padded(cell, widths[at], right=at >= left) for at, cell in enumerate(row))
        yield "  ".join(cells).rstrip()


def _head(scorer: str) -> str:
    return _HEADS.get(scorer, scorer.replace("_", " "))


def _score(result: ModelResult, scorer: str) -> str:
    found = result.quality.get(scorer)
    return "–" if found is None else f"{found:.3f}"


def _seconds(seconds: float | None) -> str:
    return "–" if seconds is None else duration(seconds)


def _cost(result: ModelResult) -> str:
    if result.unpriced == len(result.outcomes):
        return "?"
    return dollars(result.cost) + (" + ?" if result.unpriced else "")


def _tokens(usage: Usage) -> str:
    return f"{usage.input:,} → {usage.output:,}"


def _memory(bytes: int | None) -> str:
    if bytes is None:
        return "-"
    return f"{bytes / 1e9:.2f} GB" if bytes >= 1e9 else f"{bytes / 1e6:.0f} MB"


_HEADS = {"token_f1": "F1", "exact_match": "exact"}
_FEW = 20

"""A report: what came out of an experiment, trial by trial, and what it comes to."""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from onrecord.errors import LoadError, UsageError
from onrecord.evaluation.experiments.measure import (
    Measure,
    MeasureKind,
    given_by,
    measured,
    number,
    rate_of_errors,
    worst_in,
)
from onrecord.evaluation.scoring import ERROR, LOWEST, Facts
from onrecord.evaluation.statistics import Interval
from onrecord.evaluation.trial import Trial
from onrecord.messages import Usage
from onrecord.records import whole_file

if TYPE_CHECKING:
    from onrecord.evaluation.experiments.changes import Changes
    from onrecord.evaluation.gate import Verdict

__all__ = ["ERROR", "Measure", "MeasureKind", "Report", "Subject", "number"]

FORMAT = 1
"""The version of the form that a report is saved in."""


class Subject(msgspec.Struct, frozen=True):
    """What was evaluated, or on what: a name, and the version that it had."""

    name: str
    version: str


class Report(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """What came out of an experiment: every trial, and its measures.

    `run` is the id of its records (empty where nothing was recorded). `seconds`: from the beginning
    to the end. `scoring_cost`: what judges took, in integer micro-dollars. `overall`: what scorers
    said of all trials together; a slice has none of it. Of an experiment that was interrupted,
    `unanswered` is how many trials it lacks, and `begun` the cases of those that were begun.
    `format` is that of the saved file.
    """

    application: Subject
    dataset: Subject
    scorers: tuple[Facts, ...]
    trials: tuple[Trial, ...]
    run: str = ""
    repeats: int = 1
    seed: int = 0
    started_ns: int = 0
    seconds: float = 0.0
    scoring_cost: int | None = 0
    overall: dict[str, Interval] = {}
    slice_of: str = ""
    unanswered: int = 0
    begun: tuple[str, ...] = ()
    format: int = FORMAT

    @functools.cached_property
    def measures(self) -> dict[str, Measure]:
        """Every score over all trials, by its name: first the rate of errors."""
        found = {ERROR: rate_of_errors(self.trials, self.seed)}
        names = dict.fromkeys(name for trial in self.trials for name in trial.scores)
        for facts in self.scorers:
            for name in given_by(facts, names, self.trials):
                found[name] = measured(name, facts, self.trials, self.seed)
            for name, interval in self.overall.items():
                if facts.gave(name):
                    better = facts.better_of(name)
                    found[name] = Measure(
                        name, "overall", len(self.trials), better=better, interval=interval
                    )
        return found

    def counted(self, name: str, beside: Report | None = None) -> Iterator[tuple[Trial, float]]:
        """The trials that a measure is the mean of, each with what it counts: where the application
        failed, the scorer's worst. Of labels, and of what is "overall", none. `beside`: another
        report that this one is compared with, so that a failure counts the same in both."""
        if name != ERROR and self.measure(name).kind in ("labels", "overall"):
            return
        worst = self._worst_of(name, beside)
        for trial in self.trials:
            if (value := number(trial, name, worst)) is not None:
                yield trial, value

    def lowest(self, name: str, beside: Report | None = None) -> float:
        """What a failed trial counts in a measure whose scorer does not say, where that is below 0;
        else 0. `beside`: another report that this one is compared with."""
        is_said = self._facts_of(name).worst_of(name) != LOWEST
        return 0.0 if is_said else self._worst_of(name, beside) or 0.0

    def _worst_of(self, name: str, beside: Report | None) -> float | None:
        trials = self.trials if beside is None else (*self, *beside)
        return worst_in(name, self._facts_of(name), trials)

    def _facts_of(self, name: str) -> Facts:
        none = Facts(name, worst=None)  # of the rate of errors there is no scorer
        return next((each for each in self.scorers if each.gave(name)), none)

    @property
    def cost(self) -> int | None:
        """What the application's calls cost, in integer micro-dollars; None where one is not
        known."""
        costs = [each.cost for each in self.trials]
        return None if None in costs else sum(each or 0 for each in costs)

    @property
    def usage(self) -> Usage:
        """The tokens of the application's calls together."""
        return sum((each.usage for each in self.trials), Usage())

    @property
    def cases(self) -> int:
        """How many cases were answered."""
        return len({each.case for each in self.trials})

    @property
    def not_kept(self) -> tuple[Trial, ...]:
        """Of a report from the records, the trials whose output was too large to be kept."""
        return tuple(each for each in self.trials if each.not_kept)

    @property
    def failures(self) -> tuple[Trial, ...]:
        """The trials in which the application failed."""
        return tuple(each for each in self.trials if each.error is not None)

    def latency(self, share: float) -> float | None:
        """Seconds within which this share of the trials was answered (nearest rank); 0.5 is the
        median. None without trials."""
        times = sorted(each.seconds for each in self.trials)
        if not times:
            return None
        return times[min(len(times) - 1, max(0, -int(-share * len(times) // 1) - 1))]

    def worst(self, name: str, count: int = 5) -> tuple[Trial, ...]:
        """The trials with the worst scores of a measure, failures first. Raises UsageError."""
        measure = self.measure(name)
        sign = -1.0 if measure.better == "lower" else 1.0

        def order(trial: Trial) -> float:
            value = number(trial, name, None)
            return -float("inf") if trial.error is not None else sign * (value or 0.0)

        scored = [
            each
            for each in self.trials
            if each.error is not None or number(each, name, None) is not None
        ]
        return tuple(sorted(scored, key=order)[:count])

    def measure(self, name: str) -> Measure:
        """One measure. Raises UsageError with the names there are."""
        if name not in self.measures:
            raise UsageError(
                f"there is no measure '{name}'", cure=f"There are {', '.join(self.measures)}."
            )
        return self.measures[name]

    def where(self, filter: str) -> Report:
        """The report of a part: the trials whose case's metadata fit a filter, as in a search:
        `topic = "leave" and year >= 2020`. Raises FilterError, UsageError where none fits."""
        from onrecord.evaluation.datasets.slicing import fitting

        fits = fitting(filter, ((each.case, each.metadata) for each in self.trials))
        part = tuple(each for each, does in zip(self.trials, fits, strict=True) if does)
        if not part:
            raise UsageError(f"no case fits the filter `{filter}`")
        return msgspec.structs.replace(self, trials=part, overall={}, slice_of=filter)

    def save(self, path: str | Path) -> Path:
        """Write it to a JSON file, at once or not at all. Raises StorageError."""
        text = msgspec.json.format(msgspec.json.encode(self), indent=1)
        return whole_file.save(path, text, "the report")

    @classmethod
    def read(cls, path: str | Path) -> Report:
        """The report that was saved to a file. Raises LoadError."""
        try:
            report = msgspec.json.decode(Path(path).read_bytes(), type=cls)
        except OSError as error:
            raise LoadError(
                f"the report cannot be read: {error.strerror or error}", where=str(path)
            ) from None
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise LoadError(
                f"this is no report: {error}",
                where=str(path),
                cure="`report.save(PATH)` and `onrecord evaluate --save PATH` write one.",
            ) from None
        scores = (each.value for trial in report.trials for each in trial.scores.values())
        if any(type(each) is int and abs(each) > sys.float_info.max for each in scores):
            raise LoadError("a score of the report is no number to count with", where=str(path))
        if report.format != FORMAT:
            raise LoadError(
                f"the report has the format {report.format}, and this Onrecord reads {FORMAT}",
                where=str(path),
                cure="Read it with the Onrecord that wrote it, or make it anew.",
            )
        return report

    @classmethod
    def open(cls, run: str) -> Report:
        """The report of an experiment on record, by any beginning of its run's id, or the path of
        one that was saved. Raises UnknownNameError, LoadError, StorageError."""
        if run.endswith(".json") or _is_file(run):
            return cls.read(run)
        from onrecord.evaluation.experiments.stored import opened

        return opened(run)

    def document(self) -> dict[str, Any]:
        """It as plain JSON values: measures first, then the trials."""
        measures = {
            name: {**msgspec.to_builtins(each), "mean": each.mean}
            for name, each in self.measures.items()
        }
        return {
            "run": self.run,
            "application": msgspec.to_builtins(self.application),
            "dataset": {**msgspec.to_builtins(self.dataset), "cases": self.cases},
            "scorers": [msgspec.to_builtins(each) for each in self.scorers],
            "trials": len(self.trials),
            "unanswered": self.unanswered,
            "repeats": self.repeats,
            "seed": self.seed,
            "seconds": self.seconds,
            "cost_usd": None if self.cost is None else self.cost / 1e6,
            "latency": {"p50": self.latency(0.5), "p95": self.latency(0.95)},
            "overall": msgspec.to_builtins(self.overall),
            "measures": measures,
        }

    def html(
        self, path: str | Path, changes: Changes | None = None, verdict: Verdict | None = None
    ) -> Path:
        """Write it to a file as one page that loads nothing. Raises StorageError."""
        from onrecord.evaluation.reports.page import write_page

        return write_page(path, self, changes, verdict)

    def markdown(self, changes: Changes | None = None, verdict: Verdict | None = None) -> str:
        """It as Markdown, for a pull request."""
        from onrecord.evaluation.reports.markdown import markdown

        return markdown(self, changes, verdict)

    def __iter__(self) -> Iterator[Trial]:
        return iter(self.trials)

    def __len__(self) -> int:
        return len(self.trials)

    def __str__(self) -> str:
        from onrecord.evaluation.reports.table import text

        return text(self)

    def __repr__(self) -> str:
        what = f"{self.application.name} on {self.dataset.name or 'cases'}"
        run = f", run {self.run}" if self.run else ""
        trials = "1 trial" if len(self) == 1 else f"{len(self):,} trials"
        return f"<Report of {what}: {trials}{run}>"

    def _repr_html_(self) -> str:
        from onrecord.evaluation.reports.page import section

        return section(self)


def _is_file(name: str) -> bool:
    try:
        return Path(name).is_file()
    except OSError:  # it is too long for a name
        return False

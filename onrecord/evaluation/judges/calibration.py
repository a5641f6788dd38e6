"""What people's verdicts say of a judge, and what its own then mean."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np

from onrecord.errors import LoadError, UsageError
from onrecord.evaluation.inference.samples import whole
from onrecord.evaluation.judges.correction import (
    Alone,
    Among,
    Carried,
    Confusion,
    Counts,
    Double,
    Known,
    independent,
    measured,
)
from onrecord.evaluation.statistics import Interval
from onrecord.evaluation.trial import Trial, Value
from onrecord.records import whole_file


class Disagreement(msgspec.Struct, frozen=True):
    """A label that the judge does not share, with the judge's reason."""

    case: str
    repeat: int
    label: bool
    verdict: bool
    reason: str = ""


class Unlabelled(msgspec.Struct, frozen=True):
    """An answer that nobody has labelled yet, and whether the judge passes it."""

    case: str
    repeat: int
    verdict: bool


class Calibration(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """A judge beside people.

    `confusion` counts the labels with a verdict; `unanswered` had none, and `left_out` are those of
    trials whose application failed. `disagreements`: where to sharpen the rubric. `wavering`: cases
    whose equal answers got different verdicts. `of`, `at_least`: what was taken for a pass.
    `judged`, `answered`: of the report, what the judge passes, and what the application answered.
    `inside`: the labels were drawn from that report. `factor`: distinct cases by label.
    """

    judge: str
    version: str
    confusion: Confusion
    of: str = ""
    at_least: float | None = None
    judged: Counts | None = None
    answered: Counts | None = None
    inside: bool = False
    factor: float = 1.0
    unanswered: int = 0
    left_out: int = 0
    disagreements: tuple[Disagreement, ...] = ()
    wavering: tuple[str, ...] = ()
    unlabelled: tuple[Unlabelled, ...] = ()

    @functools.cached_property
    def tpr(self) -> Interval:
        """Of the answers that people pass, the share that the judge passes."""
        return self._measured("tpr")

    @functools.cached_property
    def tnr(self) -> Interval:
        """Of the answers that people fail, the share that the judge fails."""
        return self._measured("tnr")

    @functools.cached_property
    def kappa(self) -> Interval:
        """Cohen's kappa: 1 for the same verdicts, 0 for no more agreement than by chance."""
        return self._measured("kappa")

    @functools.cached_property
    def rate(self) -> Interval | None:
        """The share of the report's answers that people would pass; None without a report.

        Failures of the application are no passes. From labels of the report's own answers by double
        sampling, else by Rogan and Gladen (`correction`). The interval holds what is not known of
        the judge, too.
        """
        known = self._rating(self.confusion)
        return None if known is None else measured(known, "rate", self._cases)

    @property
    def uncorrected(self) -> Interval | None:
        """The share that the judge itself passes; its interval knows of no error of the judge."""
        if self.judged is None or self.answered is None:
            return None
        itself = Alone(self.judged, Counts(0, 0), Counts(0, 0))  # it takes its own word for it
        return measured(Among(itself, self.answered), "rate", self._cases)

    def carried(self, trials: Sequence[Trial]) -> Interval:
        """The share of other answers that people would pass, where this judge has scored them
        (scorers=[judge]). Supposes that it errs there as often as here. Raises UsageError."""
        judged, answered = self.counted(trials)
        if not sum(judged):
            raise UsageError(
                f"none of these {len(trials):,} trials has a verdict of the judge '{self.judge}'",
                cure="Evaluate with scorers=[judge] first.",
            )
        known = Among(Carried(self._known(self.confusion), judged), answered)
        return measured(known, "rate", len({each.case for each in trials}))

    def counted(self, trials: Sequence[Trial]) -> tuple[Counts, Counts]:
        """What of these the judge passes, and what of them was answered at all."""
        verdicts = [(each.case, self.passes(each)) for each in trials if each.error is None]
        failed = [(each.case, each.error is None) for each in trials]
        judged = [(case, said) for case, said in verdicts if said is not None]
        return independent(judged), independent(failed)

    def passes(self, trial: Trial) -> bool | None:
        """Whether the judge passes a trial that it has scored; None where it has no verdict."""
        name = f"{self.judge}.{self.of}" if self.of else self.judge
        score = trial.scores.get(name)
        return None if score is None else passed(score.value, self.at_least)

    def which(self, count: int, *, seed: int = 0) -> tuple[Unlabelled, ...]:
        """The answers whose labels would help most: so many, drawn at random among those that the
        judge passes and among those it fails.

        How many of either: half by where the answers are, half by Neyman (1934), where it errs
        more, too, for how much it errs is itself known from few labels. Inside either group chance
        decides, and has to: labels of the doubtful ones alone would make the judge look worse than
        it is. Raises UsageError without a report.
        """
        count = whole(count, "labels")
        if self.judged is None:
            raise UsageError(
                "there is no report to draw from", cure="Give it: judge.calibrate(labels, report)."
            )
        both = [
            [each for each in self.unlabelled if each.verdict is said] for said in (True, False)
        ]
        random = np.random.default_rng(seed)
        found: list[Unlabelled] = []
        for group, some in zip(both, self._split(count), strict=True):
            taken = random.choice(len(group), round(some), replace=False) if some >= 0.5 else ()
            found += [group[at] for at in sorted(taken)]
        return tuple(found)

    def width(self, more: int = 0) -> float:
        """How wide the interval of `rate` would be about, with so many more labels; without a
        report, the wider one of `tpr` and `tnr`."""
        whole(more, "labels", 0)
        known = self._rating(self._expected(more))
        if known is not None:
            found = measured(known, "rate", self._cases)
            return found.high - found.low
        alone = self._known(self._expected(more))
        both = [measured(alone, name, 0) for name in ("tpr", "tnr")]
        return max(each.high - each.low for each in both)

    def needed(self, width: float) -> int | None:
        """About how many more labels make that interval so narrow; None where even 100,000, or all
        of the report's answers, would not."""
        most = len(self.unlabelled) if self.inside else 100_000
        if not width > 0:
            raise UsageError(f"{width!r} is no width", cure="It is above 0.")
        if self.width() <= width:
            return 0
        if self.width(most) > width:
            return None
        low, high = 0, most
        while high - low > max(1, high // 100):
            middle = (low + high) // 2
            low, high = (low, middle) if self.width(middle) <= width else (middle, high)
        return high

    def save(self, path: str | Path) -> Path:
        """Write it to a JSON file. Raises StorageError."""
        text = msgspec.json.format(msgspec.json.encode(self), indent=1)
        return whole_file.save(path, text, "the calibration")

    @classmethod
    def read(cls, path: str | Path) -> Calibration:
        """The calibration that was saved to a file. Raises LoadError."""
        try:
            return msgspec.json.decode(Path(path).read_bytes(), type=cls)
        except OSError as error:
            raise LoadError(
                f"the calibration cannot be read: {error.strerror or error}", where=str(path)
            ) from None
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise LoadError(
                f"this is no calibration: {error}",
                where=str(path),
                cure="`calibration.save(PATH)` writes one.",
            ) from None

    def __str__(self) -> str:
        from onrecord.evaluation.judges.wording import described

        return described(self)

    @property
    def _cases(self) -> int:
        return len({each.case for each in self.unlabelled}) + self.confusion.labels * self.inside

    def _measured(self, name: str) -> Interval:
        return measured(self._known(self.confusion), name, self.confusion.labels)

    def _known(self, counted: Confusion) -> Known:
        if not self.inside or self.judged is None:
            return Alone.of(counted, self.factor)
        return Double(
            self.judged,
            Counts(counted.pass_pass, counted.pass_fail).times(self.factor),
            Counts(counted.fail_pass, counted.fail_fail).times(self.factor),
        )

    def _rating(self, counted: Confusion) -> Known | None:
        if self.judged is None or self.answered is None:
            return None
        known = self._known(counted)
        return Among(known if self.inside else Carried(known, self.judged), self.answered)

    def _expected(self, more: int) -> Confusion:
        """The counts that so many more labels would make, on average."""
        counted = self.confusion
        if not self.inside:
            return counted.times((counted.labels + more) / counted.labels)
        passed, failed = self._split(more)
        p, n = self._shares()
        added = Confusion(passed * p, passed * (1 - p), failed * n, failed * (1 - n))
        return counted + added

    def _shares(self) -> tuple[float, float]:
        """What people pass of what the judge passes, and of what it fails; never 0 or 1."""
        c = self.confusion
        first = (c.pass_pass + 0.5) / (c.pass_pass + c.pass_fail + 1)
        return first, (c.fail_pass + 0.5) / (c.fail_pass + c.fail_fail + 1)

    def _split(self, count: int) -> tuple[float, float]:
        """So many labels, of what the judge passes and of what it fails."""
        c = self.confusion
        there = [c.pass_pass + c.pass_fail, c.fail_pass + c.fail_fail]
        have = there if self.inside else [0, 0]
        share = self.judged.share if self.judged is not None else 0.5
        p, n = self._shares()
        erring = share * (p * (1 - p)) ** 0.5, (1 - share) * (n * (1 - n)) ** 0.5
        part = (share + erring[0] / sum(erring)) / 2
        wanted = (sum(have) + count) * part - have[0]
        left = [sum(each.verdict is said for each in self.unlabelled) for said in (True, False)]
        count = min(count, sum(left))
        first = round(min(max(wanted, count - left[1], 0), left[0], count))
        return first, count - first


def passed(value: Value | None, at_least: float | None) -> bool | None:
    """A score as a verdict: a bool, or a number from `at_least` on. Raises UsageError."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        raise UsageError(
            f"the judge gives labels ('{value}'), and a label is no pass",
            cure="Calibrate a judge that passes and fails, or one with a scale.",
        )
    if at_least is None:
        raise UsageError(
            "the judge gives numbers, and nobody said which pass",
            cure="Say from where on: judge.calibrate(labels, at_least=4).",
        )
    return value >= at_least

"""Labels: right or wrong a trial, and the usual averages over all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from onrecord.errors import UsageError
from onrecord.evaluation import metrics
from onrecord.evaluation.measuring.classification import Confusion
from onrecord.evaluation.scorers.described import Described, drawn, spoken
from onrecord.evaluation.statistics import Interval
from onrecord.evaluation.trial import Score, Trial

Label = str | int | bool | None


class Classification(Described):
    """Whether the label is the expected one; over all trials `classification.macro_f1` and
    `classification.micro_f1`, 0 to 1, with bootstrap intervals over cases
    (`metrics.classification`).

    The label is the answer: a text, a number, a flag, or of an object its `label` or its `field`.
    Case and white space around texts do not count, and where a text is expected, 4 is "4". The
    reason of a wrong one is "expected → given", and `confusion(report.trials)` counts them.
    `labels` are the classes; without them every label that was expected is one, and another answer
    is wrong without a class of its own. Where the application failed or refused, no label was
    given. None where nothing, or more than one label, is expected.
    """

    def __init__(
        self,
        labels: Sequence[Label] | None = None,
        *,
        field: str | None = None,
        name: str = "classification",
    ) -> None:
        shown = None if labels is None else list(labels)
        super().__init__(name, shown, field, of=[metrics.classification])
        self._labels = None if labels is None else [_same(each) for each in labels]
        self._field = field

    def __call__(self, trial: Trial) -> Score | None:
        """Whether it is the expected one."""
        wanted = self._expected(trial)
        if wanted is _NONE:
            return None
        given = self._given(trial, wanted)
        right = given == wanted and type(given) is type(wanted)
        return Score(right, "" if right else f"{_shown(wanted)} → {_shown(given)}")

    def overall(self, trials: Sequence[Trial]) -> dict[str, Interval]:
        """{"macro_f1", "micro_f1"}: the averages over classes."""
        given, wanted, cases = self._pairs(trials)
        if not wanted:
            return {}
        counts = _Counts(self._classes(wanted))
        codes = counts.codes(given, wanted)

        def average(statistic: Any) -> Interval:
            return drawn(codes, statistic, cases)

        return {"macro_f1": average(counts.macro_f1), "micro_f1": average(counts.micro_f1)}

    def confusion(self, trials: Sequence[Trial]) -> Confusion:
        """How often which label was taken for which (`metrics.confusion_matrix`): of a report,
        `scorer.confusion(report.trials)`. Raises UsageError where no trial expects a label."""
        given, wanted, _ = self._pairs(trials)
        if not wanted:
            raise UsageError("no trial expects a label", cure="Give the cases one as 'expected'.")
        return metrics.confusion_matrix(given, wanted, self._classes(wanted))

    def _pairs(self, trials: Sequence[Trial]) -> tuple[list[Any], list[Any], list[str]]:
        kept = [(self._expected(each), each) for each in trials]
        kept = [pair for pair in kept if pair[0] is not _NONE]
        return (
            [self._given(each, wanted) for wanted, each in kept],
            [wanted for wanted, _ in kept],
            [each.case for _, each in kept],
        )

    def _classes(self, wanted: Sequence[Any]) -> list[Any]:
        if self._labels is not None:
            return self._labels
        return sorted(set(wanted), key=lambda label: (type(label).__name__, label))

    def _expected(self, trial: Trial) -> Any:
        accepted = trial.accepted
        if accepted is None or len(accepted) != 1:
            return _NONE
        label = _same(self._label(accepted[0]))
        return label if isinstance(label, str | int) else _NONE

    def _given(self, trial: Trial, wanted: Any) -> Any:
        if trial.error is not None or trial.refused:
            return None
        label = self._label(trial.answer)
        if isinstance(wanted, str) and label is not None:  # a cell of a CSV file is a text
            label = spoken(label)
        label = _same(label)
        return label if isinstance(label, str | int) else _shown(label)

    def _label(self, value: Any) -> Any:
        if isinstance(value, Mapping):
            return value.get(self._field or "label", value)
        return value


class _Counts:
    """Pairs of labels as numbers, so that thousands of resamples can be counted: those of the
    classes, and one more for every other label."""

    def __init__(self, classes: Sequence[Any]) -> None:
        self._place = {label: at for at, label in enumerate(classes)}
        self._size = len(classes) + 1

    def codes(self, given: Sequence[Any], wanted: Sequence[Any]) -> list[int]:
        """A number for each pair."""
        other = self._size - 1
        return [
            self._place.get(one, other) * self._size + self._place.get(two, other)
            for one, two in zip(wanted, given, strict=True)
        ]

    def macro_f1(self, codes: Any) -> float:
        """The mean of the F1 of the classes."""
        right, sums = self._counted(codes)
        return float((2 * right / sums.clip(1)).mean())

    def micro_f1(self, codes: Any) -> float:
        """The F1 of all decisions for classes."""
        right, sums = self._counted(codes)
        return float(2 * right.sum() / max(sums.sum(), 1))

    def _counted(self, codes: Any) -> tuple[Any, Any]:
        """Of each class how often it was right, and how often it was expected or given."""
        import numpy as np

        table = np.bincount(codes.astype(np.int64), minlength=self._size**2)
        table = table.reshape(self._size, self._size)
        return table.diagonal()[:-1], (table.sum(axis=0) + table.sum(axis=1))[:-1]


def _same(label: Any) -> Any:
    return " ".join(label.split()).casefold() if isinstance(label, str) else label


def _shown(label: Any) -> str:
    return "nothing" if label is None else str(label)[:80]


_NONE: Any = object()

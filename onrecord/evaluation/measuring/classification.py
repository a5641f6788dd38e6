"""Labels: how many are right, for which classes, and what is taken for what."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import msgspec

from onrecord.errors import UsageError
from onrecord.evaluation.measuring.checking import same_length
from onrecord.evaluation.measuring.precision_recall import PrecisionRecall, harmonic, share

Label = str | int | bool | None


class ClassScore(msgspec.Struct, frozen=True):
    """One class: what was labelled so, and what should have been. `support`: how many should."""

    precision: float
    recall: float
    f1: float
    support: int


class Confusion(msgspec.Struct, frozen=True):
    """What is taken for what. `counts[i][j]`: how often labels[i] was expected and labels[j]
    predicted. `left_out`: pairs with a label that is none of `labels`."""

    labels: tuple[Label, ...]
    counts: tuple[tuple[int, ...], ...]
    left_out: int = 0


class Classification(msgspec.Struct, frozen=True):
    """The usual numbers of labels, all from 0 to 1. `macro` and `micro`: over `classes`."""

    count: int
    accuracy: float
    macro: PrecisionRecall
    micro: PrecisionRecall
    classes: dict[Label, ClassScore]
    confusion: Confusion


def accuracy(predictions: Sequence[Label], expected: Sequence[Label]) -> float:
    """The share of labels that are equal. Raises UsageError for lists that make no pairs."""
    count = same_length(predictions, expected, "predictions and expected labels")
    return sum(one == other for one, other in zip(predictions, expected, strict=True)) / count


def classification(
    predictions: Sequence[Label],
    expected: Sequence[Label],
    labels: Sequence[Label] | None = None,
) -> Classification:
    """Accuracy, and precision, recall and F1 by class, as macro and as micro average.

    Labels are compared as they are: "Spam" is no "spam". The classes are `labels`, else all labels
    that were expected or predicted, in order. With `labels`, another prediction is a wrong one
    without a class of its own; without, each wording that a model makes up is a class with F1 0
    that pulls the macro average down, so name the labels where a model writes them. A class that
    was never predicted has precision 0, one that was never expected recall 0, as in scikit-learn
    with zero_division=0. `macro.f1` is the mean of the classes' F1 (Opitz and Burst, "Macro F1 and
    Macro F1", 2019, tell it from the other one). Raises UsageError.
    """
    confusion = confusion_matrix(predictions, expected, labels)
    both = _Counts(predictions, expected)
    classes = {label: both.of(label) for label in confusion.labels}
    right = sum(both.right[label] for label in classes)
    return Classification(
        count=len(expected),
        accuracy=accuracy(predictions, expected),
        macro=_mean(list(classes.values())),
        micro=PrecisionRecall.of(
            share(right, sum(both.predicted[label] for label in classes)),
            share(right, sum(both.expected[label] for label in classes)),
        ),
        classes=classes,
        confusion=confusion,
    )


def macro_f1(
    predictions: Sequence[Label],
    expected: Sequence[Label],
    labels: Sequence[Label] | None = None,
) -> float:
    """The mean of the F1 of the classes, each class weighing the same. See `classification`."""
    return classification(predictions, expected, labels).macro.f1


def micro_f1(
    predictions: Sequence[Label],
    expected: Sequence[Label],
    labels: Sequence[Label] | None = None,
) -> float:
    """The F1 over all decisions of all classes; with all labels, the accuracy. See
    `classification`."""
    return classification(predictions, expected, labels).micro.f1


def confusion_matrix(
    predictions: Sequence[Label],
    expected: Sequence[Label],
    labels: Sequence[Label] | None = None,
) -> Confusion:
    """How often which label was taken for which: a row is an expected label, a column a predicted
    one, both in the order of `labels`. Raises UsageError."""
    same_length(predictions, expected, "predictions and expected labels")
    try:
        pairs = Counter(zip(expected, predictions, strict=True))
    except TypeError as error:
        raise UsageError(f"a label is no plain value: {error}") from error
    order = _ordered({each for pair in pairs for each in pair}) if labels is None else labels
    if len(set(order)) != len(order) or not order:
        raise UsageError("the labels name none, or one twice", where=repr(list(order))[:80])
    counts = tuple(tuple(pairs[one, other] for other in order) for one in order)
    return Confusion(tuple(order), counts, len(expected) - sum(map(sum, counts)))


class _Counts:
    """How often each label was predicted, expected, and both."""

    def __init__(self, predictions: Sequence[Label], expected: Sequence[Label]) -> None:
        self.predicted = Counter(predictions)
        self.expected = Counter(expected)
        self.right = Counter(
            one for one, other in zip(predictions, expected, strict=True) if one == other
        )

    def of(self, label: Label) -> ClassScore:
        """The scores of one class."""
        precision = share(self.right[label], self.predicted[label])
        recall = share(self.right[label], self.expected[label])
        return ClassScore(precision, recall, harmonic(precision, recall), self.expected[label])


def _mean(classes: list[ClassScore]) -> PrecisionRecall:
    count = len(classes)
    return PrecisionRecall(
        sum(each.precision for each in classes) / count,
        sum(each.recall for each in classes) / count,
        sum(each.f1 for each in classes) / count,
    )


def _ordered(labels: set[Label]) -> list[Label]:
    """Texts by the alphabet, numbers by size, kinds apart."""
    return sorted(labels, key=lambda label: _place(label))


def _place(label: Label) -> tuple[bool, float, str]:
    text = label if isinstance(label, str) else ""
    number = float(label) if isinstance(label, int) else float("-inf")
    return isinstance(label, str), number, text

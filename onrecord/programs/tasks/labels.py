"""The labels that a text can be given: their names, and in words what each is for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from onrecord.errors import UsageError
from onrecord.programs.tasks.spelling import OptionError

Labels = Sequence[str] | Mapping[str, str]


class Label(NamedTuple):
    """A label, and in words what it is for."""

    name: str
    description: str = ""

    @property
    def words(self) -> str:
        """What is compared with a text."""
        return f"{self.name}: {self.description}" if self.description else self.name


def labels_of(given: Labels | Iterable[str]) -> tuple[Label, ...]:
    """Labels with their descriptions. Raises UsageError for what is none."""
    if isinstance(given, str):
        given = [each.strip() for each in given.split(",")]
    pairs = given.items() if isinstance(given, Mapping) else [(each, "") for each in given]
    labels = tuple(Label(name, words or "") for name, words in pairs)
    names = [label.name for label in labels]
    if not all(name.strip() for name in names):
        raise OptionError("a label is empty", cure="Name the labels: {labels}.")
    if len(set(names)) < len(names):
        raise UsageError("a label is named twice", cure="Name each label once.")
    if len(names) == 1:
        raise UsageError(f"there is only the label '{names[0]}'", cure="Name two labels or more.")
    return labels


def ranked(names: Sequence[str], scores: Any) -> dict[str, float]:
    """Scores by their labels, the best first; of equal ones, the label that was named first."""
    pairs = [(name, round(float(score), 6)) for name, score in zip(names, scores, strict=True)]
    return dict(sorted(pairs, key=lambda pair: -pair[1]))

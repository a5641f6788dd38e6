"""An answer beside the accepted ones, or held against a text, a pattern, a form, a number."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from onrecord.evaluation import metrics
from onrecord.evaluation.measuring.numbers import Which
from onrecord.evaluation.scorers.described import Described, best, described, spoken
from onrecord.evaluation.trial import Score, Trial
from onrecord.words import words


@described(of=[metrics.exact_match])
def exact_match(trial: Trial) -> bool | None:
    """Whether the answer is one of the accepted ones, after normalisation (`metrics.exact_match`).

    Texts and JSON values. Where only a refusal is right, whether it is one; None where nothing is
    expected.
    """
    said = best(trial, metrics.exact_match)
    return None if said is None else bool(said)


@described(of=[metrics.token_f1])
def token_f1(trial: Trial) -> float | bool | None:
    """Overlap of normalised words with the best accepted answer, 0 to 1 (`metrics.token_f1`). None
    where nothing is expected."""
    said: float | bool | None = best(trial, metrics.token_f1)
    return said


@described(of=[metrics.squad_em])
def squad_em(trial: Trial) -> bool | None:
    """Exact match with the normalisation of SQuAD (`metrics.squad_em`; Rajpurkar et al., 2016 and
    2018). `{"any_of": []}` is a question without an answer: refusing, or saying nothing, is right.
    None where nothing is expected."""
    said = _squad(trial, metrics.squad_em)
    return None if said is None else bool(said)


@described(of=[metrics.squad_f1])
def squad_f1(trial: Trial) -> float | None:
    """Word F1 with the normalisation of SQuAD (`metrics.squad_f1`), 0 to 1: the best over the
    accepted answers. Questions without an answer as in `squad_em`; None where nothing is expected.
    """
    return _squad(trial, metrics.squad_f1)


@described(of=[metrics.meteor, words])
def meteor(trial: Trial) -> float | bool | None:
    """METEOR with exact words and stems, without synonyms (`metrics.meteor`; Banerjee and Lavie,
    2005), 0 to 1. None where nothing is expected."""
    said: float | bool | None = best(
        trial, lambda found, wanted: metrics.meteor(spoken(found), spoken(wanted))
    )
    return said


class Contains(Described):
    """Whether a text stands in the answer (`metrics.contains`): `contains("refund")`.

    Without a text, the accepted answers are looked for: one of them is enough; then None where
    nothing is expected. `case`: upper and lower case are told apart; `whole_words`: "5" is not in
    "15". Needs no `expected` where a text is given.
    """

    def __init__(
        self,
        text: str | None = None,
        *,
        case: bool = False,
        whole_words: bool = False,
        name: str = "contains",
    ) -> None:
        super().__init__(name, text, case, whole_words, of=[metrics.contains])
        if text is not None:
            metrics.contains("", text)  # raises for a text that stands everywhere
        self._text = text
        self._contains = functools.partial(metrics.contains, case=case, whole_words=whole_words)

    def __call__(self, trial: Trial) -> bool | None:
        """Whether it stands there."""
        if self._text is not None:
            return bool(self._contains(spoken(trial.answer), self._text))
        said = best(trial, lambda found, text: self._contains(spoken(found), spoken(text)))
        return None if said is None else bool(said)


class Regex(Described):
    """Whether a regular expression matches in the answer (`metrics.regex_match`), `whole`: all of
    it. Needs no `expected`. Raises UsageError for a pattern that cannot be read."""

    def __init__(self, pattern: str, *, whole: bool = False, name: str = "regex") -> None:
        super().__init__(name, pattern, whole, of=[metrics.regex_match])
        metrics.regex_match("", pattern)
        self._match = functools.partial(metrics.regex_match, pattern=pattern, whole=whole)

    def __call__(self, trial: Trial) -> bool:
        """Whether it matches."""
        return bool(self._match(spoken(trial.answer)))


class JSONSchema(Described):
    """Whether the answer fits a JSON Schema (extra `evaluation`) or a type, with what does not fit
    as the reason (`metrics.schema_errors`). An answer that is a text is read as JSON first. Needs
    no `expected`. Raises UsageError for a schema that is none."""

    def __init__(self, schema: Mapping[str, Any] | type, *, name: str = "json_schema") -> None:
        shown = schema if isinstance(schema, Mapping) else _fields(schema)
        super().__init__(name, shown, of=[metrics.schema_errors])
        metrics.schema_errors(None, schema)
        self._schema = schema

    def __call__(self, trial: Trial) -> Score:
        """Whether it fits."""
        errors = metrics.schema_errors(trial.answer, self._schema)
        return Score(not errors, "; ".join(errors[:5]))


class Numeric(Described):
    """Whether a number in the answer is the expected one within a tolerance (Python numbers or text
    with one number; `metrics.numeric_match`).

    The options are those of `numeric_match`. `which` is "last" by default: what a text ends on is
    its answer, more often than not. None where nothing is expected.
    """

    def __init__(
        self,
        *,
        absolute: float = 0.0,
        relative: float = 0.0,
        which: Which = "last",
        decimal: str = ".",
        thousands: str = ",",
        name: str = "numeric",
    ) -> None:
        options = (absolute, relative, which, decimal, thousands)
        super().__init__(name, *options, of=[metrics.numeric_match])
        self._match = functools.partial(
            metrics.numeric_match,
            absolute=absolute,
            relative=relative,
            which=which,
            decimal=decimal,
            thousands=thousands,
        )
        self._match("0", 0)  # raises for options that make no sense

    def __call__(self, trial: Trial) -> bool | None:
        """Whether it is there."""
        said = best(trial, lambda found, wanted: self._match(_numeric(found), wanted))
        return None if said is None else bool(said)


def _squad(trial: Trial, metric: Any) -> float | None:
    accepted = trial.accepted
    if accepted is None:
        return None
    if not accepted and trial.refused:
        return 1.0
    answer = "" if trial.refused else spoken(trial.answer)
    return float(metric(answer, [spoken(each) for each in accepted]))


def _numeric(answer: Any) -> Any:
    return (
        answer
        if isinstance(answer, int | float) and not isinstance(answer, bool)
        else (spoken(answer))
    )


def _fields(kind: Any) -> str:
    """A type, for the version of a scorer: its name and its fields' types, as they are written."""
    hints = getattr(kind, "__annotations__", {})
    return f"{getattr(kind, '__module__', '')}.{getattr(kind, '__qualname__', kind)} {hints}"

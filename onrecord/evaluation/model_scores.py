"""What models score, case by case: one that gave no answer counts the same whichever it is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from onrecord.errors import UsageError
from onrecord.evaluation.comparison import Outcome, Scores
from onrecord.evaluation.dataset import Case, Dataset
from onrecord.evaluation.scoring import Facts, Scorers
from onrecord.evaluation.trial import Score, Trial

Said = dict[str, list[float | None]]
"""By scorer a number for each case that expects something; None where there was no answer."""


async def said(outcomes: Sequence[Outcome], dataset: Dataset, scorers: Scorers) -> Said:
    """What scorers say of one model's answers. Raises UsageError where they give no number."""
    found: Said = {each.name: [] for each in scorers.facts}
    for outcome, case in zip(outcomes, dataset, strict=True):
        if case.expected is None:
            continue
        given: dict[str, Score] = {}
        if outcome.error is None:
            given, _ = await scorers.scored(_trial(outcome, case))
        for name, values in found.items():
            values.append(_number(name, given, case) if outcome.error is None else None)
    return found


def worst(facts: Facts, every: Iterable[Said]) -> float:
    """What no answer counts by a scorer: its `worst`, else the lowest of 0 and what any of the
    models got. One that would leave failures out counts so, too: cases are compared in pairs."""
    if isinstance(facts.worst, int | float):
        return float(facts.worst)
    values = (value for each in every for value in each[facts.name])
    return min((0.0, *(each for each in values if each is not None)))


def counted(said: Said, worst: Mapping[str, float]) -> Scores:
    """One number for each case, also where there was no answer."""
    return {
        name: tuple(worst[name] if each is None else each for each in values)
        for name, values in said.items()
    }


def _trial(outcome: Outcome, case: Case) -> Trial:
    return Trial(
        case=case.id,
        input=case.input,
        output=outcome.prediction,
        expected=case.expected,
        metadata=case.metadata,
        seconds=outcome.seconds,
        cost=outcome.cost,
        usage=outcome.usage,
        record=outcome.record,
    )


def _number(name: str, said: Mapping[str, Score], case: Case) -> float:
    score = said.get(name)
    if score is None or score.value is None or isinstance(score.value, str):
        why = "" if score is None else score.error or score.reason
        raise UsageError(
            f"the scorer '{name}' gives no number for case '{case.id}'"
            + (f": {why}" if why else ""),
            cure="Models are compared by one number a case; on.evaluate takes every scorer.",
        )
    return float(score.value)

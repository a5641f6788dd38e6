"""Scoring: scorers look at a trial, each for itself.

A scorer is any callable that takes a Trial, plain or asynchronous, and gives

    True or False       a rate
    a number            a mean
    a text              labels that are counted
    {"key": …}          several of them, called "scorer.key"
    Score(value, why)   one of the first three, with a reason
    None                it does not apply: no mean counts the trial

It may say more of itself with attributes: `name` and `version`, `better` ("higher", "lower", or
None where neither is), `worst` (what a trial counts whose application failed: 0 where higher is
better; None leaves it out), and a method `overall(trials)` for what is no mean over trials, such as
macro-F1: intervals by name. The same scorer scores an experiment and live traffic.
"""

from __future__ import annotations

import inspect
import logging
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Literal

import msgspec

from onrecord.errors import LimitError, ReplayError, ResumeError, UsageError
from onrecord.evaluation.statistics import Interval
from onrecord.evaluation.trial import Score, Trial, Value
from onrecord.programs.functions import Code
from onrecord.records.call import call
from onrecord.records.scope import recording

Said = Value | Score | Mapping[str, Any] | None
Scorer = Callable[[Trial], Said | Awaitable[Said]]
Better = Literal["higher", "lower"] | None


class Facts(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a report says of a scorer."""

    name: str
    version: str = ""
    better: Better = "higher"
    worst: float | None = 0.0


class Scorers:
    """The scorers of an experiment. Raises UsageError for what is none, and for equal names."""

    def __init__(self, scorers: Sequence[Scorer]) -> None:
        if callable(scorers):
            raise UsageError(
                "scorers are several, not one", cure=f"Write scorers=[{name_of(scorers)}]."
            )
        self.facts = tuple(map(_facts, scorers))
        self._each = tuple(zip(scorers, self.facts, strict=True))
        names = [each.name for each in self.facts]
        for name in names:
            if names.count(name) > 1:
                raise UsageError(
                    f"two scorers have the name '{name}'",
                    cure="Give one of them another attribute 'name': nobody could tell them apart.",
                )

    def overall(self, trials: Sequence[Trial]) -> dict[str, Interval]:
        """What they say of all trials together: "scorer.key" and an interval. One that fails says
        nothing, and the log has why."""
        found: dict[str, Interval] = {}
        for scorer, facts in self._each:
            if (over := getattr(scorer, "overall", None)) is None:
                continue
            try:
                found |= {f"{facts.name}.{key}": each for key, each in over(trials).items()}
            except Exception as error:  # as of one trial: whatever a scorer does ends nothing
                _log.warning("scorer %s, over all trials: %s", facts.name, error)
        return found

    async def scored(self, trial: Trial) -> tuple[dict[str, Score], int | None]:
        """What they say, and what that cost, in integer micro-dollars (None where it is not known).

        A scorer that fails is a score with an error; a limit that is reached ends the experiment:
        LimitError. What an asynchronous one does is on record; a plain one only computes.
        """
        scores: dict[str, Score] = {}
        cost: int | None = 0
        for scorer, facts in self._each:
            said, took = await _said(scorer, facts, trial)
            scores |= said
            cost = None if cost is None or took is None else cost + took
        return scores, cost


def name_of(scorer: Any) -> str:
    """What a scorer is called."""
    name = getattr(scorer, "name", None) or getattr(scorer, "__name__", None)
    return str(name or type(scorer).__name__)


def version_of(given: Any) -> str:
    """What changes with a function or an object: its `version`, else the hash of its code."""
    version = getattr(given, "version", None)
    if isinstance(version, str):
        return version
    return Code(given if inspect.isroutine(given) else type(given).__call__).version


class Accepting:
    """A scorer from a plain metric `(prediction, expected) -> value`: the best over the answers
    that are accepted.

    It does not apply where nothing is expected. Where only a refusal is right, that is all it asks.
    """

    def __init__(self, metric: Callable[[Any, Any], Value], *, name: str | None = None) -> None:
        self.name = name or name_of(metric)
        self.version = Code(metric).version
        self._metric = metric

    def __call__(self, trial: Trial) -> Value | None:
        """What the metric says of the answer."""
        accepted = trial.accepted
        if accepted is None:
            return None
        if not accepted:
            return trial.refused
        return max(self._metric(trial.answer, each) for each in accepted)


async def _said(scorer: Scorer, facts: Facts, trial: Trial) -> tuple[dict[str, Score], int | None]:
    try:
        said = scorer(trial)
        if not inspect.isawaitable(said):
            return _scores(facts.name, said), 0
        with recording() as watch:
            scores = await _recorded(said, facts, trial)
        return scores, watch.cost
    except _NOT_ITS_OWN:
        raise
    except Exception as error:  # whatever a scorer does, it is one score
        return {facts.name: Score(None, error=f"{type(error).__name__}: {error}")}, 0


async def _recorded(said: Awaitable[Said], facts: Facts, trial: Trial) -> dict[str, Score]:
    asked = {"case": trial.case, "repeat": trial.repeat}
    with call("score", facts.name, asked, version=facts.version) as this:
        try:
            this.output = scores = _scores(facts.name, await said)
        except _NOT_ITS_OWN:
            raise
        except Exception as error:
            why = f"{type(error).__name__}: {error}"
            this.output = scores = {facts.name: Score(None, error=why)}
        return scores


def _scores(name: str, said: Any) -> dict[str, Score]:
    if isinstance(said, Mapping):
        return {f"{name}.{key}": _score(each) for key, each in said.items()}
    return {name: _score(said)}


def _score(said: Any) -> Score:
    if isinstance(said, Score):
        _score(said.value)  # raises where it is no value
        return said
    if isinstance(said, float) and not math.isfinite(said):
        raise ValueError(f"it gave {said}, which is no number to count with")
    if said is None or isinstance(said, bool | int | float | str):
        return Score(said)
    if hasattr(said, "item"):  # numpy's numbers
        return _score(said.item())
    raise TypeError(
        f"a scorer gives a bool, a number, a text or several of them by name, not {said!r:.80}"
    )


def _facts(scorer: Any) -> Facts:
    name = name_of(scorer)
    if not callable(scorer):
        raise UsageError(
            f"{scorer!r} is no scorer", cure="A scorer is a function that takes a trial."
        )
    _check_takes_a_trial(scorer, name)
    better: Better = getattr(scorer, "better", "higher")
    worst = getattr(scorer, "worst", 0.0 if better == "higher" else None)
    return Facts(name, version_of(scorer), better, worst)


def _check_takes_a_trial(scorer: Any, name: str) -> None:
    try:
        signature = inspect.signature(scorer)
    except (TypeError, ValueError):
        return
    try:
        signature.bind(object())
    except TypeError:
        cure = "A scorer takes one thing, a trial: trial.output, trial.expected, trial.input."
        if len(signature.parameters) == 2:
            cure += f" For a metric (prediction, expected) write on.scorers.Accepting({name})."
        raise UsageError(f"'{name}' cannot be called with a trial", cure=cure) from None


_NOT_ITS_OWN = (LimitError, ReplayError, ResumeError)
"""What ends an experiment, whoever meets it."""
_log = logging.getLogger("onrecord")

"""Scoring: scorers look at a trial, each for itself.

A scorer is any callable that takes a Trial, plain or asynchronous, and gives

    True or False       a rate
    a number            a mean
    a text              labels that are counted
    {"key": …}          several of them, called "scorer.key"
    Score(value, why)   one of the first three, with a reason
    None                it does not apply: no mean counts the trial

It may say more of itself with attributes: `name` and `version`, `better` ("higher", "lower", or
None where neither is; of a scorer that gives several, also {"key": …}, "higher" for what it leaves
out), `worst` (what a trial counts whose application failed; None leaves it out; where nothing is
said and higher is better, the lowest of 0 and what any trial got), and a method `overall(trials)`
for what is no mean over trials, such as macro-F1: intervals by name. The same scorer scores an
experiment and live traffic.

A plain scorer is called in a thread, several at once, until it has shown that it is quick; then
where the trials are made.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import logging
import math
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, Literal

import msgspec

from onrecord.errors import LimitError, ReplayError, ResumeError, UsageError
from onrecord.evaluation.statistics import Interval
from onrecord.evaluation.trial import Score, Trial, Value
from onrecord.evaluation.waiting import Clock, Late, Waiting, is_asynchronous
from onrecord.programs.functions import Code
from onrecord.records.call import call
from onrecord.records.record import content_key, plain
from onrecord.records.scope import recording

Said = Value | Score | Mapping[str, Any] | None
Scorer = Callable[[Trial], Said | Awaitable[Said]]
Better = Literal["higher", "lower"] | None


ERROR = "error"
"""The measure of the trials in which the application failed."""
LATE = "it took longer than"
"""How the error of a trial, or of a score, begins that was not waited for any longer."""
LOWEST: Literal["lowest"] = "lowest"
"""What a failed trial counts of which the scorer says nothing: the lowest of 0 and what any got."""
FACTS = ("p50", "p95", "cost", "cases", "trials", "unanswered")
"""What a gate may ask of an experiment besides its measures."""
_WORDS = frozenset(
    {ERROR, *FACTS, "baseline", "low", "high", "errors", "worse", "better", "equivalent"}
)
"""What means something else in a gate, so that no scorer has that name."""


class Facts(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a report says of a scorer. `better` is a mapping where its measures differ in it."""

    name: str
    version: str = ""
    better: Better | dict[str, Better] = "higher"
    worst: float | Literal["lowest"] | None = 0.0

    def gave(self, measure: str) -> bool:
        """Whether a measure is this scorer's: "name", or "name.key"."""
        return f"{measure}.".startswith(f"{self.name}.")

    def better_of(self, measure: str) -> Better:
        """Which way is up in one of its measures."""
        if not isinstance(self.better, dict):
            return self.better
        return self.better.get(measure[len(self.name) + 1 :], "higher")

    def worst_of(self, measure: str) -> float | Literal["lowest"] | None:
        """What a trial counts in one of its measures whose application failed."""
        if isinstance(self.better, dict) and self.better_of(measure) != "higher":
            return None
        return self.worst


class Scorers:
    """The scorers of an experiment. Raises UsageError for what is none, and for equal names."""

    def __init__(self, scorers: Sequence[Scorer]) -> None:
        if callable(scorers) or not isinstance(scorers, Iterable):
            given = name_of(scorers) if callable(scorers) else "on.scorers.exact_match"
            raise UsageError("scorers are several, not one", cure=f"Write scorers=[{given}].")
        several = tuple(scorers)
        self.facts = tuple(map(_facts, several))
        self._each = tuple(map(_Scoring, several, self.facts))
        _check_apart([each.name for each in self.facts])

    def overall(self, trials: Sequence[Trial]) -> dict[str, Interval]:
        """What they say of all trials together: "scorer.key" and an interval. One that fails says
        nothing, and the log has why."""
        found: dict[str, Interval] = {}
        for each in self._each:
            name = each.facts.name
            if (over := getattr(each.scorer, "overall", None)) is None:
                continue
            try:
                found |= {f"{name}.{key}": interval for key, interval in over(trials).items()}
            except Exception as error:  # as of one trial: whatever a scorer does ends nothing
                _log.warning("scorer %s, over all trials: %s", name, error)
        return found

    def left(self) -> dict[str, list[str]]:
        """The cases that scorers are still at work on, though nobody waits for them any more."""
        return {each.facts.name: left for each in self._each if (left := each.left())}

    async def scored(
        self, trial: Trial, seconds: float | None = None
    ) -> tuple[dict[str, Score], int | None]:
        """What they say, and what that cost, in integer micro-dollars (None where it is not known).

        A scorer that fails, or takes longer than `seconds`, is a score with an error; a limit that
        is reached ends the experiment: LimitError. What an asynchronous one does is on record; a
        plain one only computes.
        """
        scores: dict[str, Score] = {}
        cost: int | None = 0
        for each in self._each:
            said, took = await each.said(trial, seconds)
            scores |= said
            cost = None if cost is None or took is None else cost + took
        return scores, cost


def name_of(scorer: Any) -> str:
    """What a scorer is called."""
    name = getattr(scorer, "name", None) or getattr(scorer, "__name__", None)
    if not name and isinstance(scorer, functools.partial):
        return name_of(scorer.func)
    return str(name or type(scorer).__name__)


def failure(error: BaseException) -> str:
    """An exception as it is told in a trial or a score: its type, and what it says."""
    try:
        said = str(error)
    except Exception as worse:  # what an exception says of itself is the user's code, too
        said = f"(and its text cannot be made: {type(worse).__name__})"
    return _text(f"{type(error).__name__}: {said}")


def is_its_own(error: BaseException) -> bool:
    """Whether what left an application or a scorer is its failure, and ends nothing else: an exit,
    too, and a cancellation that nobody asked for. Not Ctrl-C, nor that the caller cancels."""
    if isinstance(error, asyncio.CancelledError):
        task = asyncio.current_task()
        return task is None or not task.cancelling()
    return isinstance(error, Exception | SystemExit) and not isinstance(error, _NOT_ITS_OWN)


def version_of(given: Any) -> str:
    """What changes with a function or an object: its `version`, else the hash of its code, of a
    partial also of what is bound."""
    version = getattr(given, "version", None)
    if isinstance(version, str):
        return version
    if isinstance(given, functools.partial):
        return content_key(version_of(given.func), plain([given.args, given.keywords]))
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


class _Scoring:
    """One scorer at work."""

    def __init__(self, scorer: Scorer, facts: Facts) -> None:
        self.scorer = scorer
        self.facts = facts
        self._waiting = Waiting()
        self.left = self._waiting.left
        self._is_asynchronous = is_asynchronous(scorer)
        self._quick = 0
        """So many calls in a row were quick."""

    async def said(
        self, trial: Trial, seconds: float | None
    ) -> tuple[dict[str, Score], int | None]:
        """What it says of a trial, by the names of its measures, and what that cost."""
        facts = self.facts
        try:
            said = await self._called(trial, seconds)
            if isinstance(said, _ONE) or not inspect.isawaitable(said):
                return _scores(facts.name, said), 0
            with recording() as watch:
                scores = await self._recorded(said, trial, seconds)
            return scores, watch.cost
        except BaseException as error:
            if not is_its_own(error):
                raise
            return {facts.name: Score(None, error=_failure(error, seconds))}, 0

    async def _called(self, trial: Trial, seconds: float | None) -> Said | Awaitable[Said]:
        if self._is_asynchronous:
            return self.scorer(trial)
        if self._quick < _SURE:
            return await self._beside(trial, seconds)
        began = time.perf_counter()
        try:
            return self.scorer(trial)
        except GeneratorExit as error:  # a coroutine would take it for its own end
            raise RuntimeError(f"{self.facts.name} raised GeneratorExit") from error
        finally:
            if time.perf_counter() - began > _QUICK_SECONDS:
                self._quick = 0

    async def _beside(self, trial: Trial, seconds: float | None) -> Said | Awaitable[Said]:
        """What it gives in a thread: in nobody's way, until it has shown that it is quick."""
        clock, waiting = Clock(), self._waiting
        work = waiting.in_thread(trial.case, clock, self.scorer, trial)
        try:
            return await waiting.at_most(seconds, trial.case, work, clock)
        finally:
            is_quick = clock.has_ended_within(_QUICK_SECONDS)
            self._quick = self._quick + 1 if is_quick else 0

    async def _recorded(
        self, said: Awaitable[Said], trial: Trial, seconds: float | None
    ) -> dict[str, Score]:
        facts, clock = self.facts, Clock()
        asked = {"case": trial.case, "repeat": trial.repeat}
        with call("score", facts.name, asked, version=facts.version) as this:
            try:
                work = _awaited(said, clock)
                given = await self._waiting.at_most(seconds, trial.case, work, clock)
                this.output = scores = _scores(facts.name, given)
            except BaseException as error:
                if not is_its_own(error):
                    raise
                failed = Score(None, error=_failure(error, seconds))
                this.output = scores = {facts.name: failed}
            return scores


async def _awaited(said: Awaitable[Said], clock: Clock) -> Said:
    with clock:
        return await said


def _failure(error: BaseException, seconds: float | None) -> str:
    return f"{LATE} {seconds:g} s" if isinstance(error, Late) else failure(error)


def _scores(name: str, said: Any) -> dict[str, Score]:
    if not isinstance(said, _ONE) and isinstance(said, Mapping):
        return {f"{name}.{key}": _score(each) for key, each in said.items()}
    return {name: _score(said)}


def _score(said: Any) -> Score:
    """It as a Score of plain values: no numpy, no subclasses, nothing that JSON has no form of."""
    if isinstance(said, Score):
        error = None if said.error is None else _text(said.error)
        return Score(_score(said.value).value, _text(said.reason), error)
    if isinstance(said, str):
        return Score(_text(said))
    if said is None or isinstance(said, bool):
        return Score(said)
    if isinstance(said, int) and abs(said) < _COUNTED_EXACTLY:
        return Score(int(said))
    if isinstance(said, int | float):
        return Score(_finite(said))
    if hasattr(said, "item"):  # numpy's numbers
        return _score(said.item())
    raise TypeError(
        f"a scorer gives a bool, a number, a text or several of them by name, not {said!r:.80}"
    )


def _finite(said: float) -> float:
    try:
        value = float(said)
    except OverflowError:
        value = math.inf
    if not math.isfinite(value):
        raise ValueError(f"it gave {value}, which is no number to count with")
    return value


def _text(said: Any) -> str:
    """A text that every file takes: half of a character, as a cut leaves it, becomes a "?"; and
    that every record takes: what is longer than any reason is cut."""
    text = str(said)
    if len(text) > _LONGEST:
        text = f"{text[: _LONGEST - 1]}…"
    return text.encode("utf-8", "replace").decode("utf-8")


def _facts(scorer: Any) -> Facts:
    name = name_of(scorer)
    if not callable(scorer):
        raise UsageError(
            f"{scorer!r} is no scorer", cure="A scorer is a function that takes a trial."
        )
    _check_takes_a_trial(scorer, name)
    better: Any = getattr(scorer, "better", "higher")
    _check_better(better, name)
    if isinstance(better, Mapping):
        better = dict(better)
    worst = getattr(
        scorer, "worst", LOWEST if better == "higher" or isinstance(better, dict) else None
    )
    return Facts(name, version_of(scorer), better, worst)


def _check_apart(names: list[str]) -> None:
    """Raises UsageError for names that nobody could tell apart, or measures of one name."""
    for at, name in enumerate(names):
        if name in _WORDS:
            raise UsageError(
                f"a scorer cannot be called '{name}': that word means something else in a gate",
                cure=f"Give it another attribute 'name', such as 'my_{name}'.",
            )
        for other in names[:at]:
            if other == name:
                raise UsageError(
                    f"two scorers have the name '{name}'",
                    cure="Give one of them another attribute 'name': nobody could tell them apart.",
                )
            if f"{name}.".startswith(f"{other}.") or f"{other}.".startswith(f"{name}."):
                raise UsageError(
                    f"the scorers '{other}' and '{name}' could give measures of one name",
                    cure="Give one of them another attribute 'name'.",
                )


def _check_better(better: Any, name: str) -> None:
    for each in better.values() if isinstance(better, Mapping) else (better,):
        if each not in ("higher", "lower", None):
            raise UsageError(
                f"of the scorer '{name}', better is {each!r}",
                cure='It is "higher", "lower", None, or a mapping of these by key.',
            )


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
_COUNTED_EXACTLY = 2**53
_LONGEST = 10_000
"""So many characters has a reason, an error or a label at most."""
_QUICK_SECONDS, _SURE = 0.005, 20
"""A scorer that was quicker than this so many times in a row needs no thread."""
_ONE = (bool, int, float, str, Score, type(None))
"""What is seen at once to be one value: whether something is a Mapping takes longer to find."""
_log = logging.getLogger("onrecord")

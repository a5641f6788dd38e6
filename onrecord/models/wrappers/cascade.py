"""`cascade(small, large)`: the small model answers, and the large one where the small is not sure.

    ask the small one, its words held back -> confidence at least the threshold: that is the answer
                                           -> below, or no answer at all: ask the large one

How sure is sure enough is measured on the user's labelled cases (`calibrate`), or said by the user.
Every answer is a record, and so is the confidence with what was decided on it.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Sequence
from typing import Any

import msgspec

from onrecord.arguments import several
from onrecord.calling import Operation, emit
from onrecord.errors import ContextLengthError, ModelError, ModelUnavailableError, UsageError
from onrecord.messages import Completion, Message, Progress, text_message
from onrecord.models.model import Event, Model, Request
from onrecord.models.names import model as model_named
from onrecord.models.wrappers.attempting import Attempts
from onrecord.models.wrappers.cascade_curve import (
    Calibration,
    Outcome,
    calibrated,
    check_enough,
    target_of,
)
from onrecord.models.wrappers.confidence import Confidence, Measured, gist, measure
from onrecord.records.call import call
from onrecord.records.record import content_key
from onrecord.records.scope import recording

Asked = str | Sequence[Message] | Request


class Cascade:
    """Two models, of which the large one is asked where the small one is not sure. Made by
    `cascade`."""

    def __init__(
        self,
        small: str | Model,
        large: str | Model,
        accept: float | Calibration | None,
        confidence: Confidence,
        samples: int,
    ) -> None:
        self.small, self.large = model_named(small), model_named(large)
        self.wrapped = (self.small, self.large)
        self.name = f"cascade:{self.small.name}|{self.large.name}"
        self._accept = accept
        self._measure = measure(confidence, samples)

    @property
    def version(self) -> str:
        """Changes with that of its models, the measure and the threshold."""
        accept = self._accept
        threshold = accept.threshold if isinstance(accept, Calibration) else accept
        versions = (self.small.version, self.large.version)
        return content_key(*versions, self._measure.label, threshold)

    async def stream(self, request: Request) -> AsyncIterator[Event]:
        """The answer of the small model if it is sure, else of the large one. Raises ModelError,
        and UsageError where no threshold is there."""
        yield await self._answer(request, self._threshold())

    @Operation
    async def calibrate(
        self,
        cases: Iterable[Any],
        *,
        quality: float | None = None,
        usd: float | None = None,
        escalated: float | None = None,
        correct: Callable[[Completion, Any], float] | None = None,
        ask: Callable[[Any], Asked] | None = None,
        concurrent: int = 8,
    ) -> Calibration:
        """Choose the threshold on labelled cases: `on.cascade(small, large, accept=<this>)`.

        `cases`: pairs of a question and what is expected, or whatever has `input` and `expected`,
        as a Dataset's cases; at least 20. Both models answer each of them. `ask` makes of an input
        what is sent (a prompt's `render`, a Request); without it the input is a text, messages or a
        Request. `correct` says how good a completion is, from 0 to 1; without it, 1 where it says
        what is expected, but for case, spaces and a full stop.

        One target: `quality`, a mean of at least so much; `usd`, at most so many dollars a case;
        `escalated`, at most such a share for the large model. `concurrent`: cases at a time.

        Raises UsageError where there are too few cases or the target is out of reach, and
        ModelError where the large model fails, or the small one answers no case at all.
        """
        target = target_of(quality, usd, escalated)
        labelled = [_labelled(case) for case in several(cases, "labelled cases")]
        check_enough(len(labelled))  # before anything is paid for
        if isinstance(concurrent, bool) or not isinstance(concurrent, int) or concurrent < 1:
            raise UsageError(f"concurrent={concurrent!r} asks nobody", cure="Give at least 1.")
        at_once = asyncio.Semaphore(concurrent)
        done, silent = 0, list[ModelError]()

        async def answer(input: Any, expected: Any) -> Outcome:
            nonlocal done
            async with at_once:
                request = _request(ask(input) if ask is not None else input)
                outcome = await self._outcome(request, expected, correct or says, silent)
            done += 1
            emit(Progress("calibrating", done, len(labelled)))
            return outcome

        with call("step", f"calibrate {self.name}", {"cases": len(labelled)}) as this:
            outcomes = await _together([answer(*case) for case in labelled])
            if len(silent) == len(labelled):  # there is nothing to choose from
                raise silent[0]
            found = calibrated(
                (self.small.name, self.small.version),
                (self.large.name, self.large.version),
                self._measure.label,
                target,
                outcomes,
            )
            this.output = {"threshold": found.threshold, "held_out": found.held_out}
        return found

    def __repr__(self) -> str:
        return f"cascade({self.small!r}, {self.large!r})"

    async def _answer(self, request: Request, threshold: float) -> Completion:
        measured, problem, _ = await self._asked(request)
        found = measured.confidence if measured else None
        accepted = found is not None and found >= threshold
        asked = {"model": self.small.name, "measure": self._measure.label, "threshold": threshold}
        with call("score", "confidence", asked) as this:
            this.output = {"confidence": found, "accepted": accepted, "reason": problem}
        if measured is not None and accepted:
            measured.attempts.pass_on()
            return measured.completion
        completion = await Attempts().ask(self.large, request, tag="escalation")
        if problem:
            warnings = (f"Escalated to {self.large.name}: {problem}", *completion.warnings)
            completion = msgspec.structs.replace(completion, warnings=warnings)
        return completion

    async def _asked(self, request: Request) -> tuple[Measured | None, str, ModelError | None]:
        """The small model's answer, why there is none, or no confidence, and with which error."""
        try:
            measured = await self._measure.ask(self.small, request)
        except (ModelUnavailableError, ContextLengthError) as error:
            return None, f"{self.small.name} did not answer: {error}", error
        if measured.completion.finish == "refused":
            refused = measured._replace(confidence=None)
            return refused, f"{self.small.name} refused to answer", None
        return measured, measured.reason, None

    async def _outcome(
        self,
        request: Request,
        expected: Any,
        correct: Callable[[Completion, Any], float],
        silent: list[ModelError],
    ) -> Outcome:
        with recording() as first:
            measured, problem, error = await self._asked(request)
        if error is not None:
            silent.append(error)
        with recording() as second:
            answer = await Attempts(hold=True).ask(self.large, request)
        return Outcome(
            measured.confidence if measured else None,
            _quality(correct, measured.completion, expected) if measured else 0.0,
            _quality(correct, answer, expected),
            first.cost,
            second.cost,
            problem,
        )

    def _threshold(self) -> float:
        accept = self._accept
        if accept is None:
            raise UsageError(
                "how sure the small model has to be is not known: this cascade is not calibrated",
                where=self.name,
                cure="Measure it, found = cascade.calibrate.run(cases, quality=0.9), and give"
                " cascade(..., accept=found); or say a threshold, accept=0.8.",
            )
        if not isinstance(accept, Calibration):
            return accept
        here = (self.small.name, self.small.version, self.large.name, self.large.version)
        there = (accept.small, accept.small_version, accept.large, accept.large_version)
        if (*here, self._measure.label) != (*there, accept.measure):
            raise UsageError(
                f"the threshold was calibrated for another cascade: {accept.small}"
                f" ({accept.measure}), escalated to {accept.large}, in the versions of then",
                where=self.name,
                cure="Calibrate this one: cascade.calibrate.run(cases, quality=0.9).",
            )
        return accept.threshold


def cascade(
    small: str | Model,
    large: str | Model,
    *,
    accept: float | Calibration | None = None,
    confidence: Confidence = "logprobs",
    samples: int = 5,
) -> Cascade:
    """The small model's answer where it is sure, else the large one's.

    `accept`: the lowest confidence that is taken: a calibration, `cascade(...).calibrate.run(cases,
    quality=0.9)`, or a threshold of your own. Without it the cascade can be calibrated, and refuses
    to answer.

    `confidence`: "logprobs", the geometric mean of the probabilities of the answer's tokens, for
    models that give log-probabilities; "agreement", the share of `samples` answers of the small
    model that say the same, for short answers; or a function of the request and the completion.

    The small model's words are held back until its answer is taken; the large one's are streamed.
    Escalated is, too, where the small model is not available, refuses, finds the input too long, or
    gives no confidence; `warnings` say so. The records: each answer, a score named "confidence"
    with what was decided, and the large model's with the tag "escalation". Each reserves for itself
    in the budgets around.
    """
    if (
        accept is not None
        and not isinstance(accept, Calibration)
        and (
            isinstance(accept, bool)
            or not isinstance(accept, int | float)
            or not math.isfinite(accept)
        )
    ):
        raise UsageError(
            f"accept={accept!r} is no threshold", cure="Give a number or a calibration."
        )
    return Cascade(small, large, accept, confidence, samples)


def says(completion: Completion, expected: Any) -> float:
    """1.0 where an answer says what is expected, but for case, spaces and a full stop."""
    text = expected if isinstance(expected, str) else msgspec.json.encode(expected).decode()
    told = Completion(text_message("assistant", text), "")
    return float(gist(completion) == gist(told))


async def _together(asked: Sequence[Coroutine[Any, Any, Outcome]]) -> list[Outcome]:
    """All of them, or the first error; the others are ended then."""
    tasks = [asyncio.create_task(each) for each in asked]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _labelled(case: Any) -> tuple[Any, Any]:
    if hasattr(case, "input") and hasattr(case, "expected"):
        return case.input, case.expected
    if isinstance(case, Sequence) and not isinstance(case, str) and len(case) == 2:
        return case[0], case[1]
    raise UsageError(
        f"{str(case)[:80]!r} is no labelled case",
        cure="Give pairs of a question and what is expected, or a Dataset.",
    )


def _request(asked: Asked) -> Request:
    if isinstance(asked, Request):
        return asked
    if isinstance(asked, str):
        return Request((text_message("user", asked),))
    messages = [each for each in asked if isinstance(each, Message)]
    if messages and len(messages) == len(asked):
        return Request(tuple(messages))
    raise UsageError(
        f"a model cannot be asked {str(asked)[:80]!r}",
        cure="Say with ask= how a case's input is written: ask=lambda input: prompt.render(input).",
    )


def _quality(
    correct: Callable[[Completion, Any], float], completion: Completion, expected: Any
) -> float:
    found = correct(completion, expected)
    if not (isinstance(found, int | float) and 0 <= found <= 1):
        raise UsageError(
            f"how good an answer is goes from 0 to 1; `correct` said {found!r}",
            cure="Let it give True and False, or a share.",
        )
    return float(found)

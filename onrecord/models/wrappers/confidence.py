"""How sure a model is of an answer: a number that a cascade compares with its threshold.

    logprobs     the geometric mean of the probabilities of the answer's tokens, in (0, 1]
    agreement    the share of several answers to the same question that say the same, in (0, 1]
                 (self-consistency: Wang et al., 2022, arXiv:2203.11171)
    a function   of the request and the completion, the user's own; any finite number

None of them is the probability that the answer is right. That is measured on labelled cases.
"""

from __future__ import annotations

import asyncio
import hashlib
import inspect
import json
import math
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any, Literal, NamedTuple, Protocol

import msgspec

from onrecord.arguments import takes
from onrecord.errors import ModelRefusedError, UsageError
from onrecord.messages import Completion, TokenProbability, ToolCall
from onrecord.models.http.failures import note
from onrecord.models.model import Model, Request
from onrecord.models.wrappers.attempting import Attempts

Function = Callable[[Request, Completion], float | Awaitable[float]]
Confidence = Literal["logprobs", "agreement"] | Function


class Measured(NamedTuple):
    """An answer, how sure the model is of it, and its words, which nobody has heard yet.

    `confidence` is None where it cannot be told; `reason` says why."""

    completion: Completion
    attempts: Attempts
    confidence: float | None
    reason: str = ""


class Measure(Protocol):
    """A way to ask a model and to say how sure it is."""

    @property
    def label(self) -> str:
        """What it measures, in words that change with it."""

    async def ask(self, model: Model, request: Request) -> Measured:
        """Ask; the answer's words are held back. Raises ModelError."""


def measure(confidence: Confidence, samples: int) -> Measure:
    """The measure of a name or a function. Raises UsageError."""
    if confidence == "logprobs":
        return Likelihood()
    if confidence == "agreement":
        if isinstance(samples, bool) or not isinstance(samples, int) or samples < 2:
            raise UsageError(
                f"samples={samples!r} cannot agree or disagree", cure="Take at least 2."
            )
        return Agreement(samples)
    if callable(confidence) and takes(confidence, 2):
        return Judged(confidence)
    raise UsageError(
        f"confidence={confidence!r:.80} cannot say how sure a model is of its answer",
        cure="Say 'logprobs', 'agreement', or give a function of (request, completion).",
    )


class Likelihood:
    """The geometric mean of the probabilities of an answer's tokens."""

    label = "logprobs"

    async def ask(self, model: Model, request: Request) -> Measured:
        """Ask for log-probabilities, too; only who asked for them gets them."""
        wanted = request.parameters.logprobs is not None
        if not wanted:
            request = _with(request, logprobs=0)
        attempts = Attempts(hold=True)
        try:
            completion = await attempts.ask(model, request)
        except ModelRefusedError as refused:
            if not wanted and _unsent(refused, "logprobs"):
                refused = _not_so(refused)
            raise refused from None
        found = mean_probability(completion.logprobs)
        reason = f"{model.name} gave no log-probabilities" if found is None else ""
        if not wanted:
            completion = msgspec.structs.replace(completion, logprobs=())
        return Measured(completion, attempts, found, reason)


class Agreement:
    """The share of samples that say the same as the most frequent of them, which is the answer."""

    def __init__(self, samples: int) -> None:
        self._samples = samples
        self.label = f"agreement of {samples}"

    async def ask(self, model: Model, request: Request) -> Measured:
        """Ask several times at once. Each is a record; a sample's number is among its inputs, so
        that no cache takes one for another."""
        every = [Attempts(hold=True) for _ in range(self._samples)]
        asked = (
            _sampled(attempts, model, request, number) for number, attempts in enumerate(every)
        )
        # All of them end, so that none is left alone when another fails.
        answers = await asyncio.gather(*asked, return_exceptions=True)
        completions: list[Completion] = []
        for each in answers:
            if isinstance(each, BaseException):
                raise each
            completions.append(each)
        said = list(map(gist, completions))
        most, agreed = Counter(said).most_common(1)[0]  # of equally many the earliest
        chosen = said.index(most)
        return Measured(completions[chosen], every[chosen], agreed / self._samples)


class Judged:
    """What a function of the user's says."""

    def __init__(self, function: Function) -> None:
        self._function = function
        self.label = f"function {_named(function)}"

    async def ask(self, model: Model, request: Request) -> Measured:
        """Ask, and let the function say. Raises UsageError where it gives no finite number."""
        attempts = Attempts(hold=True)
        completion = await attempts.ask(model, request)
        found: Any = self._function(request, completion)
        if inspect.isawaitable(found):
            found = await found
        try:
            value = float(found)
        except (TypeError, ValueError):
            value = math.nan
        if not math.isfinite(value):
            raise UsageError(
                f"a confidence is a finite number, not {found!r}", where=f"the {self.label}"
            )
        return Measured(completion, attempts, value)


def mean_probability(tokens: tuple[TokenProbability, ...]) -> float | None:
    """The geometric mean of the probabilities of tokens; None where there are none."""
    if not tokens:
        return None
    mean = sum(min(each.logprob, 0.0) for each in tokens) / len(tokens)
    return math.exp(mean) if not math.isnan(mean) else None


def gist(completion: Completion) -> str:
    """What an answer says, without what makes no difference: case, spaces, a full stop at the end;
    of JSON and of a tool's arguments also their order."""
    calls = [part for part in completion.message.parts if isinstance(part, ToolCall)]
    called = [f"{call.name}({_said(call.arguments)})" for call in calls]
    return "\n".join([_said(completion.text), *called])


def _said(text: str) -> str:
    try:
        return json.dumps(json.loads(text), sort_keys=True).casefold()
    except (ValueError, RecursionError):
        return " ".join(text.casefold().split()).rstrip(".!")


async def _sampled(attempts: Attempts, model: Model, request: Request, number: int) -> Completion:
    """One sample. A model that takes no temperature (Anthropic's) draws as it likes."""
    sample = _sample(request, number)
    try:
        return await attempts.ask(model, sample)
    except ModelRefusedError as refused:
        if request.parameters.temperature is not None or not _unsent(refused, "temperature"):
            raise
        return await attempts.ask(model, _with(sample, temperature=None))


def _not_so(refused: ModelRefusedError) -> ModelRefusedError:
    """The refusal of a wish that was the cascade's, and not the caller's."""
    error = ModelRefusedError(
        refused.what,
        where=refused.where,
        cure="Measure this model in another way: cascade(..., confidence='agreement'), or a"
        " function of your own.",
    )
    return note(error, sent=False)


def _unsent(refused: ModelRefusedError, parameter: str) -> bool:
    """Whether nothing was sent because the model takes no such parameter."""
    return not refused.sent and refused.what.startswith(f"{parameter} ")


def _sample(request: Request, number: int) -> Request:
    parameters = request.parameters
    # Answers of the likeliest tokens agree whatever they are worth.
    if not parameters.temperature:
        request = _with(request, temperature=_SAMPLING)
    if parameters.seed is not None:
        request = _with(request, seed=parameters.seed + number)
    return msgspec.structs.replace(request, inputs={**request.inputs, "sample": number})


def _with(request: Request, **parameters: Any) -> Request:
    changed = msgspec.structs.replace(request.parameters, **parameters)
    return msgspec.structs.replace(request, parameters=changed)


def _named(function: Function) -> str:
    """A function's name, and a hash of its code: one that changed has to be calibrated again."""
    name = getattr(function, "__qualname__", type(function).__qualname__)
    code = getattr(function, "__code__", None)
    if code is None:
        return name
    constants = [each for each in code.co_consts if isinstance(each, str | int | float | bytes)]
    hashed = hashlib.sha256(code.co_code + repr((constants, code.co_names)).encode())
    return f"{name} {hashed.hexdigest()[:8]}"


_SAMPLING = 0.7  # the temperature of the paper's samples

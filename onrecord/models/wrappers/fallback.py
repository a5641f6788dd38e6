"""`fallback(first, second, …)`: the next model where one fails or refuses.

Every model that was asked has a record with its error. Which one answered is in the completion's
`model`, and why the ones before it did not is in its `warnings`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgspec

from onrecord.errors import (
    ContextLengthError,
    ModelError,
    ModelRefusedError,
    ModelUnavailableError,
    OutputError,
    UsageError,
)
from onrecord.messages import Completion
from onrecord.models.http.failures import note
from onrecord.models.model import Event, Model, Request
from onrecord.models.names import model as model_named
from onrecord.models.wrappers.attempting import Attempts
from onrecord.records.record import content_key


class Fallback:
    """Models of which the first that answers is taken. Made by `fallback`."""

    def __init__(self, models: tuple[str | Model, ...], hold: bool) -> None:
        self.wrapped = tuple(model_named(each) for each in models)
        self.name = f"fallback:{'|'.join(each.name for each in self.wrapped)}"
        self._hold = hold

    @property
    def version(self) -> str:
        """Changes with that of any of its models."""
        return content_key(*(each.version for each in self.wrapped))

    async def stream(self, request: Request) -> AsyncIterator[Event]:
        """The answer of the first model that gives one. Raises ModelError when none does."""
        yield await self._answer(request)

    def __repr__(self) -> str:
        return f"fallback({', '.join(map(repr, self.wrapped))})"

    async def _answer(self, request: Request) -> Completion:
        attempts = Attempts(hold=self._hold)
        errors: list[ModelError] = []
        reasons: list[str] = []
        for number, model in enumerate(self.wrapped, 1):
            tag = "fallback" if number > 1 else ""
            try:
                completion = await attempts.ask(model, request, tag=tag)
            except ModelError as error:
                errors.append(error)
                reasons.append(f"{model.name} did not answer: {error}")
                if attempts.begun:
                    raise _broken_off(error) from error
                continue
            last = number == len(self.wrapped)
            if completion.finish != "refused" or attempts.begun or last:
                attempts.pass_on()
                warnings = (*reasons, *completion.warnings)
                return msgspec.structs.replace(completion, warnings=warnings)
            reasons.append(f"{model.name} refused to answer: {_shortened(completion.text)}")
        raise _no_answer(errors, reasons) from errors[-1]


def fallback(*models: str | Model, hold: bool = False) -> Fallback:
    """The first of `models` that answers: `fallback("openai:gpt-6-sol", "openai:gpt-6-luna")`.

    The next one is asked where one raises a ModelError, or refuses (`finish == "refused"`). Each is
    asked once; `fallback(retry("openai:a"), "openai:b")` asks the first one several times. Each is
    a record, with its error, and reserves for itself in the budgets around; from the second on they
    have the tag "fallback". Where the last one refuses, its refusal is the answer. Where none
    answers, the error names the reason of each.

    Nothing is streamed twice: once words of an answer were passed on to whoever streams the call,
    that model's failure is raised and its refusal is the answer. `hold=True` passes words on when
    the answer is whole. Where nobody streams there is no difference.
    """
    if any(isinstance(each, list | tuple) for each in models):
        raise UsageError(
            "a fallback takes its models one by one, and not in a list",
            cure="Unpack it: on.fallback(*models).",
        )
    if len(models) < 2:
        raise UsageError(
            "a fallback needs a model to fall back to", cure="Name two models or more."
        )
    return Fallback(models, hold)


def _broken_off(error: ModelError) -> ModelError:
    broken = _kind(error)(
        f"{error.what}; a part of the answer was passed on already, and another model would not go"
        " on with it",
        where=error.where,
        cure="Ask again, or let fallback(..., hold=True) hold an answer back until it is whole.",
    )
    return note(broken, sent=error.sent, usage=error.usage, retry_after=error.retry_after)


def _no_answer(errors: list[ModelError], reasons: list[str]) -> ModelError:
    """One error for all: of their kind where they are of one, unavailable where one was, so that
    whoever retries knows that it may help."""
    kinds = set(map(_kind, errors))
    waits = [error.retry_after for error in errors if error.retry_after is not None]
    if len(kinds) == 1 and len(errors) == len(reasons):
        kind = kinds.pop()
    else:
        unavailable = any(isinstance(error, ModelUnavailableError) for error in errors)
        kind = ModelUnavailableError if unavailable else ModelError
    failed = kind(f"none of {len(reasons)} models answered. {' '.join(map(_sentence, reasons))}")
    sent = any(error.sent for error in errors)
    return note(failed, sent=sent, retry_after=min(waits, default=None))


def _kind(error: ModelError) -> type[ModelError]:
    """Its kind in the tree of errors: a plug-in's own may be made in another way."""
    return next(kind for kind in _KINDS if isinstance(error, kind))


def _sentence(reason: str) -> str:
    return reason if reason.endswith((".", "!", "?")) else f"{reason}."


def _shortened(text: str, longest: int = 200) -> str:
    line = " ".join(text.split())
    return line if len(line) <= longest else f"{line[:longest]}…"


_KINDS = (ModelUnavailableError, ModelRefusedError, ContextLengthError, OutputError, ModelError)

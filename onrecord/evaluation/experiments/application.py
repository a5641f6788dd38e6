"""The application under test: whatever can be called with a case's input."""

from __future__ import annotations

import difflib
import functools
import inspect
import os
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Any

import msgspec

from onrecord.errors import OnrecordError, PromptError, UsageError
from onrecord.evaluation.dataset import Case
from onrecord.evaluation.scoring import name_of, version_of
from onrecord.evaluation.waiting import Clock, Waiting, is_asynchronous
from onrecord.programs.agents.outcome import Done, Paused, Stopped
from onrecord.programs.restoring import hints
from onrecord.programs.tasks.task import Task
from onrecord.prompts.schemas import codec_of
from onrecord.prompts.structured import Unfit
from onrecord.records.record import content_key, pack, plain, unpacked


class Application:
    """A flow, prompt, task, agent or function, called with plain JSON values.

    An input that is an object whose keys are all parameters gives the arguments by name, any other
    one the only argument. Values become the types that the parameters are annotated with. A
    parameter `seed` that the input does not name gets the trial's.
    """

    def __init__(self, given: Any) -> None:
        called = given.flow if isinstance(given, Task) else given
        if not callable(called) or isinstance(called, type):
            raise UsageError(
                f"{given!r:.80} is no application",
                cure="Give a flow, a prompt, a task, or a function that takes a case's input.",
            )
        self.name = name_of(given)
        self.version = _version(given)
        self._called = called
        self._is_asynchronous = is_asynchronous(called)
        self._waiting = Waiting()
        self.left = self._waiting.left
        self._signature = _signature(called)
        self._hints = hints(inspect.unwrap(called)) if inspect.isroutine(_function(called)) else {}

    def check(self, cases: Iterable[Case], seed: int) -> None:
        """Raises UsageError for a case whose input it does not take, before anything is asked."""
        for case in cases:
            try:
                self._bind(*self._arguments(case.input, seed))
            except UsageError as error:
                raise UsageError(
                    f"case '{case.id}' does not fit {self.name}: {error.what}", cure=error.cure
                ) from None

    async def answer(
        self, case: str, input: Any, seed: int, clock: Clock, seconds: float | None = None
    ) -> Any:
        """Its output as a plain JSON value; of an object that has a `value`, that stands in it. The
        input is one that was checked.

        `clock` is told how long it worked: a plain function in its own thread. Raises Late where
        that is more than `seconds`, TypeError for an output that has no JSON form.
        """
        args, kwargs = self._arguments(own(input), seed)
        work = self._given(case, args, kwargs, clock)
        given = await self._waiting.at_most(seconds, case, work, clock)
        given = _of_agent(given)
        output = unpacked(pack(_formed(given)))  # as it will be read again: lists, no tuples
        if isinstance(given, msgspec.Struct) and isinstance(output, dict) and "value" not in output:
            value = getattr(given, "value", None)
            if value is not None:
                return {"value": plain(value), **output}
        return output

    async def _given(
        self, case: str, args: tuple[Any, ...], kwargs: dict[str, Any], clock: Clock
    ) -> Any:
        """What a call gives, whatever has to be waited for, or gone through."""
        called, waiting = self._called, self._waiting
        if self._is_asynchronous:
            with clock:
                given = await called(*args, **kwargs)
        else:
            bound = functools.update_wrapper(functools.partial(called, *args, **kwargs), called)
            given = await waiting.in_thread(case, clock, bound)
        if inspect.isawaitable(given):
            with clock:
                given = await given
        if isinstance(given, AsyncIterator):
            with clock:
                return _joined(given, [each async for each in given])
        if isinstance(given, Iterator):
            return _joined(given, await waiting.in_thread(case, clock, list, given))
        return given

    def _arguments(self, input: Any, seed: int) -> tuple[tuple[Any, ...], dict[str, Any]]:
        parameters = self._signature.parameters
        if not parameters:
            raise UsageError(
                "it takes no input", cure="Give it a parameter for the input: def ask(question)."
            )
        named = isinstance(input, dict) and input and all(each in parameters for each in input)
        if isinstance(input, dict) and not named:
            _check_near(input, parameters)
        args: tuple[Any, ...] = ()
        kwargs: dict[str, Any] = {}
        if named:
            kwargs = {name: self._typed(name, each) for name, each in input.items()}
        else:
            args = (self._typed(next(iter(parameters), ""), input),)
        if "seed" in list(parameters)[len(args) :] and "seed" not in kwargs:
            kwargs["seed"] = seed
        return args, kwargs

    def _bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Raises UsageError where the arguments are not those that it takes."""
        try:
            self._signature.bind(*args, **kwargs)
        except TypeError as error:
            wanted = ", ".join(self._signature.parameters)
            raise UsageError(
                f"its input does not fit the arguments: {error}",
                cure=f"{self.name} takes {wanted}: give an object with these names, or the one "
                "argument itself.",
            ) from None

    def _typed(self, name: str, value: Any) -> Any:
        hint = self._hints.get(name, Any)
        if hint is Any or (isinstance(hint, type) and type(value) is hint):
            return value
        try:
            return codec_of(hint).validate(value)
        except PromptError:  # a type that JSON has no form of
            return value
        except Unfit as error:
            raise UsageError(f"'{name}' does not fit its type: {str(error).rstrip('.')}") from None


def own(value: Any) -> Any:
    """A plain value again: who is given it may change it, and changes nobody else's."""
    if isinstance(value, dict):
        return {key: own(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return (tuple if isinstance(value, tuple) else list)(map(own, value))
    return value


def _signature(called: Any) -> inspect.Signature:
    """What a call takes: a bound operation's partial says it, its wrapper would count `self`."""
    bound = getattr(called, "_function", None)
    return inspect.signature(bound if isinstance(bound, functools.partial) else called)


def _function(called: Any) -> Any:
    return getattr(called, "__wrapped__", called)


def _check_near(input: dict[str, Any], parameters: Iterable[str]) -> None:
    """Raises UsageError where an object gives arguments by name, and one is misspelt: given whole,
    as the one argument, it would be an answer to something else."""
    left = [each for each in parameters if each not in input]
    others = [each for each in input if each not in parameters]
    if len(others) == len(input):
        return
    for each in others:
        if close := difflib.get_close_matches(each, left, 1):
            raise UsageError(
                f"its input gives '{each}', and there is no such argument",
                cure=f"Did you mean '{close[0]}'? It takes {', '.join(parameters)}.",
            )


def _joined(given: object, items: list[Any]) -> str:
    """The text of what was given piece by piece. Raises TypeError for other pieces."""
    for each in items:
        if not isinstance(each, str):
            raise TypeError(
                f"it gave a {type(given).__name__} of {type(each).__name__}: pieces of a text are "
                "joined, of anything else return a list"
            )
    return "".join(items)


def _of_agent(given: Any) -> Any:
    """The answer of an agent that is done. Raises OnrecordError for one that was stopped, or that
    waits for a person: neither is an answer."""
    if isinstance(given, Stopped):
        raise OnrecordError(f"the agent was stopped ({given.reason}): {given.said}")
    if isinstance(given, Paused):
        asked = "; ".join(each.text for each in given.requests)
        raise OnrecordError(f"the agent waits for a person: “{asked}”")
    return given.value if isinstance(given, Done) else given


def _formed(given: Any) -> Any:
    """What JSON has a form of. Raises TypeError for an object of which nobody could tell what is to
    be compared."""
    if type(given) in _FORMED:
        return given
    if isinstance(given, set | frozenset):
        raise TypeError(f"it gave a {type(given).__name__}, which has no order: return a list")
    try:
        return msgspec.to_builtins(given, enc_hook=_form, str_keys=True, builtin_types=())
    except _FormlessError as error:
        raise TypeError(
            f"it gave {error}, which has no JSON form: return texts, numbers, lists, dicts, or a "
            "dataclass of these"
        ) from None
    except Exception:  # a cycle, a number over 64 bits: the records have a form of these
        return given


def _form(value: Any) -> Any:
    for kind in (str, bool, int, float):  # of a subclass, such as numpy's
        if isinstance(value, kind):
            return kind(value)
    if isinstance(value, os.PathLike) or any(hasattr(value, each) for each in _FORMS):
        return plain(value)
    raise _FormlessError(f"an object of {type(value).__qualname__}")


class _FormlessError(Exception):
    """There is something in a value that JSON has no form of."""


def _version(given: Any) -> str:
    if isinstance(given, Task):
        return content_key(given.name, given.flow.version, plain(given.options))
    return version_of(given)


_FORMED = frozenset({str, bool, int, float, type(None)})
_FORMS = ("model_dump", "tolist")
"""The methods of pydantic's models and numpy's arrays that give plain values."""

"""The application under test: whatever can be called with a case's input."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import functools
import inspect
import threading
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from onrecord.errors import PromptError, UsageError
from onrecord.evaluation.dataset import Case
from onrecord.evaluation.scoring import name_of, version_of
from onrecord.programs.flow import Recorded
from onrecord.programs.restoring import hints
from onrecord.programs.tasks.task import Task
from onrecord.prompts.prompt import Prompt
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
        self._begun: list[tuple[str, concurrent.futures.Future[Any]]] = []
        self._call = self._asynchronous(called)
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

    def left(self) -> list[str]:
        """The cases whose plain function nobody waits for any more, and that still runs."""
        return list(dict.fromkeys(case for case, value in self._begun if not value.done()))

    async def answer(self, case: str, input: Any, seed: int) -> Any:
        """Its output as a plain JSON value; of an object that has a `value`, that stands in it. The
        input is one that was checked."""
        args, kwargs = self._arguments(own(input), seed)
        _case.set(case)
        given = await self._call(*args, **kwargs)
        output = unpacked(pack(given))  # as it will be read again: lists, no tuples
        if isinstance(given, msgspec.Struct) and isinstance(output, dict) and "value" not in output:
            value = getattr(given, "value", None)
            if value is not None:
                return {"value": plain(value), **output}
        return output

    def _asynchronous(self, called: Any) -> Callable[..., Any]:
        """Whatever is called gives something to wait for; a plain function runs in a thread."""
        if isinstance(called, Recorded | Prompt) or not inspect.isroutine(called):
            return _awaited(called)
        if inspect.iscoroutinefunction(called):
            return called

        @functools.wraps(called)
        async def threaded(*args: Any, **kwargs: Any) -> Any:
            given = await self._in_a_thread(called, args, kwargs)
            return await given if inspect.isawaitable(given) else given

        return threaded

    async def _in_a_thread(
        self, called: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """What a plain function gives. Its thread is its own, and nobody joins it: one that never
        ends takes no place of another, and does not keep the process from ending."""
        value: concurrent.futures.Future[Any] = concurrent.futures.Future()
        context = contextvars.copy_context()

        def work() -> None:
            try:
                value.set_result(context.run(called, *args, **kwargs))
            except BaseException as error:  # whoever waits gets it, an exit too
                value.set_exception(error)

        value.set_running_or_notify_cancel()  # whoever gives up does not settle it: the thread does
        case = _case.get()
        self._begun = [each for each in self._begun if not each[1].done()] + [(case, value)]
        threading.Thread(target=work, name=case, daemon=True).start()
        return await asyncio.wrap_future(value)

    def _arguments(self, input: Any, seed: int) -> tuple[tuple[Any, ...], dict[str, Any]]:
        parameters = self._signature.parameters
        if not parameters:
            raise UsageError(
                "it takes no input", cure="Give it a parameter for the input: def ask(question)."
            )
        named = isinstance(input, dict) and input and all(each in parameters for each in input)
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


def _awaited(called: Any) -> Callable[..., Any]:
    async def call(*args: Any, **kwargs: Any) -> Any:
        given = called(*args, **kwargs)
        return await given if inspect.isawaitable(given) else given

    return call


def _version(given: Any) -> str:
    if isinstance(given, Task):
        return content_key(given.name, given.flow.version, plain(given.options))
    return version_of(given)


_case: contextvars.ContextVar[str] = contextvars.ContextVar("onrecord_case", default="")
"""The case that is answered here: what its thread is called."""

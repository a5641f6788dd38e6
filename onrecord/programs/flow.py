"""Flows and steps: recorded functions.

A flow is the recorded function a caller starts with; a step is a recorded function inside it. Both
are plain Python: branches, loops and `asyncio.gather` are what they always were.
"""

from __future__ import annotations

import asyncio
import functools
import hashlib
import inspect
from collections.abc import Awaitable, Callable
from typing import Any, ParamSpec, TypeVar, overload

from onrecord.calling import Operation
from onrecord.records.record import Kind
from onrecord.records.recording import call

P = ParamSpec("P")
R = TypeVar("R")


class Recorded(Operation[P, R]):
    """A function whose calls are recorded: input, output or error, time, and every call inside."""

    def __init__(self, function: Callable[P, Awaitable[R]], kind: Kind) -> None:
        super().__init__(function)
        self.kind = kind
        self.name = function.__name__
        self.signature = inspect.signature(function)

    @functools.cached_property
    def version(self) -> str:
        """Changes with the code of the function itself (not with what it calls)."""
        function = getattr(self._function, "func", self._function)
        return _code_hash(inspect.unwrap(function))

    async def _perform(self, *args: P.args, **kwargs: P.kwargs) -> R:
        # Bound to an object, the function is a partial; the object is an argument like the others.
        owner = getattr(self._function, "args", ())
        bound = self.signature.bind(*owner, *args, **kwargs)
        bound.apply_defaults()
        input = bound.arguments
        with call(self.kind, self.name, input, version=self.version) as this:
            this.output = result = await self._function(*args, **kwargs)
            return result


@overload
def flow(function: Callable[P, Awaitable[R]]) -> Recorded[P, R]: ...
@overload
def flow(function: Callable[P, R]) -> Recorded[P, R]: ...
def flow(function: Callable[P, Any]) -> Recorded[P, Any]:
    """Make a function a flow: the recorded function a caller starts with.

    `await f(...)`, `f.run(...)` or `f.stream(...)`. A plain `def` works too; it runs in a thread.
    """
    return Recorded(_asynchronous(function), "flow")


@overload
def step(function: Callable[P, Awaitable[R]]) -> Recorded[P, R]: ...
@overload
def step(function: Callable[P, R]) -> Recorded[P, R]: ...
def step(function: Callable[P, Any]) -> Recorded[P, Any]:
    """Make a function a step: a recorded function inside a flow."""
    return Recorded(_asynchronous(function), "step")


def _asynchronous(function: Callable[P, Any]) -> Callable[P, Awaitable[Any]]:
    if inspect.iscoroutinefunction(function):
        return function
    if not inspect.isroutine(function):
        raise TypeError(f"a flow or step is a function, not {type(function).__name__}")

    @functools.wraps(function)
    async def threaded(*args: P.args, **kwargs: P.kwargs) -> Any:
        return await asyncio.to_thread(function, *args, **kwargs)

    return threaded


def _code_hash(function: Callable[..., Any]) -> str:
    """Of the source where it can be read, else of the compiled code (interactive sessions)."""
    try:
        content = inspect.getsource(function).encode()
    except (OSError, TypeError):
        code = function.__code__
        content = code.co_code + repr((code.co_consts, code.co_names)).encode()
    return hashlib.blake2b(content, digest_size=16).hexdigest()

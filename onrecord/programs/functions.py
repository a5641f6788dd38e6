"""What is known of a user's function: its arguments, its source, its types."""

from __future__ import annotations

import functools
import hashlib
import inspect
import operator
import types
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from onrecord.calling import Operation
from onrecord.errors import UsageError
from onrecord.programs.restoring import hints, is_loose
from onrecord.programs.versions import code_hash, rebound, source_of
from onrecord.records.outlining import hashed, without_secrets
from onrecord.threads import in_thread

P = ParamSpec("P")
R = TypeVar("R")


def asynchronous(function: Callable[P, Any]) -> Callable[P, Awaitable[Any]]:
    """A coroutine function as it is; a plain one runs in a thread."""
    if inspect.iscoroutinefunction(function):
        return function
    if not inspect.isroutine(function):
        raise TypeError(f"a flow or step is a function, not {type(function).__name__}")

    @functools.wraps(function)
    async def threaded(*args: P.args, **kwargs: P.kwargs) -> Any:
        value = await in_thread(function, *args, **kwargs)
        if inspect.iscoroutine(value):
            called = _close(value)
            raise UsageError(
                f"the plain function '{function.__name__}' returned an asynchronous call that "
                f"nobody waited for, {called}(...)",
                cure="Call it with .run(...), or make the function asynchronous and await it.",
            )
        return value

    return threaded


def waited_for(value: R, name: str) -> R:
    """What an asynchronous function gave. Raises UsageError where that is a call whose `await` was
    forgotten: nobody could make it later."""
    if isinstance(value, types.CoroutineType):
        called = _close(value)
        raise UsageError(
            f"'{name}' returned the asynchronous call {called}(...), which nobody waited for",
            cure=f"Write `await {called}(...)`.",
        )
    return value


def _close(coroutine: types.CoroutineType[Any, Any, Any]) -> str:
    """The name of the function that a call is of; the call is never made."""
    frame = coroutine.cr_frame
    called = frame.f_locals.get("self") if frame is not None else None
    coroutine.close()
    whose = called if isinstance(called, Operation) else coroutine
    return str(getattr(whose, "__name__", "it"))


Bind = Callable[[tuple[Any, ...], dict[str, Any]], dict[str, Any]]


def binder(signature: inspect.Signature, name: str = "") -> Bind:
    """From the arguments of a call to all of them by name, defaults included.

    What `signature.bind` and `apply_defaults` give, ten times as fast where there is neither
    `*args` nor `**kwargs`. `name`: the function's, said in the TypeError.
    """

    def slowly(args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        try:
            bound = signature.bind(*args, **kwargs)
        except TypeError as error:
            if not name:
                raise
            raise TypeError(f"{name}() {error}") from None
        bound.apply_defaults()
        return bound.arguments

    parameters = signature.parameters.values()
    if any(each.kind in (each.VAR_POSITIONAL, each.VAR_KEYWORD) for each in parameters):
        return slowly
    names = [each.name for each in parameters if each.kind is not each.KEYWORD_ONLY]
    # By the number of positional arguments: the other names in their order with their defaults,
    # those that may be given, and those that must.
    rests = []
    for number in range(len(names) + 1):
        rest = list(parameters)[number:]
        rests.append(
            (
                {each.name: each.default for each in rest},
                frozenset(each.name for each in rest if each.kind is not each.POSITIONAL_ONLY),
                frozenset(each.name for each in rest if each.default is each.empty),
            )
        )

    def bind(args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        number = len(args)
        if number >= len(rests):
            return slowly(args, kwargs)  # raises: too many
        defaults, may, must = rests[number]
        bound = dict(zip(names, args))  # noqa: B905  # names may be more
        if kwargs:
            given = kwargs.keys()
            if not (given <= may and given >= must):
                return slowly(args, kwargs)  # raises: unknown, twice, or missing
            bound.update(defaults)
            bound.update(kwargs)
        elif must:
            return slowly(args, kwargs)  # raises: missing
        elif defaults:
            bound.update(defaults)
        return bound

    return bind


class Held(dict[str, str | int | float]):
    """What a function holds of the function that it was made in."""


class Code:
    """What is known of a function's code, found out once for it and all that is bound to it."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = inspect.unwrap(function)
        self.kept_in: Path | None = None
        """The home whose records hold the source."""
        self.is_closure = bool(getattr(self.function, "__closure__", None))
        """Whether there may be something that `held` gives: most functions are not even asked."""
        self._held: tuple[list[Any], Held] = ([], Held())

    @functools.cached_property
    def source(self) -> str | None:
        """The function's source, where it can be read (not in some interactive sessions) and is
        that of the code that runs (the file may have been edited since)."""
        return source_of(self.function)

    @functools.cached_property
    def version(self) -> str:
        """The hash of the source, else of the compiled code."""
        if self.source is not None:
            content = self.source.encode("utf-8", "surrogatepass")
            return hashlib.blake2b(content, digest_size=16).hexdigest()
        code = getattr(self.function, "__code__", None)
        if isinstance(code, types.CodeType):
            return code_hash(code)
        return hashlib.blake2b(repr(self.function).encode(), digest_size=16).hexdigest()

    def held(self) -> Held | None:
        """The texts and numbers that the function holds from the function that it was made in, by
        their names: they tell functions of one code apart. What it counts on with is none, nor is
        what looks like a secret; of a long text it is the hash.

        Others (lists, objects, flags) may change between two attempts at a run, and are not known
        to determine the output: these functions are told apart by the order of their calls.
        """
        now = [_content(cell) for _, cell in self._cells]
        before, told = self._held
        if len(before) != len(now) or not all(map(operator.is_, before, now)):
            named = zip((name for name, _ in self._cells), now, strict=True)
            texts = {name: _short(each) for name, each in named if type(each) in (str, int, float)}
            told = Held(without_secrets(texts))
            self._held = now, told
        return told or None

    @functools.cached_property
    def _cells(self) -> tuple[tuple[str, types.CellType], ...]:
        cells = getattr(self.function, "__closure__", None)
        if not cells:
            return ()
        code = self.function.__code__
        own = rebound(code)
        return tuple(
            each for each in zip(code.co_freevars, cells, strict=True) if each[0] not in own
        )

    @functools.cached_property
    def hints(self) -> dict[str, Any]:
        """The evaluated annotations."""
        return hints(self.function)

    @property
    def returns(self) -> Any:
        """The type it says it returns."""
        return self.hints.get("return", inspect.Parameter.empty)

    @functools.cached_property
    def is_loose(self) -> bool:
        """Whether it may return objects of types that it does not name."""
        return is_loose(self.returns)


def _content(cell: types.CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # nothing was assigned yet
        return None


def _short(value: str | int | float) -> str | int | float:
    if not isinstance(value, str) or len(value) <= _LONGEST:
        return value
    return hashed(value.encode("utf-8", "surrogatepass"), 16)


_LONGEST = 1000

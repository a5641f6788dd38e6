"""How long one call may take, and how often it is tried.

    @on.step(seconds=10, retries=2)        at most ten seconds each time, at most three times

Each try is a record of its own, the later ones with the tag "retry". What must not happen twice is
not tried again: nobody knows whether the first time did it.
"""

from __future__ import annotations

import asyncio
import functools
import random
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from typing import Any, NamedTuple, ParamSpec, TypeVar

from onrecord.errors import (
    DeadlineError,
    ModelUnavailableError,
    OnrecordError,
    ToolError,
    UsageError,
)
from onrecord.records.ledger import in_time
from onrecord.records.scope import context

P = ParamSpec("P")
R = TypeVar("R")


class Trying(NamedTuple):
    """How often a call is tried again after a failure, and how many seconds each try may take."""

    seconds: float | None = None
    retries: int = 0

    def check(self, idempotent: bool) -> None:
        """Raises UsageError for what is no time or no number, and for what must not be repeated."""
        seconds, retries = self
        is_time = isinstance(seconds, int | float) and not isinstance(seconds, bool) and seconds > 0
        if seconds is not None and not is_time:
            raise UsageError(f"seconds={seconds!r} is no time", cure="Give a number above 0.")
        if not isinstance(retries, int) or isinstance(retries, bool) or retries < 0:
            raise UsageError(f"retries={retries!r} is no number of times", cure="Give 0 or more.")
        if retries and not idempotent:
            raise UsageError(
                "what must not be repeated (idempotent=False) cannot be tried again",
                cure="Leave out retries: a failure does not tell whether the other side has acted.",
            )


def timed(function: Callable[P, Awaitable[R]], seconds: float | None) -> Callable[P, Awaitable[R]]:
    """The function, which raises DeadlineError when it takes longer. What it awaits is cancelled;
    the thread of a plain function runs on, and nobody waits for it."""
    if seconds is None:
        return function

    @functools.wraps(function)
    async def within(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            async with asyncio.timeout(seconds) as limit:
                return await function(*args, **kwargs)
        except TimeoutError:
            if not limit.expired():
                raise
            raise DeadlineError(f"'{function.__name__}' took longer than {seconds:g} s") from None

    return within


async def retried(call: Callable[[], Awaitable[Any]], retries: int) -> Any:
    """What a call gives, tried again after a failure that another try may mend. Raises the last."""
    for number in range(retries + 1):
        with ExitStack() as around:
            if number:
                async with in_time():
                    await asyncio.sleep(_wait(number))
                around.enter_context(context(tags=("retry",)))
            try:
                return await call()
            except Exception as error:
                if number == retries or _is_final(error):
                    raise
    raise AssertionError("a last try returns or raises")


def _is_final(error: Exception) -> bool:
    """Whether Onrecord says itself that another try gives the same again."""
    return isinstance(error, OnrecordError) and not isinstance(
        error, ModelUnavailableError | DeadlineError | ToolError
    )


def _wait(number: int) -> float:
    """Seconds before a try: they double, with jitter, so that many do not come back together."""
    return min(_LONGEST, _FIRST * 2.0 ** (number - 1)) * random.uniform(0.5, 1.5)


_FIRST, _LONGEST = 0.1, 10.0
